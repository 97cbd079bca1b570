"""What a report computes to say why: SHAP values of every table member on clips that it never saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quintet.classifiers.registry import TABLE_MEMBERS
from quintet.classifiers.storage import load_member
from quintet.explanation.ensemble import (
    ColumnExplanation,
    EnsembleExplanation,
    Part,
    assemble,
    draw_rows,
    ensemble_permutation,
    explain_columns,
    explain_ensemble,
    family_players,
)
from quintet.explanation.importance import (
    TOTAL,
    additivity_residual,
    column_importance,
    concatenate_explanations,
    explain,
    family_importance,
    outputs,
    ranking_stability,
    value_space,
)
from quintet.explanation.permutation import correlated_groups
from quintet.explanation.refits import Refit, distance_from_training, fitting_seconds, refits
from quintet.explanation.stability import CHEAP_MEMBERS, agreements, fold_stability, importance_by_fold
from quintet.model_folder.run import Run

if TYPE_CHECKING:
    import shap

MAX_CLIPS, MAX_BACKGROUND = 120, 16
"""A report explains at most so many held-out clips, against so many training clips: means settle long before, minutes do not."""
MAX_SECONDS = 300.0
"""Members are fitted again, to compare folds or for want of a held-out part, as long as this took no longer in training."""


@dataclass(frozen=True)
class MemberExplanation:
    """One member explained: its SHAP values, their means by column and by family, how far they are from adding up, how firm the ranking of
    the columns is (`ranking_stability`), in which `space` the values are, and the columns' importance `by_fold` where clips were explained so."""

    name: str
    explanation: shap.Explanation
    columns: pd.DataFrame
    families: pd.DataFrame
    residual: float
    stability: float
    space: str
    by_fold: pd.DataFrame


@dataclass(frozen=True)
class RunExplanation:
    """Every table member explained on the same clips that it never saw.

    `reasons`: member → why it could not be. `folds`: `fold_stability`. `distance`: None where there is a held-out part; otherwise clips were
    explained out of fold by members fitted again, whose predictions are at most so far from those of the training run.
    """

    members: Mapping[str, MemberExplanation]
    reasons: Mapping[str, str]
    rows: pd.DataFrame
    background: pd.DataFrame
    game: EnsembleExplanation | None = None
    column_game: ColumnExplanation | None = None
    family_permutation: pd.DataFrame | None = None
    column_permutation: pd.DataFrame | None = None
    folds: pd.DataFrame = field(default_factory=pd.DataFrame)
    distance: float | None = None

    @property
    def main(self) -> MemberExplanation:
        """The member whose importance the page shows in full: XGBoost where it takes part."""
        return self.members.get("xgboost") or next(iter(self.members.values()))

    @property
    def columns(self) -> pd.DataFrame:
        """Share of each column in each member's importance: rows are columns, largest mean first; a member's shares sum to 1."""
        shares = {
            name: why.columns[TOTAL] / max(float(why.columns[TOTAL].sum()), 1e-300)
            for name, why in self.members.items()
        }
        table = pd.DataFrame(shares).fillna(0.0)
        return table.loc[table.mean(axis=1).sort_values(ascending=False, kind="stable").index]


