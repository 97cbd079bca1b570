"""Size of a network: bounded while it is built, and known before it predicts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import cast

from quintet.classifiers.networks.backend import load_keras
from quintet.classifiers.networks.keras_types import KerasModel
from quintet.errors import ConfigError
from quintet.files.untrusted import limits

WEIGHTS_PER_LAYER = 8
"""Arrays of weights that a layer has at most."""


@contextmanager
def weight_budget(n_weights: int) -> Iterator[None]:
    """Refuse to allocate more than `n_weights` numbers for the layers that are built inside the context.

    A network whose settings do not belong to its file of weights is thus refused before its memory is taken.

    Raises:
        ConfigError: at the first layer that needs more, or after `limits.LAYERS` layers.
    """
    keras = load_keras()
    add_weight = keras.layers.Layer.add_weight
    used, calls = 0, 0

    def count_weight(
        layer: object, shape: Sequence[int] | int | None = None, *args: object, **kwargs: object
    ) -> object:
        nonlocal used, calls
        lengths = () if shape is None else (shape,) if isinstance(shape, int) else tuple(shape)
        used += math.prod(int(length) for length in lengths)
        calls += 1
        if used > n_weights or calls > limits.LAYERS * WEIGHTS_PER_LAYER:
            raise ConfigError(
                f"A stored network must have as many weights as its file ({n_weights}). "
                f"Its settings ask for {used} or more. Do not use this file; copy it again, or train again."
            )
        return add_weight(layer, shape, *args, **kwargs)

    keras.layers.Layer.add_weight = count_weight
    try:
        yield
    finally:
        keras.layers.Layer.add_weight = add_weight


def largest_output_bytes(model: KerasModel) -> int:
    """Bytes of the largest output of a layer for one patch, in float32."""
    largest = 0
    for layer in model.layers:
        if hasattr(layer, "layers"):
            largest = max(largest, largest_output_bytes(cast("KerasModel", layer)))
        lengths = [int(length) for length in layer.output.shape[1:] if length]
        largest = max(largest, 4 * math.prod(lengths))
    return largest
