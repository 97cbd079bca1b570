"""Blocks of clips for folds that are as hard as the songs that a model is to serve.

A clip of a fold is predicted from clips at some distance, and so will be a song of the target. The blocks are
chosen so that both distances are distributed alike: nearest-neighbour distance matching. Linnenbrink et al.,
kNNDM CV: k-fold nearest-neighbour distance matching cross-validation for map accuracy estimation
(Geoscientific Model Development 17, 2024), in the space of the features instead of that of the map.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import cdist
from scipy.special import ndtri
from scipy.stats import wasserstein_distance

from quintet.datasets.splits.folds import grouped_folds
from quintet.datasets.splits.split import Positions
from quintet.errors import DatasetError
from quintet.training.blocks.common_sources import Floats
from quintet.training.blocks.sound_blocks import MOST_CLIPS

SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
"""Mean numbers of clips in a block that are compared."""
MOST_MEASURED = 2000
"""Clips whose distances are measured; of a larger collection these are drawn."""
ROWS_AT_ONCE = 500
AS_GOOD = 0.05
"""Blocks are as good as the best ones if at most this share of what those gain over single clips is missing.
The smallest such blocks are taken."""
NEARER = 0.9
"""Folds are called nearer than the target if their median distance is less than this share of its."""


@dataclass(frozen=True)
class TargetBlocks:
    """Blocks that match a target, and how well.

    Args:
        names: name of the block of each clip, `(n,)`.
        size: mean number of clips in a block.
        target: median distance of a target song to its nearest clip. 1: that of two clips without a relation.
        folds: median distance of a clip to the nearest one outside its fold.
        single: the same for folds of single clips.
    """

    names: NDArray[np.str_]
    size: int
    target: float
    folds: float
    single: float

    @property
    def is_nearer(self) -> bool:
        """Whether the folds are easier than the target, even with the largest blocks."""
        return self.folds < NEARER * self.target


def target_blocks(
    features: ArrayLike,
    labels: Sequence[str],
    ids: Sequence[str],
    target: ArrayLike,
    *,
    n_splits: int = 5,
    at_least: int = 2,
    seed: int,
) -> TargetBlocks:
    """Blocks whose folds are as far from their training part as the songs of a target are from all clips.

    A column counts by the ranks of its values among the clips. Blocks are clusters within a class (Ward's
    method), of the smallest size in `SIZES` whose distances have about the smallest Wasserstein distance to
    those of the target.

    Args:
        features: clips, `(n, d)`; NaN where a value is unknown.
        labels: class of each clip, `(n,)`.
        ids: clip ids, `(n,)`, unique. The order of the rows does not matter.
        target: songs that the model is to serve, `(m, d)`, in the same columns.
        n_splits: number of folds.
        at_least: blocks that a class must have, at least one for each fold.
        seed: selects the folds, and the clips of a large collection that are measured.

    Raises:
        DatasetError: if the numbers of rows or columns differ, or a class has fewer clips than `at_least`.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> artists = rng.normal(size=(45, 8))
        >>> clips = np.repeat(artists[:30], 4, axis=0) + 0.1 * rng.normal(size=(120, 8))
        >>> new = artists[30:] + 0.1 * rng.normal(size=(15, 8))
        >>> found = target_blocks(clips, ["rock"] * 60 + ["jazz"] * 60, range(120), new, n_splits=5, seed=0)
        >>> found.size, found.is_nearer
        (4, False)
    """
    values, songs = np.asarray(features, np.float64), np.asarray(target, np.float64)
    names = np.asarray(labels, str)
    if not len(values) == len(names) == len(ids) or values.shape[1:] != songs.shape[1:] or not len(songs):
        raise DatasetError(
            "Features, labels and ids must have as many rows, and the target one row or more with the same "
            f"columns. Received {len(values)}, {len(names)}, {len(ids)}, and shape {songs.shape}."
        )
    order = np.argsort(np.asarray(ids, str), kind="stable")
    found = _match(values[order], names[order], songs, n_splits, max(at_least, n_splits), seed)
    blocks = np.empty(len(order), np.intp)
    blocks[order] = found.names.astype(np.intp)
    return TargetBlocks(
        np.array([f"sounds-alike-{number + 1}" for number in blocks], dtype=np.str_),
        found.size,
        found.target,
        found.folds,
        found.single,
    )


def _match(
    values: Floats, labels: NDArray[np.str_], songs: Floats, n_splits: int, at_least: int, seed: int
) -> TargetBlocks:
    """The blocks, named by numbers, of rows in a fixed order."""
    clips, songs = _as_normal_scores(values, songs)
    unit = np.sqrt(2 * max(float((clips**2).sum(axis=1).mean()), 1e-12))  # of two clips without a relation
    rng = np.random.default_rng([seed, 29])
    to_target = _nearest(_some(songs, rng), clips) / unit
    measured = _some(np.arange(len(clips)), rng)
    trees = [(rows, _ward(clips[rows])) for name in np.unique(labels) for rows in _pieces(labels == name)]
    found: list[tuple[float, int, Positions, float]] = []
    for size in SIZES:
        blocks = _cut(trees, len(labels), size, at_least)
        if found and np.array_equal(blocks, found[-1][2]):
            break  # every class has its fewest blocks
        distances = np.full(len(clips), np.nan)
        for fit, held_out in grouped_folds(labels, blocks.tolist(), n_splits=n_splits, seed=seed):
            rows = np.intersect1d(held_out, measured)
            distances[rows] = _nearest(clips[rows], clips[fit]) / unit
        known = distances[measured]
        found.append((wasserstein_distance(known, to_target), size, blocks, float(np.median(known))))
    best = min(difference for difference, *_ in found)
    _, size, blocks, folds = next(
        trial for trial in found if trial[0] <= best + AS_GOOD * (found[0][0] - best)
    )
    return TargetBlocks(blocks.astype(np.str_), size, float(np.median(to_target)), folds, found[0][3])


def _as_normal_scores(values: Floats, songs: Floats) -> tuple[Floats, Floats]:
    """Columns as normal quantiles of the ranks among the clips; 0 where nothing is known or all are equal."""
    results = np.zeros(values.shape), np.zeros(songs.shape)
    for column in range(values.shape[1]):
        known = np.sort(values[np.isfinite(values[:, column]), column])
        if not len(known) or known[0] == known[-1]:
            continue
        for source, result in zip((values, songs), results, strict=True):
            places = [known.searchsorted(source[:, column], side=side) for side in ("left", "right")]
            share = (sum(places) + 1) / (2 * len(known) + 2)
            result[:, column] = np.where(np.isfinite(source[:, column]), ndtri(share), 0.0)
    return results


def _some(rows: NDArray[np.generic], rng: np.random.Generator) -> NDArray[np.generic]:
    """The rows, or `MOST_MEASURED` of them."""
    if len(rows) <= MOST_MEASURED:
        return rows
    return rows[np.sort(rng.choice(len(rows), MOST_MEASURED, replace=False))]


def _nearest(rows: NDArray[np.generic], others: Floats) -> Floats:
    """Distance of each row to the nearest of the others."""
    parts = [rows[start : start + ROWS_AT_ONCE] for start in range(0, len(rows), ROWS_AT_ONCE)]
    return np.concatenate([cdist(part, others).min(axis=1) for part in parts]) if parts else np.empty(0)


def _pieces(is_member: NDArray[np.bool_]) -> Iterator[Positions]:
    """Clips of a class in parts of at most `MOST_CLIPS`, because a tree takes the square of their number."""
    rows = np.flatnonzero(is_member)
    yield from np.array_split(rows, -(-len(rows) // MOST_CLIPS))


def _ward(rows: Floats) -> Floats:
    """Tree of the rows; empty for one row."""
    return linkage(rows, "ward") if len(rows) > 1 else np.empty((0, 4))


def _cut(trees: Sequence[tuple[Positions, Floats]], n: int, size: int, at_least: int) -> Positions:
    """Number of the block of each clip, with `size` clips in a block on average."""
    blocks, first = np.empty(n, np.intp), 0
    for rows, tree in trees:
        n_blocks = min(max(round(len(rows) / size), at_least), len(rows))
        numbers = np.arange(len(rows)) if n_blocks == len(rows) else fcluster(tree, n_blocks, "maxclust") - 1
        blocks[rows] = first + numbers
        first += int(numbers.max(initial=-1)) + 1
    return blocks
