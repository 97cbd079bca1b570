"""Kernels over series of frames: decibels, cosine transform, moments, autocorrelation."""

from __future__ import annotations

import numpy as np

from quintet.features.engine.kernel_cache import inline, kernel
from quintet.features.engine.kernels.arguments import Workspace
from quintet.features.engine.kernels.fourier import separate, transform
from quintet.features.engine.kernels.lanes import LANES, Doubles, Number, Rows, Singles
from quintet.features.engine.kernels.plans import FourierPlan
from quintet.features.engine.kernels.simd import (
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
from quintet.features.engine.kernels.simd_types import Vector

TINY = float(np.finfo(np.float64).tiny)
"""Smallest positive normal number: a sum below it counts as zero."""

ONE, TWO = np.float32(1), np.float32(2)
NINTH, SEVENTH, FIFTH, THIRD = np.float32(2 / 9), np.float32(2 / 7), np.float32(2 / 5), np.float32(2 / 3)


@inline
def log(x: Vector) -> Vector:
    """Natural logarithm of positive normal float64 lanes, to 1 unit in the last place but one.

    `x = m 2^e` with `m` near 1; `log m = 2 artanh((m - 1) / (m + 1))`, whose series in `s²` ends where
    float64 ends.
    """
    m, e = split_exponent(x)
    s = (m - 1.0) / (m + 1.0)
    z = s * s
    series = splat(2 / 23)
    for denominator in (21, 19, 17, 15, 13, 11, 9, 7, 5, 3):
        series = series * z + 2.0 / denominator
    logarithm: Vector = (
        (e * 1.90821492927058770002e-10 + s * z * series) + 2.0 * s + e * 6.93147180369123816490e-01
    )
    return logarithm


@inline
def log_single(x: Vector) -> Vector:
    """Natural logarithm of positive normal float32 lanes, to the precision of float32."""
    m, e = split_exponent(x)
    s = (m - ONE) / (m + ONE)
    z = s * s
    series = ((z * NINTH + SEVENTH) * z + FIFTH) * z + THIRD
    logarithm: Vector = s * (z * series + TWO) + e * np.float32(np.log(2))
    return logarithm


@inline
def four_sums(
    rows: Rows, first: int, step: int, weights: Rows, begin: int, end: int, column: int, zero: Number
) -> tuple[Vector, Vector, Vector, Vector]:
    """Four weighted sums of rows at once, so that a row is read once for four sums.

    The result is `weights[begin:end, column + (0, 1, 2, 3)].T @ rows[first + begin * step :: step]`.

    Args:
        rows: the values.
        first: first row.
        step: distance of the rows.
        weights: shape `(inputs, outputs)`.
        begin: first input.
        end: last input + 1.
        column: first of the four outputs.
        zero: 0 of the type of the rows.
    """
    a = b = c = d = splat(zero)
    e = f = g = h = splat(zero)  # of every second row, so that additions need not wait for each other
    second = column + 1
    third = column + 2
    fourth = column + 3
    for k in range(begin, end - 1, 2):
        value = load(rows, first + k * step)
        a += value * weights[k, column]
        b += value * weights[k, second]
        c += value * weights[k, third]
        d += value * weights[k, fourth]
        j = k + 1
        value = load(rows, first + j * step)
        e += value * weights[j, column]
        f += value * weights[j, second]
        g += value * weights[j, third]
        h += value * weights[j, fourth]
    if (end - begin) % 2:
        last = end - 1
        value = load(rows, first + last * step)
        a += value * weights[last, column]
        b += value * weights[last, second]
        c += value * weights[last, third]
        d += value * weights[last, fourth]
    return a + e, b + f, c + g, d + h


@kernel
def decibels(power: Singles, floor: float, result: Doubles) -> None:
    """`10 log10(max(power, floor))` of every number of `power`, shape `(n, 8)`, into `result`."""
    for row in range(power.shape[0]):
        value = maximum(wide(load(power, row)), splat(floor))
        store(result, row, log(value) * (10 / np.log(10)))


@kernel
def decibels_single(power: Singles, floor: float, result: Singles) -> None:
    """The same as `decibels`, with the precision of float32."""
    for row in range(power.shape[0]):
        value = maximum(load(power, row), splat(np.float32(floor)))
        store(result, row, log_single(value) * np.float32(10 / np.log(10)))


@kernel
def weighted_sums(rows: Doubles, weights: Doubles, result: Doubles) -> None:
    """`weights.T @ rows` for series.

    Args:
        rows: shape `(inputs * groups, 8)`.
        weights: shape `(inputs, outputs)`, with columns of zeros up to a multiple of four.
        result: shape `(outputs * groups, 8)`.
    """
    inputs = weights.shape[0]
    groups = rows.shape[0] // inputs
    outputs = result.shape[0] // groups
    for group in range(groups):
        for column in range(0, outputs, 4):
            sums = four_sums(rows, group, groups, weights, 0, inputs, column, 0.0)
            for j in range(min(4, outputs - column)):
                store(result, (column + j) * groups + group, sums[j])


@kernel
def mean_normalised_power(
    series: Doubles, windows: int, plan: FourierPlan, work: Workspace, result: Doubles
) -> None:
    """Sum over all windows of a series of their power spectrum divided by their energy.

    The inverse transform of the result is a sum of normalised autocorrelations. The energy of a window is
    that of its weighted samples. A window without energy counts as zeros.

    Args:
        series: float64. Window `i` begins at `series[i]`.
        windows: number of windows.
        plan: tables of the transform. `plan.window` weights the windows and may end in zeros.
        work: memory for eight windows.
        result: shape `(bins, 8)`, whose lanes the caller sums.
    """
    bins = work.power.shape[0]
    length = plan.window.shape[0]
    for k in range(bins):
        store(result, k, splat(0.0))
    for first in range(0, windows, LANES):
        transform(series, first, 1, plan, work.points)
        separate(work.points, plan, bins, work.power)
        # Parseval: every bin except the first and the last counts twice
        energy = load(work.power, 0) - load(work.power, bins - 1)
        for k in range(1, bins):
            energy += 2.0 * load(work.power, k)
        for lane in range(LANES):
            work.points[0, lane] = float(length) if first + lane < windows else 0.0
        has_energy = energy > TINY * length
        scale = select(has_energy, load(work.points, 0) / energy, splat(0.0))
        for k in range(bins):
            total = load(result, k) + load(work.power, k) * scale
            store(result, k, total)


@kernel
def row_moments(values: Doubles, n: int, result: Doubles) -> None:
    """Mean, smallest, largest and central moments of order 2, 3 and 4 of each series.

    Args:
        values: the series one after the other.
        n: values of one series.
        result: shape `(count, 6)`.
    """
    for row in range(result.shape[0]):
        begin = row * n
        mean, least, largest = _mean_and_ends(values, begin, n)
        second, third, fourth = _power_sums(values, begin, n, mean)
        result[row, 0] = mean
        result[row, 1] = least
        result[row, 2] = largest
        result[row, 3] = second / n
        result[row, 4] = third / n
        result[row, 5] = fourth / n


@inline
def _mean_and_ends(values: Doubles, begin: int, n: int) -> tuple[float, float, float]:
    """Mean, smallest and largest of `n` values from `begin` on. The sum is that of `value - first value`."""
    whole = begin + n // LANES * LANES
    first = values[begin]
    total, low, high = splat(0.0), splat(first), splat(first)
    for i in range(begin, whole, LANES):
        value = load_run(values, i)
        total += value - first
        low = minimum(low, value)
        high = maximum(high, value)
    rest = 0.0
    least = -across_largest(-low)
    largest = across_largest(high)
    for i in range(whole, begin + n):
        rest += values[i] - first
        least = min(least, values[i])
        largest = max(largest, values[i])
    return first + (across(total) + rest) / n, least, largest


@inline
def _power_sums(values: Doubles, begin: int, n: int, mean: float) -> tuple[float, float, float]:
    """Sums of the powers 2, 3 and 4 of the deviation of `n` values from their mean."""
    whole = begin + n // LANES * LANES
    two, three, four = splat(0.0), splat(0.0), splat(0.0)
    for i in range(begin, whole, LANES):
        deviation = load_run(values, i) - mean
        square = deviation * deviation
        two += square
        three += square * deviation
        four += square * square
    second = across(two)
    third = across(three)
    fourth = across(four)
    for i in range(whole, begin + n):
        square = (values[i] - mean) ** 2
        second += square
        third += square * (values[i] - mean)
        fourth += square * square
    return second, third, fourth
