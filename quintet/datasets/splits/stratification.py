"""Allocation of whole groups to parts so that every class is spread as evenly as possible.

The clips of a group (an artist, a recording) stay together, so the unit of allocation is the group. A group
is a row of counts: the number of its clips in each class. One algorithm serves folds and hold-outs, single
labels and label sets:

1. Groups with the largest share of any class are placed first, each in the part where it helps most (the
   greedy rule of Sechidis, Tsoumakas & Vlahavas 2011, "On the stratification of multi-label data", with
   groups for examples).
2. Then groups are moved, or exchanged, while this makes the parts more even.

The cost is `Σ (n - t)² / t` over parts and classes, where `n` counts clips and `t = share of the part × clips
of the class`. A class that is absent from a part costs more than any unevenness. Groups are sorted by name
before they are shuffled, so the order of rows or folders does not change the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quintet.datasets.groups import group_names

Counts = NDArray[np.float64]
SEARCH_LIMIT = 5_000  # groups; with more of them the greedy allocation is already even
SWAP_LIMIT = 1_000  # groups
MAX_ROUNDS = 20
SMALLEST_GAIN = 1e-6
ROUNDING = 1e-13


class GroupCounts(NamedTuple):
    """Number of clips of each class in each group.

    Args:
        counts: shape `(groups, classes)`.
        names: names of the groups, sorted, shape `(groups,)`.
        rows: row in `counts` of each clip, shape `(n,)`.
        classes: names of the classes, shape `(classes,)`; column numbers for an indicator matrix.
    """

    counts: Counts
    names: NDArray[np.str_]
    rows: NDArray[np.intp]
    classes: NDArray[np.str_] | NDArray[np.intp]


def group_counts(y: ArrayLike, groups: ArrayLike, *, tags: Sequence[str] | None = None) -> GroupCounts:
    """Number of clips of each class in each group.

    Args:
        y: labels, shape `(n,)`, or an indicator matrix, shape `(n, tags)`.
        groups: shape `(n,)`.
        tags: names of the columns of an indicator matrix. Default: their numbers.

    Example:
        >>> counts, names, rows, classes = group_counts(["a", "b", "b"], ["x", "y", "x"])
        >>> counts.tolist(), names.tolist(), rows.tolist()
        ([[1.0, 1.0], [0.0, 1.0]], ['x', 'y'], [0, 1, 0])
    """
    names, rows = np.unique(group_names(groups), return_inverse=True)
    labels = np.asarray(y)
    if labels.ndim == 2:
        n_tags = labels.shape[1]
        counts = np.zeros((len(names), n_tags))
        np.add.at(counts, rows, labels != 0)
        return GroupCounts(counts, names, rows, np.arange(n_tags) if tags is None else np.asarray(tags, str))
    classes, codes = np.unique(labels.astype(str), return_inverse=True)
    counts = np.zeros((len(names), len(classes)))
    np.add.at(counts, (rows, codes), 1.0)
    return GroupCounts(counts, names, rows, classes)


def allocate_groups(
    counts: Counts, sizes: NDArray[np.float64], shares: Sequence[float], *, seed: int
) -> NDArray[np.intp]:
    """Allocate every group to a part.

    Args:
        counts: clips of each class in each group, shape `(groups, classes)`.
        sizes: clips in each group, shape `(groups,)`. If labels are sets, this is not the sum of `counts`.
        shares: share of all clips that each part should hold; they sum to 1.
        seed: selects one of the equally good divisions.

    Returns:
        Part of each group, shape `(groups,)`, values in `0 … len(shares) - 1`.
    """
    rng = np.random.default_rng([seed, 2011])
    is_present = counts.sum(axis=0) > 0
    with_sizes = np.column_stack([counts, sizes])
    wanted = with_sizes[:, np.append(is_present, True)]
    allocation = _Allocation(wanted, np.asarray(shares, np.float64))
    share_of_class = wanted / wanted.sum(axis=0)
    largest_share = share_of_class.max(axis=1).round(9)
    shuffled = rng.permutation(len(wanted))
    falling = np.argsort(-largest_share[shuffled], kind="stable")
    order = shuffled[falling]
    for group in order:
        best = np.argmin(allocation.cost_of_adding(group))
        allocation.place(group, int(best))
    if len(wanted) <= SEARCH_LIMIT:
        _improve(allocation, order, swaps=len(wanted) <= SWAP_LIMIT)
    return allocation.part


def _improve(allocation: _Allocation, order: NDArray[np.intp], *, swaps: bool) -> None:
    """Move and exchange groups until nothing is gained."""
    for _ in range(MAX_ROUNDS):
        gained = [allocation.try_move(group) for group in order]
        if swaps:
            gained += [allocation.try_swap(group) for group in order]
        if not any(gained):
            return


class _Allocation:
    """Part of each group so far, with the clips that each part holds and should hold.

    Args:
        counts: clips of each class in each group, and in the last column clips in each group,
            shape `(groups, classes + 1)`.
        shares: wanted share of each part, shape `(parts,)`.
    """

    def __init__(self, counts: Counts, shares: NDArray[np.float64]) -> None:
        totals = counts.sum(axis=0)
        self.counts = counts
        self.target = np.outer(shares, totals)  # (parts, classes + 1)
        self.actual = np.zeros_like(self.target)
        self.part = np.full(len(counts), -1, np.intp)
        most_unevenness = (totals / shares.min()).sum()
        weights = 2 + shares[:, None] + np.zeros_like(self.target)
        self.absence = weights * most_unevenness
        self.absence[:, -1] *= len(counts)  # a part without any clip is worst
        self.squares = counts**2 @ (1 / self.target).T  # (groups, parts)
        self.is_present = (counts > 0).astype(np.float64)
        self.rounding = SMALLEST_GAIN + ROUNDING * float(self.absence.sum())
        self.sole: Counts | None = None

    def cost(self, actual: Counts, parts: NDArray[np.intp] | slice) -> NDArray[np.float64]:
        """Unevenness of rows of counts in the given parts, shape `(rows,)`."""
        target = self.target[parts]
        is_absent = actual < 0.5
        unevenness = (actual - target) ** 2 / target
        costs = unevenness + self.absence[parts] * is_absent
        total = costs.sum(axis=-1)
        return np.asarray(total.round(9))

    def cost_of_adding(self, group: int) -> NDArray[np.float64]:
        """Change in the cost of each part if the group joins it, shape `(parts,)`."""
        every = slice(None)
        with_group = self.actual + self.counts[group]
        return self.cost(with_group, every) - self.cost(self.actual, every)

    def place(self, group: int, part: int) -> None:
        """Put a group into a part and take it out of its former part."""
        former = self.part[group]
        if former >= 0:
            self.actual[former] -= self.counts[group]
        self.actual[part] += self.counts[group]
        self.part[group] = part
        self.sole = None

    def try_move(self, group: int) -> bool:
        """Move a group to the part that gains most. False if no part gains."""
        here = self.part[group]
        with_group = self.actual[[here]]
        without_group = with_group - self.counts[group]
        parts = np.array([here])
        gain = self.cost(with_group, parts) - self.cost(without_group, parts)
        change = self.cost_of_adding(group) - gain
        change[here] = 0.0
        best = int(np.argmin(change))
        if change[best] > -SMALLEST_GAIN:
            return False
        self.place(group, best)
        return True

    def try_swap(self, group: int) -> bool:
        """Exchange a group with the group of another part that gains most. False if no exchange gains."""
        own_part = self.part[group]
        others = np.flatnonzero(self.part != own_part)
        if not len(others):
            return False
        estimates = self._estimate_exchanges(group, others)
        lowest = float(estimates.min())
        if lowest > self.rounding - SMALLEST_GAIN:
            return False
        others = others[estimates <= lowest + 2 * self.rounding]
        there = self.part[others]
        here = np.full(len(others), own_part)
        difference = self.counts[others] - self.counts[group]
        actual_here, actual_there = self.actual[here], self.actual[there]
        before = self.cost(actual_here, here) + self.cost(actual_there, there)
        after_here = self.cost(actual_here + difference, here)
        after_there = self.cost(actual_there - difference, there)
        change = after_here + after_there - before
        best = int(np.argmin(change))
        if change[best] > -SMALLEST_GAIN:
            return False
        other, part_of_other = int(others[best]), int(there[best])
        self.place(group, part_of_other)
        self.place(other, int(own_part))
        return True

    def _estimate_exchanges(self, group: int, others: NDArray[np.intp]) -> NDArray[np.float64]:
        """Change in the cost if a group is exchanged with each of the others, within `rounding`.

        The squares of the cost are multiplied out: `(r + c)² = r² + 2 r c + c²`, where c are the clips of
        the other group. So the sums over the classes are products of matrices, in a hundredth of the time.

        Args:
            group: the group.
            others: groups of other parts, shape `(n,)`.

        Returns:
            Shape `(n,)`.
        """
        own, own_part = self.counts[group], int(self.part[group])
        sign = np.where(np.arange(len(self.target)) == own_part, 1.0, -1.0)[:, None]
        rest = self.actual - sign * own - self.target  # (parts, classes + 1)
        now = self.actual - self.target
        linear = self.counts @ (2 * sign * rest / self.target).T  # (groups, parts)
        change = self.squares + linear + ((rest**2 - now**2) / self.target).sum(axis=1)

        is_absent = self.actual < 0.5
        left = self.absence[own_part] * (self.actual[own_part] - own < 0.5)  # absent unless the other has it
        change[:, own_part] += left.sum() - self.is_present @ left
        lacks = self.absence * is_absent
        change += (lacks * (own == 0)).sum(axis=1) * (sign[:, 0] < 0) - lacks.sum(axis=1)
        takes = self._sole_clips() @ (own == 0)
        return np.asarray(change[others, own_part] + change[others, self.part[others]] + takes[others])

    def _sole_clips(self) -> Counts:
        """Cost of each class that its part would lack without a group, `(groups, classes + 1)`."""
        if self.sole is None:
            is_sole = (self.counts > 0) & (self.actual[self.part] - self.counts < 0.5)
            self.sole = self.absence[self.part] * is_sole
        return self.sole
