"""What a report computes to say why the ensemble as a whole says what it says: its game of families, and what is lost without each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quintet.classifiers.registry import TABLE_MEMBERS
from quintet.ensemble.calibration import Calibration
from quintet.ensemble.fusion import Fusion, LabelledPredictions, fit_fusion
from quintet.evaluation.intervals import percentile_intervals
from quintet.explanation.importance import family
from quintet.explanation.permutation import combine_predictors, ensemble_predictor, permutation_importance
from quintet.explanation.shapley import family_shapley as families
from quintet.explanation.shapley import sampled_shapley as sampling
from quintet.explanation.shapley.family_shapley import (
    SPECTROGRAM,
    FamilyShapley,
    columns_by_family,
    family_shapley,
)
from quintet.explanation.shapley.sampled_shapley import SampledShapley, ensemble_game, sampled_shapley
from quintet.model_folder.run import Run
from quintet.predictions.predictions import Predictions

MAX_GAME_CLIPS, MAX_GAME_BACKGROUND = 60, 12
MAX_SHUFFLED_CLIPS = 400
MAX_SAMPLED_CLIPS, SAMPLED_PAIRS = 24, 12
MANY_CLASSES = 20
"""A report plays the game for at most so many held-out clips against so many training clips, and shuffles at most so many;
columns are sampled on at most so many clips, with so many pairs of orders each. Beyond `MANY_CLASSES` the clips become fewer as classes grow."""
KNOWN = 0.005
"""Probability beyond guessing from which on it is shared out among players; below, shares are noise divided by next to nothing."""

Array = NDArray[np.float64]
Fuse = Callable[[Array], Array]


@dataclass(frozen=True)
class Part:
    """Clips, and table members that never saw them.

    Args:
        members: name → fitted estimator. rows: (n, d) the clips. background: (m, d) clips that the members were fitted on.
        fold: the fold of the clips; None where they are the held-out part.
    """

    members: Mapping[str, Any]
    rows: pd.DataFrame
    background: pd.DataFrame
    fold: int | None = None


@dataclass(frozen=True)
class Assembly:
    """The ensemble taken apart for one `Part`: `members` (None for a network) in the order that `fuse` expects; `rows`: the part's labelled clips."""

    members: Mapping[str, Any]
    fuse: Fuse
    rows: pd.DataFrame
    background: pd.DataFrame
    part: str

    @property
    def networks(self) -> tuple[str, ...]:
        """The members that hear spectrograms."""
        return tuple(name for name, member in self.members.items() if member is None)

    def network_predictions(
        self, run: Run, rows: pd.DataFrame, background: pd.DataFrame
    ) -> dict[str, tuple[Array, Array]]:
        """What each network says of some clips and of some background clips, of which it never heard any."""
        return {
            name: (_on(run, self.part, name, rows), _on(run, "oof", name, background))
            for name in self.networks
        }


def assemble(run: Run, part: Part) -> Assembly | None:
    """The run's verdict on a part as it was given, from fitted table members; None where a piece of it is not there.

    For a fold, the fusion is learnt on the other folds' out-of-fold predictions, as in training.
    """
    rule = run.fusion.get("rules", {}).get(run.best)
    if run.rules and rule is None:
        return None
    order = tuple(rule["members"]) if rule else (run.best,)
    networks = [name for name in order if name not in part.members]
    if len(networks) == len(order) or any(name in TABLE_MEMBERS or name not in run.oof for name in networks):
        return None
    fuse = (
        _only
        if rule is None
        else Fusion.from_json(rule).apply
        if part.fold is None
        else _fusion_without(run, order, part.fold).apply
    )
    labelled = pd.Index(run.report_predictions.clip_ids[_truth(run.report_predictions).any(axis=1)])
    rows = part.rows.loc[part.rows.index.intersection(labelled, sort=False)]
    members = {name: part.members.get(name) for name in order}
    return Assembly(
        members,
        _calibrated(fuse, run.calibration),
        rows,
        part.background,
        "test" if part.fold is None else "oof",
    )


def _fusion_without(run: Run, order: Sequence[str], fold: int) -> Fusion:
    """The chosen rule, learnt on the out-of-fold predictions of the other folds."""
    split = run.split.set_index("id")["fold"]
    others = run.oof[order[0]].take([name for name in run.oof[order[0]].clip_ids if split[name] != fold])
    stack = np.stack([_probabilities(run, run.oof[name].take(others.clip_ids)) for name in order])
    y: NDArray[Any] = _truth(others).astype(np.int8) if run.multilabel else np.asarray(others.labels)
    labelled = LabelledPredictions.from_labels(stack, y, others.units, members=order, classes=run.classes)
    return fit_fusion(run.best, labelled)


