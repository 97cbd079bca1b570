"""What a worker process does: it receives calls, carries them out, and sends back what they return."""

from __future__ import annotations

import faulthandler
import math
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from typing import Literal

from quintet.audio.isolation.bounds import Bounds, MemoryBound
from quintet.audio.isolation.processes import silence_libraries, use_one_thread

IDLE_S = 120.0
"""A worker without calls for so long leaves: the next call starts another."""
STANDARD_OUTPUT, STANDARD_ERROR = 1, 2
GRACE_S = 10
"""Seconds after which the system ends a late worker whose parent is gone."""

Answer = Literal["begun", "item", "done", "error", "broken"]
"""`begun`: the set-up is done and the call runs; `item`: one item of a generator; `done`: the result;
`error`: the call raised this; `broken`: the set-up raised this."""
Call = tuple[Callable[..., object], tuple[object, ...], Callable[[], object] | None, str | None]
"""Function, arguments, the set-up that the worker must have run once before, and the current folder."""


def serve(connection: Connection, others: Sequence[Connection], bounds: Bounds) -> None:
    """Carry out calls until the connection ends.

    Args:
        connection: receives `Call`s, sends pairs of an `Answer` and a value.
        others: connections of other workers that a fork has copied; they are closed.
        bounds: memory and time of one call.
    """
    for other in others:
        other.close()
    _prepare_process()
    noise = _Noise()
    memory = MemoryBound(bounds.memory_mb)
    set_up: set[Callable[[], object]] = set()
    while True:
        try:
            if not connection.poll(IDLE_S):
                return
            for answer in _carry_out(connection, set_up, memory, noise, bounds.seconds):
                try:
                    connection.send(answer)
                except MemoryError as error:  # for the copy that is sent
                    connection.send(("error", error))
                    break
        except (EOFError, BrokenPipeError, ConnectionError):
            return  # the parent is gone


def _carry_out(
    connection: Connection,
    set_up: set[Callable[[], object]],
    memory: MemoryBound,
    noise: _Noise,
    seconds: float,
) -> Iterator[tuple[Answer, object]]:
    """The answers to the call that comes next."""
    try:
        call: Call = connection.recv()
        function, arguments, prepare, folder = call
        _enter(folder)
        if prepare is not None and prepare not in set_up:
            noise.allow()
            prepare()
            noise.stop()
            set_up.add(prepare)
    except (EOFError, ConnectionError):
        raise
    except Exception as error:  # noqa: BLE001  the parent raises it
        yield "broken", _portable(error)
        return
    yield "begun", None
    memory.renew()
    _set_alarm(seconds)
    try:
        result = function(*arguments)
        if isinstance(result, Iterator):
            for item in result:
                yield "item", item
                _set_alarm(seconds)
            result = None
        yield "done", result
    except Exception as error:  # noqa: BLE001  the parent decides
        yield "error", _portable(error)
    finally:
        _set_alarm(0)


def _enter(folder: str | None) -> None:
    """Make the caller's current folder that of this process, so that relative paths mean the same."""
    if folder is not None:
        with suppress(OSError):  # it has been deleted meanwhile: then reading a relative path says so
            os.chdir(folder)


class _Noise:
    """What decoders print: it is dropped, on standard output always, on standard error except during set-ups.

    It may hold bytes of the file, and standard output is for results. Some decoders print after the call.
    """

    def __init__(self) -> None:
        self._nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            self._errors = os.dup(STANDARD_ERROR)
        except OSError:  # closed
            self._errors = self._nowhere
        os.dup2(self._nowhere, STANDARD_OUTPUT)
        self.stop()

    def stop(self) -> None:
        """Drop what is printed from now on."""
        os.dup2(self._nowhere, STANDARD_ERROR)

    def allow(self) -> None:
        """Show what is printed from now on: a set-up may have something to say."""
        os.dup2(self._errors, STANDARD_ERROR)


def _prepare_process() -> None:
    """One thread, no memory image after a crash, and no reaction to Ctrl-C: the parent sees to that."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if hasattr(signal, "SIGALRM"):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
    faulthandler.disable()  # a crash is a row of the ledger, not a report on standard error
    silence_libraries()
    use_one_thread()
    if os.name == "posix":
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (0, hard))


def _set_alarm(seconds: float) -> None:
    """Let the system end this process if it is still at it after `seconds` and some more; 0 lets it be.

    The parent ends a late worker earlier. A parent that was killed does not.
    """
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, math.ceil(2 * seconds) + GRACE_S if seconds else 0)


def _portable(error: Exception) -> Exception:
    """The error, or its text in a RuntimeError if it cannot be sent to another process."""
    try:
        ForkingPickler.loads(ForkingPickler.dumps(error))
    except Exception:  # noqa: BLE001  whatever its class does when it is copied
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
