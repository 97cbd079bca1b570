"""Paths that a caller gives: one path is one path, and anything else gets a sentence that helps."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from quintet.errors import ConfigError


def require_path(value: object, name: str) -> str | Path:
    """A path as a string or a `Path`.

    Args:
        value: the value that a caller gave.
        name: name of the parameter, for the message.

    Raises:
        ConfigError: if the value is not a path.
    """
    if isinstance(value, (str, Path)):
        return value
    if isinstance(value, os.PathLike):
        return Path(os.fsdecode(value))
    raise ConfigError(f"{name} must be a path (a string or a Path). {_advice(value)}")


def path_list(files: str | Path | Iterable[str | Path], name: str = "`files`") -> list[str | Path]:
    """One path, or several paths, as a list.

    Args:
        files: a path, or a list (or other iterable) of paths.
        name: name of the parameter, for the message.

    Raises:
        ConfigError: if something else than paths is given.

    Example:
        >>> path_list("song.wav"), path_list(["a.wav", "b.wav"])
        (['song.wav'], ['a.wav', 'b.wav'])
    """
    if isinstance(files, (str, os.PathLike)):
        return [require_path(files, name)]
    is_collection = isinstance(files, Iterable) and not hasattr(files, "read")
    if not is_collection or isinstance(files, (bytes, dict)) or getattr(files, "ndim", 1) != 1:
        raise ConfigError(f"{name} must be a path, or a list of paths. {_advice(files)}")
    return [require_path(file, f"Each of {name}") for file in files]


def _advice(value: object) -> str:
    """What a value is and what to give instead."""
    kind = type(value).__name__
    if hasattr(value, "read"):
        return f"Received an open file ({kind}): give its path."
    if isinstance(value, bytes):
        return "Received bytes: write them to a file and give its path, or decode a path with os.fsdecode."
    if isinstance(value, (int, float)) or hasattr(value, "dtype"):
        return (
            f"Received numbers ({kind}): write the samples to a file, for example with soundfile.write, and "
            "give its path."
        )
    return f"Received {kind}: give the path of a file."
