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

PROPOSALS = 0.25
"""Splits and merges that are tried per clip in a sweep."""
NEAR = 8
"""Nearest clips with which a split or a merge of the source of a clip is tried."""
SMALLEST_CHANCE = 1e-300

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
    sources = _Sources(clips, source)
    for i in rng.permutation(len(source)):
        sources.remove(i)
        sources.add(i, sources.draw(i, concentration, rng.random()))
    return np.unique(sources.source, return_inverse=True)[1]


class _Sources:
    """Sources of the clips of a piece, and what each of them says about a further clip."""

    def __init__(self, clips: Clips, source: Positions) -> None:
        slots = len(source) + 1
        self.clips, self.source = clips, source.copy()
        self.counts = np.bincount(source, minlength=slots).astype(np.float64)
        self.precision, self.sums = clips.totals(source, slots)
        self.spread = 1 / (1 / clips.ratios + self.precision[:, None])  # variance of the centre
        self.centre = self.spread * self.sums
        self.used = int(source.max()) + 2  # slots that are looked at; one of them is empty

    def remove(self, i: int) -> None:
        """Take a clip out of its source."""
        self._change(int(self.source[i]), i, -1.0)

    def add(self, i: int, new: int) -> None:
        """Put a clip into a source."""
        self.source[i] = new
        self._change(new, i, 1.0)
        self.used = max(self.used, new + 2)

    def draw(self, i: int, concentration: float, chance: float) -> int:
        """A source for clip `i`, which is in none; `chance` in [0, 1) selects it."""
        weight = self.clips.weights[i]
        excess = 1 + weight * self.spread[: self.used]
        distance = ((self.clips.values[i] - self.centre[: self.used]) ** 2 / excess).sum(axis=1)
        chances = self.counts[: self.used].copy()
        chances[int(np.argmin(chances))] = concentration  # the first empty slot
        with np.errstate(divide="ignore"):
            logs = np.log(chances) - 0.5 * (weight * distance + np.log(excess.prod(axis=1)))
        reached = np.cumsum(np.exp(logs - logs.max()))
        return int(np.searchsorted(reached, chance * reached[-1], side="right"))

    def _change(self, k: int, i: int, sign: float) -> None:
        weight = sign * self.clips.weights[i]
        self.counts[k] += sign
        is_empty = self.counts[k] == 0
        self.precision[k] = 0.0 if is_empty else self.precision[k] + weight
        self.sums[k] = 0.0 if is_empty else self.sums[k] + weight * self.clips.values[i]
        self.spread[k] = 1 / (1 / self.clips.ratios + self.precision[k])
        self.centre[k] = self.spread[k] * self.sums[k]


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
    n, source = len(source), source.copy()
    for _ in range(int(np.ceil(PROPOSALS * n)) if near.shape[1] else 0):
        i = int(rng.integers(n))
        j = int(near[i, rng.integers(near.shape[1])])
        members = np.flatnonzero((source == source[i]) | (source == source[j]))
        others = rng.permutation(members[(members != i) & (members != j)])
        is_split = source[i] == source[j]
        sides = None if is_split else source[others] == source[j]
        halves = _Halves(clips, i, j)
        is_second = halves.allocate(others, sides, rng)
        whole = clips.log_density(halves.precision.sum(keepdims=True), halves.sums.sum(axis=0)[None])
        gain = halves.log_density.sum() - float(whole[0])
        gain += np.log(concentration) + gammaln(halves.counts).sum() - gammaln(len(members))
        gain -= halves.log_chance
        if np.log(rng.random()) >= (gain if is_split else -gain):
            continue
        if is_split:
            source[[j, *others[is_second]]] = source.max() + 1
        else:
            source[members] = source[i]
    return np.unique(source, return_inverse=True)[1]


class _Halves:
    """Two sources that begin with one clip each and receive the other clips one after another."""

    def __init__(self, clips: Clips, i: int, j: int) -> None:
        self.clips = clips
        self.precision = clips.weights[[i, j]]
        self.sums = clips.values[[i, j]] * self.precision[:, None]
        self.counts = np.ones(2)
        self.log_density = clips.log_density(self.precision, self.sums)
        self.log_chance = 0.0  # of the allocation

    def allocate(
        self, others: Positions, sides: NDArray[np.bool_] | None, rng: np.random.Generator
    ) -> NDArray[np.bool_]:
        """Whether each clip goes to the second source: drawn, or as `sides` say."""
        is_second = np.zeros(len(others), np.bool_)
        for position, k in enumerate(others):
            weight = self.clips.weights[k]
            added = weight * self.clips.values[k]
            grown = self.clips.log_density(self.precision + weight, self.sums + added)
            logs = grown - self.log_density + np.log(self.counts)
            chance = 1 / (1 + np.exp(np.clip(logs[0] - logs[1], -700, 700)))
            is_second[position] = rng.random() < chance if sides is None else sides[position]
            side = int(is_second[position])
            self.log_chance += np.log(max(chance if side else 1 - chance, SMALLEST_CHANCE))
            self.precision[side] += weight
            self.sums[side] += added
            self.counts[side] += 1
            self.log_density[side] = grown[side]
        return is_second
