"""Preparation of a feature table for a classifier: fills gaps, drops useless columns, scales the rest.

Medians, means and standard deviations are learnt from training rows only.
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


class Preparation:
    """Fills gaps, drops useless columns and, with `scale`, standardises values.

    A value that is NaN or infinite is a gap; it is replaced by the training median of its column. A column is
    useless if it has no finite value, or the same value in every training row. With `scale`,
    `z = clip((x - mean) / std, -limit, +limit)`. The limit prevents that one extreme value of a clip decides
    a linear prediction alone.

    Args:
        scale: standardise the remaining columns.
        limit: the largest standardised value, in standard deviations, > 0.

    Attributes:
        kept: positions of the remaining columns, `(k,)` int64.
        median: medians of those columns, `(k,)` float64.
        mean: their means, `(k,)` float64.
        std: their standard deviations, `(k,)` float64.

    Raises:
        DatasetError: if all columns are constant or empty.

    Example:
        >>> table = np.array([[1.0, 7.0, 3.0], [3.0, 7.0, np.nan], [5.0, 7.0, 5.0]])
        >>> Preparation(scale=False).fit(table).transform(table).tolist()
        [[1.0, 3.0], [3.0, 4.0], [5.0, 5.0]]
    """

    kept: NDArray[np.int64]
    median: Matrix
    mean: Matrix
    std: Matrix

    def __init__(self, *, scale: bool, limit: float = 5.0) -> None:
        self.scale = scale
        self.limit = limit

    def fit(self, X: Matrix, columns: NDArray[np.int64] | None = None) -> Preparation:
        """Learn medians, means and standard deviations of the columns that vary.

        Args:
            X: `(rows, columns)`.
            columns: positions of the columns that may be kept, ascending. Default: all.
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
        self.mean = filled.mean(axis=0)
        blocks = range(0, len(varies), STD_COLUMNS)
        self.std = np.concatenate([filled[:, start : start + STD_COLUMNS].std(axis=0) for start in blocks])
        self.std[self.std == 0.0] = 1.0  # differences so small that their squares are 0
        return self

    def transform(self, X: Matrix) -> Matrix:
        """Prepared rows of `X` `(rows, columns)`: `(rows, k)` float64, all finite."""
        columns = _fill(X[:, self.kept].astype(np.float64, copy=False), self.median)
        if not self.scale:
            return columns
        columns -= self.mean
        columns /= self.std
        return np.clip(columns, -self.limit, self.limit, out=columns)

    def arrays(self) -> dict[str, StoredArray]:
        """Learnt state for storage: name → array."""
        return {"kept": self.kept, "median": self.median, "mean": self.mean, "std": self.std}

    def restore(self, arrays: Mapping[str, StoredArray]) -> Preparation:
        """Set the state that `arrays()` returned."""
        self.kept = arrays["kept"].astype(np.int64)
        self.median = arrays["median"].astype(np.float64)
        self.mean = arrays["mean"].astype(np.float64)
        self.std = arrays["std"].astype(np.float64)
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
