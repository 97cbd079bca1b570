"""Feature tables: one row per clip, with its facts and features, written to parquet.

A table has the columns `META_COLUMNS`, then one float32 column per feature. Every clip of a source has
exactly one row. A recording that is cut short has `status` "truncated", a reason and its missing seconds; its
features are those of the sound that is there. A clip that could not be described has `status` "failed", a
stage, the class of the error and a sentence. Facts that hold for all rows (parameters and their hash,
versions, the name of the dataset) are JSON in the metadata of the file, under the key `quintet`.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from quintet import __version__
from quintet.datasets.labels import is_label_set
from quintet.errors import AlignmentError, ArtefactError
from quintet.features.parameters import FeatureParameters
from quintet.files.atomic import atomic_replace
from quintet.files.digests import content_hash
from quintet.files.display.notebook import notebook_html
from quintet.files.json_types import JsonObject

SCHEMA_VERSION = 1
METADATA_KEY = b"quintet"

META_TYPES = {
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
    "missing_s": pa.float64(),
}
META_COLUMNS: tuple[str, ...] = tuple(META_TYPES)
"""Columns that every feature table has before its features."""
USABLE = ("ok", "truncated")
"""Values of `status` of a row with features. A truncated recording is described as far as it goes."""
FAILURE_COLUMNS = ("id", "path", "label", "group", "stage", "error", "reason")
TRUNCATION_COLUMNS = ("id", "path", "duration_s", "missing_s", "reason")


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """Named features of many clips, with facts of each clip and of the extraction.

    Args:
        frame: one row per clip: the columns `META_COLUMNS`, then the features, float32, finite if `status` is
            "ok".
        metadata: facts of all rows: `parameters` (None for an external table), `parameter_hash`, `versions`,
            `dataset`, …

    Raises:
        ArtefactError: a column of `META_COLUMNS` is missing, or two usable rows have the same id.
    """

    frame: pd.DataFrame
    metadata: JsonObject

    def __post_init__(self) -> None:
        if "missing_s" not in self.frame.columns:  # versions before it refused truncated recordings
            object.__setattr__(self, "frame", self.frame.assign(missing_s=np.nan))
        missing = [column for column in META_COLUMNS if column not in self.frame.columns]
        if missing:
            raise ArtefactError(
                f"A feature table must have the columns {', '.join(META_COLUMNS)}. "
                f"Missing: {', '.join(missing)}."
            )
        repeated = self.meta.index[self.meta.index.duplicated()]
        if len(repeated):
            raise ArtefactError(
                "Every usable row of a feature table must have its own id. "
                f"{len(repeated)} come twice, for example {repeated[0]!r}."
            )

    def _repr_html_(self) -> str:
        n_failed = len(self.failures)
        facts = f"{len(self.meta)} usable clips × {len(self.feature_names)} features, {n_failed} failed"
        return notebook_html(facts, self.frame)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the features, in the order of the columns."""
        return tuple(column for column in self.frame.columns if column not in META_TYPES)

    @cached_property
    def features(self) -> pd.DataFrame:
        """Features of the usable rows: float32, indexed by clip id."""
        usable = self.frame[is_usable(self.frame)]
        ids = pd.Index(usable["id"], name="id")
        return usable[list(self.feature_names)].astype(np.float32).set_axis(ids, axis=0)

    @cached_property
    def meta(self) -> pd.DataFrame:
        """Facts of the usable rows (all `META_COLUMNS` but the id), indexed by clip id."""
        return self.frame.loc[is_usable(self.frame), list(META_COLUMNS)].set_index("id")

    @cached_property
    def failures(self) -> pd.DataFrame:
        """The failure ledger: id, path, label, group, stage, error and reason of every clip that failed."""
        return self.frame.loc[~is_usable(self.frame), list(FAILURE_COLUMNS)].reset_index(drop=True)

    @property
    def parameters(self) -> FeatureParameters | None:
        """Parameters of the extraction; None for an external table."""
        given = self.metadata.get("parameters")
        return None if given is None else FeatureParameters.parse(given, where="The feature table")

    @property
    def parameter_hash(self) -> str:
        """16 hex digits: of the parameters, or of the column names if no parameters are known."""
        return str(self.metadata["parameter_hash"])

    @cached_property
    def multilabel(self) -> bool:
        """Whether labels are sets, written `rock;live`: if a usable row has one, or if they were declared."""
        if not self.metadata.get("multilabel", False):
            return False
        usable_labels = self.meta["label"].dropna()
        return bool(self.metadata.get("label_sets_declared")) or any(map(is_label_set, usable_labels))

    @property
    def grouped(self) -> bool:
        """Whether groups are known (artist, album, fold). If not, every clip is its own group."""
        return bool(self.metadata.get("grouped", False))

    def __len__(self) -> int:
        return len(self.frame)

    def take(self, ids: Sequence[str]) -> FeatureTable:
        """The rows of these clips, in this order.

        Raises:
            AlignmentError: one of them has no usable row.
        """
        wanted = pd.Index(ids)
        usable = self.frame[is_usable(self.frame)].set_index("id", drop=False)
        missing = wanted.difference(usable.index)
        if len(missing):
            raise AlignmentError(
                f"Every clip must have a usable row. {len(missing)} of {len(wanted)} have none, "
                f"for example {missing[0]!r}."
            )
        return FeatureTable(usable.loc[wanted].reset_index(drop=True), self.metadata)


