"""Duration of a file before it is described: from a header that proves true, or by decoding."""

from __future__ import annotations

import os
from pathlib import Path

import soundfile

from quintet.audio.reading.native import NativeSamples, Window
from quintet.audio.reading.recording import open_native
from quintet.audio.reading.soundfile_reader import length_in_frames
from quintet.errors import AudioError, DecodeError

LONG_S = 600.0
"""Duration, seconds, from which a recording is read in sweeps. At once, it takes 100 MB and more."""

SMALL_BYTES = 1 << 20
"""Size of a file below which it cannot be long."""


def is_long(path: str | os.PathLike[str], *, start_s: float = 0.0, end_s: float | None = None) -> bool:
    """Whether a clip should be read in sweeps: by its window, or by the length that its file states.

    Args:
        path: the file.
        start_s: begin of the clip in the file, seconds.
        end_s: end of the clip in the file, seconds. None is the end of the file.
    """
    if end_s is not None and end_s - start_s < LONG_S:
        return False
    if not os.path.isfile(path) or os.path.getsize(path) < SMALL_BYTES:
        return False
    return (probe_duration_s(path) or 0.0) - start_s >= LONG_S


def probe_duration_s(path: str | os.PathLike[str]) -> float | None:
    """Seconds of audio in a file; None if nothing in it can be decoded.

    A stated length counts only if the last stated sample can be read. Otherwise the file is decoded and its
    samples are counted, so that no segment is planned for audio that is not there.

    Example:
        >>> import numpy as np, tempfile, pathlib
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "tone.wav"
        >>> soundfile.write(path, np.zeros(11025), 22050)
        >>> probe_duration_s(path), probe_duration_s("nowhere.wav")
        (0.5, None)
    """
    source = Path(path)
    if not source.is_file():
        return None  # opening a pipe would wait for a writer
    try:
        stated = _stated_length(source)
        if stated is not None:
            n_frames, sample_rate = stated
            return n_frames / sample_rate
        return _decoded_duration_s(open_native(source, Window()))
    except AudioError:
        return None


def _stated_length(source: Path) -> tuple[int, int] | None:
    """Frames and rate as in `length_in_frames`; None also for a format that soundfile does not know."""
    try:
        return length_in_frames(source)
    except soundfile.LibsndfileError:
        return None


def _decoded_duration_s(native: NativeSamples) -> float | None:
    """Seconds that can be decoded, up to the first damage."""
    n_frames = 0
    try:
        for block in native.blocks:
            n_frames += len(block)
    except DecodeError:
        pass
    return n_frames / native.sample_rate if n_frames else None
