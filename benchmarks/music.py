"""Recordings for the measurements: those of a folder, or pieces of the demo corpus."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from quintet.audio.decode import load_clip
from quintet.datasets.demo.corpus import pieces
from quintet.datasets.demo.piece import render
from quintet.datasets.demo.sound import RATE as DEMO_RATE

RATE = 44100
_SHARED = Path(__file__).parents[2] / "shared" / "data" / "instruments"
REAL_MUSIC = _SHARED if _SHARED.is_dir() else None  # else the demo corpus
FORMATS = {  # name → suffix, soundfile's format and subtype, channels
    "wav": (".wav", "WAV", "PCM_16", 1),
    "flac": (".flac", "FLAC", "PCM_16", 1),
    "mp3": (".mp3", "MP3", "MPEG_LAYER_III", 1),
    "stereo wav": (".wav", "WAV", "PCM_16", 2),
    "stereo mp3": (".mp3", "MP3", "MPEG_LAYER_III", 2),
}
_DEMO = list(pieces(seed=0, per_style=4))


def recording(source: Path | None, *, seconds: float, seed: int = 0) -> NDArray[np.float32]:
    """Music at 44.1 kHz, two channels, shape `(n, 2)`: recordings of the folder in a random order.

    Args:
        source: folder of recordings; None: the demo corpus.
        seconds: length.
        seed: seed of the order.
    """
    n = round(seconds * RATE)
    channels = []
    for channel in (0, 1):
        rng = np.random.default_rng([seed, channel])
        parts: list[NDArray[np.float32]] = []
        while sum(map(len, parts)) < n:
            parts.append(_piece(source, rng))
        channels.append(np.concatenate(parts)[:n])
    left, right = channels
    return np.column_stack([0.6 * left + 0.3 * right, 0.3 * left + 0.6 * right]).astype(np.float32)


def _piece(source: Path | None, rng: np.random.Generator) -> NDArray[np.float32]:
    if source is None:
        piece = _DEMO[rng.integers(len(_DEMO))]
        samples = render(piece.style, piece.artist, seed=0, number=piece.number).astype(np.float32) / 32768
        return np.asarray(soxr.resample(samples, DEMO_RATE, RATE), np.float32)
    paths = sorted(path for path in source.rglob("*") if path.suffix in (".flac", ".wav", ".mp3", ".ogg"))
    clip = load_clip(paths[rng.integers(len(paths))], sample_rate=None).clip
    return np.asarray(soxr.resample(clip.samples, clip.sample_rate, RATE), np.float32)


def write_recording(samples: NDArray[np.float32], folder: Path, name: str) -> Path:
    """Write a recording in one of `FORMATS`, and return its path."""
    suffix, format, subtype, channels = FORMATS[name]
    path = folder / f"{name.replace(' ', '-')}-{len(samples) // RATE}s{suffix}"
    soundfile.write(path, samples[:, :channels], RATE, format=format, subtype=subtype)
    return path
