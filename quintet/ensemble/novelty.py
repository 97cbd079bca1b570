"""Is a clip of no known class? What the members say, and how far its features lie from every class, joined into one score.

Members alone are easily fooled: a sound unlike anything they know can lie deep on one side of every boundary. Its place among the features tells.

Distance is the relative Mahalanobis distance (Ren et al. 2021, "A simple fix to Mahalanobis distance for improving near-OOD detection"):
m(z) = min_k (z - μ_k)ᵀ Σ⁻¹ (z - μ_k) - (z - μ)ᵀ Σ₀⁻¹ (z - μ), with z the leading principal components of the standardised features, μ_k and Σ the
means and the common covariance of the classes (Ledoit-Wolf), μ and Σ₀ those of all clips. The second term takes away what is odd about a clip for
music at large.

Both scores become p-values among clips that the models had not seen (by group, as in `conformal`); their Fisher sum -ln p₁ - ln p₂ is judged among
the same clips, so `out_of_class` ≥ c happens to a share 1 - c of clips of known classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.covariance import ledoit_wolf

from quintet.classifiers.preparation import Preparation
from quintet.errors import AlignmentError, ArtefactError
from quintet.evaluation.intervals import group_codes

Array = NDArray[np.float64]
VARIANCE = 0.9  # share of the variance of the standardised features that the components keep


@dataclass(frozen=True)
class Distance:
    """Where the classes lie: a preparation, the components (k, d), class means (K, k), and the roots of both inverse covariances (k, k)."""

    preparation: Preparation
    components: Array
    means: Array
    within: Array
    overall: Array

    @classmethod
    def fit(cls, X: ArrayLike, y: NDArray[Any]) -> Self:
        """From features (n, d), NaN where unknown, and labels (n,)."""
        table = np.asarray(X, dtype=np.float64)
        preparation = Preparation(scale=True).fit(table)
        prepared = preparation.transform(table)
        prepared -= prepared.mean(axis=0)  # zero already, but for what was clipped
        _, singular, directions = np.linalg.svd(prepared, full_matrices=False)
        share = np.cumsum(singular**2) / np.sum(singular**2)
        components = directions[: int(np.searchsorted(share, VARIANCE)) + 1]
        z = preparation.transform(table) @ components.T
        codes = np.unique(y, return_inverse=True)[1]
        means = np.stack([z[codes == k].mean(axis=0) for k in range(codes.max() + 1)] + [z.mean(axis=0)])
        within, overall = (_inverse_root(ledoit_wolf(rows, assume_centered=True)[0]) for rows in (z - means[codes], z - means[-1]))
        return cls(preparation, components, means, within, overall)

    def __call__(self, X: ArrayLike) -> Array:
        """(n,) the relative Mahalanobis distance to the nearest class; larger is stranger."""
        z = self.preparation.transform(np.asarray(X, dtype=np.float64)) @ self.components.T
        to_classes = [np.sum(((z - mean) @ self.within) ** 2, axis=1) for mean in self.means[:-1]]
        return np.asarray(np.min(to_classes, axis=0) - np.sum(((z - self.means[-1]) @ self.overall) ** 2, axis=1))


@dataclass(frozen=True)
class Novelty:
    """A fitted distance, and what clips of known classes showed out of fold: `doubts` 1 - max p, `distances`, their `sums`; `weights` by group."""

    distance: Distance
    doubts: Array
    distances: Array
    sums: Array
    weights: Array

    @property
    def missing(self) -> float:
        """The weight of the group to come: 1 / (groups + 1)."""
        return float(1 - self.weights.sum())

    def out_of_class(self, X: ArrayLike, probabilities: NDArray[Any]) -> Array:
        """(n,) in [0, 1): the share of known clips that look less strange than this one, near 1 where no known class fits.

        Args:
            X: (n, d) the features that the table members look at.
            probabilities: (n, K) of the ensemble.
        """
        sums = self._sum(1 - np.max(probabilities, axis=1), self.distance(X))
        return np.asarray(1 - _p_values(sums, self.sums, self.weights, self.missing))

    def _sum(self, doubts: Array, distances: Array) -> Array:
        parts = ((doubts, self.doubts), (distances, self.distances))
        return np.asarray(-np.sum([np.log(_p_values(v, known, self.weights, self.missing)) for v, known in parts], axis=0))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The learnt state, name → array, for storage without pickle."""
        found = {f"preparation.{name}": values for name, values in self.distance.preparation.arrays().items()}
        found |= {name: getattr(self.distance, name) for name in ("components", "means", "within", "overall")}
        return found | {name: getattr(self, name) for name in ("doubts", "distances", "sums", "weights")}

    @classmethod
    def restore(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """What `arrays()` gave, put back. Raises ArtefactError where something is missing."""
        try:
            inner = {name.removeprefix("preparation."): values for name, values in arrays.items() if name.startswith("preparation.")}
            preparation = Preparation(scale=True).restore(inner)
            distance = Distance(preparation, *(np.asarray(arrays[f.name], np.float64) for f in fields(Distance)[1:]))
            return cls(distance, *(np.asarray(arrays[f.name], np.float64) for f in fields(cls)[1:]))
        except KeyError as error:
            raise ArtefactError(f"A novelty score must have all of its parts. Missing: {error}. Train again.") from error


def fit_novelty(
    X: ArrayLike, y: NDArray[Any], groups: NDArray[Any] | None, probabilities: NDArray[Any], *, folds: Sequence[tuple[NDArray[Any], NDArray[Any]]]
) -> Novelty:
    """The score of `out_of_class`, calibrated on the training part.

    Args:
        X: (n, d) features. y: (n,) labels, one per clip. groups: (n,) or None.
        probabilities: (n, K) of the ensemble, out of fold.
        folds: (train, held-out) positions of the run; each row is held out once, and its distance is that to classes learnt without its group.

    Raises:
        AlignmentError: not one row of each per label.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> y = np.repeat(["jazz", "rock"], 60)
        >>> X = rng.normal(size=(120, 6)) + 4 * (y == "rock")[:, None] * np.r_[1, 0, 0, 0, 0, 0]
        >>> p = np.where((y == "rock")[:, None], [0.1, 0.9], [0.9, 0.1])
        >>> halves = [(np.arange(0, 120, 2), np.arange(1, 120, 2)), (np.arange(1, 120, 2), np.arange(0, 120, 2))]
        >>> found = fit_novelty(X, y, None, p, folds=halves)
        >>> strange = found.out_of_class(np.array([[4.0, 0, 0, 0, 0, 0], [2.0, 9, 9, 0, 0, 0]]), np.array([[0.1, 0.9], [0.1, 0.9]]))
        >>> bool(strange[1] > strange[0])
        True
    """
    table = np.asarray(X, dtype=np.float64)
    if not len(table) == len(y) == len(probabilities):
        raise AlignmentError(f"There must be one row per label ({len(y)}). Received {len(table)} features and {len(probabilities)} probabilities.")
    codes, n_groups = group_codes(groups, len(y))
    weights = 1 / ((n_groups + 1) * np.bincount(codes)[codes])
    distances = np.empty(len(y))
    for train, held_out in folds:
        distances[held_out] = Distance.fit(table[train], y[train])(table[held_out])
    doubts = 1 - np.max(probabilities, axis=1)
    found = Novelty(Distance.fit(table, y), doubts, distances, np.zeros(len(y)), weights)
    return Novelty(found.distance, doubts, distances, found._sum(doubts, distances), weights)


def _p_values(values: Array, known: Array, weights: Array, missing: float) -> Array:
    """(n,) in (0, 1] the weight of the known clips that are at least as strange, and of the one to come."""
    order = np.argsort(known)
    above = np.append(np.cumsum(weights[order][::-1])[::-1], 0.0)
    return np.asarray(above[np.searchsorted(known[order], values - 1e-12, side="left")] + missing)


def _inverse_root(covariance: Array) -> Array:
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray(vectors / np.sqrt(np.maximum(values, 1e-12 * values.max())))
