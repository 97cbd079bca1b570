"""Description of recordings in segments: one reading of a file gives the rows of all its segments."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import cast

from quintet.audio.decode import ClipSource
from quintet.audio.isolation.calls import LostWorkerError, fault, worker_pool
from quintet.audio.isolation.pool import WorkerPool
from quintet.audio.reading.probe import LONG_S, probe_duration_s
from quintet.audio.reading.segments import WHOLE_FILE, Segment, Whole, Window, plan_windows, read_segments
from quintet.errors import AudioError, DecodeError
from quintet.features.engine.warm_up import kernels_available
from quintet.features.extraction.chunks import FAULTS
from quintet.features.extraction.worker import (
    CLIP_ERRORS,
    ClipTask,
    Decoded,
    Job,
    Row,
    complete_row,
    describe_clip,
    failure,
    file_facts,
)
from quintet.files.machine import job_count

LONGEST_SEGMENT_S = LONG_S / 2
"""Segments up to this length are cut while the file is decoded; longer ones are decoded one by one."""


@dataclass(frozen=True, slots=True)
class FileTask:
    """A file to be described in segments.

    Args:
        name: name of the file in messages.
        path: the file.
        segment_s: length of a segment, seconds; None does not cut the file.
        with_digest: whether to compute the digest of the whole file too.
    """

    name: str
    path: str
    segment_s: float | None
    with_digest: bool = False


@dataclass(slots=True)
class FileRows:
    """The rows of a file.

    Args:
        windows: windows of its segments.
        rows: their rows; a failure that concerns the whole file has the window `WHOLE_FILE`.
        whole: facts of the file; None if it could not be read to its end.
    """

    windows: list[Window] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    whole: Whole | None = None

    def add(self, window: Window, row: Row) -> None:
        """Add the row of a segment."""
        self.windows.append(window)
        self.rows.append(row)


def describe_files(
    tasks: list[FileTask], job: Job, *, n_workers: int = 1, pool: WorkerPool | None = None
) -> Iterator[tuple[int, FileRows]]:
    """Rows of files, each with its position, in any order. They are made in worker processes.

    A worker that dies is replaced and reads the file once more. If it dies again, takes too long or too much
    memory, the file has a row with the reason, beside those of the segments that were done.

    Args:
        tasks: the files.
        job: what to do with every segment.
        n_workers: number of worker processes; 0 is one, and -1 is one per processor.
        pool: the worker processes, which nothing else may use meanwhile. Default: those of this process.

    Raises:
        ConfigError: there would be too many workers, or none.
    """
    n_workers = max(1, job_count(n_workers)) if pool is None else pool.n_workers
    waiting = iter(enumerate(tasks))
    own: AbstractContextManager[WorkerPool]
    own = worker_pool(min(n_workers, max(1, len(tasks)))) if pool is None else nullcontext(pool)
    with own as pool:
        under_way: dict[int, tuple[int, FileRows, bool]] = {}

        def submit(position: int, *, again: bool) -> None:
            ticket = pool.submit(describe_file, tasks[position], job, set_up=kernels_available)
            under_way[ticket] = (position, FileRows(), again)

        while True:
            while len(under_way) < 2 * n_workers:
                position, task = next(waiting, (-1, None))
                if task is None:
                    break
                submit(position, again=False)
            if not under_way:
                return
            for event in pool.events():
                position, found, again = under_way[event.ticket]
                if event.kind == "item":
                    _note(event.value, found, strict=job.strict)
                    continue
                del under_way[event.ticket]
                if event.kind == "died" and not again:
                    submit(position, again=True)
                    continue
                if event.kind != "done":
                    error = fault(event, pool)
                    if not isinstance(error, LostWorkerError):
                        raise error
                    facts = failure("worker", FAULTS[error.kind], str(error))
                    found.add(WHOLE_FILE, Row(0, facts=file_facts(tasks[position].path) | facts))
                yield position, found


def _note(item: object, found: FileRows, *, strict: bool) -> None:
    if isinstance(item, Whole):
        found.whole = item
        return
    window, row = cast(tuple[Window, Row], item)
    if window.is_whole_file and strict:
        found.windows.clear()
        found.rows.clear()
    found.add(window, row)


def describe_file(task: FileTask, job: Job) -> Iterator[tuple[Window, Row] | Whole]:
    """Rows of the segments of a file, then facts of the file. A worker process calls it.

    Args:
        task: the file.
        job: what to do with every segment.
    """
    facts = file_facts(task.path)
    segment_s = task.segment_s
    if not segment_s or segment_s > LONGEST_SEGMENT_S:
        yield from _describe_windows(task, job)
        return
    try:
        for part in read_segments(
            task.path,
            sample_rate=job.parameters.sample_rate,
            segment_s=segment_s,
            id=task.name,
            strict=job.strict,
            with_digest=task.with_digest,
            keep_native=job.embedder is not None,
        ):
            if isinstance(part, Whole):
                yield part
            else:
                yield part.window, _segment_row(part, dict(facts), job)
    except CLIP_ERRORS as error:  # also a file that is cut short, if `strict`: its segments do not count
        yield WHOLE_FILE, complete_row(Row(0, facts=facts), _Raise(error), job)


def _segment_row(part: Segment, facts: dict[str, str | int | float | None], job: Job) -> Row:
    sound = part.sound
    decode = _Raise(sound) if isinstance(sound, AudioError) else lambda: (sound, None)
    return complete_row(Row(0, facts=facts), decode, job)


class _Raise:
    """A decoding that fails with a known error."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __call__(self) -> Decoded:
        raise self.error


def _describe_windows(task: FileTask, job: Job) -> Iterator[tuple[Window, Row] | Whole]:
    """The rows of a file whose windows are decoded one by one."""
    windows = [WHOLE_FILE]
    if task.segment_s:
        try:
            windows = plan_windows(probe_duration_s(task.path) or 0.0, task.segment_s)
        except DecodeError as error:
            yield WHOLE_FILE, complete_row(Row(0, facts=file_facts(task.path)), _Raise(error), job)
            return
    row = Row(0)
    end_s = 0.0
    for window in windows:
        start_s = 0.0 if window.is_whole_file else window.start
        source = ClipSource.from_row(task.name, task.path, *window)
        row = describe_clip(ClipTask(0, source), job)
        end_s = max(end_s, start_s + float(row.facts.get("duration_s") or 0.0))
        yield window, row
    is_whole = len(windows) == 1
    yield Whole(end_s, str(row.facts.get("audio_digest") or "") if is_whole else "")
