"""Decoding of a file to one `Clip` in memory.

`recording.py` reads the file and refuses what cannot be used.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quintet.audio.clip import Clip
from quintet.audio.isolation.processes import quiet_libraries
from quintet.audio.reading.checks import Facts
from quintet.audio.reading.recording import MonoCopy, Recording
from quintet.files.display.file_names import text_path
from quintet.files.internet.remote import readable_file


@dataclass(frozen=True, slots=True, eq=False)
class DecodedClip:
    """A decoded clip with the facts of its file.

    Args:
        clip: mono float32 at the requested rate.
        native_sample_rate: sample rate of the file, Hz.
        native_channels: number of channels of the file.
        duration_s: seconds that were decoded (of the window, if there was one).
        audio_digest: `xxh3:` and 32 hex digits (XXH3, 128 bits) over the rate, the channels and the native
            samples of the window (if the samples are not int16: over their mix). A wav and a flac of the same
            recording have equal digests, whatever their names and tags.
        missing_s: seconds that the file states and does not hold; 0 if it is complete or does not state its
            length.
        truncation: why the recording counts as cut short, as a sentence; empty if it is complete.
        native: mono float32 at the rate of the file, shape `(n,)`; None if it was not asked for.
    """

    clip: Clip
    native_sample_rate: int
    native_channels: int
    duration_s: float
    audio_digest: str
    missing_s: float = 0.0
    truncation: str = ""
    native: NDArray[np.float32] | None = None


def load_clip(
    path: str | os.PathLike[str],
    *,
    sample_rate: int | None,
    start_s: float = 0.0,
    end_s: float | None = None,
    id: str | None = None,
    strict: bool = True,
    keep_native: bool = False,
) -> DecodedClip:
    """Decode a recording, or a window of it, to mono float32.

    Args:
        path: wav, flac, ogg, mp3, au, aiff through soundfile; m4a, wma, mp4 and others through PyAV (extra
            `codecs`).
        sample_rate: Hz to resample to; None keeps the rate of the file.
        start_s: start of the window, seconds. Only the window is decoded.
        end_s: end of the window, seconds; None is the end of the file. An end up to 0.05 s beyond the file is
            accepted.
        id: the clip's key; None takes the path.
        strict: whether a recording that is cut short is refused. If not, its sound is returned, and
            `missing_s` and `truncation` say what is missing.
        keep_native: whether the samples at the rate of the file are returned too.

    Raises:
        DecodeError: the file is missing, unreadable, a folder, empty, not audio, damaged, cut short or
            without samples, or the window ends after the recording.
        SilentError: every sample is zero.
        NonFiniteError: a sample is NaN or infinite.
        ConfigError: the window ends before it begins.

    Example:
        >>> import numpy as np, soundfile, tempfile, pathlib
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "tone.wav"
        >>> soundfile.write(path, np.sin(np.arange(44100) * 0.1), 44100)
        >>> load_clip(path, sample_rate=22050, start_s=0.5).clip.duration_s
        0.5
    """
    copies = [MonoCopy()] if keep_native else []
    with quiet_libraries():  # libmpg123 and ffmpeg print about a file without its name; errors have it
        recording = Recording(
            path, sample_rate=sample_rate, start_s=start_s, end_s=end_s, strict=strict, listeners=copies
        )
        samples = recording.read_all()
    clip = Clip(samples, recording.sample_rate, str(path) if id is None else id)
    return decoded_clip(clip, recording.facts, copies[0].samples if copies else None)


def decoded_clip(clip: Clip, facts: Facts, native: NDArray[np.float32] | None = None) -> DecodedClip:
    """A clip with the facts of its recording."""
    return DecodedClip(
        clip=clip,
        native_sample_rate=facts.native_sample_rate,
        native_channels=facts.native_channels,
        duration_s=facts.duration_s,
        audio_digest=facts.audio_digest,
        missing_s=facts.missing_s,
        truncation=facts.truncation,
        native=native,
    )


@dataclass(frozen=True, slots=True)
class ClipSource:
    """Location of a clip: a file and a time window in it.

    Args:
        path: path or URL of the file.
        start_s: start of the window, seconds.
        end_s: end of the window, seconds. None: the end of the file.
        id: key of the clip. None: the path.

    Example:
        >>> ClipSource.from_row("a", "/music/a.wav", float("nan"), 2.5)
        ClipSource(path='/music/a.wav', start_s=0.0, end_s=2.5, id='a')
    """

    path: str
    start_s: float = 0.0
    end_s: float | None = None
    id: str | None = None

    @classmethod
    def from_row(cls, id: str, path: str, start: float, end: float) -> ClipSource:
        """Location in a row of a manifest or a table. NaN stands for the start or the end of the file.

        Args:
            id: key of the clip.
            path: the file as text (`files.display.file_names.name_text`), or a URL.
            start: seconds.
            end: seconds.
        """
        start_s = 0.0 if math.isnan(start) else float(start)
        return cls(text_path(path), start_s, None if math.isnan(end) else float(end), id)

    @property
    def key(self) -> str:
        """The id, or the path if there is none."""
        return self.path if self.id is None else self.id

    def load(self, *, sample_rate: int | None) -> DecodedClip:
        """Decode the clip with `load_clip`, at `sample_rate` Hz (None: the rate of the file).

        Of a recording that is cut short, the sound that is there. A file at a URL is fetched and removed
        again.
        """
        with readable_file(self.path) as path:
            return load_clip(
                path,
                sample_rate=sample_rate,
                start_s=self.start_s,
                end_s=self.end_s,
                id=self.key,
                strict=False,
            )
