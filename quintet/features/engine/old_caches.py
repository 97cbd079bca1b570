"""Cache folders of kernels that nothing uses any more: of earlier versions and of removed installations.

A process that loads the kernels marks its folder as used, at most once a day. A process that compiled them
removes the others that are old.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from contextlib import suppress
from pathlib import Path

COMPLETE = "complete"
NAME = re.compile(r"kernels-[0-9a-f]{16}")
DAY_S = 86_400.0
KEPT_DAYS, KEPT_FOLDERS = 30, 8
"""A folder goes that was unused for 30 days, and beyond the eight latest one that was unused for a day."""


def note_use(folder: Path) -> None:
    """Note that the kernels of a folder were loaded.

    Args:
        folder: the cache folder, whose file `complete` has the time of the last use.
    """
    with suppress(OSError):  # a cache on a disk that cannot be written
        if time.time() - (folder / COMPLETE).stat().st_mtime > DAY_S:
            os.utime(folder / COMPLETE)


def remove_old_folders(current: Path) -> list[str]:
    """Remove cache folders beside this one that are not used any more.

    Args:
        current: the cache folder of this process, which stays.

    Returns:
        Names of the folders that were removed.
    """
    now = time.time()
    ages = {folder: now - _last_use_s(folder) for folder in _siblings(current)}
    by_age = sorted(ages, key=lambda folder: (ages[folder], folder.name))
    old = [
        folder
        for rank, folder in enumerate(by_age, start=1)  # the current folder is one of those that are kept
        if ages[folder] > KEPT_DAYS * DAY_S or (rank >= KEPT_FOLDERS and ages[folder] > DAY_S)
    ]
    for folder in old:
        shutil.rmtree(folder, ignore_errors=True)
    return sorted(folder.name for folder in old)


def _siblings(current: Path) -> list[Path]:
    """Other folders of kernels of this user; links are left alone."""
    found = []
    with suppress(OSError):
        for entry in os.scandir(current.parent):
            is_ours = NAME.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
            if is_ours and entry.name != current.name:
                found.append(Path(entry.path))
    return found


def _last_use_s(folder: Path) -> float:
    """Time of the last use; of the folder itself if its kernels were never complete."""
    for place in (folder / COMPLETE, folder):
        with suppress(OSError):
            return place.stat().st_mtime
    return time.time()
