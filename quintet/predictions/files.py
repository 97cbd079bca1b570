"""Files of predictions as tables: parquet read row group by row group into one array, CSV. What they mean is in `predictions.py`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from quintet.errors import ArtefactError, ConfigError, DatasetError

SCHEMA_VERSION = "1"
STAMP = "quintet.ungrouped"
PREFIX = "probability."
KEYS = ("clip_id", "label", "labels", "group")
BATCH_ROWS = 65_536
CACHED_ROWS = 8_192  # so many rows of fifty classes stay in the processor's cache while columns become rows


@dataclass(frozen=True)
class PredictionTable:
    """The columns of a file: `keys` (those of `clip_id, label, labels, group` that are there), `classes` and `probabilities` (n, K); and `ungrouped`:
    they come from a split that kept no groups apart, and their scores are stamped. A parquet file carries that stamp, a CSV cannot."""

    keys: dict[str, NDArray[Any]]
    classes: tuple[str, ...]
    probabilities: NDArray[Any]
    ungrouped: bool = False


@dataclass(frozen=True)
class KeyColumns:
    """The key columns of a file as arrow strings, its classes and its stamp: of a large file, what comes before numbers."""

    columns: dict[str, pa.ChunkedArray]
    classes: tuple[str, ...]
    ungrouped: bool = False

    def equals(self, other: KeyColumns) -> bool:
        """Whether the keys are the same, row by row; in a blink, as no string becomes an object."""
        return self.columns.keys() == other.columns.keys() and all(
            column.equals(other.columns[name]) for name, column in self.columns.items()
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Each column as (n,) str or None; a value that repeats (a label, a group) is one object, however many rows have it."""
        return {name: _texts(column) for name, column in self.columns.items()}


def read_table(path: Path, *, keys: bool = True) -> PredictionTable:
    """The columns of a `.csv` file, or of a parquet file under any other name; float32 where all columns are, else float64.

    Args:
        keys: False: leave `keys` empty. The two halves of a large file can so be read at different times; `read_key_columns` reads the other.

    Raises:
        ArtefactError: the file is missing or is neither parquet nor CSV.
        DatasetError: a column is missing, or probabilities are not numbers.
    """
    with _open(path) as file:
        return _read_csv(path) if file is None else _read_parquet(path, file, keys=keys)


def read_key_columns(path: Path) -> KeyColumns:
    """The columns of `clip_id, label, labels, group` that a file has; raises as `read_table` does."""
    with _open(path) as file:
        if file is None:
            table = _read_csv(path)
            return KeyColumns(
                {
                    name: pa.chunked_array([pa.array(values, pa.string())])
                    for name, values in table.keys.items()
                },
                table.classes,
            )
        names, columns = _columns(path, file.schema_arrow.names)
        return KeyColumns(_key_columns(file, names), _classes(columns), _ungrouped(file))


