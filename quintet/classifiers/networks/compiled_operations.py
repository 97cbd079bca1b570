"""NumPy functions as operations of TensorFlow, for compiled loops on a CPU."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from quintet.classifiers.networks.backend import backend_name, device
from quintet.features.engine.warm_up import kernels_available

if TYPE_CHECKING:
    from keras import KerasTensor


def has_compiled_loops() -> bool:
    """Whether networks run where compiled loops pay: TensorFlow on a CPU, and a compiler that works."""
    return backend_name() == "tensorflow" and not device().is_gpu and kernels_available()


def numpy_operation(
    function: Callable[..., tuple[NDArray[np.float32], ...]],
    values: Sequence[KerasTensor],
    shapes: Sequence[tuple[int | None, ...]],
) -> list[KerasTensor]:
    """The results of a pure function of arrays, as float32 tensors of TensorFlow.

    TensorFlow takes over a result that begins at a multiple of 64 bytes, and copies any other.

    Args:
        function: gets an array per value, and returns a tuple of arrays.
        values: tensors.
        shapes: of the results, as far as they are known.
    """
    tensorflow = importlib.import_module("tensorflow")
    types = [tensorflow.float32] * len(shapes)
    outputs = tensorflow.numpy_function(function, values, types, stateful=False)
    results: list[KerasTensor] = tensorflow.nest.flatten(outputs)  # outside of a graph, one has no list
    for result, shape in zip(results, shapes, strict=True):
        result.set_shape(shape)
    return results
