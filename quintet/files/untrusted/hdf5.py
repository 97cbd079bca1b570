"""HDF5 files of Keras' weights, read without the C library.

A file of weights has groups, and datasets of numbers that lie in the file in one piece. Nothing else is read:
no links (soft, external, or two names of one object), no external files, no virtual datasets, no chunks and
no compression. So a file gives no more bytes than it has, and it cannot name another one.

Source: HDF5 File Format Specification 3.0, with the structures of version 0 that h5py writes by default.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from quintet.files.untrusted import limits
from quintet.files.untrusted.arrays import StoredArray

SIGNATURE = b"\x89HDF\r\n\x1a\n"
MOST_LEVELS = 32
"""Groups within groups, and levels of the tree of one group."""

MOST_AXES = 8
MOST_MESSAGES = 256
_NOWHERE = (1 << 64) - 1
_SYMBOL_TABLE, _DATASPACE, _DATATYPE, _LAYOUT, _CONTINUATION = 0x11, 0x01, 0x03, 0x08, 0x10
_IGNORED = frozenset({0x00, 0x04, 0x05, 0x0C, 0x0D, 0x0E, 0x12})
"""Messages without effect on the values: fill values, attributes, comments, times."""

_FORBIDDEN = {
    0x02: "link information",
    0x06: "a link",
    0x07: "an external file",
    0x0B: "a compressed dataset",
    0x0A: "group information",
    0x15: "attribute information",
}


@dataclass(frozen=True)
class _Message:
    """Message in the header of an object: its type, flags and content."""

    kind: int
    flags: int
    content: bytes


def is_version_0(head: bytes) -> bool:
    """Whether a file begins like HDF5 with the structures that `read_weights` knows."""
    return head[:8] == SIGNATURE and head[8:9] == b"\0"


def read_weights(data: bytes) -> dict[str, StoredArray]:
    """Datasets of an HDF5 file: path → array, a view of `data` that cannot be written.

    Raises:
        ValueError: if the file is damaged, or has anything but groups and datasets of numbers.
    """
    if not is_version_0(data):
        raise ValueError("it is no HDF5 file as h5py writes it by default")
    if len(data) < 96 or data[13:15] != b"\x08\x08":
        raise ValueError("its addresses have another width than 8 bytes")
    base, root = struct.unpack_from("<Q", data, 24)[0], struct.unpack_from("<Q", data, 64)[0]
    if base != 0:
        raise ValueError("its addresses do not start at 0")
    reader = _Reader(data)
    reader.group(reader.header(root), "", level=0)
    if sum(array.nbytes for array in reader.arrays.values()) > len(data):
        raise ValueError("its datasets overlap")
    return reader.arrays


class _Reader:
    """Walk through the objects of one file. No object is visited twice."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.visited: set[int] = set()
        self.arrays: dict[str, StoredArray] = {}

    def bytes_at(self, address: int, length: int) -> bytes:
        if address < 0 or length < 0 or address + length > len(self.data):
            raise ValueError("an address lies outside the file")
        return self.data[address : address + length]

    def number(self, address: int, layout: str) -> int:
        value: int = struct.unpack(layout, self.bytes_at(address, struct.calcsize(layout)))[0]
        return value

    def visit(self, address: int) -> None:
        if address in self.visited:
            raise ValueError("two names lead to one object")
        self.visited.add(address)
        if len(self.visited) > limits.ENTRIES:
            raise ValueError(f"it has more than {limits.ENTRIES} objects")

    def header(self, address: int) -> list[_Message]:
        """Messages of an object header of version 1."""
        self.visit(address)
        version, _, n_messages, _, size = struct.unpack("<BBHII", self.bytes_at(address, 12))
        if version != 1 or n_messages > MOST_MESSAGES:
            raise ValueError(f"an object has a header of version {version} or {n_messages} messages")
        messages: list[_Message] = []
        blocks = [(address + 16, size)]
        while blocks:
            start, length = blocks.pop(0)
            block = self.bytes_at(start, length)
            position = 0
            while position + 8 <= length and len(messages) < n_messages:
                kind, n_bytes, flags = struct.unpack_from("<HHB", block, position)
                content = block[position + 8 : position + 8 + n_bytes]
                if len(content) < n_bytes:
                    raise ValueError("a message ends outside its header")
                message = _Message(kind, flags, content)
                messages.append(message)
                position += 8 + n_bytes
                if kind == _CONTINUATION:
                    place, extent = struct.unpack_from("<QQ", content) if n_bytes >= 16 else (0, 0)
                    self.visit(place)
                    blocks.append((place, extent))
        for message in messages:
            _check_message(message)
        return messages

    def group(self, messages: list[_Message], path: str, level: int) -> None:
        """Everything below a group."""
        if level > MOST_LEVELS:
            raise ValueError(f"it has more than {MOST_LEVELS} groups within groups")
        tables = [message.content for message in messages if message.kind == _SYMBOL_TABLE]
        if len(tables) != 1 or len(tables[0]) < 16:
            raise ValueError("a group has not one table of its content")
        tree, heap = struct.unpack_from("<QQ", tables[0])
        names = self.heap(heap)
        for name_offset, address, cache in self.entries(tree, level=0):
            name = _text(names, name_offset)
            if cache == 2:
                raise ValueError(f"{name[:60]!r} is a link")
            place = f"{path}/{name}" if path else name
            inner = self.header(address)
            if any(message.kind == _SYMBOL_TABLE for message in inner):
                self.group(inner, place, level + 1)
            else:
                if place in self.arrays:
                    raise ValueError(f"{place[:60]!r} is there twice")
                self.arrays[place] = self.dataset(inner)

    def heap(self, address: int) -> bytes:
        """Names of a group."""
        self.visit(address)
        if self.bytes_at(address, 5) != b"HEAP\0":
            raise ValueError("a group has no names")
        return self.bytes_at(self.number(address + 24, "<Q"), self.number(address + 8, "<Q"))

    def entries(self, address: int, level: int) -> Iterator[tuple[int, int, int]]:
        """Offset of the name, address of the header, and kind of each entry below a node of a tree."""
        if level > MOST_LEVELS:
            raise ValueError("the tree of a group is too deep")
        self.visit(address)
        signature = self.bytes_at(address, 4)
        if signature == b"SNOD":
            for k in range(self.number(address + 6, "<H")):
                name, header, cache = struct.unpack("<QQI", self.bytes_at(address + 8 + 40 * k, 20))
                yield name, header, cache
            return
        if signature != b"TREE" or self.number(address + 4, "<B") != 0:
            raise ValueError("a group has a tree of another kind")
        for k in range(self.number(address + 6, "<H")):
            yield from self.entries(self.number(address + 24 + 16 * k + 8, "<Q"), level + 1)

    def dataset(self, messages: list[_Message]) -> StoredArray:
        """Values of a dataset."""
        parts: dict[int, list[bytes]] = {kind: [] for kind in (_DATASPACE, _DATATYPE, _LAYOUT)}
        for message in messages:
            if message.kind in parts:
                parts[message.kind].append(message.content)
        if any(len(contents) != 1 for contents in parts.values()):
            raise ValueError("an object is neither a group nor a dataset")
        shape = _shape(parts[_DATASPACE][0])
        dtype = _dtype(parts[_DATATYPE][0])
        n_bytes = math.prod(shape) * dtype.itemsize
        layout = parts[_LAYOUT][0]
        if len(layout) < 4 or layout[0] != 3 or layout[1] not in (0, 1):
            raise ValueError("a dataset is not stored in one piece")
        if layout[1] == 1:
            if len(layout) < 18:
                raise ValueError("a dataset has no place")
            address, size = struct.unpack_from("<QQ", layout, 2)
            if size != n_bytes or (address == _NOWHERE and n_bytes):
                raise ValueError(f"a dataset of shape {shape} has {size} bytes of values, or none are stored")
            if not n_bytes:
                return np.empty(shape, dtype)
            self.bytes_at(address, 0)
            values = memoryview(self.data)[address : address + size]
            if len(values) < n_bytes:
                raise ValueError("a dataset ends outside the file")
            return np.frombuffer(values, dtype).reshape(shape)
        content = layout[4 : 4 + struct.unpack_from("<H", layout, 2)[0]]
        if len(content) < n_bytes:
            raise ValueError(f"a dataset of shape {shape} has {len(content)} bytes of values")
        if not n_bytes:
            return np.empty(shape, dtype)
        return np.frombuffer(content, dtype, count=math.prod(shape)).reshape(shape)


