"""Files of predictions as tables: parquet read row group by row group into one array, CSV. What they mean is in `predictions.py`."""

from __future__ import annotations

from collections.abc import Sequence
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
PREFIX = "probability."
KEYS = ("clip_id", "label", "labels", "group")
BATCH_ROWS = 65_536


@dataclass(frozen=True)
class PredictionTable:
    """The columns of a file: `keys` (those of `clip_id, label, labels, group` that are there), `classes` and `probabilities` (n, K)."""

    keys: dict[str, NDArray[Any]]
    classes: tuple[str, ...]
    probabilities: NDArray[Any]


def read_table(path: Path, *, keys: bool = True, probabilities: bool = True) -> PredictionTable:
    """The columns of a `.csv` file, or of a parquet file under any other name; float32 where all columns are, else float64.

    Args:
        keys: False: leave `keys` empty.
        probabilities: False: leave `probabilities` with no rows. The two halves of a large file can so be read at different times.

    Raises:
        ArtefactError: the file is missing or is neither parquet nor CSV.
        DatasetError: a column is missing, or probabilities are not numbers.
    """
    if not path.is_file():
        raise ArtefactError(f"A file of predictions must exist. There is none at '{path}'. Check the name.")
    try:
        if path.suffix.lower() == ".csv":
            return _read_csv(path)
        with pq.ParquetFile(path) as file:
            return _read_parquet(path, file, keys=keys, probabilities=probabilities)
    except (pa.ArrowInvalid, pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ArtefactError(f"'{path}' must be a parquet or CSV file. It cannot be read: {error}. Write it again.") from error


def write_table(table: PredictionTable, path: Path) -> None:
    """Writes `.csv` or `.parquet`, through a temporary file, so that no half-written file is ever found under the name."""
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise ConfigError(f"A file of predictions must end in .parquet or .csv. Received '{path.name}'. Choose one of the two.")
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".part")
    arrow = _arrow(table)
    if path.suffix.lower() == ".csv":
        arrow.to_pandas().to_csv(unfinished, index=False)
    else:
        pq.write_table(arrow, unfinished, row_group_size=BATCH_ROWS)
    unfinished.replace(path)


def _read_parquet(path: Path, file: pq.ParquetFile, *, keys: bool, probabilities: bool) -> PredictionTable:
    schema = file.schema_arrow
    names, columns = _columns(path, schema.names)
    types = [schema.field(name).type for name in columns]
    if not all(pa.types.is_floating(kind) or pa.types.is_integer(kind) for kind in types):
        raise DatasetError(f"{path}: the probability columns must be numbers. Received {sorted({str(kind) for kind in types})}. Convert them.")
    n = file.metadata.num_rows if probabilities else 0
    values = np.empty((n, len(columns)), dtype=np.float32 if all(kind == pa.float32() for kind in types) else np.float64)
    start = 0
    for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=columns) if probabilities else ():
        for k, name in enumerate(columns):
            values[start : start + batch.num_rows, k] = batch.column(name).to_numpy(zero_copy_only=False)
        start += batch.num_rows
    table = file.read(columns=names) if keys else None
    return PredictionTable({} if table is None else {name: _texts(table[name]) for name in names}, _classes(columns), values)


def _texts(column: pa.ChunkedArray) -> NDArray[Any]:
    """(n,) str or None; a value that repeats (a label, a group) is one object, however many rows have it."""
    encoded = column.cast(pa.string()).combine_chunks().dictionary_encode()
    values = np.array([*encoded.dictionary.to_pylist(), None], dtype=object)
    return np.asarray(values[encoded.indices.fill_null(len(values) - 1).to_numpy(zero_copy_only=False)])


def _read_csv(path: Path) -> PredictionTable:
    frame = pd.read_csv(path, dtype=dict.fromkeys(KEYS, str), na_filter=False)  # a genre may be called "None"
    names, columns = _columns(path, list(frame.columns))
    values = np.column_stack([pd.to_numeric(frame[name], errors="coerce").to_numpy(dtype=np.float64) for name in columns])
    keys = {name: frame[name].to_numpy(dtype=object) for name in names}
    for name in {"label", "group"} & set(keys):  # an empty cell of `labels` is the empty set
        keys[name] = np.array([value or None for value in keys[name]], dtype=object)
    return PredictionTable(keys, _classes(columns), values)


def _columns(path: Path, names: Sequence[str]) -> tuple[list[str], list[str]]:
    columns = [name for name in names if name.startswith(PREFIX)]
    received = ", ".join(f"`{name}`" for name in names[:8]) + (f", … ({len(names)} in all)" if len(names) > 8 else "")
    if "clip_id" not in names:
        raise DatasetError(f"{path}: there must be a column `clip_id`. Received the columns {received}. Rename the one that holds the ids.")
    if not columns:
        raise DatasetError(f"{path}: there must be one column `{PREFIX}<class>` per class. Received the columns {received}. Rename them.")
    return [name for name in KEYS if name in names], columns


def _classes(columns: Sequence[str]) -> tuple[str, ...]:
    return tuple(name.removeprefix(PREFIX) for name in columns)


def _arrow(table: PredictionTable) -> pa.Table:
    columns: dict[str, Any] = {name: pa.array(values, pa.string()) for name, values in table.keys.items()}
    for k, name in enumerate(table.classes):
        columns[PREFIX + name] = pa.array(np.ascontiguousarray(table.probabilities[:, k]))
    return pa.table(columns).replace_schema_metadata({"quintet.predictions": SCHEMA_VERSION})
