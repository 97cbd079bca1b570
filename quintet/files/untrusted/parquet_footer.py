"""The footer of a parquet file, read before Arrow looks at the chunks of its columns.

pyarrow ends the process when it describes a chunk whose statistics of sizes do not fit its column, or whose
description is encrypted (an exception of C++ that Python cannot catch, pyarrow 26). Whatever is needed of a
chunk is therefore read here, and such files are refused.

Source: parquet.thrift of the Parquet format.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from quintet.files.untrusted.thrift import Structure, read_structure

_TAIL_BYTES = 8
"""Length of the footer and the mark PAR1 at the end of a file."""
_ROW_GROUPS = 4
_COLUMNS = 1
_FILE_PATH, _META, _CRYPTO, _ENCRYPTED = 1, 3, 8, 9
_N_VALUES, _PACKED, _DATA, _DICTIONARY, _SIZES = 5, 7, 9, 11, 16
_TEXT_BYTES, _REPETITIONS, _DEFINITIONS = 1, 2, 3


@dataclass(frozen=True, slots=True)
class Chunk:
    """The values of one column in one row group.

    Args:
        n_values: their number.
        start: position of its first page in the file.
        end: position after its last page.
    """

    n_values: int
    start: int
    end: int


def read_chunks(file: pa.NativeFile, metadata: pq.FileMetaData) -> list[Chunk]:
    """The chunks of all columns, row group by row group.

    Args:
        file: the open file.
        metadata: what pyarrow has read of the same footer.

    Raises:
        ValueError: a chunk is missing, encrypted or elsewhere, or pyarrow must not describe it.
    """
    size = file.size()
    file.seek(size - _TAIL_BYTES)
    length = int.from_bytes(file.read(4), "little")
    if not 0 <= length <= size - _TAIL_BYTES:
        raise ValueError("its footer is longer than the file")
    file.seek(size - _TAIL_BYTES - length)
    footer, _ = read_structure(file.read(length))
    groups = _structures(footer.get(_ROW_GROUPS, []))
    if len(groups) != metadata.num_row_groups:
        raise ValueError(f"it describes {len(groups)} row groups, not {metadata.num_row_groups}")
    levels = [metadata.schema.column(c) for c in range(metadata.num_columns)]
    kinds = [(kind.max_repetition_level, kind.max_definition_level, kind.physical_type) for kind in levels]
    chunks: list[Chunk] = []
    for group in groups:
        columns = _structures(group.get(_COLUMNS))
        if len(columns) != len(kinds):
            raise ValueError(f"a row group has {len(columns)} columns, not {len(kinds)}")
        for column, kind in zip(columns, kinds, strict=True):
            chunks.append(_chunk(column, kind, size))
    return chunks


def _chunk(column: Structure, kind: tuple[int, int, str], size: int) -> Chunk:
    if any(field in column for field in (_FILE_PATH, _CRYPTO, _ENCRYPTED)):
        raise ValueError("a column is encrypted or in another file")
    meta = column.get(_META)
    if not isinstance(meta, dict):
        raise ValueError("a column is not described")
    _check_sizes(meta.get(_SIZES), kind)
    n_values, packed = _number(meta, _N_VALUES), _number(meta, _PACKED)
    starts = [_number(meta, _DATA)]
    if meta.get(_DICTIONARY):
        starts.append(_number(meta, _DICTIONARY))
        if not n_values and not starts[0]:  # no row: there is a dictionary only
            del starts[0]
    start, end = min(starts), min(starts) + packed
    if not 0 <= start <= end <= size or n_values < 0:
        raise ValueError("a column lies outside the file")
    return Chunk(n_values, start, end)


def _check_sizes(sizes: object, kind: tuple[int, int, str]) -> None:
    """Refuse statistics of sizes that do not fit the levels and the type of a column."""
    if sizes is None:
        return
    if not isinstance(sizes, dict):
        raise ValueError("the sizes of a column are not described")
    repetition, definition, physical_type = kind
    for field, level in ((_REPETITIONS, repetition), (_DEFINITIONS, definition)):
        histogram = sizes.get(field, [])
        if not isinstance(histogram, list) or len(histogram) not in (0, level + 1):
            raise ValueError("a histogram of a column does not fit its levels")
    if _TEXT_BYTES in sizes and physical_type != "BYTE_ARRAY":
        raise ValueError("a column of numbers has the size of texts")


def _structures(values: object) -> list[Structure]:
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        raise ValueError("its footer does not list its columns")
    return values


def _number(meta: Structure, field: int) -> int:
    value = meta.get(field)
    if type(value) is not int:
        raise ValueError("a column is not described")
    return value
