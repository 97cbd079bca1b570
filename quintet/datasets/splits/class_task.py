"""The task to predict classes for new groups: classes that lie in several groups, and grouped folds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quintet.datasets.labels import label_indicator
from quintet.datasets.splits.folds import grouped_folds, usable_folds
from quintet.datasets.splits.split import Positions
from quintet.errors import DatasetError


@dataclass(frozen=True, eq=False)
class Task:
    """Classes to predict, and the folds in which they are predicted.

    Args:
        rows: positions of the n clips that take part.
        classes: their names.
        target: `(n, classes)`, ones and zeros.
        groups: `(n,)`.
        folds: pairs of positions among the n clips: to fit on, to predict.
        seed: seed of the forests and the intervals.
    """

    rows: Positions
    classes: tuple[str, ...]
    target: NDArray[np.int8]
    groups: NDArray[np.object_]
    folds: list[tuple[Positions, Positions]]
    seed: int


def make_task(labels: pd.Series, groups: pd.Series, seed: int) -> Task:
    """Classes that lie in two groups or more, and grouped folds of their clips.

    Args:
        labels: label of each clip: `"rock"`, or `"rock;live"` for sets.
        groups: group of each clip, in the same order.
        seed: seed of the folds.

    Raises:
        DatasetError: if there are fewer than two such classes.
    """
    if not len(labels):
        raise DatasetError(
            "To predict classes for new groups, at least two must lie in two groups each. Received no labels."
        )
    matrix, classes = label_indicator(labels)
    in_group = pd.DataFrame(matrix, index=labels.index).groupby(groups.to_numpy()).max()
    n_groups = in_group.sum(axis=0).to_numpy()
    usable = np.flatnonzero((n_groups >= 2) & (matrix.mean(axis=0) < 1))
    if len(usable) < 2:
        raise DatasetError(
            "To predict classes for new groups, at least two must lie in two groups each. "
            f"Received {len(usable)} such classes among {len(classes)}."
        )
    rows = np.flatnonzero(matrix[:, usable].any(axis=1))
    target = matrix[rows][:, usable]
    has_single_labels = (matrix.sum(axis=1) == 1).all()
    strata = labels.to_numpy()[rows] if has_single_labels else target
    used_groups = groups.to_numpy()[rows]
    names = used_groups.tolist()
    n_splits = usable_folds(strata, names)
    folds = grouped_folds(strata, names, n_splits=n_splits, seed=seed)
    names = tuple(classes[k] for k in usable)
    return Task(rows, names, target, used_groups, folds, seed)
