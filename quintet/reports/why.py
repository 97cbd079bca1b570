"""What a report computes to say why: SHAP values of every table member on held-out clips."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quintet.classifiers.storage import load_member
from quintet.reports.importance import SPACES, additivity_residual, column_importance, explain, family_importance, outputs, ranking_stability
from quintet.reports.permutation import correlated_groups
from quintet.reports.run import Run
from quintet.reports.whole import TABLE_MEMBERS, ColumnWhy, GameWhy, assemble, draw, family_players, play, sample, shuffle

if TYPE_CHECKING:
    import shap

MAX_CLIPS, MAX_BACKGROUND = 120, 16
"""A report explains at most so many held-out clips, against so many training clips: means settle long before, minutes do not."""


@dataclass(frozen=True)
class MemberWhy:
    """One member explained: its SHAP values, their means by column and by family, how far they are from adding up, and how firm
    the ranking of the columns is (`ranking_stability`)."""

    name: str
    explanation: shap.Explanation
    columns: pd.DataFrame
    families: pd.DataFrame
    residual: float
    stability: float

    @property
    def space(self) -> str:
        """What the values add up to."""
        return SPACES[self.name]


@dataclass(frozen=True)
class Why:
    """Every table member explained on the same held-out clips. `reasons`: member → why it could not be."""

    members: Mapping[str, MemberWhy]
    reasons: Mapping[str, str]
    rows: pd.DataFrame
    background: pd.DataFrame
    game: GameWhy | None = None
    sampled: ColumnWhy | None = None
    lost_families: pd.DataFrame | None = None
    lost_columns: pd.DataFrame | None = None

    @property
    def main(self) -> MemberWhy:
        """The member whose importance the page shows in full: XGBoost where it takes part."""
        return self.members.get("xgboost") or next(iter(self.members.values()))

    @property
    def columns(self) -> pd.DataFrame:
        """Share of each column in each member's importance: rows are columns, largest mean first; a member's shares sum to 1."""
        shares = {name: why.columns["all"] / max(float(why.columns["all"].sum()), 1e-300) for name, why in self.members.items()}
        table = pd.DataFrame(shares).fillna(0.0)
        return table.loc[table.mean(axis=1).sort_values(ascending=False, kind="stable").index]


def explain_run(run: Run, *, seed: int = 0) -> Why:
    """SHAP values of the run's table members on its held-out clips (out-of-fold clips are never explained: the final members were fitted on them).

    Args:
        run: a model folder with features, and with a held-out part.
        seed: draws the clips where there are more than `MAX_CLIPS`, and the background.
    """
    reasons = {name: "works on spectrograms, not on columns" for name in run.members if name not in TABLE_MEMBERS}
    rows, background = _rows(run, seed)
    tables: dict[str, Any] = {}
    for name in (n for n in run.members if n in TABLE_MEMBERS):
        folder = run.path / "members" / name
        if run.multilabel:
            reasons[name] = "label sets: columns are explained for single labels only"
        elif not len(rows):
            reasons[name] = "there are no held-out clips with features"
        elif not folder.is_dir():
            reasons[name] = "its folder is not there"
        else:
            tables[name] = load_member(folder)
    some = draw(rows, MAX_CLIPS, np.random.default_rng(seed))
    members = {name: explain_member(name, member, some, background, _groups(run, some)) for name, member in tables.items()}
    why = Why(members, reasons, some, background)
    assembly = assemble(run, tables) if tables else None
    if assembly is None:
        return why
    labelled = rows.loc[rows.index.intersection(pd.Index(run.held_out.clip_ids[run.held_out.scorable]), sort=False)]
    train = run.values.loc[run.values.index.intersection(pd.Index(run.split.loc[run.split["part"] == "train", "id"]), sort=False)]
    columns = correlated_groups(train, [str(name) for name in why.columns.index[:16]])
    return replace(
        why,
        game=play(run, assembly, labelled, background, seed=seed),
        sampled=sample(run, assembly, labelled, background, columns, seed=seed),
        lost_families=shuffle(run, assembly, labelled, family_players(run, assembly), seed=seed),
        lost_columns=shuffle(run, assembly, labelled, columns, seed=seed),
    )


def explain_member(name: str, member: Any, rows: pd.DataFrame, background: pd.DataFrame, groups: NDArray[Any]) -> MemberWhy:
    """A member explained on `rows`, whose `groups` (n,) stay together where the ranking is tried on halves."""
    explanation = explain(member, rows, background)
    residual, stability = additivity_residual(explanation, outputs(member, rows)), ranking_stability(explanation, groups)
    return MemberWhy(name, explanation, column_importance(explanation), family_importance(explanation), residual, stability)


def _groups(run: Run, rows: pd.DataFrame) -> NDArray[Any]:
    """The group of each row; its own id where groups are unknown."""
    p = run.held_out.take(list(rows.index))
    return p.clip_ids if p.groups is None else p.groups


def _rows(run: Run, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    if run.values.empty or run.part != "test":
        return run.values.iloc[:0], run.values.iloc[:0]
    rng = np.random.default_rng(seed)
    held_out = run.values.index.intersection(pd.Index(run.held_out.clip_ids), sort=False)
    train = run.values.index.intersection(pd.Index(run.split.loc[run.split["part"] == "train", "id"]), sort=False)
    return run.values.loc[held_out], draw(run.values.loc[train], MAX_BACKGROUND, rng)
