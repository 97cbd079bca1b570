"""What a worker does: one clip, from its file to a row, and nothing kept.

This module is what worker processes import, so it stays light. `describe_clip` is the one place where the errors of a clip are
caught: whatever a file does, a `Row` comes back.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quintet.audio.decode import ClipSource, DecodedClip, load_clip
from quintet.audio.reading.recording import Facts, Recording
from quintet.errors import AudioError, MissingExtraError, NonFiniteError, QuintetError
from quintet.features.columns import feature_names
from quintet.features.describe import Description, describe
from quintet.features.engine.streaming import describe_recording, should_stream
from quintet.features.parameters import FeatureParameters
from quintet.files.remote import is_remote, local_copy, remote_facts

# All that damaged audio can provoke in a decoder or a descriptor. Not ImportError: a broken installation is not the clip's fault.
_CLIP_ERRORS = (
    QuintetError,
    OSError,
    EOFError,
    MemoryError,
    ArithmeticError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    RuntimeError,
    AssertionError,
    SystemError,
)


@dataclass(frozen=True, slots=True)
class ClipTask:
    """One clip to be described.

    Args:
        position: row of the clip in the manifest.
        source: location of the clip, with its id.
    """

    position: int
    source: ClipSource


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be done with every clip.

    Args:
        parameters: of the features.
        log_mel: whether the log-mel spectrogram is wanted too.
        load: from a file to samples.
        describe: from samples to features.
    """

    parameters: FeatureParameters
    log_mel: bool = False
    load: Callable[..., DecodedClip] = load_clip
    describe: Callable[..., Description] = describe


@dataclass(slots=True)
class Row:
    """What became of one clip.

    Args:
        position: its row in the manifest.
        values: float32 `(features,)` in the order of the names; None if it failed.
        log_mel: float16 `(frames, n_mels)`; None if it failed or was not asked for.
        facts: the columns `parts.FACTS` except those that the manifest knows.
    """

    position: int
    values: NDArray[np.float32] | None = None
    log_mel: NDArray[np.float16] | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        """Whether the row belongs to the ledger."""
        return self.values is None


def describe_chunk(tasks: Sequence[ClipTask], job: Job) -> list[Row]:
    """The rows of several clips, one after another: what is handed to a worker at a time."""
    return [describe_clip(task, job) for task in tasks]


def describe_clip(task: ClipTask, job: Job) -> Row:
    """The row of one clip: its features, or where and why it failed.

    Raises:
        ImportError: if the installation is broken; a missing optional decoder is the clip's failure, though.
    """
    row = Row(task.position, facts=file_facts(task.source.path))
    stage = "decode"
    try:
        known, description = _heard(task.source, job)
        row.facts |= {
            name: getattr(known, name)
            for name in ("duration_s", "native_sample_rate", "native_channels", "audio_digest")
        }
        stage = "describe"
        if isinstance(known, DecodedClip):
            description = job.describe(known.clip, job.parameters, log_mel=job.log_mel)
        assert description is not None
        values = _values(description, job.parameters)
        if job.log_mel and description.log_mel is not None:
            row.log_mel = np.ascontiguousarray(description.log_mel.T, dtype=np.float16)
        row.values = values
    except _CLIP_ERRORS as error:
        row.facts |= failure(getattr(error, "stage", stage), type(error).__name__, _sentence(error))
    return row


def failure(stage: str, error: str, reason: str) -> dict[str, str]:
    """The columns of a ledger row that say what went wrong."""
    return {"status": "failed", "stage": stage, "error": error, "reason": reason}


def file_facts(path: str) -> dict[str, Any]:
    """Size (bytes) and time of change (ns) of a file or URL, by which a later run sees whether it is still the same; nothing if it is gone."""
    if is_remote(path):
        return {"status": "ok", **remote_facts(path)}
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return {"status": "ok"}
    return {"status": "ok", "source_size": found.st_size, "source_mtime_ns": found.st_mtime_ns}


def _heard(source: ClipSource, job: Job) -> tuple[DecodedClip, None] | tuple[Facts, Description]:
    """The samples of a clip; of a long recording its description at once, so that they are never held."""
    start_s, end_s = source.start_s, source.end_s
    usual, rate = job.load is load_clip and job.describe is describe, job.parameters.sample_rate
    with local_copy(source.path) if is_remote(source.path) else nullcontext(source.path) as path:
        try:
            if usual and should_stream(
                path, job.parameters, log_mel=job.log_mel, start_s=start_s, end_s=end_s
            ):
                recording = Recording(path, sample_rate=rate, start_s=start_s, end_s=end_s)
                description = describe_recording(
                    recording, job.parameters, log_mel=job.log_mel, name=source.key
                )
                return recording.facts, description
            return job.load(path, sample_rate=rate, start_s=start_s, end_s=end_s, id=source.id), None
        except AudioError as error:
            raise type(error)(
                str(error).replace(path, source.path)
            ) from error  # a temporary name would help nobody


def _values(description: Description, parameters: FeatureParameters) -> NDArray[np.float32]:
    names = _names(parameters)
    values = np.array([description.features[name] for name in names], dtype=np.float32)
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        shown = ", ".join(names[i] for i in bad[:3])
        raise NonFiniteError(
            f"Every feature must be a finite number. {len(bad)} of {len(names)} are not: {shown}{' …' if len(bad) > 3 else ''}."
        )
    return values


@lru_cache(maxsize=4)
def _names(parameters: FeatureParameters) -> tuple[str, ...]:
    return feature_names(parameters)


def _sentence(error: BaseException) -> str:
    """The message of an error as one line; for errors that are not ours, with a word on what happened."""
    text = " ".join(str(error).split())
    if isinstance(error, (QuintetError, MissingExtraError)):
        return text
    if isinstance(error, MemoryError):
        return (
            "There is not enough memory to describe this clip: give a window (start, end), or use fewer jobs."
        )
    return f"The clip could not be processed: {type(error).__name__}{': ' if text else ''}{text}."
