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
import math
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from quintet.classifiers.networks.compiled_operations import for_images, numpy_operation
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
Affine = tuple[Singles, Singles]
"""Scale and offset of each channel, as rows."""
Float = TypeVar("Float", bound=np.floating)


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


def scaled_pooling(inputs: KerasTensor, scale: KerasTensor, offset: KerasTensor) -> KerasTensor:
    """`relu(max_pool(scale · inputs + offset))`: of a prediction, whose moments are known.

    Args:
        inputs: as for `normalized_pooling`.
        scale: `(channels,)`.
        offset: `(channels,)`.
    """
    tensorflow = importlib.import_module("tensorflow")
    images, height, width, channels = inputs.shape
    pooled = (images, height // 2, width // 2, channels)

    @tensorflow.custom_gradient  # type: ignore[untyped-decorator]
    def differentiable(maps: KerasTensor, scale: KerasTensor, offset: KerasTensor) -> object:
        outputs, peaks = numpy_operation(pool_scaled, [maps, scale, offset], [pooled, pooled])

        def gradient(slopes: KerasTensor) -> list[KerasTensor]:
            shapes = [maps.shape, scale.shape, offset.shape]
            return numpy_operation(pool_scaled_back, [maps, peaks, slopes, scale, offset], shapes)

        return outputs, gradient

    return differentiable(inputs, scale, offset)


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
    mean, variance = _moments(maps)
    outputs, peaks = _pooled(maps, _affine(gamma, beta, mean, np.sqrt(variance + epsilon)))
    return outputs, peaks, mean.astype(np.float32), variance.astype(np.float32)


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
    images, height, width, _ = maps.shape
    n_positions = images * height * width
    deviation = np.sqrt(variance.astype(np.float64) + epsilon)
    affine = _affine(gamma, beta, mean, deviation)
    for_beta, weighted = _slope_sums(peaks, slopes, affine, mean)
    for_gamma = weighted / deviation
    scale = gamma / deviation
    tilt = -scale * for_gamma / deviation / n_positions
    level = -scale * for_beta / n_positions - tilt * mean
    results = _spread(maps, peaks, slopes, affine, (_singles(level), _singles(tilt)))
    return results, for_gamma.astype(np.float32), for_beta.astype(np.float32)


def pool_scaled(maps: Maps, scale: Maps, offset: Maps) -> tuple[Maps, Maps]:
    """Outputs of a prediction, and the peaks of the windows.

    Args:
        maps: `(images, height, width, c)`, c a multiple of 8.
        scale: `(c,)`.
        offset: `(c,)`.
    """
    return _pooled(maps, (_rows(scale), _rows(offset)))


def pool_scaled_back(
    maps: Maps, peaks: Maps, slopes: Maps, scale: Maps, offset: Maps
) -> tuple[Maps, Maps, Maps]:
    """Derivatives of the loss for the maps, the scale and the offset.

    Args:
        maps: `(images, height, width, c)`.
        peaks: as `pool_scaled` gives them.
        slopes: derivatives for the outputs of `pool_scaled`, of their shape.
        scale: `(c,)`.
        offset: `(c,)`.
    """
    affine, zeros = (_rows(scale), _rows(offset)), np.zeros_like(scale)
    for_offset, for_scale = _slope_sums(peaks, slopes, affine, zeros)
    results = _spread(maps, peaks, slopes, affine, (_rows(zeros), _rows(zeros)))
    return results, for_scale.astype(np.float32), for_offset.astype(np.float32)


def _moments(maps: Maps) -> tuple[Floats, Floats]:
    """Mean and variance of each channel over all positions of all images."""
    n_images, height, width, channels = maps.shape
    n_positions = height * width
    means, squares = _memory((n_images, channels), np.float64), _memory((n_images, channels), np.float64)

    def measure(part: slice) -> None:
        own = maps[part]
        fill_moments(_rows(own), _size(own), _rows(means[part]), _rows(squares[part]))

    for_images(measure, maps)
    within = squares.sum(axis=0) / (n_images * n_positions)
    return means.mean(axis=0), within + means.var(axis=0)


def _pooled(maps: Maps, affine: Affine) -> tuple[Maps, Maps]:
    """Rectified scaled peaks of the windows, and the peaks themselves."""
    images, height, width, channels = maps.shape
    pooled = (images, height // 2, width // 2, channels)
    outputs, peaks = _memory(pooled, np.float32), _memory(pooled, np.float32)

    def fill(part: slice) -> None:
        own = maps[part]
        fill_peaks(_rows(own), _size(own), affine, _rows(peaks[part]), _rows(outputs[part]))

    for_images(fill, maps)
    return outputs, peaks


def _slope_sums(peaks: Maps, slopes: Maps, affine: Affine, mean: Maps) -> tuple[Floats, Floats]:
    """Sums of the slopes of each channel, and of the slopes times the deviations of the peaks."""
    n_images, *_, channels = peaks.shape
    sums = _memory((n_images, 2, channels), np.float64)

    def add(part: slice) -> None:
        own = peaks[part]
        sum_slopes(_rows(own), _rows(slopes[part]), _size(own), affine, _rows(mean), _rows(sums[part]))

    for_images(add, peaks)
    plain, weighted = sums.sum(axis=0)
    return plain, weighted


def _spread(maps: Maps, peaks: Maps, slopes: Maps, affine: Affine, plane: Affine) -> Maps:
    """Derivatives of the loss for the maps, see `spread_slopes`."""
    results = _memory(maps.shape, np.float32)

    def fill(part: slice) -> None:
        own, of_windows = maps[part], (_rows(peaks[part]), _rows(slopes[part]))
        spread_slopes(_rows(own), _size(own), of_windows, affine, plane, _rows(results[part]))

    for_images(fill, maps)
    return results


def _affine(gamma: Maps, beta: Maps, mean: Maps | Floats, deviation: Floats) -> Affine:
    """The normalisation of each channel as `scale · x + offset`."""
    scale = gamma / deviation
    return _singles(scale), _singles(beta - mean * scale)


def _memory(shape: tuple[int, ...], dtype: type[Float]) -> NDArray[Float]:
    """Uninitialised memory that TensorFlow takes over."""
    return lane_rows(math.prod(shape) // LANES, dtype).reshape(shape)


def _size(maps: Maps) -> tuple[int, int, int, int]:
    """Size of a map, as the kernels read it."""
    images, height, width, channels = maps.shape
    return images, height, width, channels // LANES


def _singles(values: Floats) -> Singles:
    """Rows of numbers per channel."""
    return _rows(values.astype(np.float32))


def _rows(values: NDArray[Float]) -> NDArray[Float]:
    """Values of eight neighbouring channels, as the kernels read them: not copied."""
    return values.reshape(-1, LANES)
