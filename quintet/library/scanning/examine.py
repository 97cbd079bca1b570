"""Work on one file of a library, in a worker process: digest, tags, features, tempo, key and energy."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from quintet.audio.decode import ClipSource
from quintet.datasets.found_tags import FileTags, read_tags
from quintet.features.columns import feature_names
from quintet.features.extraction.worker import ClipTask, Job, Row, describe_clip, failure
from quintet.library.sound.answers import sound_answers

if TYPE_CHECKING:
    from quintet.features.parameters import FeatureParameters

CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class FileTask:
    """A file to examine.

    Args:
        name: its name in messages: the text of its path in the scanned folder.
        place: the file.
        known: digests of songs of this size that have features: a file with one of them is not described.
    """

    name: str
    place: str
    known: tuple[str, ...] = ()


@dataclass(slots=True)
class Examined:
    """What is found in a file.

    Args:
        file_digest: digest of its bytes, or "" if they could not be read.
        tags: its tags.
        row: its features and facts; None if it is known by its digest.
        answers: columns of `songs` with tempo, key and energy.
    """

    file_digest: str
    tags: FileTags
    row: Row | None = None
    answers: dict[str, float | str | None] = field(default_factory=dict)


def bytes_digest(path: str | Path) -> str:
    """Digest of the bytes of a file: `xxh3:` and 32 hex digits.

    Args:
        path: a regular file.
    """
    import xxhash

    digest = xxhash.xxh3_128()
    with open(path, "rb") as file:
        while block := file.read(CHUNK_BYTES):
            digest.update(block)
    return f"xxh3:{digest.hexdigest()}"


def examine(task: FileTask, job: Job) -> Examined:
    """Examine a file. A file that cannot be used has a row with the reason.

    Args:
        task: the file.
        job: how to describe it, with the log-mel spectrogram, which the tempo needs, and the listener
            `PitchClasses`, which the key needs.
    """
    try:
        if not stat.S_ISREG(os.stat(task.place).st_mode):
            return _failed("not a regular file (a device, or a pipe)")
        digest = bytes_digest(task.place)
    except OSError as error:
        return _failed(f"The file cannot be read: {error.strerror or error}.")
    tags = read_tags(task.place)
    if digest in task.known:
        return Examined(digest, tags)
    row = describe_clip(ClipTask(0, ClipSource(task.place, id=task.name)), job)
    answers = {} if row.values is None else _answers(row, job.parameters)
    return Examined(digest, tags, replace(row, log_mel=None, heard=None), answers)


def _answers(row: Row, parameters: FeatureParameters) -> dict[str, float | str | None]:
    assert row.values is not None
    features = dict(zip(feature_names(parameters), row.values.tolist(), strict=True))
    log_mel = parameters.log_mel
    return sound_answers(features, row.log_mel, log_mel.sample_rate / log_mel.hop_length, row.heard)


def _failed(reason: str) -> Examined:
    return Examined("", FileTags("", []), Row(0, facts=failure("read", "OSError", reason)))
