"""Columns of another table, joined to a feature table by id: embeddings that were made elsewhere.

The columns get a family of their own, `embedding_NAME`. Where they come from is kept in the metadata of the
table under `joined`, one record per table, and from there in the model folder.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from quintet.datasets.splits.clip_ids import match_ids
from quintet.errors import AlignmentError, ConfigError, DatasetError
from quintet.features.catalogue import feature_family
from quintet.features.embedding_columns import EMBEDDING_FAMILY, split_column
from quintet.features.storage.column_roles import LIST_ID_COLUMNS, Roles, quote_names
from quintet.features.storage.external_table import foreign_table
from quintet.features.storage.read import read_feature_table, stored_metadata
from quintet.features.storage.table import FeatureTable, is_usable
from quintet.files.digests import file_digest
from quintet.files.json_types import JsonObject
from quintet.files.tables import TableContent, read_table_file
from quintet.files.untrusted.parquet import is_parquet, read_schema

Joined = str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | Mapping[str, str | os.PathLike[str]]
"""Tables to join: one file or several, or name → file. The name of a file is its stem by default."""
ROW_MISSING = "A joined table must have a row of the clip."
SHOWN = 3
"""Ids that a note lists."""
MOST_TEXT, MOST_FACTS = 2000, 20
"""Characters and number of the facts that a parquet file states about itself and that are kept."""
NOT_FACTS = ("pandas", "ARROW:schema", "huggingface")
"""Facts of a parquet file that only describe its columns."""


def join_tables(table: FeatureTable, others: Joined) -> FeatureTable:
    """A feature table with the columns of other tables. Clips without a row there fail, and are counted.

    Ids are compared as they are, then in one Unicode form, then without the suffix of an audio file.

    Args:
        table: the feature table.
        others: CSV or parquet files with ids and numbers: one file or several, or name → file. The columns of
            a file from elsewhere are called `embedding_NAME.COLUMN`. A table of quintet keeps its names.

    Returns:
        The table with the columns. Its metadata say under `joined` where they come from, and `notes` counts
        the clips without a row and the rows without a clip.

    Raises:
        ArtefactError: a file cannot be read.
        DatasetError: a file has no ids, ids repeat, or a column does not hold numbers.
        AlignmentError: a file has no row of any clip.
        ConfigError: a family of columns would be in the table twice.
    """
    for name, file in name_files(others).items():
        table = _join(table, name, Path(file))
    return table


def name_files(others: Joined) -> dict[str, str | os.PathLike[str]]:
    """Name → file of the tables to join.

    Example:
        >>> name_files("made/mert 95M.parquet"), name_files({"mert": "a.csv"})
        ({'mert-95M': 'made/mert 95M.parquet'}, {'mert': 'a.csv'})
    """
    if isinstance(others, Mapping):
        pairs = list(others.items())
    else:
        files = [others] if isinstance(others, (str, os.PathLike)) else list(others)
        pairs = [(Path(file).stem, file) for file in files]
    named: dict[str, str | os.PathLike[str]] = {}
    for given, file in pairs:
        name = re.sub(r"[^A-Za-z0-9_-]+", "-", given).strip("-") or "table"
        if name in named:
            raise ConfigError(
                f"Joined tables must have different names. '{name}' comes twice: name them, as in "
                f"--join {name}={file} --join other={named[name]}."
            )
        named[name] = file
    return named


def _join(table: FeatureTable, name: str, file: Path) -> FeatureTable:
    other, made_by = _read(name, file)
    names = list(other.feature_names)
    families = list(dict.fromkeys(map(feature_family, names)))
    taken = {feature_family(column) for column in table.feature_names}.intersection(families)
    if taken:
        raise ConfigError(
            f"A joined table must have families of its own. {quote_names(sorted(taken))} of {file} is in the "
            "table already: give it another name (--join NAME=FILE), or leave it out."
        )
    rows = other.frame.reset_index(drop=True)
    usable = np.flatnonzero(is_usable(table.frame))
    ids = table.frame["id"].astype(str).to_numpy()
    found = match_ids(pd.Index(ids), pd.Index(rows["id"].astype(str)))
    if len(usable) and (found[usable] < 0).all():
        raise AlignmentError(
            f"A joined table must have rows of the clips. {file} has none of {len(usable)}: its ids are like "
            f"{rows['id'].iloc[0] if len(rows) else 'nothing'!r}, those of the table like {ids[usable[0]]!r}."
        )
    frame = table.frame.copy()
    absent = usable[found[usable] < 0]
    _fail(frame, absent, f"{ROW_MISSING} {file.name} has none.")
    is_bad = ~is_usable(rows).to_numpy()
    bad = [k for k in usable if found[k] >= 0 and is_bad[found[k]]]
    for k in bad:
        _fail(frame, np.array([k]), f"{rows['reason'].iat[found[k]]} (in {file.name})")
    values = rows[names].to_numpy(np.float32)[np.maximum(found, 0)] if len(rows) else np.empty((len(ids), 0))
    values = np.where((found >= 0)[:, None], values, np.nan).astype(np.float32)
    columns = pd.DataFrame(values, columns=names, index=frame.index)
    strays = np.setdiff1d(np.arange(len(rows)), found)
    record: JsonObject = {
        "name": name,
        "file": file.name,
        "sha256": file_digest(file),
        "families": families,
        "columns": len(names),
        "n_rows": len(rows),
        "n_joined": len(usable) - len(absent) - len(bad),
        "n_without_row": len(absent),
        "n_without_clip": len(strays),
        **made_by,
    }
    notes = _notes(record, ids[absent].tolist(), rows["id"].iloc[strays].astype(str).tolist())
    metadata = dict(table.metadata)
    metadata["joined"] = [*metadata.get("joined", []), record]
    metadata["notes"] = [*metadata.get("notes", []), *notes, *map(str, other.metadata.get("notes", []))]
    return FeatureTable(pd.concat([frame, columns], axis=1), metadata)


def _notes(record: JsonObject, absent: list[str], strays: list[str]) -> list[str]:
    """What was joined, and what has no partner."""
    file = record["file"]
    notes = [f"{record['columns']} columns of {file} joined to {_count(record['n_joined'], 'clip')}."]
    if absent:
        notes.append(f"Without a row in {file}: {_count(len(absent), 'clip')} ({_examples(absent)}).")
    if strays:
        notes.append(f"Without a clip: {_count(len(strays), 'row')} of {file} ({_examples(strays)}).")
    return notes


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def _examples(ids: list[str]) -> str:
    return ", ".join(ids[:SHOWN]) + (", …" if len(ids) > SHOWN else "")


def _fail(frame: pd.DataFrame, rows: np.ndarray[tuple[int], np.dtype[np.int64]], reason: str) -> None:
    """Move rows to the failure ledger, in place."""
    columns = ["status", "stage", "error", "reason"]
    frame.loc[frame.index[rows], columns] = ["failed", "join", "AlignmentError", reason]


def _read(name: str, file: Path) -> tuple[FeatureTable, JsonObject]:
    """The other table with the names that its columns will have, and what it says about its origin."""
    ours = stored_metadata(file) if file.is_file() else None
    if ours is not None:
        table = read_feature_table(file)
        kept = ("parameters", "parameter_hash", "versions", "joined")
        return table, {"made_by": {key: ours[key] for key in kept if ours.get(key)}}
    content = read_table_file(file, text=Roles().text_columns)
    frame = content.frame.drop(columns=["label", "group", "split"], errors="ignore")
    try:
        content = replace(content, frame=_spread_lists(frame))
        table = foreign_table(content, Roles(id=_id_column(content)), name=name)
    except DatasetError as error:
        raise DatasetError(f"'{file}' cannot be joined. {error}") from error
    new_names = dict(zip(table.feature_names, _column_names(name, table.feature_names), strict=True))
    return FeatureTable(table.frame.rename(columns=new_names), table.metadata), {"made_by": _facts(file)}


def _id_column(content: TableContent) -> str | None:
    """The column with the ids; None leaves the choice to `foreign_table`."""
    names = content.frame.columns
    if "id" in names or content.index:
        return None
    return next((column for column in LIST_ID_COLUMNS if column in names), None)


def _spread_lists(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with a column per number, where a column holds lists of numbers of one length.

    Raises:
        DatasetError: lists of a column have different lengths.
    """
    for name in frame.columns:
        cells = frame[name].dropna()
        if frame[name].dtype != object or not len(cells) or not isinstance(cells.iloc[0], (list, np.ndarray)):
            continue
        lengths = {len(cell) for cell in cells}
        if len(lengths) > 1:
            raise DatasetError(
                f"Lists in the column '{name}' must have one length. Received {min(lengths)} to "
                f"{max(lengths)} numbers."
            )
        (length,) = lengths
        values = np.full((len(frame), length), np.nan)
        values[frame[name].notna().to_numpy()] = np.stack([np.asarray(cell, float) for cell in cells])
        digits = len(str(length))
        names = [f"{name}.{number:0{digits}d}" for number in range(1, length + 1)]
        spread = pd.DataFrame(values, columns=names, index=frame.index)
        frame = pd.concat([frame.drop(columns=name), spread], axis=1)
    return frame


