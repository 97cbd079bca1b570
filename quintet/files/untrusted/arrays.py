"""Arrays in .npz and .skops archives, whose types and shapes are read from their headers before their values.

NumPy and skops write such archives without compression, and nothing else is read: so an archive unpacks to no
more bytes than it has.
"""

from __future__ import annotations

import io
import math
import os
import re
import stat
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quintet.files.untrusted import limits

StoredArray = NDArray[np.generic]

MOST_AXES = 4
_MAGIC = b"\x93NUMPY"
_TYPE = r"'[<>|=]?[a-zA-Z]\d*'"
_HEADER = re.compile(
    rf"\{{'descr': (?P<type>{_TYPE}|\[(?:\('\w*', {_TYPE}\)(?:, )?){{1,32}}\]), "
    r"'fortran_order': (?P<fortran>True|False), 'shape': \((?P<shape>[\d, ]*)\), \}\s*"
)
_FIELD = re.compile(rf"\('(\w*)', ({_TYPE})\)")
_SIMPLE_TYPE = re.compile(r"[<>|=]?(?:[biuU]\d+|f[248])|\|V\d+")  # a longer float may be beyond float64


@dataclass(frozen=True)
class ArrayRule:
    """What an array may be.

    Args:
        kinds: kinds of NumPy types: `b` boolean, `i` and `u` integer, `f` float, `U` text.
        shape: length of each axis; None: any length.
        finite: whether NaN and infinities are refused.
    """

    kinds: str
    shape: tuple[int | None, ...]
    finite: bool = True


@dataclass(frozen=True)
class ArrayHeader:
    """Header of an array in NumPy's format.

    Args:
        dtype: type of the values, no Python objects.
        shape: length of each axis.
        fortran: whether the first axis varies fastest.
        start: offset of the first value in the file.
    """

    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]
    fortran: bool
    start: int


def read_npz(data: bytes, rules: Mapping[str, ArrayRule]) -> dict[str, StoredArray]:
    """Arrays of an .npz file.

    Args:
        data: content of the file.
        rules: name → what the array may be. An array without a rule is refused; one that is absent is not.

    Returns:
        Name → array.

    Raises:
        ValueError: if the file is no such archive, or an array is not what its rule says.

    Example:
        >>> content = io.BytesIO()
        >>> np.savez(content, mean=np.zeros(3))
        >>> read_npz(content.getvalue(), {"mean": ArrayRule("f", (3,))})["mean"].tolist()
        [0.0, 0.0, 0.0]
    """
    result: dict[str, StoredArray] = {}
    with open_archive(data) as archive:
        for name in archive.namelist():
            key = name.removesuffix(".npy")
            if key not in rules or key in result:
                raise ValueError(f"the array {key[:60]!r} does not belong into the file")
        for name in archive.namelist():
            key = name.removesuffix(".npy")
            result[key] = _read_entry(archive, name, rules[key])
    return result


_ARCHIVE_FAULTS = (
    zipfile.BadZipFile,
    NotImplementedError,  # a later version of the format, patches, strong encryption
    OverflowError,  # a place of 2^63 and more
    EOFError,  # an entry that goes beyond the end
    KeyError,  # no such entry
)
"""What `zipfile` raises over archives in memory, besides ValueError."""


def open_archive(data: bytes) -> zipfile.ZipFile:
    """An archive whose entries are stored as they are, without compression, each name once.

    Raises:
        ValueError: if the content is not such an archive.
    """
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except _ARCHIVE_FAULTS as error:
        raise ValueError(f"no archive: {error}") from error
    entries = archive.infolist()
    if len(entries) > limits.ENTRIES or len({entry.filename for entry in entries}) < len(entries):
        raise ValueError("the archive has too many entries, or two of one name")
    for entry in entries:
        is_stored = entry.compress_type == zipfile.ZIP_STORED and entry.file_size == entry.compress_size
        if not is_stored or entry.flag_bits & 0x1:
            raise ValueError(f"the entry {entry.filename[:60]!r} is compressed or encrypted")
    if sum(entry.file_size for entry in entries) > len(data):
        raise ValueError("the entries of the archive overlap")
    return archive


def read_entry(archive: zipfile.ZipFile, name: str) -> bytes:
    """Bytes of an entry.

    Raises:
        ValueError: if it is damaged.
    """
    try:
        return archive.read(name)
    except _ARCHIVE_FAULTS as error:
        raise ValueError(f"the entry {name[:60]!r} cannot be read: {error}") from error


def read_header(data: bytes) -> ArrayHeader:
    """Header of an array in NumPy's format (.npy), without its values.

    Raises:
        ValueError: if the content is no such array, holds Python objects, or has not as many bytes as its
            shape needs.

    Example:
        >>> content = io.BytesIO()
        >>> np.save(content, np.zeros((2, 3)))
        >>> read_header(content.getvalue()).shape
        (2, 3)
    """
    header = _parse_header(data)
    if math.prod(header.shape) * header.dtype.itemsize != len(data) - header.start:
        raise ValueError(f"an array of shape {header.shape} has {len(data) - header.start} bytes of values")
    return header


