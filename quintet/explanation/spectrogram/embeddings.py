"""Clips of a run in the last hidden layer of a network.

Clips that are near each other there are similar for the network, whatever the hand-made features are.

In: a run and a fitted network. Out: a table with one row per clip.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from quintet.errors import ArtefactError
from quintet.features.storage.spectrograms import SpectrogramStore
from quintet.model_folder.run import Run

if TYPE_CHECKING:
    from quintet.classifiers.spectrogram.classifier import SpectrogramClassifier
    from quintet.frozen.network_member import NetworkMember

MAX_CLIPS = 300
"""Most clips that a network embeds for one page: a map shows no more, and a large network takes a second per
dozen."""


def embed_clips(
    run: Run,
    member: SpectrogramClassifier | NetworkMember,
    ids: list[str],
    *,
    limit: int = MAX_CLIPS,
    seed: int = 0,
) -> pd.DataFrame | None:
    """The last hidden layer of a network for clips of the run.

    Args:
        run: a model folder. Its bundle names the folder of the spectrograms that the run was trained on.
        member: a fitted network of the run.
        ids: clips wanted. Those without a spectrogram are left out.
        limit: most clips. If there are more, some are drawn and keep their order.
        seed: seed of that draw.

    Returns:
        One row per clip, indexed by id, columns 0 … d - 1. None if the spectrograms are not there any more,
        or were made with other parameters, or none of the clips has one.
    """
    store = spectrograms_of(run)
    if store is None:
        return None
    stored_ids = set(store.ids)
    names = [name for name in ids if name in stored_ids]
    if len(names) > limit:
        positions = np.random.default_rng(seed).choice(len(names), limit, replace=False)
        names = [names[i] for i in np.sort(positions)]
    if not names:
        return None
    return pd.DataFrame(member.embed(store.take(names)), index=pd.Index(names, name="id"))


def spectrograms_of(run: Run) -> SpectrogramStore | None:
    """The spectrogram store that a run was trained on.

    It is searched in the folder that the run recorded, then beside the model folder (if both were moved
    together).

    Args:
        run: a model folder.

    Returns:
        None if there is no store in these places with the parameters of the training run.
    """
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
