"""Whole groups dealt into parts so that every class is spread as evenly as it can be.

The clips of a group (an artist, a recording) never part, so the unit that is dealt is the group, seen as a row of counts:
how many clips of each class it holds. One algorithm serves folds and hold-outs, single labels and label sets:

1. the groups that hold the largest share of any class go first, each to the part where it helps most (the greedy rule of
   Sechidis, Tsoumakas & Vlahavas 2011, "On the stratification of multi-label data", with groups for examples);
2. then groups are moved, or exchanged, as long as that makes the parts more even.

What is minimised is `Σ (n - t)² / t` over parts and classes, where `n` counts clips and `t = share of the part × clips of the
class`; a class that is absent from a part costs more than any unevenness. Groups are taken in the order of their names before
they are shuffled, so neither the order of rows nor that of folders changes who goes where.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quintet.datasets.groups import group_names

Counts = NDArray[np.float64]
SEARCH_LIMIT = 5_000  # groups; above this the greedy deal is as even as anybody could see
SWAP_LIMIT = 1_000


def group_counts(
    y: ArrayLike, groups: Sequence[Any]
) -> tuple[Counts, NDArray[np.str_], NDArray[np.intp], NDArray[Any]]:
    """How many clips of each class each group holds.

    Args:
        y: labels, shape `(n,)`, or an indicator matrix, shape `(n, tags)`.
        groups: shape `(n,)`.

    Returns:
        `counts` of shape `(groups, classes)`, the groups' names in sorted order, the row of each clip in `counts`, and the
        classes (column numbers for an indicator matrix).

    Example:
        >>> counts, names, rows, classes = group_counts(["a", "b", "b"], ["x", "y", "x"])
        >>> counts.tolist(), names.tolist(), rows.tolist()
        ([[1.0, 1.0], [0.0, 1.0]], ['x', 'y'], [0, 1, 0])
    """
    names, rows = np.unique(group_names(groups), return_inverse=True)
    labels = np.asarray(y)
    if labels.ndim == 2:
        counts = np.zeros((len(names), labels.shape[1]))
        np.add.at(counts, rows, labels != 0)
        return counts, names, rows, np.arange(labels.shape[1])
    classes, codes = np.unique(labels.astype(str), return_inverse=True)
    counts = np.zeros((len(names), len(classes)))
    np.add.at(counts, (rows, codes), 1.0)
    return counts, names, rows, classes


def allocate_groups(
    counts: Counts, sizes: NDArray[np.float64], shares: Sequence[float], *, seed: int
) -> NDArray[np.intp]:
    """The part that each group goes to.

    Args:
        counts: clips of each class in each group, shape `(groups, classes)`.
        sizes: clips in each group, shape `(groups,)` (not the sum of `counts` where labels are sets).
        shares: what part of the whole each part should hold; they sum to 1.
        seed: which of the equally good divisions.

    Returns:
        Shape `(groups,)`, values in `0 … len(shares) - 1`.
    """
    rng = np.random.default_rng([seed, 2011])
    wanted = np.column_stack([counts, sizes])[:, np.append(counts.sum(axis=0) > 0, True)]
    table = _Table(wanted, np.asarray(shares, np.float64))
    largest_share = (wanted / wanted.sum(axis=0)).max(axis=1).round(9)
    shuffled = rng.permutation(len(wanted))
    order = shuffled[np.argsort(-largest_share[shuffled], kind="stable")]
    for group in order:
        table.place(group, int(np.argmin(table.cost_of_adding(group))))
    if len(wanted) <= SEARCH_LIMIT:
        _improve(table, order, swaps=len(wanted) <= SWAP_LIMIT)
    return table.part


def _improve(table: _Table, order: NDArray[np.intp], *, swaps: bool) -> None:
    """Moves and exchanges groups until nothing is gained."""
    for _ in range(20):
        gained = [table.try_move(group) for group in order]
        if swaps:
            gained += [table.try_swap(group) for group in order]
        if not any(gained):
            return


class _Table:
    """The deal so far: `held` (parts, classes + 1) counts what lies where, `target` what should."""

    def __init__(self, counts: Counts, shares: NDArray[np.float64]) -> None:
        self.counts = counts
        self.target = np.outer(shares, counts.sum(axis=0))
        self.held = np.zeros_like(self.target)
        self.part = np.full(len(counts), -1, np.intp)
        unevenness_at_most = (counts.sum(axis=0) / shares.min()).sum()
        self.absence = (2 + shares[:, None] + np.zeros_like(self.target)) * unevenness_at_most
        self.absence[:, -1] *= len(counts)  # a part without any clip is worst

    def cost(self, held: Counts, parts: NDArray[np.intp] | slice) -> NDArray[np.float64]:
        """The unevenness of rows of counts in the given parts, shape `(rows,)`."""
        target = self.target[parts]
        costs = (held - target) ** 2 / target + self.absence[parts] * (held < 0.5)
        return np.asarray(costs.sum(axis=-1).round(9))

    def cost_of_adding(self, group: int) -> NDArray[np.float64]:
        """What each part's cost changes by when the group joins it, shape `(parts,)`."""
        every = slice(None)
        return self.cost(self.held + self.counts[group], every) - self.cost(self.held, every)

    def place(self, group: int, part: int) -> None:
        """Puts a group into a part, taking it from where it was."""
        if self.part[group] >= 0:
            self.held[self.part[group]] -= self.counts[group]
        self.held[part] += self.counts[group]
        self.part[group] = part

    def try_move(self, group: int) -> bool:
        """Moves a group to the part that gains most, if any does."""
        here = self.part[group]
        gain = self.cost(self.held[[here]], np.array([here])) - self.cost(
            self.held[[here]] - self.counts[group], np.array([here])
        )
        change = self.cost_of_adding(group) - gain
        change[here] = 0.0
        best = int(np.argmin(change))
        if change[best] > -1e-6:
            return False
        self.place(group, best)
        return True

    def try_swap(self, group: int) -> bool:
        """Exchanges a group with the one of another part that gains most, if any does."""
        here = self.part[group]
        others = np.flatnonzero(self.part != here)
        if not len(others):
            return False
        there = self.part[others]
        difference = self.counts[others] - self.counts[group]
        at_home = np.full(len(others), here)
        before = self.cost(self.held[at_home], at_home) + self.cost(self.held[there], there)
        after = self.cost(self.held[at_home] + difference, at_home) + self.cost(
            self.held[there] - difference, there
        )
        best = int(np.argmin(after - before))
        if (after - before)[best] > -1e-6:
            return False
        other, its_part = int(others[best]), int(there[best])
        self.place(group, its_part)
        self.place(other, int(here))
        return True
