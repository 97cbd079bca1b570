"""DeLong's test of two areas under the ROC curve on the same clips."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quintet.errors import DatasetError
from quintet.evaluation.array_types import Codes, Floats, Groups, Indicator
from quintet.evaluation.intervals import group_codes
from quintet.evaluation.scores import Difference


@dataclass(frozen=True)
class DeLong:
    """Two areas under the ROC curve on the same clips, and DeLong's test of their difference.

    Args:
        first: area of the first scores.
        second: area of the second scores.
        difference: first minus second, with interval and p-value.
        standard_error: standard error of the difference.
        z: difference divided by its standard error.
    """

    first: float
    second: float
    difference: Difference
    standard_error: float
    z: float


class _DeLongComponents(NamedTuple):
    """Components of one area under the ROC curve.

    Args:
        positives: (n⁺,) share of the negatives below each positive, ties half.
        negatives: (n⁻,) share of the positives above each negative, ties half.
    """

    positives: Floats
    negatives: Floats


def delong(
    positive: Indicator,
    first: NDArray[np.number],
    second: NDArray[np.number],
    groups: Groups | None = None,
    *,
    level: float = 0.95,
) -> DeLong:
    """DeLong's test: the difference of two correlated areas under the ROC curve.

    The component of a positive is the share of negatives with lower scores (ties count half). The component
    of a negative is the share of positives with higher scores. The area is the mean of either kind, and its
    variance follows from the variances of these means. With groups, the components of a group are first
    added.

    Args:
        positive: (n,) bool, at least two of each kind (with groups: two groups with each kind).
        first: (n,) scores, higher if a positive is more likely.
        second: (n,) scores of the same clips.
        groups: (n,), or None: clips are independent.
        level: coverage of the interval.

    Raises:
        DatasetError: if there are fewer than two positives or negatives.

    Source:
        DeLong, DeLong & Clarke-Pearson 1988; ranks as in Sun & Xu 2014; groups as in Obuchowski 1997, whose
        variance equals DeLong's if every clip is its own group.

    Example:
        >>> y = np.array([1, 1, 1, 0, 0, 0], dtype=bool)
        >>> one, two = np.array([0.9, 0.8, 0.3, 0.4, 0.2, 0.1]), np.array([0.2, 0.9, 0.8, 0.6, 0.7, 0.1])
        >>> test = delong(y, one, two)
        >>> round(test.first, 3), round(test.second, 3), round(test.difference.p_value, 3)
        (0.889, 0.778, 0.724)
    """
    positive = np.asarray(positive, dtype=bool)
    n_true = int(positive.sum())
    n_false = len(positive) - n_true
    if n_true < 2 or n_false < 2:
        raise DatasetError(
            f"DeLong's test needs two positives and two negatives. Received {n_true} positives "
            f"and {n_false} negatives. Leave this class out."
        )
    from scipy.special import ndtr, ndtri  # predict imports this module for Holm's correction, and no SciPy

    both_scores = [np.asarray(scores, dtype=np.float64) for scores in (first, second)]
    components = [_delong_components(positive, scores) for scores in both_scores]
    areas = [float(one.positives.mean()) for one in components]
    codes, n_groups = group_codes(groups, len(positive))
    covariance = _delong_covariance(components, areas, positive, codes, n_groups)
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    standard_error = float(np.sqrt(max(variance, 0.0)))
    value = areas[0] - areas[1]
    z = _z_score(value, standard_error)
    quantile = float(ndtri((1 + level) / 2))
    half_width = quantile * standard_error
    difference = Difference(
        value=value,
        low=value - half_width,
        high=value + half_width,
        p_value=float(2 * ndtr(-abs(z))),
    )
    return DeLong(
        first=areas[0],
        second=areas[1],
        difference=difference,
        standard_error=standard_error,
        z=z,
    )


def _z_score(value: float, standard_error: float) -> float:
    """Value divided by its standard error; infinite if only the error is zero, and 0 if both are."""
    if standard_error > 0:
        return value / standard_error
    return 0.0 if value == 0 else float(np.copysign(np.inf, value))


def _delong_components(positive: Indicator, scores: Floats) -> _DeLongComponents:
    """Components of one area, in n log n steps."""
    of_positives, of_negatives = scores[positive], scores[~positive]
    return _DeLongComponents(
        positives=_share_below(of_positives, of_negatives),
        negatives=1 - _share_below(of_negatives, of_positives),
    )


def _share_below(scores: Floats, others: Floats) -> Floats:
    """Share of the others that are below each score, `(n,)`; ties count half."""
    ordered = np.sort(others)
    below = np.searchsorted(ordered, scores, side="left")
    upto = np.searchsorted(ordered, scores, side="right")
    return np.asarray((below + upto) / 2 / len(others))


def _delong_covariance(
    components: list[_DeLongComponents], areas: list[float], positive: Indicator, codes: Codes, n_groups: int
) -> Floats:
    """Covariance of two areas, `(2, 2)`, as in Obuchowski 1997: S10 + S01 + S11 + S11ᵀ.

    Each part comes from the deviations of the components from the area, added within each group.
    """
    positive_codes = codes[positive]
    negative_codes = codes[~positive]
    positive_deviations = []
    negative_deviations = []
    for one, area in zip(components, areas, strict=True):
        positive_deviations.append(one.positives - area)
        negative_deviations.append(one.negatives - area)
    positive_sums = _group_sums(positive_deviations, positive_codes, n_groups)
    negative_sums = _group_sums(negative_deviations, negative_codes, n_groups)
    scaled_positives = _small_sample_factor(positive_codes) * positive_sums
    scaled_negatives = _small_sample_factor(negative_codes) * negative_sums
    among_positives = scaled_positives @ positive_sums.T
    among_negatives = scaled_negatives @ negative_sums.T
    factor = n_groups / (n_groups - 1)
    between = factor * positive_sums @ negative_sums.T
    return np.asarray(among_positives + among_negatives + between + between.T)


def _group_sums(deviations: list[Floats], codes: Codes, n_groups: int) -> Floats:
    """Sum of the deviations in each group, divided by the number of clips, `(2, n_groups)`."""
    sums = np.stack([np.bincount(codes, values, n_groups) for values in deviations])
    return sums / len(codes)


def _small_sample_factor(codes: Codes) -> float:
    """G / (G - 1), where G is the number of groups with clips of one kind."""
    n_groups = len(np.unique(codes))
    if n_groups < 2:
        raise DatasetError(
            "DeLong's test needs positives in two groups, and negatives in two groups. "
            "Received one group of a kind. Leave this class out."
        )
    return n_groups / (n_groups - 1)
