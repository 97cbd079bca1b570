"""Kernels for spectral contrast: the largest and smallest of many rows, in each lane, without branches."""

from __future__ import annotations

import numpy as np

from quintet.features.engine.kernel_cache import inline
from quintet.features.engine.kernels.lanes import Rows, Singles
from quintet.features.engine.kernels.simd import load, maximum, minimum, splat, store
from quintet.features.engine.kernels.simd_types import Vector

NONE, ONE, LEAST = np.float32(0), np.float32(1), np.float32(-np.inf)


@inline
def extremes(magnitude: Rows, first: int, last: int, n: int, rest: Singles) -> tuple[Vector, Vector]:
    """Mean of the `n` largest and mean of the `n` smallest of the rows `first` to `last - 1`, in each lane.

    If `n` is large, the rows are first sorted in groups of four. Of the `n` largest, at most `n / 2` are the
    second of their group, `n / 3` the third and `n / 4` the last. So most rows are compared with a few others
    only. The smallest rows are the largest of the negatives.
    """
    if n <= 3:
        peak, valley = _three_extremes(magnitude, first, last, n)
    else:
        count = last - first
        _sort_fours(magnitude, first, count, rest)
        peak = _sum_of_largest(rest, count, n, 0, ONE)
        valley = -_sum_of_largest(rest, count, n, 3, -ONE)
    return peak / np.float32(n), valley / np.float32(n)


@inline
def in_order(x: Vector, y: Vector) -> tuple[Vector, Vector]:
    """The larger and the smaller of two values, in each lane."""
    return maximum(x, y), minimum(x, y)


@inline
def _three_extremes(rows: Rows, first: int, last: int, n: int) -> tuple[Vector, Vector]:
    """Sum of the `n` largest and sum of the `n` smallest rows, for `n` of 1, 2 or 3.

    a > b > c and x < y < z stay in registers.
    """
    a = b = c = splat(LEAST)
    x = y = z = splat(-LEAST)
    for k in range(first, last):
        high = low = load(rows, k)
        a, high = in_order(a, high)
        b, high = in_order(b, high)
        c = maximum(c, high)
        x, low = minimum(x, low), maximum(x, low)
        y, low = minimum(y, low), maximum(y, low)
        z = minimum(z, low)
    if n > 1:
        a, x = a + b, x + y
    if n > 2:
        a, x = a + c, x + z
    return a, x


@inline
def _sort_fours(rows: Rows, first: int, count: int, result: Singles) -> None:
    """Sort each group of four rows. The largest go into the first quarter of `result`, the second largest
    into the second quarter, and so on. Rows that fill no group follow.
    """
    quarter = count // 4
    for k in range(quarter):
        begin = first + 4 * k
        a = load(rows, begin)
        b = load(rows, begin + 1)
        c = load(rows, begin + 2)
        d = load(rows, begin + 3)
        a, b = in_order(a, b)
        c, d = in_order(c, d)
        a, c = in_order(a, c)
        b, d = in_order(b, d)
        store(result, k, a)
        store(result, quarter + k, maximum(b, c))
        store(result, 2 * quarter + k, minimum(b, c))
        store(result, 3 * quarter + k, d)
    for k in range(4 * quarter, count):
        store(result, k, load(rows, first + k))


@inline
def _sum_of_largest(rows: Singles, count: int, n: int, best: int, sign: np.float32) -> Vector:
    """Sum of the `n` largest of `count` rows in sorted fours, times `sign`.

    Quarter `best` holds the largest of each four. Its neighbour holds the second largest.
    """
    quarter = count // 4
    spare, target = count, 2 * count
    for rank in range(4):
        candidates = min(n // (rank + 1), quarter)
        begin = abs(best - rank) * quarter
        _move_largest(rows, begin, quarter, candidates, sign, spare, target)
        target += candidates
    for k in range(4 * quarter, count):
        store(rows, target, load(rows, k) * sign)
        target += 1
    _move_largest(rows, 2 * count, target - 2 * count, n, ONE, spare, target)
    total: Vector = splat(NONE)
    for k in range(target, target + n):
        total += load(rows, k)
    return total


@inline
def _move_largest(
    rows: Singles, begin: int, count: int, n: int, sign: np.float32, spare: int, target: int
) -> None:
    """Move the `n` largest of `count` rows, times `sign`, into the rows from `target` on.

    A sweep keeps the three largest in registers, a > b > c. It writes the rows that they displace from
    `spare` on, where the next sweep finds the next three.
    """
    for moved in range(0, n, 3):
        a = b = c = splat(LEAST)
        for k in range(count):
            value = load(rows, begin + k) * sign
            a, value = in_order(a, value)
            b, value = in_order(b, value)
            c, value = in_order(c, value)
            store(rows, spare + k, value)
        store(rows, target + moved, a)
        if moved + 1 < n:
            store(rows, target + moved + 1, b)
        if moved + 2 < n:
            store(rows, target + moved + 2, c)
        begin, sign = spare, ONE
