"""Learning curve of a run: scores of members that are fitted on growing parts of each training fold.

All sizes are scored on the same clips. The score is then extrapolated to twice the data
(`quintet.evaluation.learning_curve.outlook`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from quintet.classifiers.registry import member_entry
from quintet.datasets.splits.folds import nested_subsets
from quintet.datasets.splits.split import Positions
from quintet.datasets.splits.stratification import group_counts
from quintet.ensemble.crossfit import Listener, Trainer, TrainingEvent
from quintet.ensemble.fusion import mean
from quintet.ensemble.tasks.pools import ThisProcess
from quintet.ensemble.tasks.schedule import predict_folds
from quintet.ensemble.tasks.task import FitPool, FitTask
from quintet.evaluation.learning_curve import CurveScores, Outlook, curve_scores, outlook
from quintet.model_folder.scores import CurvePoint, CurveResult
from quintet.training.data import Material, TrainingPart
from quintet.training.settings import LearningCurveSettings, TrainSettings

MIN_SIZES = 3  # the curve has three parameters: ceiling, gap and exponent
MIN_GROUPS = 2  # of every class in every part: a member that calibrates itself needs two
FACTOR = 2.0  # the outlook is for this many times the data
Floats = NDArray[np.float64]
FoldParts = tuple[Positions, ...]
"""Positions to fit on, one array per fold."""


@dataclass(frozen=True)
class CurveSize:
    """One size of the training data.

    Args:
        share: share of the groups of each training fold, in (0, 1].
        repeats: one draw of the parts per repeat; a single entry for the whole folds.
    """

    share: float
    repeats: tuple[FoldParts, ...]


def curve_part(material: Material) -> TrainingPart:
    """The training part on the folds that the curve uses: a validation part of the data, or all folds."""
    return TrainingPart.from_material(material)


def curve_members(settings: TrainSettings) -> tuple[str, ...]:
    """Members of the curve: those of the settings, else the table members, else all.

    Networks are left out by default, because fitting one on every part takes hours.
    """
    curve = settings.learning_curve
    if curve is not None and curve.members:
        return curve.members
    table_members = tuple(name for name in settings.members if member_entry(name).input == "table")
    return table_members or settings.members


def learning_curve(
    part: TrainingPart,
    settings: TrainSettings,
    *,
    known: Mapping[str, Floats] | None = None,
    listener: Listener | None = None,
    pool: FitPool | None = None,
) -> CurveResult:
    """Scores of the plain mean of some members, fitted on growing parts of every training fold.

    Parts are whole groups, stratified, and nested: each part is inside the next larger one. Every repeat
    draws them anew. All sizes are scored on the same clips, the held-out clips of the folds.

    Args:
        part: the training part of a run and its folds.
        settings: members, their settings, seed, resamples, and `learning_curve` (shares, repeats).
        known: member → out-of-fold probabilities after fitting on the whole folds, of the clips that the
            folds hold out, `(scored, K)`, if the run has them.
        listener: receives one event of kind `curve` per fit; its details are `done` and `total`, numbers of
            fits.
        pool: where members are fitted. Default: this process.

    Returns:
        The points and the outlook of each score. Shares for which a class has fewer than two groups are left
        out. If fewer than three sizes are left, there are no points and no outlook.

    Raises:
        SplitLeakError: if a group is on both sides of a fold.
    """
    curve_settings = settings.learning_curve or LearningCurveSettings()
    members = curve_members(settings)
    sizes = _plan_sizes(part, curve_settings, settings.seed)
    kept_shares = {size.share for size in sizes}
    scored = part.evaluation_rows
    empty = CurveResult(
        members=members,
        repeats=curve_settings.repeats,
        n=len(scored),
        n_groups=len(np.unique(part.groups[scored])),
        left_out=tuple(share for share in curve_settings.shares if share not in kept_shares),
    )
    if len(sizes) + 1 < MIN_SIZES:
        return empty
    sizes.append(CurveSize(1.0, (tuple(train for train, _ in part.folds),)))
    predictions = _predict_sizes(part, settings, sizes, known or {}, listener, pool or ThisProcess())
    scores = curve_scores(
        part.y[scored],
        predictions,
        part.classes,
        part.groups[scored],
        n_resamples=settings.resamples,
        seed=settings.seed,
        multilabel=part.multilabel,
    )
    points = tuple(_curve_point(part, size, k, scores) for k, size in enumerate(sizes))
    return replace(empty, points=points, outlook=_outlooks([point.clips for point in points], scores))


def _plan_sizes(part: TrainingPart, curve: LearningCurveSettings, seed: int) -> list[CurveSize]:
    """The shares whose parts have every class in two groups, each with its repeats."""
    seeds = range(seed, seed + curve.repeats)
    plans = [_plan_repeat(part, curve.shares, repeat_seed) for repeat_seed in seeds]
    sizes = []
    for k, share in enumerate(curve.shares):
        repeats = tuple(plan[k] for plan in plans)
        all_rows = [rows for parts in repeats for rows in parts]
        if all(_has_every_class(part, rows) for rows in all_rows):
            sizes.append(CurveSize(share, repeats))
    return sizes


def _plan_repeat(part: TrainingPart, shares: Sequence[float], seed: int) -> list[FoldParts]:
    """For each share, the positions to fit on in every fold."""
    n_folds = len(part.folds)
    parts_by_fold = []
    for fold, (train, _) in enumerate(part.folds):
        subsets = nested_subsets(
            part.y[train], part.units[train].tolist(), shares=shares, seed=seed * n_folds + fold
        )
        parts_by_fold.append([train[subset] for subset in subsets])
    return list(zip(*parts_by_fold, strict=True))


def _has_every_class(part: TrainingPart, rows: Positions) -> bool:
    """Whether every class that the folds can learn has at least `MIN_GROUPS` groups among these rows."""
    if not len(rows):
        return False
    indicator = part.y
    if not part.multilabel:
        indicator = part.y[:, None] == np.unique(part.y)
    units = part.units[rows].tolist()
    counts = group_counts(indicator[rows], units)[0]
    n_groups = (counts > 0).sum(axis=0)
    has_enough = n_groups >= MIN_GROUPS
    is_present = indicator[_fitted_rows(part)].any(axis=0)
    return bool(has_enough[is_present].all())


def _fitted_rows(part: TrainingPart) -> Positions:
    """Positions that some fold fits on, sorted: all, or the train part beside a validation part."""
    fitted = [train for train, _ in part.folds]
    return np.unique(np.concatenate(fitted))


def _predict_sizes(
    part: TrainingPart,
    settings: TrainSettings,
    sizes: Sequence[CurveSize],
    known: Mapping[str, Floats],
    listener: Listener | None,
    pool: FitPool,
) -> list[list[Floats]]:
    """For each size and repeat, the mean of the members' probabilities on the scored rows, `(scored, K)`."""
    *smaller, whole = sizes
    members = curve_members(settings)
    scored = part.evaluation_rows
    asked = [(name, parts) for size in smaller for parts in size.repeats for name in members]
    unknown = [name for name in members if name not in known]
    asked += [(name, whole.repeats[0]) for name in unknown]
    found = iter(_predict_members(part, settings, asked, listener, pool))

    def next_mean() -> Floats:
        return mean([next(found)[scored] for _ in members])

    predictions = [[next_mean() for _ in size.repeats] for size in smaller]
    full = {name: next(found)[scored] for name in unknown}
    full |= known
    probabilities = [full[name] for name in members]
    predictions.append([mean(probabilities)])
    return predictions


