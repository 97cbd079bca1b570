"""Work on one clip: from its file to a row.

Worker processes import this module, so it stays light. `describe_clip` is the one place that catches the
errors of a clip: for every file it returns a `Row`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from quintet.audio.decode import ClipSource, DecodedClip, load_clip
from quintet.audio.reading.checks import Facts
from quintet.audio.reading.recording import MonoListener, Recording
from quintet.errors import ConfigError, MissingExtraError, NonFiniteError, QuintetError
from quintet.features.columns import feature_names
from quintet.features.describe import Description, describe
from quintet.features.engine.streaming import describe_recording, should_stream
from quintet.features.engine.warm_up import kernels_available
from quintet.features.parameters import FeatureParameters
from quintet.files.display.file_names import name_text
from quintet.files.internet.remote import is_remote, readable_file, remote_facts
from quintet.files.machine import machine_fault

# All errors that damaged audio can cause in a decoder or a descriptor. ImportError is none of them: a broken
# installation is not the fault of a clip.
CLIP_ERRORS = (
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


Decoded = tuple[DecodedClip, None] | tuple[Facts, Description]
"""The samples of a clip, or the facts and the description of a long recording, never held as a whole."""

ClipFacts = dict[str, str | int | float | None]
"""Facts of a clip: column name → value, for the columns `checkpoints.FACTS`."""


@dataclass(frozen=True, slots=True)
class ClipTask:
    """One clip to be described.

    Args:
        position: row of the clip in the manifest.
        source: location of the clip, with its id.
    """

    position: int
    source: ClipSource


class ClipListener(MonoListener, Protocol):
    """Reads a recording, a long one in two sweeps, and then has values: those of networks, for example."""

    def values(self) -> NDArray[np.float32]:
        """The values, `(n,)`."""


class ClipEmbedder(Protocol):
    """Pretrained networks: `quintet.embeddings.columns.embedder.Embedder`."""

    @property
    def can_stream(self) -> bool:
        """Whether the networks can read a recording that is never in memory as a whole."""

    def open(self) -> object:
        """Open the networks, once per process."""

    def embed(self, native: NDArray[np.float32], sample_rate: int) -> NDArray[np.float32]:
        """Values of the columns of a clip, from its samples at the rate of its file."""

    def stream(self) -> ClipListener:
        """What reads one recording."""


@dataclass(frozen=True, slots=True)
class Job:
    """What to do with every clip.

    Args:
        parameters: parameters of the features.
        log_mel: whether to compute the log-mel spectrogram too.
        load: function from a file to samples.
        strict: whether a recording that is cut short counts as failed. If not, it is described and marked.
        describe: function from samples to features.
        embedder: the networks of `parameters.embeddings`; None if there are none.
        listen: makes what listens to a clip beside the features, for `Row.heard`; None if nothing does.
    """

    parameters: FeatureParameters
    log_mel: bool = False
    load: Callable[..., DecodedClip] = load_clip
    describe: Callable[..., Description] = describe
    strict: bool = False
    embedder: ClipEmbedder | None = None
    listen: Callable[[], ClipListener] | None = None

    def __post_init__(self) -> None:
        if (self.embedder is None) == bool(self.parameters.embeddings):
            raise ConfigError(
                "A job must have the networks of its parameters. Parameters and `embedder` do not fit: pass "
                "find_embedder(parameters)."
            )


@dataclass(slots=True)
class Row:
    """The result of one clip.

    Args:
        position: row of the clip in the manifest.
        values: features, float32 `(features,)`, in the order of their names; None if the clip failed.
        log_mel: float16 `(frames, n_mels)`; None if the clip failed or no spectrogram was asked for.
        facts: the columns `checkpoints.FACTS`, except those that the manifest has.
        heard: values of `Job.listen`; None if the clip failed or nothing listened.
    """

    position: int
    values: NDArray[np.float32] | None = None
    log_mel: NDArray[np.float16] | None = None
    facts: ClipFacts = field(default_factory=dict)
    heard: NDArray[np.float32] | None = None

    @property
    def failed(self) -> bool:
        """Whether the row belongs to the failure ledger."""
        return self.values is None


def describe_chunk(tasks: Sequence[ClipTask], job: Job) -> list[Row]:
    """Rows of several clips, one after another."""
    return [describe_clip(task, job) for task in tasks]


def describe_clip(task: ClipTask, job: Job) -> Row:
    """Row of one clip: its features, or the stage and reason of its failure.

    Raises:
        ImportError: the installation is broken. (A missing optional decoder is a failure of the clip.)
        MachineError: the machine cannot do the work. No clip caused it.
    """
    listener = None if job.listen is None else job.listen()
    return complete_row(
        Row(task.position, facts=file_facts(task.source.path)),
        lambda: _decode(task.source, job, listener),
        job,
        listener,
    )


def complete_row(
    row: Row, decode: Callable[[], Decoded], job: Job, listener: ClipListener | None = None
) -> Row:
    """A row with the features of its clip, or with the stage and reason of its failure.

    Args:
        row: the row, with the facts of its file.
        decode: gives the samples of the clip, or the description of a long recording.
        job: what to do with the clip.
        listener: what listens beside; a long recording has told it its samples.

    Raises:
        ImportError, MachineError: as `describe_clip`.
    """
    if job.describe is describe:
        kernels_available()  # they are compiled here: a fault of that is not a fault of the clip
    if job.embedder is not None:
        job.embedder.open()  # as above
    stage = "decode"
    try:
        decoded, description = decode()
        row.facts |= _audio_facts(decoded)
        stage = "describe"
        if isinstance(decoded, DecodedClip):
            description = job.describe(decoded.clip, job.parameters, log_mel=job.log_mel)
            if job.embedder is not None:
                stage = "embed"
                description = _embed_clip(description, decoded, job.parameters, job.embedder)
        assert description is not None
        values = _feature_vector(description, job.parameters)
        if job.log_mel and description.log_mel is not None:
            row.log_mel = np.ascontiguousarray(description.log_mel.T, dtype=np.float16)
        if listener is not None:
            if isinstance(decoded, DecodedClip):
                listener.begin(decoded.clip.sample_rate)
                listener.add(np.asarray(decoded.clip.samples, np.float32))
            row.heard = listener.values()
        row.values = values
    except CLIP_ERRORS as error:
        fault = machine_fault(error)
        if fault is not None:
            raise fault from error
        row.facts |= failure(getattr(error, "stage", stage), type(error).__name__, error_reason(error))
    return row


def failure(stage: str, error: str, reason: str) -> ClipFacts:
    """The columns of a ledger row that state what went wrong."""
    return {"status": "failed", "stage": stage, "error": error, "reason": name_text(reason)}


def file_facts(path: str) -> ClipFacts:
    """Size and time of change of a file or URL, by which a later run sees whether it has changed.

    Returns:
        `status` "ok", `source_size` in bytes and `source_mtime_ns`; only the status if the file does not
        exist.
    """
    if is_remote(path):
        return {"status": "ok", **remote_facts(path)}
    try:
        result = os.stat(path)
    except (OSError, ValueError):
        return {"status": "ok"}
    return {"status": "ok", "source_size": result.st_size, "source_mtime_ns": result.st_mtime_ns}


def _decode(source: ClipSource, job: Job, listener: ClipListener | None) -> Decoded:
    """The samples of a clip, or the description of a long recording, which is never held as a whole."""
    is_usual_job = job.load is load_clip and job.describe is describe
    rate = job.parameters.sample_rate
    start_s, end_s = source.start_s, source.end_s
    with readable_file(source.path) as path:
        can_stream = job.embedder is None or job.embedder.can_stream
        if (
            is_usual_job
            and can_stream
            and should_stream(path, job.parameters, log_mel=job.log_mel, start_s=start_s, end_s=end_s)
        ):
            return _describe_recording(path, source, job, listener)
        load = job.load
        if load is load_clip:
            load = partial(load_clip, strict=job.strict, keep_native=job.embedder is not None)
        return load(path, sample_rate=rate, start_s=start_s, end_s=end_s, id=source.id), None


def _describe_recording(
    path: str, source: ClipSource, job: Job, listener: ClipListener | None
) -> tuple[Facts, Description]:
    """The description of a long recording. Networks and the listener read it in the same two sweeps."""
    networks = None if job.embedder is None else job.embedder.stream()
    recording = Recording(
        path,
        sample_rate=job.parameters.sample_rate,
        start_s=source.start_s,
        end_s=source.end_s,
        strict=job.strict,
        listeners=[reader for reader in (networks, listener) if reader is not None],
    )
    description = describe_recording(recording, job.parameters, log_mel=job.log_mel, name=source.key)
    if networks is not None:
        description = _add_columns(description, job.parameters, networks.values())
    return recording.facts, description


def _embed_clip(
    description: Description, decoded: DecodedClip, parameters: FeatureParameters, embedder: ClipEmbedder
) -> Description:
    """The description with the columns of networks, from the samples at the rate of the file."""
    native, rate = decoded.native, decoded.native_sample_rate
    if native is None:  # another function than `load_clip` has read the clip
        native, rate = np.asarray(decoded.clip.samples, np.float32), decoded.clip.sample_rate
    return _add_columns(description, parameters, embedder.embed(native, rate))


def _add_columns(
    description: Description, parameters: FeatureParameters, values: NDArray[np.float32]
) -> Description:
    names = _names(parameters)[-len(values) :]
    columns = dict(zip(names, values.tolist(), strict=True))
    return replace(description, features={**description.features, **columns})


def _audio_facts(decoded: DecodedClip | Facts) -> ClipFacts:
    marks = {"status": "truncated", "reason": decoded.truncation} if decoded.truncation else {}
    return {
        **marks,
        "missing_s": decoded.missing_s,
        "duration_s": decoded.duration_s,
        "native_sample_rate": decoded.native_sample_rate,
        "native_channels": decoded.native_channels,
        "audio_digest": decoded.audio_digest,
    }


def _feature_vector(description: Description, parameters: FeatureParameters) -> NDArray[np.float32]:
    """Feature values in the order of their names; all of them are finite."""
    names = _names(parameters)
    values = np.array([description.features[name] for name in names], dtype=np.float32)
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        examples = ", ".join(names[i] for i in bad[:3])
        more = " …" if len(bad) > 3 else ""
        raise NonFiniteError(
            f"Every feature must be a finite number. {len(bad)} of {len(names)} are not: {examples}{more}."
        )
    return values


@lru_cache(maxsize=4)
def _names(parameters: FeatureParameters) -> tuple[str, ...]:
    return feature_names(parameters)


def error_reason(error: BaseException) -> str:
    """The message of an error of a clip on one line. An error that is not ours gets a sentence before it."""
    text = " ".join(str(error).split())
    if isinstance(error, (QuintetError, MissingExtraError)):
        return text
    if isinstance(error, MemoryError):
        return (
            "There is not enough memory to describe this clip at these settings: give a window (start, end), "
            "a smaller n_fft or a larger hop_length, use fewer jobs, or allow a clip more "
            "(QUINTET_CLIP_MEMORY_MB)."
        )
    return f"The clip could not be processed: {type(error).__name__}{': ' if text else ''}{text}."
