"""Fourier transform of eight frames at once, in the precision of the memory for its points.

The transform reads a frame of `n_fft` real samples as `n_fft / 2` complex points (even samples real, odd
samples imaginary). The classical fast algorithm transforms them (decimation in frequency: a transform of four
points combines four quarters, each result is turned by a root of unity, then each quarter is treated in the
same way). `separate` then takes the result apart into the `n_fft / 2 + 1` bins of the real signal, of which
only the power is needed.

This is the textbook algorithm. It is fast for two reasons: every variable below holds eight frames
(`simd.py`), so that no step rearranges neighbours; and the quarters are done one after the other, so that
each stays in the first-level cache. Complex values are pairs `(re, im)`; complex point `k` lies in the rows
`2 k` and `2 k + 1` of `points`.

Source: Cooley & Tukey (1965); the separation of the real transform as in Press et al., Numerical Recipes,
section 12.3.
"""

from __future__ import annotations

import math

from quintet.features.engine.kernel_cache import inline
from quintet.features.engine.kernels.lanes import Number, Rows
from quintet.features.engine.kernels.plans import FourierPlan
from quintet.features.engine.kernels.simd import load, load_frames, store
from quintet.features.engine.kernels.simd_types import Vector

Point = tuple[Vector, Vector]
"""A complex value: real part and imaginary part."""

FourPoints = tuple[Point, Point, Point, Point]

# --- complex arithmetic on pairs --------------------------------------------------------------------------


@inline
def _point(points: Rows, k: int) -> Point:
    return load(points, 2 * k), load(points, 2 * k + 1)


@inline
def _put(points: Rows, k: int, x: Point) -> None:
    store(points, 2 * k, x[0])
    store(points, 2 * k + 1, x[1])


@inline
def _plus(x: Point, y: Point) -> Point:
    return x[0] + y[0], x[1] + y[1]


@inline
def _minus(x: Point, y: Point) -> Point:
    return x[0] - y[0], x[1] - y[1]


@inline
def _times(x: Point, re: Number, im: Number) -> Point:
    return x[0] * re - x[1] * im, x[0] * im + x[1] * re


@inline
def _times_minus_i(x: Point) -> Point:
    return x[1], -x[0]


# --- butterflies ------------------------------------------------------------------------------------------


@inline
def _fourier4(a: Point, b: Point, c: Point, d: Point) -> FourPoints:
    """Transform of four points."""
    even_sum = _plus(a, c)
    even_gap = _minus(a, c)
    odd_sum = _plus(b, d)
    odd_gap = _times_minus_i(_minus(b, d))
    return (
        _plus(even_sum, odd_sum),
        _plus(even_gap, odd_gap),
        _minus(even_sum, odd_sum),
        _minus(even_gap, odd_gap),
    )


@inline
def _fourier4_at(points: Rows, k: int, step: int) -> FourPoints:
    """Transform of the points `k`, `k + step`, `k + 2 step`, `k + 3 step`."""
    return _fourier4(
        _point(points, k),
        _point(points, k + step),
        _point(points, k + 2 * step),
        _point(points, k + 3 * step),
    )


@inline
def _put_turned(points: Rows, k: int, quarter: int, x: FourPoints, root: Rows) -> None:
    """Write four results into the four quarters, each turned by its root of unity."""
    first = _times(x[1], root[0], root[1])
    second = _times(x[2], root[2], root[3])
    third = _times(x[3], root[4], root[5])
    _put(points, k, x[0])
    _put(points, k + quarter, first)
    _put(points, k + 2 * quarter, second)
    _put(points, k + 3 * quarter, third)


@inline
def _put4(points: Rows, k: int, x: FourPoints) -> None:
    _put(points, k, x[0])
    _put(points, k + 1, x[1])
    _put(points, k + 2, x[2])
    _put(points, k + 3, x[3])


_C, _S, _R = math.cos(math.pi / 8), math.sin(math.pi / 8), math.sqrt(0.5)


@inline
def _leaf16(points: Rows, k: int) -> None:
    """Transform of the sixteen points from `k` on: the last two passes in one, in registers.

    The roots are those of order 16.
    """
    a = _fourier4_at(points, k, 4)
    b = _fourier4_at(points, k + 1, 4)
    c = _fourier4_at(points, k + 2, 4)
    d = _fourier4_at(points, k + 3, 4)
    _put4(points, k, _fourier4(a[0], b[0], c[0], d[0]))
    b1 = _times(b[1], _C, -_S)
    c1 = _times(c[1], _R, -_R)
    d1 = _times(d[1], _S, -_C)
    _put4(points, k + 4, _fourier4(a[1], b1, c1, d1))
    b2 = _times(b[2], _R, -_R)
    c2 = _times_minus_i(c[2])
    d2 = _times(d[2], -_R, -_R)
    _put4(points, k + 8, _fourier4(a[2], b2, c2, d2))
    b3 = _times(b[3], _S, -_C)
    c3 = _times(c[3], -_R, -_R)
    d3 = _times(d[3], -_C, _S)
    _put4(points, k + 12, _fourier4(a[3], b3, c3, d3))


