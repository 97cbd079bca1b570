"""Source of a folder with a sub-folder per class.

```
music/
├── blues/            the class
│   ├── 01.mp3
│   └── live/02.mp3   folders below a class are searched too
└── rock/…
```

A file with an audio extension is always a clip, even if it is broken (then it becomes a failure with a
reason). Hidden files, deleted ones in the bins of Windows and of file servers, files without an extension and
the extensions in `NOT_AUDIO` are never clips. Files of a format without a header (`HEADERLESS`) are counted
in a note: any bytes would be sound in them, so they are used only if a manifest or a command names them. A
file with any other extension is given to the decoder, which reads everything that ffmpeg reads.
Files that the decoder refuses are rows of the failure ledger, so no
file disappears without a message. Links are followed inside the folder only: a folder that a stranger made
describes nothing else of the disk.

If only one folder holds audio, and only in folders below it, the classes are the folders below it, as in
Kaggle's copy of GTZAN (`Data/genres_original/blues/…` beside pictures and tables).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from quintet.errors import DatasetError
from quintet.files.display.file_names import name_text

if TYPE_CHECKING:
    import pandas as pd

    from quintet.datasets.manifest import Manifest

_TEXTS = (
    ".txt .md .rst .csv .tsv .json .jsonl .xml .yaml .yml .toml .ini .cfg .html .htm .log .nfo .cue .m3u "
    ".m3u8 .pls .sfv .md5 .sha256 .url"
)
_PICTURES = ".jpg .jpeg .png .gif .bmp .webp .svg .tif .tiff .ico .pdf .doc .docx .xls .xlsx"
_DATA = (
    ".parquet .npy .npz .pkl .h5 .hdf5 .mat .db .sqlite .py .ipynb .sh .bat .m .zip .gz .tar .tgz .7z .rar "
    ".tmp .part .bak .lock .asd .reapeaks"
)
_SCORES = ".jams .lab .mid .midi .musicxml .mscz .lrc .srt"
NOT_AUDIO = frozenset(f"{_TEXTS} {_PICTURES} {_DATA} {_SCORES}".split())
_SPEECH = ".gsm .g722 .722 .g723_1 .tco .rco .g726 .g728 .g729"
_RAW = ".al .ul .sw .sb .ub .uw .sln .raw .pcm .vox .dfpwm .aptx .aptxhd .sbc .msbc"
HEADERLESS = frozenset(f"{_SPEECH} {_RAW}".split())
"""Extensions of formats without a header."""
_SKIPPED_FOLDERS = (".", "__MACOSX")  # beginnings of their names
_BINS = frozenset({"$recycle.bin", "#recycle", "@recycle", "@eadir"})
"""Folders of Windows, Synology and QNAP for deleted files and thumbnails, in small letters."""

FOLLOW_LINKS_VARIABLE = "QUINTET_FOLLOW_LINKS"
"""Environment variable: 1 follows links to files and folders outside of a source too."""


def is_candidate(name: str) -> bool:
    """Whether a file of this name is listed as a clip.

    Example:
        >>> [is_candidate(name) for name in ("a.WAV", "a.mpc", "a.txt", ".a.wav", "LICENSE")]
        [True, True, False, False, False]
    """
    extension = os.path.splitext(name)[1].lower()
    is_listed = bool(extension) and extension not in NOT_AUDIO and extension not in HEADERLESS
    return is_listed and not name.startswith(".")


def is_headerless(name: str) -> bool:
    """Whether a file of this name has a format without a header, and so is used only if it is named.

    Example:
        >>> [is_headerless(name) for name in ("a.AL", "a.au", ".a.al")]
        [True, False, False]
    """
    return os.path.splitext(name)[1].lower() in HEADERLESS and not name.startswith(".")


def headerless_note(files: Sequence[Path | str]) -> str:
    """A sentence about files that are not used because their format has no header.

    Example:
        >>> headerless_note(["a/b.al"])
        'Not used, because their format has no header (name them to use them): 1 file, such as a/b.al'
    """
    plural = "s" if len(files) > 1 else ""
    return (
        "Not used, because their format has no header (name them to use them): "
        f"{len(files)} file{plural}, such as {files[0]}"
    )


@dataclass(frozen=True, slots=True)
class AudioListing:
    """Files below a folder that are listed as clips.

    Args:
        paths: posix paths relative to the folder, sorted. They are strings: a million `Path`s take a
            gigabyte.
        notes: what was left out: formats without a header, links that lead out, folders that cannot be read.
    """

    paths: list[str]
    notes: tuple[str, ...] = ()


def list_audio(folder: Path | str, *, within: Path | None = None) -> AudioListing:
    """All files below a folder that are listed as clips, and what was left out.

    Links are followed inside the folder only: a link to a file or folder elsewhere is skipped and counted,
    unless the environment variable `QUINTET_FOLLOW_LINKS` is 1. Each real folder is listed once, at its real
    place if that is inside. A folder below that cannot be read is left out and named.

    Args:
        folder: the folder.
        within: the folder that the user named, if `folder` is a part of it. Links may lead into all of it.

    Raises:
        DatasetError: if the folder itself cannot be read.
    """
    walk = _Walk(Path(folder), within or Path(folder))
    paths = sorted(path.replace(os.sep, "/") for path in walk.files())
    return AudioListing(paths, walk.notes())


def audio_files(folder: Path | str) -> list[Path]:
    """All files below a folder that are listed as clips, sorted by posix path, as `list_audio` finds them.

    Raises:
        DatasetError: if the folder cannot be read.
    """
    return [Path(folder) / name for name in list_audio(folder).paths]


class _Walk:
    """A walk through the folders below a folder.

    Args:
        folder: the folder.
        within: the folder that links may lead into.
    """

    def __init__(self, folder: Path, within: Path) -> None:
        self.start = os.path.join(folder, "")
        self.root = os.path.join(os.path.realpath(within), "")
        self.follows_links = os.environ.get(FOLLOW_LINKS_VARIABLE) == "1"
        self.headerless: list[str] = []
        self.skipped_links: list[str] = []
        self.unreadable: list[str] = []

    def files(self) -> Iterator[str]:
        """Paths of the files, relative to the folder."""
        if not (self.follows_links or self._is_inside("")):
            self.skipped_links.append(os.path.basename(self.start.rstrip(os.sep)))
            return
        seen: set[str] = set()
        waiting = [""]
        while waiting:
            here = waiting.pop()
            real = os.path.realpath(self.start + here)
            if real in seen:
                continue
            seen.add(real)
            folders: list[str] = []
            for entry in self._entries(here):
                path = os.path.join(here, entry.name)
                if _is_folder(entry):
                    if self._is_visited(entry, path):
                        folders.append(path)
                elif is_candidate(entry.name):
                    if self._may_follow(entry, path):
                        yield path
                elif is_headerless(entry.name):
                    self.headerless.append(path.replace(os.sep, "/"))
            waiting += sorted(folders, reverse=True)

    def notes(self) -> tuple[str, ...]:
        """Sentences about what was left out."""
        notes = []
        if self.headerless:
            notes.append(headerless_note(sorted(self.headerless)))
        if self.skipped_links:
            notes.append(
                f"Links that lead out of the folder are not followed: {len(self.skipped_links)}, such as "
                f"'{min(self.skipped_links)}'. Copy what they lead to, list it in a manifest, or set "
                f"{FOLLOW_LINKS_VARIABLE}=1"
            )
        if self.unreadable:
            notes.append(
                f"Folders that cannot be read are left out: {len(self.unreadable)}, such as "
                f"{min(self.unreadable)}"
            )
        return tuple(notes)

    def _entries(self, here: str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(self.start + here) as entries:
                return list(entries)
        except OSError as error:
            if not here:
                raise DatasetError(
                    f"Every source must be readable. '{self.start}' is not ({error.strerror})."
                ) from error
            self.unreadable.append(f"'{here}' ({error.strerror})")
            return []

    def _is_visited(self, entry: os.DirEntry[str], path: str) -> bool:
        """Whether a sub-folder is visited: no hidden one, and no link to one that is listed elsewhere."""
        if _is_skipped(entry.name):
            return False
        is_inner_link = entry.is_symlink() and self._is_inside(path)
        return not is_inner_link and self._may_follow(entry, path)

    def _may_follow(self, entry: os.DirEntry[str], path: str) -> bool:
        """Whether an entry is no link out of the folder. Such links are counted."""
        if not entry.is_symlink() or self.follows_links or self._is_inside(path):
            return True
        self.skipped_links.append(path)
        return False

    def _is_inside(self, path: str) -> bool:
        """Whether the real place of a path is below the folder."""
        return os.path.join(os.path.realpath(self.start + path), "").startswith(self.root)


def _is_skipped(name: str) -> bool:
    """Whether a folder of this name is hidden, or holds what was deleted."""
    return name.startswith(_SKIPPED_FOLDERS) or name.lower() in _BINS


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder, or a link to one. An entry that vanishes is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def read_folder(folder: Path | str) -> Manifest:
    """Manifest of a folder of class folders.

    The label is the first folder; ids are paths relative to the folder with the class folders, which is
    `folder` unless one folder in it holds all audio in folders of its own. Files directly beside class
    folders have no class. They are rows with the problem `label missing`.

    Raises:
        DatasetError: if the folder does not exist, cannot be read, has no audio files, or has no class
            folders but those of a split (`train/rock/a.wav`).

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as music:
        ...     for name in ("rock/a.wav", "rock/notes.txt", "jazz/live/b.wav"):
        ...         (Path(music) / name).parent.mkdir(parents=True, exist_ok=True)
        ...         _ = (Path(music) / name).write_bytes(b"")
        ...     read_folder(music).frame[["id", "label"]].values.tolist()
        [['jazz/live/b.wav', 'jazz'], ['rock/a.wav', 'rock']]
    """
    from quintet.datasets.manifest import build_manifest

    top = Path(folder).absolute()
    if not top.is_dir():
        raise DatasetError(f"A folder source must be a folder. '{folder}' does not exist or is a file.")
    listing = list_audio(top)
    place, rows = _list_clips(top, listing)
    root = top / place
    notes = [f"The classes are the folders in '{place}': no other folder holds audio"] if place else []
    notes += [*listing.notes, *_note_empty_classes(root, rows["label"].dropna())]
    return build_manifest(rows, name=name_text(top.name), root=root, ignored=notes, accidental_share=1.0)


def _list_clips(root: Path, listing: AudioListing) -> tuple[str, pd.DataFrame]:
    """The folder with the class folders, relative to `root`; path and label of every file.

    Only here in lists, which take ten times the memory of columns.
    """
    paths = listing.paths
    if not paths:
        notes = "".join(f" {note}." for note in listing.notes)
        raise DatasetError(
            "A folder source must have audio files in a sub-folder per class. "
            f"'{root}' has no audio files at any depth.{notes}"
        )
    if not any("/" in path for path in paths):
        raise DatasetError(
            "A folder source must have a sub-folder per class. "
            f"'{root}' has {len(paths)} audio files directly in it and no class folders "
            f"(for example '{paths[0]}'). Move them into folders named for their classes, "
            "or write a manifest (.csv with path,label)."
        )
    place = _class_place(paths)
    if place:
        paths = [path.removeprefix(f"{place}/") for path in paths]
    paths = list(map(name_text, paths))
    labels = [path.partition("/")[0] if "/" in path else None for path in paths]
    import pandas as pd

    _require_classes(root / place, paths, labels)
    columns = {"path": pd.Series(paths, dtype="str"), "label": pd.Series(labels, dtype="str")}
    return place, pd.DataFrame(columns)


def _require_classes(root: Path, paths: Sequence[str], labels: Sequence[str | None]) -> None:
    """Refuse folders that are the parts of a split, with the classes in folders below them."""
    from quintet.datasets.splits.protocols import PART_NAMES

    names = sorted({label for label in labels if label})
    depths = {path.count("/") for path, label in zip(paths, labels, strict=True) if label}
    if len(names) > 1 and min(depths) > 1 and all(name.lower() in PART_NAMES for name in names):
        raise DatasetError(
            f"The folders of a source must be classes. Those in '{root}' are the parts of a split: "
            f"{', '.join(names)}. Name one of them, or write a manifest (.csv with path,label,split)."
        )


def _class_place(paths: Sequence[str]) -> str:
    """The folder that holds two class folders or more, if all audio is in them; else the empty path.

    Args:
        paths: sorted posix paths of all files.

    Example:
        >>> _class_place(["Data/genres/blues/a.wav", "Data/genres/rock/live/b.wav"])
        'Data/genres'
        >>> _class_place(["rock/a.wav", "rock/live/b.wav"]), _class_place(["jazz/x/a.wav", "rock/x/b.wav"])
        ('', '')
    """
    folders = {path.rpartition("/")[0] for path in paths}
    place = os.path.commonpath(folders).replace(os.sep, "/") if all(folders) else ""
    return "" if place in folders else place


def _note_empty_classes(root: Path, labels: Iterable[str]) -> list[str]:
    """A note if there are class folders without audio files."""
    folders = [entry.name for entry in os.scandir(root) if entry.is_dir(follow_symlinks=False)]
    visible = [name_text(name) for name in folders if not _is_skipped(name)]
    empty = sorted(set(visible) - set(labels))
    if not empty:
        return []
    plural = "s" if len(empty) > 1 else ""
    shown = ", ".join(empty[:5]) + (" …" if len(empty) > 5 else "")
    return [f"No audio files in {len(empty)} class folder{plural}: {shown}"]
