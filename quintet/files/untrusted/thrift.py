"""Structures in the compact protocol of Thrift, which parquet's footer and page headers are written in.

Source: Apache Thrift, thrift-compact-protocol.md.
"""

from __future__ import annotations

MOST_DEPTH = 12
"""Levels of structures and lists inside one another."""

_TRUE, _FALSE, _BYTE, _DOUBLE, _TEXT, _LIST, _SET, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 12
_VARINTS = (4, 5, 6)

Structure = dict[int, object]
"""Number of a field → its value: an int, a bool, bytes, a list or a structure."""


def read_structure(data: bytes, position: int = 0, depth: int = 0) -> tuple[Structure, int]:
    """A structure, and the position after it.

    Args:
        data: bytes that begin with it, or that hold it.
        position: where it begins.
        depth: levels of structures around it.

    Raises:
        ValueError: it ends too early, is nested too deeply, or has a value of an unknown kind.

    Example:
        >>> read_structure(bytes([0x15, 0x06, 0x18, 2, 104, 105, 0]))
        ({1: 3, 2: b'hi'}, 7)
    """
    if depth > MOST_DEPTH:
        raise ValueError("its description is nested too deeply")
    fields: Structure = {}
    number = 0
    try:
        while True:
            head = data[position]
            position += 1
            kind, step = head & 0x0F, head >> 4
            if kind == 0:
                return fields, position
            if step:
                number += step
            else:
                number, position = _zigzag(data, position)
            if kind in (_TRUE, _FALSE):  # the value is in the header of the field
                fields[number] = kind == _TRUE
            else:
                fields[number], position = _read_value(data, position, kind, depth)
    except IndexError:
        raise ValueError("its description ends too early") from None


def _read_value(data: bytes, position: int, kind: int, depth: int) -> tuple[object, int]:
    """A value inside a structure or a list, and the position after it."""
    if kind in _VARINTS:
        return _zigzag(data, position)
    if kind == _TEXT:
        length, position = _varint(data, position)
        end = position + length
        if end > len(data):
            raise IndexError
        return data[position:end], end
    if kind in (_LIST, _SET):
        return _read_list(data, position, depth)
    if kind == _STRUCT:
        return read_structure(data, position, depth + 1)
    if kind in (_BYTE, _TRUE, _FALSE):
        return data[position], position + 1
    if kind == _DOUBLE:
        return data[position : position + 8], position + 8
    raise ValueError("its description has a value of an unknown kind")


def _read_list(data: bytes, position: int, depth: int) -> tuple[list[object], int]:
    head = data[position]
    length, kind, position = head >> 4, head & 0x0F, position + 1
    if length == 15:
        length, position = _varint(data, position)
    if length > len(data) - position or depth >= MOST_DEPTH:  # each element takes one byte or more
        raise ValueError("its description ends too early, or is nested too deeply")
    values: list[object] = []
    for _ in range(length):
        value, position = _read_value(data, position, kind, depth + 1)
        values.append(value)
    return values, position


def _varint(data: bytes, position: int) -> tuple[int, int]:
    byte = data[position]
    if byte < 0x80:
        return byte, position + 1
    value, shift = byte & 0x7F, 7
    while True:
        position += 1
        byte = data[position]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position + 1
        shift += 7
        if shift > 63:
            raise ValueError("a number in its description is too long")


def _zigzag(data: bytes, position: int) -> tuple[int, int]:
    byte = data[position]
    if byte < 0x80:
        return (byte >> 1) ^ -(byte & 1), position + 1
    value, position = _varint(data, position)
    return (value >> 1) ^ -(value & 1), position
