"""Preparation of a feature table for a classifier: fills gaps, drops useless columns, scales the rest.

Medians, quartiles, means and standard deviations are learnt from training rows only.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quintet.classifiers.array_files import StoredArray
from quintet.errors import DatasetError

Matrix = NDArray[np.float64]


STD_COLUMNS = 64
"""Columns whose deviations are in memory at a time."""

QUARTILES_OF_NORMAL = 1.349
"""Distance of the quartiles of a normal distribution, in standard deviations."""

BEND = 3.0
"""Limit of a compressed value: the spreads at which tails bend."""

LARGEST = 1e150
"""Largest distance from the median, in spreads, whose square is a number."""


class Preparation:
    """Fills gaps, drops useless columns and, with `scale`, standardises values.

    A value that is NaN or infinite is a gap; it is replaced by the training median of its column. A column is
    useless if it has no finite value, or the same value in every training row. With `scale`,
    `z = clip((u - mean) / std, -limit, +limit)`, where `u = x`. The limit prevents that one extreme value of
    a clip decides a linear prediction alone.

    Of some columns, the tails are compressed first: `u = d / sqrt(1 + (d / 3)²)` with
    `d = (x - median) / spread` is almost d near the median and never beyond 3. The activations of a network
    have long tails, in which most of the distance between two clips would lie. The spread is the distance of
    the quartiles / 1.349, which is the standard deviation if the values are normal. If the quartiles are
    equal, it is the mean distance from the median.

    Args:
        scale: standardise the remaining columns.
        limit: the largest standardised value, in standard deviations, > 0.

    Attributes:
        kept: positions of the remaining columns, `(k,)` int64.
        median: medians of those columns, `(k,)` float64.
        spread: their spreads, `(k,)` float64, 0 for a column whose tails are not compressed; None if there is
            no other.
        mean: means of u, `(k,)` float64.
        std: standard deviations of u, `(k,)` float64.

    Raises:
        DatasetError: if all columns are constant or empty.

    Source:
        The compression is that of Holzmüller et al. 2024, Better by default (robust scaling, smooth
        clipping), scaled once more.

    Example:
        >>> table = np.array([[1.0, 7.0, 3.0], [3.0, 7.0, np.nan], [5.0, 7.0, 5.0]])
        >>> Preparation(scale=False).fit(table).transform(table).tolist()
        [[1.0, 3.0], [3.0, 4.0], [5.0, 5.0]]
    """

    kept: NDArray[np.int64]
    median: Matrix
    spread: Matrix | None
    mean: Matrix
    std: Matrix

    def __init__(self, *, scale: bool, limit: float = 5.0) -> None:
        self.scale = scale
        self.limit = limit

    def fit(
        self,
        X: Matrix,
        columns: NDArray[np.int64] | None = None,
        *,
        long_tailed: NDArray[np.int64] | None = None,
    ) -> Preparation:
        """Learn medians, spreads, means and standard deviations of the columns that vary.

        Args:
            X: `(rows, columns)`.
            columns: positions of the columns that may be kept, ascending. Default: all.
            long_tailed: positions of the columns whose tails are compressed, with `scale`. Default: none.
        """
        is_finite = np.isfinite(X)
        candidates = np.flatnonzero(is_finite.any(axis=0))
        if columns is not None:
            candidates = np.intersect1d(candidates, columns)
        median = np.array([np.median(X[is_finite[:, j], j]) for j in candidates])
        del is_finite
        filled = _fill(X[:, candidates], median)
        highest, lowest = filled.max(axis=0, initial=-np.inf), filled.min(axis=0, initial=np.inf)
        varies = np.flatnonzero(highest > lowest)
        if not len(varies):
            n_columns = X.shape[1] if columns is None else len(columns)
            raise DatasetError(
                "At least one feature must differ between training rows. "
                f"Received {n_columns} column(s) over {X.shape[0]} row(s), all constant or empty. "
                "Look at the feature table."
            )
        self.kept = candidates[varies].astype(np.int64)
        self.median = median[varies]
        if len(varies) < len(candidates):
            filled = filled[:, varies]
        blocks = [slice(start, start + STD_COLUMNS) for start in range(0, len(varies), STD_COLUMNS)]
        self.spread = None
        has_tails = np.isin(self.kept, [] if long_tailed is None else long_tailed)
        if self.scale and has_tails.any():
            spread = np.concatenate([_spread(filled[:, block], self.median[block]) for block in blocks])
            self.spread = np.where(has_tails, spread, 0.0)
            filled = self._compress(filled)
        self.mean = filled.mean(axis=0)
        self.std = np.concatenate([filled[:, block].std(axis=0) for block in blocks])
        self.std[self.std == 0.0] = 1.0  # differences so small that their squares are 0
        return self

    def transform(self, X: Matrix) -> Matrix:
        """Prepared rows of `X` `(rows, columns)`: `(rows, k)` float64, all finite."""
        columns = _fill(X[:, self.kept].astype(np.float64, copy=False), self.median)
        if not self.scale:
            return columns
        columns = self._compress(columns)
        columns -= self.mean
        columns /= self.std
        return np.clip(columns, -self.limit, self.limit, out=columns)

    def _compress(self, columns: Matrix) -> Matrix:
        """Columns with compressed tails, perhaps in the same memory."""
        if self.spread is None:
            return columns
        has_tails = self.spread > 0
        if has_tails.all():
            return _bend(columns, self.median, self.spread)
        columns[:, has_tails] = _bend(columns[:, has_tails], self.median[has_tails], self.spread[has_tails])
        return columns

    def arrays(self) -> dict[str, StoredArray]:
        """Learnt state for storage: name → array."""
        arrays: dict[str, StoredArray] = {
            "kept": self.kept,
            "median": self.median,
            "mean": self.mean,
            "std": self.std,
        }
        return arrays if self.spread is None else {**arrays, "spread": self.spread}

    def restore(self, arrays: Mapping[str, StoredArray]) -> Preparation:
        """Set the state that `arrays()` returned; older models have no spread."""
        self.kept = arrays["kept"].astype(np.int64)
        self.median = arrays["median"].astype(np.float64)
        self.mean = arrays["mean"].astype(np.float64)
        self.std = arrays["std"].astype(np.float64)
        self.spread = arrays["spread"].astype(np.float64) if "spread" in arrays else None
        return self


def fill_masked(X: ArrayLike) -> ArrayLike:
    """A table whose masked values are NaN; NumPy itself drops the mask and takes what is below it.

    Example:
        >>> fill_masked(np.ma.array([[1, 999]], mask=[[False, True]])).tolist()
        [[1.0, nan]]
    """
    return np.ma.filled(X.astype(np.float64), np.nan) if isinstance(X, np.ma.MaskedArray) else X


def _fill(columns: Matrix, median: Matrix) -> Matrix:
    """The same array, in which every gap is the median of its column."""
    rows, places = np.nonzero(~np.isfinite(columns))
    columns[rows, places] = median[places]
    return columns


def _spread(columns: Matrix, median: Matrix) -> Matrix:
    """Spread of each column, `(k,)`, positive and finite."""
    low, high = np.percentile(columns, [25, 75], axis=0)
    with np.errstate(over="ignore"):
        distance = np.abs(columns - median).mean(axis=0)
        spread = (high - low) / QUARTILES_OF_NORMAL
    spread = np.where(spread > 0, spread, distance)
    return np.where((spread > 0) & np.isfinite(spread), spread, 1.0)


def _bend(columns: Matrix, median: Matrix, spread: Matrix) -> Matrix:
    """`d / sqrt(1 + (d / 3)²)` with `d = (x - median) / spread`, in the memory of the columns."""
    with np.errstate(over="ignore"):
        columns -= median
        columns /= spread
    np.clip(columns, -LARGEST, LARGEST, out=columns)
    for first in range(0, columns.shape[1], STD_COLUMNS):
        block = columns[:, first : first + STD_COLUMNS]
        block /= np.sqrt(1.0 + np.square(block / BEND))
    return columns
