"""Files of predictions as tables of columns: parquet, read row group by row group into one array, and CSV.

`quintet.predictions.predictions` checks the content.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from quintet.datasets.cells import text_column
from quintet.datasets.groups import group_name
from quintet.errors import ArtefactError, ConfigError, DatasetError, QuintetError
from quintet.files.atomic import atomic_replace
from quintet.files.delimited.numbers import parse_numbers
from quintet.files.display.spreadsheets import exact_csv
from quintet.files.tables import read_table_file
from quintet.files.untrusted.parquet import PARQUET_ERRORS, is_parquet, open_parquet, read_parquet
from quintet.files.untrusted.reasons import reason
from quintet.predictions.columns import Texts, name_columns

SCHEMA_VERSION = "1"
STAMP = "quintet.ungrouped"
PREFIX = "probability."
KEYS = ("clip_id", "label", "labels", "group")
BATCH_ROWS = 65_536

CACHED_ROWS = 8_192
"""Rows per block while columns become rows. So many rows of fifty classes stay in the processor's cache."""

Probabilities = NDArray[np.floating]
"""Float32 or float64 in [0, 1], `(n, K)`."""


@dataclass(frozen=True)
class PredictionTable:
    """Columns of a file of predictions.

    Args:
        keys: name → texts `(n,)`, for those of `clip_id, label, labels, group` that the file has.
        classes: K names.
        probabilities: shape `(n, K)`.
        ungrouped: whether the split of the run kept no groups apart. A parquet file keeps this mark, a CSV
            cannot.
        notes: how the file was read, where that is a guess.
    """

    keys: dict[str, Texts]
    classes: tuple[str, ...]
    probabilities: Probabilities
    ungrouped: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class KeyColumns:
    """Key columns of a file as arrow strings, without the probabilities.

    Args:
        columns: name → arrow strings, for those of `clip_id, label, labels, group` that the file has.
        classes: K names.
        ungrouped: whether the split of the run kept no groups apart.
        notes: how the file was read, where that is a guess.
    """

    columns: dict[str, pa.ChunkedArray]
    classes: tuple[str, ...]
    ungrouped: bool = False
    notes: tuple[str, ...] = ()

    def equals(self, other: KeyColumns) -> bool:
        """Whether the keys are equal, row by row. This is fast, because no string becomes a Python object."""
        if self.columns.keys() != other.columns.keys():
            return False
        return all(column.equals(other.columns[name]) for name, column in self.columns.items())

    def arrays(self) -> dict[str, Texts]:
        """Name → texts or None, `(n,)`. Rows with an equal value (a label, a group) share one object."""
        return {name: _to_texts(column) for name, column in self.columns.items()}


def read_table(path: Path, *, keys: bool = True, content: bytes | None = None) -> PredictionTable:
    """Read a parquet or CSV file. Its content, not its name, decides which it is.

    Probabilities are float32 if all columns are float32, otherwise float64.

    Args:
        path: the file.
        keys: whether to read the key columns. If not, `keys` is empty; `read_key_columns` reads them. So the
            two halves of a large file can be read at different times.
        content: content of the parquet file, if it was read already; `path` then serves for messages.

    Raises:
        ArtefactError: the file is missing, or it is neither parquet nor CSV.
        DatasetError: a column is missing, or probabilities are not numbers.
    """
    with _open(path, content) as file:
        return _read_csv(path) if file is None else _read_parquet(path, file, content, keys=keys)


def read_key_columns(path: Path) -> KeyColumns:
    """Read those of the columns `clip_id, label, labels, group` that a file has.

    Raises:
        ArtefactError: the file is missing, or it is neither parquet nor CSV.
        DatasetError: a column is missing.
    """
    with _open(path) as file:
        if file is None:
            table = _read_csv(path)
            arrow = {name: pa.array(values, pa.string()) for name, values in table.keys.items()}
            columns = {name: pa.chunked_array([array]) for name, array in arrow.items()}
            return KeyColumns(columns, table.classes, notes=table.notes)
        key_names, probability_names = _select_columns(path, file.schema_arrow.names)
        columns = _read_key_strings(path, key_names)
        return KeyColumns(columns, _class_names(probability_names), _is_ungrouped(file))