@contextmanager
def _open(path: Path) -> Iterator[pq.ParquetFile | None]:
    """A parquet file, or None for a `.csv` file; what goes wrong with either is an ArtefactError."""
    if not path.is_file():
        raise ArtefactError(f"A file of predictions must exist. There is none at '{path}'. Check the name.")
    try:
        with nullcontext() if path.suffix.lower() == ".csv" else pq.ParquetFile(path) as file:
            yield file
    except (pa.ArrowInvalid, pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ArtefactError(
            f"'{path}' must be a parquet or CSV file. It cannot be read: {error}. Write it again."
        ) from error


def write_table(table: PredictionTable, path: Path) -> None:
    """Writes `.csv` or `.parquet`, through a temporary file, so that no half-written file is ever found under the name."""
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise ConfigError(
            f"A file of predictions must end in .parquet or .csv. Received '{path.name}'. Choose one of the two."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".part")
    arrow = _arrow(table)
    if path.suffix.lower() == ".csv":
        arrow.to_pandas().to_csv(unfinished, index=False)
    else:  # probabilities neither repeat nor shrink: tried on them, dictionaries and compression cost five times the rest
        texts: Any = list(table.keys)
        pq.write_table(
            arrow,
            unfinished,
            row_group_size=BATCH_ROWS,
            use_dictionary=texts,
            compression=dict.fromkeys(texts, "snappy"),
        )
    unfinished.replace(path)


def _read_parquet(path: Path, file: pq.ParquetFile, *, keys: bool) -> PredictionTable:
    schema = file.schema_arrow
    names, columns = _columns(path, schema.names)
    types = [schema.field(name).type for name in columns]
    if not all(pa.types.is_floating(kind) or pa.types.is_integer(kind) for kind in types):
        raise DatasetError(
            f"{path}: the probability columns must be numbers. Received {sorted({str(kind) for kind in types})}. Convert them."
        )
    values = np.empty(
        (file.metadata.num_rows, len(columns)),
        dtype=np.float32 if all(kind == pa.float32() for kind in types) else np.float64,
    )
    start = 0
    for batch in file.iter_batches(batch_size=CACHED_ROWS, columns=columns):
        for k, name in enumerate(columns):
            values[start : start + batch.num_rows, k] = batch.column(name).to_numpy(zero_copy_only=False)
        start += batch.num_rows
    found = KeyColumns(_key_columns(file, names) if keys else {}, _classes(columns))
    return PredictionTable(found.arrays(), found.classes, values, _ungrouped(file))


def _ungrouped(file: pq.ParquetFile) -> bool:
    return (file.schema_arrow.metadata or {}).get(STAMP.encode()) == b"1"


def _key_columns(file: pq.ParquetFile, names: Sequence[str]) -> dict[str, pa.ChunkedArray]:
    table = file.read(columns=list(names))
    return {name: table[name].cast(pa.string()) for name in names}


def _texts(column: pa.ChunkedArray) -> NDArray[Any]:
    encoded = column.combine_chunks().dictionary_encode()
    values = np.array([*encoded.dictionary.to_pylist(), None], dtype=object)
    return np.asarray(values[encoded.indices.fill_null(len(values) - 1).to_numpy(zero_copy_only=False)])


def _read_csv(path: Path) -> PredictionTable:
    frame = pd.read_csv(path, dtype=dict.fromkeys(KEYS, str), na_filter=False)  # a genre may be called "None"
    names, columns = _columns(path, list(frame.columns))
    values = np.column_stack(
        [pd.to_numeric(frame[name], errors="coerce").to_numpy(dtype=np.float64) for name in columns]
    )
    keys = {name: frame[name].to_numpy(dtype=object) for name in names}
    for name in {"label", "group"} & set(keys):  # an empty cell of `labels` is the empty set
        keys[name] = np.array([value or None for value in keys[name]], dtype=object)
    return PredictionTable(keys, _classes(columns), values)


def _columns(path: Path, names: Sequence[str]) -> tuple[list[str], list[str]]:
    columns = [name for name in names if name.startswith(PREFIX)]
    received = ", ".join(f"`{name}`" for name in names[:8]) + (
        f", … ({len(names)} in all)" if len(names) > 8 else ""
    )
    if "clip_id" not in names:
        raise DatasetError(
            f"{path}: there must be a column `clip_id`. Received the columns {received}. Rename the one that holds the ids."
        )
    if not columns:
        raise DatasetError(
            f"{path}: there must be one column `{PREFIX}<class>` per class. Received the columns {received}. Rename them."
        )
    return [name for name in KEYS if name in names], columns


def _classes(columns: Sequence[str]) -> tuple[str, ...]:
    return tuple(name.removeprefix(PREFIX) for name in columns)


def _arrow(table: PredictionTable) -> pa.Table:
    columns: dict[str, Any] = {name: pa.array(values, pa.string()) for name, values in table.keys.items()}
    by_class = np.empty(table.probabilities.shape[::-1], dtype=table.probabilities.dtype)
    for start in range(0, len(table.probabilities), CACHED_ROWS):
        by_class[:, start : start + CACHED_ROWS] = table.probabilities[start : start + CACHED_ROWS].T
    columns |= {PREFIX + name: pa.array(values) for name, values in zip(table.classes, by_class, strict=True)}
    return pa.table(columns).replace_schema_metadata(
        {"quintet.predictions": SCHEMA_VERSION, STAMP: str(int(table.ungrouped))}
    )
