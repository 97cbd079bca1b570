"""The Fourier transform of eight frames at once, in float64.

A frame of `n_fft` real samples is read as `n_fft / 2` complex points (even samples real, odd samples imaginary), transformed by the classical fast
algorithm (decimation in frequency: four quarters are combined by a transform of four points and each result is turned by a root of unity, then
each quarter is treated in the same way), and taken apart again into the `n_fft / 2 + 1` bins of the real signal, of which only the power is wanted.

It is the textbook; what makes it fast is that every variable below is eight frames (`lanes.py`), so that no step needs its neighbours rearranged,
and that the quarters are done one after the other, so that each stays in the first-level cache. Complex values are pairs `(re, im)`; complex point
`k` lies in the rows `2 k` and `2 k + 1` of `points`.

Source: Cooley & Tukey (1965); the separation of the real transform as in Press et al., Numerical Recipes, section 12.3.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quintet.features.engine.kernel_cache import inline
from quintet.features.engine.kernels.simd import load, load_frames, store

SMALLEST = 64
"""The shortest frame this transform can do; the others are powers of two above it."""


class FourierPlan(NamedTuple):
    """The tables of one transform length. `half` is `n_fft / 2`.

    Attributes:
        window: shape `(n_fft,)`, the periodic Hann window.
        roots: shape `(passes, 6)`: re and im of `w, w², w³` for each butterfly of each pass, in the order of use.
        order: shape `(half,)`: the point at which frequency `k` comes out.
        turns: shape `(half + 1, 2)`: re and im of `exp(-i π k / half)`.
    """

    window: NDArray[np.float64]
    roots: NDArray[np.float64]
    order: NDArray[np.int64]
    turns: NDArray[np.float64]


def can_transform(n_fft: int) -> bool:
    """True where `n_fft` is a power of two that `transform` can do."""
    return n_fft >= SMALLEST and n_fft & (n_fft - 1) == 0


@lru_cache(maxsize=16)
def fourier_plan(n_fft: int) -> FourierPlan:
    """The tables for frames of `n_fft` samples, a power of two ≥ 64."""
    half = n_fft // 2
    roots, order, length = [], np.arange(half), half
    while length > 16:  # a pass of butterflies; 16 or 8 points are the leaf that ends it
        angle = -2 * np.pi / length * np.outer(np.arange(length // 4), [1, 1, 2, 2, 3, 3])
        roots.append(np.where([True, False] * 3, np.cos(angle), np.sin(angle)))
        length //= 4
    circle = np.arange(half + 1) * (np.pi / half)
    return FourierPlan(
        window=0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft),
        roots=np.concatenate(roots),
        order=_places(order, half),
        turns=np.stack([np.cos(circle), -np.sin(circle)], axis=1),
    )


def _places(frequency: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """Where `frequency` stands in a block of `length` points: quarter `frequency % 4`, and inside it where `frequency // 4` stands."""
    if length == 8:  # the leaf of eight: halves, then quarters
        return (frequency % 2) * 4 + frequency // 2
    if length == 4:
        return frequency
    return (frequency % 4) * (length // 4) + _places(frequency // 4, length // 4)


# --- complex arithmetic on pairs -------------------------------------------------------------------------------------------------------------


@inline
def _point(points: Any, k: Any) -> Any:
    return load(points, 2 * k), load(points, 2 * k + 1)


@inline
def _put(points: Any, k: Any, x: Any) -> None:
    store(points, 2 * k, x[0])
    store(points, 2 * k + 1, x[1])


@inline
def _plus(x: Any, y: Any) -> Any:
    return x[0] + y[0], x[1] + y[1]


@inline
def _minus(x: Any, y: Any) -> Any:
    return x[0] - y[0], x[1] - y[1]


@inline
def _times(x: Any, re: Any, im: Any) -> Any:
    return x[0] * re - x[1] * im, x[0] * im + x[1] * re


@inline
def _times_minus_i(x: Any) -> Any:
    return x[1], -x[0]


# --- butterflies -----------------------------------------------------------------------------------------------------------------------------


@inline
def _fourier4(a: Any, b: Any, c: Any, d: Any) -> Any:
    """The transform of four points."""
    even, odd = (_plus(a, c), _minus(a, c)), (_plus(b, d), _times_minus_i(_minus(b, d)))
    return _plus(even[0], odd[0]), _plus(even[1], odd[1]), _minus(even[0], odd[0]), _minus(even[1], odd[1])


@inline
def _put_turned(points: Any, k: Any, quarter: Any, x: Any, root: Any) -> None:
    """Four results into the four quarters, each turned by its root of unity."""
    _put(points, k, x[0])
    _put(points, k + quarter, _times(x[1], root[0], root[1]))
    _put(points, k + 2 * quarter, _times(x[2], root[2], root[3]))
    _put(points, k + 3 * quarter, _times(x[3], root[4], root[5]))


@inline
def _butterfly(points: Any, k: Any, quarter: Any, root: Any) -> None:
    """One step of a pass: the points `k`, `k + quarter`, `k + 2 quarter`, `k + 3 quarter`."""
    x = _fourier4(
        _point(points, k),
        _point(points, k + quarter),
        _point(points, k + 2 * quarter),
        _point(points, k + 3 * quarter),
    )
    _put_turned(points, k, quarter, x, root)


@inline
def _put4(points: Any, k: Any, x: Any) -> None:
    _put(points, k, x[0])
    _put(points, k + 1, x[1])
    _put(points, k + 2, x[2])
    _put(points, k + 3, x[3])


_C, _S, _R = math.cos(math.pi / 8), math.sin(math.pi / 8), math.sqrt(0.5)


@inline
def _leaf16(points: Any, k: Any) -> None:
    """The last two passes in one, in registers: the transform of the sixteen points from `k` on. The roots are those of order 16."""
    a = _fourier4(_point(points, k), _point(points, k + 4), _point(points, k + 8), _point(points, k + 12))
    b = _fourier4(_point(points, k + 1), _point(points, k + 5), _point(points, k + 9), _point(points, k + 13))
    c = _fourier4(
        _point(points, k + 2), _point(points, k + 6), _point(points, k + 10), _point(points, k + 14)
    )
    d = _fourier4(
        _point(points, k + 3), _point(points, k + 7), _point(points, k + 11), _point(points, k + 15)
    )
    _put4(points, k, _fourier4(a[0], b[0], c[0], d[0]))
    _put4(points, k + 4, _fourier4(a[1], _times(b[1], _C, -_S), _times(c[1], _R, -_R), _times(d[1], _S, -_C)))
    _put4(points, k + 8, _fourier4(a[2], _times(b[2], _R, -_R), _times_minus_i(c[2]), _times(d[2], -_R, -_R)))
    _put4(
        points, k + 12, _fourier4(a[3], _times(b[3], _S, -_C), _times(c[3], -_R, -_R), _times(d[3], -_C, _S))
    )


@inline
def _leaf8(points: Any, k: Any) -> None:
    """The transform of the eight points from `k` on: halves, then quarters."""
    sums = (
        _plus(_point(points, k), _point(points, k + 4)),
        _plus(_point(points, k + 1), _point(points, k + 5)),
    )
    more_sums = (
        _plus(_point(points, k + 2), _point(points, k + 6)),
        _plus(_point(points, k + 3), _point(points, k + 7)),
    )
    gaps = (
        _minus(_point(points, k), _point(points, k + 4)),
        _minus(_point(points, k + 1), _point(points, k + 5)),
    )
    more_gaps = (
        _minus(_point(points, k + 2), _point(points, k + 6)),
        _minus(_point(points, k + 3), _point(points, k + 7)),
    )
    _put4(points, k, _fourier4(sums[0], sums[1], more_sums[0], more_sums[1]))
    _put4(
        points,
        k + 4,
        _fourier4(
            gaps[0], _times(gaps[1], _R, -_R), _times_minus_i(more_gaps[0]), _times(more_gaps[1], -_R, -_R)
        ),
    )


# --- the transform ---------------------------------------------------------------------------------------------------------------------------


@inline
def _windowed(x: Any, j: Any, window: Any, i: Any) -> Any:
    """Complex point from the samples `i` and `i + 1` of the frame, which are the values `j` and `j + 1` of `x`."""
    return x[j] * window[i], x[j + 1] * window[i + 1]


@inline
def transform(samples: Any, start: Any, hop: Any, plan: Any, points: Any) -> None:
    """The transform of eight frames, which begin at `start`, `start + hop`, …, into `points`, shape `(n_fft, 8)`; frequency `k` is at point
    `plan.order[k]`.
    """
    window, roots, quarter = plan.window, plan.roots, points.shape[0] // 8
    for k in range(0, quarter, 4):  # the first pass reads, turns frames into lanes, and applies the window
        x0 = load_frames(samples, start + 2 * k, hop)
        x1 = load_frames(samples, start + 2 * (k + quarter), hop)
        x2 = load_frames(samples, start + 2 * (k + 2 * quarter), hop)
        x3 = load_frames(samples, start + 2 * (k + 3 * quarter), hop)
        for u in range(4):
            j, i = 2 * u, 2 * (k + u)
            a, b = _windowed(x0, j, window, i), _windowed(x1, j, window, i + 2 * quarter)
            c, d = _windowed(x2, j, window, i + 4 * quarter), _windowed(x3, j, window, i + 6 * quarter)
            _put_turned(points, k + u, quarter, _fourier4(a, b, c, d), roots[k + u])
    for begin in range(0, 4 * quarter, quarter):
        _transform_block(points, begin, quarter, roots, quarter)


@inline
def _transform_block(points: Any, begin: Any, length: Any, roots: Any, used: Any) -> None:
    """The remaining passes on `length` points from `begin` on; `used` roots belong to earlier passes."""
    block = length
    while block > 16:
        for first in range(begin, begin + length, block):
            for k in range(block // 4):
                _butterfly(points, first + k, block // 4, roots[used + k])
        block //= 4
        used += block
    for first in range(begin, begin + length, block):
        if block == 16:
            _leaf16(points, first)
        else:
            _leaf8(points, first)


@inline
def separate(points: Any, plan: Any, power: Any) -> None:
    """Power of the real frames from the transformed points, into the rows of `power`, shape `(n_fft / 2 + 1, 8)`, float64 or float32."""
    half = points.shape[0] // 2
    for k in range(half // 2 + 1):
        low, high = _point(points, plan.order[k]), _point(points, plan.order[(half - k) % half])
        p, q = _power_pair(low, high, plan.turns[k, 0], plan.turns[k, 1])
        store(power, k, p)
        store(power, half - k, q)


@inline
def _power_pair(x: Any, y: Any, re: Any, im: Any) -> Any:
    """Power of the bins `k` and `half - k` from the two points in which they are mixed. `re + i im` is `exp(-i π k / half)`."""
    even = x[0] + y[0], x[1] - y[1]
    odd = _times((x[1] + y[1], y[0] - x[0]), re, im)
    low, high = _plus(even, odd), _minus(even, odd)
    return 0.25 * (low[0] * low[0] + low[1] * low[1]), 0.25 * (high[0] * high[0] + high[1] * high[1])
