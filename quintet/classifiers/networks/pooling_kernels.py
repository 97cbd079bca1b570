"""Compiled loops of a normalised pooling, see `normalized_pooling`. They allocate nothing.

A value is eight neighbouring channels of one position. The rows of a map `(images, height, width, channels)`
are its values in their order, float32 `(n, 8)`; those of numbers per channel are `(channels / 8, 8)`. A
*window* is a square of 2 × 2 positions.
"""

from __future__ import annotations

import numpy as np

from quintet.features.engine.kernel_cache import kernel
from quintet.features.engine.kernels.lanes import Doubles, Singles
from quintet.features.engine.kernels.simd import load, maximum, narrow, select, splat, store, wide

Size = tuple[int, int, int, int]
"""Images, height, width, and values per position."""
Affine = tuple[Singles, Singles]
"""Scale and offset of each channel."""


@kernel
def fill_moments(maps: Singles, size: Size, mean: Doubles, variance: Doubles) -> None:
    """Mean and variance of each channel over all positions of all images.

    Those of the images are combined by the formula of Chan, Golub and LeVeque (1983).

    Args:
        maps: rows of the map.
        size: of the map.
        mean: result, a row per value of a position.
        variance: result of the same shape: divided by the number of positions.
    """
    images, height, width, n_values = size
    n_positions = height * width
    for k in range(n_values):
        centre, squares = splat(0.0), splat(0.0)
        for i in range(images):
            total = splat(0.0)
            for y in range(i * height, (i + 1) * height):
                row = splat(np.float32(0.0))
                for x in range(y * width, (y + 1) * width):
                    row = row + load(maps, x * n_values + k)
                total = total + wide(row)
            own = total / n_positions
            near, total = narrow(own), splat(0.0)
            for y in range(i * height, (i + 1) * height):
                row = splat(np.float32(0.0))
                for x in range(y * width, (y + 1) * width):
                    deviation = load(maps, x * n_values + k) - near
                    row = row + deviation * deviation
                total = total + wide(row)
            step = own - centre
            centre = centre + step / (i + 1.0)
            squares = squares + total + step * step * (n_positions * i / (i + 1.0))
        store(mean, k, centre)
        store(variance, k, squares / (n_positions * images))


@kernel
def fill_peaks(
    maps: Singles,
    size: Size,
    affine: Affine,
    peaks: Singles,
    outputs: Singles,
) -> None:
    """The value of each window that is the largest after scaling, and the rectified scaled value.

    Args:
        maps: rows of the map.
        size: of the map.
        affine: of the channels.
        peaks: result, a row per value of a window: not scaled.
        outputs: result of the same shape: `max(scale · peak + offset, 0)`.
    """
    images, height, width, n_values = size
    scales, offsets = affine
    zero, one = splat(np.float32(0.0)), splat(np.float32(1.0))
    below = width * n_values
    at = 0
    for y in range(images * height // 2):
        for x in range(width // 2):
            corner = (2 * y * width + 2 * x) * n_values
            for k in range(n_values):
                scale = load(scales, k)
                sign = select(scale < zero, -one, one)
                left, right = load(maps, corner + k), load(maps, corner + k + n_values)
                upper = maximum(left * sign, right * sign)
                left, right = load(maps, corner + k + below), load(maps, corner + k + below + n_values)
                peak = maximum(upper, maximum(left * sign, right * sign)) * sign
                output = peak * scale + load(offsets, k)
                store(peaks, at, peak)
                store(outputs, at, select(output < zero, zero, output))
                at += 1


@kernel
def sum_slopes(
    peaks: Singles,
    slopes: Singles,
    size: tuple[int, int, int],
    affine: Affine,
    mean: Singles,
    sums: Doubles,
) -> None:
    """Sums of the slopes, and of the slopes times the deviations of the peaks, where the output is positive.

    Args:
        peaks: as `fill_peaks` gives them.
        slopes: derivatives of the loss for the outputs, of the same shape.
        size: rows of windows, windows of a row, and values per window.
        affine: of the channels.
        mean: of each channel.
        sums: result, two rows per value of a window.
    """
    rows, width, n_values = size
    scales, offsets = affine
    zero = splat(np.float32(0.0))
    for k in range(n_values):
        total, weighted = splat(0.0), splat(0.0)
        for y in range(rows):
            row, weighted_row = zero, zero
            for x in range(y * width, (y + 1) * width):
                peak = load(peaks, x * n_values + k)
                is_on = peak * load(scales, k) + load(offsets, k) > zero
                slope = select(is_on, load(slopes, x * n_values + k), zero)
                row = row + slope
                weighted_row = weighted_row + slope * (peak - load(mean, k))
            total, weighted = total + wide(row), weighted + wide(weighted_row)
        store(sums, k, total)
        store(sums, n_values + k, weighted)


@kernel
def spread_slopes(
    maps: Singles,
    size: Size,
    peaks: tuple[Singles, Singles],
    affine: Affine,
    plane: tuple[Singles, Singles],
    results: Singles,
) -> None:
    """Derivatives of the loss for the values of the map.

    Each is `level + tilt · value`, and at the first peak of a window also the scaled slope of its output.

    Args:
        maps: rows of the map.
        size: of the map.
        peaks: as `fill_peaks` gives them, and the derivatives of the loss for the outputs.
        affine: of the channels.
        plane: level and tilt of each channel.
        results: result, as many rows as the map.
    """
    images, height, width, n_values = size
    scales, offsets = affine
    levels, tilts = plane
    zero = splat(np.float32(0.0))
    places = (0, n_values, width * n_values, (width + 1) * n_values)
    at = 0
    for y in range(images * height // 2):
        for x in range(width // 2):
            corner = (2 * y * width + 2 * x) * n_values
            for k in range(n_values):
                scale, level, tilt = load(scales, k), load(levels, k), load(tilts, k)
                peak = load(peaks[0], at)
                is_on = peak * scale + load(offsets, k) > zero
                left = select(is_on, load(peaks[1], at) * scale, zero)
                for place in places:
                    value = load(maps, corner + k + place)
                    given = select((value >= peak) & (value <= peak), left, zero)
                    left = left - given
                    store(results, corner + k + place, level + tilt * value + given)
                at += 1
