"""Features and spectrograms of a few clips in memory, without files.

Rows, failures and rounding are those of `extract`, whose table and spectrogram store are read back: features
are float32, and spectrograms are rounded to float16. The clips are read in worker processes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from quintet.audio.isolation.calls import LostWorkerError, map_isolated
from quintet.datasets.manifest import Manifest
from quintet.features.columns import feature_names
from quintet.features.engine.warm_up import kernels_available
from quintet.features.extraction.checkpoints import fact_frame, fact_table, table_rows
from quintet.features.extraction.chunks import FAULTS, Progress, ProgressCallback
from quintet.features.extraction.gather import clip_tasks, table_meta, table_metadata
from quintet.features.extraction.worker import Job, Row, describe_clip, failure, file_facts
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


def describe_clips(
    manifest: Manifest, job: Job, *, n_jobs: int = 1, progress: ProgressCallback | None = None
) -> list[Row]:
    """Rows of the clips of a manifest, in their order; none for a clip with a problem.

    Args:
        manifest: the clips.
        job: what to do with every clip.
        n_jobs: number of worker processes; -1 is one per processor.
        progress: called before the first clip and after each clip.
    """
    positions = np.flatnonzero(manifest.frame["problem"].isna())
    state = Progress(total=len(manifest), done=len(manifest) - len(positions))
    _report(progress, state)
    rows: list[Row] = []
    tasks = list(clip_tasks(manifest, positions))
    calls = ((task, job) for task in tasks)
    results = map_isolated(describe_clip, calls, n_workers=n_jobs, set_up=kernels_available)
    for task, result in zip(tasks, results, strict=True):
        if isinstance(result, LostWorkerError):
            facts = failure("worker", FAULTS[result.kind], str(result))
            result = Row(task.position, facts=file_facts(task.source.path) | facts)
        if isinstance(result, Exception):
            raise result
        rows.append(result)
        state = next_state(state, result)
        _report(progress, state)
    return rows


def collect_rows(manifest: Manifest, parameters: FeatureParameters, rows: list[Row]) -> ClipDescriptions:
    """Rows as a feature table and spectrograms.

    Args:
        manifest: the clips.
        parameters: parameters of the features.
        rows: rows of clips, by their position in the manifest.
    """
    return ClipDescriptions(_feature_table(manifest, parameters, rows), _spectrograms(manifest, rows))


def next_state(state: Progress, row: Row) -> Progress:
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
