"""Kernel of the harmonic and percussive parts: medians over neighbouring frames and neighbouring bands."""

from __future__ import annotations

from quintet.features.engine.kernel_cache import inline, kernel
from quintet.features.engine.kernels.extremes import in_order
from quintet.features.engine.kernels.lanes import LANES, Doubles
from quintet.features.engine.kernels.simd import load_run, store
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
def _median_of_7(a: Vector, b: Vector, c: Vector, d: Vector, e: Vector, f: Vector, g: Vector) -> Vector:
    """Median, in each lane, by the exchanges of `descriptors.parts.EXCHANGES`."""
    f, a = in_order(a, f)
    d, a = in_order(a, d)
    g, b = in_order(b, g)
    e, c = in_order(c, e)
    b, a = in_order(a, b)
    f, d = in_order(d, f)
    g, c = in_order(c, g)
    d, c = in_order(c, d)
    g, d = in_order(d, g)
    f, e = in_order(e, f)
    e, b = in_order(b, e)
    d, b = in_order(b, d)
    e, d = in_order(d, e)
    return d


@inline
def _median_of_9(
    a: Vector, b: Vector, c: Vector, d: Vector, e: Vector, f: Vector, g: Vector, h: Vector, i: Vector
) -> Vector:
    """Median, in each lane, by the exchanges of `descriptors.parts.EXCHANGES`."""
    c, b = in_order(b, c)
    f, e = in_order(e, f)
    i, h = in_order(h, i)
    b, a = in_order(a, b)
    e, d = in_order(d, e)
    h, g = in_order(g, h)
    c, b = in_order(b, c)
    f, e = in_order(e, f)
    i, h = in_order(h, i)
    d, a = in_order(a, d)
    i, f = in_order(f, i)
    h, e = in_order(e, h)
    g, d = in_order(d, g)
    e, b = in_order(b, e)
    f, c = in_order(c, f)
    h, e = in_order(e, h)
    c, e = in_order(e, c)
    e, g = in_order(g, e)
    c, e = in_order(e, c)
    return e
