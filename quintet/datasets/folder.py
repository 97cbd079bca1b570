"""Source of a folder with a sub-folder per class.

```
music/
├── blues/            the class
│   ├── 01.mp3
│   └── live/02.mp3   folders below a class are searched too
└── rock/…
```

A file with an audio extension is always a clip, even if it is broken (then it becomes a failure with a
reason). Hidden files, files without an extension and the extensions in `NOT_AUDIO` are never clips. Files of
a format without a header (`HEADERLESS`) are counted in a note: any bytes would be sound in them, so they are
used only if a manifest or a command names them. A file with any other extension is given to the decoder,
which reads everything that ffmpeg reads. Files that the decoder refuses are rows of the failure ledger, so no
file disappears without a message.

If only one folder holds audio, and only in folders below it, the classes are the folders below it, as in
Kaggle's copy of GTZAN (`Data/genres_original/blues/…` beside pictures and tables).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import pandas as pd

from quintet.datasets.manifest import Manifest, build_manifest
from quintet.errors import DatasetError

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


def audio_files(folder: Path | str) -> list[Path]:
    """All files below a folder that are listed as clips, sorted by posix path.

    Links to folders are followed, each real folder once.

    Raises:
        DatasetError: if a folder cannot be read.
    """
    return [Path(folder) / name for name in _relative_paths(folder)]


def headerless_files(folder: Path | str) -> list[Path]:
    """All files below a folder whose format has no header, sorted by posix path. They are not listed.

    Raises:
        DatasetError: if a folder cannot be read.
    """
    return [Path(folder) / name for name in _relative_paths(folder, is_headerless)]


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


def _relative_paths(folder: Path | str, accept: Callable[[str], bool] = is_candidate) -> list[str]:
    """Posix paths of these files relative to `folder`, as strings: a million `Path`s take a gigabyte."""
    start = os.path.join(folder, "")
    return sorted(path.removeprefix(start).replace(os.sep, "/") for path in _walk(start, accept))


def _walk(folder: str, accept: Callable[[str], bool]) -> Iterator[str]:
    seen: set[str] = set()
    root = os.path.join(os.path.realpath(folder), "")
    for here, folders, files in os.walk(folder, followlinks=True, onerror=_refuse):
        real = os.path.realpath(here)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = _folders_to_visit(root, here, folders)
        yield from (os.path.join(here, name) for name in files if accept(name))


def _folders_to_visit(root: str, here: str, names: list[str]) -> list[str]:
    """Sub-folders of `here`, sorted, without hidden ones and without links to a folder below `root`."""
    visible = [name for name in names if not name.startswith(_SKIPPED_FOLDERS)]
    return sorted(name for name in visible if not _is_link_into(root, os.path.join(here, name)))


def _is_link_into(root: str, path: str) -> bool:
    """Whether a path is a link to a folder below `root`, which is listed at its real place."""
    return os.path.islink(path) and os.path.realpath(path).startswith(root)


def _refuse(error: OSError) -> None:
    raise DatasetError(
        f"Every folder of a source must be readable. '{error.filename}' is not ({error.strerror})."
    ) from error


def read_folder(folder: Path | str) -> Manifest:
    """Manifest of a folder of class folders.

    The label is the first folder; ids are paths relative to the folder with the class folders, which is
    `folder` unless one folder in it holds all audio in folders of its own. Files directly beside class
    folders have no class. They are rows with the problem `label missing`.

    Raises:
        DatasetError: if the folder does not exist, cannot be read, has no audio files, or has no class
            folders.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as music:
        ...     for name in ("rock/a.wav", "rock/notes.txt", "jazz/live/b.wav"):
        ...         (Path(music) / name).parent.mkdir(parents=True, exist_ok=True)
        ...         _ = (Path(music) / name).write_bytes(b"")
        ...     read_folder(music).frame[["id", "label"]].values.tolist()
        [['jazz/live/b.wav', 'jazz'], ['rock/a.wav', 'rock']]
    """
    top = Path(folder).absolute()
    if not top.is_dir():
        raise DatasetError(f"A folder source must be a folder. '{folder}' does not exist or is a file.")
    place, rows, headerless = _list_clips(top)
    root = top / place
    notes = [f"The classes are the folders in '{place}': no other folder holds audio"] if place else []
    if headerless:
        notes.append(headerless_note(headerless))
    notes += _note_empty_classes(root, rows["label"].dropna())
    return build_manifest(rows, name=top.name, root=root, ignored=notes)


def _list_clips(root: Path) -> tuple[str, pd.DataFrame, list[str]]:
    """The folder with the class folders, relative to `root`; path and label of every file; headerless files.

    Only here in lists, which take ten times the memory of columns.
    """
    listed = _relative_paths(root, lambda name: is_candidate(name) or is_headerless(name))
    headerless = [path for path in listed if is_headerless(path)]
    paths = [path for path in listed if not is_headerless(path)] if headerless else listed
    if not paths:
        note = f" {headerless_note(headerless)}." if headerless else ""
        raise DatasetError(
            "A folder source must have audio files in a sub-folder per class. "
            f"'{root}' has no audio files at any depth.{note}"
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
    labels = [path.partition("/")[0] if "/" in path else None for path in paths]
    columns = {"path": pd.Series(paths, dtype="str"), "label": pd.Series(labels, dtype="str")}
    return place, pd.DataFrame(columns), headerless


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
    visible = [name for name in folders if not name.startswith(_SKIPPED_FOLDERS)]
    empty = sorted(set(visible) - set(labels))
    if not empty:
        return []
    plural = "s" if len(empty) > 1 else ""
    shown = ", ".join(empty[:5]) + (" …" if len(empty) > 5 else "")
    return [f"No audio files in {len(empty)} class folder{plural}: {shown}"]