def write_table(table: PredictionTable, path: Path) -> None:
    """Write `.csv` or `.parquet` through a temporary file, so that `path` never holds half a file.

    Raises:
        ConfigError: the name has another ending, or a CSV file would make empty sets of missing ones.
    """
    suffix = path.suffix.lower()
    if suffix not in (".csv", ".parquet"):
        raise ConfigError(
            f"A file of predictions must end in .parquet or .csv. Received '{path.name}'. "
            "Choose one of the two."
        )
    n_missing = sum(labels is None for labels in table.keys.get("labels", ()))
    if suffix == ".csv" and 0 < n_missing < len(table.probabilities):
        raise ConfigError(
            f"In a CSV file, an empty cell of `labels` is a set without tags. {n_missing} of "
            f"{len(table.probabilities)} clips have no labels: write a .parquet file, or leave them out."
        )
    arrow = _to_arrow(table)
    with atomic_replace(path) as temporary:
        if suffix == ".csv":
            temporary.write_text(exact_csv(arrow.to_pandas()), encoding="utf-8", newline="")
        else:
            # Dictionaries and compression for texts only: probabilities neither repeat nor compress, and on
            # them, both cost five times the rest of the work.
            pq.write_table(
                arrow,
                temporary,
                row_group_size=BATCH_ROWS,
                use_dictionary=list(table.keys),
                compression=dict.fromkeys(table.keys, "snappy"),
            )


@contextmanager
def _open(path: Path, content: bytes | None = None) -> Iterator[pq.ParquetFile | None]:
    """Open a parquet file, whatever its name; None for text. Errors of reading become an ArtefactError."""
    if content is None and not path.is_file():
        raise ArtefactError(f"A file of predictions must exist. There is none at '{path}'. Check the name.")
    try:
        is_text = content is None and not is_parquet(path)
        with nullcontext() if is_text else open_parquet(path if content is None else content) as file:
            yield file
    except QuintetError:
        raise
    except PARQUET_ERRORS as error:
        raise ArtefactError(
            f"'{path}' must be a parquet or CSV file. It cannot be read ({reason(error)}). Write it again."
        ) from error


def _read_parquet(path: Path, file: pq.ParquetFile, content: bytes | None, *, keys: bool) -> PredictionTable:
    schema = file.schema_arrow
    key_names, probability_names = _select_columns(path, schema.names)
    types = [schema.field(name).type for name in probability_names]
    checks = (pa.types.is_floating, pa.types.is_integer, pa.types.is_decimal, pa.types.is_boolean)
    if not all(any(check(kind) for check in checks) for kind in types):
        received = sorted({str(kind) for kind in types})
        raise DatasetError(
            f"{path}: the probability columns must be numbers. Received {received}. Convert them."
        )
    all_float32 = all(kind == pa.float32() for kind in types)
    shape = (file.metadata.num_rows, len(probability_names))
    values = np.empty(shape, dtype=np.float32 if all_float32 else np.float64)
    start = 0
    for batch in file.iter_batches(batch_size=CACHED_ROWS, columns=probability_names):
        stop = start + batch.num_rows
        for k, name in enumerate(probability_names):
            cells = batch.column(name)
            if not pa.types.is_floating(cells.type):
                cells = cells.cast(pa.float64(), safe=False)
            values[start:stop, k] = cells.to_numpy(zero_copy_only=False)
        start = stop
    columns = _read_key_strings(path if content is None else content, key_names) if keys else {}
    texts = {name: _to_texts(column) for name, column in columns.items()}
    return PredictionTable(texts, _class_names(probability_names), values, _is_ungrouped(file))


def _is_ungrouped(file: pq.ParquetFile) -> bool:
    metadata = file.schema_arrow.metadata or {}
    return bool(metadata.get(STAMP.encode()) == b"1")


def _read_key_strings(source: Path | bytes, names: Sequence[str]) -> dict[str, pa.ChunkedArray]:
    table = read_parquet(source, names)
    return {name: _as_strings(table[name], is_set=name == "labels") for name in names}


def _as_strings(column: pa.ChunkedArray, *, is_set: bool) -> pa.ChunkedArray:
    """Cells as text, by the rule of all tables; an empty list is the empty set."""
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_decimal(kind):
        column = column.cast(pa.float64())
    elif any(check(kind) for check in (pa.types.is_string, pa.types.is_large_string, pa.types.is_integer)):
        return column.cast(pa.string())
    cells = column.to_pandas()
    texts = text_column(cells).astype(object)
    empty = cells.map(lambda cell: is_set and not isinstance(cell, str | bytes) and np.size(cell) == 0)
    texts = texts.where(texts.notna(), None).mask(empty.astype(bool), "")
    return pa.chunked_array([pa.array(texts, pa.string())])


