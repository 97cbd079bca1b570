"""The feature table: one row per clip, with its provenance, in and out of parquet.

A table has the columns `META_COLUMNS`, then one float32 column per feature. Every clip of a source has exactly one row: what could not
be described has `status` "failed", a stage, the class of the error and a sentence. What holds for all rows (parameters and their
hash, versions, the name of the dataset) travels as JSON in the file's own metadata under the key `quintet`.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from quintet.errors import AlignmentError, ArtefactError
from quintet.features.parameters import FeatureParameters
from quintet.files.digests import content_hash

SCHEMA_VERSION = 1
METADATA_KEY = b"quintet"

_META_TYPES = {
    "id": pa.string(),
    "path": pa.string(),
    "label": pa.string(),
    "group": pa.string(),
    "status": pa.string(),
    "reason": pa.string(),
    "duration_s": pa.float64(),
    "native_sample_rate": pa.int64(),
    "native_channels": pa.int64(),
    "audio_digest": pa.string(),
    "start": pa.float64(),
    "end": pa.float64(),
    "split": pa.string(),
    "stage": pa.string(),
    "error": pa.string(),
    "parameter_hash": pa.string(),
    "source_size": pa.int64(),
    "source_mtime_ns": pa.int64(),
}
META_COLUMNS: tuple[str, ...] = tuple(_META_TYPES)
FAILURE_COLUMNS = ("id", "path", "label", "group", "stage", "error", "reason")


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """Named features of many clips, with what is known of each clip and of the run that made them.

    Args:
        frame: one row per clip: the columns `META_COLUMNS`, then the features, float32, finite where `status` is "ok".
        metadata: what holds for all rows: `parameters` (or None for a table from elsewhere), `parameter_hash`, `versions`, `dataset`, …

    Raises:
        ArtefactError: if a column of `META_COLUMNS` is missing or an id of a usable row comes twice.
    """

    frame: pd.DataFrame
    metadata: dict[str, Any]

    def __post_init__(self) -> None:
        missing = [column for column in META_COLUMNS if column not in self.frame.columns]
        if missing:
            raise ArtefactError(
                f"A feature table must have the columns {', '.join(META_COLUMNS)}. Missing: {', '.join(missing)}."
            )
        twice = self.meta.index[self.meta.index.duplicated()]
        if len(twice):
            raise ArtefactError(
                f"Every usable row of a feature table must have its own id. {len(twice)} come twice, for example {twice[0]!r}."
            )

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The names of the features, in the order of the columns."""
        return tuple(column for column in self.frame.columns if column not in _META_TYPES)

    @cached_property
    def features(self) -> pd.DataFrame:
        """The features of the usable rows: float32, indexed by clip id."""
        ok = self.frame["status"] == "ok"
        return (
            self.frame.loc[ok, list(self.feature_names)]
            .astype(np.float32)
            .set_axis(pd.Index(self.frame.loc[ok, "id"], name="id"), axis=0)
        )

    @cached_property
    def meta(self) -> pd.DataFrame:
        """What is known of the usable rows besides their features, indexed by clip id."""
        return self.frame.loc[self.frame["status"] == "ok", list(META_COLUMNS)].set_index("id")

    @cached_property
    def failures(self) -> pd.DataFrame:
        """The ledger: id, path, label, group, stage, error and reason of every clip that could not be used."""
        return self.frame.loc[self.frame["status"] != "ok", list(FAILURE_COLUMNS)].reset_index(drop=True)

    @property
    def parameters(self) -> FeatureParameters | None:
        """The parameters of the extraction; None for a table that was made elsewhere."""
        given = self.metadata.get("parameters")
        return None if given is None else FeatureParameters.parse(given, where="The feature table")

    @property
    def parameter_hash(self) -> str:
        """16 hex digits: of the parameters, or of the column names where no parameters are known."""
        return str(self.metadata["parameter_hash"])

    @property
    def multilabel(self) -> bool:
        """Whether a label is a set, written `rock;live`."""
        return bool(self.metadata.get("multilabel", False))

    @property
    def grouped(self) -> bool:
        """Whether the groups say something (artist, album, fold) or only repeat the ids."""
        return bool(self.metadata.get("grouped", False))

    def __len__(self) -> int:
        return len(self.frame)

    def take(self, ids: Sequence[str]) -> FeatureTable:
        """The rows of these clips, in this order.

        Raises:
            AlignmentError: if one of them has no usable row.
        """
        wanted, usable = pd.Index(ids), self.frame[self.frame["status"] == "ok"].set_index("id", drop=False)
        missing = wanted.difference(usable.index)
        if len(missing):
            raise AlignmentError(
                f"Every clip must have a usable row. {len(missing)} of {len(wanted)} have none, for example {missing[0]!r}."
            )
        return FeatureTable(usable.loc[wanted].reset_index(drop=True), self.metadata)

    def select(self, names: Iterable[str]) -> FeatureTable:
        """The same rows with these features only.

        Raises:
            AlignmentError: if a name is not a feature of this table.
        """
        wanted = list(names)
        missing = [name for name in wanted if name not in self.feature_names]
        if missing:
            raise AlignmentError(
                f"Every feature must be a column of the table. Missing: {', '.join(missing[:5])} ({len(missing)} in all)."
            )
        return FeatureTable(self.frame[[*META_COLUMNS, *wanted]], self.metadata)


