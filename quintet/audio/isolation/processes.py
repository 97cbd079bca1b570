"""Start of worker processes: by a fork of this process while that is safe, else by a server process.

A fork takes milliseconds, since everything is imported already. It copies the locks of other threads in
whatever state they are, so it is made only while this process has a single thread and no library whose
threads hold locks. Otherwise a server process (multiprocessing's *forkserver*), which imports the libraries
once and has no threads, forks the workers. Without a fork (Windows) every worker starts from nothing.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from types import ModuleType

from quintet.errors import MachineError

ONE_THREAD = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
)
"""Environment variables that set the number of threads of a library."""
PRELOAD = ("quintet.audio.isolation.serving", "quintet.features.extraction.preload")
"""Modules that the server of worker processes imports once, for all of them."""
THREADED = ("tensorflow", "torch", "jax", "cupy")
"""Libraries whose threads hold locks at any time: no fork after they are imported."""

STANDARD_ERROR = 2
"""Descriptor of standard error, which C libraries write to."""

_STARTING = threading.Lock()
"""One start at a time: it changes the main module and the environment of this process for a moment."""

_METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"


def start_process(target: Callable[..., None], *arguments: object) -> BaseProcess:
    """Start a process that calls `target`. It does not run the user's main script.

    Args:
        target: function of a module.
        arguments: what it receives. Connections are passed on.

    Raises:
        MachineError: the system starts no process.
    """
    try:
        return _start(target, arguments)
    except OSError as error:
        reason = " ".join(str(error).split())
        if "AF_UNIX" in reason:
            raise MachineError(
                "The folder of temporary files must have a name of less than 60 characters. "
                f"Received {tempfile.gettempdir()}: set TMPDIR to another folder."
            ) from error
        raise MachineError(
            f"A worker process must start. The system refuses it ({reason}): use fewer --jobs, close other "
            "programs, or raise `ulimit -u`. Finished work is kept."
        ) from error


def _start(target: Callable[..., None], arguments: tuple[object, ...]) -> BaseProcess:
    if may_fork():  # no other thread could wait for the lock, and the fork must not have it
        return _start_by("fork", target, arguments)
    with _STARTING:
        return _start_by(_METHOD, target, arguments)


def _start_by(method: str, target: Callable[..., None], arguments: tuple[object, ...]) -> BaseProcess:
    """Start a process by a method of multiprocessing."""
    if method == "forkserver":
        _run_server()
    process: BaseProcess = multiprocessing.get_context(method).Process(  # type: ignore[attr-defined]
        target=target, args=arguments, daemon=True
    )
    with _no_main_module(), _may_have_children(), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a fork beside idle threads of OpenBLAS
        process.start()
    return process


def may_fork() -> bool:
    """Whether a fork of this process is safe: on Linux, with one thread, without libraries of `THREADED`."""
    has_one_thread = threading.active_count() == 1
    return sys.platform == "linux" and has_one_thread and not any(name in sys.modules for name in THREADED)


_POOLED = ("numpy", "scipy", "sklearn", "xgboost", "numba", "numexpr", *THREADED)
"""Libraries that read the variables of `ONE_THREAD` when they are imported, or bring one that does."""


class _Ahead:
    """Whether this process, and those that it forks, asked for one thread before any library was imported."""

    is_set = False


def use_one_thread_ahead() -> None:
    """Ask every library for one thread before it is imported: a pool that idles costs the start of a process
    some hundredths of a second. A number that the user has set stays, and so does the pool of a library that
    is imported already.
    """
    for name in ONE_THREAD:
        os.environ.setdefault(name, "1")
    is_one = all(os.environ[name] == "1" for name in ONE_THREAD)
    _Ahead.is_set = is_one and not any(name in sys.modules for name in _POOLED)


def use_one_thread() -> None:
    """Limit the libraries of this process to one thread: the processes are the parallelism."""
    if _Ahead.is_set:
        return
    from threadpoolctl import threadpool_limits

    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
    threadpool_limits(1)


def silence_libraries() -> None:
    """Send what C libraries print about a file (libmpg123, ffmpeg) to nowhere, until this process ends.

    They write to the descriptor of standard error, without the name of the file; the ledger has our reason.
    Python's standard error keeps the place that it had, for notices.
    """
    try:
        is_standard = sys.stderr is not None and sys.stderr.fileno() == STANDARD_ERROR
    except (OSError, ValueError):  # a stream without a descriptor stays as it is
        is_standard = False
    try:
        if is_standard:
            copy = os.dup(STANDARD_ERROR)
            sys.stderr = os.fdopen(copy, "w", buffering=1, encoding="utf-8", errors="backslashreplace")
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, STANDARD_ERROR)
        os.close(nowhere)
    except OSError:  # standard error is closed
        return


class _Silence:
    """Standard error as it was before the first of several threads silenced it."""

    lock = threading.Lock()
    depth = 0
    before = -1


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """The same until the block ends, for a process that goes on. Python's own messages are lost, too.

    Blocks of several threads may overlap: the last one that ends gives standard error back.
    """
    with _Silence.lock:
        _Silence.depth += 1
        if _Silence.depth == 1:
            _Silence.before = _redirect_errors()
    try:
        yield
    finally:
        with _Silence.lock:
            _Silence.depth -= 1
            if _Silence.depth == 0 and _Silence.before >= 0:
                os.dup2(_Silence.before, STANDARD_ERROR)
                os.close(_Silence.before)


def _redirect_errors() -> int:
    """Send standard error to nowhere. Returns a copy of it; -1 if it is closed."""
    try:
        before = os.dup(STANDARD_ERROR)
        nowhere = os.open(os.devnull, os.O_WRONLY)
    except OSError:
        return -1
    if sys.stderr is not None:
        sys.stderr.flush()
    os.dup2(nowhere, STANDARD_ERROR)
    os.close(nowhere)
    return before


def _run_server() -> None:
    """Start the server of worker processes, unless it runs."""
    from multiprocessing.forkserver import ensure_running

    multiprocessing.get_context("forkserver").set_forkserver_preload(list(PRELOAD))
    with _environment(dict.fromkeys(ONE_THREAD, "1")):
        ensure_running()


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


@contextmanager
def _may_have_children() -> Iterator[None]:
    """Let a worker of somebody else's pool (a daemon) start processes until the block ends.

    multiprocessing forbids it, since a daemon may be ended without a word. Our workers end when their
    connection does.
    """
    settings: dict[str, object] = multiprocessing.current_process()._config  # type: ignore[attr-defined]
    before = settings.get("daemon")
    settings["daemon"] = False
    try:
        yield
    finally:
        settings["daemon"] = before
