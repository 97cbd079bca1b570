"""Sound of a song for a browser, and its waveform."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from quintet.audio.clip import Clip
from quintet.audio.decode import load_clip
from quintet.audio.encode import ogg_bytes
from quintet.audio.isolation.calls import call_isolated

MEDIA_TYPES = {
    ".mp3": "audio/mpeg",
    ".flac": "audio/flac",
    ".ogg": "audio/ogg",
    ".oga": "audio/ogg",
    ".opus": "audio/ogg",
    ".m4a": "audio/mp4",
    ".mp4": "audio/mp4",
    ".wav": "audio/wav",
}
"""Formats that browsers play. Files in others are decoded and sent as Ogg Vorbis."""
SENT_RATE = 32_000
N_PEAKS = 600
KEPT = 64


def media_type(path: Path) -> str | None:
    """Media type of a file that browsers play; None for others.

    Example:
        >>> media_type(Path("a.MP3")), media_type(Path("a.wma"))
        ('audio/mpeg', None)
    """
    return MEDIA_TYPES.get(path.suffix.lower())


@lru_cache(maxsize=4)
def converted(path: Path, mtime_ns: int) -> bytes:
    """A file that browsers do not play, as mono Ogg Vorbis.

    Args:
        path: the file.
        mtime_ns: its time of change, for the cache.

    Raises:
        AudioError: it cannot be decoded.
    """
    return call_isolated(_convert, str(path))


@lru_cache(maxsize=KEPT)
def waveform(path: Path, mtime_ns: int) -> list[float]:
    """The largest absolute sample of each of `N_PEAKS` parts, in [0, 1]; fewer for very short files.

    Args:
        path: the file.
        mtime_ns: its time of change, for the cache.

    Raises:
        AudioError: it cannot be decoded.
    """
    return call_isolated(_peaks, str(path))


def _convert(path: str) -> bytes:
    return ogg_bytes(load_clip(path, sample_rate=SENT_RATE, strict=False).clip)


def _peaks(path: str) -> list[float]:
    return peaks(load_clip(path, sample_rate=None, strict=False).clip)


def peaks(clip: Clip) -> list[float]:
    """The same of a clip.

    Example:
        >>> peaks(Clip(np.array([0.5, -1.0, 0.25, 0.0], np.float32), sample_rate=8000))
        [0.5, 1.0, 0.25, 0.0]
    """
    size = np.abs(clip.samples)
    edges = np.unique(np.linspace(0, len(size), min(N_PEAKS, len(size)) + 1).astype(int)[:-1])
    return [round(float(peak), 3) for peak in np.maximum.reduceat(size, edges)]
