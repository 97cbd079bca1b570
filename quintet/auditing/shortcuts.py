"""Shortcuts: facts of the files from which the class can be guessed without any music.

If the clips of a class come from one source, they share its sample rate, encoder, level and length. A
classifier that learns these facts gets a high score and has learnt nothing about music. This module measures
the AUC that each fact, and all facts together, reach out of fold.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier

from quintet.datasets.splits.class_task import Task, make_task
from quintet.datasets.splits.split import Positions
from quintet.evaluation.intervals import Intervals, Resampling, block_intervals, bootstrap
from quintet.evaluation.ranking import rank_scores, ratio

Floats = NDArray[np.float64]

SIGNALS = {
    "duration_s": "duration",
    "native_sample_rate": "sample rate",
    "native_channels": "channels",
    "cutoff_hz": "bandwidth cut-off",
    "loudness_db": "loudness",
    "silence_share": "silence",
}
ALL_SIGNALS = "all together"
HIGH_AUC = 0.65  # there is a warning if even the lower end of the interval is above it
LEVEL = 0.95
RESAMPLES = 400
MANY_CLIPS = 20_000  # from here on the interval comes from the spread of blocks
MANY_NUMBERS = 100_000_000  # and if clips times classes times resamples are more
TREES = 60
LEAF = 3
CLIPS_OF_A_TREE = 2000
MANY_CLASSES = 20  # from here on a forest predicts the class, and not each class by itself
SHORTCUT_COLUMNS = ("signal", "auc", "low", "high", "warning")


class _SignalAuc(NamedTuple):
    """AUC of one signal, with its interval."""

    auc: float
    low: float
    high: float


def shortcut_audit(
    facts: pd.DataFrame,
    labels: pd.Series,
    groups: pd.Series,
    *,
    seed: int = 0,
    progress: Callable[[int, int], object] | None = None,
) -> pd.DataFrame:
    """Macro one-vs-rest AUC of each fact that is not music, alone and together.

    A random forest on this fact alone predicts out of grouped folds (five, or as many as the rarest class has
    groups). The interval is a bootstrap by group. `warning` is true if its lower end is above 0.65; without
    any shortcut, chance reaches that in less than one corpus in a hundred.

    Args:
        facts: facts by clip id. The columns of `SIGNALS` that are present and vary take part. A missing value
            counts as zero and is marked as missing.
        labels: label of each clip, in the same order: `"rock"`, or `"rock;live"` for sets.
        groups: group of each clip, in the same order.
        seed: seed of the forest, the folds and the bootstrap.
        progress: called with the number of facts that are done, and of all facts.

    Returns:
        Columns signal, auc, low, high, warning. The row "all together" is first, then the signals from high
        to low. A fact that does not vary has exactly the AUC 0.5. Without any fact there are no rows.

    Raises:
        DatasetError: if fewer than two classes have clips in two groups each, because no class can then be
            predicted for a new group.
    """
    task = make_task(labels, groups, seed)
    columns = _signal_columns(facts, task.rows)
    if not columns:
        return pd.DataFrame(columns=list(SHORTCUT_COLUMNS))
    signals: dict[str, Floats | None] = {ALL_SIGNALS: None}
    varying = []
    for name, column in columns.items():
        varies = bool((column != column[0]).any())
        signals[SIGNALS[name]] = column if varies else None
        if varies:
            varying.append(column)
    if varying:
        signals[ALL_SIGNALS] = np.concatenate(varying, axis=1)
    rows = []
    for done, (signal, values) in enumerate(signals.items(), start=1):
        rows.append((signal, *_signal_auc(values, task)))
        if progress is not None:
            progress(done, len(signals))
    table = pd.DataFrame(rows, columns=list(SHORTCUT_COLUMNS[:-1]))
    table["warning"] = table["low"] > HIGH_AUC
    together = table[:1]
    single = table[1:]
    single = single.sort_values("auc", ascending=False, kind="stable")
    return pd.concat([together, single], ignore_index=True)


def _signal_columns(facts: pd.DataFrame, rows: Positions) -> dict[str, Floats]:
    """Columns of the facts that are present, for some clips."""
    columns: dict[str, Floats] = {}
    for name in SIGNALS:
        if name in facts and facts[name].notna().any():
            values = facts[name].iloc[rows]
            columns[name] = _column(values)
    return columns


def _column(values: pd.Series) -> Floats:
    """The values, and in a second column whether they are missing, if some are."""
    numbers = values.astype("float64").to_numpy(np.float64, na_value=np.nan)
    is_missing = np.isnan(numbers)
    numbers_without_nan = np.where(is_missing, 0.0, numbers)
    if not is_missing.any():
        return numbers_without_nan[:, None]
    return np.stack([numbers_without_nan, is_missing.astype(np.float64)], axis=1)


def _signal_auc(x: Floats | None, task: Task) -> _SignalAuc:
    """Macro AUC out of fold, and its interval. None stands for facts that do not vary."""
    if x is None:
        return _SignalAuc(0.5, 0.5, 0.5)
    target = task.target
    scores = np.empty(target.shape)
    for train, valid in task.folds:
        scores[valid] = _predict(x[train], target[train], x[valid], task.seed)
    value = float(_macro_auc(target, scores)[0, 0])
    interval = _interval(task, scores, value)
    return _SignalAuc(
        auc=value,
        low=float(interval.low[0]),
        high=float(interval.high[0]),
    )


def _predict(x: Floats, target: NDArray[np.int8], new_x: Floats, seed: int) -> Floats:
    """Probability of every class, `(n, classes)`, by one forest for all classes."""
    forest = RandomForestClassifier(
        n_estimators=TREES,
        min_samples_leaf=LEAF,
        max_samples=min(len(x), CLIPS_OF_A_TREE),
        random_state=seed,
    )
    is_one_class = bool((target.sum(axis=1) == 1).all())
    if is_one_class and target.shape[1] >= MANY_CLASSES:  # a tenth of the time of one output per class
        forest.fit(x, target.argmax(axis=1))
        scores = np.zeros((len(new_x), target.shape[1]))
        scores[:, forest.classes_] = forest.predict_proba(new_x)
        return scores
    forest.fit(x, target)
    columns = []
    predictions = zip(forest.predict_proba(new_x), forest.classes_, strict=True)
    for k, (probabilities, values) in enumerate(predictions):
        if len(values) == 2:
            columns.append(probabilities[:, 1])
        else:  # the training clips are all in the class, or all outside it
            columns.append(np.full(len(new_x), float(target[0, k])))
    return np.stack(columns, axis=1)


def _macro_auc(target: NDArray[np.int8], scores: Floats, weights: Floats | None = None) -> Floats:
    """Mean AUC over the classes that have one, `(B, 1)`, for weights `(B, n)`; `(1, 1)` without weights."""
    aucs = []
    for k in range(target.shape[1]):
        is_class = target[:, k] == 1
        ranking = rank_scores(is_class, scores[:, k], weights)
        aucs.append(np.atleast_1d(ranking.auc))
    by_class = np.stack(aucs)
    is_defined = ~np.isnan(by_class)
    total = np.where(is_defined, by_class, 0.0).sum(axis=0)
    mean = ratio(total, is_defined.sum(axis=0))
    return mean[:, None]


def _interval(task: Task, scores: Floats, value: float) -> Intervals:
    """Interval of the macro AUC, by group."""
    target, n = task.target, len(task.target)
    resampling = Resampling(task.seed, RESAMPLES, LEVEL)

    def auc_of_rows(rows: Positions) -> Floats:
        return np.asarray(_macro_auc(target[rows], scores[rows])[0])

    def auc_with(weights: Floats) -> Floats:
        return _macro_auc(target, scores, weights)

    if n >= MANY_CLIPS or target.size * RESAMPLES > MANY_NUMBERS:
        return block_intervals(auc_of_rows, task.groups, np.array([value]), n, resampling=resampling)
    return bootstrap(auc_with, task.groups, n, resampling=resampling)