def explain_run(run: Run, *, seed: int = 0) -> RunExplanation:
    """SHAP values of the run's table members, and the game of the whole ensemble, on clips that no member was fitted on.

    These are the held-out clips, explained by the final members. Where there are none, every training clip is explained by members that are fitted
    again without its fold: those that gave its out-of-fold predictions.

    Args:
        run: a model folder with features.
        seed: draws the clips where there are more than `MAX_CLIPS`, and the background.
    """
    reasons = {
        name: "works on spectrograms, not on columns" for name in run.members if name not in TABLE_MEMBERS
    }
    tables = tuple(name for name in run.members if name in TABLE_MEMBERS)
    if run.values.empty or run.values.shape[1] == 0:
        return RunExplanation(
            {}, reasons | dict.fromkeys(tables, "the model folder has no features"), run.values, run.values
        )
    again, late = _fitted_again(
        run, tables if run.part == "oof" else tuple(name for name in tables if name in CHEAP_MEMBERS)
    )
    folds = (
        fold_stability(run, members=tuple(again), known=again, seed=seed)
        if run.part == "test"
        else pd.DataFrame()
    )
    if run.part == "test":
        reasons |= {
            name: "its folder is not there" for name in tables if not (run.path / "members" / name).is_dir()
        }
        parts, distance = held_out_parts(run, [name for name in tables if name not in reasons], seed), None
    else:
        reasons |= late
        parts = fold_parts(run, again, seed)
        distance = max(
            (distance_from_training(run, name, refit) for name, of in again.items() for refit in of),
            default=None,
        )
    if not parts:
        return RunExplanation({}, reasons, run.values.iloc[:0], run.values.iloc[:0], folds=folds)
    rng = np.random.default_rng(seed)
    some = [replace(part, rows=draw_rows(part.rows, -(-MAX_CLIPS // len(parts)), rng)) for part in parts]
    members = {name: explain_member(run, name, some) for name in parts[0].members}
    if len(parts) > 1:
        folds = agreements({name: member.by_fold for name, member in members.items()})
    why = RunExplanation(
        members,
        reasons,
        pd.concat([part.rows for part in some]),
        parts[0].background,
        folds=folds,
        distance=distance,
    )
    return _whole(run, why, parts, seed)


def explain_member(run: Run, name: str, parts: Sequence[Part]) -> MemberExplanation:
    """A member explained on the clips of some parts; clips of one group stay together where the ranking is tried on halves."""
    tags = run.classes if run.multilabel else None
    found = [explain(part.members[name], part.rows, part.background, tags=tags) for part in parts]
    residual = max(
        additivity_residual(e, outputs(part.members[name], part.rows))
        for e, part in zip(found, parts, strict=True)
    )
    columns = [str(column) for column in run.values.columns]
    by_fold = importance_by_fold(
        {part.fold: e for e, part in zip(found, parts, strict=True) if part.fold is not None}, columns
    )
    explanation = concatenate_explanations(found, columns)
    stability = ranking_stability(
        explanation, _groups(run, [str(clip) for part in parts for clip in part.rows.index])
    )
    space = value_space(name, multilabel=run.multilabel)
    return MemberExplanation(
        name,
        explanation,
        column_importance(explanation),
        family_importance(explanation),
        residual,
        stability,
        space,
        by_fold,
    )


def _whole(run: Run, why: RunExplanation, parts: Sequence[Part], seed: int) -> RunExplanation:
    """With the ensemble's game, and what is lost without its players, where every member is at hand."""
    assemblies = [
        assembly for part in parts if (assembly := assemble(run, part)) is not None and len(assembly.rows)
    ]
    if not assemblies:
        return why
    train = run.values.loc[
        run.values.index.intersection(pd.Index(run.split.loc[run.split["part"] == "train", "id"]), sort=False)
    ]
    columns = correlated_groups(train, [str(name) for name in why.columns.index[:16]])
    return replace(
        why,
        game=explain_ensemble(run, assemblies, seed=seed),
        column_game=explain_columns(run, assemblies, columns, seed=seed),
        family_permutation=ensemble_permutation(
            run, assemblies, family_players(run, assemblies[0]), seed=seed
        ),
        column_permutation=ensemble_permutation(run, assemblies, columns, seed=seed),
    )


def _fitted_again(run: Run, names: Sequence[str]) -> tuple[dict[str, list[Refit]], dict[str, str]]:
    """Members fitted again on every fold, the quickest first, as far as time allows; and why others were not."""
    found: dict[str, list[Refit]] = {}
    reasons: dict[str, str] = {}
    spent = 0.0
    for name in sorted(names, key=lambda name: fitting_seconds(run, name)):
        spent += fitting_seconds(run, name)
        if spent > MAX_SECONDS:
            reasons[name] = (
                f"there is no held-out part, and to fit it again for every fold would take about {fitting_seconds(run, name) / 60:.0f} min"
            )
        elif of := list(refits(run, name)):
            found[name] = of
        else:
            reasons[name] = "there is no held-out part, and there are no folds to fit it again on"
    return {name: found[name] for name in names if name in found}, reasons


def held_out_parts(run: Run, names: Sequence[str], seed: int) -> list[Part]:
    """The held-out clips, and the final members."""
    held_out = run.values.index.intersection(pd.Index(run.report_predictions.clip_ids), sort=False)
    train = run.values.index.intersection(
        pd.Index(run.split.loc[run.split["part"] == "train", "id"]), sort=False
    )
    background = draw_rows(run.values.loc[train], MAX_BACKGROUND, np.random.default_rng(seed))
    members = {name: load_member(run.path / "members" / name) for name in names}
    return [Part(members, run.values.loc[held_out], background)] if members and len(held_out) else []


def fold_parts(run: Run, again: Mapping[str, Sequence[Refit]], seed: int) -> list[Part]:
    """Every fold's clips, and the members that were fitted again without them."""
    rng, parts = np.random.default_rng(seed), []
    for of in zip(*again.values(), strict=True):
        background = draw_rows(run.values.loc[of[0].train], MAX_BACKGROUND, rng)
        members: dict[str, Any] = {name: refit.member for name, refit in zip(again, of, strict=True)}
        parts.append(Part(members, run.values.loc[of[0].held_out], background, of[0].fold))
    return parts


def _groups(run: Run, clips: Sequence[str]) -> NDArray[Any]:
    """The group of each clip; its own id where groups are unknown."""
    p = run.report_predictions.take(list(clips))
    return p.units
