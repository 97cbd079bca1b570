"""Calls in a worker process that stays warm: the first costs the start of the worker, the next nothing."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from quintet.audio.isolation.bounds import read_bounds
from quintet.audio.isolation.pool import Event, WorkerPool
from quintet.errors import DecodeError
from quintet.files.machine import job_count, machine_fault

Result = TypeVar("Result")
Item = TypeVar("Item")

DIED = (
    "The worker process died while reading this file (segmentation fault in a decoder, or out of memory). "
    "Look at the file, or use fewer jobs."
)
LATE = (
    "Describing this clip took longer than {seconds:g} s. "
    "Look at the file, give a window (start, end), or allow more time."
)
MEMORY = (
    "Describing this clip took more memory than {memory_mb:g} MB. "
    "Look at the file, give a window (start, end), or allow more with QUINTET_CLIP_MEMORY_MB."
)

MOST_AHEAD = 32
"""Calls per worker that `map_isolated` makes before the result of the first of them is taken."""


class LostWorkerError(DecodeError):
    """A worker process died over a file, took too long or too much memory.

    Args:
        message: the text of the error.
        kind: `died`, `late` or `memory`.
    """

    stage = "worker"

    def __init__(self, message: str, kind: str = "died") -> None:
        super().__init__(message)
        self.kind = kind


_lock = threading.Lock()
_warm: WorkerPool | None = None
_owner = 0


@contextmanager
def worker_pool(n_workers: int = 1) -> Iterator[WorkerPool]:
    """The pool of this process, which keeps one worker for later calls; another if it is in use.

    Args:
        n_workers: number of worker processes.
    """
    global _warm, _owner
    bounds = read_bounds()
    if not _lock.acquire(blocking=False):
        with WorkerPool(n_workers, bounds) as pool:
            yield pool
        return
    try:
        if _warm is None or _owner != os.getpid() or _warm.bounds != bounds:
            if _warm is not None and _owner == os.getpid():
                _warm.stop()
            _warm, _owner = WorkerPool(n_workers, bounds), os.getpid()
        _warm.n_workers = n_workers
        try:
            yield _warm
        finally:
            if _warm.n_under_way:
                _warm.stop()
            _warm.keep(1)
    finally:
        _lock.release()


def start_worker(set_up: Callable[[], object] | None = None) -> None:
    """Start the warm worker and its set-up now, so that they are ready when the first file comes.

    A command calls this before it starts threads: then the worker is a fork, which takes milliseconds.

    Args:
        set_up: as in `WorkerPool.submit`.
    """
    with worker_pool() as pool:
        pool.warm_up(set_up)


def call_isolated(
    function: Callable[..., Result], *arguments: object, set_up: Callable[[], object] | None = None
) -> Result:
    """Call a function that reads an audio file, in a worker process.

    Args:
        function: function of a module.
        arguments: its arguments, as in `WorkerPool.submit`.
        set_up: as in `WorkerPool.submit`.

    Raises:
        LostWorkerError: the worker died (twice in a row), or took too long or too much memory.
        Exception: what the function raises.

    Example:
        >>> call_isolated(divmod, 7, 2)
        (3, 1)
    """
    with worker_pool() as pool:
        for is_last in (False, True):
            pool.submit(function, *arguments, set_up=set_up)
            (event,) = pool.events()
            if event.kind == "done":
                return event.value  # type: ignore[return-value]
            if event.kind != "died" or is_last:
                break
        raise fault(event, pool)


def map_isolated(
    function: Callable[..., Result],
    items: Iterable[tuple[object, ...]],
    *,
    n_workers: int = 1,
    set_up: Callable[[], object] | None = None,
) -> Iterator[Result | Exception]:
    """What a function returns for each item, in their order, or its error (LostWorkerError as in
    `call_isolated`).

    Args:
        function: function of a module that reads an audio file.
        items: arguments of each call.
        n_workers: number of worker processes; 0 is one, and -1 is one per processor.
        set_up: as in `WorkerPool.submit`.

    Raises:
        ConfigError: there would be too many workers, or none.
    """
    calls = enumerate(items)
    n_workers = max(1, job_count(n_workers))
    with worker_pool(n_workers) as pool:
        under_way: dict[int, tuple[int, tuple[object, ...], bool]] = {}
        results: dict[int, Result | Exception] = {}
        n_given = n_taken = 0
        while True:
            while len(under_way) < 2 * n_workers and n_taken - n_given < MOST_AHEAD * n_workers:
                place, arguments = next(calls, (-1, None))
                if arguments is None:
                    break
                n_taken = place + 1
                under_way[pool.submit(function, *arguments, set_up=set_up)] = (place, arguments, False)
            if not under_way and n_given == n_taken:
                return
            for event in pool.events():
                place, arguments, again = under_way.pop(event.ticket)
                if event.kind == "died" and not again:
                    under_way[pool.submit(function, *arguments, set_up=set_up)] = (place, arguments, True)
                    continue
                result = event.value if event.kind == "done" else fault(event, pool)
                results[place] = result  # type: ignore[assignment]
            while n_given in results:
                yield results.pop(n_given)
                n_given += 1


def fault(event: Event, pool: WorkerPool) -> Exception:
    """The error of a call without result: a LostWorkerError if its worker is no more, or lacked memory."""
    error = event.value
    if isinstance(error, Exception) and not isinstance(error, MemoryError):
        return error
    machine = machine_fault(error) if isinstance(error, MemoryError) else None
    kind = "memory" if isinstance(error, MemoryError) else event.kind
    text = {"late": LATE, "memory": MEMORY}.get(kind, DIED)
    reason = text.format(seconds=pool.bounds.seconds, memory_mb=pool.bounds.memory_mb)
    return machine or LostWorkerError(reason, kind)


@atexit.register
def stop_worker() -> None:
    """End the warm worker. The end of this process does it too."""
    if _warm is not None and _owner == os.getpid():
        _warm.stop()
