"""Explanation of a run: SHAP values of every table member, and of the ensemble, on clips that no member was
fitted on.

In: a model folder with features (`Run`). Out: `RunExplanation`, with one `MemberExplanation` per table
member. The pages in `quintet.reports` draw them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
import pandas as pd

from quintet.classifiers.registry import reads_table
from quintet.classifiers.views import split_name
from quintet.explanation.assembly import (
    Assembly,
    Part,
    assemble,
    background_ids,
    draw_rows,
    has_weight,
    training_ids,
)
from quintet.explanation.contracts import ColumnValues
from quintet.explanation.ensemble import (
    ColumnExplanation,
    EnsembleExplanation,
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
from quintet.explanation.permutation import correlation_groups
from quintet.explanation.refits import Refit, distance_from_training, fitting_seconds, refits
from quintet.explanation.stability import (
    CHEAP_MEMBERS,
    agreements,
    fold_stability,
    importance_by_fold,
    stored_rankings,
)
from quintet.files.notices import announce
from quintet.model_folder.run import Run

if TYPE_CHECKING:
    from quintet.classifiers.tabular.members import TableMember
    from quintet.frozen.table_member import ArrayMember

MAX_CLIPS, MAX_BACKGROUND = 120, 16
"""Most clips that are explained, and most training clips that give the values of absent columns.

Means settle long before; the time would not.
"""
MAX_SECONDS = 300.0
"""Longest time in training for which members are fitted again for every fold."""
MAX_COLUMNS = 16
"""Most columns whose value in the ensemble is measured."""


@dataclass(frozen=True)
class MemberExplanation:
    """SHAP values of one member, and what follows from them.

    Args:
        name: the member.
        explanation: SHAP values of all explained clips.
        columns: mean |SHAP value| by column, see `column_importance`.
        families: mean |SHAP value| by family, see `family_importance`.
        residual: largest difference between the sum of the values and the output; 0 is exact.
        stability: rank correlation of the columns between halves of the clips, see `ranking_stability`.
        space: the quantity that the values add up to, in words.
        by_fold: importance of the columns in each fold, if clips were explained out of fold.
    """

    name: str
    explanation: ColumnValues
    columns: pd.DataFrame
    families: pd.DataFrame
    residual: float
    stability: float
    space: str
    by_fold: pd.DataFrame


@dataclass(frozen=True)
class RunExplanation:
    """Explanations of all table members on the same clips, which no member was fitted on.

    Args:
        members: name → explanation.
        reasons: name → why the member is not explained.
        rows: features of the explained clips.
        background: features of training clips that give the values of absent columns.
        game: values of families in the ensemble; None if a part of the ensemble is missing.
        column_game: values of columns in the ensemble; None likewise.
        family_permutation: permutation importance of families; None likewise.
        column_permutation: permutation importance of columns; None likewise.
        folds: stability of the rankings between folds, see `fold_stability`.
        distance: None if there is a held-out part. Otherwise clips are explained out of fold by members that
            were fitted again, and this is the largest difference between their predictions and those of the
            training run.
        shares: member → its share of the weights of the ensemble, for all members of the run.
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
    shares: Mapping[str, float] = field(default_factory=dict)

    @property
    def main(self) -> MemberExplanation:
        """The explained member with the largest weight in the ensemble."""
        return max(self.members.values(), key=lambda member: self.share(member.name))

    def share(self, name: str) -> float:
        """Share of a member in the weights of the ensemble; 0 if the rule does not use it."""
        return float(self.shares.get(name, 0.0))

    @property
    def columns(self) -> pd.DataFrame:
        """Share of each column in the importance of each member; the shares of a member sum to 1.

        Rows are columns, ordered by the mean of the shares, weighted as the members are in the ensemble.
        """
        shares = {}
        for name, member in self.members.items():
            sizes = member.columns[TOTAL]
            shares[name] = sizes / max(float(sizes.sum()), 1e-300)
        table = pd.DataFrame(shares).fillna(0.0)
        order = self.weighted_mean(table).sort_values(ascending=False, kind="stable").index
        return table.loc[order]

    def weighted_mean(self, table: pd.DataFrame) -> pd.Series:
        """Mean over the members of a table, weighted as the members are in the ensemble.

        Args:
            table: one column per explained member.
        """
        weights = np.array([self.share(name) for name in table.columns])
        if not weights.sum() > 0:
            return table.mean(axis=1)
        return pd.Series(table.to_numpy() @ weights / weights.sum(), index=table.index)


class _Material(NamedTuple):
    """What `explain_run` explains: parts, reasons for members left out, stability and distance."""

    parts: list[Part]
    reasons: dict[str, str]
    folds: pd.DataFrame
    distance: float | None


