"""Arrays that are stored, and their digest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from quintet.files.untrusted.arrays import StoredArray

__all__ = ["StoredArray", "arrays_digest"]


def arrays_digest(arrays: Iterable[NDArray[np.floating]]) -> str:
    """SHA-256 of data types, shapes and values, as 64 hex digits."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
