"""Features and spectrograms of a few clips in memory, without files and without worker processes.

Rows, failures and rounding are those of `extract` with `n_jobs=0`, whose table and spectrogram store are read
back: features are float32, and spectrograms are rounded to float16.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from quintet.datasets.manifest import Manifest
from quintet.features.columns import feature_names
from quintet.features.extraction.checkpoints import fact_frame, fact_table, table_rows
from quintet.features.extraction.extract import Progress, ProgressCallback
from quintet.features.extraction.gather import clip_tasks, table_meta, table_metadata
from quintet.features.extraction.worker import Job, Row, describe_clip
from quintet.features.parameters import FeatureParameters
from quintet.features.storage.table import METADATA_KEY, FeatureTable, table_schema


@dataclass(frozen=True)
class ClipDescriptions:
    """Features and spectrograms of some clips.

    Args:
        table: one row per clip, failed clips included, in the order of the manifest.
        spectrograms: id of a usable clip → log-mel spectrogram `(n_mels, frames)` in dB; empty if not asked
            for.
    """

    table: FeatureTable
    spectrograms: Mapping[str, NDArray[np.float32]]


def describe_in_memory(
    manifest: Manifest,
    parameters: FeatureParameters,
    *,
    log_mel: bool,
    strict: bool = False,
    progress: ProgressCallback | None = None,
) -> ClipDescriptions:
    """Compute features and spectrograms of every clip of a manifest in this process.

    Args:
        manifest: the clips.
        parameters: parameters of the features.
        log_mel: whether spectrograms are computed too.
        strict: whether a recording that is cut short counts as failed.
        progress: called before the first clip and after each clip.
    """
    job = Job(parameters, log_mel=log_mel, strict=strict)
    positions = np.flatnonzero(manifest.frame["problem"].isna())
    state = Progress(total=len(manifest), done=len(manifest) - len(positions))
    _report(progress, state)
    rows: list[Row] = []
    for task in clip_tasks(manifest, positions):
        row = describe_clip(task, job)
        rows.append(row)
        state = _next_state(state, row)
        _report(progress, state)
    return ClipDescriptions(_feature_table(manifest, parameters, rows), _spectrograms(manifest, rows))


def _next_state(state: Progress, row: Row) -> Progress:
    """The progress after one more clip."""
    duration_s = float(row.facts.get("duration_s") or 0.0)
    return Progress(state.total, state.done + 1, 0, state.failed + row.failed, state.audio_s + duration_s)


def _report(progress: ProgressCallback | None, state: Progress) -> None:
    if progress is not None:
        progress(state)


def _feature_table(manifest: Manifest, parameters: FeatureParameters, rows: list[Row]) -> FeatureTable:
    """The rows as the table that `read_feature_table` gives after an extraction."""
    names = feature_names(parameters)
    facts = fact_frame(fact_table(rows, manifest.frame, parameters.hash))
    meta = table_meta(manifest, facts.set_index("id").reindex(manifest.frame["id"]), parameters.hash)
    values = np.full((len(names), len(manifest)), np.nan, np.float32)
    for row in rows:
        if row.values is not None:
            values[:, row.position] = row.values
    schema = table_schema(names, table_metadata(manifest, parameters))
    arrow = table_rows(meta, values, schema)
    frame = arrow.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get, ignore_metadata=True)
    return FeatureTable(frame, json.loads(schema.metadata[METADATA_KEY]))


def _spectrograms(manifest: Manifest, rows: list[Row]) -> dict[str, NDArray[np.float32]]:
    ids = manifest.frame["id"]
    return {
        str(ids.iat[row.position]): np.ascontiguousarray(row.log_mel.T, dtype=np.float32)
        for row in rows
        if row.log_mel is not None
    }
