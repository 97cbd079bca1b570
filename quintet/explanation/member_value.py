"""Value of each member, from the stored predictions alone: its part in the ensemble, and its own
calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quintet.ensemble.calibration import Calibration, cross_calibrate, fit_calibration, learn_calibration
from quintet.ensemble.fusion import RULES, LabelledPredictions, fit_fusion
from quintet.ensemble.model_selection.preparation import prepare_members
from quintet.ensemble.support import LearningPlan, ValidationPart
from quintet.evaluation.comparisons import holm, metric_differences
from quintet.evaluation.intervals import Resampling
from quintet.explanation.assembly import class_probabilities, validation_plan
from quintet.explanation.contracts import Floats, Positions
from quintet.model_folder.run import Run
from quintet.predictions.predictions import Predictions

Labels = NDArray[np.str_] | NDArray[np.object_]
Target = Labels | NDArray[np.bool_]

VALUE_SCORES = ("accuracy", "macro_auc", "log_loss")
"""Scores by which the value of a member is measured, if they are defined."""


def member_values(run: Run, *, seed: int = 0, n_resamples: int = 1000) -> pd.DataFrame:
    """Scores of the ensemble prediction with all members minus its scores without one of them.

    The chosen rule and its calibration are fitted again on the out-of-fold predictions of the remaining
    members, and scored on the test part. Without a test part they are scored out of fold: fitted on all folds
    but one, and scored on that fold.

    Args:
        run: the model folder.
        seed: seed of the bootstrap.
        n_resamples: number of bootstrap resamples.

    Returns:
        One row per member and score: `member, score, value, low, high, p_value, p_holm`, with the paired 95 %
        interval by group; `p_holm` is corrected for the number of members. Empty for fewer than two members,
        or if the rule or the folds are unknown.
    """
    scored = clips_of_report(run)
    if scored is None:
        return pd.DataFrame()
    with_all = ensemble_of(run, run.members, scored.ids)
    records = []
    for name in run.members:
        differences = metric_differences(
            scored.target,
            with_all,
            ensemble_of(run, [other for other in run.members if other != name], scored.ids),
            run.classes,
            scored.groups,
            resampling=Resampling(seed, n_resamples),
            multilabel=run.multilabel,
        )
        for key in VALUE_SCORES:
            if key in differences:
                gain = differences[key]
                records.append((name, key, gain.value, gain.low, gain.high, gain.p_value))
    table = pd.DataFrame(records, columns=["member", "score", "value", "low", "high", "p_value"])
    p_values = table.groupby("score")["p_value"]
    table["p_holm"] = p_values.transform(lambda p: holm(p.to_numpy()))
    return table


@dataclass(frozen=True)
class ScoredClips:
    """The clips of the report on which ensembles of fewer members are compared.

    Args:
        ids: clip ids, `(n,)`.
        target: labels `(n,)`, or the indicator `(n, K)` of label sets.
        groups: group of each clip, `(n,)`.
    """

    ids: Labels
    target: Target
    groups: Labels


def clips_of_report(run: Run) -> ScoredClips | None:
    """The clips on which ensembles of fewer members are compared.

    Args:
        run: the model folder.

    Returns:
        None for fewer than two members, or if the rule or the folds are unknown.
    """
    if len(run.members) < 2 or run.best not in RULES or set(run.members) - set(run.oof):
        return None
    if run.part == "oof" and len(_training_folds(run)) < 2:
        return None
    scored = run.parts[run.part][run.members[0]]
    rows = np.flatnonzero(scored.scorable)
    return ScoredClips(scored.clip_ids[rows], _target(run, run.part, rows), scored.units[rows])


@dataclass(frozen=True)
class CalibratedMember:
    """A member calibrated by itself.

    Args:
        calibration: the map, learnt on the out-of-fold predictions.
        before: its predictions on the clips of the report.
        after: the same predictions, calibrated.
    """

    calibration: Calibration
    before: Predictions
    after: Predictions


def calibrate_members(run: Run) -> dict[str, CalibratedMember]:
    """Calibrate each member by itself.

    The method is chosen and its map is learnt on the out-of-fold predictions, on the folds of the run; on a
    validation part of the data as for the ensemble. Without a test part each row is calibrated by a map that
    was learnt on the other folds. Members whose folds are unknown are left out.
    """
    if not {"id", "fold"} <= set(run.split.columns):
        return {}
    fold = run.split.set_index("id")["fold"]
    plan = validation_plan(run)
    result = {}
    for name in run.members:
        oof = run.oof.get(name)
        if oof is not None and plan is not None and run.part == "test":
            result[name] = _calibrate_on_validation_part(run, name, oof, plan)
            continue
        if oof is None or oof.labels is None or not set(oof.clip_ids) <= set(fold.index):
            continue
        oof = oof.take(oof.clip_ids[oof.scorable])
        folds = _fold_pairs(fold.loc[list(oof.clip_ids)].to_numpy())
        result[name] = _calibrate_member(run, name, oof, folds)
    return result


def _calibrate_on_validation_part(
    run: Run, name: str, oof: Predictions, plan: LearningPlan
) -> CalibratedMember:
    """Calibrate a member on the validation part of the data, and apply the map to the test part."""
    oof = oof.in_classes(run.classes)
    labelled = LabelledPredictions.from_labels(
        class_probabilities(run, oof)[None],
        oof.indicator() if run.multilabel else np.asarray(oof.labels),
        _split_units(run, oof),
        members=(name,),
        classes=run.classes,
        validation=plan.validation,
    )
    calibration = learn_calibration(labelled.take(plan.taught), folds=plan.taught_folds)
    predictions = run.parts["test"][name]
    before = class_probabilities(run, predictions)
    raw = Predictions(
        predictions.clip_ids,
        run.classes,
        before,
        predictions.labels,
        predictions.groups,
        predictions.multilabel,
    )
    return CalibratedMember(calibration, raw, raw.with_probabilities(calibration.apply(before)))


def _calibrate_member(
    run: Run, name: str, oof: Predictions, folds: list[tuple[Positions, Positions]]
) -> CalibratedMember:
    probabilities = class_probabilities(run, oof)
    labels = np.asarray(oof.labels)
    units = _split_units(run, oof)
    calibration = fit_calibration(
        probabilities, labels, units, classes=run.classes, multilabel=run.multilabel, folds=folds
    )
    if run.part == "test":
        predictions = run.parts["test"][name]
        before = class_probabilities(run, predictions)
        after = calibration.apply(before)
    else:
        predictions = oof
        before = probabilities
        after = cross_calibrate(
            probabilities,
            labels,
            units,
            classes=run.classes,
            method=calibration.method,
            multilabel=run.multilabel,
            folds=folds,
        )
    raw = Predictions(
        predictions.clip_ids,
        run.classes,
        before,
        predictions.labels,
        predictions.groups,
        predictions.multilabel,
    )
    return CalibratedMember(calibration, raw, raw.with_probabilities(after))


def _fold_pairs(fold: NDArray[np.int64]) -> list[tuple[Positions, Positions]]:
    """Positions inside and outside of the training part of each fold."""
    pairs = []
    for k in np.unique(fold):
        inside = np.flatnonzero(fold != k)
        outside = np.flatnonzero(fold == k)
        pairs.append((inside, outside))
    return pairs


def _split_units(run: Run, predictions: Predictions) -> Labels:
    """Units that no fold separates: groups, or single clips if the split ignores groups."""
    if run.results.split.protocol == "random":
        return predictions.clip_ids
    return predictions.units


def _training_folds(run: Run) -> NDArray[np.int64]:
    """Numbers of the folds of the training part."""
    if not {"part", "fold"} <= set(run.split.columns):
        return np.array([], dtype=np.int64)
    fold = run.split.loc[run.split["part"] == "train", "fold"]
    return np.asarray(fold[fold >= 0].unique())


def ensemble_of(run: Run, members: Sequence[str], ids: Labels) -> Floats:
    """Predictions of an ensemble of some members of the run; rule and calibration are fitted again.

    Args:
        run: the model folder.
        members: at least one.
        ids: n clips of the part of the report.

    Returns:
        (n, K) probabilities.
    """
    folds, plan = _training_folds(run), validation_plan(run)
    first = run.oof[members[0]]
    rows = np.flatnonzero(first.scorable)
    if plan is not None:
        rows = np.intersect1d(rows, plan.taught)
    train_ids = first.clip_ids[rows]
    training = _FusionInput(
        members=members,
        stack=_member_stack(run, "oof", members, train_ids),
        target=_target(run, "oof", rows),
        groups=_units(run, rows),
        validation=None if plan is None else plan.validation,
    )
    if run.part == "test":
        return _fuse(run, training, _member_stack(run, "test", members, ids))
    fold = run.split.set_index("id")["fold"].reindex(train_ids).to_numpy()
    result = np.array(training.stack.mean(axis=0))
    for k in folds:
        inside = np.flatnonzero(fold != k)
        outside = np.flatnonzero(fold == k)
        result[outside] = _fuse(run, training.take(inside), training.stack[:, outside])
    return result


@dataclass(frozen=True)
class _FusionInput:
    """Predictions from which a fusion is learnt.

    Args:
        members: names of the M members.
        stack: (M, n, K) their probabilities.
        target: (n,) labels, or (n, K) for label sets.
        groups: (n,) groups.
        validation: facts of the validation part that these clips are; None in cross-validation.
    """

    members: Sequence[str]
    stack: Floats
    target: Target
    groups: Labels
    validation: ValidationPart | None = None

    def take(self, rows: Positions) -> _FusionInput:
        """The same for some clips."""
        return _FusionInput(
            members=self.members,
            stack=self.stack[:, rows],
            target=self.target[rows],
            groups=self.groups[rows],
            validation=self.validation,
        )


def _fuse(run: Run, training: _FusionInput, stack: Floats) -> Floats:
    """Fuse and calibrate `stack` (M, n, K) by what is learnt from `training`."""
    labelled = LabelledPredictions.from_labels(
        training.stack,
        training.target,
        training.groups,
        members=training.members,
        classes=run.classes,
        multilabel=run.multilabel,
        validation=training.validation,
    )
    preparation = prepare_members(labelled) if run.calibrates_members else None
    fusion = fit_fusion(run.best, labelled, preparation)
    fused = replace(labelled, stack=fusion.apply(training.stack)[None], members=("ensemble",))
    method = run.calibration.method if run.calibration else "none"
    calibration = learn_calibration(fused, method=method)
    return np.asarray(calibration.apply(fusion.apply(stack)), dtype=np.float64)


def _member_stack(run: Run, part: str, members: Sequence[str], ids: Labels) -> Floats:
    """(M, n, K) probabilities in the order of `members`, of `ids` and of the run's classes."""
    predictions: Mapping[str, Predictions] = run.parts[part]
    tables = []
    for name in members:
        own = predictions[name].take(list(ids))
        tables.append(class_probabilities(run, own))
    return np.stack(tables)


def _target(run: Run, part: str, rows: Positions) -> Target:
    """Labels of some clips, (n,), or their tags as an indicator, (n, K)."""
    predictions = run.parts[part][run.members[0]]
    if run.multilabel:
        return predictions.indicator()[rows]
    return np.asarray(predictions.labels)[rows]


def _units(run: Run, rows: Positions) -> Labels:
    return run.oof[run.members[0]].units[rows]