@inline
def _sum_and_gap(points: Rows, k: int) -> tuple[Point, Point]:
    """Sum and difference of the points `k` and `k + 4`."""
    low = _point(points, k)
    high = _point(points, k + 4)
    return _plus(low, high), _minus(low, high)


@inline
def _leaf8(points: Rows, k: int) -> None:
    """Transform of the eight points from `k` on: halves, then quarters."""
    sum0, gap0 = _sum_and_gap(points, k)
    sum1, gap1 = _sum_and_gap(points, k + 1)
    sum2, gap2 = _sum_and_gap(points, k + 2)
    sum3, gap3 = _sum_and_gap(points, k + 3)
    _put4(points, k, _fourier4(sum0, sum1, sum2, sum3))
    turned1 = _times(gap1, _R, -_R)
    turned2 = _times_minus_i(gap2)
    turned3 = _times(gap3, -_R, -_R)
    _put4(points, k + 4, _fourier4(gap0, turned1, turned2, turned3))


# --- the transform ----------------------------------------------------------------------------------------


@inline
def _window_point(x: tuple[Vector, ...], j: int, window: Rows, i: int) -> Point:
    """Complex point from the samples `i` and `i + 1` of the frame: the values `j` and `j + 1` of `x`."""
    return x[j] * window[i], x[j + 1] * window[i + 1]


@inline
def transform(samples: Rows, start: int, hop: int, plan: FourierPlan, points: Rows) -> None:
    """Transform eight frames, which begin at `start`, `start + hop`, …, into `points`, shape `(n_fft, 8)`.

    Frequency `k` is at point `plan.order[k]`.
    """
    window = plan.window
    roots = plan.roots
    quarter = points.shape[0] // 8
    step = 2 * quarter  # samples in a quarter of a frame
    for k in range(0, quarter, 4):  # the first pass reads, turns frames into lanes, and applies the window
        begin = start + 2 * k
        x0 = load_frames(samples, begin, hop, points)
        x1 = load_frames(samples, begin + step, hop, points)
        x2 = load_frames(samples, begin + 2 * step, hop, points)
        x3 = load_frames(samples, begin + 3 * step, hop, points)
        for u in range(4):
            j = 2 * u
            i = 2 * (k + u)
            a = _window_point(x0, j, window, i)
            b = _window_point(x1, j, window, i + step)
            c = _window_point(x2, j, window, i + 2 * step)
            d = _window_point(x3, j, window, i + 3 * step)
            results = _fourier4(a, b, c, d)
            _put_turned(points, k + u, quarter, results, roots[k + u])
    for first in range(0, 4 * quarter, quarter):
        _transform_block(points, first, quarter, roots, quarter)


@inline
def _transform_block(points: Rows, begin: int, length: int, roots: Rows, used: int) -> None:
    """Do the remaining passes on `length` points from `begin` on, with the roots from `used` on."""
    block, end = length, begin + length
    while block > 16:
        quarter = block // 4
        for first in range(begin, end, block):
            for k in range(quarter):
                results = _fourier4_at(points, first + k, quarter)
                _put_turned(points, first + k, quarter, results, roots[used + k])
        block //= 4
        used += block
    for first in range(begin, end, block):
        if block == 16:
            _leaf16(points, first)
        else:
            _leaf8(points, first)


@inline
def separate(points: Rows, plan: FourierPlan, bins: int, power: Rows) -> None:
    """Compute the power of the lowest `bins` bins, at least, of the real frames from the transformed points.

    It goes into the rows of `power`, shape `(n_fft / 2 + 1, 8)`, in the precision of the points.
    """
    half = points.shape[0] // 2
    for k in range(min(bins, half // 2 + 1)):
        low = _point(points, plan.order[k])
        high = _point(points, plan.order[(half - k) % half])
        re, im = plan.turns[k, 0], plan.turns[k, 1]
        p, q = _power_pair(low, high, re, im)
        store(power, k, p)
        store(power, half - k, q)


@inline
def _power_pair(x: Point, y: Point, re: Number, im: Number) -> tuple[Vector, Vector]:
    """Power of the bins `k` and `half - k` from the two points. `re + i im` is `exp(-i π k / half)`."""
    even = (x[0] + y[0], x[1] - y[1])
    turned = (x[1] + y[1], y[0] - x[0])
    odd = _times(turned, re, im)
    low = _plus(even, odd)
    high = _minus(even, odd)
    # written out: a function for the sum of squares makes LLVM round in another order
    low_power = low[0] * low[0] + low[1] * low[1]
    high_power = high[0] * high[0] + high[1] * high[1]
    return 0.25 * low_power, 0.25 * high_power
