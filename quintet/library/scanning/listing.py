"""What a scan finds in a folder, compared with what the library knows: which files are to be examined."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from quintet.datasets.folder import list_audio
from quintet.errors import DatasetError
from quintet.files.display.file_names import name_text, text_path
from quintet.library.schema import GONE, conform


class FoundFile(NamedTuple):
    """A file of the folder.

    Args:
        path: text of its path, relative to the root.
        size: bytes; -1 if it cannot be looked at.
        mtime_ns: time of its last change.
    """

    path: str
    size: int
    mtime_ns: int


class KnownSong(NamedTuple):
    """A song of the library.

    Args:
        row: its row in the table of songs.
        id: its id.
        root: the folder that was scanned.
        path: of its file in the root.
        size: bytes of the file.
        mtime_ns: time of its last change.
        file_digest: digest of its bytes.
        audio_digest: digest of its sound.
        status: `ok`, `truncated` or `gone`.
    """

    row: int
    id: str
    root: str
    path: str
    size: int
    mtime_ns: int
    file_digest: str
    audio_digest: str
    status: str


def known_songs(songs: pa.Table) -> list[KnownSong]:
    """The songs of a table.

    Args:
        songs: the table `songs`.
    """
    columns = [songs.column(name).to_pylist() for name in KnownSong._fields[1:]]
    return [KnownSong(row, *values) for row, values in enumerate(zip(*columns, strict=True))]


@dataclass
class Folder:
    """A folder to scan.

    Args:
        root: the root of the library that it belongs to: itself, or a folder around it that was scanned.
        below: its path in the root, with a slash at the end; "" for the root itself.
        files: the files in it.
        notes: what was left out.
        waiting: paths of files that are still being written: the scan leaves them as they are known.
    """

    root: str
    below: str
    files: list[FoundFile]
    notes: list[str] = field(default_factory=list)
    waiting: frozenset[str] = frozenset()

    def holds(self, root: str, path: str) -> bool:
        """Whether a path of the library lies in the folder."""
        return root == self.root and path.startswith(self.below)


def find_folder(folder: str | os.PathLike[str], roots: Iterable[str], *, without: Path) -> Folder:
    """List a folder. A folder inside a known root is a part of that root.

    Args:
        folder: the folder.
        roots: folders that were scanned before.
        without: the folder of the library, whose files are no music if it lies in the folder.

    Raises:
        DatasetError: it is no folder, or cannot be read.
    """
    place = os.path.realpath(folder)
    if not os.path.isdir(place):
        raise DatasetError(f"A scan must be given a folder of music. '{folder}' does not exist or is a file.")
    text = name_text(place)
    root = next((known for known in roots if _is_inside(text, known)), text)
    below = "" if root == text else os.path.relpath(place, text_path(root)).replace(os.sep, "/") + "/"
    listing = list_audio(place)
    own = os.path.relpath(os.path.realpath(without), place).replace(os.sep, "/") + "/"
    paths = [path for path in listing.paths if not path.startswith(own)]
    files = [_look_at(place, path, name_text(below)) for path in paths]
    return Folder(root, name_text(below), files, list(listing.notes))


def _is_inside(place: str, root: str) -> bool:
    return place == root or place.startswith(root.rstrip("/") + "/")


def _look_at(place: str, path: str, below: str) -> FoundFile:
    try:
        facts = os.stat(os.path.join(place, path))
    except OSError:
        return FoundFile(below + name_text(path), -1, 0)
    return FoundFile(below + name_text(path), facts.st_size, facts.st_mtime_ns)


def move_roots(table: pa.Table, root: str, name: str) -> pa.Table:
    """A table whose paths below a new root start from it, so that no file is there under two roots.

    Args:
        table: `songs` or `failures`.
        root: the new root.
        name: name of the table.
    """
    roots, paths = table.column("root").to_pylist(), table.column("path").to_pylist()
    inner = {old for old in set(roots) if old != root and _is_inside(old, root)}
    if not inner:
        return table
    for k, old in enumerate(roots):
        if old in inner:
            paths[k] = f"{old[len(root.rstrip('/')) + 1 :]}/{paths[k]}"
            roots[k] = root
    columns = {column: table.column(column) for column in table.column_names}
    columns |= {"root": pa.array(roots, pa.string()), "path": pa.array(paths, pa.string())}
    return conform(pa.table(columns), name)  # type: ignore[arg-type]


def is_there(root: str, path: str) -> bool:
    """Whether a file of the library exists.

    Args:
        root: its root.
        path: its path in it.
    """
    return os.path.isfile(os.path.join(text_path(root), text_path(path)))


def has_gone(song: KnownSong) -> bool:
    """Whether the file of a song was missing at the last scan."""
    return song.status == GONE


def absolute(root: str, path: str) -> Path:
    """The file of a path of the library."""
    return Path(text_path(root), text_path(path))