def _column_names(name: str, columns: Sequence[str]) -> list[str]:
    """Names of the columns in their family, without a prefix that all share, such as `mert_`."""
    if columns and all(split_column(column) for column in columns):
        return list(columns)
    match = re.match(r".*[._-]", columns[0]) if len(columns) > 1 else None
    prefix = match[0] if match and all(column.startswith(match[0]) for column in columns) else ""
    return [f"{EMBEDDING_FAMILY}{name}.{column.removeprefix(prefix)}" for column in columns]


def _facts(file: Path) -> JsonObject:
    """What a parquet file states about itself, such as the name of a model."""
    if not is_parquet(file):
        return {}
    facts: JsonObject = {}
    for key, value in (read_schema(file).metadata or {}).items():
        try:
            word, text = key.decode("utf-8"), value.decode("utf-8")
        except UnicodeDecodeError:
            continue
        if word not in NOT_FACTS and len(word) <= MOST_TEXT and len(facts) < MOST_FACTS:
            facts[word] = text[:MOST_TEXT]
    return facts


def joined_families(metadata: Mapping[str, object]) -> dict[str, JsonObject]:
    """Family of joined columns → record of its table.

    Args:
        metadata: of a feature table, or the content of `bundle.json`.
    """
    records = metadata.get("joined") or []
    assert isinstance(records, list)
    return {family: record for record in records for family in record["families"]}


