"""Gradients of a frozen network: of a class's logit with respect to the last feature map, with NumPy.

It is what `quintet.classifiers.networks.gradients` asks Keras for. A network with another operation after its
last feature map has none here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from quintet.files.json_types import JsonObject
from quintet.frozen.network import OPERATIONS, Network, normalisation, pool_windows

Array = NDArray[np.float32]
Floats = NDArray[np.float64]

FEWEST_CHANNELS = 4
"""An output with fewer channels is a photograph or the input, not the output of filters."""
FILTERED = ("convolution", "normalisation", "activation", "concatenate", "add")
"""Operations whose output is a feature map, if it has a place and channels."""
NESTED_BASE = "bgr"
"""Colours of the pictures for a base with layers of its own (VGG16). Keras cuts such a network at the end of
the base, which the steps do not show."""


@dataclass(frozen=True, eq=False)
class FrozenHalves:
    """A network cut at its last feature map.

    Args:
        network: the network.
        step: number of the step whose output is the feature map.
    """

    network: Network
    step: int

    @classmethod
    def cut(cls, network: Network) -> Self | None:
        """The network cut at its last feature map before pooling; None if it has none, or no gradient here.

        Args:
            network: the network.
        """
        if any(step.numbers.get("colours") == NESTED_BASE for step in network.steps):
            return None
        for n_axes in (4, 3):
            for number in range(len(network.steps), 0, -1):
                shape = network.shapes[number]
                is_map = network.steps[number - 1].operation in FILTERED and len(shape) == n_axes
                if not is_map or shape[-1] < FEWEST_CHANNELS or min(shape[1:-1]) < 2:
                    continue
                after = _steps_after(network, number)
                if after is not None:
                    names = {network.steps[k - 1].operation for k in after}
                    return cls(network, number) if names <= set(BACKWARD) else None
        return None

    def features(self, patches: Array) -> Floats:
        """The feature map of standardised patches `(n, bands, frames)`: `(n, …, channels)`."""
        parts = [_outputs(self.network, patch[None], 0, self.step)[self.step] for patch in patches]
        return np.concatenate(parts).astype(np.float64)

    def slopes(self, features: Floats, column: int) -> Floats:
        """Derivative of the logit `column` with respect to a feature map: the shape of `features`."""
        outputs = _outputs(self.network, features.astype(np.float32), self.step)
        last = len(self.network.steps)
        slope = np.zeros_like(outputs[last])
        slope[:, column] = 1.0
        slopes = {last: slope}
        after = _steps_after(self.network, self.step)
        assert after is not None
        for number in sorted(after, reverse=True):
            step = self.network.steps[number - 1]
            read = [outputs[k] for k in step.inputs]
            weights = [self.network.weights[name] for name in step.weights]
            own = slopes.pop(number)
            parts = BACKWARD[step.operation](own, read, outputs[number], weights, step.numbers)
            for k, part in zip(step.inputs, parts, strict=True):
                slopes[k] = slopes[k] + part if k in slopes else part
        return slopes[self.step].astype(np.float64)


def _outputs(network: Network, value: Array, begin: int, end: int | None = None) -> dict[int, Array]:
    """The outputs of the steps after `begin`, whose output is `value`, up to `end`.

    Steps before `begin` are left out, and so is every step that reads one of them.
    """
    outputs = {begin: value}
    for number, step in enumerate(network.steps[:end], start=1):
        if number > begin and all(k in outputs for k in step.inputs):
            read = [outputs[k] for k in step.inputs]
            weights = [network.weights[name] for name in step.weights]
            outputs[number] = OPERATIONS[step.operation](read, weights, step.numbers)
    return outputs


def _steps_after(network: Network, number: int) -> set[int] | None:
    """The steps between an output and the logits; None if another path leads past it to the logits."""
    found: set[int] = set()
    waiting = {len(network.steps)}
    while waiting:
        last = max(waiting)
        waiting.remove(last)
        if last == number:
            continue
        if last < number:
            return None
        found.add(last)
        waiting |= set(network.steps[last - 1].inputs)
    return found


Backward = Callable[[Array, list[Array], Array, list[Array], JsonObject], list[Array]]
"""Slope of an output, what its step read, the output, weights and numbers → slopes of what it read."""


def _of_activation(slope: Array, output: Array, name: str) -> Array:
    """Slope of what an activation read, from its output."""
    if name == "relu":
        return slope * (output > 0)
    if name == "elu":
        return slope * np.where(output > 0, np.float32(1), output + 1)
    return slope


def _of_dense(
    slope: Array, read: list[Array], output: Array, weights: list[Array], numbers: JsonObject
) -> list[Array]:
    return [_of_activation(slope, output, numbers["activation"]) @ weights[0].T]


def _of_normalisation(
    slope: Array, read: list[Array], output: Array, weights: list[Array], numbers: JsonObject
) -> list[Array]:
    factor, _ = normalisation(weights, numbers)
    shape = [1] * slope.ndim
    shape[numbers["axis"]] = -1
    return [slope * factor.astype(np.float32).reshape(shape)]


def _of_pool(
    slope: Array, read: list[Array], output: Array, weights: list[Array], numbers: JsonObject
) -> list[Array]:
    """A mean spreads the slope over its window, a maximum gives it to the first of the largest."""
    back = np.zeros_like(read[0])
    is_free = np.ones(output.shape, bool)
    windows, parts = pool_windows(read[0], numbers), pool_windows(back, numbers)
    for window, part in zip(windows, parts, strict=True):
        if numbers["mean"]:
            part += slope / len(windows)
        else:
            is_chosen = is_free & (window == output)
            part += slope * is_chosen
            is_free &= ~is_chosen
    return [back]


def _of_reduce(
    slope: Array, read: list[Array], output: Array, weights: list[Array], numbers: JsonObject
) -> list[Array]:
    axes = tuple(numbers["axes"])
    wide = np.expand_dims(slope, axes)
    if numbers["mean"]:
        share = np.full(read[0].shape, 1.0, np.float32)
    else:
        share = (read[0] == np.expand_dims(output, axes)).astype(np.float32)
    return [wide * share / share.sum(axis=axes, keepdims=True)]


def _of_concatenate(
    slope: Array, read: list[Array], output: Array, weights: list[Array], numbers: JsonObject
) -> list[Array]:
    axis = numbers["axis"]
    return np.split(slope, np.cumsum([part.shape[axis] for part in read])[:-1], axis=axis)


def _of_shape(
    slope: Array, read: list[Array], output: Array, weights: list[Array], numbers: JsonObject
) -> list[Array]:
    return [slope.reshape(read[0].shape)]


BACKWARD: dict[str, Backward] = {
    "activation": lambda slope, read, output, weights, numbers: [
        _of_activation(slope, output, numbers["activation"])
    ],
    "add": lambda slope, read, output, weights, numbers: [slope] * len(read),
    "concatenate": _of_concatenate,
    "dense": _of_dense,
    "flatten": _of_shape,
    "normalisation": _of_normalisation,
    "permute": lambda slope, read, output, weights, numbers: [
        slope.transpose(0, *np.argsort(numbers["axes"]) + 1)
    ],
    "pool": _of_pool,
    "reduce": _of_reduce,
    "reshape": _of_shape,
}
"""Operation → its gradient."""
