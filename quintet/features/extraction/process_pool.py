"""Pools on this machine: this process itself, or worker processes that may die without harm to the run."""

from __future__ import annotations

from dataclasses import replace
from typing import Self, cast

from quintet.audio.isolation.bounds import read_bounds
from quintet.audio.isolation.calls import LostWorkerError, fault
from quintet.audio.isolation.pool import WorkerPool
from quintet.audio.isolation.processes import quiet_libraries
from quintet.features.engine.warm_up import kernels_available
from quintet.features.extraction.chunks import Chunk, Outcome
from quintet.features.extraction.worker import Job, Row, describe_chunk


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
        kernels_available()  # its notice is not silenced
        with quiet_libraries():
            return [Outcome(self._chunk, describe_chunk(self._chunk, self.job))]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None


class ProcessPool:
    """Worker processes on this machine. Each uses one thread; its death costs its chunk only.

    Args:
        job: what to do with every clip.
        n_jobs: number of processes.
        timeout_s: the longest time of a chunk, seconds; None takes that of `isolation.bounds`.
    """

    def __init__(self, job: Job, *, n_jobs: int, timeout_s: float | None = None) -> None:
        bounds = read_bounds()
        if timeout_s is not None:
            bounds = replace(bounds, seconds=timeout_s)
        self.job, self.n_jobs = job, n_jobs
        self.capacity = 2 * n_jobs
        self._pool = WorkerPool(n_jobs, bounds)
        self._chunks: dict[int, Chunk] = {}

    def submit(self, chunk: Chunk) -> None:
        """Accept one chunk."""
        ticket = self._pool.submit(describe_chunk, chunk, self.job, set_up=kernels_available)
        self._chunks[ticket] = chunk

    def outcomes(self) -> list[Outcome]:
        """Wait until at least one chunk has ended.

        Raises:
            QuintetError: worker processes cannot be started.
        """
        outcomes = []
        for event in self._pool.events():
            chunk = self._chunks.pop(event.ticket)
            if event.kind == "done":
                outcomes.append(Outcome(chunk, cast(list[Row], event.value)))
                continue
            error = fault(event, self._pool)
            if not isinstance(error, LostWorkerError):
                raise error
            outcomes.append(Outcome(chunk, fault=error.kind, reason=str(error)))
        return outcomes

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._pool.close()
        else:
            self._pool.stop()
