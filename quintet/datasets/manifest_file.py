"""A manifest file: CSV, TSV or Parquet with `path` and `label`, optionally `group, start, end, split, id`."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd
import pyarrow as pa

from quintet.datasets.manifest import Manifest, build_manifest
from quintet.errors import DatasetError, unknown_name

REQUIRED = ("path", "label")
OPTIONAL = ("group", "start", "end", "split", "id")
SUFFIXES = (".csv", ".tsv", ".parquet")


def read_table(path: Path | str, *, columns: Mapping[str, str] | None = None) -> Manifest:
    """The manifest in a CSV, TSV or Parquet file.

    Args:
        path: the file. Paths in it are relative to its folder.
        columns: which column of the file stands for which of ours, where the names differ: `{"group": "fold"}`.

    Returns:
        One row per row of the file, in its order. Columns that are not used are named in `ignored`.

    Raises:
        DatasetError: if the file cannot be read, or `path` or `label` (or a column named in `columns`) is not in it.
        ConfigError: if `columns` renames something that is not one of ours.
    """
    file = Path(path)
    table = _read(file)
    wanted = dict(columns or {})
    for ours in wanted:
        if ours not in REQUIRED + OPTIONAL:
            raise unknown_name("manifest column", ours, REQUIRED + OPTIONAL)
    rows = pd.DataFrame(index=table.index)
    used: set[str] = set()
    for ours in REQUIRED + OPTIONAL:
        theirs = wanted.get(ours, ours)
        if theirs in table:
            rows[ours] = table[theirs]
            used.add(theirs)
        elif ours in REQUIRED or ours in wanted:
            raise _missing(file, theirs, [str(column) for column in table.columns])
    return build_manifest(
        rows,
        name=file.stem,
        root=file.parent,
        ignored=[str(column) for column in table.columns if column not in used],
    )


def _read(file: Path) -> pd.DataFrame:
    """The file as it is: CSV cells as text (`NA` and `None` are labels like any other), header names stripped."""
    if not file.is_file():
        raise DatasetError(f"A manifest must be a file. '{file}' does not exist.")
    try:
        if file.suffix.lower() == ".parquet":
            table = pd.read_parquet(file)
        else:
            separator = "\t" if file.suffix.lower() == ".tsv" else ","
            table = pd.read_csv(
                file,
                sep=separator,
                dtype="str",
                keep_default_na=False,
                na_values=[""],
                encoding="utf-8-sig",
                skipinitialspace=True,
            )
    except (
        pd.errors.ParserError,
        pd.errors.EmptyDataError,
        UnicodeDecodeError,
        pa.ArrowException,
        OSError,
    ) as error:
        raise DatasetError(
            f"A manifest must be a CSV in UTF-8 or a Parquet file. '{file}' cannot be read: {error}."
        ) from error
    table.columns = pd.Index([str(column).strip() for column in table.columns])
    if not table.columns.is_unique:
        raise DatasetError(
            f"Every column of a manifest must have its own name. '{file}' has: {', '.join(table.columns)}."
        )
    return table


def _missing(file: Path, name: str, present: Iterable[str]) -> DatasetError:
    """The error for a column that is not there: it lists those that are and points at the nearest."""
    columns = list(present)
    by_lower = {column.lower(): column for column in columns}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    hint = f" Did you mean '{by_lower[near[0]]}'?" if near else ""
    if len(columns) == 1 and any(mark in columns[0] for mark in ";\t|"):
        hint = " The columns of a .csv must be separated by commas (a .tsv by tabs)."
    return DatasetError(
        f"A manifest must have the column '{name}'. '{file}' has: {', '.join(columns)}.{hint} Rename the column or say which one stands for it."
    )
