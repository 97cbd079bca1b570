"""Universal Binary JSON, the format of XGBoost's models: a reader and a writer.

The reader never allocates more than the file has bytes for, and refuses deep nesting. Typed arrays become
NumPy arrays.

Source: the specification at ubjson.org, draft 12, with the length of every text and array as XGBoost writes
it.
"""

from __future__ import annotations

import struct

import numpy as np

from quintet.files.untrusted import limits
from quintet.files.untrusted.arrays import StoredArray

TYPES = {"i": ">i1", "U": ">u1", "I": ">i2", "l": ">i4", "L": ">i8", "d": ">f4", "D": ">f8"}
"""Marker → type of the numbers."""

_LAYOUTS = {
    marker: struct.Struct(f">{code}")
    for marker, code in zip(TYPES, ("b", "B", "h", "i", "q", "f", "d"), strict=True)
}
_MARKERS = {np.dtype(code).newbyteorder("="): marker for marker, code in TYPES.items()}
_CONSTANTS: dict[str, bool | None] = {"Z": None, "T": True, "F": False}


def decode(data: bytes) -> object:
    """Content of a UBJSON file: objects, lists, texts, numbers, booleans, None, and arrays of numbers.

    Raises:
        ValueError: if the content is not UBJSON, repeats a key, or is nested deeper than `limits.JSON_DEPTH`.

    Example:
        >>> decode(encode({"trees": [1, "two"], "depth": np.array([3, 4], np.int32)}))
        {'trees': [1, 'two'], 'depth': array([3, 4], dtype=int32)}
    """
    reader = _Reader(data)
    content = reader.value(reader.marker(), depth=0)
    if reader.position != len(data):
        raise ValueError("there are bytes after its end")
    return content


def encode(content: object) -> bytes:
    """UBJSON of what `decode` returns."""
    parts: list[bytes] = []
    _encode(content, parts)
    return b"".join(parts)


class _Reader:
    """Position in a UBJSON file."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0

    def take(self, n_bytes: int) -> bytes:
        end = self.position + n_bytes
        if n_bytes < 0 or end > len(self.data):
            raise ValueError("it ends within a value")
        part = self.data[self.position : end]
        self.position = end
        return part

    def marker(self) -> str:
        return self.take(1).decode("latin-1")

    def number(self, marker: str) -> int | float:
        if marker not in TYPES:
            raise ValueError(f"there is {marker!r} where a number must be")
        layout = _LAYOUTS[marker]
        value: int | float = layout.unpack(self.take(layout.size))[0]
        return value

    def length(self) -> int:
        length = self.number(self.marker())
        if not isinstance(length, int) or not 0 <= length <= len(self.data) - self.position:
            raise ValueError(f"a length of {length} is impossible")
        return length

    def text(self) -> str:
        return self.take(self.length()).decode("utf-8")

    def value(self, marker: str, depth: int) -> object:
        if marker in _CONSTANTS:
            return _CONSTANTS[marker]
        if marker == "S":
            return self.text()
        if marker == "[":
            return self.array(depth + 1)
        if marker == "{":
            return self.object(depth + 1)
        return self.number(marker)

    def array(self, depth: int) -> list[object] | StoredArray:
        _require_depth(depth)
        kind, length = self.container()
        if kind is not None and length is not None:
            if kind not in TYPES:
                raise ValueError(f"an array of {kind!r} is unknown")
            stored = np.dtype(TYPES[kind])
            values = np.frombuffer(self.take(length * stored.itemsize), dtype=stored)
            return values.astype(stored.newbyteorder("="))
        result: list[object] = []
        while length is None or len(result) < length:
            marker = self.marker()
            if length is None and marker == "]":
                break
            result.append(self.value(marker, depth))
        return result

    def object(self, depth: int) -> dict[str, object]:
        _require_depth(depth)
        kind, length = self.container()
        if kind is not None:
            raise ValueError("an object of one type is unknown")
        result: dict[str, object] = {}
        while length is None or len(result) < length:
            if length is None and self.data[self.position : self.position + 1] == b"}":
                self.position += 1
                break
            key = self.text()
            if key in result:
                raise ValueError(f"the key {key[:60]!r} is there twice")
            result[key] = self.value(self.marker(), depth)
        return result

    def container(self) -> tuple[str | None, int | None]:
        """Type and length in front of a list or object, if they are given."""
        kind = None
        if self.data[self.position : self.position + 1] == b"$":
            self.position += 1
            kind = self.marker()
        if self.data[self.position : self.position + 1] == b"#":
            self.position += 1
            return kind, self.length()
        if kind is not None:
            raise ValueError("a list of one type has no length")
        return None, None


def _require_depth(depth: int) -> None:
    if depth > limits.JSON_DEPTH:
        raise ValueError(f"it is nested deeper than {limits.JSON_DEPTH} levels")


def _encode(content: object, parts: list[bytes]) -> None:
    if isinstance(content, dict):
        parts.append(b"{")
        for key, value in content.items():
            parts.append(_length_and_text(key))
            _encode(value, parts)
        parts.append(b"}")
    elif isinstance(content, np.ndarray):
        marker = _MARKERS[content.dtype]
        values = content.astype(TYPES[marker]).tobytes()
        parts.append(f"[${marker}#".encode() + _length(len(content)) + values)
    elif isinstance(content, list):
        parts.append(b"[#" + _length(len(content)))
        for value in content:
            _encode(value, parts)
    elif isinstance(content, str):
        parts.append(b"S" + _length_and_text(content))
    elif content is None or isinstance(content, bool):
        parts.append({None: b"Z", True: b"T", False: b"F"}[content])
    elif isinstance(content, int):
        parts.append(_length(content))
    elif isinstance(content, float):
        parts.append(b"D" + struct.pack(">d", content))
    else:
        raise ValueError(f"a {type(content).__name__} cannot be written")


def _length(value: int) -> bytes:
    return b"L" + struct.pack(">q", value)


def _length_and_text(text: str) -> bytes:
    content = text.encode("utf-8")
    return _length(len(content)) + content
