"""Distance of a clip's features from all classes. The members' probabilities do not show it.

A sound unlike all training clips can lie far on one side of every decision boundary, so that members are sure
of a wrong class. Its place among the features shows that it is new.

The distance is the relative Mahalanobis distance (Ren et al. 2021, "A simple fix to Mahalanobis distance for
improving near-OOD detection"):

m(z) = min_k (z - μ_k)ᵀ Σ⁻¹ (z - μ_k) - (z - μ)ᵀ Σ₀⁻¹ (z - μ)

Here z are the leading principal components of the standardised features, μ_k and Σ are the means and the
common covariance of the classes (Ledoit-Wolf), and μ and Σ₀ are those of all clips. The second term removes
what is unusual about a clip for music in general.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from quintet.classifiers.array_files import StoredArray
from quintet.classifiers.tabular.preparation import Preparation
from quintet.ensemble.array_types import Floats, Folds, Labels
from quintet.errors import AlignmentError, ArtefactError
from quintet.files.untrusted.arrays import ArrayRule

VARIANCE = 0.9
"""Share of the variance of the standardised features that the components keep."""

FLOOR = 1e-12
"""Smallest variance, in units of the standardised features."""

Arrays = Mapping[str, StoredArray]


@dataclass(frozen=True)
class Distance:
    """Fitted distance of features from all classes; call it with a table of features.

    Args:
        preparation: standardises the features.
        components: k directions in the d prepared features, `(k, d)`.
        means: mean of each class, then of all clips, `(K + 1, k)`.
        within: root of the inverse covariance within the classes, `(k, k)`.
        overall: root of the inverse covariance of all clips, `(k, k)`.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> X = rng.normal(size=(60, 5)) + 4 * np.repeat(np.eye(2, 5), 30, axis=0)
        >>> distance = Distance.fit(X, np.repeat(["jazz", "rock"], 30))
        >>> near, far = distance(np.array([[4.0, 0, 0, 0, 0], [4.0, 0, 9, 9, 0]]))
        >>> bool(near < far)
        True
    """

    preparation: Preparation
    components: Floats
    means: Floats
    within: Floats
    overall: Floats

    @classmethod
    def fit(cls, X: ArrayLike, y: Labels) -> Self:
        """Fit the distance.

        Args:
            X: features `(n, d)`, NaN where unknown.
            y: labels `(n,)`.

        Raises:
            DatasetError: no feature differs between rows.
            AlignmentError: there is not one row per label.
        """
        from sklearn.covariance import ledoit_wolf

        table = np.asarray(X, dtype=np.float64)
        if len(table) != len(y):
            raise AlignmentError(
                f"There must be one row of features per label ({len(y)}). Received {len(table)}. "
                "Join them by clip id."
            )
        preparation = Preparation(scale=True).fit(table)
        prepared = preparation.transform(table)
        # standardised means are zero, except where values were clipped
        components = _leading_directions(prepared - prepared.mean(axis=0))
        z = prepared @ components.T
        codes = np.unique(y, return_inverse=True)[1]
        class_means = [z[codes == k].mean(axis=0) for k in range(codes.max() + 1)]
        means = np.stack([*class_means, z.mean(axis=0)])
        within = _inverse_root(ledoit_wolf(z - means[codes], assume_centered=True)[0])
        overall = _inverse_root(ledoit_wolf(z - means[-1], assume_centered=True)[0])
        return cls(preparation, components, means, within, overall)

    def __call__(self, X: ArrayLike) -> Floats:
        """Relative Mahalanobis distance of each row to the nearest class, `(n,)`, unbounded.

        Args:
            X: features `(n, d)`, NaN where unknown.
        """
        prepared = self.preparation.transform(np.asarray(X, dtype=np.float64))
        z = prepared @ self.components.T
        *class_means, overall_mean = self.means
        to_classes = [_squared_norms((z - mean) @ self.within) for mean in class_means]
        to_all = _squared_norms((z - overall_mean) @ self.overall)
        return np.asarray(np.min(to_classes, axis=0) - to_all)

    def arrays(self) -> dict[str, StoredArray]:
        """The fitted state, name → array, for storage without pickle."""
        parts = self.preparation.arrays()
        arrays: dict[str, StoredArray] = {f"preparation.{name}": values for name, values in parts.items()}
        for name in _ARRAY_NAMES:
            arrays[name] = getattr(self, name)
        return arrays

    @staticmethod
    def array_rules() -> dict[str, ArrayRule]:
        """What the arrays of `arrays()` may be, by name."""
        vector, matrix = ArrayRule("f", (None,)), ArrayRule("f", (None, None))
        parts = {"kept": ArrayRule("iu", (None,)), "median": vector, "mean": vector, "std": vector}
        rules = {f"preparation.{name}": rule for name, rule in parts.items()}
        return rules | dict.fromkeys(_ARRAY_NAMES, matrix)

    @classmethod
    def restore(cls, arrays: Arrays, *, n_features: int) -> Self:
        """Read what `arrays()` gave.

        Args:
            arrays: name → array.
            n_features: d, the number of columns of the feature table.

        Raises:
            ArtefactError: an array is missing, or the arrays do not fit such a table.
        """
        prefix = "preparation."
        names = [name for name in arrays if name.startswith(prefix)]
        try:
            preparation = Preparation(scale=True).restore(
                {name.removeprefix(prefix): arrays[name] for name in names}
            )
            own_arrays = [np.asarray(arrays[name], np.float64) for name in _ARRAY_NAMES]
        except KeyError as error:
            raise ArtefactError(
                f"A distance of features must have all of its parts. Missing: {error}. Train again."
            ) from error
        distance = cls(preparation, *own_arrays)
        if not distance._is_consistent(n_features):
            shapes = [array.shape for array in own_arrays]
            raise ArtefactError(
                "A distance of features must be what Quintet writes. "
                f"Its arrays do not fit: {shapes}. Train again."
            )
        return distance

    def _is_consistent(self, n_features: int) -> bool:
        """Whether all values are finite, and shapes and positions fit a table of `n_features` columns."""
        kept = self.preparation.kept
        if kept.ndim != 1 or len(kept) == 0 or kept.min() < 0 or kept.max() >= n_features:
            return False
        k, n_means = len(self.components), len(self.means)
        shapes = [getattr(self, name).shape for name in _ARRAY_NAMES]
        if shapes != [(k, len(kept)), (n_means, k), (k, k), (k, k)] or n_means < 2:
            return False
        if any(values.shape != kept.shape for values in self.preparation.arrays().values()):
            return False
        return all(bool(np.isfinite(values).all()) for values in self.arrays().values())


_ARRAY_NAMES = tuple(field.name for field in fields(Distance)[1:])


def held_out_distances(X: ArrayLike, y: Labels, folds: Folds) -> Floats:
    """Distance of each row from classes that were learnt without its group, `(n,)`.

    Args:
        X: features `(n, d)`, NaN where unknown.
        y: labels `(n,)`.
        folds: each row is held out once.
    """
    table = np.asarray(X, dtype=np.float64)
    distances = np.full(len(y), np.nan)
    for train, held_out in folds:
        distance = Distance.fit(table[train], y[train])
        distances[held_out] = distance(table[held_out])
    return distances


def _leading_directions(centred: Floats) -> Floats:
    """Directions of the largest variance, `(k, d)`; k is the smallest number that covers `VARIANCE`.

    Args:
        centred: rows `(n, d)` with mean zero.
    """
    n_rows, n_columns = centred.shape
    if n_rows > n_columns:
        values, vectors = np.linalg.eigh(centred.T @ centred)
        variances, directions = values[::-1], vectors.T[::-1]
    else:
        _, singular, directions = np.linalg.svd(centred, full_matrices=False)
        variances = singular**2
    share = np.cumsum(variances) / np.sum(variances)
    k = int(np.searchsorted(share, VARIANCE)) + 1
    return np.asarray(directions[:k])


def _squared_norms(rows: Floats) -> Floats:
    """Squared length of each row, `(n,)`."""
    return np.asarray(np.sum(rows**2, axis=1))


def _inverse_root(covariance: Floats) -> Floats:
    """A matrix R with R Rᵀ = the inverse of the covariance, `(k, k)`."""
    values, vectors = np.linalg.eigh(covariance)
    smallest = FLOOR * max(float(values.max()), 1.0)
    variances = np.maximum(values, smallest)
    return np.asarray(vectors / np.sqrt(variances))
