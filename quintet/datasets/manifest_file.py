"""Manifest file: CSV, TSV or Parquet with `path` and `label`, optionally `group, start, end, split, id`."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from quintet.datasets.manifest import Manifest, build_manifest
from quintet.errors import ArtefactError, DatasetError, unknown_name
from quintet.files.tables import TableContent, is_nameless, read_table_file

REQUIRED = ("path", "label")
OPTIONAL = ("group", "start", "end", "split", "id")
SUFFIXES = (".csv", ".tsv", ".parquet")


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
    content = _read(file)
    table = content.frame
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
    unused = [column for column in table.columns if column not in used and not is_nameless(column)]
    return build_manifest(rows, name=file.stem, root=file.parent, ignored=[*unused, *content.notes])


def _read(file: Path) -> TableContent:
    """Content of the file. CSV cells stay text (`NA` is a label like any other). Names are stripped."""
    if not file.is_file():
        raise DatasetError(f"A manifest must be a file. '{file}' does not exist.")
    try:
        return read_table_file(file)
    except ArtefactError as error:
        raise DatasetError(f"A manifest cannot be read. {error}") from error


def _missing_column(file: Path, name: str, columns: Sequence[str]) -> DatasetError:
    """The error for a missing column. It lists the columns of the file and suggests the nearest name."""
    by_lower = {column.lower(): column for column in columns}
    nearest = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    hint = f" Did you mean '{by_lower[nearest[0]]}'?" if nearest else ""
    return DatasetError(
        f"A manifest must have the column '{name}'. '{file}' has: {', '.join(columns)}.{hint} "
        "Rename the column or say which one stands for it."
    )
