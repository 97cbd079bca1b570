"""Notices to the user on standard error. A notice never fails."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from quintet.files.display.names import printable

QUIET_VARIABLE = "QUINTET_QUIET"
"""If this environment variable is set, there are no notices. Worker processes inherit it."""


def announce(text: str) -> None:
    """Print one line to standard error. If that is closed or full, the line is lost and nothing else happens.

    Args:
        text: the line, without "quintet:".
    """
    if os.environ.get(QUIET_VARIABLE):
        return
    try:
        print(f"quintet: {printable(text)}", file=sys.stderr, flush=True)
    except (OSError, ValueError, AttributeError):  # a full disk, a closed stream, a stream that is no stream
        return


def silence_notices(*, quiet: bool) -> None:
    """Silence the notices of this process and of those that it starts, or let them through again.

    Args:
        quiet: whether notices are silent.
    """
    if quiet:
        os.environ.setdefault(QUIET_VARIABLE, "option")
    elif os.environ.get(QUIET_VARIABLE) == "option":  # of an earlier command in this process
        del os.environ[QUIET_VARIABLE]


@contextmanager
def silence_libraries() -> Iterator[None]:
    """Silence file descriptor 2: compiled libraries print there before they read any logging setting."""
    sys.stderr.flush()
    original = os.dup(2)
    with open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(original, 2)
            os.close(original)
