"""Many clips: from a manifest to one feature table, in parallel, resumable, with a ledger.

The order of things in a run: see what is there already and still true (`freshness`), describe the rest in a pool and keep it in parts, gather
one table in the order of the manifest. Resuming after a crash and running again over a finished table are the same thing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from quintet.audio.decode import ClipSource
from quintet.datasets.manifest import Manifest
from quintet.errors import ConfigError, DatasetError
from quintet.features.columns import feature_names
from quintet.features.extraction.checkpoints import (
    FACTS,
    Parts,
    finished_metadata,
    latest_facts,
    split_into_chunks,
    table_block,
    table_facts,
    write_final_table,
)
from quintet.features.extraction.pools import Chunk, describe_chunks, open_pool
from quintet.features.extraction.reuse import Plan, has_outdated_digest, plan_extraction
from quintet.features.extraction.worker import ClipTask, Job, Row, failure
from quintet.features.parameters import FeatureParameters
from quintet.features.storage.spectrograms import SpectrogramWriter
from quintet.features.storage.table import FAILURE_COLUMNS, META_COLUMNS, library_versions, table_schema
from quintet.files.atomic import exclusive_lock
from quintet.files.remote import edit_locally, is_remote

FLUSH_S, FLUSH_ROWS = 5.0, 500  # a part is written when either is reached
CHUNK_S, CHUNK_CLIPS = (
    120.0,
    16,
)  # a worker is handed this much audio (estimated), or this many clips, at a time
_FROM_MANIFEST = ("id", "path", "label", "group", "start", "end", "split")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an extraction is.

    Args:
        total: clips in the manifest.
        done: clips that have their row, reused ones included.
        reused: clips whose row was there already.
        failed: clips in the ledger so far.
        audio_s: seconds of audio described in this run.
    """

    total: int
    done: int = 0
    reused: int = 0
    failed: int = 0
    audio_s: float = 0.0


ProgressCallback = Callable[[Progress], object]
"""Receives the progress of work on clips."""


@dataclass(frozen=True)
class ExtractionSummary:
    """What an extraction came to.

    Args:
        n_ok: clips with features.
        n_failed: clips in the ledger.
        n_reused: clips (of both kinds) whose row was there already and still true.
        failures: the ledger: id, path, label, group, stage, error, reason.
        seconds: wall-clock time of this run.
        output: the table, as it was named.
        notes: what the user should know: why earlier rows were not reused, that versions differ.
    """

    n_ok: int
    n_failed: int
    n_reused: int
    failures: pd.DataFrame
    seconds: float
    output: Path | str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Options:
    """How an extraction is done; the arguments of `extract`, which see."""

    job: Job
    spectrograms: Path | None = None
    n_jobs: int = 1
    progress: ProgressCallback | None = None
    max_failures: int | float | None = None
    timeout_s: float | None = None
    scheduler: str | None = None
    retry_failed: bool = False