@dataclass(frozen=True)
class EnsembleExplanation:
    """The ensemble explained as one game, towards what each clip is: its true class, or the mean over its tags.

    Args:
        shapley: values per clip, player and class.
        clips: indexed by id, columns `label` and `group`.
        true_class_values: (n, k) values towards what each clip is.
        steps: one row per player, largest first: `player, value, low, high` (mean over clips, 95 % bootstrap interval by group).
        base, prediction: mean probability of what the clips are when nothing, and when everything is heard.
        by_class: class × player: mean value for that class over its clips.
        n_background: clips that stand in for what is absent. background_error: the largest standard error of a step that comes from
            their being so few.
    """

    shapley: FamilyShapley
    clips: pd.DataFrame
    true_class_values: Array
    steps: pd.DataFrame
    base: float
    prediction: float
    by_class: pd.DataFrame
    n_background: int
    background_error: float

    @property
    def shares(self) -> pd.Series:
        """Player → share of what the ensemble knows beyond the base; sum 1, some perhaps negative; empty where that is less than `KNOWN`."""
        known = self.prediction - self.base
        return (
            pd.Series(dtype=float)
            if known < KNOWN
            else pd.Series(self.steps["value"].to_numpy() / known, index=self.steps["player"])
        )


@dataclass(frozen=True)
class ColumnExplanation:
    """Columns within the verdict, towards the true class: `steps` has one row per player, largest first: `player, value, low, high` (mean over clips,
    95 % by group), `standard_error` (of sampling), `mean_size` (mean absolute value). `n_background`: clips that stand in for what is absent."""

    shapley: SampledShapley
    steps: pd.DataFrame
    n_background: int


def explain_ensemble(run: Run, assemblies: Sequence[Assembly], *, seed: int = 0) -> EnsembleExplanation:
    """The ensemble as one game on the clips of all parts; a network's out-of-fold prediction stands for what it hears in a background clip."""
    rng, found = np.random.default_rng(seed), []
    for assembly in assemblies:
        rows = draw_rows(assembly.rows, _share(run, MAX_GAME_CLIPS, assemblies), rng)
        background = draw_rows(assembly.background, MAX_GAME_BACKGROUND, rng)
        players = columns_by_family([str(c) for c in rows.columns], family)
        networks = assembly.network_predictions(run, rows, background)
        found.append(
            (
                rows.index,
                family_shapley(
                    assembly.members, assembly.fuse, rows, background, players=players, networks=networks
                ),
            )
        )
    p = run.report_predictions.take([name for index, _ in found for name in index])
    return explain_true_classes(families.concatenate_clips([shapley for _, shapley in found]), p, seed=seed)


def ensemble_permutation(
    run: Run, assemblies: Sequence[Assembly], players: Mapping[str, list[str]], *, seed: int = 0
) -> pd.DataFrame:
    """`permutation_importance` of the ensemble for these players (`family_players`, or columns)."""
    rng = np.random.default_rng(seed)
    drawn = [
        draw_rows(assembly.rows, _share(run, MAX_SHUFFLED_CLIPS, assemblies), rng) for assembly in assemblies
    ]
    rows = pd.concat(drawn)
    ends = np.cumsum([0, *(len(part) for part in drawn)])
    predictors = []
    for assembly, own in zip(assemblies, (np.arange(a, b) for a, b in pairwise(ends)), strict=True):
        heard = {name: _on(run, assembly.part, name, rows) for name in assembly.networks}
        predictors.append(
            (own, ensemble_predictor(assembly.members, assembly.fuse, rows, heard, SPECTROGRAM, own=own))
        )
    p = run.report_predictions.take(list(rows.index))
    return permutation_importance(
        combine_predictors(predictors), p.indicator(), _groups(p), players, seed=seed
    )


def explain_columns(
    run: Run, assemblies: Sequence[Assembly], columns: Mapping[str, list[str]], *, seed: int = 0
) -> ColumnExplanation:
    """Columns within the verdict, by sampling: these players, the other columns of each family, and the spectrogram where networks take part."""
    rng = np.random.default_rng(seed)
    taken = {column for names in columns.values() for column in names}
    rest = columns_by_family([str(c) for c in run.values.columns if str(c) not in taken], family)
    players = dict(columns) | {
        f"{len(names)} other {name} {'columns' if len(names) > 1 else 'column'}": names
        for name, names in rest.items()
    }
    players |= {SPECTROGRAM: [SPECTROGRAM]} if assemblies[0].networks else {}
    ids: list[str] = []
    parts, n_background = [], MAX_GAME_BACKGROUND
    for assembly in assemblies:
        rows = draw_rows(assembly.rows, _share(run, MAX_SAMPLED_CLIPS, assemblies), rng)
        background = draw_rows(assembly.background, MAX_GAME_BACKGROUND, rng)
        heard, weights = (
            assembly.network_predictions(run, rows, background),
            truth_weights(run.report_predictions.take(list(rows.index))),
        )
        game = ensemble_game(
            assembly.members,
            assembly.fuse,
            rows,
            background,
            players=players,
            weights=weights,
            networks=heard,
        )
        options = {"n_clips": len(rows), "n_background": len(background), "n_pairs": SAMPLED_PAIRS}
        parts.append(sampled_shapley(game, list(players), **options, seed=seed))
        ids, n_background = ids + list(rows.index), min(n_background, len(background))
    found = sampling.concatenate_clips(parts)
    low, high = percentile_intervals(found.values, _groups(run.report_predictions.take(ids)), seed=seed)
    errors = np.sqrt((found.errors**2).sum(axis=0)) / len(ids)
    steps = pd.DataFrame(
        {"player": found.players, "value": found.values.mean(axis=0), "low": low, "high": high, "standard_error": errors,
         "mean_size": np.abs(found.values).mean(axis=0)}
    )  # fmt: skip
    return ColumnExplanation(
        found, steps.sort_values("value", ascending=False, kind="stable").reset_index(drop=True), n_background
    )


