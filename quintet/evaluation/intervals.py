"""Confidence intervals by group: clips of one track or artist stand and fall together, so groups are what is drawn, never clips.

Up to some million statements the bootstrap is used (BCa, expanded for small samples); beyond, the spread between disjoint blocks of groups.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from quintet.errors import ConfigError, DatasetError

Statistic = Callable[[NDArray[np.float64]], NDArray[np.float64]]
MAX_JACKKNIFE = 200
BLOCK_ELEMENTS = 4_000_000


@dataclass(frozen=True)
class Resampling:
    """Settings of the intervals that come from resamples of groups.

    Args:
        seed: seed of the draws.
        n_resamples: number of bootstrap resamples. 0: no intervals.
        level: coverage of the intervals, between 0 and 1.
    """

    seed: int = 0
    n_resamples: int = 1000
    level: float = 0.95


DEFAULT_RESAMPLING = Resampling()
NO_RESAMPLING = Resampling(n_resamples=0)
"""Scores without intervals."""


@dataclass(frozen=True)
class Intervals:
    """Intervals of S statistics. `undefined` counts the resamples in which a statistic did not exist; these are left out of its interval.
    `p_zero` is the two-sided p-value of "it is zero": 1 - the level of the interval that ends there (for differences).

    `low` and `high` are NaN where there is nothing to draw from: one group, no resamples, or a statistic that is itself undefined.
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    method: str
    n_groups: int
    n_resamples: int
    level: float
    undefined: NDArray[np.int64]
    p_zero: NDArray[np.float64]

    def describe(self) -> dict[str, Any]:
        """What a reader must know about the intervals, for JSON."""
        return {
            "method": self.method,
            "level": self.level,
            "n_resamples": self.n_resamples,
            "by": "group",
            "n_groups": self.n_groups,
        }


def group_codes(groups: NDArray[Any] | None, n: int) -> tuple[NDArray[np.int64], int]:
    """(n,) the number of each clip's group, and how many groups there are; without groups, every clip is its own. Integers need no text."""
    if groups is None:
        return np.arange(n), n
    if len(groups) != n:
        raise DatasetError(
            f"There must be one group per clip ({n}). Received {len(groups)}. Join them by clip id."
        )
    given = np.asarray(groups)
    names, codes = np.unique(
        given if given.dtype.kind in "iu" else np.asarray(groups, dtype=object).astype(str),
        return_inverse=True,
    )
    return codes.astype(np.int64), len(names)