def extract(
    manifest: Manifest,
    output: str | os.PathLike[str],
    *,
    parameters: FeatureParameters,
    spectrograms: str | os.PathLike[str] | None = None,
    n_jobs: int = 1,
    progress: ProgressCallback | None = None,
    max_failures: int | float | None = None,
    timeout_s: float | None = None,
    scheduler: str | None = None,
    retry_failed: bool = False,
) -> ExtractionSummary:
    """One feature table of all clips of a manifest, in its order: what is there and still true is kept, the rest is described.

    A row is still true if its parameters are the same and its file has the same size and time of change. Whatever happens to a clip, it has
    one row: of features, or of the stage and reason of its failure. Interrupted at any moment (Ctrl-C, SIGKILL, power) and run again, the
    extraction goes on where it was, and the table is the same, to the byte, as if nothing had happened.

    Args:
        manifest: the clips.
        output: the parquet file, or a URL that fsspec knows; beside it, `output.parts` holds the parts of an unfinished run.
        parameters: of the features.
        spectrograms: the folder of a `SpectrogramStore` to fill too.
        n_jobs: worker processes; -1 is one per processor. One worker is a process of its own, too, so that a crashing decoder
            costs a clip and not the run; 0 works in this process, which starts faster and survives no crash.
        progress: called with a `Progress` now and then.
        max_failures: more failed clips than this end the run: a number (int), or a fraction of all (float between 0 and 1).
        timeout_s: the longest that one clip may take, seconds.
        scheduler: the address of a dask scheduler (`tcp://host:8786`) whose workers see the same paths; `n_jobs` is then ignored.
        retry_failed: try failed clips again although their files have not changed.

    Raises:
        DatasetError: if more than `max_failures` clips failed. What was done is kept.
        ArtefactError: if `output` is something else, or another process is writing it.
        ConfigError: if the spectrogram store has other parameters, or settings contradict each other.
    """
    if spectrograms is not None and is_remote(spectrograms):
        raise ConfigError(
            f"A spectrogram store is mapped into memory and must be a local folder. Received {spectrograms}: write it here and copy it."
        )
    store = None if spectrograms is None else Path(spectrograms)
    job = Job(parameters, log_mel=store is not None)
    options = Options(job, store, n_jobs, progress, max_failures, timeout_s, scheduler, retry_failed)
    if isinstance(output, str) and is_remote(output):
        with edit_locally(output) as local:
            return replace(run_extraction(manifest, local, options), output=output)
    return run_extraction(manifest, Path(output), options)


def run_extraction(manifest: Manifest, output: Path, options: Options) -> ExtractionSummary:
    """`extract` with its settings in one place, the functions that load and describe a clip among them."""
    began = time.monotonic()
    limit = _failure_limit(options.max_failures, len(manifest))
    folder = output.with_name(output.name + ".parts")
    finished = finished_metadata(output)
    with exclusive_lock(folder / ".lock", what=f"{output}"):
        parts = Parts(folder, feature_names(options.job.parameters), options.job.parameters.hash)
        with _spectrogram_writer(options) or nullcontext() as writer:
            known = _known(output, finished, parts)
            plan = plan_extraction(manifest, known, writer, retry_failed=options.retry_failed)
            notes = _notes(finished, parts, int(has_outdated_digest(known).sum()))
            _Run(manifest, parts, writer, options, limit, plan).describe()
        del writer, known  # what they know of every clip
        ledger = _gather(manifest, output, finished, parts, options)
        parts.remove()
    return ExtractionSummary(
        n_ok=len(manifest) - len(ledger),
        n_failed=len(ledger),
        n_reused=plan.reused,
        failures=ledger,
        seconds=time.monotonic() - began,
        output=output,
        notes=notes,
    )


def _spectrogram_writer(options: Options) -> SpectrogramWriter | None:
    if options.spectrograms is None:
        return None
    return SpectrogramWriter(options.spectrograms, options.job.parameters.log_mel)


def _failure_limit(max_failures: int | float | None, total: int) -> float:
    if max_failures is None:
        return np.inf
    if isinstance(max_failures, float) and not max_failures.is_integer() and 0 < max_failures < 1:
        return max_failures * total
    if max_failures < 0 or max_failures != int(max_failures):
        raise ConfigError(
            f"max_failures must be a number of clips, or a fraction between 0 and 1. Received {max_failures}."
        )
    return float(max_failures)


def _earlier(finished: dict[str, Any] | None, parts: Parts) -> dict[str, Any] | None:
    """The metadata of the finished table if its rows may be used again; None if there is no table, or one of other parameters."""
    return finished if finished is not None and finished["parameter_hash"] == parts.parameter_hash else None


def _known(output: Path, finished: dict[str, Any] | None, parts: Parts) -> pd.DataFrame:
    """What is known of every clip that was ever described with these parameters: the newest row of each id."""
    return latest_facts(
        ([] if _earlier(finished, parts) is None else [table_facts(output)])
        + [block.facts for block in parts.blocks()]
    )