def explain_run(run: Run, *, seed: int = 0, full: bool = False) -> RunExplanation:
    """SHAP values of the run's table members, and of the ensemble, on clips that no member was fitted on.

    These are the held-out clips, explained by the final members. If there are none, every training clip is
    explained by members that are fitted again without its fold: those that gave its out-of-fold predictions.

    Args:
        run: a model folder with features.
        seed: draws the clips if there are more than `MAX_CLIPS`, and the background.
        full: whether to explain members with little weight (`assembly.has_weight`), too.

    Returns:
        The explanation; without members if the run has no features or no fitted table members.
    """
    tables = tuple(name for name in run.members if reads_table(name))
    reasons = {name: "works on spectrograms, not on columns" for name in run.members if name not in tables}
    if run.values.empty or run.values.shape[1] == 0:
        reasons |= dict.fromkeys(tables, "the model folder has no features")
        return RunExplanation({}, reasons, run.values, run.values)
    gather = _held_out_material if run.part == "test" else _fold_material
    material = gather(run, tables, seed)
    reasons |= material.reasons
    parts, folds = material.parts, material.folds
    if not parts:
        no_rows = run.values.iloc[:0]
        return RunExplanation({}, reasons, no_rows, no_rows, folds=folds)
    rng = np.random.default_rng(seed)
    clips_per_part = ceil(MAX_CLIPS / len(parts))
    samples = [replace(part, rows=draw_rows(part.rows, clips_per_part, rng)) for part in parts]
    chosen, light = _decisive_members(run, list(parts[0].members), full=full)
    reasons |= light
    members = {name: explain_member(run, name, samples) for name in chosen}
    if len(parts) > 1:
        folds = agreements({name: member.by_fold for name, member in members.items()})
    explanation = RunExplanation(
        members=members,
        reasons=reasons,
        rows=pd.concat([sample.rows for sample in samples]),
        background=parts[0].background,
        folds=folds,
        distance=material.distance,
        shares=run.member_shares,
    )
    return _add_ensemble(run, explanation, parts, seed)


def _decisive_members(run: Run, names: Sequence[str], *, full: bool) -> tuple[list[str], dict[str, str]]:
    """The members that are explained by themselves, the largest weight first, and why others are not.

    Args:
        run: a model folder.
        names: fitted table members.
        full: whether to keep members with a small share of the weights. Without any other they are kept, too.
    """
    shares = run.member_shares
    ordered = sorted(names, key=lambda name: -shares.get(name, 0.0))
    heavy = [name for name in ordered if has_weight(run, name)]
    if full or not heavy:
        return ordered, {}
    reasons = {}
    for name in ordered:
        if name not in heavy:
            reasons[name] = f"its weight in the ensemble is {shares.get(name, 0.0):.2f}; `--full` explains it"
    return heavy, reasons


def _held_out_material(run: Run, tables: Sequence[str], seed: int) -> _Material:
    """The held-out clips with the final members, and the stability of the cheap members between folds."""
    has_folds = (run.results.split.n_folds or 0) != 1
    cheap = [name for name in tables if has_folds and split_name(name)[0] in CHEAP_MEMBERS]
    folds = _stability(run, cheap, seed)
    reasons = {}
    for name in tables:
        if not run.has_member(name):
            reasons[name] = "its folder is not there"
    parts = held_out_parts(run, [name for name in tables if name not in reasons], seed)
    return _Material(parts, reasons, folds, None)


def _stability(run: Run, names: Sequence[str], seed: int) -> pd.DataFrame:
    """Agreement of the rankings between folds: as training kept them, or of members that are fitted again."""
    rankings = stored_rankings(run, names) if seed == 0 else {}
    member_refits: dict[str, list[Refit]] = {}
    others = [name for name in names if name not in rankings]
    if others:
        announce(
            "The model folder must hold the importance of columns by fold, or members are fitted again. "
            f"It has none for {', '.join(others)}. Train again, and reports take less time."
        )
        member_refits, _ = _refit_members(run, others)
    known = [name for name in names if name in rankings or name in member_refits]
    return fold_stability(run, members=known, member_refits=member_refits, rankings=rankings, seed=seed)


def _fold_material(run: Run, tables: Sequence[str], seed: int) -> _Material:
    """The training clips, fold by fold, with members that are fitted again without the fold."""
    member_refits, reasons = _refit_members(run, tables)
    parts = fold_parts(run, member_refits, seed)
    distances = [
        distance_from_training(run, name, refit) for name, own in member_refits.items() for refit in own
    ]
    return _Material(parts, reasons, pd.DataFrame(), max(distances, default=None))


