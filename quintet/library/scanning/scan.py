"""Scan of a folder into a library: every file is examined once, and again only if it has changed.

A file is recognised by the digest of its bytes (it was moved or copied), then by its path and the digest of
its sound (its tags were changed), then by its sound alone (it was moved and tagged). Finished songs are
written
every few seconds: an interrupted scan continues where it ended.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from quintet.audio.isolation.calls import LostWorkerError, map_isolated
from quintet.datasets.found_tags import FileTags
from quintet.errors import ArtefactError
from quintet.features.columns import feature_names
from quintet.features.engine.warm_up import kernels_available
from quintet.features.extraction.chunks import FAULTS, Progress, ProgressCallback
from quintet.features.extraction.worker import Job, Row, failure
from quintet.features.parameters import FeatureParameters
from quintet.library.scanning.changes import Changes
from quintet.library.scanning.examine import Examined, FileTask, examine
from quintet.library.scanning.listing import FoundFile, absolute, find_folder
from quintet.library.scanning.summary import ScanSummary
from quintet.library.sound.pitch_classes import PitchClasses
from quintet.library.store import Library

FLUSH_S, WRITING_SHARE = 5.0, 0.1
"""Tables are written after so many seconds, and less often if writing takes more than this share of the
time."""


@dataclass(frozen=True)
class ScanOptions:
    """Settings of a scan.

    Args:
        embeddings: pretrained networks whose columns are added; () adds none; None: as in the library, and in
            a new one those whose weights are here.
        n_jobs: worker processes; -1 is one per processor.
        retry_failed: whether files of the failure ledger are examined again even if they have not changed.
        progress: called with a `Progress` from time to time.
        waiting: paths of files that are still being written: they are left as the library has them.
    """

    embeddings: tuple[str, ...] | None = None
    n_jobs: int = 1
    retry_failed: bool = False
    progress: ProgressCallback | None = None
    waiting: frozenset[str] = frozenset()


def scan(library: Library, folder: str | os.PathLike[str], options: ScanOptions) -> ScanSummary:
    """Bring a library up to date with a folder. The caller holds the library's lock.

    Args:
        library: the library.
        folder: the folder of music.
        options: settings of the scan.

    Raises:
        DatasetError: the folder cannot be read.
        ArtefactError: a table of the library is damaged.
        ConfigError: a network is not in the library of weights.
    """
    started = time.monotonic()
    found = find_folder(folder, library.facts.roots, without=library.folder)
    job, notes = _prepare_job(library, options)
    if found.root not in library.facts.roots:
        library.facts.roots = sorted({*library.facts.roots, found.root})
    library.write_facts()
    found.waiting = options.waiting
    changes = Changes(library, found, retry_failed=options.retry_failed)
    _examine_all(library, changes, job, options)
    summary = changes.finish()
    library.feature_parts.remove_others()
    summary.notes = [*found.notes, *notes, *summary.notes]
    summary.seconds = time.monotonic() - started
    return summary


def _prepare_job(library: Library, options: ScanOptions) -> tuple[Job, list[str]]:
    """What to do with each file, and notes; the parameters are kept in the library."""
    from quintet.embeddings.columns.networks import find_embedder, with_embeddings
    from quintet.embeddings.library import installed_networks

    notes = []
    known = None
    facts = library.facts
    if facts.parameters is not None:
        try:
            known = FeatureParameters.parse(facts.parameters, where=str(library.folder))
        except ArtefactError:
            notes.append("Another version of Quintet made the features: all songs are described again.")
    if known is not None and options.embeddings is None:
        parameters = known
    else:
        names = options.embeddings
        if names is None:
            names = tuple(installed_networks())
        own = FeatureParameters() if known is None else known.without_embeddings
        parameters = with_embeddings(own, names)
    if facts.parameters is not None and facts.parameter_hash != parameters.hash:
        notes.append(f"Other features than before ({parameters.hash}): all songs are described again.")
    facts.parameters = parameters.model_dump(mode="json")
    facts.parameter_hash = parameters.hash
    facts.feature_names = list(feature_names(parameters))
    embedder = find_embedder(parameters)
    return Job(parameters, log_mel=True, embedder=embedder, listen=PitchClasses), notes


def _examine_all(library: Library, changes: Changes, job: Job, options: ScanOptions) -> None:
    """Examine the files, and write what is finished from time to time, and at the end however it comes."""
    files = changes.todo
    state = Progress(changes.n_files, changes.n_files - len(files), changes.n_files - len(files))
    _report(options, state)
    writer = _Writer(library, changes)
    calls = ((_task(changes, file), job) for file in files)
    results = map_isolated(examine, calls, n_workers=options.n_jobs, set_up=kernels_available)
    try:
        for file, result in zip(files, results, strict=True):
            examined = _outcome(result)
            changes.take(file, examined)
            row = examined.row
            failed = row is not None and row.failed
            if row is not None and row.values is not None:
                writer.add(str(row.facts["audio_digest"]), row.values)
            audio_s = 0.0 if row is None else float(row.facts.get("duration_s") or 0.0)
            state = Progress(
                state.total, state.done + 1, state.reused, state.failed + failed, state.audio_s + audio_s
            )
            _report(options, state)
            writer.write_if_due()
    finally:
        writer.write()


def _task(changes: Changes, file: FoundFile) -> FileTask:
    place = absolute(changes.folder.root, file.path)
    return FileTask(file.path, str(place), changes.known_digests(file.size))


def _outcome(result: Examined | Exception) -> Examined:
    """The result of a file; a lost worker is a failure of the file."""
    if isinstance(result, LostWorkerError):
        facts = failure("worker", FAULTS[result.kind], str(result))
        return Examined("", FileTags("", []), Row(0, facts=facts))
    if isinstance(result, Exception):
        raise result
    return result


def _report(options: ScanOptions, state: Progress) -> None:
    if options.progress is not None:
        options.progress(state)


@dataclass
class _Writer:
    """Writes finished songs: features first, so that every song in the tables has its features.

    Args:
        library: the library.
        changes: what is finished.
    """

    library: Library
    changes: Changes
    digests: list[str] = field(default_factory=list)
    values: list[NDArray[np.float32]] = field(default_factory=list)
    written_at: float = field(default_factory=time.monotonic)
    write_s: float = 0.0

    def add(self, digest: str, values: NDArray[np.float32]) -> None:
        self.digests.append(digest)
        self.values.append(values)

    def write_if_due(self) -> None:
        since = time.monotonic() - self.written_at
        if since > max(FLUSH_S, self.write_s / WRITING_SHARE):
            self.write()

    def write(self) -> None:
        started = time.monotonic()
        if self.values:
            self.library.feature_parts.add(self.digests, np.stack(self.values))
        self.digests, self.values = [], []
        self.changes.write()
        self.written_at = time.monotonic()
        self.write_s = self.written_at - started
