"""The largest and the smallest of many rows, lane by lane and without any branch: what spectral contrast is made of."""

from __future__ import annotations

from typing import Any

import numpy as np

from quintet.features.engine.kernel_cache import inline
from quintet.features.engine.kernels.simd import load, maximum, minimum, splat, store

NONE, ONE, LEAST = np.float32(0), np.float32(1), np.float32(-np.inf)


@inline
def extremes(magnitude: Any, first: Any, last: Any, n: Any, rest: Any) -> Any:
    """Mean of the `n` largest and mean of the `n` smallest of the rows `first` to `last - 1`; each lane selects for itself, without any branch.

    Many are found by sorting four and four rows first: of the `n` largest, at most `n / 2` are the second of their four, `n / 3` the third and
    `n / 4` the last, so that most rows are compared with a few others only. The smallest are the largest of the negatives.
    """
    if n <= 3:
        peak, valley = _three_extremes(magnitude, first, last, n)
    else:
        count = last - first
        _sort_fours(magnitude, first, count, rest)
        peak, valley = _sum_of_largest(rest, count, n, 0, ONE), -_sum_of_largest(rest, count, n, 3, -ONE)
    return peak / np.float32(n), valley / np.float32(n)


@inline
def _three_extremes(rows: Any, first: Any, last: Any, n: Any) -> Any:
    """Sum of the `n` largest and sum of the `n` smallest rows, `n` being 1, 2 or 3: a > b > c and x < y < z stay in registers."""
    a = b = c = splat(LEAST)
    x = y = z = splat(-LEAST)
    for k in range(first, last):
        high = low = load(rows, k)
        a, high = maximum(a, high), minimum(a, high)
        b, high = maximum(b, high), minimum(b, high)
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
def _sort_fours(rows: Any, first: Any, count: Any, sorted: Any) -> None:
    """The largest of each four rows into the first quarter of `sorted`, the second largest into the second, and so on; what is left behind them."""
    quarter = count // 4
    for k in range(quarter):
        a, b, c, d = (
            load(rows, first + 4 * k),
            load(rows, first + 4 * k + 1),
            load(rows, first + 4 * k + 2),
            load(rows, first + 4 * k + 3),
        )
        a, b, c, d = maximum(a, b), minimum(a, b), maximum(c, d), minimum(c, d)
        a, c, b, d = maximum(a, c), minimum(a, c), maximum(b, d), minimum(b, d)
        store(sorted, k, a)
        store(sorted, quarter + k, maximum(b, c))
        store(sorted, 2 * quarter + k, minimum(b, c))
        store(sorted, 3 * quarter + k, d)
    for k in range(4 * quarter, count):
        store(sorted, k, load(rows, first + k))


@inline
def _sum_of_largest(rows: Any, count: Any, n: Any, best: Any, sign: Any) -> Any:
    """Sum of the `n` largest of `count` rows in sorted fours, times `sign`; quarter `best` holds the largest, and its neighbour the second."""
    quarter, spare, found = count // 4, count, 2 * count
    for rank in range(4):
        wanted, begin = min(n // (rank + 1), quarter), abs(best - rank) * quarter
        _move_largest(rows, begin, quarter, wanted, sign, spare, found)
        found += wanted
    for k in range(4 * quarter, count):
        store(rows, found, load(rows, k) * sign)
        found += 1
    _move_largest(rows, 2 * count, found - 2 * count, n, ONE, spare, found)
    total = splat(NONE)
    for k in range(found, found + n):
        total += load(rows, k)
    return total


@inline
def _move_largest(rows: Any, begin: Any, count: Any, n: Any, sign: Any, spare: Any, target: Any) -> None:
    """The `n` largest of `count` rows, times `sign`, into the rows from `target` on.

    A sweep keeps the three largest in registers, a > b > c, and hands on what they displace to the rows from `spare` on, in which the next sweep
    finds the next three.
    """
    for moved in range(0, n, 3):
        a = b = c = splat(LEAST)
        for k in range(count):
            value = load(rows, begin + k) * sign
            a, value = maximum(a, value), minimum(a, value)
            b, value = maximum(b, value), minimum(b, value)
            c, value = maximum(c, value), minimum(c, value)
            store(rows, spare + k, value)
        store(rows, target + moved, a)
        if moved + 1 < n:
            store(rows, target + moved + 1, b)
        if moved + 2 < n:
            store(rows, target + moved + 2, c)
        begin, sign = spare, ONE
