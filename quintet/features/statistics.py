"""Statistics of series over time, defined here and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from quintet.errors import unknown_name

Floats = NDArray[np.float64]

NOTHING = 1e-150
"""Variance below which its square is no longer a number."""

COLUMNS = 4096
"""Columns that are processed at a time, so that a long series is never copied as a whole."""

CONSTANT = 1e-12
"""Spread, as a share of the largest value, below which movement is rounding."""


def summaries(
    series: Floats | Moments, statistics: Sequence[str], *, resolution: float = 0.0
) -> dict[str, Floats]:
    """Statistics of each row of a series.

    `mean = Σ x / n`, `std = sqrt(Σ (x - mean)² / n)`, `skew = m3 / m2^1.5`, `kurtosis = m4 / m2² - 3`
    with the central moments `m_k = Σ (x - mean)^k / n`. With a resolution `r`, skew and kurtosis are those of
    the series with normal noise of the deviation `r` added: they are multiplied by `(m2 / (m2 + r²))^1.5` and
    `(m2 / (m2 + r²))²`.

    Args:
        series: shape `(count, n)` or `(n,)`, float64, finite, n >= 1. `Moments` if they were computed
            elsewhere.
        statistics: any of `STATISTICS`.
        resolution: movement below which a series counts as constant, in its unit. 0: none does.

    Returns:
        statistic → shape `(count,)`, in the order of `statistics`. If a series is constant (or a single
        value), its std, skew and kurtosis are 0; numpy would give rounding noise and scipy NaN.

    Raises:
        ConfigError: if a statistic does not exist.

    Source:
        Equal to `numpy` and to `scipy.stats.skew`, `scipy.stats.kurtosis` (biased, Fisher) within 1e-12.

    Example:
        >>> result = summaries(np.array([[1.0, 2.0, 9.0]]), ["mean", "median", "max"])
        >>> {name: value.tolist() for name, value in result.items()}
        {'mean': [4.0], 'median': [2.0], 'max': [9.0]}
    """
    moments = series if isinstance(series, Moments) else Moments(series)
    for name in statistics:
        if name not in _FORMULAS:
            raise unknown_name("statistic", name, STATISTICS)
    return {name: _FORMULAS[name](moments, resolution) for name in statistics}


class Moments:
    """Moments of the rows of a series, from which the statistics are computed. Each has shape `(count,)`.

    Args:
        rows: shape `(count, n)` or `(n,)`, float64.
    """

    def __init__(self, rows: Floats) -> None:
        self.rows = np.atleast_2d(rows)

    @cached_property
    def mean(self) -> Floats:
        """Mean."""
        return np.asarray(self.rows.mean(axis=1))

    @cached_property
    def smallest(self) -> Floats:
        """Smallest value."""
        return np.asarray(self.rows.min(axis=1))

    @cached_property
    def largest(self) -> Floats:
        """Largest value."""
        return np.asarray(self.rows.max(axis=1))

    @cached_property
    def magnitude(self) -> Floats:
        """Largest absolute value."""
        return np.maximum(self.largest, -self.smallest)

    @cached_property
    def median(self) -> Floats:
        """Median."""
        return median(self.rows)

    @cached_property
    def deviation(self) -> Floats:
        """Deviation from the mean, shape `(count, n)`."""
        return self.rows - self.mean[:, None]

    @cached_property
    def square(self) -> Floats:
        """Squared deviation from the mean, shape `(count, n)`."""
        return self.deviation * self.deviation

    def moment(self, order: int) -> Floats:
        """Central moment `m_order`, for the orders 2, 3 and 4."""
        if order == 2:
            return np.asarray(self.square.mean(axis=1))
        power = self.square if order == 4 else self.deviation
        total = np.einsum("ij,ij->i", self.square, power)
        return np.asarray(total / self.rows.shape[1])

    @cached_property
    def variance(self) -> Floats:
        """Central moment `m2`, exactly 0 if the series is constant."""
        m2 = self.moment(2)
        rounding = np.square(CONSTANT * self.magnitude) + NOTHING
        return np.where(m2 <= rounding, 0.0, m2)

    def shape(self, order: int, *, normal: float, resolution: float = 0.0) -> Floats:
        """Standardised moment `m_order / m2^(order / 2) - normal` of the series with normal noise of the
        deviation `resolution`; 0 if the series is constant.
        """
        moves = self.variance > 0
        variance = np.where(moves, self.variance, 1.0)
        spread = variance ** (order / 2)
        standardised = self.moment(order) / spread - normal
        share = variance / (variance + resolution**2)
        return np.where(moves, standardised * share ** (order / 2), 0.0)


_FORMULAS: dict[str, Callable[[Moments, float], Floats]] = {
    "mean": lambda m, _: m.mean,
    "std": lambda m, _: np.sqrt(m.variance),
    "min": lambda m, _: m.smallest,
    "max": lambda m, _: m.largest,
    "median": lambda m, _: m.median,
    "skew": lambda m, r: m.shape(3, normal=0.0, resolution=r),
    "kurtosis": lambda m, r: m.shape(4, normal=3.0, resolution=r),
}
STATISTICS = tuple(_FORMULAS)


def median(rows: NDArray[np.floating]) -> Floats:
    """Median of each row, float64. Ten times as fast as `numpy.median`, which partitions around both middle
    values.

    Args:
        rows: shape `(count, n)`, finite.

    Example:
        >>> median(np.array([[3.0, 1.0, 2.0], [4.0, 6.0, 5.0]])).tolist()
        [2.0, 5.0]
        >>> median(np.array([[3.0, 1.0]])).tolist()
        [2.0]
    """
    half = rows.shape[1] // 2
    ordered = np.partition(rows, half, axis=1)
    upper = ordered[:, half].astype(np.float64)
    if rows.shape[1] % 2:
        return upper
    lower = ordered[:, :half].max(axis=1).astype(np.float64)
    middle: Floats = 0.5 * (upper + lower)
    return middle


def log_covariance(series: Floats, *, floor: float) -> Floats:
    """Matrix logarithm of the covariance of the rows of a series, shape `(count, count)`, symmetric.

    `log(Σ_t (x_i - mean_i) (x_j - mean_j) / n + floor [i = j]) - log(floor) [i = j]`, where `log` is the
    logarithm of a matrix. Covariance matrices form a curved space, and their logarithms a flat one. Means,
    distances and hyperplanes, which classifiers use, are meaningful in the flat space. On real recordings
    these numbers alone classify far better than the raw covariances.

    Args:
        series: shape `(count, n)`, n >= 1.
        floor: variance that counts as none, in the squared unit of the series.

    Returns:
        The matrix. All zeros if the series is constant, or if there is one frame only.

    Source:
        Arsigny et al. 2006, log-Euclidean metrics.

    Example:
        >>> series = np.array([[-1.0, 1.0], [0.0, 0.0]])
        >>> log_covariance(series, floor=1.0).round(3).tolist()  # log(1 + 1) and log(0 + 1)
        [[0.693, 0.0], [0.0, 0.0]]
    """
    mean = series.mean(axis=1, keepdims=True)
    count = len(series)
    product = np.zeros((count, count))
    for first in range(0, series.shape[1], COLUMNS):
        deviation = series[:, first : first + COLUMNS] - mean
        # not a matrix product: so small a one is slower on several threads
        product += np.einsum("it,jt->ij", deviation, deviation)
    covariance = product / series.shape[1]
    values, vectors = np.linalg.eigh(covariance)
    positive = np.maximum(values, 0.0)
    scale = np.log1p(positive / floor)
    logarithm: Floats = (vectors * scale) @ vectors.T
    return logarithm
