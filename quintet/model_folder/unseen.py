"""Clips that were predicted unseen: the held-out part and the out-of-fold predictions of the training part.

Every clip of a run was predicted once by members that were not fitted on it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quintet.model_folder.run import Run
from quintet.predictions.predictions import Predictions


@dataclass(frozen=True)
class Unseen:
    """Predictions of all clips that were predicted unseen.

    Args:
        predictions: the held-out clips, then the out-of-fold ones.
        part: (n,) `test` or `oof` for each clip.
    """

    predictions: Predictions
    part: NDArray[np.str_]

    @property
    def n_held_out(self) -> int:
        """Number of held-out clips."""
        return int((self.part == "test").sum())


def unseen_clips(run: Run) -> Unseen:
    """The ensemble prediction of every clip that was predicted unseen.

    Args:
        run: the model folder.
    """
    tables, parts, known = [], [], set[str]()
    for part in ("test", "oof"):
        predictions = run.parts[part].get(run.prediction_name)
        if predictions is None:
            continue
        ordered = predictions.in_classes(run.classes)
        new = [clip for clip in map(str, ordered.clip_ids) if clip not in known]
        known |= set(new)
        tables.append(ordered.take(new))
        parts += [part] * len(new)
    return Unseen(_concatenate(tables), np.array(parts, dtype=str))


def _concatenate(tables: list[Predictions]) -> Predictions:
    """Predictions of different clips of one run, one below the other."""
    if len(tables) == 1:
        return tables[0]
    labels = [_texts(table.labels, len(table)) for table in tables]
    has_groups = all(table.groups is not None for table in tables)
    groups = [_texts(table.groups, len(table)) for table in tables]
    return Predictions(
        clip_ids=np.concatenate([table.clip_ids for table in tables]),
        classes=tables[0].classes,
        probabilities=np.concatenate([table.probabilities for table in tables]),
        labels=np.concatenate(labels),
        groups=np.concatenate(groups) if has_groups else None,
        multilabel=tables[0].multilabel,
    )


def _texts(labels: NDArray[np.generic] | None, n: int) -> NDArray[np.object_]:
    return np.full(n, None, dtype=object) if labels is None else np.asarray(labels, dtype=object)
