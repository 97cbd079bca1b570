"""Notices to the user on standard error. A notice never fails."""

from __future__ import annotations

import sys


def announce(text: str) -> None:
    """Print one line to standard error. If that is closed or full, the line is lost and nothing else happens.

    Args:
        text: the line, without "quintet:".
    """
    try:
        print(f"quintet: {text}", file=sys.stderr, flush=True)
    except (OSError, ValueError, AttributeError):  # a full disk, a closed stream, a stream that is no stream
        return
