"""What happens to a table of features before a classifier sees it, learnt from the training rows only."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from quintet.errors import DatasetError

Matrix = NDArray[np.float64]


class Preparation:
    """Gaps filled, useless columns dropped and, where asked, values standardised: everything learnt in `fit`.

    A value that is NaN or infinite is a gap, and takes its column's training median. A column with no finite value, or with
    the same value in every training row, is dropped. With `scale`, `z = clip((x - mean) / std, -limit, +limit)`: the limit
    keeps one freak value of one clip from deciding a linear verdict alone.

    Parameters:
        scale: standardise the columns that are kept.
        limit: the largest standardised value, in standard deviations, > 0.

    Attributes:
        kept (k,) int64: positions of the columns that are kept. median, mean, std (k,) float64: of those columns.

    Raises:
        DatasetError: no column carries anything: all are constant or empty.

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

    def fit(self, X: Matrix) -> Preparation:
        """Medians, means and standard deviations of the columns of `X` (rows, columns) that carry anything."""
        finite = np.isfinite(X)
        candidates = np.flatnonzero(finite.any(axis=0))
        median = np.array([np.median(X[finite[:, j], j]) for j in candidates])
        filled = np.where(finite[:, candidates], X[:, candidates], median)
        varies = np.flatnonzero(filled.max(axis=0, initial=-np.inf) > filled.min(axis=0, initial=np.inf))
        if not len(varies):
            raise DatasetError(
                f"At least one feature must differ between training rows. Received {X.shape[1]} column(s) over {X.shape[0]} row(s), "
                "all constant or empty. Look at the feature table."
            )
        self.kept = candidates[varies].astype(np.int64)
        self.median = median[varies]
        self.mean = filled[:, varies].mean(axis=0)
        self.std = filled[:, varies].std(axis=0)
        self.std[self.std == 0.0] = 1.0  # differences below the resolution of a square
        return self

    def transform(self, X: Matrix) -> Matrix:
        """`X` (rows, columns) as the classifier sees it: (rows, k) float64, all finite."""
        columns = X[:, self.kept]
        columns = np.where(np.isfinite(columns), columns, self.median)
        if not self.scale:
            return columns
        return np.clip((columns - self.mean) / self.std, -self.limit, self.limit)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The learnt state, name → array, for storage."""
        return {"kept": self.kept, "median": self.median, "mean": self.mean, "std": self.std}

    def restore(self, arrays: dict[str, NDArray[Any]]) -> Preparation:
        """The state that `arrays()` gave, put back."""
        self.kept = arrays["kept"].astype(np.int64)
        self.median, self.mean, self.std = (
            arrays[name].astype(np.float64) for name in ("median", "mean", "std")
        )
        return self
