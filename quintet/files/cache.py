"""The user's cache directory for what quintet can make again: compiled kernels, unfinished remote tables.

Machine code is loaded from this directory and runs. So a folder in it is used only if no other user can write
to it: `make_private` makes such a folder, or says what is wrong with the one that is there.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from platformdirs import user_cache_path

from quintet.errors import ArtefactError

_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


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


def make_private(folder: Path) -> None:
    """Make a folder that only this user can read and write (mode 0700), or check the one that is there.

    Folders above it that are missing are made in the same way. On Windows, where the folders of a user are
    private by their access lists, nothing is checked.

    Args:
        folder: the folder. Everything in it must belong to this user too, and no link may be in it.

    Raises:
        ArtefactError: another user owns the folder, a part of it or a folder above it, or can write to it.
        OSError: the folder cannot be made.
    """
    if os.name == "nt":
        folder.mkdir(parents=True, exist_ok=True)
        return
    path = folder.absolute()
    for place in (*reversed(path.parents), path):
        if not place.exists():
            place.mkdir(mode=0o700, exist_ok=True)
    for place in dict.fromkeys((*path.parents, *path.resolve().parents)):
        _require_safe_parent(place)
    _require_ours(path)
    for entry in _entries(path):
        with suppress(FileNotFoundError):  # a temporary file of another process that is compiling
            _require_ours(entry)


def require_unplanted(folder: Path) -> None:
    """Refuse a folder that another user may have put in a shared place, such as /tmp, under a name of ours.

    Args:
        folder: the folder of unfinished work, whose content the next run takes up. It need not exist.

    Raises:
        ArtefactError: it belongs to another user, or is a link, in a folder that all users can write.
    """
    if os.name == "nt" or not os.path.lexists(folder):
        return
    facts = folder.lstat()
    is_shared = bool(folder.absolute().parent.stat().st_mode & stat.S_IWOTH)
    if is_shared and (facts.st_uid != os.geteuid() or not stat.S_ISDIR(facts.st_mode)):
        raise ArtefactError(
            f"A folder of unfinished work must be yours. '{folder}' belongs to another user, in a place that "
            "all users can write: name another output."
        )


def _require_safe_parent(place: Path) -> None:
    """Refuse a folder in which another user could replace what is in it."""
    owners = (0, os.geteuid())
    facts = place.stat()
    if facts.st_uid not in owners or place.lstat().st_uid not in owners:
        raise _not_private(place, "belongs to another user")
    is_guarded = bool(facts.st_mode & stat.S_ISVTX)  # as /tmp: only the owner of a file replaces it
    if facts.st_mode & _WRITABLE_BY_OTHERS and not is_guarded and not _is_own_group(facts):
        raise _not_private(place, "can be written by other users")


def _is_own_group(facts: os.stat_result) -> bool:
    """Whether only the group may write, and the group is that of one user (as with the umask 002)."""
    import grp
    import pwd

    try:
        group, user = grp.getgrgid(facts.st_gid), pwd.getpwuid(os.geteuid())
    except KeyError:
        return False
    is_of_one = group.gr_name == user.pw_name and set(group.gr_mem) <= {user.pw_name}
    return is_of_one and not facts.st_mode & stat.S_IWOTH


def _require_ours(entry: Path) -> None:
    """Refuse a file or folder that is not ours alone."""
    facts = entry.lstat()
    if not (stat.S_ISDIR(facts.st_mode) or stat.S_ISREG(facts.st_mode)):
        raise _not_private(entry, "is a link or a device")
    if facts.st_uid != os.geteuid():
        raise _not_private(entry, "belongs to another user")
    if facts.st_mode & _WRITABLE_BY_OTHERS:
        raise _not_private(entry, "can be written by other users")


def _entries(folder: Path) -> Iterator[Path]:
    """Everything below a folder. Links are not followed."""
    for here, folders, files in os.walk(folder):
        yield from (Path(here, name) for name in (*folders, *files))


def _not_private(place: Path, fault: str) -> ArtefactError:
    return ArtefactError(
        f"A cache folder must belong to you alone. '{place}' {fault}: delete it, or name another cache "
        "directory with QUINTET_CACHE_DIR."
    )
