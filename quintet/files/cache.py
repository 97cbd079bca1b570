"""The user's cache directory for what quintet can make again: compiled kernels, unfinished remote tables."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_path


def cache_directory() -> Path:
    """The cache directory of quintet on this platform. `QUINTET_CACHE_DIR` overrides it.

    Returns:
        On Linux `$XDG_CACHE_HOME/quintet` or `~/.cache/quintet`, on macOS `~/Library/Caches/quintet`, on
        Windows `%LOCALAPPDATA%\\quintet\\Cache`. The directory need not exist.

    Raises:
        RuntimeError: there is no home directory.
    """
    chosen = os.environ.get("QUINTET_CACHE_DIR")
    return Path(chosen) if chosen else user_cache_path("quintet", appauthor=False)
