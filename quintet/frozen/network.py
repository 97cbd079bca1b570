"""A network as a list of steps, and its outputs with NumPy.

A step names an operation of `OPERATIONS`, the earlier outputs that it reads (0 is the batch of patches, k the
output of step k), its weights by their names in the member's file of weights, and numbers. So a stored
network is data: it can name no code, and its shapes are known before any memory is taken.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from xxhash import xxh3_128_digest

from quintet.files.json_types import JsonObject
from quintet.files.untrusted import limits
from quintet.files.untrusted.arrays import StoredArray
from quintet.frozen.costs import cost, numbers_of, require_possible
from quintet.frozen.pictures import cosines, picture

Array = NDArray[np.float32]
Floats = NDArray[np.float64]

BATCH_BYTES = 8 * limits.MIB
"""Size of the largest output that a batch of patches may have, so that it stays in the processor's cache."""

BLOCK_NUMBERS = 1 << 20
"""Numbers of the windows of a convolution that are in memory at a time."""


@dataclass(frozen=True)
class Step:
    """One operation of a network.

    Args:
        operation: name in `OPERATIONS`.
        inputs: numbers of the outputs that it reads.
        weights: names of its weights.
        numbers: its settings.
    """

    operation: str
    inputs: tuple[int, ...]
    weights: tuple[str, ...] = ()
    numbers: JsonObject = field(default_factory=dict)

    def to_json(self) -> JsonObject:
        """`operation, inputs, weights, numbers`."""
        return {**vars(self), "inputs": list(self.inputs), "weights": list(self.weights)}

    @classmethod
    def from_json(cls, content: JsonObject) -> Self:
        """Read what `to_json` gave.

        Raises:
            ValueError, TypeError, KeyError: it is no step.
        """
        operation, inputs, weights, numbers = (
            content[name] for name in ("operation", "inputs", "weights", "numbers")
        )
        if operation not in OPERATIONS:
            raise ValueError(f"the operation {str(operation)[:40]!r}")
        if not all(type(number) is int for number in inputs) or not isinstance(numbers, dict):
            raise ValueError("a step without inputs and numbers")
        if not all(isinstance(name, str) for name in weights):
            raise ValueError("a step with weights that have no names")
        if len(inputs) > limits.STEP_INPUTS or len(weights) > limits.STEP_INPUTS:
            raise ValueError(f"a step that reads more than {limits.STEP_INPUTS} outputs or weights")
        return cls(operation, tuple(inputs), tuple(weights), numbers)


