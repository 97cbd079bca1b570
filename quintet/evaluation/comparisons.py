"""Is one model better than another on the same clips? Paired bootstrap for every metric, DeLong, McNemar; Holm where many are asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from quintet.errors import DatasetError
from quintet.evaluation.intervals import (
    DEFAULT_RESAMPLING,
    Resampling,
    block_intervals,
    bootstrap,
    group_codes,
)
from quintet.evaluation.metrics import encode_labels, multi_label_metrics, single_label_metrics, top_label
from quintet.evaluation.scores import MAX_RESAMPLED, or_nan

MAX_RANKED = 20_000_000


@dataclass(frozen=True)
class Difference:
    """Score of the first minus score of the second, its interval, and the two-sided p-value of "no difference"; NaN where undefined."""

    value: float
    low: float
    high: float
    p_value: float

    def to_json(self) -> dict[str, float | None]:
        return {name: None if np.isnan(v) else v for name, v in vars(self).items()}

    @classmethod
    def from_json(cls, content: Mapping[str, float | None]) -> Difference:
        """The difference that `to_json` wrote. Other keys of `content` are ignored."""
        return cls(*(or_nan(content.get(name)) for name in ("value", "low", "high", "p_value")))


@dataclass(frozen=True)
class DeLong:
    """Two areas under the ROC curve on the same clips, their difference with its standard error and interval, z and two-sided p-value."""

    first: float
    second: float
    difference: Difference
    standard_error: float
    z: float


@dataclass(frozen=True)
class McNemar:
    """Clips that only the first and only the second has right, and the exact two-sided p-value."""

    only_first: int
    only_second: int
    p_value: float


@dataclass(frozen=True)
class PairedTests:
    """Two models on the same clips: `mcnemar` (None for label sets), and class → `delong`, where a class allows it."""

    mcnemar: McNemar | None
    delong: dict[str, DeLong]


def paired_differences(
    y: NDArray[Any],
    first: NDArray[Any],
    second: NDArray[Any],
    classes: Sequence[str],
    groups: NDArray[Any] | None = None,
    *,
    resampling: Resampling = DEFAULT_RESAMPLING,
    multilabel: bool = False,
) -> dict[str, Difference]:
    """Metric → score of `first` minus score of `second`, both computed on the same resamples of groups.

    Args:
        y: (n,) labels, or sets / an indicator matrix for `multilabel`.
        first, second: (n, K) probabilities of the same clips.
        groups: (n,) or None.

    Raises:
        DatasetError: shapes that differ.

    Example:
        >>> p = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
        >>> paired_differences(np.array(["a", "b", "a"]), p, 1 - p, ["a", "b"])["accuracy"].value
        1.0
    """
    classes = tuple(classes)
    if first.shape != second.shape or first.shape != (len(y), len(classes)):
        raise DatasetError(
            f"Both models must give {len(classes)} probabilities for each of the {len(y)} clips. Received {first.shape}, {second.shape}. Align them."
        )
    target = encode_labels(np.asarray(y), classes, multilabel=multilabel)
    metrics = multi_label_metrics if multilabel else single_label_metrics
    names = tuple(metrics(target, first).scores)

    def difference(rows: Any, weights: NDArray[Any] | None) -> NDArray[np.float64]:
        tables = [metrics(target[rows], p[rows], weights).scores for p in (first, second)]
        return np.stack([np.atleast_1d(tables[0][name] - tables[1][name]) for name in names], axis=-1)

    value, n = difference(slice(None), None)[0], len(y)
    if n * len(classes) * resampling.n_resamples > MAX_RESAMPLED:
        found = block_intervals(
            lambda rows: difference(rows, None)[0], groups, value, n, resampling=resampling
        )
    else:
        everything = slice(None)
        found = bootstrap(
            lambda w: difference(everything, w),
            groups,
            n,
            resampling=resampling,
            width=len(classes),
        )
    return {
        name: Difference(*(float(v) for v in row))
        for name, *row in zip(names, value, found.low, found.high, found.p_zero, strict=True)
    }


def delong(
    positive: NDArray[Any],
    first: NDArray[Any],
    second: NDArray[Any],
    groups: NDArray[Any] | None = None,
    *,
    level: float = 0.95,
) -> DeLong:
    """The difference of two correlated areas under the ROC curve.

    A positive's component is the share of negatives that it outranks (ties half), a negative's the share of positives that outrank it;
    the area is the mean of either, its variance that of these means. With groups, components are first summed within each group.

    Args:
        positive: (n,) bool, at least two of each kind (two groups of each).
        first, second: (n,) scores, higher where a positive is more likely.
        groups: (n,) or None: clips are independent.

    Raises:
        DatasetError: fewer than two positives or negatives.

    Source: DeLong, DeLong & Clarke-Pearson 1988; ranks after Sun & Xu 2014; groups after Obuchowski 1997, who reduces to DeLong without.

    Example:
        >>> y = np.array([1, 1, 1, 0, 0, 0], dtype=bool)
        >>> found = delong(y, np.array([0.9, 0.8, 0.3, 0.4, 0.2, 0.1]), np.array([0.2, 0.9, 0.8, 0.6, 0.7, 0.1]))
        >>> round(found.first, 3), round(found.second, 3), round(found.difference.p_value, 3)
        (0.889, 0.778, 0.724)
    """
    positive = np.asarray(positive, dtype=bool)
    if positive.sum() < 2 or (~positive).sum() < 2:
        raise DatasetError(
            f"DeLong's test needs two positives and two negatives. Received {int(positive.sum())} of {len(positive)}. Leave this class out."
        )
    components = [_components(positive, np.asarray(scores, dtype=np.float64)) for scores in (first, second)]
    areas = [float(above.mean()) for above, _ in components]
    codes, n_groups = group_codes(groups, len(positive))
    covariance = _covariance(components, areas, positive, codes, n_groups)
    error = float(np.sqrt(max(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1], 0.0)))
    value = areas[0] - areas[1]
    z = value / error if error > 0 else 0.0 if value == 0 else float(np.copysign(np.inf, value))
    half = float(stats.norm.ppf((1 + level) / 2)) * error
    return DeLong(
        areas[0],
        areas[1],
        Difference(value, value - half, value + half, float(2 * stats.norm.sf(abs(z)))),
        error,
        z,
    )


def mcnemar(first_right: NDArray[Any], second_right: NDArray[Any]) -> McNemar:
    """The exact test of equal accuracy: of the clips that only one has right, each is as likely to be the first's as the second's.

    It counts clips as independent; with groups, use `paired_differences`.

    Source: McNemar 1947, the exact binomial form; equal to `scipy.stats.binomtest(b, b + c)`.

    Example:
        >>> mcnemar(np.array([True] * 6 + [False]), np.array([False] * 6 + [True]))
        McNemar(only_first=6, only_second=1, p_value=0.125)
    """
    first_right, second_right = np.asarray(first_right, dtype=bool), np.asarray(second_right, dtype=bool)
    if first_right.shape != second_right.shape:
        raise DatasetError(
            f"Both models must be judged on the same clips. Received {first_right.shape} and {second_right.shape}. Align them first."
        )
    only_first, only_second = (
        int((first_right & ~second_right).sum()),
        int((~first_right & second_right).sum()),
    )
    both = only_first + only_second
    return McNemar(only_first, only_second, float(stats.binomtest(only_first, both).pvalue) if both else 1.0)


def paired_tests(
    y: NDArray[Any],
    first: NDArray[Any],
    second: NDArray[Any],
    classes: Sequence[str],
    groups: NDArray[Any] | None = None,
    *,
    level: float = 0.95,
    multilabel: bool = False,
) -> PairedTests:
    """McNemar's test of equal accuracy, clips taken as independent, and DeLong's of equal areas for each class against the rest, by group.

    A class with fewer than two clips, or groups, on either side has no DeLong; nor has any where clips · classes exceed 20 million: its ranks
    would take minutes, and `paired_differences` tells there what is to be told.

    Args: as `paired_differences`.

    Example:
        >>> y, p = np.array(["a", "a", "b", "b", "b"]), np.array([0.9, 0.6, 0.7, 0.2, 0.1])
        >>> found = paired_tests(y, np.column_stack([p, 1 - p]), np.full((5, 2), 0.5), ["a", "b"])
        >>> found.mcnemar.p_value, round(found.delong["a"].difference.value, 3)
        (0.5, 0.333)
    """
    target = encode_labels(np.asarray(y), tuple(classes), multilabel=multilabel)
    answers = None if multilabel else mcnemar(*(top_label(target, p)[0] for p in (first, second)))
    indicator = target if multilabel else target[:, None] == np.arange(len(classes))
    areas: dict[str, DeLong] = {}
    for k, name in enumerate(classes if first.size <= MAX_RANKED else ()):
        with suppress(DatasetError):  # too few of this class to say anything
            areas[name] = delong(indicator[:, k], first[:, k], second[:, k], groups, level=level)
    return PairedTests(answers, areas)


def holm(p_values: Sequence[float] | NDArray[Any]) -> NDArray[np.float64]:
    """P-values corrected for being many (family-wise): p_(i) · (m - i), made monotone, at most 1; NaN stays NaN and does not count.

    Source: Holm 1979; equal to R's `p.adjust(method = "holm")`.

    Example:
        >>> holm([0.01, 0.04, 0.03]).round(3).tolist()
        [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=np.float64)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    result = p.copy()
    result[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)), 1.0)
    return result


