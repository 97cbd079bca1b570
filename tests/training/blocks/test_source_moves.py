"""Moves of clips between sources: in the long run, each partition has its probability."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
from scipy.special import gammaln

from quintet.training.blocks.source_moves import Clips, move_clips, nearest, split_and_merge

CONCENTRATION = 1.5
N_DRAWS = 3000


def partitions(n: int, first: tuple[int, ...] = ()) -> Iterator[tuple[int, ...]]:
    """All partitions of n clips, as the number of the source of each clip."""
    if len(first) == n:
        yield first
        return
    for number in range(max(first, default=-1) + 2):
        yield from partitions(n, (*first, number))


def probabilities(clips: Clips) -> dict[tuple[int, ...], float]:
    """Partition → its probability, from the restaurant process and the density of each source."""
    logs = {}
    for partition in partitions(len(clips.values)):
        source = np.array(partition)
        density = clips.log_density(*clips.totals(source, source.max() + 1)).sum()
        sizes = np.bincount(source)
        logs[partition] = density + len(sizes) * np.log(CONCENTRATION) + gammaln(sizes).sum()
    total = np.logaddexp.reduce(list(logs.values()))
    return {partition: float(np.exp(log - total)) for partition, log in logs.items()}


def name(source: np.ndarray) -> tuple[int, ...]:
    """A partition, its sources numbered in the order in which they appear."""
    numbers: dict[int, int] = {}
    return tuple(numbers.setdefault(int(k), len(numbers)) for k in source)


@pytest.mark.parametrize("moves", ["clips", "sources", "both"])
def test_every_partition_comes_up_as_often_as_it_is_likely(moves):
    rng = np.random.default_rng(3)
    values = rng.normal(size=(4, 2)) * [2.0, 0.7]
    clips = Clips(values, np.array([1.0, 0.6, 1.3, 0.9]), np.array([3.0, 0.4]))
    near, source, seen = nearest(values), np.zeros(4, np.intp), Counter()
    for _ in range(N_DRAWS):
        if moves != "clips":
            source = split_and_merge(clips, source, near, CONCENTRATION, rng)
        if moves != "sources":
            source = move_clips(clips, source, CONCENTRATION, rng)
        seen[name(source)] += 1
    expected = probabilities(clips)
    assert len(expected) == 15
    assert set(seen) <= set(expected)
    for partition, probability in expected.items():
        assert seen[partition] / N_DRAWS == pytest.approx(probability, abs=0.05)
