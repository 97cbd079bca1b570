"""Manifest file: CSV, TSV or Parquet with `path` and `label`, optionally `group, start, end, split, id`."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa

from quintet.datasets.manifest import Manifest, build_manifest
from quintet.errors import DatasetError, unknown_name

REQUIRED = ("path", "label")
OPTIONAL = ("group", "start", "end", "split", "id")
SUFFIXES = (".csv", ".tsv", ".parquet")

_UNREADABLE = (
    pd.errors.ParserError,
    pd.errors.EmptyDataError,
    UnicodeDecodeError,
    pa.ArrowException,
    OSError,
)


def read_table(path: Path | str, *, columns: Mapping[str, str] | None = None) -> Manifest:
    """Manifest in a CSV, TSV or Parquet file.

    Args:
        path: the file. Paths in it are relative to its folder.
        columns: our column → the column of the file, if the names differ: `{"group": "fold"}`.

    Returns:
        One row per row of the file, in its order. `ignored` names the columns that are not used.

    Raises:
        DatasetError: if the file cannot be read, or lacks `path`, `label` or a column named in `columns`.
        ConfigError: if `columns` renames a column that is not one of ours.
    """
    file = Path(path)
    table = _read(file)
    their_names = dict(columns or {})
    for ours in their_names:
        if ours not in REQUIRED + OPTIONAL:
            raise unknown_name("manifest column", ours, REQUIRED + OPTIONAL)
    rows = pd.DataFrame(index=table.index)
    used: set[str] = set()
    for ours in REQUIRED + OPTIONAL:
        theirs = their_names.get(ours, ours)
        if theirs in table:
            rows[ours] = table[theirs]
            used.add(theirs)
        elif ours in REQUIRED or ours in their_names:
            raise _missing_column(file, theirs, list(table.columns))
    unused = [column for column in table.columns if column not in used]
    return build_manifest(rows, name=file.stem, root=file.parent, ignored=unused)


def _read(file: Path) -> pd.DataFrame:
    """Content of the file. CSV cells stay text (`NA` is a label like any other). Names are stripped."""
    if not file.is_file():
        raise DatasetError(f"A manifest must be a file. '{file}' does not exist.")
    try:
        table = pd.read_parquet(file) if file.suffix.lower() == ".parquet" else _read_csv(file)
    except _UNREADABLE as error:
        raise DatasetError(
            f"A manifest must be a CSV in UTF-8 or a Parquet file. '{file}' cannot be read: {error}."
        ) from error
    table.columns = pd.Index([str(column).strip() for column in table.columns])
    if not table.columns.is_unique:
        raise DatasetError(
            f"Every column of a manifest must have its own name. '{file}' has: {', '.join(table.columns)}."
        )
    return table


def _read_csv(file: Path) -> pd.DataFrame:
    return pd.read_csv(
        file,
        sep="\t" if file.suffix.lower() == ".tsv" else ",",
        dtype="str",
        keep_default_na=False,
        na_values=[""],
        encoding="utf-8-sig",
        skipinitialspace=True,
    )


def _missing_column(file: Path, name: str, columns: Sequence[str]) -> DatasetError:
    """The error for a missing column. It lists the columns of the file and suggests the nearest name."""
    by_lower = {column.lower(): column for column in columns}
    nearest = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    hint = f" Did you mean '{by_lower[nearest[0]]}'?" if nearest else ""
    if len(columns) == 1 and any(mark in columns[0] for mark in ";\t|"):
        hint = " The columns of a .csv must be separated by commas (a .tsv by tabs)."
    return DatasetError(
        f"A manifest must have the column '{name}'. '{file}' has: {', '.join(columns)}.{hint} "
        "Rename the column or say which one stands for it."
    )
