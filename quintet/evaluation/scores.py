"""Scores: every metric with its interval, per class with support, and what is undefined counted and named."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quintet.errors import DatasetError
from quintet.evaluation.intervals import (
    DEFAULT_RESAMPLING,
    Intervals,
    Resampling,
    block_intervals,
    bootstrap,
    group_codes,
)
from quintet.evaluation.metrics import (
    PER_CLASS,
    MetricTable,
    encode_labels,
    multi_label_metrics,
    single_label_metrics,
)
from quintet.files.json_types import JsonObject

MAX_RESAMPLED = 300_000_000  # clips · classes · resamples, some twenty seconds; above it intervals come from disjoint blocks

UNBOUNDED = (
    "log_loss",
    "brier",
    "ece",
)  # losses: 0 is perfect there, and a mean of them is no share of clips


@dataclass(frozen=True)
class Estimate:
    """A value and its interval; NaN where undefined."""

    value: float
    low: float
    high: float

    def to_json(self) -> dict[str, float | None]:
        return {"value": _number(self.value), "low": _number(self.low), "high": _number(self.high)}

    @classmethod
    def from_json(cls, content: Mapping[str, float | None]) -> Estimate:
        """The estimate that `to_json` wrote."""
        value, low, high = (or_nan(content.get(name)) for name in ("value", "low", "high"))
        return cls(value, low, high)


@dataclass(frozen=True)
class Scores:
    """What `score` found.

    `scores`: name → Estimate. `per_class`: class → metric → Estimate. `support`: class → clips. `undefined`: class → the metrics that it cannot have;
    the averages leave these out, and a reader is told. `undefined_resamples`: name → resamples in which it did not exist.
    """

    n: int
    n_groups: int
    interval: dict[str, Any]
    scores: dict[str, Estimate]
    per_class: dict[str, dict[str, Estimate]]
    support: dict[str, int]
    undefined: dict[str, tuple[str, ...]]
    undefined_resamples: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        """`n, n_groups, interval, scores {name: {value, low, high}}, per_class {class: {metric: value, intervals, support}}, undefined`.

        Numbers that do not exist are None (null).
        """
        per_class = {
            name: {metric: _number(found.value) for metric, found in table.items()}
            | {
                "support": self.support[name],
                "intervals": {
                    metric: [_number(found.low), _number(found.high)] for metric, found in table.items()
                },
            }
            for name, table in self.per_class.items()
        }
        undefined = [
            {"class": name, "support": self.support[name], "metrics": list(metrics)}
            for name, metrics in self.undefined.items()
        ]
        return {
            "n": self.n,
            "n_groups": self.n_groups,
            "interval": self.interval | {"undefined_resamples": self.undefined_resamples},
            "scores": {name: found.to_json() for name, found in self.scores.items()},
            "per_class": per_class,
            "undefined": undefined,
        }

    @classmethod
    def from_json(cls, content: JsonObject) -> Scores:
        """The scores that `to_json` wrote."""
        interval = dict(content["interval"])
        undefined_resamples = interval.pop("undefined_resamples", {})
        rows: Mapping[str, JsonObject] = content["per_class"]
        return cls(
            n=content["n"],
            n_groups=content["n_groups"],
            interval=interval,
            scores={name: Estimate.from_json(estimate) for name, estimate in content["scores"].items()},
            per_class={name: _class_estimates(row) for name, row in rows.items()},
            support={name: row["support"] for name, row in rows.items()},
            undefined={row["class"]: tuple(row["metrics"]) for row in content["undefined"]},
            undefined_resamples=undefined_resamples,
        )


def score(
    y: NDArray[Any],
    probabilities: NDArray[Any],
    classes: Sequence[str],
    groups: NDArray[Any] | None = None,
    *,
    resampling: Resampling = DEFAULT_RESAMPLING,
    multilabel: bool = False,
) -> Scores:
    """Every metric of these probabilities, with intervals by group.

    Args:
        y: (n,) str, each one of `classes`; for `multilabel` sets written `rock;live`, or an indicator matrix (n, K).
        probabilities: (n, K), columns in the order of `classes`.
        classes: K names.
        groups: (n,) or None: every clip is its own group.
        resampling: seed, number and level; without resamples there are no intervals (NaN). Above 300 million
            clips · classes · resamples, see `block_intervals`.

    Raises:
        DatasetError: no clips, shapes that differ, or labels that are no class.

    Example:
        >>> p = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7]])
        >>> found = score(np.array(["a", "b", "b", "b"]), p, ["a", "b"])
        >>> found.scores["accuracy"].value, found.support
        (0.75, {'a': 1, 'b': 3})
    """
    classes, probabilities, y = tuple(classes), np.asarray(probabilities), np.asarray(y)
    if probabilities.shape != (len(y), len(classes)) or not len(y):
        raise DatasetError(
            f"There must be one row of {len(classes)} probabilities per label, and at least one. Received {probabilities.shape} for {len(y)} labels. "
            "Join them by clip id, and leave out the clips without a label."
        )
    if probabilities.dtype not in (np.float32, np.float64):
        probabilities = probabilities.astype(np.float64)
    target = encode_labels(y, classes, multilabel=multilabel)
    point = _table(target, probabilities, None)
    intervals = _intervals(target, probabilities, groups, _flat(point), resampling=resampling)
    return _scores(point, intervals, classes, target)


def _intervals(
    target: NDArray[Any],
    probabilities: NDArray[Any],
    groups: NDArray[Any] | None,
    value: NDArray[Any],
    *,
    resampling: Resampling,
) -> Intervals:
    n_resamples = resampling.n_resamples
    n, n_classes = probabilities.shape
    if n_resamples and n * n_classes * n_resamples > MAX_RESAMPLED:
        return block_intervals(
            lambda rows: _flat(_table(target[rows], probabilities[rows], None))[0],
            groups,
            value[0],
            n,
            resampling=resampling,
        )
    if not n_resamples:
        nothing = np.full(value.shape[1], np.nan)
        return Intervals(
            nothing,
            nothing,
            "none",
            group_codes(groups, n)[1],
            0,
            resampling.level,
            np.zeros(value.shape[1], dtype=np.int64),
            nothing,
        )
    return bootstrap(
        lambda weights: _flat(_table(target, probabilities, weights)),
        groups,
        n,
        resampling=resampling,
        width=n_classes,
    )


def _table(target: NDArray[Any], probabilities: NDArray[Any], weights: NDArray[Any] | None) -> MetricTable:
    return (multi_label_metrics if target.ndim == 2 else single_label_metrics)(target, probabilities, weights)


def _flat(table: MetricTable) -> NDArray[np.float64]:
    """(B, S): the scores, then the per-class metrics of PER_CLASS, class by class."""
    columns = [np.atleast_1d(values)[:, None] for values in table.scores.values()]
    return np.concatenate(columns + [np.atleast_2d(table.per_class[name]) for name in PER_CLASS], axis=1)


def _scores(
    point: MetricTable, intervals: Intervals, classes: tuple[str, ...], target: NDArray[Any]
) -> Scores:
    value = _flat(point)[0]
    names = tuple(point.scores)
    support = target.sum(axis=0) if target.ndim == 2 else np.bincount(target, minlength=len(classes))
    witnesses = np.concatenate(
        [
            np.full(len(names), intervals.n_groups),
            np.tile(np.minimum(support, intervals.n_groups), len(PER_CLASS)),
        ]
    )
    bounded = np.array([name not in UNBOUNDED for name in names] + [True] * (len(PER_CLASS) * len(classes)))
    estimates = [
        _estimate(*of, level=intervals.level)
        for of in zip(value, intervals.low, intervals.high, witnesses, bounded, strict=True)
    ]
    start = {metric: len(names) + i * len(classes) for i, metric in enumerate(PER_CLASS)}
    per_class = {
        name: {metric: estimates[start[metric] + k] for metric in PER_CLASS} for k, name in enumerate(classes)
    }
    undefined = {
        name: tuple(metric for metric, found in table.items() if math.isnan(found.value))
        for name, table in per_class.items()
    }
    return Scores(
        n=len(target),
        n_groups=intervals.n_groups,
        interval=intervals.describe(),
        scores=dict(zip(names, estimates, strict=False)),
        per_class=per_class,
        support={name: int(count) for name, count in zip(classes, support, strict=True)},
        undefined={name: metrics for name, metrics in undefined.items() if metrics},
        undefined_resamples={
            name: int(count) for name, count in zip(names, intervals.undefined, strict=False) if count
        },
    )


def _estimate(
    value: float, low: float, high: float, witnesses: int, bounded: bool, *, level: float
) -> Estimate:
    """An estimate; at a perfect 1 (or 0) that every resample repeats, the far end of Clopper and Pearson's interval for so many of so many.

    A bootstrap cannot draw a mistake that it has not seen: six clips of six right would read 1.000 [1.00, 1.00].
    """
    if bounded and value == low == high and value in (0.0, 1.0) and witnesses > 0:
        far = ((1 - level) / 2) ** (1 / witnesses)
        low, high = (far, 1.0) if value == 1.0 else (0.0, 1 - far)
    return Estimate(float(value), float(low), float(high))


def _class_estimates(row: JsonObject) -> dict[str, Estimate]:
    """The metrics of one class from its JSON row."""
    return {
        metric: Estimate(or_nan(row[metric]), or_nan(low), or_nan(high))
        for metric, (low, high) in row["intervals"].items()
    }


def or_nan(value: float | None) -> float:
    """The number of a JSON file, where null stands for a number that does not exist."""
    return math.nan if value is None else value


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