def map_array(path: Path, rule: ArrayRule) -> StoredArray:
    """A .npy file as an array in the order of C whose values are read when they are used.

    The file may be longer than its array: a writer appends values before it writes the header anew. Whether
    values are finite is not looked at.

    Args:
        path: the file; a link, a device and a pipe are refused.
        rule: what the array may be.

    Raises:
        OSError: if the file cannot be opened.
        ValueError: if it is no such array, or has fewer bytes than its shape needs.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.save(Path(folder, "a.npy"), np.ones((2, 3), np.float16))
        ...     map_array(Path(folder, "a.npy"), ArrayRule("f", (None, 3))).shape
        (2, 3)
    """
    flags = os.O_RDONLY
    for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"):
        flags |= getattr(os, name, 0)
    with open(os.open(path, flags), "rb") as file:
        facts = os.fstat(file.fileno())
        if not stat.S_ISREG(facts.st_mode):
            raise ValueError("it is no ordinary file")
        header = _parse_header(file.read(limits.HEADER_BYTES))
        require_rule(header, rule, path.name)
        if header.fortran or header.start + math.prod(header.shape) * header.dtype.itemsize > facts.st_size:
            raise ValueError(f"it has {facts.st_size} bytes for an array of shape {header.shape}")
        if not math.prod(header.shape):
            return np.empty(header.shape, header.dtype)
        return np.memmap(file, header.dtype, mode="r", offset=header.start, shape=header.shape)


def _parse_header(data: bytes) -> ArrayHeader:
    """Header at the begin of some bytes, without a look at their number."""
    if data[:6] != _MAGIC or len(data) < 12 or data[6] not in (1, 2, 3):
        raise ValueError("no array of NumPy")
    width = 2 if data[6] == 1 else 4
    length = int.from_bytes(data[8 : 8 + width], "little")
    start = 8 + width + length
    if length > limits.HEADER_BYTES or start > len(data):
        raise ValueError("the header of an array is too long")
    match = _HEADER.fullmatch(data[8 + width : start].decode("utf-8", errors="replace"))
    if match is None:
        raise ValueError("the header of an array is not what NumPy writes for numbers and texts")
    dtype = _read_type(match["type"])
    lengths = [part.strip() for part in match["shape"].split(",")]
    shape = tuple(int(part) for part in lengths if part)
    if len(shape) > MOST_AXES or any(len(part) > 18 for part in lengths):
        raise ValueError(f"an array has more than {MOST_AXES} axes, or one that is too long")
    return ArrayHeader(dtype, shape, match["fortran"] == "True", start)


def read_values(data: bytes, header: ArrayHeader) -> StoredArray:
    """The array itself, in memory of its own."""
    if math.prod(header.shape) == 0:
        return np.empty(header.shape, header.dtype)
    flat = np.frombuffer(data, dtype=header.dtype, offset=header.start)
    return flat.reshape(header.shape, order="F" if header.fortran else "C").copy(order="K")


def require_rule(header: ArrayHeader, rule: ArrayRule, name: str) -> None:
    """Refuse an array whose type or shape is not what its rule says.

    Raises:
        ValueError: if it is not.
    """
    fits = len(header.shape) == len(rule.shape) and all(
        wanted in (None, length) for length, wanted in zip(header.shape, rule.shape, strict=True)
    )
    if header.dtype.kind not in rule.kinds or not fits:
        wanted_shape = tuple("any" if length is None else length for length in rule.shape)
        raise ValueError(
            f"the array {name[:60]!r} must have the shape {wanted_shape} and a kind of {rule.kinds!r}, "
            f"it has {header.shape} and {header.dtype.kind!r}"
        )


def _read_entry(archive: zipfile.ZipFile, name: str, rule: ArrayRule) -> StoredArray:
    data = read_entry(archive, name)
    header = read_header(data)
    require_rule(header, rule, name)
    values = read_values(data, header)
    if rule.finite and header.dtype.kind == "f" and not np.isfinite(values).all():
        raise ValueError(f"the array {name[:60]!r} has a value that is not finite")
    return values


def _read_type(text: str) -> np.dtype[np.generic]:
    """Type of the values: a simple one, or a record of simple ones (the nodes of a tree)."""
    fields = _FIELD.findall(text) if text.startswith("[") else []
    parts = [part for _, part in fields] if fields else [text]
    if not all(_SIMPLE_TYPE.fullmatch(part.strip("'")) for part in parts):
        raise ValueError(f"an array has the type {text[:60]}, which is neither number nor text")
    try:
        if fields:
            return np.lib.format.descr_to_dtype([(name, part.strip("'")) for name, part in fields])
        return np.dtype(text.strip("'"))
    except (TypeError, ValueError) as error:
        raise ValueError(f"an array has the type {text[:60]}: {error}") from error