def bootstrap(
    statistic: Statistic,
    groups: NDArray[Any] | None,
    n: int,
    *,
    resampling: Resampling = DEFAULT_RESAMPLING,
    width: int = 1,
) -> Intervals:
    """Bootstrap intervals by group: bias-corrected and accelerated, at the tails of Student's t.

    A resample draws as many groups as there are, with replacement; a clip's weight is how often its group was drawn. The tails are those of
    t with G - 1 degrees of freedom, times √(G / (G - 1)): with 20 groups a plain percentile interval covers some 92 % where 95 % is promised.
    An interval always holds the value itself.

    Args:
        statistic: weights (B, n) → (B, S); NaN where undefined.
        groups: (n,) or None (every clip its own group).
        n: number of clips.
        resampling: seed, number of resamples and level.
        width: numbers per clip that the statistic works on at once; bounds the memory.

    Source: Efron 1987 (BCa); Hesterberg 2015, "What teachers should know about the bootstrap", section 5.3 (expansion).

    Example:
        >>> x = np.arange(100.0)
        >>> found = bootstrap(lambda w: (w @ x / w.sum(axis=1))[:, None], None, 100)
        >>> bool(43 < found.low[0] < 45 and 54 < found.high[0] < 56)  # 49.5 ± 1.98 · 29 / √100
        True
    """
    level, n_resamples = resampling.level, resampling.n_resamples
    if not 0 < level < 1:
        raise ConfigError(f"The level of an interval must lie between 0 and 1. Received {level}. Use 0.95.")
    codes, n_groups = group_codes(groups, n)
    value = statistic(np.ones((1, n)))[0]
    if n_groups < 2 or n_resamples < 1:
        nothing = np.full(len(value), np.nan)
        return Intervals(
            nothing, nothing, "none", n_groups, 0, level, np.zeros(len(value), dtype=np.int64), nothing
        )
    rng = np.random.default_rng(resampling.seed)
    rows = max(1, BLOCK_ELEMENTS // max(1, n * width))
    drawn = np.concatenate([statistic(w) for w in group_draws(codes, n_groups, n_resamples, rng, rows)])
    left_out = np.concatenate([statistic(w) for w in _jackknife(codes, n_groups, rng, rows)])
    ends = np.array(
        [
            _bca(v, d, j, level=level, n_groups=n_groups)
            for v, d, j in zip(value, drawn.T, left_out.T, strict=True)
        ]
    ).reshape(-1, 3)
    undefined = np.isnan(drawn).sum(axis=0)
    return Intervals(
        ends[:, 0], ends[:, 1], "bca bootstrap", n_groups, n_resamples, level, undefined, ends[:, 2]
    )


def block_intervals(
    statistic: Callable[[NDArray[np.int64]], NDArray[np.float64]],
    groups: NDArray[Any] | None,
    value: NDArray[np.float64],
    n: int,
    *,
    n_blocks: int = 20,
    resampling: Resampling = DEFAULT_RESAMPLING,
) -> Intervals:
    """Intervals for data too large to resample: value ± t · sd(blocks) / √J over J random, disjoint blocks of whole groups.

    Args:
        statistic: positions of rows → (S,), computed once per block: in all, the work of one evaluation.
        value: (S,) the statistics of all rows.
        n_blocks: J, lowered where there are fewer groups.
        resampling: seed and level.
    """
    level = resampling.level
    codes, n_groups = group_codes(groups, n)
    n_blocks = min(n_blocks, n_groups)
    if n_blocks < 2:
        nothing = np.full(len(value), np.nan)
        return Intervals(
            nothing, nothing, "none", n_groups, 0, level, np.zeros(len(value), dtype=np.int64), nothing
        )
    block = np.random.default_rng(resampling.seed).permutation(np.arange(n_groups) % n_blocks)[codes]
    table = np.stack([statistic(np.flatnonzero(block == j)) for j in range(n_blocks)])
    known = ~np.isnan(table)
    count = np.maximum(known.sum(axis=0), 1)
    centre = np.where(known, table, 0.0).sum(axis=0) / count
    variance = np.where(known, (table - centre) ** 2, 0.0).sum(axis=0) / np.maximum(count - 1, 1)
    half = np.where(
        count > 1, stats.t.ppf((1 + level) / 2, np.maximum(count - 1, 1)) * np.sqrt(variance / count), np.nan
    )
    error = np.sqrt(variance / count)
    t = np.divide(np.abs(value), error, out=np.where(value == 0, 0.0, np.inf), where=error > 0)
    p_zero = np.where(count > 1, 2 * stats.t.sf(t, np.maximum(count - 1, 1)), np.nan)
    return Intervals(
        value - half,
        value + half,
        f"spread of {n_blocks} blocks",
        n_groups,
        0,
        level,
        (~known).sum(axis=0),
        p_zero,
    )


def percentile_intervals(
    values: NDArray[np.float64], groups: NDArray[Any] | None, *, seed: int = 0, n_resamples: int = 1000
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
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
    draws = np.random.default_rng(seed).multinomial(n_groups, shares, size=n_resamples)
    means = (draws @ sums) / np.maximum(draws @ sizes, 1)[:, None]
    low, high = np.quantile(means, [0.025, 0.975], axis=0)
    return low, high


class ComparedInterval(NamedTuple):
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


def compared_interval(
    value: float, resampled: NDArray[np.float64], *, n_groups: int, n_compared: int
) -> ComparedInterval:
    """Percentile interval (95 %) of a statistic, and an interval corrected for several comparisons.

    The corrected interval has the level `1 - 0.05 / n_compared` (Bonferroni). That far out, the percentiles of
    some hundred resamples of few groups are too coarse. Its ends are therefore the value ± Student's t (G - 1
    degrees of freedom) times the standard error. The standard error is the deviation of the resamples times
    √(G / (G - 1)), because resamples of few groups vary too little by this factor. The corrected interval is
    never narrower than the percentile interval.

    Args:
        value: the statistic on all clips.
        resampled: (B,) the statistic on each resample of whole groups; NaN where it is undefined.
        n_groups: number of groups, G.
        n_compared: number of statistics that are shown together.

    Returns:
        Both intervals. All ends are NaN if there is only one group.

    Example:
        >>> one = compared_interval(0.0, np.array([-1.0, 1.0]), n_groups=5, n_compared=1)
        >>> round(one.high, 3), round(one.high_corrected, 3)  # 2.776 · √(5 / 4)
        (0.95, 3.104)
    """
    if n_groups < 2:
        return ComparedInterval(np.nan, np.nan, np.nan, np.nan)
    low, high = (float(end) for end in np.nanquantile(resampled, [0.025, 0.975]))
    standard_error = float(np.nanstd(resampled) * np.sqrt(n_groups / (n_groups - 1)))
    reach = float(stats.t.ppf(1 - 0.025 / n_compared, n_groups - 1)) * standard_error
    return ComparedInterval(low, high, min(low, value - reach), max(high, value + reach))


def group_draws(
    codes: NDArray[np.int64], n_groups: int, n_resamples: int, rng: np.random.Generator, rows: int
) -> Iterator[NDArray[np.float64]]:
    """Weights (at most `rows`, n) of one resample after another: how often the group of each clip was drawn."""
    shares = np.full(n_groups, 1 / n_groups)
    for start in range(0, n_resamples, rows):
        yield rng.multinomial(n_groups, shares, size=min(rows, n_resamples - start)).astype(np.float64)[
            :, codes
        ]


def _jackknife(
    codes: NDArray[np.int64], n_groups: int, rng: np.random.Generator, rows: int
) -> Iterator[NDArray[np.float64]]:
    n_blocks = min(n_groups, MAX_JACKKNIFE)
    block = rng.permutation(np.arange(n_groups) % n_blocks)[codes]
    for start in range(0, n_blocks, rows):
        yield (block != np.arange(start, min(start + rows, n_blocks))[:, None]).astype(np.float64)


def _bca(
    value: float, drawn: NDArray[np.float64], left_out: NDArray[np.float64], *, level: float, n_groups: int
) -> tuple[float, float, float]:
    """Low end, high end, p-value of zero."""
    drawn, left_out = drawn[~np.isnan(drawn)], left_out[~np.isnan(left_out)]
    if np.isnan(value) or len(drawn) < 2:
        return float("nan"), float("nan"), float("nan")
    bias, skew = _normal_score(drawn, value), _acceleration(left_out)
    wider = np.sqrt(n_groups / (n_groups - 1))
    tail = stats.t.ppf((1 + level) / 2, n_groups - 1) * wider
    shifted = bias + np.array([-tail, tail])
    at = stats.norm.cdf(bias + shifted / np.maximum(1 - skew * shifted, 0.1))
    low, high = np.quantile(drawn, at)
    moved = _normal_score(drawn, 0.0) - bias
    t = (moved / max(1 + skew * moved, 0.1) - bias) / wider
    return float(min(low, value)), float(max(high, value)), float(2 * stats.t.sf(abs(t), n_groups - 1))


def _normal_score(drawn: NDArray[np.float64], value: float) -> float:
    """Φ⁻¹ of the share of draws below `value`, ties half; at the ends, half a draw is taken to lie beyond."""
    below = (np.count_nonzero(drawn < value) + np.count_nonzero(drawn == value) / 2) / len(drawn)
    return float(stats.norm.ppf(np.clip(below, 1 / (2 * len(drawn)), 1 - 1 / (2 * len(drawn)))))


def _acceleration(left_out: NDArray[np.float64]) -> float:
    deviation = left_out.mean() - left_out if len(left_out) else np.zeros(1)
    scale = np.sum(deviation**2) ** 1.5
    return float(np.sum(deviation**3) / (6 * scale)) if scale > 0 else 0.0
