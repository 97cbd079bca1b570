"""The steps of a fitted network, read off its Keras layers, for `quintet.frozen.network`.

Layers are known by the names of their classes. A network with another layer, or with a setting of a layer
that the steps do not have, has no steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from quintet.classifiers.array_files import StoredArray, arrays_digest
from quintet.classifiers.networks.keras_types import KerasModel
from quintet.files.json_types import JsonObject

Described = tuple[str, list[Any], JsonObject]
"""Operation, variables and numbers of a layer."""


class UnknownLayerError(ValueError):
    """A layer that has no step."""


def network_steps(model: KerasModel, weights: Mapping[str, StoredArray]) -> list[JsonObject]:
    """The steps of a network, in their order.

    Args:
        model: the fitted network.
        weights: the arrays of its file of weights, by name. A step names an array by its content.

    Returns:
        Objects with `operation`, `inputs`, `weights` and `numbers`, see `quintet.frozen.network.Step`.

    Raises:
        UnknownLayerError: a layer has no step.
    """
    names = {arrays_digest([np.asarray(values, np.float32)]): name for name, values in weights.items()}
    steps: list[JsonObject] = []
    _add_layers(model, {}, 0, names, steps)
    return steps


def _add_layers(
    model: Any, outputs: dict[int, int], entry: int, names: Mapping[str, str], steps: list[JsonObject]
) -> int:
    """Add the steps of all layers of a model that reads output `entry`; returns the number of its output.

    Args:
        model: the network, or a network that is one of its layers.
        outputs: by the identity of a layer, the number of its output.
        entry: the output that the model reads.
        names: digest of an array → its name in the file of weights.
        steps: where the steps are added.
    """
    last = entry
    for layer in model.layers:
        nodes = layer._inbound_nodes
        if type(layer).__name__ == "InputLayer":
            outputs[id(layer)] = entry
            continue
        if len(nodes) != 1:
            raise UnknownLayerError(f"the layer '{layer.name}' is used {len(nodes)} times")
        read = [outputs[id(tensor._keras_history.operation)] for tensor in nodes[0].input_tensors]
        if hasattr(layer, "layers"):
            last = _add_layers(layer, outputs, read[0], names, steps)
        elif "Dropout" in type(layer).__name__ or type(layer).__name__ == "Identity":
            last = read[0]
        else:
            for operation, variables, numbers in _describe(layer):
                own = [arrays_digest([np.asarray(variable, np.float32)]) for variable in variables]
                own_names = [names[digest] for digest in own]
                step = {"operation": operation, "inputs": read, "weights": own_names, "numbers": numbers}
                steps.append(step)
                last = len(steps)
                read = [last]
        outputs[id(layer)] = last
    return last


def _describe(layer: Any) -> list[Described]:
    """The steps of one layer: what follows a normalisation in the same layer has steps of its own."""
    kind = type(layer).__name__
    if kind not in _LAYERS:
        raise UnknownLayerError(f"the layer '{layer.name}' ({kind})")
    step = _LAYERS[kind](layer)
    return [step, *_POOLED] if getattr(layer, "is_pooled", False) else [step]


def _activation(layer: Any) -> str:
    name = str(layer.get_config().get("activation", "linear"))
    if name not in ("linear", "relu", "elu"):
        raise UnknownLayerError(f"the activation '{name}' of the layer '{layer.name}'")
    return name


def _rectifier(layer: Any) -> Described:
    settings = layer.get_config()
    if settings["max_value"] is not None or settings["negative_slope"] or settings["threshold"]:
        raise UnknownLayerError(f"the settings of the layer '{layer.name}'")
    return "activation", [], {"activation": "relu"}


def _variables(layer: Any) -> list[Any]:
    return [layer.kernel] if layer.bias is None else [layer.kernel, layer.bias]


def _convolution(layer: Any) -> Described:
    settings = layer.get_config()
    is_plain = set(settings["dilation_rate"]) == {1} and settings["groups"] == 1
    if not is_plain or settings["data_format"] != "channels_last" or settings["padding"] == "causal":
        raise UnknownLayerError(f"the settings of the layer '{layer.name}'")
    numbers: JsonObject = {
        "strides": _two(settings["strides"]),
        "padding": settings["padding"],
        "activation": _activation(layer),
    }
    return "convolution", _variables(layer), numbers


def _normalisation(layer: Any) -> Described:
    settings = layer.get_config()
    axis = settings["axis"]
    numbers: JsonObject = {
        "axis": int(axis[0] if isinstance(axis, list | tuple) else axis),
        "epsilon": float(settings["epsilon"]),
        "scale": bool(settings["scale"]),
        "center": bool(settings["center"]),
    }
    learnt = [layer.gamma] if numbers["scale"] else []
    learnt += [layer.beta] if numbers["center"] else []
    return "normalisation", [*learnt, layer.moving_mean, layer.moving_variance], numbers


def _pool(layer: Any) -> Described:
    settings = layer.get_config()
    if settings["padding"] != "valid" or settings["data_format"] != "channels_last":
        raise UnknownLayerError(f"the settings of the layer '{layer.name}'")
    numbers: JsonObject = {
        "size": _two(settings["pool_size"]),
        "strides": _two(settings["strides"]),
        "mean": type(layer).__name__.startswith("Average"),
    }
    return "pool", [], numbers


def _reduction(layer: Any) -> Described:
    settings = layer.get_config()
    if settings["keepdims"] or settings["data_format"] != "channels_last":
        raise UnknownLayerError(f"the settings of the layer '{layer.name}'")
    kind = type(layer).__name__
    return "reduce", [], {"axes": [1, 2] if kind.endswith("2D") else [1], "mean": "Average" in kind}


def _gated_units(layer: Any) -> Described:
    settings = layer.get_config()
    wanted = {
        "activation": "tanh",
        "recurrent_activation": "sigmoid",
        "use_bias": True,
        "go_backwards": False,
        "reset_after": True,
        "stateful": False,
        "return_state": False,
    }
    if any(settings[name] != value for name, value in wanted.items()):
        raise UnknownLayerError(f"the settings of the layer '{layer.name}'")
    cell = layer.cell
    variables = [cell.kernel, cell.recurrent_kernel, cell.bias]
    return "gru", variables, {"sequences": bool(settings["return_sequences"])}


def _picture(layer: Any) -> Described:
    colours = "jet" if layer.preprocessing == "paper" else layer.order
    return "picture", [], {"size": int(layer.size), "colours": colours}


def _shape(layer: Any) -> Described:
    return "reshape", [], {"shape": [int(length) for length in layer.output.shape[1:]]}


def _padding(layer: Any) -> Described:
    settings = layer.get_config()
    return "pad", [], {"padding": [list(map(int, pair)) for pair in settings["padding"]]}


def _two(lengths: Any) -> list[int]:
    """Lengths of two axes; a layer over time has one, and 1 is the other."""
    values = [lengths] if isinstance(lengths, int) else list(lengths)
    return [int(value) for value in [*values, 1][:2]]


_POOLED: tuple[Described, ...] = (
    ("pool", [], {"size": [2, 2], "strides": [2, 2], "mean": False}),
    ("activation", [], {"activation": "relu"}),
)
"""Steps of `normalization.BatchNormalization` after the normalisation, if it is pooled."""

_LAYERS: dict[str, Callable[[Any], Described]] = {
    "Activation": lambda layer: ("activation", [], {"activation": _activation(layer)}),
    "Add": lambda layer: ("add", [], {}),
    "AveragePooling2D": _pool,
    "BandMean": lambda layer: ("reduce", [], {"axes": [2], "mean": True}),
    "BatchNormalization": _normalisation,
    "Cepstrum": lambda layer: ("cepstrum", [], {"coefficients": int(layer.n_mfcc)}),
    "Concatenate": lambda layer: ("concatenate", [], {"axis": int(layer.axis)}),
    "Conv1D": _convolution,
    "Conv2D": _convolution,
    "Dense": lambda layer: ("dense", _variables(layer), {"activation": _activation(layer)}),
    "Flatten": lambda layer: ("flatten", [], {}),
    "GRU": _gated_units,
    "GlobalAveragePooling1D": _reduction,
    "GlobalAveragePooling2D": _reduction,
    "GlobalMaxPooling1D": _reduction,
    "MaxPooling1D": _pool,
    "MaxPooling2D": _pool,
    "Permute": lambda layer: ("permute", [], {"axes": [int(axis) for axis in layer.dims]}),
    "Picture": _picture,
    "ReLU": _rectifier,
    "Reshape": _shape,
    "ZeroPadding2D": _padding,
}
"""Name of the class of a layer → its step."""
