"""Rhythm descriptors: the strength of onsets, and how regularly they follow each other."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from quintet.audio.spectrum import hann

Floats = NDArray[np.float64]

START_BPM = 120.0
"""Tempo that is assumed if nothing indicates another."""

MAX_BPM = 320.0
"""Tempi from this one on are excluded."""

WINDOW_S = 8.0
"""Length of the autocorrelation, seconds."""

Autocorrelation = Callable[[Floats, int], Floats]
"""Function from onset strength and number of lags to the strength of each lag."""


def onset_strength(mel_db: Floats, *, n_fft: int, hop_length: int) -> Floats:
    """Mean rise of the mel bands from one frame to the next.

    `onset[t + 1 + shift] = Σ_m max(0, mel_db[m, t + 1] - mel_db[m, t]) / n_mels` with
    `shift = n_fft // (2 hop_length)`, which moves an onset to the centre of its frame.

    Args:
        mel_db: shape `(n_mels, frames)`, dB (128 bands, at most 80 dB below the clip's loudest value).
        n_fft: samples in a frame.
        hop_length: samples between frames.

    Returns:
        Shape `(frames,)`, >= 0. The first `1 + shift` values are 0.

    Source:
        Equal to `librosa.onset.onset_strength` within 1e-12. Böck & Widmer 2013 without the maximum filter.
    """
    rises = mean_rises(mel_db)
    return rises_at_frames(rises, n_fft=n_fft, hop_length=hop_length, frames=mel_db.shape[1])


def mean_rises(mel_db: Floats) -> Floats:
    """Mean rise of the bands from each frame to the next, shape `(frames - 1,)`."""
    rises: Floats = np.maximum(0.0, np.diff(mel_db, axis=1)).mean(axis=0)
    return rises


def rises_at_frames(rises: Floats, *, n_fft: int, hop_length: int, frames: int) -> Floats:
    """Rises, each at the frame whose centre it belongs to, shape `(frames,)`.

    Args:
        rises: shape `(frames - 1,)`.
        n_fft: samples in a frame.
        hop_length: samples between frames.
        frames: number of frames.
    """
    shift = n_fft // (2 * hop_length)
    return np.concatenate([np.zeros(1 + shift), rises])[:frames]


def tempo(
    onset: Floats,
    *,
    sample_rate: int,
    hop_length: int,
    autocorrelation: Autocorrelation | None = None,
) -> tuple[float, float]:
    """Most likely tempo, and its clarity.

    The onset strength is cut into windows of 8 s around every frame. Their autocorrelations, each divided by
    its value at lag 0, are averaged to `strength[lag]`. The tempo is that of the lag with the largest
    `log(1 + 1e6 strength[lag]) - log2(bpm / 120)² / 2` among those below 320 BPM.

    Clarity is the similarity of the music to itself one such lag later, with `d = onset - mean(onset)`:
    `clarity = Σ_t d[t] d[t + lag] / Σ_t d[t]²`.

    Args:
        onset: shape `(frames,)`, >= 0.
        sample_rate: Hz.
        hop_length: samples between frames.
        autocorrelation: another way to compute `mean_autocorrelation`, with the same result.

    Returns:
        `(bpm, clarity)`: beats per minute, and clarity in [-1, 1]. Without any onset, bpm is that of the lag
        nearest to 120 BPM. Clarity is 0 if the onset strength is constant, or if the clip is shorter than the
        lag.

    Source:
        `bpm` equals `librosa.feature.tempo(onset_envelope=onset)`. If two lags are equally likely except for
        rounding (an exactly periodic synthetic signal and its double), the two may choose different ones.

    Example:
        >>> clicks = np.zeros(1292)
        >>> clicks[::43] = 1.0  # a click a second, nearly
        >>> [round(value, 1) for value in tempo(clicks, sample_rate=22050, hop_length=512)]
        [60.1, 1.0]
    """
    lags = max(2, int(WINDOW_S * sample_rate // hop_length))
    compute = autocorrelation or mean_autocorrelation
    strength = compute(onset, lags)
    bpm, prior = _tempi(lags, sample_rate, hop_length)
    positive = np.maximum(strength[1:], 0.0)
    evidence = np.log1p(1e6 * positive)
    likelihood = evidence - prior
    best = int(np.argmax(likelihood))
    return float(bpm[best]), _clarity(onset, lag=1 + best)


@lru_cache(maxsize=16)
def _tempi(lags: int, sample_rate: int, hop_length: int) -> tuple[Floats, Floats]:
    """Tempo of each lag from 1 on, and what is subtracted from its evidence, each `(lags - 1,)`."""
    bpm = 60.0 * sample_rate / (hop_length * np.arange(1, lags, dtype=np.float64))
    prior = 0.5 * np.log2(bpm / START_BPM) ** 2
    prior[bpm >= MAX_BPM] = np.inf
    for values in (bpm, prior):
        values.flags.writeable = False
    return bpm, prior


def _clarity(onset: Floats, lag: int) -> float:
    deviation = onset - onset.mean()
    energy = float(deviation @ deviation)
    if lag >= len(onset) or energy <= 0:
        return 0.0
    similarity = float(deviation[lag:] @ deviation[: len(onset) - lag])
    return similarity / energy


def mean_autocorrelation(onset: Floats, lags: int) -> Floats:
    """Mean over all windows of the normalised autocorrelation, shape `(lags,)`.

    The inverse transform is linear, so it is computed once, from the mean. A tempogram is never formed.

    Args:
        onset: shape `(frames,)`, >= 0.
        lags: number of lags, which is also the length of a window in frames.
    """
    import scipy.fft  # takes longer to load than the features of a clip, and the kernels do not need it

    padded = np.pad(onset, lags // 2, mode="linear_ramp", end_values=0)
    frames = np.lib.stride_tricks.sliding_window_view(padded, lags)[: len(onset)]
    windows = frames * hann(lags)
    energy = np.einsum("tn,tn->t", windows, windows)
    has_energy = energy > np.finfo(np.float64).tiny
    zeros = np.zeros_like(energy)
    scale = np.divide(1.0, energy, out=zeros, where=has_energy)
    size = scipy.fft.next_fast_len(2 * lags - 1, real=True)
    transform = scipy.fft.rfft(windows, n=size, axis=1)
    squares = transform.real**2 + transform.imag**2
    power = scale @ squares / len(onset)
    mean = scipy.fft.irfft(power, n=size)
    result: Floats = mean[:lags]
    return result
