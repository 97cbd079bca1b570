"""Files of a folder that a stranger may have sent, read without following a link out of it.

Every file is opened component by component without following links, must be an ordinary file, and is read
once: what is parsed is what its digest was taken of, even if somebody exchanges the file in between.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from quintet.errors import ArtefactError
from quintet.files.untrusted import limits
from quintet.files.untrusted.reasons import reason

BLOCK_BYTES = 1 << 20
_HAS_DIRECTORY_DESCRIPTORS = os.open in os.supports_dir_fd and hasattr(os, "O_NOFOLLOW")


@dataclass(frozen=True)
class Record:
    """What the list of a folder says about one file.

    Args:
        digest: SHA-256, 64 hex digits.
        size: bytes; None in folders of early versions.
    """

    digest: str
    size: int | None = None


class FileSource(Protocol):
    """Files that can be read by their names."""

    def __contains__(self, name: str) -> bool:
        """Whether the file exists and may be read."""
        ...

    def read(self, name: str, *, limit: int = ...) -> bytes:
        """The whole file, at most `limit` bytes.

        Raises:
            ArtefactError: if it is missing, too large, no ordinary file, or not as it was written.
        """
        ...

    def path(self, name: str) -> Path:
        """Path of the file, for messages."""
        ...


class PlainFiles:
    """The files of a folder without a list, for example of a member that `save_member` wrote.

    Args:
        root: the folder.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)

    def __contains__(self, name: str) -> bool:
        return self.path(name).is_file()

    def read(self, name: str, *, limit: int = limits.FILE_BYTES) -> bytes:
        """The whole file, see `FileSource.read`."""
        return read_inside(self.root, name, limit=limit)

    def path(self, name: str) -> Path:
        """Path of the file, for messages."""
        return self.root / name


class ListedFiles:
    """The files of a folder that its list names. No other file is read.

    Args:
        root: the folder.
        records: path relative to `root`, with `/` → what the list says.

    Raises:
        ArtefactError: if a path leaves the folder, or there are more files than `limits.FILES`.
    """

    def __init__(self, root: str | Path, records: Mapping[str, Record]) -> None:
        self.root = Path(root)
        self.records = dict(records)
        outside = [name for name in self.records if not is_inner_path(name)]
        if outside or len(self.records) > limits.FILES:
            fault = f"'{outside[0]}' leaves it" if outside else f"the list has {len(self.records)} files"
            raise ArtefactError(
                f"A folder's list must name at most {limits.FILES} files inside the folder. In {self.root} "
                f"{fault}. Do not use this folder."
            )

    def __contains__(self, name: str) -> bool:
        return name in self.records

    def path(self, name: str) -> Path:
        """Path of a file, for messages."""
        return self.root / name

    def names(self, folder: str, suffix: str = "") -> list[str]:
        """Listed files directly in a folder, sorted: paths relative to `root`."""
        parent = PurePosixPath(folder)
        return sorted(
            name for name in self.records if PurePosixPath(name).parent == parent and name.endswith(suffix)
        )

    def inside(self, folder: str) -> ListedFiles:
        """The listed files below a folder, with names relative to it."""
        prefix = f"{folder}/"
        inner = {
            name.removeprefix(prefix): record
            for name, record in self.records.items()
            if name.startswith(prefix)
        }
        return ListedFiles(self.root / folder, inner)

    def read(self, name: str, *, limit: int = limits.FILE_BYTES) -> bytes:
        """The whole file, whose size and digest are those of the list.

        Raises:
            ArtefactError: if it is not listed, missing, too large, no ordinary file, or has changed.
        """
        record = self._record(name)
        data = read_inside(self.root, name, limit=limit, size=record.size)
        if hashlib.sha256(data).hexdigest() != record.digest:
            raise self._change_error(name)
        return data

    def verify(self) -> None:
        """Compare size and digest of every file with the list. Nothing is kept.

        Raises:
            ArtefactError: if a file is missing, no ordinary file, or has changed.
        """
        for name, record in self.records.items():
            digest = hashlib.sha256()
            with _open_inside(self.root, name, limit=limits.FILE_BYTES, size=record.size) as (descriptor, _):
                while block := os.read(descriptor, BLOCK_BYTES):
                    digest.update(block)
            if digest.hexdigest() != record.digest:
                raise self._change_error(name)

    def _record(self, name: str) -> Record:
        if name not in self.records:
            raise ArtefactError(
                f"A folder's list must name every file that is read. {self.path(name)} is not listed. "
                "Restore it from a copy, or make the folder again."
            )
        return self.records[name]

    def _change_error(self, name: str) -> ArtefactError:
        return _change_error(self.path(name))


