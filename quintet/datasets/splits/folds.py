"""Stratified divisions of clips that keep every group whole: folds, hold-outs and nested subsets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quintet.datasets.splits.split import Positions
from quintet.datasets.splits.stratification import GroupCounts, allocate_groups, group_counts
from quintet.errors import ConfigError, DatasetError


def grouped_folds(
    y: ArrayLike,
    groups: ArrayLike,
    *,
    n_splits: int,
    seed: int,
    allow_rare: bool = False,
    tags: Sequence[str] | None = None,
) -> list[tuple[Positions, Positions]]:
    """Stratified folds that no group crosses.

    Args:
        y: labels, shape `(n,)`, or an indicator matrix, shape `(n, tags)`.
        groups: shape `(n,)`. To split single clips, give every clip a group of its own.
        n_splits: number of folds, at least 2.
        seed: selects one of the equally even divisions. The order of rows does not matter.
        allow_rare: whether a class may lie in fewer groups than there are folds, or be the only one. Some
            folds then lack it. Members cannot learn from such folds; fusion weights can.
        tags: names of the columns of an indicator matrix, for messages.

    Returns:
        `(train, valid)` position arrays, one pair per fold. Every position is in exactly one `valid`.

    Raises:
        ConfigError: if `n_splits` is below 2.
        DatasetError: if there is one class only, or a class lies in fewer groups than there are folds. For
            label sets: if there are fewer groups than folds, or a tag lies in one group only. A rarer tag may
            be absent from some folds; scores report this. With `allow_rare`: only if there are fewer groups
            than folds.

    Example:
        >>> folds = grouped_folds(["a", "a", "b", "b"], ["w", "x", "y", "z"], n_splits=2, seed=0)
        >>> [(len(train), len(valid)) for train, valid in folds]
        [(2, 2), (2, 2)]
    """
    if n_splits < 2:
        raise ConfigError(f"Cross-validation must have at least 2 folds. Received {n_splits}.")
    table = group_counts(y, groups, tags=tags)
    has_single_labels = np.ndim(y) == 1
    if has_single_labels and not allow_rare:
        require_two_classes(table)
    if len(table.names) < n_splits:
        raise DatasetError(
            "There must be at least as many groups as folds. "
            f"Received {len(table.names)} groups for {n_splits} folds: ask for fewer folds."
        )
    if not allow_rare:
        needed = n_splits if has_single_labels else 2
        require_groups_per_class(table, needed=needed, whole=f"the part to be divided into {n_splits} folds")
    fold = _part_of_clips(table, [1 / n_splits] * n_splits, seed=seed)
    return [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(n_splits)]


def hold_out(y: ArrayLike, groups: ArrayLike, *, test_size: float, seed: int) -> tuple[Positions, Positions]:
    """Stratified division into two parts that no group crosses.

    Args:
        y: labels, shape `(n,)`, or an indicator matrix.
        groups: shape `(n,)`.
        test_size: wanted share of clips in the second part, in (0, 1). Groups stay whole, so the share is
            approximate.
        seed: selects one of the equally even divisions.

    Returns:
        `(train, test)` positions. Every class is in `train`. A class with a second group is also in `test`.

    Raises:
        ConfigError: if `test_size` lies outside (0, 1).
        DatasetError: if there are fewer than two groups.
    """
    if not 0 < test_size < 1:
        raise ConfigError(f"The held-out share must lie between 0 and 1. Received {test_size}.")
    table = group_counts(y, groups)
    if len(table.names) < 2:
        only_group = table.names[0] if len(table.names) else ""
        raise DatasetError(
            f"A division needs at least two groups. All {len(table.rows)} clips belong to '{only_group}'."
        )
    part = _part_of_clips(table, [1 - test_size, test_size], seed=seed)
    return np.flatnonzero(part == 0), np.flatnonzero(part == 1)


def nested_subsets(y: ArrayLike, groups: ArrayLike, *, shares: Sequence[float], seed: int) -> list[Positions]:
    """Stratified subsets of whole groups, each contained in the next. Learning curves train on them.

    Args:
        y: labels, shape `(n,)`, or an indicator matrix, shape `(n, tags)`.
        groups: shape `(n,)`.
        shares: wanted shares of the clips, rising, in (0, 1]. Groups stay whole, so the shares are
            approximate.
        seed: selects one of the equally even divisions.

    Returns:
        Sorted positions, one array per share. A small subset may lack a class that lies in few groups.

    Raises:
        ConfigError: if the shares do not rise, or lie outside (0, 1].

    Example:
        >>> y, groups = ["a", "a", "b", "b"], ["w", "x", "y", "z"]
        >>> half, whole = nested_subsets(y, groups, shares=[0.5, 1.0], seed=0)
        >>> len(half), whole.tolist()
        (2, [0, 1, 2, 3])
    """
    steps = np.diff([0.0, *shares])
    if not len(steps) or (steps <= 0).any() or shares[-1] > 1:
        received = ", ".join(map(str, shares)) or "none"
        raise ConfigError(f"Shares of the data must rise within (0, 1]. Received {received}.")
    parts = list(steps)
    if shares[-1] < 1:
        parts.append(1 - shares[-1])
    table = group_counts(y, groups)
    part = _part_of_clips(table, parts, seed=seed)
    return [np.flatnonzero(part <= k) for k in range(len(shares))]


def usable_folds(y: ArrayLike, groups: ArrayLike, *, at_most: int = 5) -> int:
    """Largest number of folds that every class can fill, between 2 and `at_most`.

    It is the number of groups of the class with the fewest groups.

    Args:
        y: labels, shape `(n,)`, or an indicator matrix (then all groups count, not those of the rarest tag).
        groups: shape `(n,)`.
        at_most: upper limit.

    Example:
        >>> usable_folds(["a", "a", "a", "b", "b", "b"], [1, 2, 3, 4, 5, 6])
        3
    """
    table = group_counts(y, groups)
    n_groups = len(table.names)
    if np.ndim(y) == 1:
        groups_per_class = (table.counts > 0).sum(axis=0)
        present = groups_per_class > 0
        n_groups = groups_per_class[present].min(initial=n_groups)
    return int(np.clip(n_groups, 2, at_most))


def require_two_classes(table: GroupCounts) -> None:
    """Check that a classifier has at least two classes to separate.

    Args:
        table: clips of each class in each group.

    Raises:
        DatasetError: if fewer than two classes have clips.
    """
    present = table.classes[table.counts.sum(axis=0) > 0]
    if len(present) < 2:
        received = ", ".join(repr(str(name)) for name in present) or "none"
        raise DatasetError(f"A classifier needs at least two classes. Received {len(present)}: {received}.")


def require_groups_per_class(table: GroupCounts, *, needed: int, whole: str) -> None:
    """Check that every class lies in enough groups to be divided.

    Args:
        table: clips of each class in each group.
        needed: smallest number of groups per class. Classes without clips are not checked.
        whole: name of the divided data, for the message.

    Raises:
        DatasetError: if a class lies in fewer groups. The message lists these classes with their numbers.
    """
    groups_per_class = (table.counts > 0).sum(axis=0)
    clips_per_class = table.counts.sum(axis=0)
    short = np.flatnonzero((groups_per_class > 0) & (groups_per_class < needed))
    if not len(short):
        return
    in_one_group = short[(groups_per_class[short] == 1) & (clips_per_class[short] > 1)]
    if len(in_one_group):
        raise DatasetError(
            "A group must not hold all of a class: the class could be learnt or tested, never both. "
            f"In {whole}, {'; '.join(_describe_single_group(table, k) for k in in_one_group)}. "
            "Add clips of the class from other groups, leave the class out, or split by something finer."
        )
    rarest = sorted(short, key=lambda k: int(groups_per_class[k]))
    examples = [
        f"{str(table.classes[k])!r} has {_count(clips_per_class[k], 'clip')} in "
        f"{_count(groups_per_class[k], 'group')}"
        for k in rarest[:3]
    ]
    if len(rarest) > 3:
        examples.append(f"and {len(rarest) - 3} more classes have too few")
    raise DatasetError(
        f"Every class must lie in at least {needed} groups (clips, if no groups are known) "
        f"for this division. In {whole}, {', '.join(examples)}. "
        "Ask for fewer folds or no test part, add clips from other groups, or leave the class out."
    )


def _count(number: float, noun: str) -> str:
    return f"{number:.0f} {noun}" if number == 1 else f"{number:.0f} {noun}s"


def _describe_single_group(table: GroupCounts, k: int) -> str:
    """Which group holds all clips of class `k`."""
    counts = table.counts[:, k]
    group = table.names[np.argmax(counts)]
    return f"{str(group)!r} holds all {counts.sum():.0f} clips of {str(table.classes[k])!r}"


def _part_of_clips(table: GroupCounts, shares: Sequence[float], *, seed: int) -> NDArray[np.intp]:
    """Part of each clip, shape `(n,)`, if whole groups are divided into these shares."""
    clips_per_group = np.bincount(table.rows).astype(float)
    part_of_group = allocate_groups(table.counts, clips_per_group, shares, seed=seed)
    return part_of_group[table.rows]
