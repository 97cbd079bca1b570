"""Compiled loops of 3 × 3 filters over pictures with one channel, see `picture_filters`.

Pictures `(images, height + 2, width + 2)` are float32 with a border of zeros. A value is eight neighbouring
filters at one position: rows of a map `(images, height, width, filters)` are its values in their order,
float32 `(n, 8)`; those of the weights `(3, 3, 1, filters)` likewise.
"""

from __future__ import annotations

import numpy as np

from quintet.features.engine.kernel_cache import kernel
from quintet.features.engine.kernels.lanes import Doubles, Singles
from quintet.features.engine.kernels.simd import load, splat, store, wide


@kernel
def fill_filtered(pictures: Singles, weights: Singles, n_values: int, results: Singles) -> None:
    """The filtered pictures.

    Args:
        pictures: `(images, height + 2, width + 2)`.
        weights: rows of the weights.
        n_values: values per position.
        results: result, rows of the map.
    """
    images, height, width = pictures.shape
    at = 0
    for i in range(images):
        for y in range(height - 2):
            for x in range(width - 2):
                for k in range(n_values):
                    total = splat(np.float32(0.0))
                    for j in range(3):
                        for m in range(3):
                            weight = load(weights, (3 * j + m) * n_values + k)
                            total = total + splat(pictures[i, y + j, x + m]) * weight
                    store(results, at, total)
                    at += 1


@kernel
def sum_weight_slopes(pictures: Singles, slopes: Singles, n_values: int, sums: Doubles) -> None:
    """Derivatives of the loss for the weights, from each picture.

    Args:
        pictures: `(images, height + 2, width + 2)`.
        slopes: derivatives of the loss for the results of `fill_filtered`, of the same shape.
        n_values: values per position.
        sums: result, per picture a row per row of the weights.
    """
    images, height, width = pictures.shape
    zero = splat(np.float32(0.0))
    for i in range(images):
        for k in range(n_values):
            at = i * 9 * n_values + k
            for m in range(9):
                store(sums, at + m * n_values, splat(0.0))
            for y in range(height - 2):
                a, b, c = zero, zero, zero
                d, e, f = zero, zero, zero
                g, h, j = zero, zero, zero
                start = (i * (height - 2) + y) * (width - 2)
                for x in range(width - 2):
                    slope = load(slopes, (start + x) * n_values + k)
                    a = a + splat(pictures[i, y, x]) * slope
                    b = b + splat(pictures[i, y, x + 1]) * slope
                    c = c + splat(pictures[i, y, x + 2]) * slope
                    d = d + splat(pictures[i, y + 1, x]) * slope
                    e = e + splat(pictures[i, y + 1, x + 1]) * slope
                    f = f + splat(pictures[i, y + 1, x + 2]) * slope
                    g = g + splat(pictures[i, y + 2, x]) * slope
                    h = h + splat(pictures[i, y + 2, x + 1]) * slope
                    j = j + splat(pictures[i, y + 2, x + 2]) * slope
                for m, row in enumerate((a, b, c, d, e, f, g, h, j)):
                    store(sums, at + m * n_values, load(sums, at + m * n_values) + wide(row))