def _notes(finished: dict[str, Any] | None, parts: Parts, outdated: int) -> tuple[str, ...]:
    if finished is not None and _earlier(finished, parts) is None:
        return (
            f"Other parameters than before ({finished['parameter_hash']} then, {parts.parameter_hash} now): all clips are extracted again.",
        )
    if outdated:
        return (
            f"Digests of the audio are made in another way than before (XXH3 now): {outdated} clips are extracted again.",
        )
    return ()


@dataclass
class _Run:
    """The part of an extraction that takes time: rows come in, parts go out, failures are counted."""

    manifest: Manifest
    parts: Parts
    writer: SpectrogramWriter | None
    options: Options
    limit: float
    plan: Plan
    rows: list[Row] = field(default_factory=list)
    done: int = 0
    failed: int = 0
    audio_s: float = 0.0
    flushed_at: float = field(default_factory=time.monotonic)

    def describe(self) -> None:
        """Describe what the plan lists. Whatever ends this early, what was done is in the parts."""
        self.done = self.plan.reused + int(self.manifest.frame["problem"].notna().sum())
        self.failed = self.plan.failed
        self._report()
        self._require_limit()
        if not len(self.plan.todo):
            return
        options = self.options
        pool = open_pool(
            options.job, n_jobs=options.n_jobs, timeout_s=options.timeout_s, scheduler=options.scheduler
        )
        try:
            with pool:
                for rows in describe_chunks(self._chunks(), pool, timeout_s=options.timeout_s):
                    self._take(rows)
        finally:
            self.flush()

    def _chunks(self) -> Iterator[Chunk]:
        tasks = zip(clip_tasks(self.manifest, self.plan.todo), self.plan.cost_s, strict=True)
        return split_into_chunks(tasks, weight=CHUNK_S, count=CHUNK_CLIPS)

    def _take(self, rows: list[Row]) -> None:
        for row in rows:
            if self.writer is not None and row.log_mel is not None:
                self.writer.add(
                    str(self.manifest.frame["id"].iat[row.position]), row.log_mel.T, row.facts["audio_digest"]
                )
                row.log_mel = None
            self.failed += row.failed
            self.audio_s += row.facts.get("duration_s") or 0.0
        self.rows += rows
        self.done += len(rows)
        if len(self.rows) >= FLUSH_ROWS or time.monotonic() - self.flushed_at > FLUSH_S:
            self.flush()
        self._report()
        self._require_limit()

    def flush(self) -> None:
        """Put the rows on the disk: spectrograms first, so that a row in the parts has its spectrogram in the store."""
        if self.rows:
            if self.writer is not None:
                self.writer.commit()
            self.parts.write(self.rows, self.manifest.frame)
        self.rows, self.flushed_at = [], time.monotonic()

    def _report(self) -> None:
        if self.options.progress is not None:
            self.options.progress(
                Progress(len(self.manifest), self.done, self.plan.reused, self.failed, self.audio_s)
            )

    def _require_limit(self) -> None:
        if self.failed > self.limit:
            raise DatasetError(
                f"At most {self.limit:g} clips may fail (max_failures). {self.failed} of {len(self.manifest)} have{self._example()}. "
                "What was done is kept: mend the files, or allow more failures, and run the same command again."
            )

    def _example(self) -> str:
        reason = next((row.facts["reason"] for row in self.rows if row.failed), None)
        return "" if reason is None else f", for example: {reason.rstrip('.')}"


def clip_tasks(manifest: Manifest, positions: Iterable[int]) -> Iterator[ClipTask]:
    """The clips at these positions of a manifest, for `describe_clip`."""
    columns = [manifest.frame[name].to_numpy() for name in ("id", "path", "start", "end")]
    for k in positions:
        yield ClipTask(int(k), ClipSource.from_row(*(column[k] for column in columns)))


