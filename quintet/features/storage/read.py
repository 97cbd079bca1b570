"""Reading of feature tables from disk: tables of ours, and tables of any program."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from quintet.errors import ArtefactError, QuintetError
from quintet.features.parameters import FeatureParameters
from quintet.features.storage.column_roles import Roles, left_out_note, refuse_roles, require_columns
from quintet.features.storage.external_table import fail_rows, foreign_table, read_external_table
from quintet.features.storage.split_lists import add_splits
from quintet.features.storage.table import (
    META_COLUMNS,
    META_TYPES,
    METADATA_KEY,
    SCHEMA_VERSION,
    FeatureTable,
    is_usable,
)
from quintet.files.display.file_names import name_text
from quintet.files.json_types import JsonObject
from quintet.files.paths import name_list, require_path
from quintet.files.tables import TableContent, read_table_file
from quintet.files.untrusted.parquet import PARQUET_ERRORS, is_parquet, read_parquet, read_schema
from quintet.files.untrusted.reasons import reason
from quintet.files.untrusted.strict_json import parse_object


def read_feature_table(
    path: str | os.PathLike[str],
    *,
    id_column: str | None = None,
    label_column: str | None = None,
    group_column: str | None = None,
    label_from: str | None = None,
    splits: Mapping[str, str | os.PathLike[str]] | str | os.PathLike[str] | None = None,
    exclude: Sequence[str] = (),
) -> FeatureTable:
    """Read a feature table: a table of ours, or a CSV or parquet table of any program.

    In an external table every column without a role becomes a feature and must hold numbers (see
    `external_table.Roles`). In our own tables the roles are known, and options that name columns are refused.

    Args:
        path: a `.parquet` or `.csv` file.
        id_column: column with the clip ids. Default: "id".
        label_column: column with the labels, of the table or else of `splits`. Default: "label", if the table
            has it.
        group_column: column with the groups, of the table or else of `splits`. Default: "group", if the table
            has it; otherwise every clip is its own group.
        label_from: regular expression whose first group, searched in the id, is the label: `"^([^.]+)"` for
            `blues.00001.wav`.
        splits: `{"train": file, "test": file}` with lists of ids, or one file with the columns id and split.
        exclude: columns to leave out.

    Raises:
        ArtefactError: the file is missing, damaged, or of another schema version.
        ConfigError: a column to leave out is missing.
        DatasetError: a column named here is missing, or a column without a role does not hold numbers.
    """
    source = Path(require_path(path, "`path`"))
    if not source.is_file():
        raise ArtefactError(
            f"A feature table must exist. There is no file {source}: "
            f"make one with `quintet extract SOURCE -o {source}`."
        )
    metadata = stored_metadata(source)
    if metadata is None:
        roles = Roles(id_column, label_column, group_column, label_from, name_list(exclude))
        content = read_table_file(source, text=roles.text_columns)
        in_lists = _columns_of_lists(content, roles) if splits else {}
        label = None if "label" in in_lists else label_column
        group = None if "group" in in_lists else group_column
        roles = replace(roles, label=label, group=group)
        table = foreign_table(content, roles, name=name_text(source.stem))
        return add_splits(table, splits, in_lists) if splits else table
    else:
        refuse_roles(
            id_column=id_column, label_column=label_column, group_column=group_column, label_from=label_from
        )
        frame = _read_frame(source)
        names = name_list(exclude)
        require_columns(names, [name for name in frame.columns if name not in META_COLUMNS])
        if names:
            metadata = {**metadata, "notes": [*metadata.get("notes", ()), left_out_note(names)]}
        table = FeatureTable(frame.drop(columns=list(names)), metadata)
    return add_splits(table, splits) if splits else table


def _columns_of_lists(content: TableContent, roles: Roles) -> dict[str, str]:
    """Role → its column, for the columns that a table lacks and lists of clips may have."""
    names = content.frame.columns
    return {
        role: column
        for role, column in (("label", roles.label), ("group", roles.group))
        if column is not None and column not in names and role not in names
    }


def read_model_rows(path: str | os.PathLike[str], roles: Roles) -> FeatureTable:
    """Read new rows for a model: a table of ours as it is, or the named features of an external table.

    Args:
        path: a `.parquet` or `.csv` file.
        roles: roles of the columns in the training, with the names of the features.

    Raises:
        ArtefactError: the file is missing, or it is neither parquet nor CSV.
        AlignmentError: a feature is missing.
        DatasetError: a feature does not hold numbers, or ids repeat.
    """
    source = Path(path)
    if source.is_file() and stored_metadata(source) is not None:
        return read_feature_table(source)
    return read_external_table(source, roles)


def stored_metadata(source: Path) -> JsonObject | None:
    """The JSON under our key in a parquet file, whatever its name; None if the table is not ours.

    Args:
        source: the file.

    Raises:
        ArtefactError: the file is damaged, of another schema version, or its parameters do not give its hash.
    """
    if not is_parquet(source):
        return None
    stored = (read_schema(source).metadata or {}).get(METADATA_KEY)
    if stored is None:
        return None
    metadata = parse_object(stored, source)
    if metadata.get("schema_version") != SCHEMA_VERSION:
        raise ArtefactError(
            f"This version reads feature tables of schema {SCHEMA_VERSION}. "
            f"{source} has {metadata.get('schema_version')}: extract it again."
        )
    _require_hash(metadata, source)
    return metadata


def is_own_table(source: Path) -> bool:
    """Whether a file is a parquet file with our metadata. A damaged file is not.

    Args:
        source: any path.
    """
    try:
        return is_parquet(source) and METADATA_KEY in (read_schema(source).metadata or {})
    except (ArtefactError, OSError):
        return False


def _read_frame(source: Path) -> pd.DataFrame:
    """The rows of a table of ours. Whole numbers may be missing.

    Raises:
        ArtefactError: the file is damaged, or much smaller than its table.
    """
    integers = {pa.int64(): pd.Int64Dtype()}
    try:
        table = _typed(read_parquet(source))
        frame: pd.DataFrame = table.to_pandas(types_mapper=integers.get, ignore_metadata=True)
    except QuintetError:
        raise
    except PARQUET_ERRORS as error:
        raise ArtefactError(
            f"A feature table must be a whole parquet file. {source} cannot be read ({reason(error)}): "
            "extract it again."
        ) from error
    _fail_nonfinite(frame)
    return frame


def _fail_nonfinite(frame: pd.DataFrame) -> None:
    """Mark usable rows as failed that have a number which is not finite. Quintet writes none."""
    names = [name for name in frame.columns if name not in META_TYPES]
    facts = [name for name in frame.columns if name in META_TYPES]
    if "status" not in facts:
        return  # the table is refused for it
    bad = np.zeros(len(frame), dtype=bool)
    for name in names:  # a column at a time: a copy of all would take as much memory as the table
        with np.errstate(over="ignore"):
            bad |= ~np.isfinite(frame[name].to_numpy(dtype=np.float32, na_value=np.nan))
    bad &= is_usable(frame).to_numpy()
    if bad.any():
        rows = frame.loc[bad, facts].copy()
        fail_rows(rows, frame.loc[bad, names].astype(np.float32), labelled=False)
        frame.loc[bad, facts] = rows


def _typed(table: pa.Table) -> pa.Table:
    """A table of ours with the types that its columns must have.

    Raises:
        ValueError, pyarrow.ArrowException: if a column cannot have its type.
    """
    names = table.column_names
    if len(set(names)) < len(names):
        raise ValueError("two of its columns have one name")
    for k, field in enumerate(table.schema):
        kind = META_TYPES.get(field.name)
        if kind is not None and kind != field.type:
            table = table.set_column(k, pa.field(field.name, kind), table.column(k).cast(kind))
        if kind is None and not (pa.types.is_floating(field.type) or pa.types.is_integer(field.type)):
            raise ValueError(f"the column {field.name[:60]!r} holds {field.type}, no numbers")
    return table


def _require_hash(metadata: JsonObject, source: Path) -> None:
    if metadata.get("parameters") is None:
        return
    stated = metadata.get("parameter_hash")
    received = FeatureParameters.parse(metadata["parameters"], where=f"The feature table {source}").hash
    if received != stated:
        raise ArtefactError(
            "The parameters in a feature table must give its parameter hash. "
            f"{source} states {stated}, but its parameters give {received} "
            "in this version: extract it again."
        )
