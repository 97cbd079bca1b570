"""Paths and names that a caller gives: one is one, and anything else gets a sentence that helps."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from quintet.errors import ConfigError

OPEN_FILES = "/proc/self/fd"
"""Folder in which Linux has a name for each open file of a process."""


def require_path(value: object, name: str, *, clips: bool = False) -> str | Path:
    """A path as a string or a `Path`.

    Args:
        value: the value that a caller gave.
        name: name of the parameter, for the message.
        clips: whether the caller may give a `Clip` too, which the message then names for an array.

    Raises:
        ConfigError: if the value is not a path, or is empty. An empty text would be the current folder.
    """
    if isinstance(value, str) and not value:
        raise ConfigError(
            f"{name} must be a path. Received an empty text, as of a variable that is not set: "
            "name it, or write . for the current folder."
        )
    if isinstance(value, (str, Path)):
        return value
    if isinstance(value, os.PathLike):
        return Path(os.fsdecode(value))
    raise ConfigError(f"{name} must be a path (a string or a Path). {_advice(value, clips=clips)}")


def expand_home(path: str | Path) -> Path:
    """The path with `~` at its start replaced by the home folder. A file that is called so comes first.

    Example:
        >>> expand_home("~/music") == Path.home() / "music", expand_home("music")
        (True, PosixPath('music'))
    """
    plain = Path(path)
    if not str(path).startswith("~") or plain.exists():
        return plain
    try:
        return plain.expanduser()
    except RuntimeError:  # no user of this name
        return plain


@contextmanager
def text_name(path: Path) -> Iterator[Path]:
    """A name of a path in UTF-8, which is the path itself if it has one. It holds until the block ends.

    Arrow and other libraries open no name with other bytes. On Linux, every open folder has a name under
    `/proc/self/fd`; elsewhere such names do not exist, and the path stays as it is.

    Args:
        path: a file whose folder exists. Its own name, too, may have any bytes if the file exists.
    """
    plain, folder = _is_text(path), path.parent
    if plain or not (folder.is_dir() and os.path.isdir(OPEN_FILES)):
        yield path
        return
    is_file_name = not _is_text(Path(path.name)) and path.exists()
    descriptor = os.open(path if is_file_name else folder, os.O_RDONLY)
    try:
        place = Path(OPEN_FILES, str(descriptor))
        yield place if is_file_name else place / path.name
    finally:
        os.close(descriptor)


def _is_text(path: Path) -> bool:
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def name_list(names: str | Iterable[str] | None) -> tuple[str, ...]:
    """Names, where a single one may stand without a list: it is no list of letters.

    Example:
        >>> name_list("svm"), name_list(["svm", "xgboost"]), name_list(None)
        (('svm',), ('svm', 'xgboost'), ())
    """
    if names is None:
        return ()
    return (names,) if isinstance(names, str) else tuple(names)


def path_list(
    files: str | Path | Iterable[str | Path], name: str = "`files`", *, clips: bool = False
) -> list[str | Path]:
    """One path, or several paths, as a list.

    Args:
        files: a path, or a list (or other iterable) of paths.
        name: name of the parameter, for the message.
        clips: as for `require_path`.

    Raises:
        ConfigError: if something else than paths is given.

    Example:
        >>> path_list("song.wav"), path_list(["a.wav", "b.wav"])
        (['song.wav'], ['a.wav', 'b.wav'])
    """
    if isinstance(files, (str, os.PathLike)):
        return [require_path(files, name)]
    is_collection = isinstance(files, Iterable) and not hasattr(files, "read") and not _are_numbers(files)
    if not is_collection or isinstance(files, (bytes, dict)) or getattr(files, "ndim", 1) != 1:
        raise ConfigError(f"{name} must be a path, or a list of paths. {_advice(files, clips=clips)}")
    return [require_path(file, f"Each of {name}", clips=clips) for file in files]


def _are_numbers(value: object) -> bool:
    """Whether a value is an array of numbers."""
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    return bool(kind) and kind in "biufc"


def _advice(value: object, *, clips: bool) -> str:
    """What a value is and what to give instead."""
    kind = type(value).__name__
    if hasattr(value, "read"):
        return f"Received an open file ({kind}): give its path."
    if isinstance(value, bytes):
        return "Received bytes: write them to a file and give its path, or decode a path with os.fsdecode."
    if clips and hasattr(value, "dtype"):
        shape = getattr(value, "shape", ())
        return (
            f"Received numbers ({kind} of shape {shape}), whose sample rate is unknown: wrap sound in "
            "quintet.Clip(samples, sample_rate, id), or write it with soundfile and give the path."
        )
    if isinstance(value, (int, float)) or hasattr(value, "dtype"):
        return f"Received numbers ({kind}): write them to a file (sound: with soundfile), and give its path."
    return f"Received {kind}: give the path of a file."
