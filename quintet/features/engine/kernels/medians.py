"""Kernel of the harmonic and percussive parts: medians over neighbouring frames and neighbouring bands."""

from __future__ import annotations

from quintet.features.engine.kernel_cache import inline, kernel
from quintet.features.engine.kernels.lanes import LANES, Doubles
from quintet.features.engine.kernels.simd import load_run, maximum, minimum, store
from quintet.features.engine.kernels.simd_types import Vector


@kernel
def median_gaps(levels: Doubles, result: Doubles) -> None:
    """The median of 9 bands around each place, less the median of 7 frames around it.

    Args:
        levels: shape `(bands + 8, frames + 6)`, with four more bands and three more frames on either side.
        result: shape `(bands * groups, 8)`, where `8 * groups` is `frames`, a multiple of eight.
    """
    width = levels.shape[1]
    groups = (width - 6) // LANES
    for band in range(levels.shape[0] - 8):
        for group in range(groups):
            first = band * width + LANES * group + 3  # four bands above the place
            own = first + 4 * width - 3  # three frames before the place
            harmonic = _median_of_7(
                load_run(levels, own),
                load_run(levels, own + 1),
                load_run(levels, own + 2),
                load_run(levels, own + 3),
                load_run(levels, own + 4),
                load_run(levels, own + 5),
                load_run(levels, own + 6),
            )
            percussive = _median_of_9(
                load_run(levels, first),
                load_run(levels, first + width),
                load_run(levels, first + 2 * width),
                load_run(levels, first + 3 * width),
                load_run(levels, first + 4 * width),
                load_run(levels, first + 5 * width),
                load_run(levels, first + 6 * width),
                load_run(levels, first + 7 * width),
                load_run(levels, first + 8 * width),
            )
            store(result, band * groups + group, percussive - harmonic)


@inline
def _ordered(x: Vector, y: Vector) -> tuple[Vector, Vector]:
    """The smaller and the larger of two values, in each lane."""
    return minimum(x, y), maximum(x, y)


@inline
def _median_of_7(a: Vector, b: Vector, c: Vector, d: Vector, e: Vector, f: Vector, g: Vector) -> Vector:
    """Median, in each lane, by the exchanges of `descriptors.parts.EXCHANGES`."""
    a, f = _ordered(a, f)
    a, d = _ordered(a, d)
    b, g = _ordered(b, g)
    c, e = _ordered(c, e)
    a, b = _ordered(a, b)
    d, f = _ordered(d, f)
    c, g = _ordered(c, g)
    c, d = _ordered(c, d)
    d, g = _ordered(d, g)
    e, f = _ordered(e, f)
    b, e = _ordered(b, e)
    b, d = _ordered(b, d)
    d, e = _ordered(d, e)
    return d


@inline
def _median_of_9(
    a: Vector, b: Vector, c: Vector, d: Vector, e: Vector, f: Vector, g: Vector, h: Vector, i: Vector
) -> Vector:
    """Median, in each lane, by the exchanges of `descriptors.parts.EXCHANGES`."""
    b, c = _ordered(b, c)
    e, f = _ordered(e, f)
    h, i = _ordered(h, i)
    a, b = _ordered(a, b)
    d, e = _ordered(d, e)
    g, h = _ordered(g, h)
    b, c = _ordered(b, c)
    e, f = _ordered(e, f)
    h, i = _ordered(h, i)
    a, d = _ordered(a, d)
    f, i = _ordered(f, i)
    e, h = _ordered(e, h)
    d, g = _ordered(d, g)
    b, e = _ordered(b, e)
    c, f = _ordered(c, f)
    e, h = _ordered(e, h)
    e, c = _ordered(e, c)
    g, e = _ordered(g, e)
    e, c = _ordered(e, c)
    return e
