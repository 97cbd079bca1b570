"""Stability of the ranking of columns between folds.

Each member is fitted again on the training clips of each fold, explained, and the rankings of the columns are
compared.

In: a run with features and folds. Out: a table of rank correlations, one row per member.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from quintet.classifiers.views import split_name
from quintet.explanation.contracts import ColumnValues
from quintet.explanation.importance import SPACES, TOTAL, column_importance, explain
from quintet.explanation.refits import Refit, refits
from quintet.model_folder.run import Run

CHEAP_MEMBERS = ("logistic_regression", "random_forest", "xgboost")
"""Members that are fitted and explained in seconds per fold. The exact values of an SVM would cost minutes
per fold."""


def fold_stability(
    run: Run,
    *,
    members: Sequence[str] = CHEAP_MEMBERS,
    member_refits: Mapping[str, Sequence[Refit]] | None = None,
    n_clips: int = 40,
    n_background: int = 16,
    seed: int = 0,
) -> pd.DataFrame:
    """Rank correlation of the columns' importance between folds.

    It shows how much of the ranking another draw of training and held-out artists would keep. The member of
    each fold is fitted as `quintet train` fitted it (settings, seeds, clips), and explained on clips of that
    fold, which it was not fitted on. Spearman's correlation is taken between the mean |SHAP value| of the
    columns (`column_importance`, summed over classes) of any two folds.

    Args:
        run: a model folder with features and folds.
        members: members wanted. Those that the run does not have are left out.
        member_refits: member → its `refits`, if they exist already.
        n_clips: clips of each fold that are explained.
        n_background: training clips of each fold that give the values of absent columns.
        seed: draws both.

    Returns:
        One row per member: `mean, low, high` (the mean and the range of Spearman's correlation over pairs of
            folds, in
        [-1, 1]) and `n_folds`. Empty without features, or with fewer than two folds.
    """
    existing = member_refits or {}
    rankings = {}
    for name in members:
        if name in run.members:
            rankings[name] = fold_rankings(
                run,
                name,
                fold_refits=existing.get(name),
                n_clips=n_clips,
                n_background=n_background,
                seed=seed,
            )
    return agreements(rankings)


def agreements(rankings: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The agreement of each member's rankings, as the table that `fold_stability` gives.

    Args:
        rankings: member → `importance_by_fold`. Members with fewer than two folds are left out.

    Returns:
        One row per member: `mean, low, high, n_folds`.
    """
    rows = {}
    for name, ranking in rankings.items():
        if ranking.shape[1] > 1:
            rows[name] = agreement(ranking)
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["mean", "low", "high", "n_folds"])
    return table.astype({"n_folds": int})


def agreement(rankings: pd.DataFrame) -> tuple[float, float, float, int]:
    """Spearman correlation between the columns of a table: mean, least and greatest over all pairs.

    A fold in which all rows are equal has no ranking; its correlation with any other fold counts as 0.

    Args:
        rankings: one row per feature column, one column per fold, at least two folds.

    Returns:
        Mean, least, greatest (each rounded to 3 decimals), and the number of folds.

    Example:
        >>> folds = {"fold 0": [3.0, 2.0, 1.0], "fold 1": [9.0, 4.0, 1.0], "fold 2": [3.0, 1.0, 2.0]}
        >>> agreement(pd.DataFrame(folds))
        (0.667, 0.5, 1.0, 3)
    """
    n_folds = rankings.shape[1]
    is_flat = [rankings.iloc[:, k].nunique() < 2 for k in range(n_folds)]
    correlations = []
    for a, b in combinations(range(n_folds), 2):
        if is_flat[a] or is_flat[b]:
            correlations.append(0.0)
        else:
            result = spearmanr(rankings.iloc[:, a], rankings.iloc[:, b])
            correlations.append(float(result.statistic))
    mean = round(float(np.mean(correlations)), 3)
    low = round(min(correlations), 3)
    high = round(max(correlations), 3)
    return mean, low, high, n_folds


def fold_rankings(
    run: Run,
    name: str,
    *,
    fold_refits: Sequence[Refit] | None = None,
    n_clips: int = 40,
    n_background: int = 16,
    seed: int = 0,
) -> pd.DataFrame:
    """The importance of every column in every fold.

    Args:
        run: a model folder with features and folds.
        name: a member of the run.
        fold_refits: its `refits`, if they exist already.
        n_clips: clips of each fold that are explained.
        n_background: training clips of each fold that give the values of absent columns.
        seed: draws both.

    Returns:
        One row per column of the run, one column `fold k` per fold; 0 for a column that the member of the
        fold does not use. Empty if there are no features, no folds, or no exact SHAP values for the member.
    """
    if split_name(name)[0] not in SPACES:
        return pd.DataFrame()
    rng = np.random.default_rng(seed)
    explanations = {}
    for refit in refits(run, name) if fold_refits is None else fold_refits:
        clips = rng.permutation(refit.held_out)[:n_clips]
        others = rng.permutation(refit.train)[:n_background]
        rows = run.values.loc[clips]
        background = run.values.loc[others]
        explanations[refit.fold] = explain(refit.member, rows, background)
    return importance_by_fold(explanations, run.values.columns)


def importance_by_fold(explanations: Mapping[int, ColumnValues], columns: Iterable[str]) -> pd.DataFrame:
    """The importance of every column in every fold.

    Args:
        explanations: fold → explanation.
        columns: all columns of the run.

    Returns:
        One row per column, one column `fold k` per fold; 0 for a column that the member of the fold does not
        use. Empty if there are no explanations.
    """
    if not explanations:
        return pd.DataFrame()
    importance = {
        f"fold {fold}": column_importance(explanation)[TOTAL] for fold, explanation in explanations.items()
    }
    return pd.DataFrame(importance).reindex(list(columns)).fillna(0.0)
