"""The compiled loops over series, after the frames were measured: decibels, cosine transform, moments, autocorrelation."""

from __future__ import annotations

from typing import Any

import numpy as np

from quintet.features.engine.kernel_cache import inline, kernel
from quintet.features.engine.kernels.fourier import separate, transform
from quintet.features.engine.kernels.simd import (
    LANES,
    across,
    across_largest,
    load,
    load_run,
    maximum,
    minimum,
    select,
    splat,
    split_exponent,
    store,
    wide,
)

TINY = float(np.finfo(np.float64).tiny)
"""The least positive normal number: a sum below it counts as zero."""

ONE = np.float32(1)


@inline
def log(x: Any) -> Any:
    """The natural logarithm of positive normal float64 lanes, to 1 unit in the last place but one.

    `x = m 2^e` with `m` near 1; `log m = 2 artanh((m - 1) / (m + 1))`, whose series in `s²` is cut where float64 ends.
    """
    m, e = split_exponent(x)
    s = (m - 1.0) / (m + 1.0)
    z = s * s
    series = splat(2 / 23)
    for denominator in (21, 19, 17, 15, 13, 11, 9, 7, 5, 3):
        series = series * z + 2.0 / denominator
    return (e * 1.90821492927058770002e-10 + s * z * series) + 2.0 * s + e * 6.93147180369123816490e-01


@inline
def log_single(x: Any) -> Any:
    """The same of float32 lanes, to the end of float32."""
    m, e = split_exponent(x)
    s = (m - ONE) / (m + ONE)
    z = s * s
    series = ((z * np.float32(2 / 9) + np.float32(2 / 7)) * z + np.float32(2 / 5)) * z + np.float32(2 / 3)
    return s * (z * series + np.float32(2)) + e * np.float32(np.log(2))


@inline
def four_sums(
    rows: Any, first: Any, step: Any, weights: Any, begin: Any, end: Any, column: Any, zero: Any
) -> Any:
    """`weights[begin:end, column + (0, 1, 2, 3)].T @ rows[first + begin * step :: step]`: four sums at a time, so that a row is read once for four.
    `zero` is the 0 of the type of the rows.
    """
    a = b = c = d = e = f = g = h = splat(
        zero
    )  # two of each, so that one addition need not wait for the other
    for k in range(begin, end - 1, 2):
        value, next_value = load(rows, first + k * step), load(rows, first + (k + 1) * step)
        a += value * weights[k, column]
        b += value * weights[k, column + 1]
        c += value * weights[k, column + 2]
        d += value * weights[k, column + 3]
        e += next_value * weights[k + 1, column]
        f += next_value * weights[k + 1, column + 1]
        g += next_value * weights[k + 1, column + 2]
        h += next_value * weights[k + 1, column + 3]
    if (end - begin) % 2:
        value = load(rows, first + (end - 1) * step)
        a += value * weights[end - 1, column]
        b += value * weights[end - 1, column + 1]
        c += value * weights[end - 1, column + 2]
        d += value * weights[end - 1, column + 3]
    return a + e, b + f, c + g, d + h


@kernel
def decibels(power: Any, floor: Any, result: Any) -> None:
    """`10 log10(max(power, floor))` of every number of `power`, shape `(n, 8)`, float32, into `result`, float64."""
    for row in range(power.shape[0]):
        store(result, row, log(maximum(wide(load(power, row)), splat(floor))) * (10 / np.log(10)))


@kernel
def decibels_single(power: Any, floor: Any, result: Any) -> None:
    """The same into `result` of float32, for those who keep no more digits."""
    for row in range(power.shape[0]):
        store(
            result,
            row,
            log_single(maximum(load(power, row), splat(np.float32(floor)))) * np.float32(10 / np.log(10)),
        )


@kernel
def weighted_sums(rows: Any, weights: Any, result: Any) -> None:
    """`weights.T @ rows` for series: `rows` is `(inputs * groups, 8)`, `weights` `(inputs, outputs)` filled up with zeros to a multiple of four
    columns, `result` `(outputs * groups, 8)`.
    """
    groups = rows.shape[0] // weights.shape[0]
    outputs = result.shape[0] // groups
    for group in range(groups):
        for column in range(0, outputs, 4):
            sums = four_sums(rows, group, groups, weights, 0, weights.shape[0], column, 0.0)
            for j in range(min(4, outputs - column)):
                store(result, (column + j) * groups + group, sums[j])


@kernel
def mean_normalised_power(series: Any, windows: Any, plan: Any, work: Any, result: Any) -> None:
    """Sum over all windows of a series of their power spectrum divided by their energy, into `result`, shape `(bins, 8)`, whose lanes are to be
    added up.

    Window `i` begins at `series[i]`, float64, and is weighted by `plan.window` (which may end in zeros); its energy is that of the weighted
    window. A window without energy counts as zeros. The inverse transform of the result is a sum of normalised autocorrelations.
    """
    bins, length = work.power.shape[0], plan.window.shape[0]
    for k in range(bins):
        store(result, k, splat(0.0))
    for first in range(0, windows, LANES):
        transform(series, first, 1, plan, work.points)
        separate(work.points, plan, work.power)
        energy = load(work.power, 0) - load(
            work.power, bins - 1
        )  # Parseval: every bin but the first and the last stands for two
        for k in range(1, bins):
            energy += 2.0 * load(work.power, k)
        for lane in range(LANES):
            work.points[0, lane] = float(length) if first + lane < windows else 0.0
        scale = select(energy > TINY * length, load(work.points, 0) / energy, splat(0.0))
        for k in range(bins):
            store(result, k, load(result, k) + load(work.power, k) * scale)


@kernel
def row_moments(values: Any, n: Any, result: Any) -> None:
    """Mean, least, largest and the central moments of order 2, 3 and 4 of each series of `n` values, of which `values` holds one after the other,
    into `result`, shape `(count, 6)`.
    """
    whole = n // LANES * LANES
    for row in range(result.shape[0]):
        begin, end = row * n, (row + 1) * n
        first = values[begin]
        total, low, high = splat(0.0), splat(first), splat(first)
        for i in range(begin, begin + whole, LANES):
            value = load_run(values, i)
            total += value - first
            low, high = minimum(low, value), maximum(high, value)
        rest, least, largest = 0.0, -across_largest(-low), across_largest(high)
        for i in range(begin + whole, end):
            rest += values[i] - first
            least, largest = min(least, values[i]), max(largest, values[i])
        mean = first + (across(total) + rest) / n
        two, three, four = splat(0.0), splat(0.0), splat(0.0)
        for i in range(begin, begin + whole, LANES):
            deviation = load_run(values, i) - mean
            square = deviation * deviation
            two += square
            three += square * deviation
            four += square * square
        second, third, fourth = across(two), across(three), across(four)
        for i in range(begin + whole, end):
            square = (values[i] - mean) ** 2
            second += square
            third += square * (values[i] - mean)
            fourth += square * square
        result[row, 0], result[row, 1], result[row, 2] = mean, least, largest
        result[row, 3], result[row, 4], result[row, 5] = second / n, third / n, fourth / n
