"""Moves of a partition of clips into sources: of single clips, and of whole sources that split or merge.

Single moves alone do not part two tight sources that were joined once. Both kinds of moves leave the
distribution of partitions as it is (`common_sources`).

Source: Dahl, "Sequentially-allocated merge-split sampler for conjugate and nonconjugate Dirichlet process
mixture models", 2005.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from quintet.datasets.splits.split import Positions
from quintet.training.blocks import compiled

PROPOSALS = 0.25
"""Splits and merges that are tried per clip in a sweep."""
NEAR = 8
"""Nearest clips with which a split or a merge of the source of a clip is tried."""

DRAWS_PER_CLIP = 16
"""Random numbers that are drawn at once, per clip. A split or a merge needs up to two."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Clips:
    """Clips of one piece on axes where W is the identity and B is diagonal.

    Args:
        values: deviations of the clips, `(n, d)`.
        weights: w, `(n,)`.
        ratios: λ, `(d,)`, the diagonal of B.
    """

    values: Floats
    weights: Floats
    ratios: Floats

    @property
    def arrays(self) -> tuple[Floats, Floats, Floats]:
        """Values, weights and ratios, as compiled loops want them."""
        return np.ascontiguousarray(self.values), np.ascontiguousarray(self.weights), self.ratios

    def totals(self, source: Positions, n_sources: int) -> tuple[Floats, Floats]:
        """Sum of the weights of each source `(sources,)`, and of the weighted values `(sources, d)`."""
        precision = np.zeros(n_sources)
        np.add.at(precision, source, self.weights)
        sums = np.zeros((n_sources, len(self.ratios)))
        np.add.at(sums, source, self.values * self.weights[:, None])
        return precision, sums

    def log_density(self, precision: Floats, sums: Floats) -> Floats:
        """Log density of the clips of each source, without what does not depend on the partition."""
        grown = 1 + self.ratios * precision[:, None]
        return np.asarray(0.5 * (self.ratios * sums**2 / grown - np.log(grown)).sum(axis=1))


def nearest(values: Floats) -> Positions:
    """Positions of the `NEAR` nearest other clips of each clip, `(n, k)`; k is 0 for a single clip."""
    n_neighbours = min(NEAR, len(values) - 1)
    if n_neighbours < 1:
        return np.zeros((len(values), 0), np.intp)
    from sklearn.neighbors import NearestNeighbors

    search = NearestNeighbors(n_neighbors=n_neighbours, algorithm="brute").fit(values)
    return np.asarray(search.kneighbors(return_distance=False), np.intp)


def move_clips(clips: Clips, source: Positions, concentration: float, rng: np.random.Generator) -> Positions:
    """Draw the source of each clip in turn, given those of all others.

    A clip joins a source of c clips with a chance of c times its density there, and founds a source with the
    chance `concentration` times its density under B + W.

    Returns:
        Number of the source of each clip, `(n,)`, from 0 without gaps.
    """
    source, slots = source.astype(np.int64), len(source) + 1
    counts = np.bincount(source, minlength=slots).astype(np.float64)
    precision, sums = clips.totals(source, slots)
    spread = 1 / (1 / clips.ratios + precision[:, None])  # variance of the centre
    order = rng.permutation(len(source))
    compiled.move_in_turn(
        clips.arrays,
        (counts, precision, sums, spread, spread * sums),
        source,
        order,
        rng.random(len(source)),
        np.empty(slots),
        int(source.max()) + 2,  # slots that are looked at; one of them is empty
        float(concentration),
    )
    return np.unique(source, return_inverse=True)[1]


def split_and_merge(
    clips: Clips, source: Positions, near: Positions, concentration: float, rng: np.random.Generator
) -> Positions:
    """Try for random pairs of near clips to split their common source, or to merge their two sources.

    Args:
        clips: the clips of the piece.
        source: number of the source of each clip, `(n,)`.
        near: result of `nearest`.
        concentration: concentration of the restaurant process.
        rng: source of all random choices.

    Returns:
        Number of the source of each clip, `(n,)`, from 0 without gaps.
    """
    n, n_axes = clips.values.shape
    source = source.astype(np.int64)
    if not near.shape[1]:
        return source
    first = rng.integers(n, size=int(np.ceil(PROPOSALS * n)))
    pairs = np.stack([first, near[first, rng.integers(near.shape[1], size=len(first))]], axis=1)
    counts = np.bincount(source, minlength=n + 1).astype(np.int64)
    halves = np.empty(2), np.empty((2, n_axes)), np.empty(2), np.empty(2)
    room = np.empty(n, np.int64), np.empty(n, np.int64), np.empty((2, n_axes + 1))
    next_pair = 0
    while next_pair < len(pairs):
        (reached,) = compiled.split_and_merge_in_turn(
            clips.arrays,
            (source, counts),
            (pairs, next_pair),
            rng.random(DRAWS_PER_CLIP * n),
            gammaln(np.arange(n + 1)),
            float(np.log(concentration)),
            halves,
            room,
        )
        next_pair = int(reached)
    return np.unique(source, return_inverse=True)[1]
