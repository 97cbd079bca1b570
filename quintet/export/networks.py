"""Networks as ONNX models: from patches of log-mel spectrograms to probabilities."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from quintet.export.graph import Graph
from quintet.files.json_types import JsonObject
from quintet.frozen.members import FrozenNetwork
from quintet.frozen.network import OPERATIONS, normalisation, same_padding
from quintet.frozen.pictures import BGR_MEAN, RGB_MEAN, RGB_STD, cosines, resampling

if TYPE_CHECKING:
    import onnx

Array = NDArray[np.float32]
Shape = tuple[int, ...]
PATCHES, PROBABILITIES = "patches", "probabilities"
CHANNELS_FIRST, CHANNELS_LAST = {3: [0, 2, 1], 4: [0, 3, 1, 2]}, {3: [0, 2, 1], 4: [0, 2, 3, 1]}
"""Order of the axes of series (3) and pictures (4), for ONNX and back."""


def network_model(member: FrozenNetwork, n_classes: int) -> onnx.ModelProto:
    """A network: patches `(n, bands, frames)` in dB, float32 → probabilities of patches `(n, K)`, float64.

    Args:
        member: the member.
        n_classes: K.
    """
    graph = Graph()
    shape = (len(member.statistics.mean), member.settings.patch_frames)
    patches = graph.input(PATCHES, np.float32, ["n", *shape])
    centred = graph.node("Sub", patches, graph.constant(member.statistics.mean, np.float32))
    standard = graph.node("Div", centred, graph.constant(member.statistics.std, np.float32))
    values = {0: standard}
    shapes: dict[int, Shape] = {0: shape}
    for k, step in enumerate(member.network.steps, start=1):
        weights = [member.network.weights[name] for name in step.weights]
        read = [values[number] for number in step.inputs]
        own = [shapes[number] for number in step.inputs]
        values[k] = CONVERSIONS[step.operation](graph, read, own, weights, step.numbers)
        nothing = [np.empty((0, *sizes), np.float32) for sizes in own]
        shapes[k] = OPERATIONS[step.operation](nothing, weights, step.numbers).shape[1:]
    logits = graph.cast(values[len(member.network.steps)], np.float64)
    probabilities = (
        graph.node("Sigmoid", logits) if member.multilabel else graph.node("Softmax", logits, axis=1)
    )
    graph.output(probabilities, PROBABILITIES, np.float64, ["n", n_classes])
    return graph.model({"quintet": "patches of log-mel spectrograms → probabilities"})


def _numbers(graph: Graph, values: object) -> str:
    return graph.constant(values, np.float32)


def _sizes(graph: Graph, values: list[int]) -> str:
    return graph.constant(values, np.int64)


def _activate(graph: Graph, value: str, name: str) -> str:
    return value if name == "linear" else graph.node({"relu": "Relu", "elu": "Elu"}[name], value)


def _convolve(
    graph: Graph, read: list[str], shapes: list[Shape], weights: list[Array], numbers: JsonObject
) -> str:
    kernel, *bias = weights
    n_axes = kernel.ndim - 2
    pads = [(0, 0)] * n_axes
    strides = list(numbers["strides"][:n_axes])
    if numbers["padding"] == "same":
        sizes = zip(shapes[0][:n_axes], kernel.shape[:n_axes], strides, strict=True)
        pads = [same_padding(*size) for size in sizes]
    turned = kernel.transpose(n_axes + 1, n_axes, *range(n_axes))
    arguments = [_turn(graph, read[0], n_axes + 2), _numbers(graph, turned)]
    arguments += [_numbers(graph, values) for values in bias]
    before, after = zip(*pads, strict=True)
    out = graph.node("Conv", *arguments, strides=strides, pads=[*before, *after])
    out = graph.node("Transpose", out, perm=CHANNELS_LAST[n_axes + 2])
    return _activate(graph, out, numbers["activation"])


def _turn(graph: Graph, value: str, rank: int) -> str:
    return graph.node("Transpose", value, perm=CHANNELS_FIRST[rank])


def _dense(
    graph: Graph, read: list[str], shapes: list[Shape], weights: list[Array], numbers: JsonObject
) -> str:
    out = graph.node("MatMul", read[0], _numbers(graph, weights[0]))
    if len(weights) > 1:
        out = graph.node("Add", out, _numbers(graph, weights[1]))
    return _activate(graph, out, numbers["activation"])


def _normalise(
    graph: Graph, read: list[str], shapes: list[Shape], weights: list[Array], numbers: JsonObject
) -> str:
    factor, shift = normalisation(weights, numbers)
    shape = [1] * (len(shapes[0]) + 1)
    shape[numbers["axis"]] = -1
    scaled = graph.node("Mul", read[0], _numbers(graph, factor.reshape(shape)))
    return graph.node("Add", scaled, _numbers(graph, np.asarray(shift).reshape(shape)))


def _pool(
    graph: Graph, read: list[str], shapes: list[Shape], weights: list[Array], numbers: JsonObject
) -> str:
    n_axes = len(shapes[0]) - 1
    operation = "AveragePool" if numbers["mean"] else "MaxPool"
    size, strides = list(numbers["size"][:n_axes]), list(numbers["strides"][:n_axes])
    turned = _turn(graph, read[0], n_axes + 2)
    out = graph.node(operation, turned, kernel_shape=size, strides=strides)
    return graph.node("Transpose", out, perm=CHANNELS_LAST[n_axes + 2])


def _reduce(
    graph: Graph, read: list[str], shapes: list[Shape], weights: list[Array], numbers: JsonObject
) -> str:
    operation = "ReduceMean" if numbers["mean"] else "ReduceMax"
    return graph.node(operation, read[0], axes=list(numbers["axes"]), keepdims=0)


def _recur(
    graph: Graph, read: list[str], shapes: list[Shape], weights: list[Array], numbers: JsonObject
) -> str:
    kernel, recurrent, bias = weights
    arguments = [
        graph.node("Transpose", read[0], perm=[1, 0, 2]),
        _numbers(graph, kernel.T[None]),
        _numbers(graph, recurrent.T[None]),
        _numbers(graph, bias.reshape(1, -1)),
    ]
    settings: dict[str, Any] = {"hidden_size": len(recurrent), "linear_before_reset": 1}
    if numbers["sequences"]:
        states = graph.node("Squeeze", graph.node("GRU", *arguments, **settings), _sizes(graph, [1]))
        return graph.node("Transpose", states, perm=[1, 0, 2])
    return graph.node("Squeeze", graph.second_output("GRU", *arguments, **settings), _sizes(graph, [0]))


def _picture(
    graph: Graph, read: list[str], shapes: list[Shape], weights: list[Array], numbers: JsonObject
) -> str:
    n_bands, n_frames = shapes[0]
    limited = graph.node("Clip", read[0], _numbers(graph, -3.0), _numbers(graph, 3.0))
    upright = graph.node("Gather", limited, _sizes(graph, list(range(n_bands))[::-1]), axis=1)
    scaled = graph.node("Div", graph.node("Add", upright, _numbers(graph, 3.0)), _numbers(graph, 6.0))
    rows, columns = resampling(n_bands, numbers["size"]), resampling(n_frames, numbers["size"]).T
    grey = graph.node("MatMul", graph.node("MatMul", _numbers(graph, rows), scaled), _numbers(graph, columns))

    def line(slope: float, offset: float) -> str:
        return graph.node("Add", graph.node("Mul", grey, _numbers(graph, slope)), _numbers(graph, offset))

    if numbers["colours"] == "jet":
        rise_fall = [
            (line(1 / 0.31, -0.35 / 0.31), line(-0.5 / 0.11, 1.0 + 0.89 * 0.5 / 0.11)),
            (line(1 / 0.25, -0.125 / 0.25), line(-1 / 0.27, 0.91 / 0.27)),
            (line(0.5 / 0.11, 0.5), line(-1 / 0.31, 0.65 / 0.31)),
        ]
        rise_fall[0] = (graph.node("Min", rise_fall[0][0], _numbers(graph, 1.0)), rise_fall[0][1])
        zero, one = _numbers(graph, 0.0), _numbers(graph, 1.0)
        colours = [graph.node("Clip", graph.node("Min", *pair), zero, one) for pair in rise_fall]
    elif numbers["colours"] == "bgr":
        colours = [line(255.0, -mean) for mean in BGR_MEAN]
    else:
        colours = [line(1 / std, -mean / std) for mean, std in zip(RGB_MEAN, RGB_STD, strict=True)]
    last = _sizes(graph, [3])
    return graph.node("Concat", *(graph.node("Unsqueeze", colour, last) for colour in colours), axis=3)


def _pad(
    graph: Graph, read: list[str], shapes: list[Shape], weights: list[Array], numbers: JsonObject
) -> str:
    (top, bottom), (left, right) = numbers["padding"]
    return graph.node("Pad", read[0], _sizes(graph, [0, top, left, 0, 0, bottom, right, 0]))


def _cepstrum(
    graph: Graph, read: list[str], shapes: list[Shape], weights: list[Array], numbers: JsonObject
) -> str:
    return graph.node("MatMul", _numbers(graph, cosines(numbers["coefficients"], shapes[0][0])), read[0])


Convert = Callable[[Graph, list[str], list[Shape], list[Array], JsonObject], str]
CONVERSIONS: dict[str, Convert] = {
    "activation": lambda graph, read, shapes, weights, n: _activate(graph, read[0], n["activation"]),
    "add": lambda graph, read, shapes, weights, n: graph.node("Sum", *read),
    "cepstrum": _cepstrum,
    "concatenate": lambda graph, read, shapes, weights, n: graph.node("Concat", *read, axis=n["axis"]),
    "convolution": _convolve,
    "dense": _dense,
    "flatten": lambda graph, read, shapes, weights, n: graph.node("Reshape", read[0], _sizes(graph, [0, -1])),
    "gru": _recur,
    "normalisation": _normalise,
    "pad": _pad,
    "permute": lambda graph, read, shapes, weights, n: graph.node("Transpose", read[0], perm=[0, *n["axes"]]),
    "picture": _picture,
    "pool": _pool,
    "reduce": _reduce,
    "reshape": lambda graph, read, shapes, weights, n: graph.node(
        "Reshape", read[0], _sizes(graph, [0, *n["shape"]])
    ),
}
"""Operation of a frozen network → its nodes. The keys are those of `frozen.network.OPERATIONS`."""
