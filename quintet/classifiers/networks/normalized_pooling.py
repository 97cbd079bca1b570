"""Batch normalisation, pooling and rectifier in one pass over the map, for TensorFlow on a CPU.

TensorFlow's operations read and write the whole map nine times in a training step, which takes nearly as long
as the convolutions of `vgg_small`. Here it is read three times, and its gradient is written once:

- The normalisation is an affine map of each channel. So the peak of a window is found before it, and only the
  peaks are normalised and rectified.
- A value x has the slope `γ / σ · (s - Σg / N - x̂ · Σ(g x̂) / N)` with `x̂ = (x - μ) / σ`. Here g is the slope
  of the loss at each peak (0 where the rectifier is off), s is the g of the window whose peak x is (otherwise
  0), and N is the number of positions.

Source: Ioffe and Szegedy, Batch normalization, ICML 2015, §3.
"""

from __future__ import annotations

import importlib
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from quintet.classifiers.networks.compiled_operations import numpy_operation
from quintet.features.engine.kernels.lanes import LANES, Singles, lane_rows
from quintet.features.engine.native import StoredKernel

if TYPE_CHECKING:
    from keras import KerasTensor

_MODULE = "quintet.classifiers.networks.pooling_kernels"
fill_moments = StoredKernel(_MODULE, "fill_moments")
fill_peaks = StoredKernel(_MODULE, "fill_peaks")
sum_slopes = StoredKernel(_MODULE, "sum_slopes")
spread_slopes = StoredKernel(_MODULE, "spread_slopes")

Maps = NDArray[np.float32]
Floats = NDArray[np.float64]


def has_even_windows(shape: tuple[int | None, ...]) -> bool:
    """Whether `normalized_pooling` has a map of this shape: known sizes, whole windows, eight channels each.

    Example:
        >>> has_even_windows((None, 96, 64, 16)), has_even_windows((None, 95, 64, 16))
        (True, False)
    """
    _, height, width, channels = shape
    if height is None or width is None or channels is None:
        return False
    return height % 2 == width % 2 == channels % LANES == 0


def normalized_pooling(
    inputs: KerasTensor, gamma: KerasTensor, beta: KerasTensor, epsilon: float
) -> tuple[KerasTensor, KerasTensor, KerasTensor]:
    """`relu(max_pool(normalised inputs))` of a training step, and the moments of the batch.

    Args:
        inputs: `(images, height, width, channels)`, float32 tensor of TensorFlow: height and width are even,
            and the channels a multiple of 8.
        gamma: `(channels,)`.
        beta: `(channels,)`.
        epsilon: is added to the variances.

    Returns:
        Outputs `(images, height / 2, width / 2, channels)`, means and variances `(channels,)`.
    """
    tensorflow = importlib.import_module("tensorflow")
    images, height, width, channels = inputs.shape

    @tensorflow.custom_gradient  # type: ignore[untyped-decorator]
    def differentiable(maps: KerasTensor, gamma: KerasTensor, beta: KerasTensor) -> object:
        pooled, each = (images, height // 2, width // 2, channels), (channels,)
        outputs, peaks, mean, variance = numpy_operation(
            partial(pool, epsilon=epsilon), [maps, gamma, beta], [pooled, pooled, each, each]
        )

        def gradient(slopes: KerasTensor, *_: KerasTensor) -> list[KerasTensor]:
            given = [maps, peaks, slopes, gamma, beta, mean, variance]
            return numpy_operation(partial(pool_back, epsilon=epsilon), given, [maps.shape, each, each])

        return (outputs, mean, variance), gradient

    outputs, mean, variance = differentiable(inputs, gamma, beta)
    return outputs, mean, variance


def pool(maps: Maps, gamma: Maps, beta: Maps, *, epsilon: float) -> tuple[Maps, Maps, Maps, Maps]:
    """Outputs of a training step, the peaks of the windows, and means and variances of the channels.

    Args:
        maps: `(images, height, width, c)`, c a multiple of 8.
        gamma: `(c,)`.
        beta: `(c,)`.
        epsilon: is added to the variances.

    Example:
        >>> square = np.repeat(np.array([1, 2, 3, 6], np.float32), 8).reshape(1, 2, 2, 8)
        >>> outputs, peaks, mean, variance = pool(square, *np.ones((2, 8), np.float32), epsilon=0.5)
        >>> float(outputs[0, 0, 0, 0]), float(mean[0])  # (6 - 3) / sqrt(3.5 + 0.5) + 1
        (2.5, 3.0)
    """
    images, height, width, channels = maps.shape
    size = (images, height, width, channels // LANES)
    mean, variance = lane_rows(size[-1]), lane_rows(size[-1])
    fill_moments(_rows(maps), size, mean, variance)
    affine = _affine(gamma, beta, mean.ravel(), np.sqrt(variance.ravel() + epsilon))
    peaks, outputs = (lane_rows(maps.size // 4 // LANES, np.float32) for _ in range(2))
    fill_peaks(_rows(maps), size, affine, peaks, outputs)
    pooled = (images, height // 2, width // 2, channels)
    moments = mean.astype(np.float32).ravel(), variance.astype(np.float32).ravel()
    return outputs.reshape(pooled), peaks.reshape(pooled), *moments


def pool_back(
    maps: Maps,
    peaks: Maps,
    slopes: Maps,
    gamma: Maps,
    beta: Maps,
    mean: Maps,
    variance: Maps,
    *,
    epsilon: float,
) -> tuple[Maps, Maps, Maps]:
    """Derivatives of the loss for the maps, gamma and beta.

    Args:
        maps: `(images, height, width, c)`.
        peaks: as `pool` gives them.
        slopes: derivatives for the outputs of `pool`, of their shape.
        gamma: `(c,)`.
        beta: `(c,)`.
        mean: as `pool` gives them.
        variance: as `pool` gives them.
        epsilon: is added to the variances.
    """
    images, height, width, channels = maps.shape
    n_values, n_positions = channels // LANES, images * height * width
    deviation = np.sqrt(variance.astype(np.float64) + epsilon)
    affine = _affine(gamma, beta, mean, deviation)
    sums, rows = lane_rows(2 * n_values), (_rows(peaks), _rows(slopes))
    sum_slopes(*rows, (images * height // 2, width // 2, n_values), affine, _rows(mean), sums)
    for_beta = sums[:n_values].ravel()
    for_gamma = sums[n_values:].ravel() / deviation
    scale = gamma / deviation
    tilt = -scale * for_gamma / deviation / n_positions
    level = -scale * for_beta / n_positions - tilt * mean
    results = lane_rows(maps.size // LANES, np.float32)
    spread_slopes(
        _rows(maps), (images, height, width, n_values), rows, affine, (_rows(level), _rows(tilt)), results
    )
    return results.reshape(maps.shape), for_gamma.astype(np.float32), for_beta.astype(np.float32)


def _affine(gamma: Maps, beta: Maps, mean: Maps | Floats, deviation: Floats) -> tuple[Singles, Singles]:
    """The normalisation of each channel as `scale · x + offset`."""
    scale = gamma / deviation
    return _rows(scale), _rows(beta - mean * scale)


def _rows(values: Maps | Floats) -> Singles:
    """Values of eight neighbouring channels, as the kernels read them."""
    return np.ascontiguousarray(values, np.float32).reshape(-1, LANES)
