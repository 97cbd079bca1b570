"""Where chunks of clips are described: in this process, in worker processes, or on a dask cluster.

A pool takes chunks and gives back outcomes in any order. `describe_chunks` sits above it and sees to it that a worker that dies or
hangs costs one clip and not its neighbours: the clips of a lost chunk are tried one by one, and only who fails alone is blamed.
"""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
import sys
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType, TracebackType
from typing import Any, Protocol, Self

from quintet.errors import ConfigError, QuintetError
from quintet.features.extraction.worker import ClipTask, Job, Row, describe_chunk, failure, file_facts

Chunk = tuple[ClipTask, ...]

_ONE_THREAD = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
)
_DIED = "The worker process died while reading this file (segmentation fault in a decoder, or out of memory). Look at the file, or use fewer jobs."
_LATE = "Describing this clip took longer than {timeout_s:g} s. Look at the file, give a window (start, end), or allow more time."


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a chunk: its rows, or `fault` "died", "late" or "lost" (through no fault of its own)."""

    chunk: Chunk
    rows: list[Row] | None = None
    fault: str = ""


class Pool(Protocol):
    """Something that describes chunks."""

    capacity: int

    def submit(self, chunk: Chunk) -> None:
        """Take on one chunk; at most `capacity` at a time."""

    def outcomes(self) -> list[Outcome]:
        """Wait until at least one chunk has come to an end."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def describe_chunks(
    chunks: Iterator[Chunk], pool: Pool, *, timeout_s: float | None = None
) -> Iterator[list[Row]]:
    """The rows of all clips, in any order, with never more than `pool.capacity` chunks under way.

    A clip is blamed for a dead worker when the worker died over it alone and for the second time, and for being late when it
    was late alone.
    """
    waiting: deque[Chunk] = deque()
    strikes: Counter[int] = Counter()
    under_way = 0
    while True:
        while under_way < pool.capacity and (chunk := waiting.popleft() if waiting else next(chunks, None)):
            pool.submit(chunk)
            under_way += 1
        if not under_way:
            return
        for outcome in pool.outcomes():
            under_way -= 1
            if outcome.rows is not None:
                yield outcome.rows
                continue
            strikes.update(source.position for source in outcome.chunk if outcome.fault == "died")
            alone = len(outcome.chunk) == 1
            if alone and (
                outcome.fault == "late"
                or (outcome.fault == "died" and strikes[outcome.chunk[0].position] > 1)
            ):
                yield [_blamed(outcome.chunk[0], outcome.fault, timeout_s)]
            else:
                waiting.extend((task,) for task in outcome.chunk)


def _blamed(task: ClipTask, fault: str, timeout_s: float | None) -> Row:
    error, reason = (
        ("TimeoutError", _LATE.format(timeout_s=timeout_s)) if fault == "late" else ("ProcessExpired", _DIED)
    )
    return Row(task.position, facts=file_facts(task.source.path) | failure("worker", error, reason))


class HerePool:
    """This process itself: nothing to start, nothing that could survive a crash, no time-outs.

    Args:
        job: what to do with every clip.
    """

    capacity = 1

    def __init__(self, job: Job) -> None:
        self.job = job
        self._chunk: Chunk = ()

    def submit(self, chunk: Chunk) -> None:
        """Take on one chunk."""
        self._chunk = chunk

    def outcomes(self) -> list[Outcome]:
        """Do it."""
        return [Outcome(self._chunk, describe_chunk(self._chunk, self.job))]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None


