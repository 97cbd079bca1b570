"""How firm a ranking of columns is: every member fitted anew on each fold's training clips, and the rankings compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from quintet.explanation.importance import SPACES, TOTAL, column_importance, explain
from quintet.explanation.refits import Refit, refits
from quintet.model_folder.run import Run

if TYPE_CHECKING:
    import shap

CHEAP_MEMBERS = ("logistic_regression", "random_forest", "xgboost")
"""Members that are fitted and explained again in seconds per fold; an SVM's exact values cost as much again for every fold."""


def fold_stability(
    run: Run,
    *,
    members: Sequence[str] = CHEAP_MEMBERS,
    known: Mapping[str, Sequence[Refit]] | None = None,
    n_clips: int = 40,
    n_background: int = 16,
    seed: int = 0,
) -> pd.DataFrame:
    """The rank correlation of the columns' importance between folds: what another draw of training and held-out artists would leave of the ranking.

    Each fold's member is fitted as `quintet train` fitted it (settings, seeds, clips), and explained on clips of that fold, which it never saw.
    Spearman's correlation is taken between the mean |SHAP value| of the columns (`column_importance`, summed over classes) of any two folds.

    Args:
        run: a model folder with features and folds.
        members: those wanted; what the run does not have is left out.
        known: member → its `refits`, where they have been made already.
        n_clips, n_background: drawn per fold, to be explained and to stand in for absent columns.

    Returns:
        One row per member: `mean, low, high` (the mean and the range of Spearman's correlation over pairs of folds, in [-1, 1]) and `n_folds`.
        Empty without features, or with fewer than two folds.
    """
    rankings = {
        name: fold_rankings(
            run, name, known=(known or {}).get(name), n_clips=n_clips, n_background=n_background, seed=seed
        )
        for name in members
        if name in run.members
    }
    return agreements(rankings)


def agreements(rankings: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Member → `importance_by_fold`, as the table that `fold_stability` gives."""
    rows = {name: agreement(table) for name, table in rankings.items() if table.shape[1] > 1}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["mean", "low", "high", "n_folds"]).astype(
        {"n_folds": int}
    )


def agreement(rankings: pd.DataFrame) -> tuple[float, float, float, int]:
    """Mean, least and greatest Spearman correlation between any two columns of a table, and their number.

    A fold in which all count the same has no ranking, and agrees with none: 0.

    Example:
        >>> agreement(pd.DataFrame({"fold 0": [3.0, 2.0, 1.0], "fold 1": [9.0, 4.0, 1.0], "fold 2": [3.0, 1.0, 2.0]}))
        (0.667, 0.5, 1.0, 3)
    """
    flat = [rankings.iloc[:, k].nunique() < 2 for k in range(rankings.shape[1])]
    pairs = combinations(range(rankings.shape[1]), 2)
    found = [
        0.0 if flat[a] or flat[b] else float(spearmanr(rankings.iloc[:, a], rankings.iloc[:, b]).statistic)
        for a, b in pairs
    ]
    return round(float(np.mean(found)), 3), round(min(found), 3), round(max(found), 3), rankings.shape[1]


def fold_rankings(
    run: Run,
    name: str,
    *,
    known: Sequence[Refit] | None = None,
    n_clips: int = 40,
    n_background: int = 16,
    seed: int = 0,
) -> pd.DataFrame:
    """The importance of every column in every fold: rows are columns, one column `fold k` per fold; a column that a fold's member drops has 0.

    Empty where there is nothing to fit: no features, no folds, or a member without exact SHAP values.
    """
    if name not in SPACES:
        return pd.DataFrame()
    rng, found = np.random.default_rng(seed), {}
    for refit in refits(run, name) if known is None else known:
        chosen, background = (
            rng.permutation(ids)[:most]
            for ids, most in ((refit.held_out, n_clips), (refit.train, n_background))
        )
        found[refit.fold] = explain(refit.member, run.values.loc[chosen], run.values.loc[background])
    return importance_by_fold(found, run.values.columns)


def importance_by_fold(explanations: Mapping[int, shap.Explanation], columns: Iterable[str]) -> pd.DataFrame:
    """Fold → explanation, as the importance of every one of `columns` in every fold: one column `fold k` per fold."""
    found = {
        f"fold {fold}": column_importance(explanation)[TOTAL] for fold, explanation in explanations.items()
    }
    return pd.DataFrame(found).reindex(list(columns)).fillna(0.0) if found else pd.DataFrame()