def _predict_members(
    part: TrainingPart,
    settings: TrainSettings,
    asked: Sequence[tuple[str, FoldParts]],
    listener: Listener | None,
    pool: FitPool,
) -> list[Floats]:
    """Probabilities `(m, K)` of members, each fitted on parts of the folds; NaN where no fold predicts."""
    report = _count_fits(listener, len(part.folds) * len(asked))
    tasks = [
        FitTask(
            Trainer(name, settings.settings.get(name, {}), settings.seed, n_folds=len(part.folds)),
            fold,
            (train, part.folds[fold][1]),
        )
        for name, parts in asked
        for fold, train in enumerate(parts)
    ]
    results = predict_folds(tasks, part.inputs, part.y, part.units, part.classes, pool, report)
    found = []
    for first in range(0, len(tasks), len(part.folds)):
        probabilities = np.full((len(part.inputs), len(part.classes)), np.nan)
        for fold, (_, held_out) in enumerate(part.folds):
            probabilities[held_out] = results[first + fold].probabilities
        found.append(probabilities)
    return found


def _curve_point(part: TrainingPart, size: CurveSize, k: int, scores: CurveScores) -> CurvePoint:
    """The scores of size `k`, with the mean number of training clips and groups."""
    clips = [[len(rows) for rows in parts] for parts in size.repeats]
    groups = [[_count_units(part, rows) for rows in parts] for parts in size.repeats]
    return CurvePoint(
        share=size.share,
        clips=_mean_count(part, clips),
        groups=_mean_count(part, groups),
        scores={name: scores.estimate(k, name) for name in scores.names},
    )


def _count_units(part: TrainingPart, rows: Positions) -> int:
    return len(np.unique(part.units[rows]))


def _mean_count(part: TrainingPart, counts: Sequence[Sequence[int]]) -> float:
    """Mean over the repeats and the scored rows of counts `(repeats, folds)`."""
    n_scored = [len(held_out) for _, held_out in part.folds]
    mean_by_fold = np.mean(counts, axis=0)
    return float(np.average(mean_by_fold, weights=n_scored))


def _outlooks(clips: Sequence[float], scores: CurveScores) -> dict[str, Outlook]:
    """Fitted curve and gain from `FACTOR` times the data, for each score that is finite at every size."""
    outlooks = {}
    for i, name in enumerate(scores.names):
        values = scores.values[:, i]
        if np.isfinite(values).all():
            outlooks[name] = outlook(
                clips, values, scores.draws[:, :, i], factor=FACTOR, n_groups=scores.n_groups
            )
    return outlooks


def _count_fits(listener: Listener | None, total: int) -> Callable[[FitTask], None]:
    """A function that reports each finished fit, with their number, as an event of kind `curve`."""
    done = 0

    def report(task: FitTask) -> None:
        nonlocal done
        done += 1
        if listener is not None:
            details = {"done": done, "total": total}
            trainer = task.trainer
            listener(TrainingEvent("curve", trainer.member, task.fold, trainer.n_folds, details))

    return report
