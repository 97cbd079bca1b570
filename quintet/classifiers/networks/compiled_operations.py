"""NumPy functions as operations of TensorFlow, for compiled loops on a CPU."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from quintet.classifiers.networks.backend import backend_name, device
from quintet.features.engine.warm_up import kernels_available
from quintet.files.machine import job_count

if TYPE_CHECKING:
    from keras import KerasTensor

PART_BYTES = 2**21
"""Smallest part of a batch that is worth a thread: to wake one takes as long as half a megabyte of maps."""


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


def for_images(loop: Callable[[slice], None], maps: NDArray[np.float32]) -> None:
    """Call a compiled loop for parts of a batch, on all processors: it does not hold Python's lock.

    Args:
        loop: gets the images of a part. What it computes for an image must not depend on the part.
        maps: what it reads or writes, an image per row.

    Example:
        >>> maps = np.arange(4, dtype=np.float32)
        >>> squares = np.zeros(4)
        >>> for_images(lambda part: np.square(maps[part], out=squares[part]), maps)
        >>> squares.tolist()
        [0.0, 1.0, 4.0, 9.0]
    """
    n_parts = max(1, min(job_count(-1), len(maps), maps.nbytes // PART_BYTES))
    bounds = [len(maps) * part // n_parts for part in range(n_parts + 1)]
    first, *others = [slice(*ends) for ends in pairwise(bounds)]
    waiting = [_threads().submit(loop, part) for part in others]
    loop(first)
    for part in waiting:
        part.result()


@lru_cache(maxsize=1)
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(job_count(-1), thread_name_prefix="quintet-loops")
