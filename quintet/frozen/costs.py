"""What a step of a network takes for one patch, known from shapes: nothing is computed for it.

A stranger's steps are tried without patches. Every output is empty then, so that its shape costs nothing.
What would cost something all the same (a loop over time, a matrix of a change of length) is refused before.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quintet.files.json_types import JsonObject
from quintet.files.untrusted import limits

Array = NDArray[np.float32]

NUMBER_WORK = 32
"""Multiplications of a matrix product in the time in which one number is read or written."""
CALL_WORK = 50_000
"""Multiplications of a matrix product in the time of one call of NumPy."""
GATED_CALLS = 20
"""Calls of NumPy in one time step of a GRU."""
LONGEST_LIST = 8
"""Entries of a list among the numbers of a step."""
WEIGHT_AXES = {"convolution": (3, 4), "dense": (2,), "gru": (2,), "normalisation": (1,)}
"""Operation → possible numbers of axes of its first array of weights."""


class Cost(NamedTuple):
    """What a step takes for one patch.

    Args:
        work: the time, in multiplications of a matrix product.
        numbers: numbers in memory beside what the step reads and gives.
    """

    work: int
    numbers: int


def require_possible(operation: str, read: list[Array], weights: list[Array], numbers: JsonObject) -> None:
    """Refuse a step that no network of ours has, before it is tried.

    Args:
        operation: its name.
        read: the outputs that it reads.
        weights: its weights.
        numbers: its settings.

    Raises:
        ValueError: it has impossible settings or weights, or a trial without patches would take long.
    """
    _require_numbers(numbers)
    shape = read[0].shape
    axes = WEIGHT_AXES.get(operation)
    if axes is not None and (not weights or weights[0].ndim not in axes):
        raise ValueError("a step whose weights have other axes")
    if any(values.size == 0 for values in weights):
        raise ValueError("a step with weights that are empty")
    if operation in ("convolution", "dense") and any(values.ndim != 1 for values in weights[1:]):
        raise ValueError("a bias that is not one number per output")
    if operation == "gru" and (len(shape) != 3 or shape[1] > limits.FRAMES):
        raise ValueError(f"a GRU over more than {limits.FRAMES} time steps")
    if operation == "pool" and math.prod(numbers["size"]) > limits.NETWORK_SETTING:
        raise ValueError(f"a pooling of more than {limits.NETWORK_SETTING} places")
    if operation == "picture" and numbers["size"] * max(shape[1:]) * 4 > limits.ACTIVATION_BYTES:
        raise ValueError("a picture of a size that no network of ours has")
    if operation == "cepstrum" and shape[1] > limits.BANDS:
        raise ValueError(f"coefficients of more than {limits.BANDS} bands")
    joined: list[int] = numbers["axes"] if operation == "reduce" else []
    if operation == "concatenate":
        joined = [numbers["axis"]]
    if any(axis % len(shape) == 0 for axis in joined):
        raise ValueError("a step that joins patches")


def cost(operation: str, read: list[Array], weights: list[Array], numbers: JsonObject, output: Array) -> Cost:
    """What a step takes for one patch.

    Args:
        operation: its name.
        read: the outputs that it reads, without patches.
        weights: its weights.
        numbers: its settings.
        output: its output, without patches.

    Raises:
        ValueError: one row of a convolution is larger than an output may be.

    Example:
        >>> x, kernel = np.empty((0, 5), np.float32), np.ones((5, 2), np.float32)
        >>> cost("dense", [x], [kernel], {}, np.empty((0, 2), np.float32)).work - CALL_WORK  # 5 · 2 + 32 · 7
        234
    """
    n_out = numbers_of(output)
    work = CALL_WORK + NUMBER_WORK * (n_out + sum(map(numbers_of, read)))
    if operation == "convolution":
        return _convolution(read[0], weights[0], numbers, output, work)
    if operation in ("dense", "cepstrum"):
        length = len(weights[0]) if operation == "dense" else read[0].shape[1]
        return Cost(work + n_out * length, n_out)
    if operation == "gru":
        n_steps, (n_inputs, n_gates) = read[0].shape[1], weights[0].shape
        each = n_gates * (n_inputs + len(weights[1])) + NUMBER_WORK * 5 * n_gates + GATED_CALLS * CALL_WORK
        return Cost(work + n_steps * each, n_steps * n_gates * 2)
    if operation == "pool":
        n_places = math.prod(numbers["size"])
        return Cost(work + n_places * (NUMBER_WORK * n_out + CALL_WORK), n_out)
    if operation == "picture":
        size, (height, width) = numbers["size"], read[0].shape[1:]
        return Cost(work + size * width * (height + size), size * (width + 4 * size))
    return Cost(work, n_out)


def _convolution(x: Array, kernel: Array, numbers: JsonObject, output: Array, work: int) -> Cost:
    n_places, n_filters = math.prod(output.shape[1:-1]), kernel.shape[-1]
    length = kernel.size // n_filters
    width = output.shape[2] if output.ndim == 4 else 1
    if width * length * 4 > limits.ACTIVATION_BYTES:
        raise ValueError(f"a convolution whose rows have {width} windows of {length} numbers")
    padded = 0
    if numbers["padding"] == "same":
        sides = zip(x.shape[1:-1], kernel.shape[:-2], strict=True)
        padded = math.prod(size + most for size, most in sides) * x.shape[-1]
    return Cost(work + n_places * length * (n_filters + NUMBER_WORK), padded + numbers_of(output))


def numbers_of(output: Array) -> int:
    """Numbers of an output for one patch."""
    return math.prod(output.shape[1:])


def _require_numbers(numbers: object) -> None:
    """Refuse settings of a step that no step of ours has."""
    if isinstance(numbers, dict):
        numbers = list(numbers.values())
    if isinstance(numbers, list):
        if len(numbers) > LONGEST_LIST:
            raise ValueError("a step with more settings than any of ours")
        for number in numbers:
            _require_numbers(number)
    elif isinstance(numbers, int | float) and not isinstance(numbers, bool):
        if not -limits.ACTIVATION_BYTES <= numbers <= limits.ACTIVATION_BYTES:
            raise ValueError("a number of a step is too large")
    elif not isinstance(numbers, str | bool):
        raise ValueError("a setting of a step is no number")
