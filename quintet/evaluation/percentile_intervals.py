"""Intervals of means, of shares, and of statistics that are shown together."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from quintet.evaluation.array_types import Floats, Groups
from quintet.evaluation.intervals import group_codes

NORMAL_975 = 1.959964
"""97.5 % quantile of the normal distribution."""


def percentile_intervals(
    values: Floats, groups: Groups | None, *, seed: int = 0, n_resamples: int = 1000
) -> tuple[Floats, Floats]:
    """Percentile intervals (95 %) of the column means of a table, from resamples of whole groups.

    A resample draws as many groups as there are, with replacement. Unlike `bootstrap`, the interval is not
    corrected for bias and not expanded for few groups.

    Args:
        values: (n, k) one row per clip.
        groups: (n,) the group of each clip. None: every clip is its own group.
        seed: seed of the draws.
        n_resamples: number of resamples.

    Returns:
        Two arrays (k,): the low ends and the high ends. All are NaN if there is only one group.

    Example:
        >>> low, high = percentile_intervals(np.array([[1.0], [1.0]]), np.array(["a", "b"]))
        >>> low.tolist(), high.tolist()
        ([1.0], [1.0])
    """
    n_columns = values.shape[1]
    codes, n_groups = group_codes(groups, len(values))
    if n_groups < 2:
        return np.full(n_columns, np.nan), np.full(n_columns, np.nan)
    sums = np.zeros((n_groups, n_columns))
    np.add.at(sums, codes, values)
    sizes = np.bincount(codes, minlength=n_groups)
    shares = np.full(n_groups, 1 / n_groups)
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(n_groups, shares, size=n_resamples)
    n_clips = np.maximum(draws @ sizes, 1)
    means = (draws @ sums) / n_clips[:, None]
    low, high = np.quantile(means, [0.025, 0.975], axis=0)
    return low, high


def wilson_interval(share: float, n: float) -> tuple[float, float]:
    """95 % interval of a share that was observed in `n` cases, within [0, 1].

    Args:
        share: the observed share, in [0, 1].
        n: number of cases, more than 0; an effective number need not be whole.

    Source:
        Wilson, Journal of the American Statistical Association 22 (1927), p. 209.

    Example:
        >>> low, high = wilson_interval(0.0, 10)
        >>> low, round(high, 3)
        (0.0, 0.278)
    """
    square = NORMAL_975**2
    scale = 1 + square / n
    middle = (share + square / (2 * n)) / scale
    variance = share * (1 - share) / n + square / (4 * n * n)
    half_width = NORMAL_975 / scale * float(np.sqrt(variance))
    return max(middle - half_width, 0.0), min(middle + half_width, 1.0)


def share_interval(is_right: NDArray[np.bool_], groups: Groups | None) -> tuple[float, float]:
    """95 % interval of the share of right clips, if the clips of a group are not independent.

    It is Wilson's interval for an effective number of clips: the number of clips divided by the design
    effect, the variance of the share between groups relative to that of as many independent clips. The
    effective number is at most the number of clips, and at least the number of groups. If all clips are
    right, or none is, the groups count.

    Args:
        is_right: (n,) whether each clip is right.
        groups: (n,) the group of each clip. None: every clip is its own group.

    Returns:
        Both ends; NaN without clips.

    Source:
        Korn and Graubard, Survey Methodology 24 (1998), p. 193, for the effective number.

    Example:
        >>> alone = share_interval(np.array([True, True, False, False]), None)
        >>> alone == wilson_interval(0.5, 4)
        True
        >>> by_group = share_interval(np.array([True, True, False, False]), np.array(["a", "a", "b", "b"]))
        >>> by_group == wilson_interval(0.5, 2)
        True
    """
    n = len(is_right)
    if not n:
        return float("nan"), float("nan")
    codes, n_groups = group_codes(groups, n)
    share = float(is_right.mean())
    variance = share * (1 - share) / n
    effective = float(n_groups)
    if variance > 0 and n_groups > 1:
        sums = np.bincount(codes, weights=is_right - share, minlength=n_groups)
        between = float((sums**2).sum()) / n**2 * n_groups / (n_groups - 1)
        effective = n * variance / between if between > 0 else float(n)
        effective = min(max(effective, float(n_groups)), float(n))
    return wilson_interval(share, effective)


class ComparisonInterval(NamedTuple):
    """Two intervals of one statistic among several statistics that are shown together.

    Args:
        low: low end of the 95 % interval.
        high: high end of the 95 % interval.
        low_corrected: low end of the interval that is corrected for the number of statistics.
        high_corrected: high end of that interval.
    """

    low: float
    high: float
    low_corrected: float
    high_corrected: float


def comparison_interval(
    value: float, resampled: Floats, *, n_groups: int, n_compared: int
) -> ComparisonInterval:
    """Percentile interval (95 %) of a statistic, and an interval corrected for several comparisons.

    The corrected interval has the level `1 - 0.05 / n_compared` (Bonferroni). That far out, the percentiles
    of some hundred resamples of few groups are too coarse. Its ends are therefore the value ± Student's t
    (G - 1 degrees of freedom) times the standard error. The standard error is the deviation of the resamples
    times √(G / (G - 1)), because resamples of few groups vary too little by this factor. The corrected
    interval is never narrower than the percentile interval.

    Args:
        value: the statistic on all clips.
        resampled: (B,) the statistic on each resample of whole groups; NaN where it is undefined.
        n_groups: number of groups, G.
        n_compared: number of statistics that are shown together.

    Returns:
        Both intervals. All ends are NaN if there is only one group, or if no resample has a value.

    Example:
        >>> one = comparison_interval(0.0, np.array([-1.0, 1.0]), n_groups=5, n_compared=1)
        >>> round(one.high, 3), round(one.high_corrected, 3)  # 2.776 · √(5 / 4)
        (0.95, 3.104)
    """
    known = resampled[~np.isnan(resampled)]
    if n_groups < 2 or not known.size:
        return ComparisonInterval(np.nan, np.nan, np.nan, np.nan)
    freedom = n_groups - 1
    low, high = np.quantile(known, [0.025, 0.975]).tolist()
    expansion = np.sqrt(n_groups / freedom)
    standard_error = float(known.std() * expansion)
    quantile = float(stdtrit(freedom, 1 - 0.025 / n_compared))
    half_width = quantile * standard_error
    return ComparisonInterval(
        low=low,
        high=high,
        low_corrected=min(low, value - half_width),
        high_corrected=max(high, value + half_width),
    )
