"""Columns of songs as bytes that a browser reads without parsing: typed arrays behind a small header of JSON.

The first four bytes are the length of the header (little-endian); the header says the type, the place and the
length of each array. Arrays begin at multiples of eight bytes, so that the browser maps them and copies
nothing. Texts are one array of UTF-8, with a line break between two of them.

Arrow imports pandas to turn its arrays into those of NumPy and back, which takes as long as all that the page
needs at first. So numbers are read from the memory of Arrow here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from quintet.files.display.names import printable
from quintet.files.json_types import JsonObject

MISSING = -1
"""Code of a value that is missing, and number in place of one."""
TYPES = {"u1": np.uint8, "u2": np.uint16, "i4": np.int32, "f4": np.float32}
ALIGNED = 8


def pack(header: JsonObject, arrays: Mapping[str, NDArray[np.generic]]) -> bytes:
    """Header and arrays as bytes.

    Args:
        header: an object of JSON. The key `arrays` is added: name → [type, offset, length].
        arrays: name → array of one axis, of one of `TYPES`.

    Example:
        >>> data = pack({}, {"x": np.array([258], np.uint16)})
        >>> data[-8:-6], int.from_bytes(data[:4], "little")
        (b'\\x02\\x01', 27)
    """
    names = {np.dtype(kind): name for name, kind in TYPES.items()}
    places, parts, offset = {}, [], 0
    for name, array in arrays.items():
        data = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
        places[name] = [names[array.dtype], offset, len(array)]
        parts.append(data + bytes(-len(data) % ALIGNED))
        offset += len(parts[-1])
    text = json.dumps({**header, "arrays": places}, allow_nan=False, separators=(",", ":")).encode()
    begin = len(text).to_bytes(4, "little") + text
    return b"".join([begin, bytes(-len(begin) % ALIGNED), *parts])


def shown_texts(column: pa.ChunkedArray) -> list[str]:
    """Texts of strangers, each on one line and without control characters; empty where one is missing."""
    return [printable(text) if text else "" for text in column.to_pylist()]


def text_array(column: pa.ChunkedArray) -> NDArray[np.uint8]:
    """The shown texts of a column as one array."""
    return np.frombuffer("\n".join(shown_texts(column)).encode(), np.uint8)


def codes(column: pa.ChunkedArray) -> tuple[list[str], NDArray[np.int32]]:
    """Each shown value once, and the number of the value of each song; `MISSING` where there is none."""
    encoded = column.combine_chunks().dictionary_encode()
    return shown_texts(encoded.dictionary), whole_numbers(encoded.indices)


def whole_numbers(column: pa.Array | pa.ChunkedArray) -> NDArray[np.int32]:
    """Whole numbers; `MISSING` where one is missing."""
    return numbers(column).astype(np.int32)


def numbers(column: pa.Array | pa.ChunkedArray) -> NDArray[np.float64]:
    """Numbers; `MISSING` where one is missing or infinite."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    array = array.cast(pa.float64())
    valid, data = array.buffers()
    if not len(array):
        return np.empty(0)
    values = np.frombuffer(data, np.float64)[array.offset :][: len(array)]
    if array.null_count:
        bits = np.unpackbits(np.frombuffer(valid, np.uint8), bitorder="little")
        values = np.where(bits[array.offset :][: len(array)] == 1, values, MISSING)
    return np.nan_to_num(values, nan=MISSING, posinf=MISSING, neginf=MISSING)
