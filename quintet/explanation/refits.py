"""Table members fitted again on the folds of a run, exactly as in cross-fitting.

Each of them was fitted on the training part without one fold, so it can explain the clips of that fold.

In: a run with features and folds. Out: one `Refit` per fold.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quintet.classifiers.sizes import sized_settings
from quintet.datasets.labels import label_indicator
from quintet.ensemble.crossfit import Inputs, Trainer, member_probabilities
from quintet.model_folder.run import Run

if TYPE_CHECKING:
    from quintet.classifiers.tabular.members import TableMember


@dataclass(frozen=True)
class Refit:
    """A table member fitted on all folds except one.

    Args:
        fold: the fold that was left out.
        member: the fitted member.
        train: ids of the clips that it was fitted on.
        held_out: ids of the clips of the fold.
    """

    fold: int
    member: TableMember
    train: pd.Index
    held_out: pd.Index


def refits(run: Run, name: str) -> Iterator[Refit]:
    """Fit a table member again for each fold.

    Settings, seeds and rows are those of the training run: the members are the same to the last bit.

    Args:
        run: a model folder.
        name: a table member of the run.

    Yields:
        One refit per fold: if the data bring a validation part, the member that was judged on it. None if the
        run has no features, or no clips that no fold holds out and fewer than two folds.
    """
    split = training_split(run)
    if run.values.empty or not len(split) or split["fold"].nunique() < 2:
        return
    folds = split.loc[split["fold"] >= 0, "fold"].unique()
    X = run.values.loc[split.index]
    y = targets(run, split)
    groups = split["group"].to_numpy(dtype=str)
    for fold in sorted(folds):
        settings = sized_settings(name, run.member_settings(name, int(fold)), len(split))
        trainer = Trainer(name, settings, seed=training_seed(run))
        train = np.flatnonzero(split["fold"] != fold)
        inputs = Inputs(X.iloc[train])
        member = trainer.fit(inputs, y[train], groups[train], fold=int(fold))
        yield Refit(
            fold=int(fold),
            member=cast("TableMember", member),
            train=X.index[train],
            held_out=X.index[split["fold"] == fold],
        )


def training_seed(run: Run) -> int:
    """The seed of the training run; 0 if the run recorded none.

    Args:
        run: a model folder.
    """
    settings = run.config.get("train") or {}
    return int(settings.get("seed", 0))


def training_split(run: Run) -> pd.DataFrame:
    """The rows of the split for the training clips that have features.

    Args:
        run: a model folder.

    Returns:
        Indexed by id, in the order of training; empty if the run has no split.
    """
    if not len(run.split):
        return run.split
    split = run.split[run.split["part"] == "train"].set_index("id")
    return split.loc[split.index.intersection(run.values.index, sort=False)]


def targets(run: Run, split: pd.DataFrame) -> NDArray[np.str_] | NDArray[np.integer]:
    """The targets that members are fitted to.

    Args:
        run: a model folder.
        split: n rows of its split.

    Returns:
        Labels (n,); for label sets the indicator matrix (n, tags).
    """
    if not run.multilabel:
        return split["label"].to_numpy(dtype=str)
    matrix, tags = label_indicator(split["label"].astype(str))
    indicator = np.zeros((len(split), len(run.classes)), dtype=matrix.dtype)
    places = [run.classes.index(tag) for tag in tags]
    indicator[:, places] = matrix
    return indicator


def fitting_seconds(run: Run, name: str) -> float:
    """Seconds that a member took in cross-fitting, as the run recorded; 0 if it recorded none.

    Args:
        run: a model folder.
        name: a member.
    """
    fold_seconds = run.bundle.get("fold_seconds", {})
    return float(sum(fold_seconds.get(name, [])))


def distance_from_training(run: Run, name: str, refit: Refit) -> float:
    """The largest difference between a refit and the training run, in out-of-fold probability.

    Args:
        run: a model folder.
        name: the member.
        refit: of that member.

    Returns:
        0 if both are the same.
    """
    recorded = run.oof[name].take(list(refit.held_out))
    rows = run.values.loc[refit.held_out]
    probabilities = member_probabilities(refit.member, rows, recorded.classes, multilabel=run.multilabel)
    differences = np.abs(probabilities - recorded.probabilities)
    return float(differences.max())