def _share(run: Run, most: int, assemblies: Sequence[Assembly]) -> int:
    """How many of at most `most` clips one part may bring."""
    return max(2, round(most * min(1.0, MANY_CLASSES / len(run.classes)) / len(assemblies)))


def family_players(run: Run, assembly: Assembly) -> dict[str, list[str]]:
    """Family → columns, and the spectrogram where networks take part."""
    players = columns_by_family([str(c) for c in run.values.columns], family)
    return players | ({SPECTROGRAM: [SPECTROGRAM]} if assembly.networks else {})


def truth_weights(p: Predictions) -> Array:
    """(n, classes): 1 for the true class; for sets an equal share for each tag of a clip; rows of 0 where nothing is known.

    Example:
        >>> p = Predictions(["x", "y"], ("jazz", "live"), np.full((2, 2), 0.5), labels=["jazz;live", "live"], multilabel=True)
        >>> truth_weights(p).tolist()
        [[0.5, 0.5], [0.0, 1.0]]
    """
    truth = _truth(p).astype(np.float64)
    return np.asarray(truth / np.maximum(truth.sum(axis=1, keepdims=True), 1.0))


def explain_true_classes(shapley: FamilyShapley, p: Predictions, *, seed: int = 0) -> EnsembleExplanation:
    """What each player adds, on average over the clips of `p`, to the probability of what they are."""
    weights, groups = truth_weights(p), _groups(p)
    own = np.einsum("nkc,nc->nk", shapley.values, weights)
    low, high = percentile_intervals(own, groups, seed=seed)
    steps = pd.DataFrame({"player": shapley.players, "value": own.mean(axis=0), "low": low, "high": high})
    steps = steps.sort_values("value", ascending=False, kind="stable").reset_index(drop=True)
    found = {
        c: shapley.values[weights[:, k] > 0, :, k].mean(axis=0)
        for k, c in enumerate(p.classes)
        if (weights[:, k] > 0).any()
    }
    by_class = pd.DataFrame.from_dict(found, orient="index", columns=list(shapley.players))[
        list(steps["player"])
    ]
    base, prediction = (
        float((values * weights).sum(axis=1).mean()) for values in (shapley.base, shapley.prediction)
    )
    against = np.einsum("nkmc,nc->km", shapley.by_background, weights) / len(weights)
    n_background = against.shape[1]
    error = (
        float(against.std(axis=1, ddof=1).max() / np.sqrt(n_background)) if n_background > 1 else float("nan")
    )
    clips = pd.DataFrame({"label": p.labels, "group": groups}, index=p.clip_ids)
    return EnsembleExplanation(shapley, clips, own, steps, base, prediction, by_class, n_background, error)


def draw_rows(frame: pd.DataFrame, limit: int, rng: np.random.Generator) -> pd.DataFrame:
    """At most `limit` rows, at random, in their order."""
    return frame if len(frame) <= limit else frame.iloc[np.sort(rng.choice(len(frame), limit, replace=False))]


def _calibrated(fuse: Fuse, calibration: Calibration | None) -> Fuse:
    return fuse if calibration is None else lambda stack: calibration.apply(fuse(stack))


def _only(stack: Array) -> Array:
    return np.asarray(stack[0])


def _on(run: Run, part: str, name: str, rows: pd.DataFrame) -> Array:
    """A network's probabilities on these clips, columns in the order of the run's classes."""
    return _probabilities(run, run.parts[part][name].take(list(rows.index)))


def _probabilities(run: Run, p: Predictions) -> Array:
    return np.asarray(p.in_classes(run.classes).probabilities, dtype=np.float64)


def _truth(p: Predictions) -> NDArray[np.bool_]:
    """(n, classes): what each clip is; rows of False where nothing is known."""
    known: NDArray[np.bool_] = p.indicator() & p.scorable[:, None]
    return known


def _groups(p: Predictions) -> NDArray[Any]:
    return p.units
