"""Errors as messages: one sentence on standard error and the exit code, never a traceback."""

from __future__ import annotations

import errno
import io
import os
import sys
from contextlib import suppress
from typing import BinaryIO, cast

from quintet.errors import QuintetError
from quintet.files.display.file_names import name_text
from quintet.files.machine import is_memory_short

EXIT_OK, EXIT_DATA, EXIT_USAGE, EXIT_INTERRUPTED, EXIT_CLOSED_PIPE = 0, 1, 2, 130, 141
"""Exit codes of every command; docs/main-job.md has the rule."""

TRACEBACK_VARIABLE = "QUINTET_TRACEBACK"
"""If this environment variable is set, an error that nothing explains is raised with its traceback."""

OS_REASONS = {
    errno.ENOSPC: "The disk is full: make room, or write to another disk. Finished work is kept.",
    errno.EDQUOT: "The disk quota is used up: make room, or write to another disk. Finished work is kept.",
    errno.EACCES: "There is no permission: change the permissions, or choose another place.",
    errno.EPERM: "There is no permission: change the permissions, or choose another place.",
    errno.EROFS: "The file system can only be read: choose another place.",
    errno.EISDIR: "It is a folder: name a file.",
    errno.ENOTDIR: "A part of the path is a file, not a folder: choose another place.",
    errno.ENAMETOOLONG: "The name is too long: choose a shorter one.",
    errno.EMFILE: "Too many files are open: use fewer --jobs, or raise the limit (`ulimit -n`).",
    errno.EFBIG: "The file may not be so large: raise the limit (`ulimit -f`). Finished work is kept.",
    errno.ENOMEM: "The memory is not enough for this work: use fewer --jobs or fewer clips.",
    errno.EAGAIN: "The system starts no more processes: use fewer --jobs, or raise the limit (`ulimit -u`).",
    errno.EIO: "The disk reports an error of input or output.",
}


FOLDER_GONE = (
    "The current folder does not exist any more: change to another folder and run the command again."
)


def explain_error(error: BaseException) -> str:
    """A sentence about an error, with the file that it is about.

    Args:
        error: an error of Quintet, of the operating system, or any other.
    """
    if isinstance(error, QuintetError):
        return f"{error} {FOLDER_GONE}" if is_folder_gone() and FOLDER_GONE not in str(error) else str(error)
    if isinstance(error, UnicodeEncodeError) and error.reason == "surrogates not allowed":
        return (
            "A table, a model and an output must have a name in UTF-8, their folders too. "
            f"'{name_text(error.object)}' is not: rename it. (Files of sound may have any names.)"
        )
    if isinstance(error, UnicodeError):
        return f"A text cannot be written or read in this encoding: {error}. Set PYTHONUTF8=1 to use UTF-8."
    if isinstance(error, MemoryError) or (isinstance(error, SystemError | ImportError) and is_memory_short()):
        return OS_REASONS[errno.ENOMEM]
    if isinstance(error, OSError):
        return _explain_os_error(error)
    return (
        f"Quintet cannot go on after an error that it does not know ({type(error).__name__}: {error}). "
        f"Please report it; with {TRACEBACK_VARIABLE}=1 the same command prints where it happened."
    )


def _explain_os_error(error: OSError) -> str:
    if is_folder_gone():
        return FOLDER_GONE
    reason = OS_REASONS.get(error.errno or 0, f"{error.strerror or error}.")
    return f"'{error.filename}': {reason}" if error.filename else reason


def is_folder_gone() -> bool:
    """Whether the current folder was deleted."""
    try:
        os.getcwd()
    except OSError:
        return True
    return False


def close_output() -> None:
    """Send standard output to nowhere, so that the end of the process does not try to write it again."""
    try:
        descriptor = sys.stdout.fileno()
    except (OSError, ValueError):  # a stream of a test has no descriptor
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


class _ForgivingStream(io.TextIOWrapper):
    """Standard error that may be full or closed: what cannot be printed is lost, and the work goes on."""

    def write(self, text: str, /) -> int:
        """Write a text, or lose it."""
        with suppress(OSError, ValueError):
            super().write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, or lose what is not written yet."""
        with suppress(OSError, ValueError):
            super().flush()


def keep_streams_open() -> None:
    """Let the work go on whatever standard input, output and error are.

    A stream that is closed (`2>&-`) is sent to nowhere: otherwise the next file that is opened would get its
    number, and what a library prints would end in that file. Messages that standard error cannot take, for
    example because the disk of a log is full, are lost.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    file = io.FileIO(2, "w", closefd=False) if sys.stderr is None else _buffer(sys.stderr)
    if file is not None:
        encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
        sys.stderr = _ForgivingStream(file, encoding=encoding, line_buffering=True)


def _buffer(stream: object) -> BinaryIO | None:
    """The bytes below a stream; None for a stream that a test or a program has put in its place."""
    if stream is sys.__stderr__ and isinstance(stream, io.TextIOWrapper):
        return cast(BinaryIO, stream.detach())
    return None


def accept_all_characters() -> None:
    """Let standard output and standard error print every character.

    A character that the encoding of the terminal does not have (cp1252, ASCII) is printed as an escape. Names
    of files with bytes that are not UTF-8 are printed in the same way.
    """
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def ignore_useless_width() -> None:
    """Remove a width of the terminal that is not a positive number from the environment."""
    columns = os.environ.get("COLUMNS")
    if columns is not None and not (columns.isdecimal() and int(columns) > 0):
        del os.environ["COLUMNS"]
