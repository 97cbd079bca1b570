"""Manifest file: CSV, TSV or Parquet with `path` and `label`, optionally `group, start, end, split, id`."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Formatter

import pandas as pd

from quintet.datasets.labels import label_text
from quintet.datasets.manifest import Manifest, build_manifest
from quintet.errors import ArtefactError, ConfigError, DatasetError, unknown_name
from quintet.files.display.file_names import name_text
from quintet.files.paths import expand_home, require_path
from quintet.files.tables import TableContent, is_nameless, read_table_file

REQUIRED = ("path", "label")
OPTIONAL = ("group", "start", "end", "split", "id")
SUFFIXES = (".csv", ".tsv", ".parquet")


def read_table(
    path: Path | str,
    *,
    columns: Mapping[str, str] | None = None,
    root: Path | str | None = None,
    ignore_columns: Sequence[str] = (),
) -> Manifest:
    """Manifest in a CSV, TSV or Parquet file.

    In a tab-separated file, the last column may hold several values between tabs, as in MTG-Jamendo.

    Args:
        path: the file. Paths in it are relative to its folder.
        columns: our column → the column of the file, if the names differ: `{"group": "fold"}`; or a text with
            columns of the file in braces: `{"path": "fold{fold}/{slice_file_name}"}`.
        root: folder that the paths are relative to instead.
        ignore_columns: columns of the file that are not used, whatever their names mean.

    Returns:
        One row per row of the file, in its order. `ignored` names the columns that are not used.

    Raises:
        DatasetError: if the file cannot be read, or lacks `path`, `label` or a named column, or `root` is no
            folder.
        ConfigError: if `columns` renames a column that is not one of ours, or one that is ignored.
    """
    file = Path(path)
    content = _read(file)
    folder = file.parent if root is None else _require_folder(root)
    their_names = dict(columns or {})
    for ours in their_names:
        if ours not in REQUIRED + OPTIONAL:
            raise unknown_name("manifest column", ours, REQUIRED + OPTIONAL)
    for theirs in ignore_columns:
        if theirs not in content.frame:
            raise _missing_column(file, theirs, list(content.frame.columns))
    table = content.frame.drop(columns=list(ignore_columns))
    rows = pd.DataFrame(index=table.index)
    used: set[str] = set()
    for ours in REQUIRED + OPTIONAL:
        theirs = their_names.get(ours, ours)
        parts = [theirs] if theirs in content.frame else _columns_in_braces(theirs)
        ignored = [part for part in parts if part in ignore_columns]
        if ignored and ours in their_names:
            raise ConfigError(
                f"A column must be used or ignored. Received '{ignored[0]}' as {ours} and as ignored."
            )
        missing = [part for part in parts if part not in table]
        if parts and not missing:
            rows[ours] = table[theirs] if theirs in table else _fill_in(theirs, table, parts)
            used.update(parts)
        elif ours in REQUIRED or ours in their_names:
            raise _missing_column(file, (missing or [theirs])[0], list(table.columns))
    unused = [column for column in content.frame.columns if column not in used and not is_nameless(column)]
    return build_manifest(rows, name=name_text(file.stem), root=folder, ignored=[*unused, *content.notes])


def _require_folder(root: Path | str) -> Path:
    folder = expand_home(require_path(root, "`root`"))
    if not folder.is_dir():
        raise DatasetError(
            f"The root of a manifest's paths must be a folder. '{root}' is none. Check the path."
        )
    return folder


def _columns_in_braces(text: str) -> list[str]:
    """Columns in the braces of a text; none if it has no braces, or others than plain names in them."""
    try:
        pieces = list(Formatter().parse(text))
    except ValueError:
        return []
    return [name for _, name, _, _ in pieces if name]


def _fill_in(text: str, table: pd.DataFrame, columns: Sequence[str]) -> pd.Series:
    """The text with the cells of each row in its braces; missing where one of the cells is."""
    cells = {name: table[name].map(label_text) for name in columns}
    filled = pd.Series("", index=table.index, dtype="str")
    for literal, name, _, _ in Formatter().parse(text):
        filled = filled + literal
        if name:
            filled = filled + cells[name].astype("str")
    return filled


def _read(file: Path) -> TableContent:
    """Content of the file. CSV cells stay text (`NA` is a label like any other). Names are stripped."""
    if not file.is_file():
        raise DatasetError(f"A manifest must be a file. '{file}' does not exist.")
    try:
        return read_table_file(file, rest_in_last=True)
    except ArtefactError as error:
        raise DatasetError(f"A manifest cannot be read. {error}") from error


def _missing_column(file: Path, name: str, columns: Sequence[str]) -> DatasetError:
    """The error for a missing column. It lists the columns of the file and suggests the nearest name."""
    by_lower = {column.lower(): column for column in columns}
    nearest = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    hint = f" Did you mean {by_lower[nearest[0]]!r}?" if nearest else ""
    names = ", ".join(map(repr, columns))
    return DatasetError(
        f"A manifest must have the column '{name}'. '{file}' has: {names}.{hint} "
        f"Rename the column or say which one stands for it, as in --column {name}=…"
    )
