"""Exchanges of groups: the estimates that choose them, against the cost itself."""

from __future__ import annotations

import numpy as np
import pytest

from quintet.datasets.splits.stratification import SMALLEST_GAIN, _Allocation


def allocation(seed: int) -> _Allocation:
    """Groups at random in parts. Some classes lie in one group, so that parts lack them."""
    rng = np.random.default_rng(seed)
    n_groups, n_classes = rng.integers(4, 30), rng.integers(2, 9)
    counts = rng.poisson(rng.choice([0.3, 3.0]), (n_groups, n_classes)).astype(float)
    counts[0, 0] += 1
    counts = counts[:, counts.sum(axis=0) > 0]
    sizes = np.maximum(counts.sum(axis=1), 1.0)
    result = _Allocation(np.column_stack([counts, sizes]), np.array([0.5, 0.3, 0.2]))
    for group in range(n_groups):
        result.place(group, int(rng.integers(3)))
    return result


def cost_of_exchange(places: _Allocation, first: int, second: int) -> float:
    """Change in the cost of all parts, by exchanging two groups and putting them back."""
    every = slice(None)
    before = places.cost(places.actual, every).sum()
    here, there = int(places.part[first]), int(places.part[second])
    places.place(first, there)
    places.place(second, here)
    after = places.cost(places.actual, every).sum()
    places.place(first, here)
    places.place(second, there)
    return float(after - before)


@pytest.mark.parametrize("seed", range(12))
def test_the_best_of_all_exchanges_is_made_or_none_gains(seed: int) -> None:
    places = allocation(seed)
    for group in range(len(places.part)):
        others = np.flatnonzero(places.part != places.part[group])
        if not len(others):
            continue
        changes = [cost_of_exchange(places, group, other) for other in others.tolist()]
        estimates = places._estimate_exchanges(group, others)
        assert estimates == pytest.approx(changes, abs=places.rounding)
        before = places.cost(places.actual, slice(None)).sum()
        is_made = places.try_swap(group)
        gained = places.cost(places.actual, slice(None)).sum() - before
        assert is_made == (min(changes) <= -SMALLEST_GAIN)
        assert gained == pytest.approx(min(*changes, 0.0), abs=places.rounding)
