"""Waveforms in memory among the recordings to predict: they become files for as long as they are read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

from quintet.audio.clip import Clip
from quintet.audio.encode import write_wave
from quintet.errors import ConfigError
from quintet.files.display.file_names import name_text
from quintet.files.paths import path_list, require_path
from quintet.inference.result import Columns, PredictionResult

Recording = str | os.PathLike[str] | Clip
TABLES = ("frame", "segments", "failures", "truncated")


class Files(NamedTuple):
    """Recordings as files.

    Args:
        paths: the files, in the order of the recordings.
        names: file of a waveform → the id of its `Clip`.
    """

    paths: list[str | Path]
    names: Mapping[str, str]


def is_table(value: object) -> bool:
    """Whether a value is rows of features: a table, an array or a list of rows.

    Example:
        >>> is_table(np.zeros((2, 3))), is_table(np.zeros(22050)), is_table("song.mp3")
        (True, False, False)
    """
    if are_recordings(value) or isinstance(value, bytes) or hasattr(value, "read"):
        return False
    return np.ndim(value) != 1  # type: ignore[arg-type]


def are_recordings(value: object) -> bool:
    """Whether a value is a recording or several: paths and `Clip`s, and no feature table.

    Example:
        >>> are_recordings("song.mp3"), are_recordings([Path("a.wav")]), are_recordings([[0.1, 0.2]])
        (True, True, False)
    """
    if isinstance(value, str | os.PathLike | Clip):
        return True
    if not isinstance(value, Iterable) or isinstance(value, bytes | dict) or hasattr(value, "read"):
        return False
    if getattr(value, "ndim", 1) != 1:
        return False
    if not hasattr(value, "__len__"):
        return True  # an iterator: no table is one
    elements = list(value)
    return bool(elements) and all(isinstance(element, str | os.PathLike | Clip) for element in elements)


@contextmanager
def as_files(recordings: Recording | Iterable[Recording]) -> Iterator[Files]:
    """Recordings as files. Those of waveforms exist while the block lasts.

    Args:
        recordings: paths and clips.

    Raises:
        ConfigError: something else is among them, two clips have one id, or one of several has none.
        AudioError: a clip is silent, or is not finite.
    """
    given = recording_list(recordings)
    clips = [sound for sound in given if isinstance(sound, Clip)]
    if not clips:
        yield Files([sound for sound in given if not isinstance(sound, Clip)], {})
        return
    ids = [clip.id for clip in clips]
    if ("" in ids and len(ids) > 1) or len(set(ids)) < len(ids):
        raise ConfigError(
            "Each clip must have an id of its own, by which its prediction is found. Received "
            f"{', '.join(map(repr, ids[:3]))}: Clip(samples, sample_rate, id)."
        )
    with TemporaryDirectory(prefix="quintet-clips-") as folder:
        names: dict[str, str] = {}
        paths: list[str | Path] = []
        for k, sound in enumerate(given):
            if isinstance(sound, Clip):
                file = Path(folder, f"clip-{k:06d}.wav")
                write_wave(sound, file)
                names[name_text(file)] = sound.id or "clip"
                paths.append(file)
            else:
                paths.append(sound)
        yield Files(paths, names)


def recording_list(recordings: Recording | Iterable[Recording]) -> list[str | Path | Clip]:
    """One recording, or several, as a list.

    Args:
        recordings: paths and clips.

    Raises:
        ConfigError: one is neither a path nor a clip.

    Example:
        >>> recording_list("song.mp3"), recording_list(["a.wav", "b.wav"])
        (['song.mp3'], ['a.wav', 'b.wav'])
    """
    if isinstance(recordings, Clip):
        return [recordings]
    if isinstance(recordings, str | os.PathLike) or not are_recordings(recordings):
        return [*path_list(recordings, clips=True)]  # type: ignore[arg-type]  # it says what is wrong
    return [
        sound if isinstance(sound, Clip) else require_path(sound, "Each of `files`", clips=True)
        for sound in recordings
    ]


def rename(result: PredictionResult, names: Mapping[str, str]) -> PredictionResult:
    """The result with the ids of clips in the place of their files.

    Args:
        result: the predictions.
        names: file → id.
    """
    if not names:
        return result
    tables = {}
    for table in TABLES:
        columns = result.columns(table)
        files = [names.get(str(file), file) for file in columns["file"]]
        tables[table] = Columns({**columns, "file": files})
    notes = list(result.notes)
    for file, id in names.items():
        notes = [note.replace(file, id) for note in notes]
    return replace(
        result,
        frame=tables["frame"],
        segments=tables["segments"],
        failures=tables["failures"],
        truncated=tables["truncated"],
        notes=tuple(notes),
    )
