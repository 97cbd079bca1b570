"""Parquet tables whose size in memory is known from their footer and page headers before a value is decoded.

A few bytes of parquet can stand for billions of rows (runs), gigabytes of text (dictionaries) or a page that
unpacks to 2 GB. Rows, columns, pages and texts are therefore counted first and compared with the size of the
file.

Source: the Parquet format (Thrift compact protocol of page headers).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from quintet.errors import ArtefactError
from quintet.files.paths import text_name
from quintet.files.untrusted import limits
from quintet.files.untrusted.reasons import reason

PARQUET_ERRORS = (
    pa.ArrowException,
    ValueError,
    KeyError,
    TypeError,
    IndexError,
    AttributeError,
    RecursionError,
    OSError,
    OverflowError,
    MemoryError,
)
"""Errors that a damaged file causes in pyarrow and pandas."""

PARQUET_SUFFIXES = (".parquet", ".pq")
_MARK = b"PAR1"
_VALUE_BYTES = 8
_HEADER_BYTES = 1 << 20
_STRUCT, _LIST, _SET, _MAP = 12, 9, 10, 11
_TEXTS, _VARINTS = 8, (4, 5, 6)
_UNPACKED, _PACKED = 2, 3


def is_parquet(path: Path) -> bool:
    """Whether a file begins as parquet files do, whatever its name is.

    Args:
        path: any path.

    Raises:
        OSError: the file cannot be read.
    """
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_MARK)) == _MARK


def open_parquet(source: Path | bytes, texts_shared: bool = False) -> pq.ParquetFile:
    """An open parquet file whose table and pages are of a plausible size.

    Args:
        source: the file, or its content.
        texts_shared: read columns of text as dictionaries, so that a text that repeats is in memory once.

    Raises:
        ArtefactError: if the table is much larger than its file, or beyond a limit.
        pyarrow.ArrowException, OSError: if the file is damaged.
    """
    size = len(source) if isinstance(source, bytes) else source.stat().st_size
    file = pq.ParquetFile(_open_source(source))
    metadata = file.metadata
    if metadata.num_rows > limits.TABLE_ROWS or metadata.num_columns > limits.TABLE_COLUMNS:
        raise _too_large(source, f"{metadata.num_rows} rows and {metadata.num_columns} columns")
    most = memory_limit(size)
    values = sum(
        metadata.row_group(g).column(c).num_values
        for g in range(metadata.num_row_groups)
        for c in range(metadata.num_columns)
    )
    cells = max(metadata.num_rows * max(metadata.num_columns, 1), values)
    if cells * _VALUE_BYTES > most:
        raise _too_large(source, f"{metadata.num_rows} rows of {metadata.num_columns} columns")
    _check_pages(source, metadata, most)
    if not texts_shared:
        return file
    names = [field.name for field in file.schema_arrow if _is_text(field.type)]
    return pq.ParquetFile(_open_source(source), read_dictionary=names)


def _open_source(source: Path | bytes) -> pa.NativeFile:
    """An open file of Arrow, which opens no name that is not UTF-8."""
    if isinstance(source, bytes):
        return pa.BufferReader(source)
    with text_name(source) as name:
        return pa.OSFile(str(name))


def read_parquet(source: Path | bytes, columns: Sequence[str] | None = None) -> pa.Table:
    """The table of a parquet file, see `open_parquet`.

    Args:
        source: the file, or its content.
        columns: names of the columns. Default: all.

    Raises:
        ArtefactError: also if its texts are much larger than the file.
    """
    plain = open_parquet(source).schema_arrow
    with open_parquet(source, texts_shared=True) as file:
        table = file.read(columns=None if columns is None else list(columns))
    size = len(source) if isinstance(source, bytes) else source.stat().st_size
    left = memory_limit(size)
    for k, name in enumerate(table.column_names):
        column = table.column(k)
        if not pa.types.is_dictionary(column.type) or not _is_text(column.type.value_type):
            continue
        for chunk in column.chunks:
            lengths = pc.binary_length(chunk.dictionary)
            left -= pc.sum(lengths.take(chunk.indices)).as_py() or 0
            if left < 0:
                raise _too_large(source, f"texts in the column {name[:60]!r} that repeat without end")
        kind = plain.field(name).type
        if not pa.types.is_dictionary(kind):
            table = table.set_column(k, plain.field(name), column.cast(kind))
    return table


def read_schema(source: Path | bytes) -> pa.Schema:
    """Names and types of the columns, and the metadata, from the footer alone.

    Args:
        source: the file, or its content.

    Raises:
        ArtefactError: if the file is damaged.
    """
    try:
        return pq.read_schema(_open_source(source))
    except PARQUET_ERRORS as error:
        name = "The file" if isinstance(source, bytes) else f"'{source}'"
        raise ArtefactError(
            f"A table must be a whole parquet file. {name} cannot be read ({reason(error)}): make it again."
        ) from error


def memory_limit(file_bytes: int) -> int:
    """Bytes that a table may take in memory, from the size of its file: small ones may repeat themselves.

    Any table may take a few times its file, which the user has room for.
    """
    most = min(limits.TABLE_BYTES, limits.TABLE_FLOOR_BYTES + limits.TABLE_RATIO * file_bytes)
    return max(most, limits.TABLE_ALWAYS * file_bytes)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_binary(kind))


def _check_pages(source: Path | bytes, metadata: pq.FileMetaData, most: int) -> None:
    """Add up what the pages unpack to, from their headers."""
    total = 0
    with _open_source(source) as file:
        size = file.size()
        for g in range(metadata.num_row_groups):
            for c in range(metadata.num_columns):
                column = metadata.row_group(g).column(c)
                starts = [column.data_page_offset]
                if column.has_dictionary_page and column.dictionary_page_offset:
                    starts.append(column.dictionary_page_offset)
                    if not column.num_values and not starts[0]:  # no row: there is a dictionary only
                        del starts[0]
                position, end = min(starts), min(starts) + column.total_compressed_size
                if not 0 <= position <= end <= size:
                    raise pa.ArrowInvalid("a column lies outside the file")
                while position < end:
                    file.seek(position)
                    unpacked, length = _page(file.read(min(_HEADER_BYTES, end - position)))
                    total += unpacked
                    if unpacked > limits.PAGE_BYTES or total > most:
                        raise _too_large(source, f"a page that unpacks to {unpacked} bytes")
                    position += length


def _page(data: bytes) -> tuple[int, int]:
    """Bytes of a page after unpacking, and bytes that it takes in the file with its header."""
    fields, end = _read_struct(data, 0, depth=0)
    unpacked, packed = fields.get(_UNPACKED), fields.get(_PACKED)
    if unpacked is None or packed is None or unpacked < 0 or packed < 0:
        raise pa.ArrowInvalid("a page has no size")
    return unpacked, end + packed


def _read_struct(data: bytes, position: int, depth: int) -> tuple[dict[int, int], int]:
    """Whole numbers of a structure of Thrift's compact protocol, by field, and its end."""
    if depth > 8:
        raise pa.ArrowInvalid("a page header is nested too deeply")
    fields: dict[int, int] = {}
    number = 0
    while True:
        head = _byte(data, position)
        position += 1
        kind, step = head & 0x0F, head >> 4
        if kind == 0:
            return fields, position
        if step:
            number += step
        else:
            number, position = _zigzag(data, position)
        if kind in _VARINTS:
            fields[number], position = _zigzag(data, position)
        else:
            position = _skip(data, position, kind, depth)


