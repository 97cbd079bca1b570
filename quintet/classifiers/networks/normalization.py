"""Batch normalisation that computes in one pass where the backend has an operation for it."""

from __future__ import annotations

import importlib

import keras
from keras import KerasTensor, ops

from quintet.classifiers.networks.backend import backend_name, device
from quintet.classifiers.networks.compiled_operations import has_compiled_loops
from quintet.classifiers.networks.normalized_pooling import (
    has_even_windows,
    normalized_pooling,
    scaled_pooling,
)


class BatchNormalization(keras.layers.BatchNormalization):  # type: ignore[misc]
    """Keras' layer over the last axis. On the CPU, TensorFlow trains it with one fused operation.

    Keras composes the moments and their gradients of a dozen operations, each of which reads the whole
    activation: nearly half of the time of a step of `vgg_small`. The fused operation gives the same numbers
    up to rounding. Weights, their names and predictions are those of Keras' layer, the latter up to rounding
    if they are pooled.

    Args:
        is_pooled: the layer also takes the maximum of each window of 2 × 2 positions and rectifies it. The
            maximum of a rectified map is the rectified maximum, which has a quarter of the values.
        options: of Keras' layer.

    Source: Ioffe and Szegedy, Batch normalization, ICML 2015.
    """

    def __init__(self, *, is_pooled: bool = False, **options: object) -> None:
        super().__init__(**options)
        self.is_pooled = is_pooled

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Shape of the inputs, with half the height and width if it is pooled."""
        if not self.is_pooled:
            return input_shape
        images, height, width, channels = input_shape
        return (images, height and height // 2, width and width // 2, channels)

    def call(
        self, inputs: KerasTensor, training: bool | None = None, mask: KerasTensor | None = None
    ) -> KerasTensor:
        """The normalised inputs, pooled if the layer is. In training the moving statistics are updated."""
        is_training = bool(training) and self.trainable
        is_fused = mask is None and self._is_fusible(inputs)
        is_looped = is_fused and self.is_pooled and has_even_windows(inputs.shape) and has_compiled_loops()
        if is_looped and not is_training:
            scale = self.gamma / ops.sqrt(self.moving_variance + self.epsilon)
            return scaled_pooling(inputs, scale, self.beta - self.moving_mean * scale)
        if is_looped:
            outputs, mean, variance = normalized_pooling(inputs, self.gamma, self.beta, self.epsilon)
        elif is_fused and is_training:
            outputs, mean, variance = _fused_in_training(inputs, self.gamma, self.beta, self.epsilon)
            outputs = self._pool(outputs)
        else:
            return self._pool(super().call(inputs, training=training, mask=mask))
        self._move(self.moving_mean, mean)
        self._move(self.moving_variance, variance)
        return outputs

    def _pool(self, outputs: KerasTensor) -> KerasTensor:
        return ops.relu(ops.max_pool(outputs, 2)) if self.is_pooled else outputs

    def _is_fusible(self, inputs: KerasTensor) -> bool:
        is_plain = self.scale and self.center and not self.renorm and not self.synchronized
        is_last = self.axis in (-1, len(inputs.shape) - 1)
        is_float = keras.backend.standardize_dtype(inputs.dtype) == self.compute_dtype == "float32"
        return is_plain and is_last and is_float and backend_name() == "tensorflow" and not device().is_gpu

    def _move(self, moving: keras.Variable, value: KerasTensor) -> None:
        moving.assign(moving * self.momentum + value * (1.0 - self.momentum))


def _fused_in_training(
    inputs: KerasTensor, gamma: keras.Variable, beta: keras.Variable, epsilon: float
) -> tuple[KerasTensor, KerasTensor, KerasTensor]:
    """Outputs, and mean and variance per channel, of TensorFlow's fused operation.

    The operation divides its variance by n - 1; Keras' moving variance divides by n.
    """
    fused = importlib.import_module("tensorflow").raw_ops.FusedBatchNormV3
    channels = inputs.shape[-1]
    result = fused(
        x=ops.reshape(inputs, (-1, 1, 1, channels)),
        scale=ops.convert_to_tensor(gamma),
        offset=ops.convert_to_tensor(beta),
        mean=ops.zeros((0,)),
        variance=ops.zeros((0,)),
        epsilon=epsilon,
        is_training=True,
    )
    n_rows = ops.cast(ops.size(inputs) // channels, "float32")
    unbiased = (n_rows - 1.0) / n_rows
    return ops.reshape(result.y, ops.shape(inputs)), result.batch_mean, result.batch_variance * unbiased
