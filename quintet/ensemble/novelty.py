"""How far a clip lies from every class among the features: what the members' probabilities cannot tell.

Members alone are easily fooled: a sound unlike anything they know can lie deep on one side of every boundary. Its place among the features tells.

Distance is the relative Mahalanobis distance (Ren et al. 2021, "A simple fix to Mahalanobis distance for improving near-OOD detection"):
m(z) = min_k (z - μ_k)ᵀ Σ⁻¹ (z - μ_k) - (z - μ)ᵀ Σ₀⁻¹ (z - μ), with z the leading principal components of the standardised features, μ_k and Σ the
means and the common covariance of the classes (Ledoit-Wolf), μ and Σ₀ those of all clips. The second term takes away what is odd about a clip for
music at large.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.covariance import ledoit_wolf

from quintet.classifiers.tabular.preparation import Preparation
from quintet.errors import AlignmentError, ArtefactError

Array = NDArray[np.float64]
VARIANCE = 0.9  # share of the variance of the standardised features that the components keep
FLOOR = 1e-12  # of a variance, in units of the standardised features


@dataclass(frozen=True)
class Distance:
    """Where the classes lie.

    A preparation, the components (k, d), the means of each class and of all (K + 1, k), and roots of both inverse covariances (k, k).

    Example:
        >>> rng = np.random.default_rng(0)
        >>> X = rng.normal(size=(60, 5)) + 4 * np.repeat(np.eye(2, 5), 30, axis=0)
        >>> found = Distance.fit(X, np.repeat(["jazz", "rock"], 30))
        >>> near, far = found(np.array([[4.0, 0, 0, 0, 0], [4.0, 0, 9, 9, 0]]))
        >>> bool(near < far)
        True
    """

    preparation: Preparation
    components: Array
    means: Array
    within: Array
    overall: Array

    @classmethod
    def fit(cls, X: ArrayLike, y: NDArray[Any]) -> Self:
        """From features (n, d), NaN where unknown, and labels (n,).

        Raises:
            DatasetError: no feature differs between rows. AlignmentError: not one row per label.
        """
        table = np.asarray(X, dtype=np.float64)
        if len(table) != len(y):
            raise AlignmentError(
                f"There must be one row of features per label ({len(y)}). Received {len(table)}. Join them by clip id."
            )
        preparation = Preparation(scale=True).fit(table)
        prepared = preparation.transform(table)
        components = _leading(prepared - prepared.mean(axis=0))  # zero already, but for what was clipped
        z = prepared @ components.T
        codes = np.unique(y, return_inverse=True)[1]
        means = np.stack([z[codes == k].mean(axis=0) for k in range(codes.max() + 1)] + [z.mean(axis=0)])
        within, overall = (
            _inverse_root(ledoit_wolf(rows, assume_centered=True)[0])
            for rows in (z - means[codes], z - means[-1])
        )
        return cls(preparation, components, means, within, overall)

    def __call__(self, X: ArrayLike) -> Array:
        """(n,) of features (n, d): the relative Mahalanobis distance to the nearest class, unbounded; larger is stranger."""
        z = self.preparation.transform(np.asarray(X, dtype=np.float64)) @ self.components.T
        to_classes = [np.sum(((z - mean) @ self.within) ** 2, axis=1) for mean in self.means[:-1]]
        return np.asarray(
            np.min(to_classes, axis=0) - np.sum(((z - self.means[-1]) @ self.overall) ** 2, axis=1)
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The learnt state, name → array, for storage without pickle."""
        found = {f"preparation.{name}": values for name, values in self.preparation.arrays().items()}
        return found | {part.name: getattr(self, part.name) for part in fields(self)[1:]}

    @classmethod
    def restore(cls, arrays: Mapping[str, NDArray[Any]], *, n_features: int) -> Self:
        """What `arrays()` gave, put back. Raises ArtefactError where something is missing or does not fit a table of `n_features` columns."""
        try:
            inner = {
                name.removeprefix("preparation."): values
                for name, values in arrays.items()
                if name.startswith("preparation.")
            }
            found = cls(
                Preparation(scale=True).restore(inner),
                *(np.asarray(arrays[part.name], np.float64) for part in fields(cls)[1:]),
            )
        except KeyError as error:
            raise ArtefactError(
                f"A distance among the features must have all of its parts. Missing: {error}. Train again."
            ) from error
        kept, k = found.preparation.kept, len(found.components)
        shapes = [part.shape for part in (found.components, found.means, found.within, found.overall)]
        sound = shapes == [(k, len(kept)), (len(found.means), k), (k, k), (k, k)] and len(found.means) > 1
        sound &= all(part.shape == kept.shape for part in found.preparation.arrays().values())
        sound &= all(np.isfinite(values).all() for values in found.arrays().values())
        if not (sound and kept.ndim == 1 and len(kept) and kept.min() >= 0 and kept.max() < n_features):
            raise ArtefactError(
                f"A distance among the features must be what Quintet writes. Its arrays do not fit: {shapes}. Train again."
            )
        return found


def held_out_distances(
    X: ArrayLike, y: NDArray[Any], folds: Sequence[tuple[NDArray[Any], NDArray[Any]]]
) -> Array:
    """(n,) each row's distance to classes that were learnt without its group.

    Args:
        X: (n, d) features. y: (n,) labels.
        folds: (train, held-out) positions; each row is held out once.
    """
    table, found = np.asarray(X, dtype=np.float64), np.full(len(y), np.nan)
    for train, held_out in folds:
        found[held_out] = Distance.fit(table[train], y[train])(table[held_out])
    return found


def _leading(centred: Array) -> Array:
    """(k, d) the directions of most variance, as many as make up `VARIANCE` of it."""
    if len(centred) > centred.shape[1]:
        values, vectors = np.linalg.eigh(centred.T @ centred)
        variances, directions = values[::-1], vectors.T[::-1]
    else:
        _, singular, directions = np.linalg.svd(centred, full_matrices=False)
        variances = singular**2
    share = np.cumsum(variances) / np.sum(variances)
    return np.asarray(directions[: int(np.searchsorted(share, VARIANCE)) + 1])


def _inverse_root(covariance: Array) -> Array:
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray(vectors / np.sqrt(np.maximum(values, FLOOR * max(float(values.max()), 1.0))))