def _skip(data: bytes, position: int, kind: int, depth: int) -> int:
    """End of a value that is not needed."""
    if kind in (1, 2):  # booleans are in the header of their field
        return position
    if kind == 3:
        return position + 1
    if kind in _VARINTS:
        return _varint(data, position)[1]
    if kind == 7:
        return position + 8
    if kind == _TEXTS:
        length, position = _varint(data, position)
        return position + length
    if kind == _STRUCT:
        return _read_struct(data, position, depth + 1)[1]
    if kind in (_LIST, _SET):
        head = _byte(data, position)
        length, position = head >> 4, position + 1
        if length == 15:
            length, position = _varint(data, position)
        for _ in range(length):
            position = _skip(data, position, head & 0x0F, depth + 1) + ((head & 0x0F) in (1, 2))
            if position > len(data):
                break
        return position
    raise pa.ArrowInvalid("a page header has a value of an unknown kind")


def _byte(data: bytes, position: int) -> int:
    if not 0 <= position < len(data):
        raise pa.ArrowInvalid("a page header ends too early")
    return data[position]


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for k in range(10):
        byte = _byte(data, position + k)
        value |= (byte & 0x7F) << (7 * k)
        if byte < 0x80:
            return value, position + k + 1
    raise pa.ArrowInvalid("a number in a page header is too long")


def _zigzag(data: bytes, position: int) -> tuple[int, int]:
    value, position = _varint(data, position)
    return (value >> 1) ^ -(value & 1), position


def _too_large(source: Path | bytes, what: str) -> ArtefactError:
    name = "The file" if isinstance(source, bytes) else f"'{source}'"
    return ArtefactError(
        f"A parquet table must not be much larger than its file. {name} claims {what}. Do not use it."
    )
