"""What the names of clips tell about their sources: a common beginning, or an order.

`1-100032-A` and `1-100032-B` may be cut from one recording, `Album/01 …` and `Album/02 …` may be of one
album, and `blues.00011` and `blues.00012` of one artist; or the names are numbers by chance. The sound
decides. A beginning counts if clips of a class that share it are more alike than clips that do not, more
than if the same beginnings were dealt out at random (permutation test). The order counts if neighbours in
it are more alike than in a random order. No name is read for what it means.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
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
ROUNDING = 1e-9
MOST_CLIPS = 400
"""Clips of a class that are looked at; of more, as many that follow each other in the order of the names."""
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
    place = np.zeros(len(names), np.intp)
    for rows in classes:
        place[rows[natural_order([names[row] for row in rows])]] = np.arange(len(rows))
    judged = [_consecutive(rows, place, rng) for rows in classes]
    alike = [_likeness(values[rows]) for rows in judged]
    levels = _levels(list(map(name_parts, names)))
    chosen = None
    for longer, shorter in pairwise(levels):
        is_rich = all(len(set(shorter[rows])) >= min(at_least, len(rows)) for rows in classes)
        if is_rich and _beginning_tells(shorter, longer, judged, alike, rng):
            chosen = shorter
    if chosen is not None:
        return NameEvidence(beginnings=chosen)
    return NameEvidence(place=place) if _order_tells(place, judged, alike, rng) else NameEvidence()


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
    keys = [tuple(map(_sort_key, name_parts(name))) for name in names]
    return np.array(sorted(range(len(keys)), key=lambda row: (keys[row], names[row])), np.intp)


def _sort_key(part: str) -> tuple[int, int, str]:
    """Numbers come first, by their size; they may have any number of digits."""
    if not part.isdecimal():
        return 1, 0, part.casefold()
    digits = part.lstrip("0")
    return 0, len(digits), digits


def _consecutive(rows: Positions, place: Positions, rng: np.random.Generator) -> Positions:
    """The clips of a class, or `MOST_CLIPS` of them that follow each other in the order of their names."""
    if len(rows) <= MOST_CLIPS:
        return rows
    first = int(rng.integers(len(rows) - MOST_CLIPS + 1))
    return np.asarray(rows[np.argsort(place[rows])][first : first + MOST_CLIPS])


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


@dataclass(frozen=True)
class _Units:
    """Clips of a class, joined by their longer beginnings.

    Args:
        owner: number of the shorter beginning of each unit, `(u,)`.
        sums: sum of the likeness of the clips of each pair of units, `(u, u)`.
        counts: number of pairs of clips, `(u, u)`.
        weight: number of clips.
    """

    owner: Positions
    sums: Floats
    counts: Floats
    weight: int

    def likeness(self, owner: Positions) -> float:
        """Mean likeness of clips of different units with one owner, times the clips of the class."""
        same = owner[:, None] == owner
        np.fill_diagonal(same, False)
        return float(self.weight * self.sums[same].sum() / self.counts[same].sum())


def _beginning_tells(
    shorter: Texts, longer: Texts, classes: Sequence[Positions], alike: list[Floats], rng: np.random.Generator
) -> bool:
    """Whether clips of one shorter beginning are alike although their longer ones differ."""
    several: list[_Units] = []
    for rows, likeness in zip(classes, alike, strict=True):
        _, first, unit = np.unique(longer[rows], return_index=True, return_inverse=True)
        owner = np.unique(shorter[rows][first], return_inverse=True)[1]
        if owner.max() == 0 or owner.max() + 1 == len(owner):
            continue
        member = np.zeros((len(rows), len(owner)))
        member[np.arange(len(rows)), unit] = 1
        sizes = member.sum(axis=0)
        several.append(_Units(owner, member.T @ likeness @ member, np.outer(sizes, sizes), len(rows)))

    def shuffled() -> float:
        return sum(units.likeness(rng.permutation(units.owner)) for units in several)

    return bool(several) and _is_rare(sum(units.likeness(units.owner) for units in several), shuffled)


def _order_tells(
    place: Positions, classes: Sequence[Positions], alike: list[Floats], rng: np.random.Generator
) -> bool:
    """Whether neighbours in the order are alike."""

    def likeness(orders: Sequence[Positions]) -> float:
        pairs = zip(orders, alike, strict=True)
        return float(sum(own[order[:-1], order[1:]].sum() for order, own in pairs))

    orders = [np.argsort(place[rows]) for rows in classes]
    return _is_rare(likeness(orders), lambda: likeness([rng.permutation(order) for order in orders]))


def _is_rare(found: float, shuffled: Callable[[], float]) -> bool:
    """Whether hardly a shuffle gives as much. It stops as soon as too many have."""
    as_much = 0
    for _ in range(SHUFFLES):
        as_much += shuffled() >= found - ROUNDING
        if (1 + as_much) / (1 + SHUFFLES) > CHANCE:
            return False
    return True