def _to_texts(column: pa.ChunkedArray) -> Texts:
    encoded = column.combine_chunks().dictionary_encode()
    values = np.array([*encoded.dictionary.to_pylist(), None], dtype=object)
    codes = encoded.indices.fill_null(len(values) - 1).to_numpy(zero_copy_only=False)
    return np.asarray(values[codes])


def _read_csv(path: Path) -> PredictionTable:
    content = read_table_file(path, text=lambda names: [name for name in names if name in KEYS])
    frame = content.frame
    key_names, probability_names = _select_columns(path, list(frame.columns))
    values = np.column_stack([_column_of_numbers(path, frame[name]) for name in probability_names])
    keys: dict[str, Texts] = {}
    notes = content.notes
    for name in key_names:
        texts = frame[name].astype(object)
        empty = None  # an empty cell is missing; in `labels` it is the empty set, unless all are empty
        if name == "labels" and 0 < (n_empty := int(texts.isna().sum())) < len(texts):
            empty = ""
            notes += (f"Empty cells of `labels` are read as sets without tags: {n_empty} of {len(texts)}.",)
        keys[name] = texts.where(texts.notna(), empty).to_numpy(dtype=object)
    return PredictionTable(keys, _class_names(probability_names), values, notes=notes)


def _column_of_numbers(path: Path, cells: pd.Series) -> NDArray[np.float64]:
    """Float64 numbers `(n,)`; NaN where a cell is empty."""
    numbers = parse_numbers(cells)
    texts = cells[numbers.isna() & cells.notna()]
    if len(texts):
        raise DatasetError(
            f"{path}: the probability columns must hold numbers. '{cells.name}' has "
            f"{str(texts.iloc[0])[:30]!r} ({len(texts)} of {len(cells)} cells are no numbers). Correct them."
        )
    return numbers.to_numpy(dtype=np.float64)


def _select_columns(path: Path, names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Names of the key columns and of the probability columns.

    Raises:
        DatasetError: there is no `clip_id`, there are no probabilities, or a column is named twice.
    """
    probability_names = [name for name in names if name.startswith(PREFIX)]
    keys = [name for name in names if name in KEYS]
    # keys and classes are counted apart, because a class may be called `label`
    repeated = _duplicate_names(keys) + _duplicate_names(_class_names(probability_names))
    if repeated:
        raise DatasetError(
            f"{path}: every class and every key must have one column. "
            f"Received twice: {name_columns(repeated)}. Remove or rename one of each."
        )
    if "" in _class_names(probability_names):
        raise DatasetError(
            f"{path}: every class must have a name. Received the column `{PREFIX}` without one. Rename it."
        )
    if "clip_id" not in names:
        raise DatasetError(
            f"{path}: there must be a column `clip_id`. Received the columns {name_columns(names)}. "
            "Rename the one that holds the ids."
        )
    if not probability_names:
        raise DatasetError(
            f"{path}: there must be one column `{PREFIX}<class>` per class. "
            f"Received the columns {name_columns(names)}. Rename them."
        )
    return [name for name in KEYS if name in names], probability_names


def _duplicate_names(names: Sequence[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]


def _class_names(probability_names: Sequence[str]) -> tuple[str, ...]:
    return tuple(group_name(name.removeprefix(PREFIX)) for name in probability_names)


def _to_arrow(table: PredictionTable) -> pa.Table:
    columns = {name: pa.array(values, pa.string()) for name, values in table.keys.items()}
    n_clips, n_classes = table.probabilities.shape
    by_class = np.empty((n_classes, n_clips), dtype=table.probabilities.dtype)
    for start in range(0, n_clips, CACHED_ROWS):
        rows = slice(start, start + CACHED_ROWS)
        by_class[:, rows] = table.probabilities[rows].T
    for name, values in zip(table.classes, by_class, strict=True):
        columns[PREFIX + name] = pa.array(values)
    metadata = {"quintet.predictions": SCHEMA_VERSION, STAMP: str(int(table.ungrouped))}
    return pa.table(columns).replace_schema_metadata(metadata)