def is_inner_path(name: object) -> bool:
    """Whether a name is a relative path with `/` that stays inside its folder.

    Example:
        >>> [is_inner_path(name) for name in ("a/b.json", "../b", "/etc/passwd", "a//b")]
        [True, False, False, False]
    """
    if not isinstance(name, str) or not name or len(name) > 1024:
        return False
    if not name.isprintable() or "\\" in name or (os.name == "nt" and ":" in name):
        return False
    return all(part not in ("", ".", "..") for part in name.split("/"))


def read_inside(root: Path, name: str, *, limit: int, size: int | None = None) -> bytes:
    """Bytes of an ordinary file inside a folder. No link is followed below the folder.

    Args:
        root: the folder; it may itself be reached through links.
        name: path relative to it, with `/`.
        limit: greatest number of bytes.
        size: the number of bytes that it must have. Default: any.

    Raises:
        ArtefactError: if it is missing, a link, no ordinary file, or has another size.
    """
    with (
        _open_inside(root, name, limit=limit, size=size) as (descriptor, n_bytes),
        os.fdopen(descriptor, "rb", closefd=False) as file,
    ):
        data = file.read(n_bytes + 1)
    if len(data) != n_bytes:  # it grew or shrank meanwhile
        raise _change_error(root / name)
    return data


@contextmanager
def _open_inside(root: Path, name: str, *, limit: int, size: int | None) -> Iterator[tuple[int, int]]:
    """Descriptor and size of an ordinary file inside a folder, its size checked."""
    path = root / name
    descriptors: list[int] = []
    try:
        descriptor = _walk(root, name, descriptors)
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise ArtefactError(
                f"A file of a folder must be an ordinary file. {path} is a device, a pipe or a folder. "
                "Do not use this folder."
            )
        if facts.st_size > limit:
            raise _too_large(path, facts.st_size, limit)
        if size is not None and facts.st_size != size:
            raise _change_error(path)
        yield descriptor, facts.st_size
    except ArtefactError:
        raise
    except FileNotFoundError:
        raise ArtefactError(
            f"A folder must be complete. {path} is missing: restore it from a copy, or make the folder again."
        ) from None
    except (OSError, ValueError) as error:
        raise ArtefactError(
            f"A file of a folder must be readable. {path} is not ({reason(error)}). Copy the folder again."
        ) from error
    finally:
        for opened in descriptors:
            os.close(opened)


def _walk(root: Path, name: str, descriptors: list[int]) -> int:
    """Open every folder of a path and the file at its end, none of them through a link."""
    *folders, last = name.split("/")
    binary = getattr(os, "O_BINARY", 0)
    if not _HAS_DIRECTORY_DESCRIPTORS:  # Windows
        for depth in range(1, len(folders) + 2):
            step = root.joinpath(*name.split("/")[:depth])
            if step.is_symlink() or getattr(step, "is_junction", lambda: False)():
                raise _is_link(step)
        descriptors.append(os.open(root / name, os.O_RDONLY | binary))
        return descriptors[-1]
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptors.append(os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
    place = root
    for step_name, is_last in [*((folder, False) for folder in folders), (last, True)]:
        place = place / step_name
        facts = os.stat(step_name, dir_fd=descriptors[-1], follow_symlinks=False)
        if stat.S_ISLNK(facts.st_mode):
            raise _is_link(place)
        kind = os.O_NONBLOCK if is_last else os.O_DIRECTORY  # a pipe would wait for its other end
        try:
            descriptors.append(os.open(step_name, flags | kind, dir_fd=descriptors[-1]))
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise _is_link(place) from None
            raise
    return descriptors[-1]


def _is_link(path: Path) -> ArtefactError:
    return ArtefactError(
        f"A folder must hold its files itself. {path} is a link. "
        "Copy the folder with its files, or do not use it."
    )


def _too_large(path: Path, size: int, limit: int) -> ArtefactError:
    return ArtefactError(
        f"A file of this kind must have at most {limit} bytes. {path} has {size} or more. "
        "Do not use this folder."
    )


def _change_error(path: Path) -> ArtefactError:
    return ArtefactError(
        f"A file of a folder must be as it was written. {path} has changed since: "
        "restore it, or make the folder again."
    )
