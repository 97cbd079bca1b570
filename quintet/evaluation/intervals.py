"""Confidence intervals by group.

Clips of one track or artist are not independent, so the bootstrap draws whole groups, never single clips. It
gives bias-corrected and accelerated (BCa) intervals, expanded for small samples. If the data are too large to
resample, the interval comes from the spread between disjoint blocks of groups.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypedDict

import numpy as np
from numpy.typing import NDArray

from quintet.errors import ConfigError, DatasetError
from quintet.evaluation.array_types import Codes, Floats, Groups

Statistic = Callable[[Floats], Floats]
"""Weights `(B, n)` → S statistics of each resample, `(B, S)`; NaN if undefined."""

BlockStatistic = Callable[[NDArray[np.intp]], Floats]
"""Positions of clips → S statistics, `(S,)`; NaN if undefined."""

ShareProgress = Callable[[float], object]
"""Receives the share of the work that is done, between 0 and 1."""

ROUNDING = 1e-12
"""Difference of two statistics (relative to the larger of the value and 1) that rounding can make."""

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


class IntervalFacts(TypedDict):
    """Facts about intervals, for JSON.

    Args:
        method: `bca bootstrap`, `spread of J blocks` or `none`.
        level: coverage of the intervals.
        n_resamples: number of resamples; 0 without bootstrap.
        by: `group`.
        n_groups: number of groups.
    """

    method: str
    level: float
    n_resamples: int
    by: str
    n_groups: int


@dataclass(frozen=True)
class Intervals:
    """Intervals of S statistics.

    `low` and `high` are NaN if there is only one group, if there are no resamples, or if the statistic itself
    is undefined.

    Args:
        low: `(S,)`, low ends.
        high: `(S,)`, high ends.
        method: `bca bootstrap`, `spread of J blocks` or `none`.
        n_groups: number of groups.
        n_resamples: number of resamples; 0 without bootstrap.
        level: coverage of the intervals.
        undefined: `(S,)`, number of resamples in which the statistic is undefined. They do not count for its
            interval.
        p_zero: `(S,)`, two-sided p-value of the hypothesis that the statistic is zero, for differences. It is
            1 minus the level of the interval that ends at zero.
    """

    low: Floats
    high: Floats
    method: str
    n_groups: int
    n_resamples: int
    level: float
    undefined: NDArray[np.integer]
    p_zero: Floats

    def describe(self) -> IntervalFacts:
        """Method, level, number of resamples and of groups, for JSON."""
        return {
            "method": self.method,
            "level": self.level,
            "n_resamples": self.n_resamples,
            "by": "group",
            "n_groups": self.n_groups,
        }


class _Ends(NamedTuple):
    """Ends of one interval, and the p-value of zero."""

    low: float
    high: float
    p_zero: float


def no_intervals(n_statistics: int, n_groups: int, level: float) -> Intervals:
    """Intervals whose ends are NaN.

    Args:
        n_statistics: S.
        n_groups: number of groups.
        level: coverage that was asked for.
    """
    undefined = np.full(n_statistics, np.nan)
    return Intervals(
        low=undefined,
        high=undefined,
        method="none",
        n_groups=n_groups,
        n_resamples=0,
        level=level,
        undefined=np.zeros(n_statistics, dtype=np.int64),
        p_zero=undefined,
    )


def group_codes(groups: Groups | None, n: int) -> tuple[Codes, int]:
    """Number of the group of each clip, `(n,)`, and the number of groups.

    Args:
        groups: (n,) texts or integers. None: every clip is its own group.
        n: number of clips.

    Raises:
        DatasetError: if there is not one group per clip.
    """
    if groups is None:
        return np.arange(n), n
    if len(groups) != n:
        raise DatasetError(
            f"There must be one group per clip ({n}). Received {len(groups)}. Join them by clip id."
        )
    keys = np.asarray(groups)
    if keys.dtype.kind not in "iu":
        keys = np.asarray(groups, dtype=object).astype(str)
    names, codes = np.unique(keys, return_inverse=True)
    return codes.astype(np.int64), len(names)


def bootstrap(
    statistic: Statistic,
    groups: Groups | None,
    n: int,
    *,
    resampling: Resampling = DEFAULT_RESAMPLING,
    width: int = 1,
    progress: ShareProgress | None = None,
) -> Intervals:
    """Bootstrap intervals by group: bias-corrected and accelerated, with the tails of Student's t.

    A resample draws as many groups as there are, with replacement; the weight of a clip is how often its
    group is drawn. The tails are those of t with G - 1 degrees of freedom, times √(G / (G - 1)): with 20
    groups a plain percentile interval covers about 92 % instead of 95 %. An interval always contains the
    value itself.

    Args:
        statistic: weights (B, n) → (B, S); NaN if undefined.
        groups: (n,), or None: every clip is its own group.
        n: number of clips.
        resampling: seed, number of resamples and level.
        width: numbers per clip that the statistic works on at once; it bounds the memory.
        progress: receives the share of the work that is done, in (0, 1].

    Raises:
        ConfigError: if the level is not between 0 and 1.

    Source:
        Efron 1987 (BCa); Hesterberg 2015, "What teachers should know about the bootstrap", section 5.3
        (expansion).

    Example:
        >>> x = np.arange(100.0)
        >>> intervals = bootstrap(lambda w: (w @ x / w.sum(axis=1))[:, None], None, 100)
        >>> bool(43 < intervals.low[0] < 45 and 54 < intervals.high[0] < 56)  # 49.5 ± 1.98 · 29 / √100
        True
    """
    level = resampling.level
    if not 0 < level < 1:
        raise ConfigError(f"The level of an interval must lie between 0 and 1. Received {level}. Use 0.95.")
    codes, n_groups = group_codes(groups, n)
    values = statistic(np.ones((1, n)))[0]
    if n_groups < 2 or resampling.n_resamples < 1:
        return no_intervals(len(values), n_groups, level)
    rng = np.random.default_rng(resampling.seed)
    rows = max(1, BLOCK_ELEMENTS // max(1, n * width))
    draws = group_draws(codes, n_groups, resampling.n_resamples, rng, rows)
    parts_left_out = _jackknife_weights(codes, n_groups, rng, rows)
    total = resampling.n_resamples + min(n_groups, MAX_JACKKNIFE)
    resampled, jackknife = _of_all(statistic, (draws, parts_left_out), total, progress)
    all_ends = []
    for value, column, left_out in zip(values, resampled.T, jackknife.T, strict=True):
        one = _bca_ends(value, column, left_out, level=level, n_groups=n_groups)
        all_ends.append(one)
    ends = np.array(all_ends).reshape(-1, 3)
    return Intervals(
        low=ends[:, 0],
        high=ends[:, 1],
        method="bca bootstrap",
        n_groups=n_groups,
        n_resamples=resampling.n_resamples,
        level=level,
        undefined=np.isnan(resampled).sum(axis=0),
        p_zero=ends[:, 2],
    )


def _of_all(
    statistic: Statistic,
    parts: Sequence[Iterator[Floats]],
    total: int,
    progress: ShareProgress | None,
) -> list[Floats]:
    """The statistic for all weights of each part, which have `total` rows together."""
    done = 0
    tables = []
    for blocks in parts:
        rows = []
        for weights in blocks:
            rows.append(statistic(weights))
            done += len(weights)
            if progress is not None:
                progress(done / total)
        tables.append(np.concatenate(rows))
    return tables


def block_intervals(
    statistic: BlockStatistic,
    groups: Groups | None,
    values: Floats,
    n: int,
    *,
    n_blocks: int = 20,
    resampling: Resampling = DEFAULT_RESAMPLING,
    progress: ShareProgress | None = None,
) -> Intervals:
    """Intervals for data that are too large to resample: value ± t · sd(blocks) / √J.

    The groups are divided at random into J disjoint blocks. The statistic is computed once per block, which
    in total is the work of one evaluation.

    Args:
        statistic: positions of clips → (S,).
        groups: (n,), or None: every clip is its own group.
        values: (S,) the statistics of all clips.
        n: number of clips.
        n_blocks: J; fewer if there are fewer groups.
        resampling: seed and level.
        progress: receives the share of the blocks that are done, in (0, 1].
    """
    level = resampling.level
    codes, n_groups = group_codes(groups, n)
    n_blocks = min(n_blocks, n_groups)
    if n_blocks < 2:
        return no_intervals(len(values), n_groups, level)
    from scipy.special import stdtr, stdtrit  # predict imports this module, and none of scipy.special

    rng = np.random.default_rng(resampling.seed)
    block_of_group = rng.permutation(np.arange(n_groups) % n_blocks)
    block = block_of_group[codes]
    by_block = []
    for j in range(n_blocks):
        by_block.append(statistic(np.flatnonzero(block == j)))
        if progress is not None:
            progress((j + 1) / n_blocks)
    table = np.stack(by_block)
    is_defined = ~np.isnan(table)
    count = np.maximum(is_defined.sum(axis=0), 1)
    freedom = np.maximum(count - 1, 1)
    total = np.where(is_defined, table, 0.0).sum(axis=0)
    mean = total / count
    squares = np.where(is_defined, (table - mean) ** 2, 0.0)
    variance = squares.sum(axis=0) / freedom
    error = np.sqrt(variance / count)
    has_spread = count > 1
    quantile = stdtrit(freedom, (1 + level) / 2)
    half_width = np.where(has_spread, quantile * error, np.nan)
    t_without_spread = np.where(values == 0, 0.0, np.inf)
    t = np.divide(np.abs(values), error, out=t_without_spread, where=error > 0)
    return Intervals(
        low=values - half_width,
        high=values + half_width,
        method=f"spread of {n_blocks} blocks",
        n_groups=n_groups,
        n_resamples=0,
        level=level,
        undefined=(~is_defined).sum(axis=0),
        p_zero=np.where(has_spread, 2 * stdtr(freedom, -t), np.nan),
    )


def group_draws(
    codes: Codes, n_groups: int, n_resamples: int, rng: np.random.Generator, rows: int
) -> Iterator[Floats]:
    """Weights of resamples, at most `rows` at a time: how often the group of each clip is drawn.

    Args:
        codes: (n,) number of the group of each clip.
        n_groups: number of groups.
        n_resamples: number of resamples in total.
        rng: generator of the draws.
        rows: largest number of resamples in one array.

    Yields:
        Weights, at most (`rows`, n).
    """
    shares = np.full(n_groups, 1 / n_groups)
    for start in range(0, n_resamples, rows):
        size = min(rows, n_resamples - start)
        counts = rng.multinomial(n_groups, shares, size=size)
        yield counts.astype(np.float64)[:, codes]


def _jackknife_weights(codes: Codes, n_groups: int, rng: np.random.Generator, rows: int) -> Iterator[Floats]:
    """Weights in which one block of groups after another is left out, at most `rows` at a time."""
    n_blocks = min(n_groups, MAX_JACKKNIFE)
    block_of_group = rng.permutation(np.arange(n_groups) % n_blocks)
    block = block_of_group[codes]
    for start in range(0, n_blocks, rows):
        stop = min(start + rows, n_blocks)
        left_out = np.arange(start, stop)
        is_in = block != left_out[:, None]
        yield is_in.astype(np.float64)


def _bca_ends(value: float, resampled: Floats, left_out: Floats, *, level: float, n_groups: int) -> _Ends:
    """Ends of the BCa interval of one statistic, and the p-value of zero.

    Args:
        value: the statistic on all clips.
        resampled: (B,) the statistic on each resample.
        left_out: (J,) the statistic without each block of groups.
        level: coverage.
        n_groups: number of groups.
    """
    from scipy.special import ndtr, stdtr, stdtrit

    resampled = resampled[~np.isnan(resampled)]
    left_out = left_out[~np.isnan(left_out)]
    if np.isnan(value) or len(resampled) < 2:
        return _Ends(float("nan"), float("nan"), float("nan"))
    freedom = n_groups - 1
    expansion = np.sqrt(n_groups / freedom)
    bias = _normal_score(resampled, value)
    acceleration = _acceleration(left_out)
    quantile = stdtrit(freedom, (1 + level) / 2)
    tail = quantile * expansion
    shifted = bias + np.array([-tail, tail])
    stretch = np.maximum(1 - acceleration * shifted, 0.1)
    corrected = bias + shifted / stretch
    shares = ndtr(corrected)
    low, high = np.quantile(resampled, shares)
    # The same correction backwards: the tail whose interval ends at zero.
    distance = _normal_score(resampled, 0.0) - bias
    stretch_at_zero = max(1 + acceleration * distance, 0.1)
    corrected_distance = distance / stretch_at_zero - bias
    t = corrected_distance / expansion
    p_zero = float(2 * stdtr(freedom, -abs(t)))
    return _Ends(
        low=float(min(low, value)),
        high=float(max(high, value)),
        p_zero=p_zero,
    )


def _normal_score(resampled: Floats, value: float) -> float:
    """Φ⁻¹ of the share of resamples below `value`, where ties count half.

    Values that differ by rounding alone are ties: otherwise the order of a sum, which decides the last bit,
    moved the ends of an interval where many resamples tie. The share is at least half a resample and at most
    all but half a resample, so the result is finite.
    """
    from scipy.special import ndtri

    n = len(resampled)
    difference = resampled - value
    is_equal = np.abs(difference) <= ROUNDING * max(1.0, abs(value))
    n_below = np.count_nonzero((difference < 0) & ~is_equal) + np.count_nonzero(is_equal) / 2
    half_a_resample = 1 / (2 * n)
    share = np.clip(n_below / n, half_a_resample, 1 - half_a_resample)
    return float(ndtri(share))


def _acceleration(left_out: Floats) -> float:
    """Acceleration of BCa: a sixth of the skewness of the jackknife values."""
    if not len(left_out):
        return 0.0
    deviation = left_out.mean() - left_out
    scale = np.sum(deviation**2) ** 1.5
    if not scale > 0:
        return 0.0
    cubes = np.sum(deviation**3)
    return float(cubes / (6 * scale))
