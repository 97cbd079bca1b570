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
def fill_moments(maps: Singles, size: Size, means: Doubles, squares: Doubles) -> None:
    """Mean of each channel of each image, and the sum of the squared deviations from it.

    Windows are added first: eight sums that wait for each other would take twice the time.

    Args:
        maps: rows of the map.
        size: of the map.
        means: result, a row per image and value of a position.
        squares: result of the same shape.
    """
    images, height, width, n_values = size
    zero, below = splat(np.float32(0.0)), width * n_values
    at = 0
    for i in range(images):
        for k in range(n_values):
            total = splat(0.0)
            for y in range(i * height, (i + 1) * height, 2):
                row = zero
                for x in range(y * width, (y + 1) * width, 2):
                    p = x * n_values + k
                    upper = load(maps, p) + load(maps, p + n_values)
                    lower = load(maps, p + below) + load(maps, p + below + n_values)
                    row = row + (upper + lower)
                total = total + wide(row)
            mean = total / (height * width)
            near, total = narrow(mean), splat(0.0)
            for y in range(i * height, (i + 1) * height, 2):
                row = zero
                for x in range(y * width, (y + 1) * width, 2):
                    p = x * n_values + k
                    left, right = load(maps, p) - near, load(maps, p + n_values) - near
                    upper = left * left + right * right
                    left, right = load(maps, p + below) - near, load(maps, p + below + n_values) - near
                    row = row + (upper + (left * left + right * right))
                total = total + wide(row)
            store(means, at, mean)
            store(squares, at, total)
            at += 1


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
    size: Size,
    affine: Affine,
    mean: Singles,
    sums: Doubles,
) -> None:
    """Sums of the slopes of each image, and of the slopes times the deviations of the peaks, where the output
    is positive.

    Args:
        peaks: as `fill_peaks` gives them.
        slopes: derivatives of the loss for the outputs, of the same shape.
        size: of the slopes.
        affine: of the channels.
        mean: of each channel.
        sums: result, per image a row of each kind per value of a window.
    """
    images, height, width, n_values = size
    scales, offsets = affine
    zero = splat(np.float32(0.0))
    for i in range(images):
        at = 2 * i * n_values
        for k in range(n_values):
            total, weighted = splat(0.0), splat(0.0)
            for y in range(i * height, (i + 1) * height):
                row, weighted_row = zero, zero
                for x in range(y * width, (y + 1) * width):
                    peak = load(peaks, x * n_values + k)
                    is_on = peak * load(scales, k) + load(offsets, k) > zero
                    slope = select(is_on, load(slopes, x * n_values + k), zero)
                    row = row + slope
                    weighted_row = weighted_row + slope * (peak - load(mean, k))
                total, weighted = total + wide(row), weighted + wide(weighted_row)
            store(sums, at + k, total)
            store(sums, at + n_values + k, weighted)


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
