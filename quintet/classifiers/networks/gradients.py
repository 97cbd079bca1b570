"""What a network's verdict hangs on: gradients with respect to its last pictures. Keras has one API for layers, none for gradients.

`split_network` cuts a network in two at its last convolutional picture; `gradient` asks the backend that Keras runs on (TensorFlow, JAX or
PyTorch) how a class's logit changes with that picture. Nothing is imported before it is needed.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quintet.classifiers.networks.backend import load_keras
from quintet.errors import unknown_name

Floats = NDArray[np.float64]
FEWEST_CHANNELS = 4  # what has fewer is a photograph or the input itself, not what filters found
PASSED_OVER = ("Pooling", "Dropout", "Flatten", "Reshape", "Permute", "GRU", "LSTM", "Dense", "InputLayer")


class Halves(NamedTuple):
    """A network cut at the output of `layer`: `front` patches → picture, `head` picture → logits."""

    front: Any
    head: Any
    layer: str


def split_network(model: Any) -> Halves | None:
    """The network cut at its last picture before pooling: (batch, height, width, channels), or else (batch, steps, channels).

    A picture is only taken where everything that follows goes through it. None where there is no such layer (a network without
    convolutions).
    """
    for dimensions in (4, 3):
        for layer in reversed(model.layers):
            if _is_picture(layer, dimensions) and (head := _head(model, layer)) is not None:
                return Halves(load_keras().Model(model.input, layer.output), head, str(layer.name))
    return None


def gradient(model: Any, inputs: NDArray[Any], column: int) -> Floats:
    """The derivative of output `column` with respect to the inputs: the shape of `inputs`, float64.

    Args:
        model: inputs (n, …) → outputs (n, k), in which rows do not influence each other (prediction, not training).
        inputs: (n, …). column: 0 … k - 1.

    Raises:
        ConfigError: Keras runs on a backend without gradients.

    Example:
        >>> keras = load_keras()
        >>> doubled = keras.Sequential([keras.Input((1,)), keras.layers.Rescaling(2.0)])
        >>> gradient(doubled, np.array([[3.0], [5.0]]), 0).tolist()
        [[2.0], [2.0]]
    """
    backend = str(load_keras().backend.backend())
    if backend not in GRADIENTS:
        raise unknown_name("backend for gradients", backend, GRADIENTS)
    return GRADIENTS[backend](model, np.asarray(inputs, dtype=np.float32), column).astype(np.float64)


def _is_picture(layer: Any, dimensions: int) -> bool:
    if any(word in type(layer).__name__ for word in PASSED_OVER) or isinstance(
        layer.output, list | tuple | dict
    ):
        return False
    shape = layer.output.shape
    return (
        len(shape) == dimensions
        and shape[-1] is not None
        and shape[-1] >= FEWEST_CHANNELS
        and min(size or 0 for size in shape[1:-1]) > 1
    )


def _head(model: Any, layer: Any) -> Any | None:
    """What follows a layer, or None where something reaches the output past it."""
    try:
        return load_keras().Model(layer.output, model.output)
    except ValueError:  # the graph is not connected
        return None


def _tensorflow(model: Any, inputs: NDArray[np.float32], column: int) -> NDArray[Any]:
    tensorflow = importlib.import_module("tensorflow")
    given = tensorflow.convert_to_tensor(inputs)
    with tensorflow.GradientTape() as tape:
        tape.watch(given)
        total = tensorflow.reduce_sum(model(given, training=False)[:, column])
    return np.asarray(tape.gradient(total, given))


def _jax(model: Any, inputs: NDArray[np.float32], column: int) -> NDArray[Any]:
    jax = importlib.import_module("jax")
    trainable, other = [
        [v.value for v in group] for group in (model.trainable_variables, model.non_trainable_variables)
    ]

    def total(given: Any) -> Any:
        outputs, _ = model.stateless_call(trainable, other, given, training=False)
        return outputs[:, column].sum()

    return np.asarray(jax.grad(total)(inputs))


def _torch(model: Any, inputs: NDArray[np.float32], column: int) -> NDArray[Any]:
    keras, torch = load_keras(), importlib.import_module("torch")
    given = keras.ops.convert_to_tensor(inputs).detach().requires_grad_(True)
    with torch.enable_grad():
        model(given, training=False)[:, column].sum().backward()
    return np.asarray(keras.ops.convert_to_numpy(given.grad))


GRADIENTS: Mapping[str, Callable[[Any, NDArray[np.float32], int], NDArray[Any]]] = {
    "tensorflow": _tensorflow,
    "jax": _jax,
    "torch": _torch,
}