def _components(
    positive: NDArray[np.bool_], scores: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Per positive the share of negatives below it, per negative the share of positives above it; from mid-ranks, in n log n."""
    ranks = stats.rankdata(scores)
    n_true, n_false = int(positive.sum()), int((~positive).sum())
    above = (ranks[positive] - stats.rankdata(scores[positive])) / n_false
    return above, 1 - (ranks[~positive] - stats.rankdata(scores[~positive])) / n_true


def _covariance(
    components: list[tuple[NDArray[np.float64], NDArray[np.float64]]],
    areas: list[float],
    positive: NDArray[np.bool_],
    codes: NDArray[np.int64],
    n_groups: int,
) -> NDArray[np.float64]:
    """(2, 2) after Obuchowski: S10 + S01 + S11 + S11ᵀ, each from the groups' summed deviations."""
    sides = [positive, ~positive]
    sums = [
        np.stack(
            [
                np.bincount(codes[side], model[k] - area, n_groups) / side.sum()
                for model, area in zip(components, areas, strict=True)
            ]
        )
        for k, side in enumerate(sides)
    ]
    factors = []
    for side in sides:
        with_any = len(np.unique(codes[side]))
        if with_any < 2:
            raise DatasetError(
                "DeLong's test needs positives in two groups, and negatives in two. Received one group of a kind. Leave this class out."
            )
        factors.append(with_any / (with_any - 1))
    crossed = n_groups / (n_groups - 1) * sums[0] @ sums[1].T
    return np.asarray(
        factors[0] * sums[0] @ sums[0].T + factors[1] * sums[1] @ sums[1].T + crossed + crossed.T
    )
