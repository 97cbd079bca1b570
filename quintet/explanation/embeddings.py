"""Clips in a network's last hidden layer: what sounds alike to it, whatever the hand-made features say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from quintet.errors import ArtefactError
from quintet.features.storage.spectrograms import SpectrogramStore
from quintet.model_folder.run import Run

MAX_CLIPS = 300
"""So many clips are sent through a network for one page: a map shows no more, and a large network takes a second per dozen."""


def embed_clips(
    run: Run, member: Any, ids: list[str], *, limit: int = MAX_CLIPS, seed: int = 0
) -> pd.DataFrame | None:
    """The last hidden layer of a network for clips of the run: one row per clip, indexed by id, columns 0 … d - 1.

    Args:
        run: its bundle says where the spectrograms of the training run lie.
        member: a fitted network of the run. ids: of the clips wanted.
        limit: at most so many, drawn with `seed`, in their order.

    Returns:
        None where the spectrograms are not there any more, or were made with other parameters.
    """
    store = spectrograms_of(run)
    if store is None:
        return None
    kept = set(store.ids)
    known = [name for name in ids if name in kept]
    if len(known) > limit:
        known = [
            known[i] for i in np.sort(np.random.default_rng(seed).choice(len(known), limit, replace=False))
        ]
    return pd.DataFrame(member.embed(store.take(known)), index=pd.Index(known, name="id")) if known else None


def spectrograms_of(run: Run) -> SpectrogramStore | None:
    """The store that the run was trained on, if it still lies where it lay (or, moved with the model, beside it) and is the same."""
    place = run.bundle.get("spectrograms")
    if not place:
        return None
    for folder in (Path(place), run.path.resolve().parent / Path(place).name):
        if (folder / "store.json").is_file():
            try:
                store = SpectrogramStore(folder)
            except ArtefactError:
                continue
            if store.parameter_hash == run.bundle.get("log_mel_hash"):
                return store
    return None
