"""A folder with a sub-folder per class.

```
music/
├── blues/            the class
│   ├── 01.mp3
│   └── live/02.mp3   folders below a class are searched too
└── rock/…
```

What counts as a clip: a file with an audio extension always, also a broken one (it becomes a failure with a reason).
Hidden files, files without an extension and the kinds in `NOT_AUDIO` never. Any other extension is given to the
decoder, which reads whatever ffmpeg reads: refused files stand in the ledger, so nothing is lost in silence.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas as pd

from quintet.datasets.manifest import Manifest, build_manifest
from quintet.errors import DatasetError

_TEXTS = ".txt .md .rst .csv .tsv .json .jsonl .xml .yaml .yml .toml .ini .cfg .html .htm .log .nfo .cue .m3u .m3u8 .pls .sfv .md5 .sha256 .url"
_PICTURES = ".jpg .jpeg .png .gif .bmp .webp .svg .tif .tiff .ico .pdf .doc .docx .xls .xlsx"
_DATA = ".parquet .npy .npz .pkl .h5 .hdf5 .mat .db .sqlite .py .ipynb .sh .bat .m .zip .gz .tar .tgz .7z .rar .tmp .part .bak .lock .asd .reapeaks"
_SCORES = ".jams .lab .mid .midi .musicxml .mscz .lrc .srt"
NOT_AUDIO = frozenset(f"{_TEXTS} {_PICTURES} {_DATA} {_SCORES}".split())


def is_candidate(name: str) -> bool:
    """Whether a file of this name is listed as a clip.

    Example:
        >>> [is_candidate(name) for name in ("a.WAV", "a.mpc", "a.txt", ".a.wav", "LICENSE")]
        [True, True, False, False, False]
    """
    extension = os.path.splitext(name)[1].lower()
    return not name.startswith(".") and bool(extension) and extension not in NOT_AUDIO


def audio_files(folder: Path | str) -> list[Path]:
    """Every file below a folder that is listed as a clip, in a fixed order (sorted by posix path).

    Links to folders are followed, each real folder once.

    Raises:
        DatasetError: if a folder cannot be read.
    """
    return [Path(folder) / name for name in _names(folder)]


def _names(folder: Path | str) -> list[str]:
    """The posix paths of these files, relative to `folder`. Texts: a million `Path`s would take a gigabyte."""
    start = os.path.join(folder, "")
    return sorted(path.removeprefix(start).replace(os.sep, "/") for path in _walk(start))


def _walk(folder: str) -> Iterator[str]:
    seen: set[str] = set()
    inside = os.path.join(os.path.realpath(folder), "")
    for here, folders, files in os.walk(folder, followlinks=True, onerror=_refuse):
        real = os.path.realpath(here)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith((".", "__MACOSX")) and not _leads_to(inside, os.path.join(here, name))
        )
        yield from (os.path.join(here, name) for name in files if is_candidate(name))


def _leads_to(inside: str, path: str) -> bool:
    """Whether a path is a link to what lies in this folder: then it is listed where it really is."""
    return os.path.islink(path) and os.path.realpath(path).startswith(inside)


def _refuse(error: OSError) -> None:
    raise DatasetError(
        f"Every folder of a source must be readable. '{error.filename}' is not ({error.strerror})."
    ) from error


def read_folder(folder: Path | str) -> Manifest:
    """The manifest of a folder of class folders: label = the first folder, ids = paths relative to `folder`.

    Files directly in `folder`, beside class folders, belong to no class: they are rows with the problem `label missing`.

    Raises:
        DatasetError: if the folder does not exist, cannot be read, has no audio files, or has no class folders.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as music:
        ...     for name in ("rock/a.wav", "rock/notes.txt", "jazz/live/b.wav"):
        ...         (Path(music) / name).parent.mkdir(parents=True, exist_ok=True)
        ...         _ = (Path(music) / name).write_bytes(b"")
        ...     read_folder(music).frame[["id", "label"]].values.tolist()
        [['jazz/live/b.wav', 'jazz'], ['rock/a.wav', 'rock']]
    """
    root = Path(folder).absolute()
    if not root.is_dir():
        raise DatasetError(f"A folder source must be a folder. '{folder}' does not exist or is a file.")
    rows = _listed(root)
    return build_manifest(
        rows, name=root.name, root=root, ignored=_without_audio(root, rows["label"].dropna())
    )


def _listed(root: Path) -> pd.DataFrame:
    """Path and label of every file. Here and nowhere else both stand in lists, which take ten times the memory of columns."""
    paths = _names(root)
    if not paths:
        raise DatasetError(
            f"A folder source must have audio files in a sub-folder per class. '{root}' has no audio files at any depth."
        )
    if not any("/" in path for path in paths):
        raise DatasetError(
            f"A folder source must have a sub-folder per class. '{root}' has {len(paths)} audio files directly in it and no class folders "
            f"(for example '{paths[0]}'). Move them into folders named for their classes, or write a manifest (.csv with path,label)."
        )
    labels = [path.partition("/")[0] if "/" in path else None for path in paths]
    return pd.DataFrame({"path": pd.Series(paths, dtype="str"), "label": pd.Series(labels, dtype="str")})


def _without_audio(root: Path, labels: Iterable[str | None]) -> list[str]:
    """A note if there are class folders in which nothing was found."""
    names = sorted(
        entry.name
        for entry in os.scandir(root)
        if entry.is_dir(follow_symlinks=False) and not entry.name.startswith((".", "__MACOSX"))
    )
    empty = sorted(set(names) - set(labels))
    shown = ", ".join(empty[:5]) + (" …" if len(empty) > 5 else "")
    return (
        [f"No audio files in {len(empty)} class folder{'s' if len(empty) > 1 else ''}: {shown}"]
        if empty
        else []
    )
