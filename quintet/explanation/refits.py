"""Members fitted again as they were in cross-fitting: each knows the training part without one fold, and may explain that fold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quintet.datasets.labels import label_indicator
from quintet.ensemble.crossfit import Inputs, Trainer, member_probabilities
from quintet.model_folder.run import Run


@dataclass(frozen=True)
class Refit:
    """A table member fitted on every fold but `fold`: `member`, and the ids of the clips that it knows (`train`) and does not (`held_out`)."""

    fold: int
    member: Any
    train: pd.Index
    held_out: pd.Index


def refits(run: Run, name: str) -> Iterator[Refit]:
    """A table member fitted again for each fold, with the settings, the seeds and the rows of the training run: the same to the last bit.

    Nothing where the run has no features, or fewer than two folds.
    """
    split = training_split(run)
    if run.values.empty or not len(split) or split["fold"].nunique() < 2:
        return
    X, y, groups = run.values.loc[split.index], targets(run, split), split["group"].to_numpy(dtype=str)
    trainer = Trainer(
        name, dict(run.member_settings(name)), seed=int((run.config.get("train") or {}).get("seed", 0))
    )
    for fold in sorted(split["fold"].unique()):
        train = np.flatnonzero(split["fold"] != fold)
        member = trainer.fit(Inputs(X.iloc[train]), y[train], groups[train], fold=int(fold))
        yield Refit(int(fold), member, X.index[train], X.index[split["fold"] == fold])


def training_split(run: Run) -> pd.DataFrame:
    """The split's rows of the training part whose features are kept, indexed by id, in the order of training."""
    if not len(run.split):
        return run.split
    split = run.split[run.split["part"] == "train"].set_index("id")
    return split.loc[split.index.intersection(run.values.index, sort=False)]


def targets(run: Run, split: pd.DataFrame) -> NDArray[Any]:
    """What members are fitted to: labels (n,), or the indicator (n, tags) of label sets."""
    if not run.multilabel:
        return split["label"].to_numpy(dtype=str)
    matrix, tags = label_indicator(split["label"].astype(str))
    found = np.zeros((len(split), len(run.classes)), dtype=matrix.dtype)
    found[:, [run.classes.index(tag) for tag in tags]] = matrix
    return found


def fitting_seconds(run: Run, name: str) -> float:
    """How long a member took in cross-fitting, as the run recorded; 0 where it did not."""
    return float(sum(run.bundle.get("fold_seconds", {}).get(name, [])))


def distance_from_training(run: Run, name: str, refit: Refit) -> float:
    """The largest difference between what a refitted member says of its fold and what the run recorded out of fold; 0 where it is the same."""
    known = run.oof[name].take(list(refit.held_out))
    said = member_probabilities(
        refit.member, run.values.loc[refit.held_out], known.classes, multilabel=run.multilabel
    )
    return float(np.abs(said - known.probabilities).max())
