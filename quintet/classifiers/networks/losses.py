"""The loss of label sets, in which each tag has weights of its own."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray


class TagCrossentropy(keras.losses.Loss):  # type: ignore[misc]
    """Binary cross-entropy of logits (batch, tags): the mean over tags, each at its own weights of absence and presence: (batch,).

    `w₁ · t · softplus(-x) + w₀ · (1 - t) · softplus(x)`, where softplus(x) = log(1 + eˣ); equal to Keras' own where all weights are 1.

    Parameters:
        weights: (2, tags), of absence and of presence. Targets may lie between 0 and 1 (mixup).
    """

    def __init__(self, weights: NDArray[np.float32]) -> None:
        super().__init__(name="tag_crossentropy")
        self.absent, self.present = np.asarray(weights, np.float32)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """(batch,) float32."""
        wanted = ops.cast(y_true, y_pred.dtype)
        absent, present = (
            ops.convert_to_tensor(weights, y_pred.dtype) for weights in (self.absent, self.present)
        )
        losses = present * wanted * ops.softplus(-y_pred) + absent * (1.0 - wanted) * ops.softplus(y_pred)
        return ops.mean(losses, axis=-1)
