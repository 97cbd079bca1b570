"""Descriptors of rhythm: how strongly things begin, and how regularly."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from quintet.audio.spectrum import hann

START_BPM = 120.0  # the tempo that is taken for granted where nothing speaks against it
MAX_BPM = 320.0
WINDOW_S = 8.0  # length of the autocorrelation

Autocorrelation = Callable[
    [NDArray[np.float64], int], NDArray[np.float64]
]  # onset strength, number of lags → strength of each lag


def onset_strength(mel_db: NDArray[np.float64], *, n_fft: int, hop_length: int) -> NDArray[np.float64]:
    """Mean rise of the mel bands from one frame to the next.

    `onset[t + 1 + shift] = Σ_m max(0, mel_db[m, t + 1] - mel_db[m, t]) / n_mels` with `shift = n_fft // (2 hop_length)`,
    which puts an onset where its frame is centred.

    Args:
        mel_db: shape `(n_mels, frames)`, dB (128 bands, at most 80 dB below the clip's loudest value).
        n_fft: samples.
        hop_length: samples.

    Returns:
        Shape `(frames,)`, >= 0; the first `1 + shift` are 0.

    Source:
        Equal to `librosa.onset.onset_strength` within 1e-12. Böck & Widmer 2013 without the maximum filter.
    """
    return rises_at_frames(mean_rises(mel_db), n_fft=n_fft, hop_length=hop_length, frames=mel_db.shape[1])


def mean_rises(mel_db: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean rise of the bands from each frame to the next, shape `(frames - 1,)`."""
    rises: NDArray[np.float64] = np.maximum(0.0, np.diff(mel_db, axis=1)).mean(axis=0)
    return rises


def rises_at_frames(
    rises: NDArray[np.float64], *, n_fft: int, hop_length: int, frames: int
) -> NDArray[np.float64]:
    """Rises put at the frames in which they are heard, shape `(frames,)`."""
    return np.concatenate([np.zeros(1 + n_fft // (2 * hop_length)), rises])[:frames]


def tempo(
    onset: NDArray[np.float64],
    *,
    sample_rate: int,
    hop_length: int,
    autocorrelation: Autocorrelation | None = None,
) -> tuple[float, float]:
    """The most likely tempo, and how clearly it is heard.

    The onset strength is cut into windows of 8 s around every frame; their autocorrelations, each divided by its value at
    lag 0, are averaged to `strength[lag]`. The tempo is that of the lag with the largest
    `log(1 + 1e6 strength[lag]) - log2(bpm / 120)² / 2` among those below 320 BPM.

    Clarity is how much the rest of the music resembles itself one such lag later, with `d = onset - mean(onset)`:
    `clarity = Σ_t d[t] d[t + lag] / Σ_t d[t]²`.

    Args:
        onset: shape `(frames,)`, >= 0.
        sample_rate: Hz.
        hop_length: samples.
        autocorrelation: another way to compute `mean_autocorrelation`, with the same result.

    Returns:
        `(bpm, clarity)`: beats per minute, and clarity in [-1, 1]. Without any onset the lag nearest to 120 BPM is answered;
        clarity is 0 if the onset strength is constant, or the clip shorter than the lag.

    Source:
        `bpm` equals `librosa.feature.tempo(onset_envelope=onset)`. Two lags that are equally likely but for rounding (an
        exactly periodic synthetic signal and its double) may be decided otherwise.

    Example:
        >>> clicks = np.zeros(1292)
        >>> clicks[::43] = 1.0  # a click a second, nearly
        >>> [round(value, 1) for value in tempo(clicks, sample_rate=22050, hop_length=512)]
        [60.1, 1.0]
    """
    lags = max(2, int(WINDOW_S * sample_rate // hop_length))
    strength = (autocorrelation or mean_autocorrelation)(onset, lags)
    bpm = 60.0 * sample_rate / (hop_length * np.arange(1, lags, dtype=np.float64))
    likelihood = np.log1p(1e6 * np.maximum(strength[1:], 0.0)) - 0.5 * np.log2(bpm / START_BPM) ** 2
    likelihood[bpm >= MAX_BPM] = -np.inf
    best = int(np.argmax(likelihood))
    return float(bpm[best]), _clarity(onset, lag=1 + best)


def _clarity(onset: NDArray[np.float64], lag: int) -> float:
    deviation = onset - onset.mean()
    energy = float(deviation @ deviation)
    return (
        float(deviation[lag:] @ deviation[: len(onset) - lag]) / energy
        if lag < len(onset) and energy > 0
        else 0.0
    )


def mean_autocorrelation(onset: NDArray[np.float64], lags: int) -> NDArray[np.float64]:
    """Mean over all windows of the normalised autocorrelation, shape `(lags,)`.

    The inverse transform is linear, so it is taken once, of the mean: a tempogram is never formed.
    """
    import scipy.fft  # takes longer to load than the features of a clip, and the kernels do without it

    padded = np.pad(onset, lags // 2, mode="linear_ramp", end_values=0)
    windows = np.lib.stride_tricks.sliding_window_view(padded, lags)[: len(onset)] * hann(lags)
    energy = np.einsum("tn,tn->t", windows, windows)
    scale = np.divide(1.0, energy, out=np.zeros_like(energy), where=energy > np.finfo(np.float64).tiny)
    size = scipy.fft.next_fast_len(2 * lags - 1, real=True)
    transform = scipy.fft.rfft(windows, n=size, axis=1)
    power = scale @ (transform.real**2 + transform.imag**2) / len(onset)
    result: NDArray[np.float64] = scipy.fft.irfft(power, n=size)[:lags]
    return result