def is_usable(frame: pd.DataFrame) -> pd.Series:
    """Whether each row has features: the status is `ok` or `truncated`.

    Example:
        >>> is_usable(pd.DataFrame({"status": ["ok", "failed", "truncated"]})).tolist()
        [True, False, True]
    """
    return frame["status"].isin(USABLE)


def library_versions(*, with_networks: bool = False) -> dict[str, str]:
    """Versions of the libraries that feature values may depend on. None of them is imported.

    Args:
        with_networks: whether columns are outputs of pretrained networks.
    """
    versions = {"quintet": __version__}
    names = ("librosa", "numpy", "scipy", "numba", "soundfile", "soxr", "av")
    for name in (*names, "onnxruntime") if with_networks else names:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def names_hash(names: Sequence[str]) -> str:
    """16 hex digits of column names: the `parameter_hash` of a table without known parameters."""
    return hashlib.sha256(json.dumps(list(names)).encode()).hexdigest()[:16]


def table_schema(names: Sequence[str], metadata: Mapping[str, object]) -> pa.Schema:
    """Schema of a feature table on disk: its columns and metadata.

    Example:
        >>> table_schema(["signal.rms.mean"], {"parameter_hash": "0"}).field("signal.rms.mean").type
        DataType(float)
    """
    fields = [pa.field(name, kind) for name, kind in META_TYPES.items()]
    fields += [pa.field(name, pa.float32()) for name in names]
    text = json.dumps({"schema_version": SCHEMA_VERSION, **metadata}, sort_keys=True)
    return pa.schema(fields, metadata={METADATA_KEY: text.encode()})


def write_feature_table(table: FeatureTable, path: str | os.PathLike[str]) -> None:
    """Write a feature table to one parquet file, completely or not at all."""
    schema = table_schema(table.feature_names, table.metadata)
    frame = table.frame[[*META_COLUMNS, *table.feature_names]]
    arrow = pa.Table.from_pandas(frame, schema=schema, preserve_index=False)
    arrow = arrow.replace_schema_metadata(schema.metadata)
    with atomic_replace(Path(path)) as temporary:
        pq.write_table(arrow, temporary, compression="zstd", use_dictionary=list(META_COLUMNS))


def table_digest(table: FeatureTable) -> str:
    """16 hex digits of ids, labels, groups, status and feature values of a table."""
    texts = table.frame[["id", "label", "group", "status"]].astype(str)
    text_hash = int(pd.util.hash_pandas_object(texts).sum())
    values = np.ascontiguousarray(table.features.to_numpy(np.float32))
    values_hash = hashlib.sha256(values.tobytes()).hexdigest()[:16]
    return content_hash([text_hash, values_hash])
