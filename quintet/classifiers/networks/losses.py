"""Loss of label sets with separate weights for each tag."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray


class TagCrossentropy(keras.losses.Loss):  # type: ignore[misc]
    """Binary cross-entropy of logits `(batch, tags)`: the mean over tags, each with its weights, `(batch,)`.

    `w₁ · t · softplus(-x) + w₀ · (1 - t) · softplus(x)`, where softplus(x) = log(1 + eˣ). Equal to Keras'
    `BinaryCrossentropy` if all weights are 1. Targets may lie between 0 and 1 (mixup).

    Args:
        weights: `(2, tags)`; the first row for absence `w₀`, the second for presence `w₁` of each tag.
    """

    def __init__(self, weights: NDArray[np.float32]) -> None:
        super().__init__(name="tag_crossentropy")
        self.absent, self.present = np.asarray(weights, np.float32)

    def call(self, y_true: keras.KerasTensor, y_pred: keras.KerasTensor) -> keras.KerasTensor:
        """Loss of each row, `(batch,)` float32."""
        targets = ops.cast(y_true, y_pred.dtype)
        absent = ops.convert_to_tensor(self.absent, y_pred.dtype)
        present = ops.convert_to_tensor(self.present, y_pred.dtype)
        if_present = present * targets * ops.softplus(-y_pred)
        if_absent = absent * (1.0 - targets) * ops.softplus(y_pred)
        return ops.mean(if_present + if_absent, axis=-1)
