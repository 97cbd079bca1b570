"""Whether corrections helped: two trainings, judged on the same songs, which neither of them has seen.

The songs are divided into folds that keep artists together. In each fold the members are fitted twice on the
other folds: with the labels of the tags, and with the corrections. Both predict the songs of the fold, whose
true label is the corrected one. Nothing that is learnt from a judged song, its label or its artist enters the
members that judge it. The prediction is the plain mean of the members, because weights and calibration are
learnt from all folds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quintet.classifiers.sizes import sized_settings
from quintet.datasets.splits.folds import grouped_folds, usable_folds
from quintet.ensemble.crossfit import Inputs, Trainer
from quintet.ensemble.tasks.pools import ThisProcess
from quintet.ensemble.tasks.schedule import predict_folds
from quintet.ensemble.tasks.task import FitPool, FitTask
from quintet.evaluation.comparisons import metric_differences
from quintet.evaluation.intervals import Resampling
from quintet.evaluation.metrics import encode_labels, top_label
from quintet.evaluation.scores import Difference, Estimate, score
from quintet.files.json_types import JsonObject
from quintet.library.retraining.lessons import Labels, Lessons

MOST_FOLDS = 5
FEWEST_CLASSES = 2
SINGLE, SETS = "accuracy", "macro_pr_auc"
"""The score that is compared, for songs with one label and for label sets."""

Floats = NDArray[np.float64]
Folds = list[tuple[NDArray[np.intp], NDArray[np.intp]]]
Progress = Callable[[int, int], object]
"""Receives the number of fits that are done, and of all."""


@dataclass(frozen=True)
class JudgeSettings:
    """Members and draws of a judgement.

    Args:
        members: names of members that read tables.
        seed: of folds, members and resamples.
        resamples: of the interval.
    """

    members: tuple[str, ...]
    seed: int = 0
    resamples: int = 1000


@dataclass(frozen=True)
class Judgement:
    """Two trainings on the same held-out songs.

    Args:
        metric: `accuracy`, or `macro_pr_auc` for label sets.
        before: score of the training with the labels of the tags.
        after: score of the training with the corrections.
        difference: after minus before, with a 95 % interval by artist.
        n: judged songs.
        n_groups: their artists.
        n_changed: judged songs whose label a correction changed.
        right_before: how many of these are right before; None for label sets.
        right_after: how many are right after.
    """

    metric: str
    before: Estimate
    after: Estimate
    difference: Difference
    n: int
    n_groups: int
    n_changed: int
    right_before: int | None
    right_after: int | None

    @property
    def outcome(self) -> str:
        """`better`, `worse`, or `unseen`: the interval of the difference holds zero, or there is none."""
        if self.difference.low > 0:
            return "better"
        return "worse" if self.difference.high < 0 else "unseen"

    def to_json(self) -> JsonObject:
        """The numbers and the outcome."""
        parts = {name: getattr(self, name).to_json() for name in ("before", "after", "difference")}
        return {**vars(self), **parts, "outcome": self.outcome}


def judge(
    features: pd.DataFrame,
    lessons: Lessons,
    settings: JudgeSettings,
    *,
    pool: FitPool | None = None,
    progress: Progress | None = None,
) -> Judgement | str:
    """Judge the corrections on the songs that have a label with them.

    Args:
        features: of the songs of the lessons, `(n, d)`.
        lessons: labels before and after.
        settings: members and draws.
        pool: where members are fitted. Default: this process.
        progress: receives the number of fits.

    Returns:
        The judgement, or why there can be none.
    """
    rows = np.flatnonzero([bool(names) for names in lessons.after.labels])
    after = [lessons.after.labels[k] for k in rows]
    before = [lessons.before.labels[k] for k in rows]
    groups = np.array([lessons.after.groups[k] for k in rows], dtype=str)
    for words, labels in (("without the corrections", before), ("with the corrections", after)):
        if len(_classes(labels)) < FEWEST_CLASSES:
            return f"A training must have songs of two genres. There are not two {words}."
    is_set = any(len(names) > 1 for names in (*after, *before))
    classes = _classes(after)
    truth = _target(after, classes, is_set=is_set)
    n_folds = usable_folds(truth, groups, at_most=MOST_FOLDS)
    folds = grouped_folds(truth, groups, n_splits=n_folds, seed=settings.seed)
    inputs = Inputs(features.iloc[rows])
    runs = [_Run(labels, groups, is_set=is_set) for labels in (before, after)]
    if not all(run.can_learn(train) for run in runs for train, _ in folds):
        return "A training must have songs of two genres by two artists each. A part of the songs has not."
    counter = _counter(progress, len(runs) * n_folds * len(settings.members))
    first, second = (
        run.predict(inputs, folds, classes, settings, pool or ThisProcess(), counter) for run in runs
    )
    return _compare(truth, (first, second), classes, groups, lessons.changed[rows], settings)


@dataclass(frozen=True)
class _Run:
    """One of the two trainings.

    Args:
        labels: of the songs; empty for songs that do not teach.
        groups: of the songs, `(n,)`.
        is_set: whether labels are sets.
    """

    labels: Labels
    groups: NDArray[np.str_]
    is_set: bool

    def can_learn(self, rows: NDArray[np.intp]) -> bool:
        """Whether two genres teach among these rows."""
        return len(_classes([self.labels[k] for k in self._teachers(rows)])) >= FEWEST_CLASSES

    def predict(
        self,
        inputs: Inputs,
        folds: Folds,
        classes: Sequence[str],
        settings: JudgeSettings,
        pool: FitPool,
        report: Callable[[FitTask], None],
    ) -> Floats:
        """Out-of-fold probabilities of all songs over `classes`, `(n, K)`; zero for a genre not learnt."""
        own = _classes(self.labels)
        target = _target(self.labels, own, is_set=self.is_set)
        tasks = [
            FitTask(
                Trainer(name, sized_settings(name, {}, len(inputs)), settings.seed, n_folds=len(folds)),
                fold,
                (self._teachers(train), held_out),
            )
            for name in settings.members
            for fold, (train, held_out) in enumerate(folds)
        ]
        results = predict_folds(tasks, inputs, target, self.groups, own, pool, report)
        found = np.zeros((len(inputs), len(classes)))
        columns = np.array([list(classes).index(name) for name in own], np.intp)
        for task, result in zip(tasks, results, strict=True):
            assert task.parts is not None
            found[np.ix_(task.parts[1], columns)] += result.probabilities / len(settings.members)
        return found

    def _teachers(self, rows: NDArray[np.intp]) -> NDArray[np.intp]:
        """The rows that teach: those with a label; a single label must lie in two groups among them."""
        labelled = [k for k in rows.tolist() if self.labels[k]]
        if self.is_set:
            return np.array(labelled, np.intp)
        groups_of: dict[str, set[str]] = {}
        for k in labelled:
            groups_of.setdefault(self.labels[k][0], set()).add(self.groups[k])
        return np.array([k for k in labelled if len(groups_of[self.labels[k][0]]) > 1], np.intp)


def _compare(
    truth: NDArray[np.generic],
    predictions: tuple[Floats, Floats],
    classes: tuple[str, ...],
    groups: NDArray[np.str_],
    changed: NDArray[np.bool_],
    settings: JudgeSettings,
) -> Judgement:
    """Scores of both trainings, and their difference by a paired bootstrap over artists."""
    is_set = truth.ndim == 2
    metric = SETS if is_set else SINGLE
    resampling = Resampling(settings.seed, settings.resamples)
    before, after = predictions
    scores = [
        score(truth, found, classes, groups, resampling=resampling, multilabel=is_set).scores[metric]
        for found in predictions
    ]
    differences = metric_differences(
        truth, after, before, classes, groups, resampling=resampling, multilabel=is_set
    )
    right: list[int | None] = [None, None]
    if not is_set:
        codes = encode_labels(truth, classes, multilabel=False).astype(np.int64)
        right = [int(top_label(codes, found)[0][changed].sum()) for found in predictions]
    return Judgement(
        metric,
        scores[0],
        scores[1],
        differences[metric],
        n=len(truth),
        n_groups=len(np.unique(groups)),
        n_changed=int(changed.sum()),
        right_before=right[0],
        right_after=right[1],
    )


def _classes(labels: Labels) -> tuple[str, ...]:
    return tuple(sorted({name for names in labels for name in names}))


def _target(labels: Labels, classes: Sequence[str], *, is_set: bool) -> NDArray[np.generic]:
    """Labels `(n,)`, empty where there is none, or an indicator matrix `(n, K)`."""
    if not is_set:
        return np.array([names[0] if names else "" for names in labels], dtype=str)
    return np.array([[name in names for name in classes] for names in labels], np.int8)


def _counter(progress: Progress | None, total: int) -> Callable[[FitTask], None]:
    """What reports the fits of both trainings."""
    done = 0

    def count(_: FitTask) -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    return count
