"""Candidate pairs: recordings that share marks at one constant distance in time.

An inverted index of the marks finds them, so that not every recording is compared with every other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quintet.auditing.fingerprints import Fingerprint

Integers = NDArray[np.int64]

MAX_OCCURRENCES = 40
"""A mark that occurs more often than this in the corpus is ignored: it does not identify a recording."""

MIN_VOTES = 4
MAX_CANDIDATES = 12
"""Largest number of candidates of one recording."""

BLOCK_MARKS = 1_000_000
SHIFT_BITS = 21
SHIFT_OFFSET = 1 << 20
"""A shift plus this offset is positive and takes `SHIFT_BITS` bits."""


class Candidates(NamedTuple):
    """Pairs of recordings to compare; each column is `(n,)`.

    Args:
        first: position of the first recording, smaller than `second`.
        second: position of the second recording.
        votes: number of marks that both share at one distance.
        shift: that distance, in frames.
    """

    first: Integers
    second: Integers
    votes: Integers
    shift: Integers


class _MarkIndex(NamedTuple):
    """Marks of all recordings, sorted by mark; each column is `(n,)`.

    Args:
        marks: the marks.
        frames: the frame of each mark in its recording.
        owners: the position of its recording.
    """

    marks: NDArray[np.uint32]
    frames: NDArray[np.int32]
    owners: NDArray[np.int32]

    def select(self, rows: slice | NDArray[np.intp]) -> _MarkIndex:
        """The index with some rows only."""
        return _MarkIndex(
            marks=self.marks[rows],
            frames=self.frames[rows],
            owners=self.owners[rows],
        )


class _Votes(NamedTuple):
    """Number of shared marks of each pair of recordings at each shift.

    Args:
        keys: pair and shift, packed in one integer: `(first * n + second) << 21 | shift + 2^20`.
        counts: number of marks.
    """

    keys: Integers
    counts: Integers


def candidate_pairs(prints: Sequence[Fingerprint]) -> Candidates:
    """Pairs with at least four marks in common at one distance in time; the best twelve of each recording.

    `votes = max_d |{marks m: m at frame t in the second, at t + d or t + d + 1 in the first}|`; `shift` is
    that d. Time and memory grow with the number of marks, because marks that occur more than 40 times are
    ignored.

    Args:
        prints: fingerprints of the recordings.

    Example:
        >>> marks, frames = np.arange(10, dtype=np.uint32), np.arange(10, dtype=np.int32)
        >>> a, b = Fingerprint(marks, frames), Fingerprint(marks[3:], frames[:7])
        >>> candidates = candidate_pairs([a, b])
        >>> candidates.votes.tolist(), candidates.shift.tolist()
        ([7], [2])
    """
    n = len(prints)
    index = _index_marks(prints)
    votes_of_blocks = [_count_votes(block, n) for block in _useful_blocks(index)]
    votes = _add_votes(votes_of_blocks)
    if not len(votes.keys):
        empty = np.zeros(0, np.int64)
        return Candidates(empty, empty, empty, empty)
    pairs = _best_shifts(votes, n)
    return _best_partners(pairs, n)


def _index_marks(prints: Sequence[Fingerprint]) -> _MarkIndex:
    """Marks of all recordings, sorted. Equal marks keep the order of their recordings."""
    marks, frames = [np.zeros(0, np.uint32)], [np.zeros(0, np.int32)]
    for one in prints:
        marks.append(one.marks)
        frames.append(one.frames)
    positions = np.arange(len(prints), dtype=np.int32)
    sizes = [len(one.marks) for one in prints]
    owners = np.repeat(positions, sizes)
    index = _MarkIndex(
        marks=np.concatenate(marks),
        frames=np.concatenate(frames),
        owners=owners,
    )
    order = np.argsort(index.marks, kind="stable")
    return index.select(order)


def _useful_blocks(index: _MarkIndex) -> Iterator[_MarkIndex]:
    """Blocks of the index without the marks that occur once or too often. Equal marks are in one block."""
    marks = index.marks
    changes = np.diff(marks, prepend=marks[:1] ^ np.uint32(1))
    starts = np.flatnonzero(changes)
    sizes = np.diff(np.append(starts, len(marks)))
    is_useful = (sizes > 1) & (sizes <= MAX_OCCURRENCES)
    useful_rows = np.repeat(is_useful, sizes)
    rows = np.flatnonzero(useful_rows)
    useful = index.select(rows)
    first_of_blocks = useful.marks[::BLOCK_MARKS]
    begins = np.searchsorted(useful.marks, first_of_blocks)
    edges = np.unique(begins)
    for begin, end in pairwise([*edges.tolist(), len(rows)]):
        yield useful.select(slice(begin, end))


def _count_votes(block: _MarkIndex, n: int) -> _Votes:
    """Votes of all equal marks of two recordings.

    A distance d counts for the shifts d and d - 1, one even and one odd. So no boundary between two shifts
    divides the votes of a pair.
    """
    keys = [np.zeros(0, np.int64)]
    for step in range(1, MAX_OCCURRENCES):
        is_same = block.marks[step:] == block.marks[:-step]
        one = np.flatnonzero(is_same)
        if not len(one):
            break
        other = one + step
        # Equal marks are in the order of their recordings, so first < second.
        first = block.owners[one].astype(np.int64)
        second = block.owners[other].astype(np.int64)
        first_frame = block.frames[one].astype(np.int64)
        distance = first_frame - block.frames[other]
        is_pair = first != second
        pair_number = first * n + second
        pair = pair_number[is_pair] << SHIFT_BITS
        shifted = distance[is_pair] + SHIFT_OFFSET
        even = shifted >> 1 << 1
        odd = (shifted + 1 >> 1 << 1) - 1
        keys.append(pair | even)
        keys.append(pair | odd)
    all_keys = np.concatenate(keys)
    unique, counts = np.unique(all_keys, return_counts=True)
    return _Votes(unique, counts.astype(np.int64))


def _add_votes(blocks: Sequence[_Votes]) -> _Votes:
    """Votes of all blocks together."""
    if not blocks:
        empty = np.zeros(0, np.int64)
        return _Votes(empty, empty)
    all_keys = np.concatenate([block.keys for block in blocks])
    all_counts = np.concatenate([block.counts for block in blocks])
    keys, key_of_row = np.unique(all_keys, return_inverse=True)
    counts = np.bincount(key_of_row, weights=all_counts)
    return _Votes(keys, counts.astype(np.int64))


def _best_shifts(votes: _Votes, n: int) -> Candidates:
    """The shift with the most votes of each pair, if there are enough votes."""
    is_enough = votes.counts >= MIN_VOTES
    keys, counts = votes.keys[is_enough], votes.counts[is_enough]
    pair = keys >> SHIFT_BITS
    shift_bits = (1 << SHIFT_BITS) - 1
    shift = (keys & shift_bits) - SHIFT_OFFSET
    order = np.lexsort((shift, -counts, pair))
    changes = np.diff(pair[order], prepend=-1)
    first_of_pairs = np.flatnonzero(changes)
    best = order[first_of_pairs]
    return Candidates(
        first=pair[best] // n,
        second=pair[best] % n,
        votes=counts[best],
        shift=shift[best],
    )


def _best_partners(pairs: Candidates, n: int) -> Candidates:
    """The pairs that are among the best twelve of one of their recordings."""
    recordings = np.concatenate([pairs.first, pairs.second])
    votes = np.tile(pairs.votes, 2)
    order = np.lexsort((-votes, recordings))
    sorted_recordings = recordings[order]
    starts = np.searchsorted(sorted_recordings, np.arange(n))
    positions = np.arange(len(order))
    rank = np.empty(len(order), np.int64)
    rank[order] = positions - starts[sorted_recordings]
    rank_of_sides = rank.reshape(2, -1)
    better_rank = rank_of_sides.min(axis=0)
    is_best = better_rank < MAX_CANDIDATES
    return Candidates(*(column[is_best] for column in pairs))
