"""Pools on this machine: this process itself, or worker processes that may die without harm to the run."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
import sys
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.context import BaseContext
from types import ModuleType
from typing import Any, Self

from quintet.errors import ConfigError, QuintetError
from quintet.features.extraction.chunks import Chunk, Outcome
from quintet.features.extraction.worker import Job, Row, describe_chunk

ONE_THREAD = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
)
"""Environment variables that set the number of threads of a library."""
PRELOAD = ("quintet.features.extraction.process_pool", "quintet.features.extraction.preload")
"""Modules that the server of worker processes imports once, for all of them."""
MAX_BREAKS = 3
"""Times that a pool may lose all its workers before any of them did something."""
UNTOLD_EXIT = 120
"""Exit code of a worker that ended by itself and without an error."""

# Workers start from a server process that has the libraries loaded and has no threads (from nothing if the
# system has no fork). A fork of the running program would copy the locks of its threads (TensorFlow, numba)
# in whatever state they are.
_METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
_BASE = multiprocessing.get_context(_METHOD)


class InProcessPool:
    """This process itself: nothing to start, but no time-outs, and a crash ends the run.

    Args:
        job: what to do with every clip.
    """

    capacity = 1

    def __init__(self, job: Job) -> None:
        self.job = job
        self._chunk: Chunk = ()

    def submit(self, chunk: Chunk) -> None:
        """Accept one chunk."""
        self._chunk = chunk

    def outcomes(self) -> list[Outcome]:
        """Describe the chunk."""
        return [Outcome(self._chunk, describe_chunk(self._chunk, self.job))]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None


class ProcessPool:
    """Worker processes on this machine (by pebble). Each uses one thread; its death costs its chunk only.

    Args:
        job: what to do with every clip.
        n_jobs: number of processes.
        timeout_s: the longest time of a chunk, seconds; None allows any time.
    """

    def __init__(self, job: Job, *, n_jobs: int, timeout_s: float | None = None) -> None:
        self.job, self.n_jobs, self.timeout_s = job, n_jobs, timeout_s
        self.capacity = 2 * n_jobs
        self._futures: dict[concurrent.futures.Future[list[Row]], Chunk] = {}
        self._breaks = 0
        self._context = _worker_context()
        self._pool: Any = None  # pebble has no types
        self._start()

    def _start(self) -> None:
        from pebble import ProcessPool as PebblePool

        self._pool = PebblePool(max_workers=self.n_jobs, initializer=_use_one_thread, context=self._context)

    def submit(self, chunk: Chunk) -> None:
        """Accept one chunk."""
        try:
            future = self._schedule(chunk)
        except RuntimeError as error:  # the pool broke while no chunk was under way
            self._restart(error)
            future = self._schedule(chunk)
        self._futures[future] = chunk

    def _schedule(self, chunk: Chunk) -> concurrent.futures.Future[list[Row]]:
        future: concurrent.futures.Future[list[Row]] = self._pool.schedule(
            describe_chunk, args=(chunk, self.job), timeout=self.timeout_s
        )
        return future

    def outcomes(self) -> list[Outcome]:
        """Wait until at least one chunk has ended.

        Raises:
            QuintetError: worker processes cannot be started.
        """
        done, _ = concurrent.futures.wait(self._futures, return_when=concurrent.futures.FIRST_COMPLETED)
        ended = [future for future in done if future in self._futures]
        return [self._outcome(future, self._futures.pop(future)) for future in ended]

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
        """Replace a pool that lost all its workers. Its unfinished chunks come back as lost, one by one."""
        if self._pool.active:
            return
        self._breaks += 1
        if self._breaks > MAX_BREAKS:
            raise QuintetError(
                "Worker processes must start. They ended four times before they had done anything "
                f"({error}): try n_jobs=0."
            ) from error
        self._pool.stop()
        self._pool.join()
        self._start()

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
        ConfigError: no process is left.
    """
    has_affinity = hasattr(os, "sched_getaffinity")
    processors = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    count = n_jobs if n_jobs >= 0 else processors + 1 + n_jobs
    if count < 0 or (n_jobs < 0 and count < 1):
        raise ConfigError(
            f"At least one job must be left. Received n_jobs={n_jobs} on {processors} processors."
        )
    return count


def _use_one_thread() -> None:
    """Limit the libraries of this process to one thread: the processes are the parallelism."""
    from threadpoolctl import threadpool_limits

    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
    threadpool_limits(1)


def _worker_context() -> BaseContext:
    """The start method of worker processes, with its server running."""
    if _METHOD == "forkserver":
        from multiprocessing.forkserver import ensure_running

        _BASE.set_forkserver_preload(list(PRELOAD))
        with _environment(dict.fromkeys(ONE_THREAD, "1")):
            ensure_running()
    return _Context()


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Set environment variables until the block ends."""
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
def _no_main_module() -> Iterator[None]:
    """Hide the main module until the block ends, so that a process that starts now does not run it."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


class _Worker(_BASE.Process):  # type: ignore[misc,name-defined]
    """A process that does not run the user's main script: that needs no `if __name__ == "__main__"`."""

    def start(self) -> None:
        with _no_main_module():
            super().start()

    @property
    def exitcode(self) -> int | None:
        """The exit code, never 0.

        A worker that leaves by itself, even without an error (a decoder that calls `exit(0)`), is a death
        that pebble must notice.
        """
        code: int | None = super().exitcode
        return UNTOLD_EXIT if code == 0 else code


class _Context(type(_BASE)):  # type: ignore[misc]
    Process = _Worker