class ProcessPool:
    """Worker processes on this machine (pebble's): each uses one thread, and its death or delay costs its chunk only.

    Args:
        job: what to do with every clip.
        n_jobs: the number of processes.
        timeout_s: the longest that a chunk may take, seconds; None allows any time.
    """

    def __init__(self, job: Job, *, n_jobs: int, timeout_s: float | None = None) -> None:
        self.job, self.n_jobs, self.timeout_s = job, n_jobs, timeout_s
        self.capacity = 2 * n_jobs
        self._futures: dict[concurrent.futures.Future[list[Row]], Chunk] = {}
        self._breaks = 0
        self._context = _worker_context()
        self._pool = self._started()

    def _started(self) -> Any:
        from pebble import ProcessPool as PebblePool

        return PebblePool(max_workers=self.n_jobs, initializer=_one_thread, context=self._context)

    def submit(self, chunk: Chunk) -> None:
        """Take on one chunk."""
        try:
            future = self._pool.schedule(describe_chunk, args=(chunk, self.job), timeout=self.timeout_s)
        except RuntimeError as error:  # the pool broke while no chunk was under way
            self._restart(error)
            future = self._pool.schedule(describe_chunk, args=(chunk, self.job), timeout=self.timeout_s)
        self._futures[future] = chunk

    def outcomes(self) -> list[Outcome]:
        """Wait for the first chunk to come to an end.

        Raises:
            QuintetError: if worker processes cannot be started.
        """
        done, _ = concurrent.futures.wait(self._futures, return_when=concurrent.futures.FIRST_COMPLETED)
        return [
            self._outcome(future, self._futures.pop(future)) for future in done if future in self._futures
        ]

    def _outcome(self, future: concurrent.futures.Future[list[Row]], chunk: Chunk) -> Outcome:
        from pebble import ProcessExpired

        try:
            rows = future.result()
        except ProcessExpired:
            return Outcome(chunk, fault="died")
        except concurrent.futures.TimeoutError:
            return Outcome(chunk, fault="late")
        except BrokenProcessPool as error:
            self._restart(error)
            return Outcome(chunk, fault="lost")
        self._breaks = 0
        return Outcome(chunk, rows)

    def _restart(self, error: BaseException) -> None:
        """A new pool in the place of one that lost all its workers; what was under way there is reported as lost in its turn."""
        if self._pool.active:
            return
        self._breaks += 1
        if self._breaks > 3:
            raise QuintetError(
                f"Worker processes must start. They ended four times before they had done anything ({error}): try n_jobs=0."
            ) from error
        self._pool.stop()
        self._pool.join()
        self._pool = self._started()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._pool.close()
        else:
            self._pool.stop()
        self._pool.join()


def job_count(n_jobs: int) -> int:
    """The number of worker processes: -1 is one per usable processor, -2 one fewer, and so on.

    Raises:
        ConfigError: if that leaves none.
    """
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    count = n_jobs if n_jobs >= 0 else processors + 1 + n_jobs
    if count < 0 or (n_jobs < 0 and count < 1):
        raise ConfigError(
            f"At least one job must be left. Received n_jobs={n_jobs} on {processors} processors."
        )
    return count


def _one_thread() -> None:
    """Keep the libraries of this process to one thread: the processes are the parallelism."""
    from threadpoolctl import threadpool_limits

    os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))
    threadpool_limits(1)


def _worker_context() -> Any:
    """The start method of worker processes, with its server running."""
    if _METHOD == "forkserver":
        from multiprocessing.forkserver import ensure_running

        _BASE.set_forkserver_preload([__name__, "quintet.features.extraction.preload"])
        with _environment(dict.fromkeys(_ONE_THREAD, "1")):
            ensure_running()
    return _Context()


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """These environment variables, for as long as the block lasts."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _no_main() -> Iterator[None]:
    """An empty main module, so that a process started now is not told to run ours."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


# Workers start from a server that has the libraries loaded and no threads (from nothing where the system has no fork). Forking the
# running program itself would copy the locks of its threads (TensorFlow, numba) in whatever state they are.
_METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
_BASE: Any = multiprocessing.get_context(_METHOD)


LEFT = 120  # the exit code of a worker that ended without being told to, and without an error


class _Worker(_BASE.Process):  # type: ignore[misc]
    """A process that does not run the user's main script again, as Python's own do: it needs no `if __name__ == "__main__"`."""

    def start(self) -> None:
        with _no_main():
            super().start()

    @property
    def exitcode(self) -> int | None:
        """Never 0: to leave by itself, also without an error (a decoder that calls `exit(0)`), is a death that pebble must notice."""
        code: int | None = super().exitcode
        return LEFT if code == 0 else code


class _Context(type(_BASE)):  # type: ignore[misc]
    Process = _Worker


def open_pool(job: Job, *, n_jobs: int, timeout_s: float | None, scheduler: str | None) -> Pool:
    """The pool that these settings ask for.

    Raises:
        ConfigError: if a time-out is asked for where nothing can keep it.
    """
    if timeout_s is not None and timeout_s <= 0:
        raise ConfigError(f"A time-out must be a positive number of seconds. Received {timeout_s}.")
    if timeout_s is not None and (scheduler is not None or n_jobs == 0):
        where = "a cluster" if scheduler is not None else "this process (n_jobs=0)"
        raise ConfigError(
            f"A time-out is kept by worker processes on this machine. Received timeout_s={timeout_s} with {where}: leave it out."
        )
    if scheduler is not None:
        from quintet.features.extraction.dask_pool import ClusterPool  # it builds on this module

        return ClusterPool(job, address=scheduler)
    count = job_count(n_jobs)
    return ProcessPool(job, n_jobs=count, timeout_s=timeout_s) if count else HerePool(job)