def explain_member(run: Run, name: str, parts: Sequence[Part]) -> MemberExplanation:
    """SHAP values of a member on the clips of some parts.

    The clips of a group stay together when the stability of the ranking is measured on halves.

    Args:
        run: a model folder.
        name: a member of all parts.
        parts: clips and members.
    """
    tags = run.classes if run.multilabel else None
    explanations = [explain(part.members[name], part.rows, part.background, tags=tags) for part in parts]
    residuals, by_fold = [], {}
    for explanation, part in zip(explanations, parts, strict=True):
        output = outputs(part.members[name], part.rows)
        residuals.append(additivity_residual(explanation, output))
        if part.fold is not None:
            by_fold[part.fold] = explanation
    columns = [str(column) for column in run.values.columns]
    whole = concatenate_explanations(explanations, columns)
    ids = [str(clip) for part in parts for clip in part.rows.index]
    groups = run.report_predictions.take(ids).units
    return MemberExplanation(
        name=name,
        explanation=whole,
        columns=column_importance(whole),
        families=family_importance(whole),
        residual=max(residuals),
        stability=ranking_stability(whole, groups),
        space=value_space(name, multilabel=run.multilabel),
        by_fold=importance_by_fold(by_fold, columns),
    )


def _add_ensemble(run: Run, explanation: RunExplanation, parts: Sequence[Part], seed: int) -> RunExplanation:
    """The explanation with the values of families and columns in the ensemble, if every member is present."""
    assemblies: list[Assembly] = []
    for part in parts:
        assembly = assemble(run, part)
        if assembly is not None and len(assembly.rows):
            assemblies.append(assembly)
    if not assemblies:
        return explanation
    top_columns = [str(name) for name in explanation.columns.index[:MAX_COLUMNS]]
    columns = correlation_groups(run.values.loc[training_ids(run)], top_columns)
    by_family = family_players(run, assemblies[0])
    return replace(
        explanation,
        game=explain_ensemble(run, assemblies, seed=seed),
        column_game=explain_columns(run, assemblies, columns, seed=seed),
        family_permutation=ensemble_permutation(run, assemblies, by_family, seed=seed),
        column_permutation=ensemble_permutation(run, assemblies, columns, seed=seed),
    )


def _refit_members(run: Run, names: Sequence[str]) -> tuple[dict[str, list[Refit]], dict[str, str]]:
    """Fit members again on every fold, the quickest first, until the time is used up.

    Returns the refits of each member, and the reasons why others have none.
    """
    results: dict[str, list[Refit]] = {}
    reasons: dict[str, str] = {}
    seconds = {name: fitting_seconds(run, name) for name in names}
    total = 0.0
    for name in sorted(names, key=lambda name: seconds[name]):
        total += seconds[name]
        if total > MAX_SECONDS:
            reasons[name] = (
                "there is no held-out part, and fitting it again for every fold would take about "
                f"{seconds[name] / 60:.0f} min"
            )
            continue
        member_refits = list(refits(run, name))
        if member_refits:
            results[name] = member_refits
        else:
            reasons[name] = "there is no held-out part, and there are no folds to fit it again on"
    return {name: results[name] for name in names if name in results}, reasons


def held_out_parts(run: Run, names: Sequence[str], seed: int) -> list[Part]:
    """The held-out clips with the final members.

    Args:
        run: a model folder.
        names: table members whose folders exist.
        seed: draws the background.

    Returns:
        One part; none if there are no members or no held-out clips with features.
    """
    predicted = pd.Index(run.report_predictions.clip_ids)
    held_out = run.values.index.intersection(predicted, sort=False)
    train = run.values.loc[background_ids(run)]
    background = draw_rows(train, MAX_BACKGROUND, np.random.default_rng(seed))
    members: dict[str, TableMember | ArrayMember] = {}
    frozen = run.frozen_tables
    for name in names:
        members[name] = frozen.get(name) or cast("TableMember", run.load_member(name))
    if not members or not len(held_out):
        return []
    return [Part(members, run.values.loc[held_out], background)]


def fold_parts(run: Run, member_refits: Mapping[str, Sequence[Refit]], seed: int) -> list[Part]:
    """The clips of every fold, with the members that were fitted again without them.

    Args:
        run: a model folder.
        member_refits: member → its refits, all with the same folds.
        seed: draws the backgrounds.

    Returns:
        One part per fold.
    """
    rng = np.random.default_rng(seed)
    parts = []
    for fold_refits in zip(*member_refits.values(), strict=True):
        first = fold_refits[0]
        train = run.values.loc[first.train]
        fitted = [refit.member for refit in fold_refits]
        part = Part(
            members=dict(zip(member_refits, fitted, strict=True)),
            rows=run.values.loc[first.held_out],
            background=draw_rows(train, MAX_BACKGROUND, rng),
            fold=first.fold,
        )
        parts.append(part)
    return parts
