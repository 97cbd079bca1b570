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
from quintet.files.untrusted.parquet_footer import Chunk, read_chunks
from quintet.files.untrusted.reasons import reason
from quintet.files.untrusted.thrift import read_structure

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


def open_parquet(source: Path | bytes) -> pq.ParquetFile:
    """An open parquet file whose table and pages are of a plausible size.

    Args:
        source: the file, or its content.

    Raises:
        ArtefactError: if the table is much larger than its file, or beyond a limit.
        pyarrow.ArrowException, OSError, ValueError: if the file is damaged.
    """
    size = len(source) if isinstance(source, bytes) else source.stat().st_size
    file = pq.ParquetFile(_open_source(source))
    metadata = file.metadata
    if metadata.num_rows > limits.TABLE_ROWS or metadata.num_columns > limits.TABLE_COLUMNS:
        raise _too_large(source, f"{metadata.num_rows} rows and {metadata.num_columns} columns")
    most = memory_limit(size)
    with _open_source(source) as content:
        chunks = read_chunks(content, metadata)
        cells = max(metadata.num_rows * max(metadata.num_columns, 1), sum(chunk.n_values for chunk in chunks))
        if cells * _VALUE_BYTES > most:
            raise _too_large(source, f"{metadata.num_rows} rows of {metadata.num_columns} columns")
        _check_pages(source, content, chunks, most)
    return file


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
        pyarrow.ArrowException: also if a text is not UTF-8.
    """
    with open_parquet(source) as file:
        plain = file.schema_arrow
    texts = [field.name for field in plain if _is_text(field.type)]
    with pq.ParquetFile(_open_source(source), read_dictionary=texts) as file:  # each text in memory once
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
    table.validate(full=True)  # texts must be UTF-8, and what they point at must be there
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


def _check_pages(source: Path | bytes, file: pa.NativeFile, chunks: Sequence[Chunk], most: int) -> None:
    """Add up what the pages unpack to, from their headers."""
    total = 0
    for chunk in chunks:
        position = chunk.start
        while position < chunk.end:
            file.seek(position)
            unpacked, length = _page(file.read(min(_HEADER_BYTES, chunk.end - position)))
            total += unpacked
            if unpacked > limits.PAGE_BYTES or total > most:
                raise _too_large(source, f"a page that unpacks to {unpacked} bytes")
            position += length


def _page(data: bytes) -> tuple[int, int]:
    """Bytes of a page after unpacking, and bytes that it takes in the file with its header."""
    fields, end = read_structure(data)
    unpacked, packed = fields.get(_UNPACKED), fields.get(_PACKED)
    if type(unpacked) is not int or type(packed) is not int or unpacked < 0 or packed < 0:
        raise ValueError("a page has no size")
    return unpacked, end + packed


def _too_large(source: Path | bytes, what: str) -> ArtefactError:
    name = "The file" if isinstance(source, bytes) else f"'{source}'"
    return ArtefactError(
        f"A parquet table must not be much larger than its file. {name} claims {what}. Do not use it."
    )
