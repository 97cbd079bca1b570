"""Gradients of a network's outputs with respect to its last feature map.

Keras has no common interface for gradients. `split_network` cuts a network in two at its last convolutional
feature map. `gradient` asks the backend that Keras runs on (TensorFlow, JAX or PyTorch) how a class's logit
changes with that map. Libraries are imported when they are needed.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from quintet.classifiers.networks.backend import backend_name, load_keras
from quintet.classifiers.networks.keras_types import KerasLayer, KerasModel, Tensor
from quintet.classifiers.spectrogram.fitting import forward
from quintet.errors import unknown_name

Floats = NDArray[np.float64]
Inputs = NDArray[np.float32]
FEWEST_CHANNELS = 4
"""An output with fewer channels is a photograph or the input, not the output of filters."""

SKIPPED_LAYERS = ("Pooling", "Dropout", "Flatten", "Reshape", "Permute", "GRU", "LSTM", "Dense", "InputLayer")


class Halves(NamedTuple):
    """A network cut at the output of a layer.

    Args:
        front: patches → feature map.
        head: feature map → logits.
        layer: name of the layer.
    """

    front: KerasModel
    head: KerasModel
    layer: str


@dataclass(frozen=True)
class KerasHalves:
    """A network cut at its last feature map, for explanations.

    Args:
        halves: the two parts.
        batch_size: patches that are computed at a time.
    """

    halves: Halves
    batch_size: int

    @classmethod
    def cut(cls, model: KerasModel, batch_size: int) -> Self | None:
        """The network cut at its last feature map before pooling; None if it has none."""
        halves = split_network(model)
        return None if halves is None else cls(halves, batch_size)

    def features(self, patches: Inputs) -> Floats:
        """The feature map of standardised patches `(n, bands, frames)`: `(n, …, channels)`."""
        return forward(self.halves.front, patches, batch_size=self.batch_size)

    def slopes(self, features: Floats, column: int) -> Floats:
        """Derivative of the logit `column` with respect to a feature map: the shape of `features`."""
        starts = range(0, len(features), self.batch_size)
        batches = [features[start : start + self.batch_size] for start in starts]
        return np.concatenate([gradient(self.halves.head, batch, column) for batch in batches])


def split_network(model: KerasModel) -> Halves | None:
    """The network cut at its last feature map before pooling.

    The map has shape `(batch, height, width, channels)`, or, if there is none, `(batch, steps, channels)`. A
    map qualifies only if all later layers depend on the input through it. None if no layer qualifies (a
    network without convolutions).
    """
    for n_axes in (4, 3):
        for layer in reversed(model.layers):
            if not _is_feature_map(layer, n_axes):
                continue
            head = _head(model, layer)
            if head is not None:
                front = load_keras().Model(model.input, layer.output)
                return Halves(front, head, str(layer.name))
    return None


def gradient(model: KerasModel, inputs: NDArray[np.float64] | Inputs, column: int) -> Floats:
    """Derivative of output `column` with respect to the inputs: the shape of `inputs`, float64.

    Args:
        model: inputs `(n, …)` → outputs `(n, k)`; rows do not influence each other (prediction, not
            training).
        inputs: `(n, …)`.
        column: 0 … k - 1.

    Raises:
        ConfigError: if Keras runs on a backend without gradients.

    Example:
        >>> keras = load_keras()
        >>> doubled = keras.Sequential([keras.Input((1,)), keras.layers.Rescaling(2.0)])
        >>> gradient(doubled, np.array([[3.0], [5.0]]), 0).tolist()
        [[2.0], [2.0]]
    """
    backend = backend_name()
    if backend not in GRADIENTS:
        raise unknown_name("backend for gradients", backend, GRADIENTS)
    return GRADIENTS[backend](model, np.asarray(inputs, dtype=np.float32), column).astype(np.float64)


def _is_feature_map(layer: KerasLayer, n_axes: int) -> bool:
    class_name = type(layer).__name__
    if any(word in class_name for word in SKIPPED_LAYERS):
        return False
    if isinstance(layer.output, list | tuple | dict):
        return False
    shape = layer.output.shape
    if len(shape) != n_axes:
        return False
    *positions, channels = shape[1:]
    if channels is None or channels < FEWEST_CHANNELS:
        return False
    return min(size or 0 for size in positions) > 1


def _head(model: KerasModel, layer: KerasLayer) -> KerasModel | None:
    """The part of a network after a layer; None if another path leads past the layer to the output."""
    try:
        head: KerasModel = load_keras().Model(layer.output, model.output)
    except ValueError:  # the graph is not connected
        return None
    return head


def _tensorflow(model: KerasModel, inputs: Inputs, column: int) -> Inputs:
    tensorflow = importlib.import_module("tensorflow")
    variable = tensorflow.convert_to_tensor(inputs)
    with tensorflow.GradientTape() as tape:
        tape.watch(variable)
        outputs = model(variable, training=False)
        total = tensorflow.reduce_sum(outputs[:, column])
    return np.asarray(tape.gradient(total, variable))


def _jax(model: KerasModel, inputs: Inputs, column: int) -> Inputs:
    jax = importlib.import_module("jax")
    trainable = [variable.value for variable in model.trainable_variables]
    other = [variable.value for variable in model.non_trainable_variables]

    def total(variable: Tensor) -> Tensor:
        outputs, _ = model.stateless_call(trainable, other, variable, training=False)
        result: Tensor = jax.numpy.sum(outputs[:, column])
        return result

    return np.asarray(jax.grad(total)(inputs))


def _torch(model: KerasModel, inputs: Inputs, column: int) -> Inputs:
    ops = load_keras().ops
    torch = importlib.import_module("torch")
    variable = ops.convert_to_tensor(inputs).detach().requires_grad_(True)
    with torch.enable_grad():
        outputs = model(variable, training=False)
        torch.sum(outputs[:, column]).backward()
    return np.asarray(ops.convert_to_numpy(variable.grad))


GRADIENTS: Mapping[str, Callable[[KerasModel, Inputs, int], Inputs]] = {
    "tensorflow": _tensorflow,
    "jax": _jax,
    "torch": _torch,
}
