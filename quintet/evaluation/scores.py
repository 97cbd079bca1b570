"""Scores: every metric with its interval, the metrics per class, and the metrics that are undefined."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Self, cast

import numpy as np
from numpy.typing import NDArray

from quintet.errors import DatasetError
from quintet.evaluation.array_types import Floats, Groups, Labels, Probabilities, Target
from quintet.evaluation.intervals import (
    DEFAULT_RESAMPLING,
    IntervalFacts,
    Intervals,
    Resampling,
    ShareProgress,
    block_intervals,
    bootstrap,
    group_codes,
    no_intervals,
)
from quintet.evaluation.metrics import PER_CLASS, MetricTable, all_metrics, encode_labels
from quintet.files.json_types import JsonObject

MAX_RESAMPLED = 300_000_000
"""Clips · classes · resamples, about twenty seconds. Above it, intervals come from disjoint blocks."""

UNBOUNDED = ("log_loss", "brier", "ece")
"""Losses. A loss of 0 is perfect, and its mean is not a share of clips."""


@dataclass(frozen=True)
class Estimate:
    """A value and its interval; NaN if undefined.

    Args:
        value: the value.
        low: low end of the interval.
        high: high end of the interval.
    """

    value: float
    low: float
    high: float

    def to_json(self) -> dict[str, float | None]:
        """The fields by name; None stands for NaN."""
        return {name: or_none(number) for name, number in vars(self).items()}

    @classmethod
    def from_json(cls, content: Mapping[str, float | None]) -> Self:
        """Read the result of `to_json`. Other keys of `content` are ignored."""
        return cls(*(or_nan(content.get(field.name)) for field in fields(cls)))


@dataclass(frozen=True)
class Difference(Estimate):
    """Score of the first classifier minus score of the second. Numbers are NaN if undefined.

    Args:
        value: the difference.
        low: low end of its interval.
        high: high end of its interval.
        p_value: two-sided p-value of the hypothesis that there is no difference.
    """

    p_value: float


@dataclass(frozen=True)
class Scores:
    """Scores of one set of predictions.

    Args:
        n: number of clips.
        n_groups: number of groups.
        interval: facts about the intervals.
        scores: metric → estimate.
        per_class: class → metric → estimate.
        support: class → number of clips.
        undefined: class → metrics that it cannot have. The averages leave these out.
        undefined_resamples: metric → number of resamples in which it is undefined.
    """

    n: int
    n_groups: int
    interval: IntervalFacts
    scores: dict[str, Estimate]
    per_class: dict[str, dict[str, Estimate]]
    support: dict[str, int]
    undefined: dict[str, tuple[str, ...]]
    undefined_resamples: dict[str, int]

    def to_json(self) -> JsonObject:
        """JSON object of the scores; None stands for NaN.

        Returns:
            `n, n_groups, interval, scores {name: {value, low, high}}, per_class {class: {metric: value,
            support, intervals {metric: [low, high]}}}, undefined [{class, support, metrics}]`.
        """
        undefined = [
            {"class": name, "support": self.support[name], "metrics": list(metrics)}
            for name, metrics in self.undefined.items()
        ]
        return {
            "n": self.n,
            "n_groups": self.n_groups,
            "interval": {**self.interval, "undefined_resamples": self.undefined_resamples},
            "scores": {name: estimate.to_json() for name, estimate in self.scores.items()},
            "per_class": {name: self._class_to_json(name) for name in self.per_class},
            "undefined": undefined,
        }

    def _class_to_json(self, name: str) -> JsonObject:
        """JSON object of one class."""
        estimates = self.per_class[name]
        values = {metric: or_none(estimate.value) for metric, estimate in estimates.items()}
        intervals = {
            metric: [or_none(estimate.low), or_none(estimate.high)] for metric, estimate in estimates.items()
        }
        return {**values, "support": self.support[name], "intervals": intervals}

    @classmethod
    def from_json(cls, content: JsonObject) -> Scores:
        """Read the result of `to_json`."""
        interval = dict(content["interval"])
        undefined_resamples = interval.pop("undefined_resamples", {})
        rows: Mapping[str, JsonObject] = content["per_class"]
        return cls(
            n=content["n"],
            n_groups=content["n_groups"],
            interval=cast(IntervalFacts, interval),
            scores={name: Estimate.from_json(estimate) for name, estimate in content["scores"].items()},
            per_class={name: _class_estimates(row) for name, row in rows.items()},
            support={name: row["support"] for name, row in rows.items()},
            undefined={row["class"]: tuple(row["metrics"]) for row in content["undefined"]},
            undefined_resamples=undefined_resamples,
        )


def score(
    y: Labels,
    probabilities: Probabilities,
    classes: Sequence[str],
    groups: Groups | None = None,
    *,
    resampling: Resampling = DEFAULT_RESAMPLING,
    multilabel: bool = False,
    progress: ShareProgress | None = None,
) -> Scores:
    """All metrics of these probabilities, with intervals by group.

    Args:
        y: (n,) str, each one of `classes`. For `multilabel`: sets written `rock;live`, or an indicator matrix
            (n, K).
        probabilities: (n, K), columns in the order of `classes`.
        classes: K names.
        groups: (n,), or None: every clip is its own group.
        resampling: seed, number of resamples and level; without resamples there are no intervals (NaN). Above
            300 million clips · classes · resamples, `block_intervals` are used.
        multilabel: whether the labels are sets.
        progress: receives the share of the intervals that are done, in (0, 1].

    Raises:
        DatasetError: if there are no clips, if the shapes differ, or if a label is not a class.

    Example:
        >>> p = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7]])
        >>> result = score(np.array(["a", "b", "b", "b"]), p, ["a", "b"])
        >>> result.scores["accuracy"].value, result.support
        (0.75, {'a': 1, 'b': 3})
    """
    classes, y = tuple(classes), np.asarray(y)
    p = np.asarray(probabilities)
    if p.shape != (len(y), len(classes)) or not len(y):
        raise DatasetError(
            f"There must be one row of {len(classes)} probabilities per label, and at least one row. "
            f"Received {p.shape} for {len(y)} labels. "
            "Join them by clip id, and leave out the clips without a label."
        )
    if p.dtype not in (np.float32, np.float64):
        p = p.astype(np.float64)
    target = encode_labels(y, classes, multilabel=multilabel)
    metrics = all_metrics(target, p)
    intervals = _metric_intervals(target, p, groups, _flatten(metrics)[0], resampling, progress)
    return _collect_scores(metrics, intervals, classes, target)


def or_nan(value: float | None) -> float:
    """Number of a JSON file, where null stands for NaN."""
    return math.nan if value is None else value


def or_none(value: float) -> float | None:
    """Number for a JSON file, where null stands for NaN."""
    return None if math.isnan(value) else float(value)


def _metric_intervals(
    target: Target,
    probabilities: Probabilities,
    groups: Groups | None,
    values: Floats,
    resampling: Resampling,
    progress: ShareProgress | None,
) -> Intervals:
    """Intervals of all metrics, in the order of `_flatten`."""
    n, n_classes = probabilities.shape
    if not resampling.n_resamples:
        n_groups = group_codes(groups, n)[1]
        return no_intervals(len(values), n_groups, resampling.level)

    def metrics_of_rows(rows: NDArray[np.intp]) -> Floats:
        table = _flatten(all_metrics(target[rows], probabilities[rows]))
        return np.asarray(table[0])

    def metrics_with(weights: Floats) -> Floats:
        return _flatten(all_metrics(target, probabilities, weights))

    if n * n_classes * resampling.n_resamples > MAX_RESAMPLED:
        return block_intervals(metrics_of_rows, groups, values, n, resampling=resampling, progress=progress)
    # The pairs of clip and tag are one prediction each: their weights are repeated.
    width = n_classes if target.ndim == 2 else 1
    return bootstrap(metrics_with, groups, n, resampling=resampling, width=width, progress=progress)


def _flatten(metrics: MetricTable) -> Floats:
    """All metrics in one table `(B, S)`: the scores, then each metric of `PER_CLASS`, class by class."""
    columns = [np.atleast_1d(values)[:, None] for values in metrics.scores.values()]
    for name in PER_CLASS:
        of_classes = metrics.per_class[name]
        columns.append(np.atleast_2d(of_classes))
    return np.concatenate(columns, axis=1)


def _collect_scores(
    metrics: MetricTable, intervals: Intervals, classes: tuple[str, ...], target: Target
) -> Scores:
    """Scores from the metrics and their intervals."""
    names = tuple(metrics.scores)
    support = target.sum(axis=0) if target.ndim == 2 else np.bincount(target, minlength=len(classes))
    estimates = _estimates(_flatten(metrics)[0], intervals, names, support)
    by_class = estimates[len(names) :]
    per_class = {}
    for k, name in enumerate(classes):
        per_class[name] = dict(zip(PER_CLASS, by_class[k :: len(classes)], strict=True))
    undefined = {name: _metrics_without_value(table) for name, table in per_class.items()}
    undefined_counts = zip(names, intervals.undefined.tolist(), strict=False)
    return Scores(
        n=len(target),
        n_groups=intervals.n_groups,
        interval=intervals.describe(),
        scores=dict(zip(names, estimates, strict=False)),
        per_class=per_class,
        support=dict(zip(classes, support.tolist(), strict=True)),
        undefined={name: metrics for name, metrics in undefined.items() if metrics},
        undefined_resamples={name: count for name, count in undefined_counts if count},
    )


def _metrics_without_value(estimates: Mapping[str, Estimate]) -> tuple[str, ...]:
    return tuple(metric for metric, estimate in estimates.items() if math.isnan(estimate.value))


def _estimates(
    values: Floats, intervals: Intervals, names: tuple[str, ...], support: NDArray[np.integer]
) -> list[Estimate]:
    """Estimates in the order of `_flatten`."""
    rows = np.stack([values, intervals.low, intervals.high], axis=-1).tolist()
    estimates = [Estimate(*row) for row in rows]
    level = intervals.level
    class_groups = np.minimum(support, intervals.n_groups)
    independent = class_groups.tolist() * len(PER_CLASS)
    of_scores = estimates[: len(names)]
    of_classes = estimates[len(names) :]
    result = []
    for name, estimate in zip(names, of_scores, strict=True):
        is_share = name not in UNBOUNDED
        result.append(_widen_perfect(estimate, intervals.n_groups, level) if is_share else estimate)
    for n, estimate in zip(independent, of_classes, strict=True):
        result.append(_widen_perfect(estimate, n, level))
    return result


def _widen_perfect(estimate: Estimate, n: int, level: float) -> Estimate:
    """The estimate with the interval of Clopper and Pearson if it is a perfect 1 (or 0) in every resample.

    A bootstrap cannot draw a mistake that is not in the data. Without this, six right clips out of six would
    give 1.000 [1.00, 1.00].

    Args:
        estimate: value and interval of a share.
        n: number of independent observations: groups, or clips of the class if there are fewer.
        level: coverage of the interval.
    """
    value = estimate.value
    is_constant = value == estimate.low == estimate.high
    if not is_constant or n <= 0:
        return estimate
    tail = (1 - level) / 2
    end = tail ** (1 / n)
    if value == 1.0:
        return Estimate(value, end, 1.0)
    if value == 0.0:
        return Estimate(value, 0.0, 1 - end)
    return estimate


def _class_estimates(row: JsonObject) -> dict[str, Estimate]:
    """The metrics of one class from its JSON object."""
    return {
        metric: Estimate(or_nan(row[metric]), or_nan(low), or_nan(high))
        for metric, (low, high) in row["intervals"].items()
    }
