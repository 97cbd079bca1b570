"""Stability of the ranking of columns between folds.

Each member is fitted again on the training clips of each fold, explained, and the rankings of the columns are
compared.

In: a run with features and folds. Out: a table of rank correlations, one row per member.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quintet.classifiers.member import Member
from quintet.classifiers.views import split_name
from quintet.ensemble.array_types import Folds
from quintet.explanation.contracts import ColumnValues
from quintet.explanation.importance import SPACES, TOTAL, column_importance, explain
from quintet.explanation.refits import Refit, refits
from quintet.model_folder.run import Run

if TYPE_CHECKING:
    from quintet.classifiers.tabular.members import TableMember

CHEAP_MEMBERS = ("logistic_regression", "random_forest", "xgboost")
"""Members that are fitted and explained in seconds per fold. The exact values of an SVM would cost minutes
per fold."""
N_CLIPS, N_BACKGROUND = 40, 16
"""Clips of each fold that are explained, and training clips that give the values of absent columns."""


def fold_stability(
    run: Run,
    *,
    members: Sequence[str] = CHEAP_MEMBERS,
    member_refits: Mapping[str, Sequence[Refit]] | None = None,
    rankings: Mapping[str, pd.DataFrame] | None = None,
    n_clips: int = N_CLIPS,
    n_background: int = N_BACKGROUND,
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
        rankings: member → its `fold_rankings`, if they exist already (`stored_rankings`).
        n_clips: clips of each fold that are explained.
        n_background: training clips of each fold that give the values of absent columns.
        seed: draws both.

    Returns:
        One row per member: `mean, low, high` (the mean and the range of Spearman's correlation over pairs of
            folds, in
        [-1, 1]) and `n_folds`. Empty without features, or with fewer than two folds.
    """
    existing = member_refits or {}
    known = rankings or {}
    by_member = {name: known[name] for name in members if name in known}
    for name in members:
        if name in run.members and name not in known:
            by_member[name] = fold_rankings(
                run,
                name,
                fold_refits=existing.get(name),
                n_clips=n_clips,
                n_background=n_background,
                seed=seed,
            )
    return agreements({name: by_member[name] for name in members if name in by_member})


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
            first, second = rankings.iloc[:, a].rank(), rankings.iloc[:, b].rank()
            correlations.append(float(np.corrcoef(first, second)[0, 1]))
    mean = round(float(np.mean(correlations)), 3)
    low = round(min(correlations), 3)
    high = round(max(correlations), 3)
    return mean, low, high, n_folds


def fold_rankings(
    run: Run,
    name: str,
    *,
    fold_refits: Sequence[Refit] | None = None,
    n_clips: int = N_CLIPS,
    n_background: int = N_BACKGROUND,
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
    own = list(refits(run, name) if fold_refits is None else fold_refits)
    parts = [(refit.held_out, refit.train) for refit in own]
    samples = draw_samples(parts, n_clips=n_clips, n_background=n_background, seed=seed)
    explanations = {}
    for refit, (clips, others) in zip(own, samples, strict=True):
        explanations[refit.fold] = explain(refit.member, run.values.loc[clips], run.values.loc[others])
    return importance_by_fold(explanations, run.values.columns)


def draw_samples(
    parts: Sequence[tuple[pd.Index, pd.Index]],
    *,
    n_clips: int = N_CLIPS,
    n_background: int = N_BACKGROUND,
    seed: int = 0,
) -> list[tuple[pd.Index, pd.Index]]:
    """Clips of each fold that are explained, and training clips that give the values of absent columns.

    Args:
        parts: per fold, the ids of the clips that it holds out, and those of its training clips.
        n_clips: most clips that are explained.
        n_background: most training clips.
        seed: draws both.
    """
    rng = np.random.default_rng(seed)
    samples = []
    for held_out, train in parts:
        clips = rng.permutation(np.asarray(held_out, dtype=object))[:n_clips]
        others = rng.permutation(np.asarray(train, dtype=object))[:n_background]
        samples.append((pd.Index(clips), pd.Index(others)))
    return samples


@dataclass(frozen=True)
class FoldRanker:
    """Computes the importance of the columns where the member of a fold is fitted, as `fold_rankings` does.

    Args:
        samples: per fold, the clips that are explained and the background (`draw_samples`).

    Example:
        >>> ids = pd.Index(["a", "b", "c", "d"])
        >>> ranker = FoldRanker.from_folds(ids, [(np.array([0, 1]), np.array([2, 3]))])
        >>> sorted(ranker.samples[0][0]), sorted(ranker.samples[0][1])
        (['c', 'd'], ['a', 'b'])
    """

    samples: Sequence[tuple[pd.Index, pd.Index]]

    @classmethod
    def from_folds(cls, ids: pd.Index, folds: Folds) -> FoldRanker:
        """For the folds of a run.

        Args:
            ids: of the training clips, in their order.
            folds: per fold, the positions of its training clips and of those that it holds out.
        """
        return cls(draw_samples([(ids[held_out], ids[train]) for train, held_out in folds]))

    def __call__(
        self, member: str, fold: int, estimator: Member, table: pd.DataFrame
    ) -> NDArray[np.float64] | None:
        """Importance of the columns, `(d,)`; None for a member that is not in `CHEAP_MEMBERS`.

        Args:
            member: its name.
            fold: number of the fold.
            estimator: fitted on the training clips of the fold.
            table: the features of all training clips, indexed by id.
        """
        if split_name(member)[0] not in CHEAP_MEMBERS:
            return None
        clips, others = self.samples[fold]
        explanation = explain(cast("TableMember", estimator), table.loc[clips], table.loc[others])
        return importance_by_fold({fold: explanation}, table.columns)[f"fold {fold}"].to_numpy(np.float64)


def stored_rankings(run: Run, members: Sequence[str]) -> dict[str, pd.DataFrame]:
    """Member → the importance of every column in every fold that training kept.

    Args:
        run: a model folder.
        members: members wanted.

    Returns:
        As `fold_rankings` with its defaults, for the members that have it.
    """
    table = run.importance
    rankings = {}
    for name in members:
        own = table[table["member"] == name] if len(table) else table
        if len(own):
            by_column = own.set_index("column").drop(columns="member").dropna(axis=1, how="all")
            rankings[name] = by_column.reindex(list(run.values.columns)).fillna(0.0)
    return rankings


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
