"""Arrays in .npz files, and their digest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

StoredArray = NDArray[np.generic]


def read_arrays(path: Path) -> dict[str, StoredArray]:
    """Arrays of an .npz file: name → array. Refuses object arrays, which are pickles.

    Raises:
        ValueError: for an object array or a damaged file.
    """
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        return dict(arrays)


def arrays_digest(arrays: Iterable[NDArray[np.floating]]) -> str:
    """SHA-256 of data types, shapes and values, as 64 hex digits."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