def foreign_columns(table: FeatureTable) -> list[str]:
    """Columns of a table that quintet did not make, joined ones included."""
    if table.parameters is None:
        return list(table.feature_names)
    records = joined_families(table.metadata)
    foreign = [family for family, record in records.items() if not record["made_by"].get("parameters")]
    return [name for name in table.feature_names if feature_family(name) in foreign]


def require_same_joins(trained: Mapping[str, object], received: Mapping[str, object]) -> None:
    """Require that the tables that are joined for a prediction are those of the training.

    Args:
        trained: content of `bundle.json`.
        received: metadata of the table to predict.

    Raises:
        AlignmentError: a table is not joined, or quintet made it with other parameters than that of the
            training.
    """
    wanted, present = joined_families(trained), joined_families(received)
    missing = sorted({str(record["name"]) for family, record in wanted.items() if family not in present})
    if missing:
        names = " ".join(f"--join {name}=FILE" for name in missing)
        raise AlignmentError(
            f"Joined tables must be those of the training. Missing: {', '.join(missing)}. Add {names}."
        )
    for family, record in wanted.items():
        hashes = [entry["made_by"].get("parameter_hash") for entry in (record, present[family])]
        if hashes[0] != hashes[1]:
            raise AlignmentError(
                f"A joined table must be made with the parameters of the training ({hashes[0]}). "
                f"{present[family]['file']} has {hashes[1]}: extract it again."
            )