class Network:
    """A network that gives logits with NumPy.

    Args:
        steps: the operations; the output of the last one are the logits.
        weights: name → array.
        patch_shape: (bands, frames) of a patch.
        n_outputs: number of logits.

    Raises:
        ValueError: a step reads a later output or weights that do not exist, an output is too large, or the
            last output has another shape, or the steps together need too much time or memory.

    Attributes:
        shapes: number of an output → its shape for no patch, `(0, …)`.

    Example:
        >>> steps = [Step("flatten", (0,)), Step("dense", (1,), ("kernel",), {"activation": "linear"})]
        >>> network = Network(steps, {"kernel": np.eye(6, 2, dtype=np.float32)}, (2, 3), 2)
        >>> network.logits(np.arange(6, dtype=np.float32).reshape(1, 2, 3)).tolist()
        [[0.0, 1.0]]
    """

    def __init__(
        self,
        steps: Sequence[Step],
        weights: Mapping[str, StoredArray],
        patch_shape: tuple[int, int],
        n_outputs: int,
    ) -> None:
        if not 0 < len(steps) <= limits.LAYERS:
            raise ValueError(f"a network must have at most {limits.LAYERS} steps")
        self.steps = tuple(steps)
        names = {name for step in steps for name in step.weights}
        self.weights = {name: np.asarray(weights[name], np.float32) for name in sorted(names)}
        if not all(np.isfinite(values).all() for values in self.weights.values()):
            raise ValueError("a weight of a network that is not finite")
        self._last_use = {number: k for k, step in enumerate(steps, start=1) for number in step.inputs}
        self._largest = self._together = 1
        self.shapes: dict[int, tuple[int, ...]] = {0: (0, *patch_shape)}
        self._plan = {k: (step, [self.weights[n] for n in step.weights]) for k, step in enumerate(steps, 1)}
        nothing = np.empty((0, *patch_shape), np.float32)
        logits = self._try(nothing)
        if logits.shape != (0, n_outputs):
            raise ValueError(f"a network with outputs of the shape {logits.shape[1:]}")
        self._fuse()

    def logits(self, patches: Array) -> NDArray[np.float64]:
        """Logits of standardised patches. Patches that are equal are computed once.

        Covered copies of a clip (occlusion) have many of them.

        Args:
            patches: `(n, bands, frames)`.

        Returns:
            Shape `(n, outputs)`.
        """
        patches = np.ascontiguousarray(patches, np.float32)
        numbers: dict[bytes, int] = {}
        owners = [numbers.setdefault(xxh3_128_digest(patch.data), len(numbers)) for patch in patches]
        first = np.unique(owners, return_index=True)[1]
        different = patches if len(first) == len(patches) else patches[first]
        starts = range(0, len(different), self._n_patches)
        parts = [self._run(different[begin : begin + self._n_patches]) for begin in starts]
        return np.concatenate(parts).astype(np.float64)[owners]

    def embedding(self, patches: Array) -> NDArray[np.float64]:
        """What the last step reads, the last hidden layer, for standardised patches: `(n, d)`."""
        number = self.steps[-1].inputs[0]
        starts = range(0, len(patches), self._n_patches)
        parts = [self._run(patches[begin : begin + self._n_patches], end=number) for begin in starts]
        return np.concatenate(parts).astype(np.float64)

    @property
    def _n_patches(self) -> int:
        """Patches that are computed at a time."""
        return max(1, min(BATCH_BYTES // self._largest, limits.NETWORK_BYTES // self._together))

    def _run(self, patches: Array, *, end: int | None = None) -> Array:
        """The output of step `end`, or the last one."""
        outputs: dict[int, Array] = {0: patches}
        last = len(self.steps) if end is None else end
        for k, (step, weights) in self._plan.items():
            if k > last:
                break
            read = [outputs[number] for number in step.inputs]
            outputs[k] = OPERATIONS[step.operation](read, weights, step.numbers)
            self._forget(outputs, k)
        return outputs[last]

    def _forget(self, outputs: dict[int, Array], k: int) -> None:
        """Drop the outputs that no step after step k reads."""
        for number in self._plan[k][0].inputs:
            if self._last_use[number] == k:
                outputs.pop(number, None)

    def _try(self, nothing: Array) -> Array:
        """The last output for no patch, if every step is possible and bounded: shapes, time and memory."""
        outputs = {0: nothing}
        work = n_bytes_of_all = 0
        for k, (step, weights) in self._plan.items():
            if not step.inputs or not all(0 <= number < k for number in step.inputs):
                raise ValueError("a step that reads what comes later")
            read = [outputs[number] for number in step.inputs]
            require_possible(step.operation, read, weights, step.numbers)
            output = OPERATIONS[step.operation](read, weights, step.numbers)
            n_bytes = 4 * numbers_of(output)
            if n_bytes > limits.ACTIVATION_BYTES or output.ndim < 2 or output.shape[0] != 0:
                raise ValueError(f"a step with an output of the shape {output.shape}")
            own = cost(step.operation, read, weights, step.numbers, output)
            outputs[k], self.shapes[k] = output, output.shape
            together = 4 * (own.numbers + sum(map(numbers_of, outputs.values())))
            self._largest = max(self._largest, n_bytes)
            self._together = max(self._together, together)
            work, n_bytes_of_all = work + own.work, n_bytes_of_all + n_bytes
            if work > limits.NETWORK_WORK:
                raise ValueError(f"a network of more than {limits.NETWORK_WORK:,} multiplications")
            if together > limits.NETWORK_BYTES or n_bytes_of_all > limits.OUTPUTS_BYTES:
                raise ValueError("a network whose outputs need more memory than any of ours")
            self._forget(outputs, k)
        return outputs[len(self.steps)]

    def _fuse(self) -> None:
        """Join each convolution with the normalisation and the activation that alone read its output.

        Scale and centre become part of the kernel and a bias, so that three sweeps over a picture are one.
        """
        uses = [number for step in self.steps for number in step.inputs]
        kept = self.steps[-1].inputs[0]  # `embedding` asks for it
        for k, step in enumerate(self.steps, start=1):
            end = k + 1
            if step.operation != "convolution" or step.numbers["activation"] != "linear" or k == kept:
                continue
            if not self._follows(end, "normalisation", uses) or self.steps[k].numbers["axis"] != -1:
                continue
            kernel, *bias = self._plan[k][1]
            factor, shift = normalisation(self._plan[end][1], self.steps[k].numbers)
            if bias:
                shift = shift + bias[0] * factor
            weights = [(kernel * factor).astype(np.float32), shift.astype(np.float32)]
            numbers = dict(step.numbers)
            if end != kept and self._follows(end + 1, "activation", uses):
                numbers["activation"] = self.steps[end].numbers["activation"]
                end += 1
            for number in range(k, end):
                del self._plan[number]
            self._plan[end] = (Step("convolution", step.inputs, (), numbers), weights)
        self._plan = dict(sorted(self._plan.items()))

    def _follows(self, number: int, operation: str, uses: list[int]) -> bool:
        """Whether a step does this with the output before it, which nothing else reads."""
        if number > len(self.steps) or uses.count(number - 1) != 1:
            return False
        step = self.steps[number - 1]
        return step.operation == operation and step.inputs == (number - 1,)


def _activate(x: Array, name: str) -> Array:
    """An activation. `x` may be changed."""
    if name == "relu":
        return np.maximum(x, 0, out=x)
    if name == "elu":
        return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))
    if name == "linear":
        return x
    raise ValueError(f"the activation {name[:40]!r}")