def _gather(
    manifest: Manifest, output: Path, finished: dict[str, Any] | None, parts: Parts, options: Options
) -> pd.DataFrame:
    """Write the final table from the finished one and the parts, unless it is there already. Returns the ledger."""
    blocks = parts.blocks()
    earlier = _earlier(finished, parts)
    frames = ([] if earlier is None else [table_facts(output)]) + [block.facts for block in blocks]
    known = latest_facts(frames).set_index("id").reindex(manifest.frame["id"])
    meta = table_meta(manifest, known, parts.parameter_hash)
    metadata = table_metadata(manifest, options.job.parameters, earlier, changed=bool(blocks))
    if earlier is not None and not blocks and earlier == {**earlier, **metadata} and _same_meta(output, meta):
        return _ledger(meta)
    ok = (meta["status"] == "ok").to_numpy()
    where = np.stack(
        [
            known["block"].fillna(-1).to_numpy(dtype=np.int64),
            known["row"].fillna(-1).to_numpy(dtype=np.int64),
        ],
        axis=1,
    )
    where[~ok] = -1
    paths = (
        [] if earlier is None else [table_block(output, frames[0], parts.names, parts.folder).values]
    ) + [block.values for block in blocks]
    del frames, blocks, known  # all clips' facts once is enough
    write_final_table(output, meta, paths, where, schema=table_schema(parts.names, metadata))
    return _ledger(meta)


def table_meta(manifest: Manifest, known: pd.DataFrame, parameter_hash: str) -> pd.DataFrame:
    """The columns META_COLUMNS of the final table: what was found out, and what the manifest says now."""
    meta = known.reset_index(drop=True)[[name for name in FACTS if name not in _FROM_MANIFEST]]
    meta[list(_FROM_MANIFEST)] = manifest.frame[list(_FROM_MANIFEST)]
    problem = manifest.frame["problem"].notna().to_numpy()
    facts = (
        "duration_s",
        "native_sample_rate",
        "native_channels",
        "audio_digest",
        "source_size",
        "source_mtime_ns",
    )
    for name in facts:
        meta[name] = meta[name].mask(problem)
    for name, value in failure("manifest", "DatasetError", "").items():
        meta[name] = meta[name].astype("str").mask(problem, value)
    meta["reason"] = meta["reason"].mask(problem, manifest.frame["problem"].to_numpy())
    meta["parameter_hash"] = parameter_hash
    return meta[list(META_COLUMNS)]


def table_metadata(
    manifest: Manifest,
    parameters: FeatureParameters,
    finished: dict[str, Any] | None = None,
    *,
    changed: bool = True,
) -> dict[str, Any]:
    """What holds for all rows. The versions are those of the newest rows; versions of older rows are kept beside them."""
    versions = library_versions()
    earlier: list[dict[str, str]] = [] if finished is None else list(finished.get("earlier_versions", []))
    if finished is not None and finished["versions"] != versions:
        if changed:
            earlier.append(finished["versions"])
        else:
            versions = finished["versions"]
    return {
        "parameters": parameters.model_dump(mode="json"),
        "parameter_hash": parameters.hash,
        "versions": versions,
        "earlier_versions": earlier,
        "dataset": manifest.name,
        "multilabel": manifest.multilabel,
        "grouped": manifest.grouped,
    }


def _same_meta(output: Path, meta: pd.DataFrame) -> bool:
    """Whether the finished table has these very rows already."""
    wanted = pa.Table.from_pandas(
        meta, schema=table_schema((), {}), preserve_index=False
    ).replace_schema_metadata(None)
    return bool(
        pq.read_table(output, columns=list(META_COLUMNS)).replace_schema_metadata(None).equals(wanted)
    )


def _ledger(meta: pd.DataFrame) -> pd.DataFrame:
    return meta.loc[meta["status"] != "ok", list(FAILURE_COLUMNS)].reset_index(drop=True)
