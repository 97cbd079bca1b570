"""Extraction of features of many clips: from a manifest to one feature table, in parallel and resumable.

A run has four steps: find the rows of earlier runs that are still valid (`reuse`), describe the other clips
in a pool (`pools`), keep finished rows as parts (`checkpoints`), and write one table in the order of the
manifest (`gather`). Running again after a crash and running again over a finished table are the same thing.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from quintet.datasets.grouping import named_groups_note
from quintet.datasets.labels import label_set
from quintet.datasets.manifest import Manifest
from quintet.errors import ConfigError, DatasetError
from quintet.features.columns import feature_names
from quintet.features.extraction.checkpoints import Parts, finished_metadata
from quintet.features.extraction.chunks import (
    Chunk,
    Progress,
    ProgressCallback,
    describe_chunks,
    split_into_chunks,
)
from quintet.features.extraction.gather import clip_tasks, gather_table, known_rows
from quintet.features.extraction.pools import open_pool
from quintet.features.extraction.reuse import Plan, has_outdated_digest, plan_extraction
from quintet.features.extraction.worker import Job, Row
from quintet.features.storage.spectrograms import SpectrogramWriter
from quintet.files.display.notebook import notebook_html
from quintet.files.internet.remote import edit_locally, is_remote, workplace
from quintet.files.json_text import table_rows
from quintet.files.json_types import JsonObject
from quintet.files.locks import output_lock

FLUSH_S, FLUSH_ROWS = 5.0, 500
"""A part is written after so many seconds or so many rows."""
CHUNK_S, CHUNK_CLIPS = 120.0, 16
"""A chunk holds so many estimated seconds of audio, or so many clips."""


@dataclass(frozen=True)
class ExtractionSummary:
    """Result of an extraction.

    Args:
        n_ok: clips with features, truncated recordings included.
        n_failed: clips in the failure ledger.
        n_reused: clips (of both kinds) whose row of an earlier run is reused.
        failures: the failure ledger: id, path, label, group, stage, error, reason.
        seconds: wall-clock time of this run.
        output: the table, as the caller named it.
        truncated: recordings that are cut short, described as far as they go: id, path, duration_s,
            missing_s, reason.
        notes: sentences for the user, such as why earlier rows were not reused.
        classes: class or tag → number of clips with features; 0 if every clip of it failed.
    """

    n_ok: int
    n_failed: int
    n_reused: int
    failures: pd.DataFrame
    seconds: float
    output: Path | str
    truncated: pd.DataFrame
    notes: tuple[str, ...] = ()
    classes: Mapping[str, int] = field(default_factory=dict)

    def _repr_html_(self) -> str:
        facts = f"{self.n_ok} clips described, {self.n_failed} failed: {self.output}"
        return notebook_html(facts, self.frame, notes=self.notes)

    @property
    def frame(self) -> pd.DataFrame:
        """Number of clips with features of each class: `class, clips`."""
        return pd.DataFrame({"class": list(self.classes), "clips": list(self.classes.values())})

    def to_json(self) -> JsonObject:
        """JSON object with the fields of the summary; tables are lists of rows."""
        return {
            "output": str(self.output),
            "n": self.n_ok + self.n_failed,
            "n_ok": self.n_ok,
            "n_failed": self.n_failed,
            "n_truncated": len(self.truncated),
            "n_reused": self.n_reused,
            "seconds": self.seconds,
            "classes": dict(self.classes),
            "failures": table_rows(self.failures[["id", "path", "stage", "error", "reason"]]),
            "truncated": table_rows(self.truncated),
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class Options:
    """Settings of an extraction.

    Args:
        job: what to do with every clip.
        spectrograms: folder of the spectrogram store; None stores none.
        n_jobs: worker processes; -1 is one per processor. Also a single worker is a process of its own, so
            that a crash of a decoder costs one clip. 0 works in this process, which starts faster and does
            not survive a crash.
        progress: called with a `Progress` from time to time.
        max_failures: more failed clips than this end the run: a number (int), or a fraction of all clips
            (float between 0 and 1).
        timeout_s: the longest time of one clip, seconds.
        scheduler: address of a dask scheduler (`tcp://host:8786`) whose workers see the same paths. `n_jobs`
            is then ignored.
        retry_failed: whether failed clips are tried again even if their files have not changed.
    """

    job: Job
    spectrograms: Path | None = None
    n_jobs: int = 1
    progress: ProgressCallback | None = None
    max_failures: int | float | None = None
    timeout_s: float | None = None
    scheduler: str | None = None
    retry_failed: bool = False


def extract(manifest: Manifest, output: str | os.PathLike[str], options: Options) -> ExtractionSummary:
    """Extract the features of all clips of a manifest to one table, in the order of the manifest.

    A row of an earlier run is reused if its parameters are the same and its file has the same size and time
    of change.
    Every clip has exactly one row: its features, or the stage and reason of its failure. An extraction that
    was interrupted at any moment (Ctrl-C, SIGKILL, power) goes on when it is run again, and the table is the
    same, to the byte, as without the interruption.

    Args:
        manifest: the clips.
        output: the parquet file, or a URL that fsspec knows. The folder `output.parts` beside it holds the
            parts of an unfinished run.
        options: settings of the extraction.

    Raises:
        DatasetError: more than `max_failures` clips failed. The finished rows are kept.
        ArtefactError: `output` is something else, or another process is writing it.
        ConfigError: the spectrogram store has other parameters, or settings contradict each other.
    """
    if isinstance(output, str) and is_remote(output):
        with output_lock(workplace(output)), edit_locally(output) as local:
            return replace(run_extraction(manifest, local, options), output=output)
    with output_lock(output):
        return run_extraction(manifest, Path(output), options)


def run_extraction(manifest: Manifest, output: Path, options: Options) -> ExtractionSummary:
    """Run `extract` on a local output whose lock the caller holds."""
    start_time = time.monotonic()
    limit = _failure_limit(options.max_failures, len(manifest))
    folder = output.with_name(output.name + ".parts")
    finished = finished_metadata(output)
    parts = Parts(folder, feature_names(options.job.parameters), options.job.parameters.hash)
    with _spectrogram_writer(options) or nullcontext() as writer:
        known = known_rows(output, finished, parts)
        if options.job.strict:
            known = known[known["status"] != "truncated"]
        plan = plan_extraction(manifest, known, writer, retry_failed=options.retry_failed)
        notes = _notes(finished, parts, n_outdated=int(has_outdated_digest(known).sum()))
        _Run(manifest, parts, writer, options, limit, plan).describe()
    del writer, known  # frees the memory of the facts of all clips
    named_groups = _named_groups(manifest, finished, plan, options)
    ledgers = gather_table(
        manifest, output, finished, parts, options.job.parameters, named_groups=named_groups
    )
    parts.remove()
    return ExtractionSummary(
        n_ok=len(manifest) - len(ledgers.failures),
        n_failed=len(ledgers.failures),
        n_reused=plan.reused,
        failures=ledgers.failures,
        seconds=time.monotonic() - start_time,
        output=output,
        truncated=ledgers.truncated,
        notes=(*notes, named_groups) if named_groups else notes,
        classes=_count_classes(manifest, ledgers.failures),
    )


def _named_groups(manifest: Manifest, finished: JsonObject | None, plan: Plan, options: Options) -> str:
    """What the tags of the files say about groups, if none are given. Nothing is read if no file is new."""
    if manifest.grouped:
        return ""
    if finished is not None and not len(plan.todo):
        return str(finished.get("named_groups", ""))
    return named_groups_note(manifest.usable["path"].unique().tolist(), n_jobs=options.n_jobs)


def _count_classes(manifest: Manifest, failures: pd.DataFrame) -> dict[str, int]:
    """Class or tag → number of its clips with features, by name."""
    labels = manifest.frame["label"]
    is_usable = ~manifest.frame["id"].isin(failures["id"])
    counts: Counter[str] = Counter()
    for label, n_clips in is_usable.groupby(labels).sum().items():
        for name in label_set(str(label)):
            counts[name] += int(n_clips)
    return dict(sorted(counts.items()))


def _spectrogram_writer(options: Options) -> SpectrogramWriter | None:
    if options.spectrograms is None:
        return None
    return SpectrogramWriter(options.spectrograms, options.job.parameters.log_mel)


def _failure_limit(max_failures: int | float | None, total: int) -> float:
    if max_failures is None:
        return np.inf
    is_fraction = isinstance(max_failures, float) and 0 < max_failures < 1
    if is_fraction:
        return max_failures * total
    if max_failures < 0 or max_failures != int(max_failures):
        raise ConfigError(
            f"max_failures must be a number of clips, or a fraction between 0 and 1. Received {max_failures}."
        )
    return float(max_failures)


def _notes(finished: JsonObject | None, parts: Parts, *, n_outdated: int) -> tuple[str, ...]:
    """Sentences on why rows of an earlier run are not reused."""
    if finished is not None and finished["parameter_hash"] != parts.parameter_hash:
        return (
            f"Other parameters than before ({finished['parameter_hash']} then, {parts.parameter_hash} now): "
            "all clips are extracted again.",
        )
    if finished is not None and not finished["has_all_facts"]:
        return (
            "Recordings are read until their data end now, whatever their headers state: "
            "all clips are extracted again.",
        )
    if n_outdated:
        return (
            f"Digests of the audio are made in another way than before (XXH3 now): {n_outdated} clips are "
            "extracted again.",
        )
    return ()


@dataclass
class _Run:
    """The description of the planned clips: it collects rows, writes parts and counts failures.

    Args:
        manifest: the clips.
        parts: where finished rows are kept.
        writer: writer of the spectrogram store, if one is filled.
        options: settings of the extraction.
        limit: failed clips that are allowed.
        plan: the clips to describe.
        rows: rows that are not yet on disk.
        done: clips that have a row.
        failed: clips that failed.
        audio_s: seconds of audio described.
        flushed_at: time of the last part, as `time.monotonic()`.
    """

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
        """Describe the planned clips. If this ends early, the finished rows are in the parts."""
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
                for rows in describe_chunks(self._chunks(), pool):
                    self._collect(rows)
        finally:
            self.flush()

    def _chunks(self) -> Iterator[Chunk]:
        tasks = zip(clip_tasks(self.manifest, self.plan.todo), self.plan.cost_s, strict=True)
        return split_into_chunks(tasks, weight=CHUNK_S, count=CHUNK_CLIPS)

    def _collect(self, rows: list[Row]) -> None:
        for row in rows:
            if self.writer is not None and row.log_mel is not None:
                id = str(self.manifest.frame["id"].iat[row.position])
                self.writer.add(id, row.log_mel.T, str(row.facts["audio_digest"]))
                row.log_mel = None
            self.failed += row.failed
            self.audio_s += float(row.facts.get("duration_s") or 0.0)
        self.rows += rows
        self.done += len(rows)
        if len(self.rows) >= FLUSH_ROWS or time.monotonic() - self.flushed_at > FLUSH_S:
            self.flush()
        self._report()
        self._require_limit()

    def flush(self) -> None:
        """Write the rows to disk: spectrograms first, so that every row in the parts has its spectrogram."""
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
                f"At most {self.limit:g} clips may fail (max_failures). "
                f"{self.failed} of {len(self.manifest)} have{self._example()}. "
                "What was done is kept: mend the files, or allow more failures, "
                "and run the same command again."
            )

    def _example(self) -> str:
        reason = next((row.facts["reason"] for row in self.rows if row.failed), None)
        return "" if reason is None else f", for example: {str(reason).rstrip('.')}"
