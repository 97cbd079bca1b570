"""Encoding of a clip: as Ogg Vorbis, small enough to be embedded in a page, and as a lossless WAV file."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import soundfile

from quintet.audio.clip import Clip, require_sound
from quintet.audio.decode import ClipSource

SUBTYPES = {"float64": "DOUBLE"}
"""Type of the samples → how a WAV file keeps them without a loss; others are 32-bit floats."""
BLOCK = 1 << 16  # samples; the encoder overflows its stack on very long writes


def ogg_bytes(clip: Clip) -> bytes:
    """The clip as mono Ogg Vorbis at its own sample rate: about 0.35 MB a minute at 22050 Hz.

    Samples beyond [-1, 1] are clipped.

    Example:
        >>> import numpy as np
        >>> ogg_bytes(Clip(np.zeros(2048, np.float32), sample_rate=22050))[:4]
        b'OggS'
    """
    samples = np.clip(clip.samples, -1.0, 1.0).astype(np.float32)
    buffer = io.BytesIO()
    with soundfile.SoundFile(buffer, "w", clip.sample_rate, 1, subtype="VORBIS", format="OGG") as file:
        for start in range(0, len(samples), BLOCK):
            file.write(samples[start : start + BLOCK])
    return buffer.getvalue()


def excerpt_bytes(source: ClipSource, digest: str, sample_rate: int, seconds: float) -> bytes | None:
    """The middle of a clip as mono Ogg Vorbis, if the file still holds the same sound.

    Args:
        source: where the clip is.
        digest: `DecodedClip.audio_digest` of the clip when its features were computed.
        sample_rate: Hz of the excerpt.
        seconds: longest length of the excerpt.

    Returns:
        None if the sound has another digest.

    Raises:
        AudioError: if the clip cannot be decoded.
    """
    decoded = source.load(sample_rate=sample_rate)
    if decoded.audio_digest != digest:
        return None
    samples = decoded.clip.samples
    length = min(len(samples), round(seconds * sample_rate))
    start = (len(samples) - length) // 2
    return ogg_bytes(Clip(samples[start : start + length], sample_rate=sample_rate))


def write_wave(clip: Clip, file: Path) -> None:
    """Write a clip as a WAV file of floats, without a loss.

    Args:
        clip: its samples may be beyond [-1, 1].
        file: to write.

    Raises:
        AudioError: it is silent, or is not finite.
    """
    require_sound(clip.samples, name=clip.id or "clip")
    subtype = SUBTYPES.get(clip.samples.dtype.name, "FLOAT")
    soundfile.write(file, clip.samples, clip.sample_rate, subtype=subtype, format="WAV")
