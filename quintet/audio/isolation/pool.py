"""A pool of worker processes that may die, hang or take too much memory without harm to this process.

Every worker has a connection of its own, so the death of one cannot spoil what another sends. One thread,
that of the caller, does everything except `end`: there is nothing to lock.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Literal, Self

from quintet.audio.isolation.bounds import MEMORY_EXIT, Bounds
from quintet.audio.isolation.processes import start_process
from quintet.audio.isolation.serving import Answer, Call, serve
from quintet.errors import QuintetError

MAX_BREAKS = 3
"""Workers that may die one after another before any of them began a call."""
TICK_S = 1.0
"""Longest time between two looks at the time of the workers, seconds."""
LEAVE_S = 5.0
"""Seconds that a worker has to leave before it is ended."""

Ending = Literal["item", "done", "error", "died", "late", "memory"]


@dataclass(frozen=True, slots=True)
class Event:
    """What became of a call.

    Args:
        ticket: number of the call.
        kind: `item` (one item of a generator; more follows), `done` (with the result), `error` (the function
            raised `value`), or why the worker is no more: `died`, `late` (time-out), `memory` (it took more
            than the bound).
        value: the item, the result or the exception; None for a worker that is no more.
    """

    ticket: int
    kind: Ending
    value: object = None


@dataclass(slots=True, eq=False)
class _Worker:
    """A worker process.

    Args:
        process: the process.
        connection: our end.
        ticket: call that it was given; None if it is idle.
        begun: whether it runs the call, not the set-up before.
        spent_s: seconds since the call began, or since its last item.
        looked_at: until when they are counted, as `time.monotonic()`.
    """

    process: BaseProcess
    connection: Connection
    ticket: int | None = None
    begun: bool = False
    spent_s: float = 0.0
    looked_at: float = 0.0


_ALL: weakref.WeakSet[WorkerPool] = weakref.WeakSet()
"""The pools of this process. A forked worker has a copy of their connections and closes it."""


@dataclass(eq=False)
class WorkerPool:
    """Worker processes that carry out calls, each with one thread.

    Args:
        n_workers: number of processes. They start when there are calls for them.
        bounds: of one call.

    Example:
        >>> with WorkerPool(1) as pool:
        ...     ticket = pool.submit(divmod, 7, 2)
        ...     pool.events() == [Event(ticket, "done", (3, 1))]
        True
    """

    n_workers: int = 1
    bounds: Bounds = field(default_factory=Bounds)

    def __post_init__(self) -> None:
        self._workers: list[_Worker] = []
        self._calls: dict[int, Call] = {}
        self._waiting: deque[int] = deque()
        self._silent: set[int] = set()  # calls that only start a worker
        self._n_calls = self._breaks = 0
        self._ended = threading.Event()
        _ALL.add(self)

    @property
    def _tick_s(self) -> float:
        """Seconds after which the pool looks at the time of its workers."""
        return min(TICK_S, self.bounds.seconds / 5) if self.bounds.seconds else TICK_S

    @property
    def n_under_way(self) -> int:
        """Number of calls that have not ended."""
        return len(self._calls) - len(self._silent)

    def submit(
        self, function: Callable[..., object], *arguments: object, set_up: Callable[[], object] | None = None
    ) -> int:
        """Accept a call, and return its ticket. A worker begins with it at once if one is free.

        Args:
            function: function of a module. If it returns an iterator, each item is an event of its own.
            arguments: its arguments. They must be small: at most some hundred kB.
            set_up: function that a worker calls once, before its first such call. It is not bounded.
        """
        ticket = self._n_calls
        self._n_calls += 1
        self._calls[ticket] = (function, arguments, set_up, _current_folder())
        self._waiting.append(ticket)
        self._hand_out()
        return ticket

    def events(self) -> list[Event]:
        """Wait until something has become of a call; an empty list if no call is under way.

        Raises:
            QuintetError: worker processes cannot be started.
        """
        events: list[Event] = []
        while not events and self.n_under_way:
            self._hand_out()
            step_s = self._tick_s if self.bounds.seconds else None
            objects: list[object] = []
            for worker in self._workers:
                objects += [worker.connection, worker.process.sentinel]
            ready = wait(objects, timeout=step_s)  # type: ignore[arg-type]
            for worker in list(self._workers):
                if worker.connection in ready or worker.process.sentinel in ready:
                    events += self._listen(worker)
            events += self._end_late()
            self._hand_out()
        return events

    def _hand_out(self) -> None:
        """Give waiting calls to idle workers, and start workers as long as there are too few."""
        while self._waiting:
            idle = next((worker for worker in self._workers if worker.ticket is None), None)
            if idle is None:
                if len(self._workers) >= self.n_workers:
                    return
                idle = self._start()
            ticket = self._waiting.popleft()
            try:
                idle.connection.send(self._calls[ticket])
            except OSError:  # it has left in the meantime
                self._waiting.appendleft(ticket)
                self._remove(idle)
                continue
            idle.ticket, idle.begun = ticket, False

    def _start(self) -> _Worker:
        if self._ended.is_set():
            raise QuintetError("Worker processes must not be ended before their work. They were, by request.")
        ours, theirs = Pipe()
        others = [worker.connection for pool in _ALL for worker in pool._workers]
        process = start_process(serve, theirs, _ForeignConnections([*others, ours]), self.bounds)
        theirs.close()
        worker = _Worker(process, ours)
        self._workers.append(worker)
        if self._ended.is_set():  # meanwhile, so that `end` has not seen it
            process.kill()
        return worker

    def _listen(self, worker: _Worker) -> list[Event]:
        """What a worker has sent, or what its death means."""
        answers: list[tuple[Answer, object]] = []
        lives = False
        try:
            while worker.connection.poll():
                answers.append(worker.connection.recv())
            lives = worker.process.is_alive()
        except Exception:  # noqa: BLE001  the end of the connection, or whatever a dying process sent
            lives = False
        events: list[Event] = []
        for kind, value in answers:
            events += self._note(worker, kind, value)
        return events if lives else events + self._bury(worker)

    def _note(self, worker: _Worker, kind: Answer, value: object) -> list[Event]:
        ticket = worker.ticket
        assert ticket is not None
        if kind == "broken":
            assert isinstance(value, Exception)
            self.stop()
            raise value
        worker.begun, self._breaks = True, 0
        if kind != "item" or self.bounds.renewed:
            worker.spent_s, worker.looked_at = 0.0, time.monotonic()
        if kind == "begun":
            return []
        if kind == "item":
            return [Event(ticket, kind, value)]
        worker.ticket = None
        return self._end(ticket, kind, value)

    def _end(self, ticket: int, kind: Ending, value: object = None) -> list[Event]:
        """The end of a call, as an event unless the call only started a worker."""
        del self._calls[ticket]
        if ticket not in self._silent:
            return [Event(ticket, kind, value)]
        self._silent.remove(ticket)
        return []

    def _bury(self, worker: _Worker) -> list[Event]:
        """Remove a worker that is no more. Its call has died with it, unless it had not begun."""
        self._remove(worker)
        ticket, code = worker.ticket, worker.process.exitcode
        if ticket is None:
            return []
        if worker.begun or ticket in self._silent:
            return self._end(ticket, "memory" if code == MEMORY_EXIT else "died")
        self._waiting.appendleft(ticket)
        self._breaks += 1
        if self._breaks > MAX_BREAKS:
            self.stop()
            raise QuintetError(
                f"Worker processes must start. {self._breaks} ended one after another before they had done "
                f"anything (the last with exit code {code}): free memory, or look at the messages above."
            )
        return []

    def _end_late(self) -> list[Event]:
        """End the workers that take too long. Time in which this process did not run does not count."""
        now = time.monotonic()
        events: list[Event] = []
        for worker in list(self._workers):
            if worker.ticket is None or not worker.begun:
                continue
            worker.spent_s += min(now - worker.looked_at, 2 * self._tick_s)
            worker.looked_at = now
            has_more = self.bounds.renewed and worker.connection.poll()
            if self.bounds.seconds and worker.spent_s > self.bounds.seconds and not has_more:
                self._remove(worker)
                events += self._end(worker.ticket, "late")
        return events

    def _remove(self, worker: _Worker) -> None:
        """Take a worker out of the pool. It is ended if it still runs."""
        self._workers.remove(worker)
        worker.connection.close()
        worker.process.join(0)
        if worker.process.is_alive():
            worker.process.kill()
        worker.process.join(LEAVE_S)

    def warm_up(self, set_up: Callable[[], object] | None) -> None:
        """Start a worker and its set-up, without waiting for it. Nothing happens if there is a worker."""
        if not self._workers:
            self._silent.add(self.submit(_do_nothing, set_up=set_up))

    def keep(self, n_workers: int) -> None:
        """Let all idle workers but `n_workers` leave."""
        for worker in [worker for worker in self._workers if worker.ticket is None][n_workers:]:
            worker.connection.close()
            worker.process.join(LEAVE_S)
            self._remove(worker)

    def stop(self) -> None:
        """End all workers at once. Calls that are under way are forgotten."""
        for worker in list(self._workers):
            worker.process.kill()
        for worker in list(self._workers):
            self._remove(worker)
        for calls in (self._calls, self._waiting, self._silent):
            calls.clear()

    def end(self) -> None:
        """End all workers at once and for good. Any thread may call it; who waits for a call has an error."""
        self._ended.set()
        for worker in list(self._workers):
            worker.process.kill()

    def close(self) -> None:
        """Let idle workers leave, and end the others."""
        for worker in self._workers:
            worker.connection.close()
        deadline = time.monotonic() + LEAVE_S
        for worker in self._workers:
            if worker.ticket is None:
                worker.process.join(max(0.0, deadline - time.monotonic()))
        self.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self.stop()


class _ForeignConnections(list[Connection]):
    """Connections that a forked worker has a copy of. A worker that starts otherwise gets none of them."""

    def __reduce__(self) -> tuple[type[list[Connection]], tuple[()]]:
        return list, ()


def _current_folder() -> str | None:
    """The current folder; None if it has been deleted."""
    try:
        return os.getcwd()
    except OSError:
        return None


def _do_nothing() -> None:
    """The call of a worker that only starts."""
