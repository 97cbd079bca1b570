"""Temporal descriptors: zero crossings and loudness of the waveform, frame by frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quintet.audio.clip import Clip
from quintet.audio.spectrum import frame_clip

ZERO = 1e-10
"""Samples this close to zero count as positive."""


def zero_crossing_rate(
    clip: Clip, *, frame_length: int, hop_length: int, zero: float = ZERO
) -> NDArray[np.float64]:
    """Share of the samples of each frame at which the sign changes.

    `zcr[t] = Σ_{n=1}^{frame_length-1} [sign(y[n]) != sign(y[n-1])] / frame_length`

    Args:
        clip: at least one frame long. Beyond its ends its first and last sample are repeated, which adds no
            crossing.
        frame_length: samples in a frame.
        hop_length: samples between frames.
        zero: samples this close to zero count as positive.

    Returns:
        Shape `(1 + n // hop_length,)`, in [0, 1). Silence and DC give 0.

    Source:
        Equal to `librosa.feature.zero_crossing_rate(threshold=zero)`.

    Example:
        >>> tone = Clip(np.cos(2 * np.pi * 500 * (np.arange(8000) + 0.5) / 8000), sample_rate=8000)
        >>> round(float(zero_crossing_rate(tone, frame_length=1024, hop_length=512)[8] * 8000 / 2), -1)
        500.0
    """
    samples = np.pad(clip.samples, frame_length // 2, mode="edge")
    negative = samples < -np.float32(zero)
    is_crossing = negative[1:] != negative[:-1]
    changes = np.cumsum(is_crossing)
    crossings = np.concatenate([[0, 0], changes])  # crossings[n]: number before sample n
    last_start = len(samples) - frame_length
    starts = np.arange(0, last_start + 1, hop_length)
    before_end = crossings[starts + frame_length]
    inside = before_end - crossings[starts + 1]
    return np.asarray(inside / frame_length, dtype=np.float64)


def rms(clip: Clip, *, frame_length: int, hop_length: int) -> NDArray[np.float64]:
    """Root of the mean square of each frame.

    `rms[t] = sqrt(Σ_n y[n]² / frame_length)`

    Args:
        clip: at least one frame long. Zeros lie beyond its ends.
        frame_length: samples in a frame.
        hop_length: samples between frames.

    Returns:
        Shape `(1 + n // hop_length,)`, >= 0. Silence gives 0.

    Source:
        Equal to `librosa.feature.rms(..., dtype=np.float64)`.

    Example:
        >>> square = Clip(np.full(8000, 0.5), sample_rate=8000)
        >>> float(rms(square, frame_length=1024, hop_length=512)[8])
        0.5
    """
    frames = frame_clip(clip, frame_length=frame_length, hop_length=hop_length, mode="constant")
    energy = np.einsum("tn,tn->t", frames, frames)
    root: NDArray[np.float64] = np.sqrt(energy / frame_length)
    return root