def _pictures(x: Array) -> Array:
    """`(n, time, features)` as `(n, time, 1, features)`; pictures stay."""
    return x[:, :, None] if x.ndim == 3 else x


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros before and after an axis so that a convolution keeps its length, divided by the stride."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def _convolve(read: list[Array], weights: list[Array], numbers: JsonObject) -> Array:
    """Convolution over one or two axes, then its bias and activation."""
    is_series = read[0].ndim == 3
    x, kernel = _pictures(read[0]), weights[0]
    kernel = kernel[:, None] if is_series else kernel
    rows, columns, n_channels, n_filters = kernel.shape
    steps = numbers["strides"]
    if numbers["padding"] == "same":
        sizes = zip(x.shape[1:3], (rows, columns), steps, strict=True)
        x = np.pad(x, ((0, 0), *(same_padding(*size) for size in sizes), (0, 0)))
    windows = sliding_window_view(x, (rows, columns), axis=(1, 2))[:, :: steps[0], :: steps[1]]
    windows = windows.transpose(0, 1, 2, 4, 5, 3)
    n, height, width = windows.shape[:3]
    flat = np.ascontiguousarray(kernel.reshape(-1, n_filters))
    out = np.empty((n, height, width, n_filters), np.float32)
    n_rows = max(1, BLOCK_NUMBERS // max(1, width * len(flat)))
    for one, into in zip(windows, out, strict=True):
        for begin in range(0, height, n_rows):
            block = one[begin : begin + n_rows].reshape(-1, len(flat))
            np.matmul(block, flat, out=into[begin : begin + n_rows].reshape(-1, n_filters))
    if len(weights) > 1:
        out += weights[1]
    if n_channels != x.shape[3]:
        raise ValueError("a convolution of other channels")
    out = _activate(out, numbers["activation"])
    return out[:, :, 0] if is_series else out


def _dense(read: list[Array], weights: list[Array], numbers: JsonObject) -> Array:
    out = read[0] @ weights[0]
    if len(weights) > 1:
        out = out + weights[1]
    return _activate(np.asarray(out), numbers["activation"])


def normalisation(weights: list[Array], numbers: JsonObject) -> tuple[Floats, Floats]:
    """Factor and shift of each channel of a batch normalisation with fixed statistics."""
    *learnt, mean, variance = weights
    factor = 1.0 / np.sqrt(variance.astype(np.float64) + numbers["epsilon"])
    if numbers["scale"]:
        factor = factor * learnt.pop(0)
    return factor, -mean * factor + (learnt.pop(0) if numbers["center"] else 0.0)


def _normalise(read: list[Array], weights: list[Array], numbers: JsonObject) -> Array:
    """Batch normalisation with fixed statistics; `numbers` says which of scale and centre it has."""
    x, axis = read[0], numbers["axis"]
    factor, shift = normalisation(weights, numbers)
    shape = [1] * x.ndim
    shape[axis] = -1
    out: Array = x * factor.astype(np.float32).reshape(shape)
    out += shift.astype(np.float32).reshape(shape)
    return out


def pool_windows(x: Array, numbers: JsonObject) -> list[Array]:
    """Views of the values at each place of the windows of a pooling, row by row; series stay series.

    Args:
        x: what the step reads.
        numbers: of the step.

    Raises:
        ValueError: a window is larger than its picture.
    """
    is_series, x = x.ndim == 3, _pictures(x)
    (rows, columns), (down, right) = numbers["size"], numbers["strides"]
    height = (x.shape[1] - rows) // down + 1
    width = (x.shape[2] - columns) // right + 1
    if min(height, width, rows, columns, down, right) < 1:
        raise ValueError("a pooling larger than its picture")
    windows = [
        x[:, i : i + (height - 1) * down + 1 : down, j : j + (width - 1) * right + 1 : right]
        for i in range(rows)
        for j in range(columns)
    ]
    return [window[:, :, 0] for window in windows] if is_series else windows


def _pool(read: list[Array], weights: list[Array], numbers: JsonObject) -> Array:
    """Maximum or mean of windows without padding."""
    windows = pool_windows(read[0], numbers)
    out: Array = windows[0].copy()
    for part in windows[1:]:
        if numbers["mean"]:
            out += part
        else:
            np.maximum(out, part, out=out)
    if numbers["mean"]:
        out /= len(windows)
    return out


def _reduce(read: list[Array], weights: list[Array], numbers: JsonObject) -> Array:
    axes = tuple(numbers["axes"])
    return np.asarray(read[0].mean(axis=axes) if numbers["mean"] else read[0].max(axis=axes))


def _gated_units(read: list[Array], weights: list[Array], numbers: JsonObject) -> Array:
    """GRU over time whose reset gate comes after the product (Keras' `reset_after`)."""
    kernel, recurrent, bias = weights
    n_units = len(recurrent)
    if (kernel.shape[1], *recurrent.shape[1:], *bias.shape) != (3 * n_units, 3 * n_units, 2, 3 * n_units):
        raise ValueError("a GRU whose weights do not fit each other")
    inputs = read[0] @ kernel + bias[0]
    state = np.zeros((len(inputs), n_units), np.float32)
    if not len(inputs):  # a trial: shapes alone, without the loop
        return np.zeros((0, inputs.shape[1], n_units), np.float32) if numbers["sequences"] else state
    states = []
    for step in range(inputs.shape[1]):
        z, r, h = np.split(inputs[:, step], 3, axis=1)
        own_z, own_r, own_h = np.split(state @ recurrent + bias[1], 3, axis=1)
        update, reset = _sigmoid(z + own_z), _sigmoid(r + own_r)
        state = update * state + (1 - update) * np.tanh(h + reset * own_h)
        states.append(state)
    return np.stack(states, axis=1) if numbers["sequences"] else state


def _sigmoid(x: Array) -> Array:
    return np.asarray(0.5 + 0.5 * np.tanh(0.5 * x))


def _cepstrum(read: list[Array], weights: list[Array], numbers: JsonObject) -> Array:
    """First coefficients of the orthonormal DCT-II over the bands."""
    n_bands, n_coefficients = read[0].shape[1], numbers["coefficients"]
    if not 0 < n_coefficients <= n_bands:
        raise ValueError("more coefficients than bands")
    return np.asarray(cosines(n_coefficients, n_bands) @ read[0])


def _reshape(read: list[Array], weights: list[Array], numbers: JsonObject) -> Array:
    shape = numbers["shape"]
    if math.prod(shape) != math.prod(read[0].shape[1:]) or min(shape) < 1:
        raise ValueError("a change of shape that changes the number of values")
    return read[0].reshape(len(read[0]), *shape)


def _pad(read: list[Array], weights: list[Array], numbers: JsonObject) -> Array:
    (top, bottom), (left, right) = numbers["padding"]
    return np.pad(read[0], ((0, 0), (top, bottom), (left, right), (0, 0)))


def _add(read: list[Array], weights: list[Array], numbers: JsonObject) -> Array:
    first, *others = read
    if any(other.shape != first.shape for other in others):
        raise ValueError("a sum of outputs of different shapes")
    return np.asarray(sum(others, first))


OPERATIONS: dict[str, Callable[[list[Array], list[Array], JsonObject], Array]] = {
    "activation": lambda read, weights, numbers: _activate(read[0].copy(), numbers["activation"]),
    "add": _add,
    "cepstrum": _cepstrum,
    "concatenate": lambda read, weights, numbers: np.concatenate(read, axis=numbers["axis"]),
    "convolution": _convolve,
    "dense": _dense,
    "flatten": lambda read, weights, numbers: read[0].reshape(len(read[0]), math.prod(read[0].shape[1:])),
    "gru": _gated_units,
    "normalisation": _normalise,
    "pad": _pad,
    "permute": lambda read, weights, numbers: read[0].transpose(0, *numbers["axes"]),
    "picture": lambda read, weights, numbers: picture(read[0], numbers),
    "pool": _pool,
    "reduce": _reduce,
    "reshape": _reshape,
}
"""Name → function of the arrays that a step reads, its weights and its numbers."""
