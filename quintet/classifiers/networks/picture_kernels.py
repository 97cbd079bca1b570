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
    """Derivatives of the loss for the weights.

    Args:
        pictures: `(images, height + 2, width + 2)`.
        slopes: derivatives of the loss for the results of `fill_filtered`, of the same shape.
        n_values: values per position.
        sums: result, a row per row of the weights.
    """
    images, height, width = pictures.shape
    zero = splat(np.float32(0.0))
    for j in range(3):
        for k in range(n_values):
            left, middle, right = splat(0.0), splat(0.0), splat(0.0)
            at = k
            for i in range(images):
                for y in range(j, height - 2 + j):
                    row_left, row_middle, row_right = zero, zero, zero
                    for x in range(width - 2):
                        slope = load(slopes, at)
                        row_left = row_left + splat(pictures[i, y, x]) * slope
                        row_middle = row_middle + splat(pictures[i, y, x + 1]) * slope
                        row_right = row_right + splat(pictures[i, y, x + 2]) * slope
                        at += n_values
                    left, middle = left + wide(row_left), middle + wide(row_middle)
                    right = right + wide(row_right)
            store(sums, 3 * j * n_values + k, left)
            store(sums, (3 * j + 1) * n_values + k, middle)
            store(sums, (3 * j + 2) * n_values + k, right)
