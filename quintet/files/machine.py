"""Faults of the machine: a full disk, too many open files, too little memory, a broken installation.

Such a fault is never the fault of the clip that is worked on: it ends the run, and the same command goes on
when the fault is mended.
"""

from __future__ import annotations

import errno
import importlib.util
import os
import sys
from pathlib import Path

from quintet.errors import ConfigError, MachineError, MissingExtraError

REASONS = {
    errno.ENOSPC: "The disk must have room. It is full: make room, or write to another disk",
    errno.EDQUOT: "The disk quota must have room. It is used up: make room, or write to another disk",
    errno.EFBIG: "A file must be as large as its content. The system allows less: raise `ulimit -f`",
    errno.EROFS: "The disk must be writable. It can only be read: choose another place",
    errno.EMFILE: "The process must open files. Too many are open: use fewer --jobs, or raise `ulimit -n`",
    errno.ENFILE: "The system must open files. Too many are open: close other programs",
    errno.ENOMEM: "The memory must suffice. It does not: use fewer --jobs, or close other programs",
}
"""Error of the system → what must hold, what is wrong, and what to do."""

GOES_ON = "Finished work is kept: the same command goes on."
ENOUGH_MEMORY = 1 << 30
"""Bytes. With so much free memory, a clip that has too little of it is too large itself."""

SHORT_MEMORY = 1 << 27
"""Bytes. With less free memory, imports and libraries fail with errors that do not name it."""

CODEC_LIBRARIES = ("av",)


def machine_fault(error: BaseException) -> MachineError | None:
    """The error of the run, if an error during the work on one clip is a fault of the machine.

    Args:
        error: the error; its causes are looked at too.
    """
    for cause in _causes(error):
        if isinstance(cause, MachineError):
            return cause
        if isinstance(cause, OSError) and cause.errno in REASONS:
            return MachineError(f"{REASONS[cause.errno]} ({_place(cause)}). {GOES_ON}")
        if isinstance(cause, ImportError) and not isinstance(cause, MissingExtraError):
            if _is_installed(cause.name):
                return MachineError(f"The installation must be whole. It is not ({cause}): install it again.")
        elif isinstance(cause, MemoryError) and _free_memory() < ENOUGH_MEMORY:
            return MachineError(f"{REASONS[errno.ENOMEM]}. {GOES_ON}")
    return _files_fault()


def is_memory_short() -> bool:
    """Whether so little memory is free that an error without a reason is most likely its lack."""
    return _free_memory() < SHORT_MEMORY


def require_address_space(n_bytes: int, what: str) -> None:
    """Require that `ulimit -v` leaves room, for work in threads of C++, which end the process without a word.

    Args:
        n_bytes: what the work needs beyond what is in use.
        what: the work, for the message.

    Raises:
        MachineError: the limit leaves less.
    """
    if _free_in_limits() < n_bytes:
        raise MachineError(
            f"{what} needs {n_bytes >> 20:,} MB of address space. The limit leaves less: raise `ulimit -v`."
        )


def _causes(error: BaseException) -> list[BaseException]:
    """An error, and the errors that it comes from."""
    found: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in found:
        found.append(following)
        following = following.__cause__ or following.__context__
    return found


def _place(error: OSError) -> str:
    return f"'{error.filename}'" if error.filename else str(error.strerror or error)


def _is_installed(name: str | None) -> bool:
    """Whether the library that cannot be imported is there: then it is broken, and no missing option."""
    library = (name or "").partition(".")[0]
    if library not in CODEC_LIBRARIES:
        return library == "quintet"
    return importlib.util.find_spec(library) is not None


def _files_fault() -> MachineError | None:
    """The fault that no more file can be opened, which decoders report without its number."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        if error.errno in REASONS:
            return MachineError(f"{REASONS[error.errno]}. {GOES_ON}")
    return None


def _free_memory() -> float:
    """Bytes that this process can still get; infinity if the system does not state it."""
    free = [_free_in_machine(), _free_in_limits()]
    return min(free)


def _free_in_machine() -> float:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return float("inf")
    facts = dict(line.split(":", 1) for line in lines if ":" in line)
    free = sum(int(facts[name].split()[0]) for name in ("MemAvailable", "SwapFree") if name in facts)
    return 1024.0 * free if "MemAvailable" in facts else float("inf")


def _free_in_limits() -> float:
    """Bytes below the limit of the address space (`ulimit -v`)."""
    if sys.platform == "win32":
        return float("inf")
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return float("inf")
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except OSError:
        return float("inf")
    return float(limit - pages * os.sysconf("SC_PAGE_SIZE"))


MOST_JOBS = 1_024
"""Most worker processes: more are a slip, and would take all memory."""


def job_count(n_jobs: int) -> int:
    """The number of worker processes: -1 is one per usable processor, -2 one fewer, and so on.

    Raises:
        ConfigError: no process is left, or far too many would start.
    """
    has_affinity = hasattr(os, "sched_getaffinity")
    processors = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    count = n_jobs if n_jobs >= 0 else processors + 1 + n_jobs
    if count < 0 or (n_jobs < 0 and count < 1):
        raise ConfigError(
            f"At least one job must be left. Received n_jobs={n_jobs} on {processors} processors."
        )
    if count > MOST_JOBS:
        raise ConfigError(
            f"Jobs are processes of this machine ({processors} processors), at most {MOST_JOBS:,}. "
            f"Received {count}."
        )
    return count
