"""Blocks of clips that may have a common source, for data whose groups are not known.

Clips of one artist, album or recording sound alike. Under random folds they are in both parts, and the
score is too high. Blocks are drawn from the features (`common_sources`): folds that keep them whole score
about as folds by artist would. What was measured is in benchmarks/evidence/blocks.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri
from scipy.stats import rankdata
from threadpoolctl import threadpool_limits

from quintet.datasets.splits.split import Positions
from quintet.errors import DatasetError
from quintet.training.blocks.common_sources import Floats, draw_sources
from quintet.training.blocks.name_evidence import NameEvidence, name_evidence, natural_order

MOST_COMPONENTS, FEWEST_COMPONENTS = 40, 10
"""Principal components that are compared, as far as there are so many."""
SMALLEST_VARIANCE = 1e-9
CLIPS_PER_COMPONENT = 3
"""Clips for each component; where sources have runs in an order, clips of a class.

With more components, the few pairs that are nearly equal set the variance within sources, and all other clips
count as sources of their own.
"""
MOST_CLIPS = 800
"""Clips of a class that are compared at once. A larger class is halved at the median
of its first component."""
BY_SOUND, BY_NAME, BY_ORDER = "sounds-alike", "named-alike", "in-a-row"
"""First part of the name of a block: what tells that its clips belong together."""


def sound_blocks(
    features: ArrayLike,
    labels: Sequence[str],
    ids: Sequence[str],
    *,
    at_least: int = 2,
    seed: int,
    names: Sequence[str] | None = None,
    tags: ArrayLike | None = None,
) -> NDArray[np.str_]:
    """Name of the block of each clip. A block lies within a class.

    Names of clips count if the sound confirms them (`name_evidence`): clips whose names begin alike are then
    a block, or runs of clips in the order of their names.

    A column counts by the ranks of its values within the class, so that its unit and its outliers do not
    matter. The seed selects one of the partitions that are likely (`draw_sources`).

    Args:
        features: shape `(n, d)`; NaN where a value is unknown.
        labels: class of each clip, `(n,)`.
        ids: clip ids, `(n,)`, unique. The order of the rows does not matter.
        at_least: blocks that a class must have, so that folds have all classes. The largest blocks of a class
            with fewer are halved; a class with fewer clips than that has a block per clip.
        seed: selects the draw.
        names: names of the clips, such as paths, `(n,)`. None: the sound alone counts.
        tags: for label sets, whose classes are strata (`label_strata`): 1 where a clip has a tag,
            `(n, tags)`. A block that follows from names may then have clips of several strata, and names do
            not count if they only repeat the tags.

    Raises:
        DatasetError: if the numbers of rows differ.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> songs = np.repeat(rng.normal(size=(30, 10)), 2, axis=0)
        >>> clips = songs + 0.1 * rng.normal(size=songs.shape)
        >>> blocks = sound_blocks(clips, ["rock"] * 60, [f"{i:02}" for i in range(60)], seed=0)
        >>> bool((blocks[::2] == blocks[1::2]).mean() >= 0.9)
        True
    """
    values, classes = np.asarray(features, np.float64), np.asarray(labels, str)
    if not len(values) == len(classes) == len(ids) == len(ids if names is None else names):
        raise DatasetError(
            "Features, labels and ids must have as many rows. "
            f"Received {len(values)}, {len(classes)} and {len(ids)}."
        )
    order = np.argsort(np.asarray(ids, str), kind="stable")
    rng = np.random.default_rng([seed, 17])
    numbers = np.empty(len(order), np.intp)
    known = None if names is None else [str(names[row]) for row in order]
    with threadpool_limits(limits=1, user_api="blas"):  # matrices are small; last bits depend on the number
        own_tags = None if tags is None else np.asarray(tags, np.float64)[order]
        numbers[order], kind = _ordered_blocks(
            values[order], classes[order], at_least, rng, known, tags=own_tags
        )
    return np.array([f"{kind}-{number + 1}" for number in numbers], dtype=np.str_)


def _ordered_blocks(
    values: Floats,
    labels: NDArray[np.str_],
    at_least: int,
    rng: np.random.Generator,
    names: Sequence[str] | None,
    *,
    tags: Floats | None,
) -> tuple[Positions, str]:
    """Number of the block of each row, for rows in a fixed order, and what the blocks follow from."""
    classes = [np.flatnonzero(labels == name) for name in np.unique(labels)]
    scores = np.zeros(values.shape)
    for rows in classes:
        scores[rows] = _normal_scores(values[rows])
    components = _components(scores)
    if not components.shape[1]:
        return np.arange(len(values)), BY_SOUND
    evidence, kind = NameEvidence(), BY_SOUND
    if names is not None:
        deviations = _deviations(components, classes)
        if tags is not None:
            deviations = _without_tags(deviations, _deviations(tags, classes))
        evidence = name_evidence(names, classes, deviations, np.random.default_rng(0), at_least=at_least)
    if evidence.beginnings is not None:
        within = np.char.add(labels, "/") if tags is None else np.full(len(labels), "")
        blocks, kind = np.unique(np.char.add(within, evidence.beginnings), return_inverse=True)[1], BY_NAME
    elif evidence.place is not None:
        place, pieces = evidence.place, [p for rows in classes for p in _stretches(rows, evidence.place)]
        if tags is None:  # each class has a hazard of its own, so its clips limit what can be told
            most = max(FEWEST_COMPONENTS, len(values) // (CLIPS_PER_COMPONENT * len(classes)))
            deviations = _deviations(components[:, :most], pieces)
        elif names is not None:
            place = np.argsort(natural_order(names))
            pieces = _stretches(np.arange(len(place)), place)
        blocks, kind = draw_sources(deviations, pieces, rng, place=place), BY_ORDER
    else:
        pieces = [piece for rows in classes for piece in _pieces(rows, components)]
        blocks = draw_sources(_deviations(components, pieces), pieces, rng)
    for rows in classes:
        blocks = _with_enough(blocks, rows, components, at_least)
    return np.unique(blocks, return_inverse=True)[1], kind


def _deviations(components: Floats, pieces: Sequence[Positions]) -> Floats:
    """Components without the mean of their piece."""
    deviations = components.copy()
    for rows in pieces:
        deviations[rows] -= deviations[rows].mean(axis=0)
    return deviations


def _without_tags(deviations: Floats, tags: Floats) -> Floats:
    """Deviations without what a linear function of the tags, `(n, tags)`, tells about them."""
    return np.asarray(deviations - tags @ np.linalg.lstsq(tags, deviations, rcond=None)[0])


def _normal_scores(values: Floats) -> Floats:
    """Each column as the normal quantiles of its ranks; 0 where a value is unknown or all are equal."""
    known = np.isfinite(values)
    ranks = rankdata(np.where(known, values, np.inf), axis=0)  # unknown values have the last ranks
    n_known = np.maximum(known.sum(axis=0), 1)
    return np.where(known, ndtri(np.minimum((ranks - 0.5) / n_known, 0.999999)), 0.0)


def _components(scores: Floats) -> Floats:
    """Principal components with variance 1, `(n, m)`: the largest ones, one per three clips at most."""
    n, d = scores.shape
    spread = scores.T @ scores if d <= n else scores @ scores.T
    variances, vectors = np.linalg.eigh(spread)
    most = min(MOST_COMPONENTS, n // CLIPS_PER_COMPONENT)
    largest = np.argsort(-variances)[:most]
    largest = largest[variances[largest] > SMALLEST_VARIANCE * max(float(variances.max(initial=0.0)), 1.0)]
    components = scores @ vectors[:, largest] if d <= n else vectors[:, largest]
    return np.asarray(components / np.sqrt((components**2).mean(axis=0)))


def _pieces(rows: Positions, components: Floats) -> Iterator[Positions]:
    """Parts of a class with at most `MOST_CLIPS` clips."""
    if len(rows) <= MOST_CLIPS:
        yield rows
        return
    for half in _halves(rows, components):
        yield from _pieces(half, components)


def _stretches(rows: Positions, place: Positions) -> list[Positions]:
    """Parts of a class with at most `MOST_CLIPS` clips, neighbours in the order of their names."""
    in_order = rows[np.argsort(place[rows])]
    return np.array_split(in_order, -(-len(rows) // MOST_CLIPS))


def _halves(rows: Positions, components: Floats) -> tuple[Positions, Positions]:
    """The rows in two halves, divided where they differ most: at the median of their first component."""
    own = components[rows] - components[rows].mean(axis=0)
    _, axes = np.linalg.eigh(own.T @ own)
    order = np.argsort(own @ axes[:, -1], kind="stable")
    middle = len(rows) // 2
    return np.sort(rows[order[:middle]]), np.sort(rows[order[middle:]])


def _with_enough(blocks: Positions, rows: Positions, components: Floats, at_least: int) -> Positions:
    """The blocks, where the largest ones of the class of these rows are halved until it has enough."""
    blocks = blocks.copy()
    while len(np.unique(blocks[rows])) < min(at_least, len(rows)):
        names, sizes = np.unique(blocks[rows], return_counts=True)
        largest = rows[blocks[rows] == names[sizes.argmax()]]
        blocks[_halves(largest, components)[1]] = blocks.max() + 1
    return blocks
