"""Encoding of a clip: as Ogg Vorbis, small enough to be embedded in a page, as WAV and as mp3."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import soundfile

from quintet.audio.clip import Clip, require_sound
from quintet.audio.decode import ClipSource
from quintet.audio.resample import resample
from quintet.errors import MissingExtraError

SUBTYPES = {"float64": "DOUBLE"}
"""Type of the samples → how a WAV file keeps them without a loss; others are 32-bit floats."""
MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)  # Hz
LOW_RATE, LOW_BITS_PER_S = 12_000, 64_000
"""Up to this rate in Hz, mp3 has at most this bit rate."""
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


def write_pcm(clip: Clip, file: Path) -> None:
    """Write a clip as a WAV file of 16 bits. Samples beyond [-1, 1] are clipped.

    Args:
        clip: mono samples.
        file: to write.
    """
    samples = np.clip(clip.samples, -1.0, 1.0)
    soundfile.write(file, samples, clip.sample_rate, subtype="PCM_16", format="WAV")


def write_mp3(clip: Clip, file: Path, *, bits_per_s: int = 128_000) -> None:
    """Write a clip as mono mp3 (LAME), at its own rate if mp3 has it, else at 44.1 kHz.

    Args:
        clip: mono samples; those beyond [-1, 1] are clipped.
        file: to write.
        bits_per_s: constant bit rate; rates of 12 kHz and less have at most 64 kbit/s.

    Raises:
        MissingExtraError: PyAV is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise MissingExtraError("Encoding mp3", "codecs") from error
    samples, rate = clip.samples, clip.sample_rate
    if rate not in MP3_RATES:
        samples, rate = resample(samples, orig_sr=rate, target_sr=44_100), 44_100
    whole = np.round(32767 * np.clip(samples, -1.0, 1.0)).astype(np.int16)
    with av.open(str(file), "w", format="mp3") as container:
        stream = container.add_stream("libmp3lame", rate=rate, layout="mono")
        stream.bit_rate = min(bits_per_s, LOW_BITS_PER_S) if rate <= LOW_RATE else bits_per_s
        frame = av.AudioFrame.from_ndarray(whole[None], format="s16", layout="mono")
        frame.sample_rate = rate
        stream.codec_context.open()
        resampler = av.AudioResampler(
            format=stream.codec_context.format, layout="mono", rate=rate, frame_size=stream.frame_size or 1152
        )
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
