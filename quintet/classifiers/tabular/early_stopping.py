"""Early stopping of gradient boosting on groups that are held out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from quintet.classifiers.tabular.svm import Matrix, Positions, held_out_groups

if TYPE_CHECKING:
    from xgboost import XGBClassifier

N_PARTS = 10
"""One part in so many is held out."""


def fit_until_no_gain(
    model: XGBClassifier,
    X: Matrix,
    y: Positions,
    weights: Matrix,
    *,
    groups: NDArray[np.str_] | None,
    seed: int,
) -> XGBClassifier:
    """Fit a boosted model on nine tenths of the groups, and keep the rounds up to the least loss on the rest.

    If a class has one group only, nothing can be held out: all rounds are fitted on all rows.

    Args:
        model: unfitted; after `early_stopping_rounds` rounds without gain it stops.
        X: `(rows, columns)`.
        y: `(rows,)` in 0 … classes - 1.
        weights: weight of each row, `(rows,)`.
        groups: `(rows,)`. Default: every row is its own group.
        seed: decides the groups that are held out.

    Raises:
        SplitLeakError: if a group is on both sides.
    """
    folds = held_out_groups(y, groups, n_splits=N_PARTS, seed=seed, where="early stopping")
    if not folds:
        model.set_params(early_stopping_rounds=None)
        return model.fit(X, y, sample_weight=weights)
    train, valid = folds[0]
    model.fit(
        X[train],
        y[train],
        sample_weight=weights[train],
        eval_set=[(X[valid], y[valid])],
        sample_weight_eval_set=[weights[valid]],
        verbose=False,
    )
    return _first_rounds(model, int(model.best_iteration) + 1)


def _first_rounds(model: XGBClassifier, n_rounds: int) -> XGBClassifier:
    """The model of the first rounds, without what was fitted after them."""
    from xgboost import XGBClassifier

    booster = model.get_booster()[:n_rounds]
    booster.set_attr(best_iteration=None, best_score=None)
    kept = XGBClassifier(n_jobs=model.n_jobs)
    kept.load_model(booster.save_raw("ubj"))
    return kept