def _check_message(message: _Message) -> None:
    if message.kind in _FORBIDDEN:
        raise ValueError(f"an object has {_FORBIDDEN[message.kind]}")
    known = {_SYMBOL_TABLE, _DATASPACE, _DATATYPE, _LAYOUT, _CONTINUATION} | _IGNORED
    if message.kind not in known:
        raise ValueError(f"an object has the unknown part {message.kind}")
    if message.flags & 0x02 and message.kind not in _IGNORED:
        raise ValueError("an object shares a part with another one")


def _shape(content: bytes) -> tuple[int, ...]:
    if len(content) < 8 or content[0] != 1 or content[1] > MOST_AXES:
        raise ValueError("a dataset has a shape of another kind")
    if len(content) < 8 + 8 * content[1]:
        raise ValueError("a dataset has fewer lengths than axes")
    return tuple(int(length) for length in struct.unpack_from(f"<{content[1]}Q", content, 8))


def _dtype(content: bytes) -> np.dtype[np.generic]:
    """Type of little-endian integers and floats of IEEE 754."""
    if len(content) < 8:
        raise ValueError("a dataset has no type")
    kind, version, size = content[0] & 0x0F, content[0] >> 4, struct.unpack_from("<I", content, 4)[0]
    is_known = version == 1 and not content[1] & 0x41
    if is_known and kind == 0 and size in (1, 2, 4, 8):
        return np.dtype(f"<{'i' if content[1] & 0x08 else 'u'}{size}")
    if is_known and kind == 1 and content[8:20] in _FLOATS.get(size, ()):
        return np.dtype(f"<f{size}")
    raise ValueError("a dataset has values that are neither integers nor floats")


_FLOATS = {
    2: (struct.pack("<HHBBBBI", 0, 16, 10, 5, 0, 10, 15),),
    4: (struct.pack("<HHBBBBI", 0, 32, 23, 8, 0, 23, 127),),
    8: (struct.pack("<HHBBBBI", 0, 64, 52, 11, 0, 52, 1023),),
}
"""Bytes → how HDF5 describes a float of IEEE 754 of so many bytes."""


def _text(names: bytes, offset: int) -> str:
    end = names.find(b"\0", offset)
    if not 0 <= offset < len(names) or end < 0:
        raise ValueError("a name lies outside the names of its group")
    name = names[offset:end].decode("utf-8")
    if not name or "/" in name or name in (".", ".."):
        raise ValueError(f"{name[:60]!r} is no name")
    return name
