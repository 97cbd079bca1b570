"""Which recordings share marks at one constant distance in time: an inverted index, so that nobody is compared with everybody."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quintet.audit.fingerprints import Fingerprint

MAX_OCCURRENCES = 40  # a mark that stands more often than this in the corpus says nothing about identity
MIN_VOTES = 4
MAX_CANDIDATES = 12  # a recording is compared with so many at most
BLOCK_MARKS = 1_000_000


class Candidates(NamedTuple):
    """Pairs worth comparing, `(n,)` each: positions `first < second`, the marks in common at one distance, and that distance in frames."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    votes: NDArray[np.int64]
    shift: NDArray[np.int64]


def candidate_pairs(prints: Sequence[Fingerprint]) -> Candidates:
    """Pairs with at least four marks in common at one distance in time; of each recording only its twelve best.

    `votes = max_d |{marks m: m at frame t in the second, at t + d or t + d + 1 in the first}|`; `shift` is that d.

    Time and memory grow with the number of marks, as marks that stand more than 40 times are left out.

    Example:
        >>> marks = np.arange(10, dtype=np.uint32)
        >>> a, b = Fingerprint(marks, np.arange(10, dtype=np.int32)), Fingerprint(marks[3:], np.arange(7, dtype=np.int32))
        >>> found = candidate_pairs([a, b])
        >>> found.votes.tolist(), found.shift.tolist()
        ([7], [2])
    """
    marks, frames, owner = _sorted_marks(prints)
    found = [_ballots(*block, len(prints)) for block in _uncrowded_blocks(marks, frames, owner)]
    keys, counts = _summed(found)
    if not len(keys):
        nothing = np.zeros(0, np.int64)
        return Candidates(nothing, nothing, nothing, nothing)
    return _best_partners(_best_shifts(keys, counts, len(prints)), len(prints))


def _sorted_marks(
    prints: Sequence[Fingerprint],
) -> tuple[NDArray[np.uint32], NDArray[np.int32], NDArray[np.int32]]:
    marks = np.concatenate([p.marks for p in prints] or [np.zeros(0, np.uint32)])
    frames = np.concatenate([p.frames for p in prints] or [np.zeros(0, np.int32)])
    owner = np.repeat(np.arange(len(prints), dtype=np.int32), [len(p.marks) for p in prints])
    order = np.argsort(marks, kind="stable")
    return marks[order], frames[order], owner[order]


def _uncrowded_blocks(
    marks: NDArray[np.uint32], frames: NDArray[np.int32], owner: NDArray[np.int32]
) -> Iterator[tuple[NDArray[np.uint32], NDArray[np.int32], NDArray[np.int32]]]:
    """Stretches of the index that cut no mark in two, without the marks that stand alone or too often."""
    starts = np.flatnonzero(np.diff(marks, prepend=marks[:1] ^ np.uint32(1)))
    sizes = np.diff(np.append(starts, len(marks)))
    keep = np.repeat((sizes > 1) & (sizes <= MAX_OCCURRENCES), sizes)
    marks, frames, owner = marks[keep], frames[keep], owner[keep]
    edges = np.unique(np.searchsorted(marks, marks[::BLOCK_MARKS]))
    for begin, end in pairwise([*edges.tolist(), len(marks)]):
        yield marks[begin:end], frames[begin:end], owner[begin:end]


def _ballots(
    marks: NDArray[np.uint32], frames: NDArray[np.int32], owner: NDArray[np.int32], n: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Counted keys (pair, distance) of all equal marks of two recordings. A distance goes into two steps, so that no boundary divides votes."""
    keys = [np.zeros(0, np.int64)]
    for k in range(1, MAX_OCCURRENCES):
        same = np.flatnonzero(marks[k:] == marks[:-k])
        if not len(same):
            break
        a, b = owner[same].astype(np.int64), owner[same + k].astype(np.int64)
        distance = frames[same].astype(np.int64) - frames[same + k]
        apart = a != b
        distance, pair = (
            distance[apart],
            (a * n + b)[apart] << 21,
        )  # a < b: equal marks stand in the order of their owners
        keys += [pair | (distance + (1 << 20) >> 1 << 1), pair | (distance + (1 << 20) + 1 >> 1 << 1) - 1]
    unique, counts = np.unique(np.concatenate(keys), return_counts=True)
    return unique, counts.astype(np.int64)


def _summed(
    found: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Counts of equal keys from all blocks together."""
    if not found:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    keys, inverse = np.unique(np.concatenate([k for k, _ in found]), return_inverse=True)
    return keys, np.bincount(inverse, weights=np.concatenate([c for _, c in found])).astype(np.int64)


def _best_shifts(keys: NDArray[np.int64], counts: NDArray[np.int64], n: int) -> Candidates:
    """The distance with the most votes for each pair, where there are enough."""
    enough = counts >= MIN_VOTES
    keys, counts = keys[enough], counts[enough]
    pair, shift = keys >> 21, (keys & (1 << 21) - 1) - (1 << 20)
    order = np.lexsort((shift, -counts, pair))
    best = order[np.flatnonzero(np.diff(pair[order], prepend=-1))]
    return Candidates(pair[best] // n, pair[best] % n, counts[best], shift[best])


def _best_partners(pairs: Candidates, n: int) -> Candidates:
    """The pairs that are among the best twelve of either side."""
    both_sides = np.concatenate([pairs.first, pairs.second])
    order = np.lexsort((np.tile(-pairs.votes, 2), both_sides))
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order)) - np.searchsorted(both_sides[order], np.arange(n))[both_sides[order]]
    keep = rank.reshape(2, -1).min(axis=0) < MAX_CANDIDATES
    return Candidates(*(column[keep] for column in pairs))
