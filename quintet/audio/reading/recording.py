"""Recordings, decoded block by block: by soundfile, or by PyAV if soundfile does not know the format.

A file that cannot be used raises an error whose message says what must hold, what was received and what to
do.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
import soundfile
from numpy.typing import NDArray

from quintet.audio.reading.checks import BlockChecks, Facts
from quintet.audio.reading.formats.foreign import foreign_kind
from quintet.audio.reading.formats.text import text_kind
from quintet.audio.reading.native import NativeSamples, Window, damage_in_sentences, reason_of
from quintet.audio.reading.soundfile_reader import read_with_soundfile, require_rate
from quintet.audio.resample import MonoMixer, resample_blocks
from quintet.errors import DecodeError, install_command
from quintet.files.paths import require_path

TRUSTED_SAMPLES = 1 << 24
"""Largest length, in samples, for which memory is allocated because a header states it."""


class MonoListener(Protocol):
    """Receives the mono samples of a recording at the rate of its file, while it is decoded."""

    def begin(self, sample_rate: int) -> None:
        """Called before the first block of every reading, with the rate of the file, Hz."""

    def add(self, block: NDArray[np.float32]) -> None:
        """Called with each block, shape `(n,)`. The next block overwrites it."""


class MonoCopy:
    """Keeps the mono samples of a recording at the rate of its file."""

    def __init__(self) -> None:
        self._memory, self._filled = np.empty(0, np.float32), 0

    def begin(self, sample_rate: int) -> None:
        """Begin a reading."""
        self._filled = 0

    def add(self, block: NDArray[np.float32]) -> None:
        """Keep a copy of a block."""
        end = self._filled + len(block)
        if end > len(self._memory):  # in place, as in `Recording.read_all`
            self._memory.resize(max(end, self._filled + self._filled // 4, 1 << 20), refcheck=False)
        self._memory[self._filled : end] = block
        self._filled = end

    @property
    def samples(self) -> NDArray[np.float32]:
        """All samples, shape `(n,)`."""
        return self._memory[: self._filled]


class Recording:
    """A recording, or a window of it, as mono blocks at one sample rate.

    Every call of `blocks` decodes, checks, mixes and resamples the recording again.

    Args:
        path: an audio file, as for `decode.load_clip`.
        sample_rate: Hz; None keeps the rate of the file.
        start_s: start of the window, seconds.
        end_s: end of the window, seconds; None is the end of the file.
        strict: whether a recording that is cut short is refused. If not, its facts say what is missing.
        listeners: they receive the mono samples at the rate of the file, in every reading.

    Raises:
        DecodeError, SilentError, NonFiniteError, ConfigError: as `load_clip`. Some are raised only after the
            last block.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "tone.wav"
        >>> soundfile.write(path, np.sin(np.arange(44100) * 0.1), 44100)
        >>> recording = Recording(path, sample_rate=22050)
        >>> sum(map(len, recording.blocks())), recording.facts.duration_s
        (22050, 1.0)
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        sample_rate: int | None,
        start_s: float = 0.0,
        end_s: float | None = None,
        strict: bool = True,
        listeners: Sequence[MonoListener] = (),
    ) -> None:
        self.source = Path(require_path(path, "`path`"))
        self.strict, self.listeners = strict, tuple(listeners)
        self.window = Window(start_s, end_s)
        self.sample_rate = sample_rate or 0
        self._facts: Facts | None = None
        self._hint = 0  # at `sample_rate`, as the header states

    @property
    def facts(self) -> Facts:
        """Facts of the recording. All blocks must have been read."""
        assert self._facts is not None, "all blocks must be read first"
        return self._facts

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """Blocks of mono float32 samples at `sample_rate`, shape `(n,)` each, from the window's start."""
        native = open_native(self.source, self.window)
        rate = require_rate(native.sample_rate, self.source)
        self.sample_rate = self.sample_rate or rate
        self._hint = math.ceil((native.hint or 0) * self.sample_rate / rate)
        mono_blocks = self._mix_and_check(native)
        if rate == self.sample_rate:
            yield from (mono.copy() for mono in mono_blocks)
        else:
            yield from resample_blocks(mono_blocks, orig_sr=rate, target_sr=self.sample_rate)

    def read_all(self) -> NDArray[np.float32]:
        """All samples, shape `(n,)`.

        The blocks are written into memory of the length that the header states. Joining a list of blocks
        would take twice the memory.
        """
        memory, filled = np.empty(0, np.float32), 0
        for block in self.blocks():
            end = filled + len(block)
            if end > len(memory):
                declared = min(self._hint, TRUSTED_SAMPLES)
                # in place: a larger copy beside it would take three times the memory
                memory.resize(max(end, filled + filled // 4, declared), refcheck=False)
            memory[filled:end] = block
            filled = end
        return memory[:filled]

    def _mix_and_check(self, native: NativeSamples) -> Iterator[NDArray[np.float32]]:
        """Mono blocks, each valid until the next. The checks of the whole recording follow the last block."""
        checks = BlockChecks(native.sample_rate, native.channels)
        to_mono = MonoMixer()
        for listener in self.listeners:
            listener.begin(native.sample_rate)
        for block in native.blocks:
            mono = to_mono(block)
            checks.add(block, mono)
            for listener in self.listeners:
                listener.add(mono)
            yield mono
        self._facts = checks.facts(native.ending, self.source, strict=self.strict)


def recording_digest(path: str | os.PathLike[str]) -> str:
    """Digest of a whole recording, as in `decode.DecodedClip`, computed block by block.

    Raises:
        AudioError: as `decode.load_clip`.
    """
    recording = Recording(path, sample_rate=None)
    for _ in recording.blocks():
        pass
    return recording.facts.audio_digest


def _require_file(source: Path) -> None:
    """Require a regular file that can be read and is not empty."""
    if source.is_dir():
        raise DecodeError(f"An audio file was expected. '{source}' is a folder. Name a file in it.")
    if source.exists() and not source.is_file():
        raise DecodeError(
            f"An audio file was expected. '{source}' is a device or a pipe, which has no end. "
            "Name a regular file."
        )
    try:
        with source.open("rb") as file:
            is_empty = not file.read(1)
    except FileNotFoundError:
        raise DecodeError(f"The file must exist. '{source}' does not. Check the path.") from None
    except PermissionError:
        raise DecodeError(
            f"The file must be readable. You have no permission to read '{source}'. Change its permissions."
        ) from None
    except OSError as error:
        raise DecodeError(
            f"The file must be readable. '{source}' is not: {error}. Check the path and the disk."
        ) from error
    if is_empty:
        raise DecodeError(
            f"The file must hold audio. '{source}' is empty (0 bytes). Fetch or export it again."
        )


def open_native(source: Path, window: Window) -> NativeSamples:
    """Native samples of the window: from soundfile, or from PyAV if soundfile does not know the format.

    Raises:
        DecodeError: the file is missing, unreadable, empty, no regular file, or no audio. The blocks raise it
            where the file is damaged.
    """
    _require_file(source)
    with damage_in_sentences(source):
        native = _open_native(source, window)
    return replace(native, blocks=_blocks_in_sentences(native.blocks, source))


def _blocks_in_sentences(
    blocks: Iterator[NDArray[np.generic]], source: Path
) -> Iterator[NDArray[np.generic]]:
    with damage_in_sentences(source):
        yield from blocks


def _open_native(source: Path, window: Window) -> NativeSamples:
    """The same, with the errors of the readers."""
    try:
        return read_with_soundfile(source, window)
    except soundfile.LibsndfileError as error:
        refusal = reason_of(error)
    kind = text_kind(source) or foreign_kind(source)
    if kind is not None:
        raise DecodeError(f"A file must hold audio. '{source}' holds {kind}. Fetch or export it again.")
    try:
        from quintet.audio.reading.pyav_reader import read_with_pyav
    except ImportError:
        raise DecodeError(
            f"soundfile must know the format. It cannot read '{source}' ({refusal}). If it is m4a, wma, mp4 "
            f"or the like, install the decoders: {install_command('codecs')}; otherwise it is damaged or no "
            "audio."
        ) from None
    return read_with_pyav(source, window)