def library_versions() -> dict[str, str]:
    """The versions of the libraries that a feature value may depend on, without importing any of them."""
    found = {}
    for name in ("quintet", "librosa", "numpy", "scipy", "numba", "soundfile", "soxr", "av"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def names_hash(names: Sequence[str]) -> str:
    """16 hex digits of a list of column names: the `parameter_hash` of a table whose parameters are unknown."""
    return hashlib.sha256(json.dumps(list(names)).encode()).hexdigest()[:16]


def table_schema(names: Sequence[str], metadata: Mapping[str, Any]) -> pa.Schema:
    """The columns of a feature table on disk, with its metadata.

    Example:
        >>> table_schema(["signal.rms.mean"], {"parameter_hash": "0"}).field("signal.rms.mean").type
        DataType(float)
    """
    fields = [pa.field(name, kind) for name, kind in _META_TYPES.items()] + [
        pa.field(name, pa.float32()) for name in names
    ]
    text = json.dumps({"schema_version": SCHEMA_VERSION, **metadata}, sort_keys=True)
    return pa.schema(fields, metadata={METADATA_KEY: text.encode()})


def write_feature_table(table: FeatureTable, path: str | os.PathLike[str]) -> None:
    """Write a feature table to one parquet file, all of it or nothing."""
    schema = table_schema(table.feature_names, table.metadata)
    arrow = pa.Table.from_pandas(
        table.frame[[*META_COLUMNS, *table.feature_names]], schema=schema, preserve_index=False
    ).replace_schema_metadata(schema.metadata)
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    pq.write_table(arrow, temporary, compression="zstd", use_dictionary=list(META_COLUMNS))
    os.replace(temporary, target)


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
    """A feature table from disk: ours, or anybody's CSV or parquet.

    In a table from elsewhere every column that has no role becomes a feature and must hold numbers; see `features.foreign` for the
    roles. In our own tables the roles are known and these options are refused, `splits` and `exclude` excepted.

    Args:
        path: a `.parquet` or `.csv` file.
        id_column: the column that names the clip ("id" if the table has one).
        label_column: the column of the labels ("label" if the table has one).
        group_column: the column of the groups ("group" if the table has one); without it every clip is its own group.
        label_from: a regular expression whose first group, searched in the id, is the label: `"^([^.]+)"` for `blues.00001.wav`.
        splits: `{"train": file, "test": file}`, lists of ids, or one file with the columns id and split.
        exclude: columns to leave out.

    Raises:
        ArtefactError: if the file is missing, damaged, or of another schema version.
        DatasetError: if a column named here is missing, or a column without a role does not hold numbers.
    """
    from quintet.features.storage import external_table as foreign  # it builds on this module

    source = Path(path)
    if not source.is_file():
        raise ArtefactError(
            f"A feature table must exist. There is no file {source}: make one with `quintet extract SOURCE -o {source}`."
        )
    metadata = _stored_metadata(source)
    if metadata is None:
        roles = foreign.Roles(
            id=id_column,
            label=label_column,
            group=group_column,
            label_from=label_from,
            exclude=tuple(exclude),
        )
        table = foreign.foreign_table(foreign.read_any(source), roles, name=source.stem)
    else:
        foreign.refuse_roles(
            id_column=id_column, label_column=label_column, group_column=group_column, label_from=label_from
        )
        frame = pq.read_table(source).to_pandas(
            types_mapper={pa.int64(): pd.Int64Dtype()}.get, ignore_metadata=True
        )
        table = FeatureTable(
            frame.drop(columns=[name for name in exclude if name not in META_COLUMNS], errors="ignore"),
            metadata,
        )
    return foreign.add_splits(table, splits) if splits else table


def _stored_metadata(source: Path) -> dict[str, Any] | None:
    """The JSON under our key in a parquet file; None if the table is not ours.

    Raises:
        ArtefactError: if the file is damaged, of another schema version, or its parameters do not give its hash.
    """
    if source.suffix.lower() not in (".parquet", ".pq"):
        return None
    try:
        stored = (pq.read_schema(source).metadata or {}).get(METADATA_KEY)
    except (pa.ArrowInvalid, OSError) as error:
        raise ArtefactError(
            f"A feature table must be a whole parquet file. {source} cannot be read ({error}): extract it again."
        ) from error
    if stored is None:
        return None
    metadata: dict[str, Any] = json.loads(stored)
    if metadata.get("schema_version") != SCHEMA_VERSION:
        raise ArtefactError(
            f"This version reads feature tables of schema {SCHEMA_VERSION}. {source} has {metadata.get('schema_version')}: extract it again."
        )
    _require_hash(metadata, source)
    return metadata


def _require_hash(metadata: Mapping[str, Any], source: Path) -> None:
    if metadata.get("parameters") is None:
        return
    received = FeatureParameters.parse(metadata["parameters"], where=f"The feature table {source}").hash
    if received != metadata["parameter_hash"]:
        raise ArtefactError(
            f"The parameters in a feature table must give its parameter hash. {source} says {metadata['parameter_hash']}, "
            f"but its parameters give {received} in this version of Quintet: extract it again."
        )


def concat_tables(tables: Sequence[FeatureTable]) -> FeatureTable:
    """The rows of several tables under one another.

    Raises:
        AlignmentError: if there is none, their parameters or columns differ, or a clip is in two of them.
    """
    if not tables:
        raise AlignmentError("At least one feature table must be given to join. Received none.")
    first = tables[0]
    for other in tables[1:]:
        if other.parameter_hash != first.parameter_hash or other.feature_names != first.feature_names:
            raise AlignmentError(
                f"Feature tables must come from the same parameters to be joined. Received {first.parameter_hash} and {other.parameter_hash}"
                f"{_difference(first, other)}. Extract one of them again with the parameters of the other."
            )
        if other.multilabel != first.multilabel:
            raise AlignmentError(
                "Feature tables must agree on whether a label is a set. Received one of single labels and one of label sets."
            )
    ids = pd.concat([table.frame["id"] for table in tables])
    if ids.duplicated().any():
        raise AlignmentError(
            f"A clip must be in one of the tables only. {ids[ids.duplicated()].iloc[0]!r} is in two of them."
        )
    metadata = {
        **first.metadata,
        "dataset": "+".join(str(t.metadata.get("dataset", "")) for t in tables),
        "grouped": all(t.grouped for t in tables),
    }
    return FeatureTable(pd.concat([table.frame for table in tables], ignore_index=True), metadata)


def _difference(a: FeatureTable, b: FeatureTable) -> str:
    """The names of the parameters that differ, as ` (they differ in hop_length)`; empty where none are known."""
    ours, theirs = a.metadata.get("parameters") or {}, b.metadata.get("parameters") or {}
    names = sorted(name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name))
    return f" (they differ in {', '.join(names)})" if names else ""


def table_digest(table: FeatureTable) -> str:
    """16 hex digits of ids, labels, groups, status and feature values of a table."""
    columns = ["id", "label", "group", "status"]
    return content_hash(
        [
            int(pd.util.hash_pandas_object(table.frame[columns].astype(str)).sum()),
            _values_digest(table.features),
        ]
    )


def _values_digest(features: pd.DataFrame) -> str:
    return hashlib.sha256(np.ascontiguousarray(features.to_numpy(np.float32)).tobytes()).hexdigest()[:16]
