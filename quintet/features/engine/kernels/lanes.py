"""Rows of eight numbers: types and memory, without numba."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

LANES = 8
"""Frames per value."""

Doubles = NDArray[np.float64]
Singles = NDArray[np.float32]
Integers = NDArray[np.int64]
Rows = NDArray[np.float64] | NDArray[np.float32]
Number = float | np.floating
Float = TypeVar("Float", bound=np.floating)

_address_of = ctypes.addressof
_view: Callable[[Any], Any] = (ctypes.c_char * 0).from_buffer


def address(array: NDArray[np.generic]) -> int:
    """Address of the first byte of an array, in a quarter of the time of `array.ctypes.data`.

    Raises:
        TypeError: the array is read-only or not contiguous.
    """
    return _address_of(_view(array))


@overload
def lane_rows(n: int) -> Doubles: ...
@overload
def lane_rows(n: int, dtype: type[Float]) -> NDArray[Float]: ...
def lane_rows(n: int, dtype: type[np.floating] = np.float64) -> NDArray[np.floating]:
    """Uninitialised memory for `n` values: shape `(n, 8)`, aligned to a cache line (64 bytes).

    Example:
        >>> lane_rows(3).shape
        (3, 8)
    """
    size = n * LANES * np.dtype(dtype).itemsize
    memory = np.empty(size + 64, np.uint8)
    start = -address(memory) % 64
    return memory[start : start + size].view(dtype).reshape(n, LANES)
