"""Genres that the owner of a library has corrected: one JSON object per line, by the digest of the sound.

A correction stays when a file is moved, renamed or tagged, and holds for all copies of the sound. The last
one of a sound counts.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from quintet.datasets.labels import label_name
from quintet.errors import ConfigError
from quintet.files.atomic import append_bytes, synchronise
from quintet.files.untrusted import limits
from quintet.files.untrusted.bounded import read_bounded

CORRECTIONS_FILE = "corrections.jsonl"
MOST_CHARACTERS = 200


def read_corrections(folder: Path) -> dict[str, str]:
    """Digest of a sound → the genre that the owner has given it; a line that was cut, or that
    `add_correction` does not write, is left out.

    Args:
        folder: the library.

    Raises:
        ArtefactError: the file is too large, or no ordinary file.
    """
    path = folder / CORRECTIONS_FILE
    found: dict[str, str] = {}
    if not path.is_file():
        return found
    for line in read_bounded(path, limits.LINES_BYTES).split(b"\n"):
        try:
            content = json.loads(line)
            sound, label = str(content["sound"]), str(content["label"])
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
        found.pop(sound, None)
        if label and _is_plain(label):
            found[sound] = label
    return found


def _is_plain(label: str) -> bool:
    return len(label) <= MOST_CHARACTERS and (label.isprintable() or not label)


def add_correction(folder: Path, sound: str, label: str) -> str:
    """Keep the genre that the owner gives to a sound.

    Args:
        folder: the library.
        sound: digest of the sound.
        label: the genre; an empty text takes the correction back.

    Returns:
        The genre in one spelling.

    Raises:
        ConfigError: the genre is too long, or has control characters.
        OSError: the library cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     (add_correction(Path(folder), "xxh3:0", " rock "), read_corrections(Path(folder)))
        ('rock', {'xxh3:0': 'rock'})
    """
    name = label_name(label)
    if not _is_plain(name):
        raise ConfigError(
            f"A genre must be a text of at most {MOST_CHARACTERS} printable characters. "
            f"Received {len(name)}: write a shorter one."
        )
    path = folder / CORRECTIONS_FILE
    content = {"sound": sound, "label": name, "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
    line = json.dumps(content).encode() + b"\n"
    if path.is_file() and path.stat().st_size:
        with path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            if file.read() != b"\n":  # of a process that was killed
                line = b"\n" + line
    append_bytes(path, line)
    synchronise(path)
    return name
