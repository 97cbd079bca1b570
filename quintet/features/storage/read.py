"""Reading of feature tables from disk: tables of ours, and tables of any program."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from quintet.errors import ArtefactError
from quintet.features.parameters import FeatureParameters
from quintet.features.storage.column_roles import Roles, refuse_roles
from quintet.features.storage.external_table import read_external_table
from quintet.features.storage.split_lists import add_splits
from quintet.features.storage.table import META_COLUMNS, METADATA_KEY, SCHEMA_VERSION, FeatureTable
from quintet.files.json_types import JsonObject
from quintet.files.paths import name_list, require_path


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
        label_column: column with the labels. Default: "label", if the table has it.
        group_column: column with the groups. Default: "group", if the table has it; otherwise every clip is
            its own group.
        label_from: regular expression whose first group, searched in the id, is the label: `"^([^.]+)"` for
            `blues.00001.wav`.
        splits: `{"train": file, "test": file}` with lists of ids, or one file with the columns id and split.
        exclude: columns to leave out.

    Raises:
        ArtefactError: the file is missing, damaged, or of another schema version.
        DatasetError: a column named here is missing, or a column without a role does not hold numbers.
    """
    source = Path(require_path(path, "`path`"))
    if not source.is_file():
        raise ArtefactError(
            f"A feature table must exist. There is no file {source}: "
            f"make one with `quintet extract SOURCE -o {source}`."
        )
    metadata = _stored_metadata(source)
    if metadata is None:
        roles = Roles(id_column, label_column, group_column, label_from, name_list(exclude))
        table = read_external_table(source, roles)
    else:
        refuse_roles(
            id_column=id_column, label_column=label_column, group_column=group_column, label_from=label_from
        )
        integers = {pa.int64(): pd.Int64Dtype()}
        frame = pq.read_table(source).to_pandas(types_mapper=integers.get, ignore_metadata=True)
        dropped = [name for name in exclude if name not in META_COLUMNS]
        table = FeatureTable(frame.drop(columns=dropped, errors="ignore"), metadata)
    return add_splits(table, splits) if splits else table


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
    if source.is_file() and _stored_metadata(source) is not None:
        return read_feature_table(source)
    return read_external_table(source, roles)


def _stored_metadata(source: Path) -> JsonObject | None:
    """The JSON under our key in a parquet file; None if the table is not ours.

    Raises:
        ArtefactError: the file is damaged, of another schema version, or its parameters do not give its hash.
    """
    if source.suffix.lower() not in (".parquet", ".pq"):
        return None
    try:
        stored = (pq.read_schema(source).metadata or {}).get(METADATA_KEY)
    except (pa.ArrowInvalid, OSError) as error:
        raise ArtefactError(
            "A feature table must be a whole parquet file. "
            f"{source} cannot be read ({error}): extract it again."
        ) from error
    if stored is None:
        return None
    metadata: JsonObject = json.loads(stored)
    if metadata.get("schema_version") != SCHEMA_VERSION:
        raise ArtefactError(
            f"This version reads feature tables of schema {SCHEMA_VERSION}. "
            f"{source} has {metadata.get('schema_version')}: extract it again."
        )
    _require_hash(metadata, source)
    return metadata


def _require_hash(metadata: JsonObject, source: Path) -> None:
    if metadata.get("parameters") is None:
        return
    received = FeatureParameters.parse(metadata["parameters"], where=f"The feature table {source}").hash
    if received != metadata["parameter_hash"]:
        raise ArtefactError(
            "The parameters in a feature table must give its parameter hash. "
            f"{source} states {metadata['parameter_hash']}, but its parameters give {received} "
            "in this version: extract it again."
        )
