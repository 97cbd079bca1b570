"""Atomic writing: a file is complete or absent, and one process at a time writes a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from quintet.errors import ArtefactError


@contextmanager
def atomic_replace(target: Path) -> Iterator[Path]:
    """Give a temporary path beside `target` to write to; at the end, the written file replaces `target`.

    If the block fails, `target` stays as it was. A reader sees the old file or the new one, never a part,
    even if the process is killed or the power fails in between.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        synchronise(temporary)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file atomically: a reader sees the old content or the new content, never a part."""
    with atomic_replace(path) as temporary:
        temporary.write_bytes(data)


def synchronise(path: Path) -> None:
    """Flush a file to the disk before anything refers to it."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def exclusive_lock(lock: Path, *, what: str) -> Iterator[None]:
    """Sole right to write, for as long as the block lasts; it ends with the process, however that ends.

    Where the operating system has no `flock` (Windows) nothing is held.

    Raises:
        ArtefactError: if another process holds it.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ArtefactError(
                f"One process at a time may write {what}. Another is doing so now: wait for it, or write "
                "elsewhere."
            ) from error
        yield
