"""What the names of clips tell about their sources: a common beginning, or an order.

`1-100032-A` and `1-100032-B` may be cut from one recording, `Album/01 …` and `Album/02 …` may be of one
album, and `blues.00011` and `blues.00012` of one artist; or the names are numbers by chance. The sound
decides. A beginning counts if clips of a class that share it are more alike than clips that do not, more
than if the same beginnings were dealt out at random (permutation test). The order counts if neighbours in
it are more alike than in a random order. No name is read for what it means.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from quintet.datasets.splits.split import Positions

Floats = NDArray[np.float64]
Texts = NDArray[np.str_]
SHUFFLES = 999
CHANCE = 0.002
"""Share of the shuffles that may look as much like sources as the names do."""
MOST_LEVELS = 8
"""Parts that are left out, from the end of a name."""
PARTS = re.compile(r"[^\W\d_]+|\d+")


@dataclass(frozen=True)
class NameEvidence:
    """What the names tell; nothing if both are None.

    Args:
        beginnings: the beginning of each name that stands for its source, `(n,)`; it holds within a class.
        place: place of each clip in the order of the names of its class, where a source has a run, `(n,)`.
    """

    beginnings: Texts | None = None
    place: Positions | None = None


def name_evidence(
    names: Sequence[str],
    classes: Sequence[Positions],
    values: Floats,
    rng: np.random.Generator,
    *,
    at_least: int = 2,
) -> NameEvidence:
    """What names tell about the sources of clips.

    The longest beginnings are tested first, and the shortest that still adds something counts: of
    `artist/album/track`, the artist, if songs of two albums of one artist are alike.

    Args:
        names: names or paths of the clips, `(n,)`.
        classes: positions of the clips of each class.
        values: what the clips sound like, without the mean of their class, `(n, d)`.
        rng: source of the shuffles.
        at_least: different beginnings that every class must have, if it has as many clips.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> values = np.repeat(rng.normal(size=(20, 5)), 2, axis=0) + 0.1 * rng.normal(size=(40, 5))
        >>> names = [f"rock/{'abcdefghijklmnopqrst'[i // 2]}{i % 2}.wav" for i in range(40)]
        >>> evidence = name_evidence(names, [np.arange(40)], values, rng)
        >>> evidence.beginnings[:3].tolist()
        ['rock a', 'rock a', 'rock b']
    """
    alike = [_likeness(values[rows]) for rows in classes]
    levels = _levels(list(map(name_parts, names)))
    chosen = None
    for longer, shorter in pairwise(levels):
        is_rich = all(len(set(shorter[rows])) >= min(at_least, len(rows)) for rows in classes)
        if is_rich and _tells(shorter, longer, classes, alike, rng):
            chosen = shorter
    if chosen is not None:
        return NameEvidence(beginnings=chosen)
    place = np.zeros(len(names), np.intp)
    for rows in classes:
        place[rows[natural_order([names[row] for row in rows])]] = np.arange(len(rows))
    return NameEvidence(place=place) if _order_tells(place, classes, alike, rng) else NameEvidence()


def name_parts(name: str) -> tuple[str, ...]:
    """Folders of a name, then the words and numbers of its last part without the suffix.

    Example:
        >>> name_parts("Dog_bark/1-100032-A.ogg")
        ('Dog_bark', '1', '100032', 'A')
    """
    *folders, last = re.split(r"[/\\]", name)
    return (*folders, *PARTS.findall(re.sub(r"\.[A-Za-z]\w{1,4}$", "", last)))


def natural_order(names: Sequence[str]) -> Positions:
    """Positions of names in their order, numbers by their size.

    Example:
        >>> natural_order(["b2", "b10", "b1", "a3"]).tolist()
        [3, 2, 0, 1]
    """
    keys = [
        tuple(
            (0, int(part), "") if part.isdecimal() else (1, 0, part.casefold()) for part in name_parts(name)
        )
        for name in names
    ]
    return np.array(sorted(range(len(keys)), key=lambda row: (keys[row], names[row])), np.intp)


def _levels(parts: Sequence[tuple[str, ...]]) -> list[Texts]:
    """The clips themselves, then their names, then these without their last part, their last two, …"""
    most = min(max(map(len, parts), default=0), MOST_LEVELS)
    shorter = [
        np.array([" ".join(own[: max(len(own) - k, 0)]) for own in parts], np.str_) for k in range(most)
    ]
    return [np.arange(len(parts)).astype(np.str_), *shorter]


def _likeness(values: Floats) -> Floats:
    """Cosine of each pair of clips, `(n, n)`."""
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    directions = values / np.where(lengths > 0, lengths, 1)
    return np.asarray(directions @ directions.T)


def _tells(
    shorter: Texts, longer: Texts, classes: Sequence[Positions], alike: list[Floats], rng: np.random.Generator
) -> bool:
    """Whether clips of one shorter beginning are alike although their longer ones differ."""
    found, shuffled = 0.0, np.zeros(SHUFFLES)
    for rows, likeness in zip(classes, alike, strict=True):
        _, first, unit = np.unique(longer[rows], return_index=True, return_inverse=True)
        owner = np.unique(shorter[rows][first], return_inverse=True)[1]
        if owner.max() == 0 or owner.max() + 1 == len(owner):
            continue
        member = np.zeros((len(rows), len(owner)))
        member[np.arange(len(rows)), unit] = 1
        sums, sizes = member.T @ likeness @ member, member.sum(axis=0)
        counts = np.outer(sizes, sizes)
        found += len(rows) * _mean_within(owner, sums, counts)
        shuffled += len(rows) * np.array(
            [_mean_within(rng.permutation(owner), sums, counts) for _ in range(SHUFFLES)]
        )
    return _is_rare(found, shuffled)


def _mean_within(owner: Positions, sums: Floats, counts: Floats) -> float:
    """Mean likeness of clips of different units with one owner."""
    same = owner[:, None] == owner
    np.fill_diagonal(same, False)
    return float(sums[same].sum() / counts[same].sum())


def _order_tells(
    place: Positions, classes: Sequence[Positions], alike: list[Floats], rng: np.random.Generator
) -> bool:
    """Whether neighbours in the order are alike."""
    found, shuffled = 0.0, np.zeros(SHUFFLES)
    for rows, likeness in zip(classes, alike, strict=True):
        order = np.argsort(place[rows])
        found += likeness[order[:-1], order[1:]].sum()
        mixed = rng.permuted(np.tile(order, (SHUFFLES, 1)), axis=1)
        shuffled += likeness[mixed[:, :-1], mixed[:, 1:]].sum(axis=1)
    return _is_rare(found, shuffled)


def _is_rare(found: float, shuffled: Floats) -> bool:
    """Whether hardly a shuffle is as large. All are 0 where nothing can be compared."""
    return bool((1 + (shuffled >= found - 1e-12).sum()) / (len(shuffled) + 1) <= CHANCE)
