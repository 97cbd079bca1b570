"""Clips and tables that lie elsewhere: `s3://…`, `gs://…`, `https://…` or whatever fsspec reaches (extra `cluster`).

A remote clip is fetched, described and forgotten. A remote table is worked on in a local folder and put in its place when it is whole; the
parts of an unfinished run stay local, so that a run is resumed on the machine on which it was interrupted.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from quintet.errors import ConfigError, DecodeError, MissingExtraError

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")  # at least two letters: `C:/` is a drive


def is_remote(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a URL.

    Example:
        >>> is_remote("s3://bucket/a.wav"), is_remote("/music/a.wav"), is_remote("C:/music/a.wav")
        (True, False, False)
    """
    return isinstance(path, str) and _URL.match(path) is not None


def remote_facts(url: str) -> dict[str, int]:
    """Size (bytes) and a number that changes when the file does (its time of change in ns, or of its ETag); nothing if it is gone."""
    filesystem, path = _filesystem(url)
    try:
        found = filesystem.info(path)
    except (OSError, ValueError):
        return {}
    size, changed = found.get("size"), _changed(found)
    return ({} if size is None else {"source_size": int(size)}) | (
        {} if changed is None else {"source_mtime_ns": changed}
    )


@contextmanager
def local_copy(url: str) -> Iterator[str]:
    """A local copy of a remote clip, with the same suffix, for as long as the block lasts.

    Raises:
        DecodeError: if it cannot be fetched.
    """
    filesystem, path = _filesystem(url)
    with tempfile.TemporaryDirectory(prefix="quintet-") as folder:
        local = os.path.join(folder, "clip" + os.path.splitext(path)[1])
        try:
            filesystem.get_file(path, local)
        except FileNotFoundError:
            raise DecodeError(f"The file must exist. {url} does not. Check the address.") from None
        except OSError as error:
            raise DecodeError(
                f"The file must be reachable. {url} is not ({error}). Check the address and the credentials."
            ) from error
        yield local


@contextmanager
def edit_locally(url: str) -> Iterator[Path]:
    """A local file in the place of a remote one: a copy of what is there, and put back at the end if it has become another."""
    filesystem, path = _filesystem(url)
    local = workplace(url)
    local.parent.mkdir(parents=True, exist_ok=True)
    local.unlink(missing_ok=True)
    if filesystem.exists(path):
        filesystem.get_file(path, str(local))
    before = _digest(local)
    yield local
    if _digest(local) != before:
        filesystem.makedirs(filesystem._parent(path), exist_ok=True)
        filesystem.put_file(str(local), path)
    local.unlink()


def workplace(url: str) -> Path:
    """Where the table of a URL is worked on: the same place in every run, in the user's cache."""
    base = (
        os.environ.get("QUINTET_CACHE_DIR")
        or os.environ.get("XDG_CACHE_HOME")
        or os.path.expanduser("~/.cache")
    )
    return (
        Path(base)
        / "quintet"
        / "extraction"
        / hashlib.sha256(url.encode()).hexdigest()[:16]
        / url.rstrip("/").rsplit("/", 1)[-1]
    )


def _filesystem(url: str) -> tuple[Any, str]:
    try:
        import fsspec
    except ImportError as error:
        raise MissingExtraError(f"Reading {url}", "cluster") from error
    try:
        filesystem, path = fsspec.core.url_to_fs(url)
    except (ValueError, ImportError) as error:
        raise ConfigError(f"A URL must have a scheme that fsspec knows. Received {url}: {error}.") from error
    return filesystem, str(path)


def _changed(found: dict[str, Any]) -> int | None:
    """A number that is another one when a file is another one."""
    for name in ("mtime", "LastModified", "last_modified", "updated", "created"):
        value = found.get(name)
        if isinstance(value, datetime):
            return int(value.timestamp() * 1e6) * 1000
        if isinstance(value, (int, float)):
            return int(value * 1e9)
    tag = found.get("ETag") or found.get("etag")
    return None if tag is None else int(hashlib.sha256(str(tag).encode()).hexdigest()[:15], 16)


def _digest(path: Path) -> str:
    if not path.exists():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
