from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from quintet.auditing import candidates
from quintet.auditing.candidates import candidate_pairs
from quintet.auditing.fingerprints import Fingerprint


def random_fingerprint(rng: np.random.Generator, n: int = 60, kinds: int = 200) -> Fingerprint:
    return Fingerprint(
        rng.integers(0, kinds, n).astype(np.uint32), np.sort(rng.integers(0, 80, n)).astype(np.int32)
    )


def brute_force_votes(a: Fingerprint, b: Fingerprint) -> int:
    """Votes by brute force: the most equal marks at one distance d or d + 1."""
    votes: Counter[int] = Counter()
    for mark, frame in zip(a.marks, a.frames, strict=True):
        for distance in int(frame) - b.frames[b.marks == mark]:
            votes[int(distance)] += 1
    return max(votes[d] + votes[d + 1] for d in range(-90, 90))


def test_votes_equal_brute_force() -> None:
    rng = np.random.default_rng(0)
    prints = [random_fingerprint(rng) for _ in range(9)]
    prints.append(Fingerprint(prints[0].marks[10:], prints[0].frames[10:] - 7))
    found = candidate_pairs(prints)
    got = {
        (a, b): v
        for a, b, v in zip(found.first.tolist(), found.second.tolist(), found.votes.tolist(), strict=True)
    }
    expected = {(i, j): brute_force_votes(prints[i], prints[j]) for j in range(10) for i in range(j)}
    assert got == {pair: votes for pair, votes in expected.items() if votes >= candidates.MIN_VOTES}
    assert got[0, 9] >= 50


def test_the_size_of_the_blocks_changes_no_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    prints = [random_fingerprint(rng) for _ in range(8)]
    whole = candidate_pairs(prints)
    monkeypatch.setattr(candidates, "BLOCK_MARKS", 7)
    pieces = candidate_pairs(prints)
    assert len(whole.votes)
    for a, b in zip(whole, pieces, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_shift_is_positive_if_the_second_begins_later() -> None:
    marks, frames = np.arange(20, dtype=np.uint32), np.arange(0, 200, 10, dtype=np.int32)
    early, late = Fingerprint(marks, frames), Fingerprint(marks, frames + 44)
    assert candidate_pairs([late, early]).shift[0] in (43, 44)
    assert candidate_pairs([early, late]).shift[0] in (-45, -44)


def test_marks_of_too_many_recordings_are_ignored() -> None:
    marks, frames = np.arange(20, dtype=np.uint32), np.arange(20, dtype=np.int32)
    assert len(candidate_pairs([Fingerprint(marks, frames)] * (candidates.MAX_OCCURRENCES + 1)).votes) == 0
    assert len(candidate_pairs([Fingerprint(marks, frames)] * 3).votes) == 3


def test_each_recording_has_its_best_partners_only() -> None:
    marks, frames = np.arange(100, dtype=np.uint32), np.arange(100, dtype=np.int32)
    prints = [Fingerprint(marks[: 100 - k], frames[: 100 - k]) for k in range(30)]
    found = candidate_pairs(prints)
    assert len(found.votes) < 30 * candidates.MAX_CANDIDATES
    partners = Counter([*found.first.tolist(), *found.second.tolist()])
    assert min(partners[k] for k in range(30)) >= candidates.MAX_CANDIDATES


def test_recordings_without_marks_have_no_pairs() -> None:
    empty = Fingerprint(np.zeros(0, np.uint32), np.zeros(0, np.int32))
    assert len(candidate_pairs([]).votes) == 0
    assert len(candidate_pairs([empty, empty]).votes) == 0
