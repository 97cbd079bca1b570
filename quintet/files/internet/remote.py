"""Remote clips and tables: `s3://…`, `gs://…`, `https://…` and other addresses (extra `cluster`).

A remote clip is copied to a temporary file and removed after use. A remote table is written in a local folder
and uploaded when it is complete. The parts of an unfinished run stay local, so a run is resumed on the
machine on which it was interrupted.

Clips are read from the addresses that `internet.addresses` permits, for a manifest may come from a stranger;
tables are written where the user says. Whatever goes wrong with the address of a clip is a `DecodeError`, so
that it costs this clip and no other.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from quintet.errors import AudioError, ConfigError, DecodeError, MissingExtraError, QuintetError
from quintet.files.cache import cache_directory, make_private
from quintet.files.internet.addresses import (
    WEB_SCHEMES,
    address_fault,
    most_bytes,
    require_public_host,
    too_large,
    url_scheme,
)

BLOCK_BYTES = 1 << 20
_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,10}")


def is_remote(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a URL.

    Example:
        >>> is_remote("s3://bucket/a.wav"), is_remote("/music/a.wav"), is_remote("C:/music/a.wav")
        (True, False, False)
    """
    return isinstance(path, str) and url_scheme(path) is not None


def remote_facts(url: str) -> dict[str, int]:
    """Size and version of a remote file; an empty dictionary if they cannot be had.

    Returns:
        `source_size` in bytes, and `source_mtime_ns`: the time of the last change in ns, or a number made of
        the ETag.
    """
    info: Mapping[str, object] = {}
    with suppress(Exception):  # each backend of fsspec has its own; reading the clip gives the reason
        info = _info(url)
    facts: dict[str, int] = {}
    size, version = info.get("size"), _version_number(info)
    if isinstance(size, int):
        facts["source_size"] = size
    if version is not None:
        facts["source_mtime_ns"] = version
    return facts


def _info(url: str) -> Mapping[str, object]:
    """What the other side says of a file."""
    _require_permitted(url)
    match url_scheme(url):
        case "file":
            facts = os.stat(local_path(url))
            return {"size": facts.st_size, "mtime": facts.st_mtime}
        case "http" | "https":
            from quintet.files.internet.web import web_facts  # brings the modules of TLS

            return web_facts(url)
    require_public_host(url)
    filesystem, path = _filesystem(url)
    info: Mapping[str, object] = filesystem.info(path)
    return info


@contextmanager
def local_copy(url: str) -> Iterator[str]:
    """Give a local copy of a remote clip, with the same suffix, until the block ends.

    A `file://` address is the file itself.

    Raises:
        DecodeError: the clip cannot be fetched, or its address is none that may be read.
    """
    _require_permitted(url)
    if url_scheme(url) == "file":
        yield _require_file(url)
        return
    suffix = os.path.splitext(urlsplit(url).path)[1]
    with tempfile.TemporaryDirectory(prefix="quintet-") as folder:
        local = Path(folder, "clip" + (suffix if _SUFFIX.fullmatch(suffix) else ""))
        _fetch(url, local)
        yield str(local)


@contextmanager
def readable_file(path: str) -> Iterator[str]:
    """Give the path of a file to read: the path itself, or that of a local copy if it is a URL.

    Errors of the block about the copy name the URL.

    Raises:
        DecodeError: the file at the URL cannot be fetched.
    """
    if not is_remote(path):
        yield path
        return
    with local_copy(path) as local:
        try:
            yield local
        except AudioError as error:
            raise type(error)(str(error).replace(local, path)) from error


def local_path(url: str) -> str:
    """Path that a `file://` address names.

    Example:
        >>> local_path("file:///music/a.wav")
        '/music/a.wav'
    """
    path = url.partition("://")[2]
    if os.name == "nt":
        path = path.lstrip("/")
    return path if os.path.exists(path) else unquote(path)


def _require_file(url: str) -> str:
    path = local_path(url)
    if not os.path.exists(path):
        raise _absent(url)
    if not os.path.isfile(path):
        raise DecodeError(f"An address must name a regular file. {url} is a folder, a device or a pipe.")
    return path


def _require_permitted(url: str) -> None:
    fault = address_fault(url)
    if fault is not None:
        raise DecodeError(fault)


def _fetch(url: str, target: Path) -> None:
    """Copy a remote file."""
    from urllib.error import HTTPError, URLError

    try:
        if url_scheme(url) in WEB_SCHEMES:
            from quintet.files.internet.web import download

            download(url, target)
        else:
            _copy(url, target)
    except FileNotFoundError:
        raise _absent(url) from None
    except HTTPError as error:
        error.close()
        if error.code in (404, 410):
            raise _absent(url) from None
        raise _unreachable(url, error) from error
    except URLError as error:
        if isinstance(error.reason, QuintetError):
            raise error.reason from error
        raise _unreachable(url, error.reason) from error
    except QuintetError:
        raise
    except Exception as error:  # fsspec has other backends, each with errors of its own
        raise _unreachable(url, error) from error


def _copy(url: str, target: Path) -> None:
    """Copy a remote file by fsspec, up to the largest size."""
    require_public_host(url)
    filesystem, path = _filesystem(url)
    largest, received = most_bytes(), 0
    size = filesystem.info(path).get("size")
    if size is not None and size > largest:
        raise too_large(url, int(size))
    with filesystem.open(path, "rb") as source, target.open("wb") as file:
        while block := source.read(BLOCK_BYTES):
            received += len(block)
            if received > largest:
                raise too_large(url)
            file.write(block)


def _absent(url: str) -> DecodeError:
    return DecodeError(f"The file must exist. {url} does not. Check the address.")


def _unreachable(url: str, reason: object) -> DecodeError:
    text = str(reason) or type(reason).__name__
    return DecodeError(
        f"The file must be reachable. {url} is not ({text}). Check the address and the credentials."
    )


@contextmanager
def edit_locally(url: str) -> Iterator[Path]:
    """Give a local copy of a remote file, and upload it at the end if its content has changed."""
    filesystem, path = _filesystem(url)
    local = workplace(url)
    make_private(local.parent)
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
        reason = str(error)
    else:
        return filesystem, str(path)
    # not raised from the ImportError: a backend that is not installed is no broken installation
    raise ConfigError(f"A URL must have a scheme that fsspec knows. Received {url}: {reason}.")


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
