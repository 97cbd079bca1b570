"""Remote clips and tables: `s3://…`, `gs://…`, `https://…` and what else fsspec knows (extra `cluster`).

A remote clip is copied to a temporary file and removed after use. A remote table is written in a local folder
and uploaded when it is complete. The parts of an unfinished run stay local, so a run is resumed on the
machine on which it was interrupted.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from quintet.errors import ConfigError, DecodeError, MissingExtraError
from quintet.files.cache import cache_directory

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")  # at least two letters: `C:/` is a drive


def is_remote(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a URL.

    Example:
        >>> is_remote("s3://bucket/a.wav"), is_remote("/music/a.wav"), is_remote("C:/music/a.wav")
        (True, False, False)
    """
    return isinstance(path, str) and _URL.match(path) is not None


def remote_facts(url: str) -> dict[str, int]:
    """Size and version of a remote file; an empty dictionary if the file does not exist.

    Returns:
        `source_size` in bytes, and `source_mtime_ns`: the time of the last change in ns, or a number made of
        the ETag.
    """
    filesystem, path = _filesystem(url)
    try:
        info = filesystem.info(path)
    except (OSError, ValueError):
        return {}
    facts: dict[str, int] = {}
    size, version = info.get("size"), _version_number(info)
    if size is not None:
        facts["source_size"] = int(size)
    if version is not None:
        facts["source_mtime_ns"] = version
    return facts


@contextmanager
def local_copy(url: str) -> Iterator[str]:
    """Give a local copy of a remote clip, with the same suffix, until the block ends.

    Raises:
        DecodeError: the clip cannot be fetched.
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
    """Give a local copy of a remote file, and upload it at the end if its content has changed."""
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
    """Local path at which the table of a URL is written: the same in every run, in the user's cache."""
    key = hashlib.sha256(url.encode()).hexdigest()[:16]
    name = url.rstrip("/").rsplit("/", 1)[-1]
    return cache_directory() / "extraction" / key / name


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


def _version_number(info: Mapping[str, object]) -> int | None:
    """A number that differs between versions of a file: its time of change in ns, or made of its ETag."""
    for name in ("mtime", "LastModified", "last_modified", "updated", "created"):
        value = info.get(name)
        if isinstance(value, datetime):
            return int(value.timestamp() * 1e6) * 1000
        if isinstance(value, (int, float)):
            return int(value * 1e9)
    tag = info.get("ETag") or info.get("etag")
    if tag is None:
        return None
    return int(hashlib.sha256(str(tag).encode()).hexdigest()[:15], 16)


def _digest(path: Path) -> str:
    if not path.exists():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
