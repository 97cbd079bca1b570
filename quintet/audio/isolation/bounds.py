"""Bounds of the work on one clip: seconds and memory. A worker process keeps them for itself."""

from __future__ import annotations

import os
import sys
import threading
import time
from dataclasses import dataclass

from quintet.errors import ConfigError

MEMORY_VARIABLE, SECONDS_VARIABLE = "QUINTET_CLIP_MEMORY_MB", "QUINTET_CLIP_TIMEOUT_S"
"""Environment variables that set the bounds; 0 is no bound."""
DEFAULT_MEMORY_MB, DEFAULT_SECONDS = 1200.0, 600.0
MEMORY_EXIT = 121
"""Exit code of a worker that took more memory than allowed."""
WATCH_S = 0.1


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bounds of the work on one clip, or on one chunk of clips.

    Args:
        memory_mb: memory that the work may take, beyond what the worker has before it, MB; 0 is no bound.
        seconds: time of the work, seconds; 0 is no bound.
        renewed: whether each part of a long recording that comes back begins the time anew.
    """

    memory_mb: float = DEFAULT_MEMORY_MB
    seconds: float = DEFAULT_SECONDS
    renewed: bool = True


def read_bounds() -> Bounds:
    """The bounds that the environment sets, or the defaults.

    Raises:
        ConfigError: a variable is no number of 0 or more.
    """
    return Bounds(_read(MEMORY_VARIABLE, DEFAULT_MEMORY_MB), _read(SECONDS_VARIABLE, DEFAULT_SECONDS))


def _read(variable: str, default: float) -> float:
    text = os.environ.get(variable, "").strip()
    try:
        value = float(text) if text else default
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise ConfigError(
            f"A bound must be a number, 0 or more (0: no bound). Received {variable}={text}: correct the "
            "environment variable."
        )
    return value


class MemoryBound:
    """The bound on the memory of this process.

    On Linux the system keeps it (`RLIMIT_DATA`): memory beyond it cannot be had, which is a MemoryError or a
    crash. Elsewhere a thread looks at the peak and ends the process.

    Args:
        memory_mb: MB beyond what the process has now; 0 is no bound.
    """

    def __init__(self, memory_mb: float) -> None:
        self._bytes = int(memory_mb * 2**20)
        self._by_system = sys.platform == "linux"
        if self._bytes and not self._by_system:
            most = peak_bytes() + self._bytes
            threading.Thread(target=_leave_beyond, args=(most,), daemon=True).start()

    def renew(self) -> None:
        """Allow the memory beyond what the process has now, so that no clip pays for those before it."""
        if not self._bytes or not self._by_system or sys.platform == "win32":
            return
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        wanted = _data_bytes() + self._bytes
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _data_bytes() -> int:
    """Private, writable memory of this process, as `RLIMIT_DATA` counts it."""
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[5]) * os.sysconf("SC_PAGE_SIZE")


def _leave_beyond(most: int) -> None:
    """End this process once its peak is beyond `most` bytes."""
    while peak_bytes() <= most:
        time.sleep(WATCH_S)
    os._exit(MEMORY_EXIT)


def peak_bytes() -> int:
    """Largest memory that this process has had, bytes; 0 if the system does not state it."""
    if sys.platform == "win32":
        return _windows_peak_bytes()
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak) if sys.platform == "darwin" else int(peak) * 1024


def _windows_peak_bytes() -> int:
    """`PeakWorkingSetSize` of `PROCESS_MEMORY_COUNTERS` (psapi.h)."""
    import ctypes
    from ctypes import wintypes

    sizes = ("PeakWorkingSetSize", "WorkingSetSize", "p1", "p2", "p3", "p4", "PagefileUsage", "p5")

    class Counters(ctypes.Structure):
        _fields_ = [
            ("cb", wintypes.DWORD),
            ("PageFaultCount", wintypes.DWORD),
            *((name, ctypes.c_size_t) for name in sizes),
        ]

    counters = Counters(cb=ctypes.sizeof(Counters))
    kernel = getattr(ctypes, "windll").kernel32  # noqa: B009  mypy on other systems
    kernel.GetCurrentProcess.restype = wintypes.HANDLE
    found = kernel.K32GetProcessMemoryInfo(
        wintypes.HANDLE(kernel.GetCurrentProcess()), ctypes.byref(counters), counters.cb
    )
    return int(counters.PeakWorkingSetSize) if found else 0
