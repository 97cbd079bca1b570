"""Sounds of the tests of reading, and changes of their files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from quintet.audio.decode import load_clip
from quintet.audio.reading.mpeg import MpegAudio, find_mpeg_audio
from tests.fuzz.audio import ogg_checksum

RATE = 44100
SECONDS = 6.0
ID3_BYTES = (21, 14, 7, 0)


def sound(seconds: float = SECONDS, *, seed: int = 0) -> np.ndarray:
    """Quiet tone, then loud noise: a variable bit rate rises in the middle."""
    n = round(seconds * RATE)
    rng = np.random.default_rng(seed)
    tone = 1e-3 * np.sin(2 * np.pi * 300 * np.arange(n) / RATE)
    return np.where(np.arange(n) < n // 2, tone, 0.3 * rng.standard_normal(n)).clip(-1, 1)


def write(path: Path, samples: np.ndarray, **options: object) -> Path:
    with soundfile.SoundFile(path, "w", RATE, 1, **options) as file:
        for start in range(0, len(samples), 1 << 15):  # libsndfile's Ogg encoder overflows on long writes
            file.write(samples[start : start + (1 << 15)])
    return path


def mpeg_of(path: Path) -> MpegAudio:
    audio = find_mpeg_audio(path)
    assert audio is not None
    return audio


def without_tag(path: Path) -> bytes:
    """The frames of an mp3 file alone."""
    content = path.read_bytes()
    return b"".join(content[start:stop] for start, stop in mpeg_of(path).ranges)


def id3(n_bytes: int) -> bytes:
    noise = np.random.default_rng(1).integers(0, 255, n_bytes, dtype=np.uint8).tobytes()
    return b"ID3\3\0\0" + bytes(n_bytes >> shift & 127 for shift in ID3_BYTES) + noise


def seconds_of(path: Path) -> float:
    return load_clip(path, sample_rate=None).duration_s


def with_flac_total(path: Path, total: int) -> Path:
    content = bytearray(path.read_bytes())
    field = int.from_bytes(content[18:26], "big") >> 36 << 36 | total
    content[18:26] = field.to_bytes(8, "big")
    path.write_bytes(content)
    return path


def sign_page(data: bytearray, at: int) -> None:
    """Put the checksum of an Ogg page right."""
    n_segments = data[at + 26]
    length = 27 + n_segments + sum(data[at + 27 : at + 27 + n_segments])
    page = data[at : at + length]
    page[22:26] = bytes(4)
    data[at + 22 : at + 26] = ogg_checksum(bytes(page)).to_bytes(4, "little")
