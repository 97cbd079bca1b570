"""The first convolution of a network, whose pictures have one channel, as compiled loops.

TensorFlow's convolutions gather their speed over the channels that they read. With one channel the first
convolution of `vgg_small`, a twenty-fifth of its multiplications, takes an eighth of the time of its step.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

import keras
import numpy as np
from numpy.typing import NDArray

from quintet.classifiers.networks.compiled_operations import (
    for_images,
    has_compiled_loops,
    numpy_operation,
)
from quintet.features.engine.kernels.lanes import LANES, lane_rows
from quintet.features.engine.native import StoredKernel

if TYPE_CHECKING:
    from keras import KerasTensor

Maps = NDArray[np.float32]

_MODULE = "quintet.classifiers.networks.picture_kernels"
fill_filtered = StoredKernel(_MODULE, "fill_filtered")
sum_weight_slopes = StoredKernel(_MODULE, "sum_weight_slopes")


class Conv2D(keras.layers.Conv2D):  # type: ignore[misc]
    """Keras' layer. On the CPU, TensorFlow computes 3 × 3 filters of one channel with compiled loops.

    Outputs are those of Keras up to rounding; weights and their names are the same.
    """

    def call(self, inputs: KerasTensor) -> KerasTensor:
        """The filtered pictures."""
        return self._filter(inputs) if self._has_loops(inputs) else super().call(inputs)

    def _has_loops(self, inputs: KerasTensor) -> bool:
        is_plain = not self.use_bias and self.activation is keras.activations.linear and self.groups == 1
        is_square = (*self.kernel_size, *self.strides, *self.dilation_rate) == (3, 3, 1, 1, 1, 1)
        _, height, width, channels = inputs.shape
        is_picture = channels == 1 and None not in (height, width) and self.filters % LANES == 0
        is_same = self.padding == "same" and self.data_format == "channels_last"
        is_float = keras.backend.standardize_dtype(inputs.dtype) == self.compute_dtype == "float32"
        return is_plain and is_square and is_picture and is_same and is_float and has_compiled_loops()

    def _filter(self, inputs: KerasTensor) -> KerasTensor:
        tensorflow = importlib.import_module("tensorflow")
        images, height, width, _ = inputs.shape
        shape = (images, height, width, self.filters)

        @tensorflow.custom_gradient  # type: ignore[untyped-decorator]
        def filtered(pictures: KerasTensor, weights: KerasTensor) -> object:
            (results,) = numpy_operation(filter_pictures, [pictures, weights], [shape])

            def gradient(slopes: KerasTensor) -> tuple[KerasTensor, KerasTensor]:
                (for_weights,) = numpy_operation(weight_slopes, [pictures, slopes], [weights.shape])
                # TensorFlow leaves this out where nothing before the pictures learns.
                for_pictures = tensorflow.nn.conv2d_transpose(
                    slopes, weights, tensorflow.shape(pictures), strides=1, padding="SAME"
                )
                return for_pictures, for_weights

            return results, gradient

        return filtered(inputs, keras.ops.convert_to_tensor(self.kernel))


def filter_pictures(pictures: Maps, weights: Maps) -> tuple[Maps]:
    """Pictures `(images, height, width, 1)` through filters `(3, 3, 1, n)`: `(images, height, width, n)`.

    Zeros are around each picture. n is a multiple of 8.

    Example:
        >>> weights = np.zeros((3, 3, 1, 8), np.float32)
        >>> weights[1, 2] = 1.0  # the right neighbour
        >>> filter_pictures(np.array([[[[1.0], [2.0]]]], np.float32), weights)[0][0, 0, :, 0].tolist()
        [2.0, 0.0]
    """
    images, height, width, _ = pictures.shape
    n_filters = weights.shape[-1]
    results = lane_rows(images * height * width * n_filters // LANES, np.float32)
    results = results.reshape(images, height, width, n_filters)
    bordered, rows = _bordered(pictures), weights.reshape(-1, LANES)

    def fill(part: slice) -> None:
        fill_filtered(bordered[part], rows, n_filters // LANES, results[part].reshape(-1, LANES))

    for_images(fill, results)
    return (results,)


def weight_slopes(pictures: Maps, slopes: Maps) -> tuple[Maps]:
    """Derivatives of the loss for the weights `(3, 3, 1, n)`.

    Args:
        pictures: `(images, height, width, 1)`.
        slopes: derivatives for the results of `filter_pictures`, of their shape.
    """
    n_images, *_, n_filters = slopes.shape
    n_values = n_filters // LANES
    bordered, sums = _bordered(pictures), lane_rows(n_images * 9 * n_values).reshape(n_images, -1, LANES)

    def add(part: slice) -> None:
        own = sums[part].reshape(-1, LANES)
        sum_weight_slopes(bordered[part], slopes[part].reshape(-1, LANES), n_values, own)

    for_images(add, slopes)
    return (sums.sum(axis=0).reshape(3, 3, 1, n_filters).astype(np.float32),)


def _bordered(pictures: Maps) -> Maps:
    """Pictures `(images, height + 2, width + 2)` with a border of zeros."""
    return np.pad(pictures[..., 0], ((0, 0), (1, 1), (1, 1)))
