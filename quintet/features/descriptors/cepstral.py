"""Descriptors of timbre: the cosine transform of the mel bands, and how it moves."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

DELTA_WIDTH = 9  # frames over which a slope is measured


def mfcc(mel_db: NDArray[np.float64], *, n_mfcc: int) -> NDArray[np.float64]:
    """Mel-frequency cepstral coefficients: the orthonormal DCT-II of the mel bands in dB.

    `mfcc[i, t] = s_i Σ_m mel_db[m, t] cos(π i (2m + 1) / (2 n_mels))`, `s_0 = sqrt(1 / n_mels)`, else `sqrt(2 / n_mels)`

    Args:
        mel_db: shape `(n_mels, frames)`, dB (128 bands, at most 80 dB below the clip's loudest value).
        n_mfcc: coefficients to keep.

    Returns:
        Shape `(n_mfcc, frames)`.

    Source:
        Equal to `librosa.feature.mfcc` within 1e-10 relative.

    Example:
        >>> mfcc(np.full((4, 1), 3.0), n_mfcc=2).round(9).tolist()
        [[6.0], [0.0]]
    """
    n_mels = len(mel_db)
    cosines = np.cos(np.pi * np.outer(np.arange(n_mfcc), 2 * np.arange(n_mels) + 1) / (2 * n_mels))
    coefficients: NDArray[np.float64] = np.sqrt(np.where(np.arange(n_mfcc) == 0, 1, 2) / n_mels)[:, None] * (
        cosines @ mel_db
    )
    return coefficients


def delta(series: NDArray[np.float64], *, order: int) -> NDArray[np.float64]:
    """Local slope (order 1) or curvature (order 2): the derivative of the polynomial of that order fitted to 9 frames.

    `delta[t] = Σ_j weights[j] series[t + j]`, `j = -4 … 4`. Near the ends it is that of the first or last nine frames.

    Args:
        series: shape `(count, frames)`.
        order: 1 or 2.

    Returns:
        The shape of `series`, units per frame (squared). Clips of fewer than 9 frames are measured over the largest odd
        number of frames that they have; fewer than 3 give 0.

    Source:
        Equal to `librosa.feature.delta(order=order)` within 1e-10 (which refuses fewer than 9 frames).

    Example:
        >>> delta(np.arange(12.0)[None] ** 2, order=2).round(6)[0, 5]
        np.float64(2.0)
    """
    frames = series.shape[1]
    half = min(DELTA_WIDTH, frames - 1 + frames % 2) // 2
    if half < 1:
        return np.zeros_like(series)
    weights = _derivative_weights(half, order)
    width = 2 * half + 1
    inner = sum(weights[j] * series[:, j : frames - width + 1 + j] for j in range(width))
    return np.pad(np.asarray(inner, dtype=np.float64), ((0, 0), (half, half)), mode="edge")


def _derivative_weights(half: int, order: int) -> NDArray[np.float64]:
    """Least-squares weights over `-half … half` that give the `order`-th derivative of a fitted polynomial of that order."""
    positions = np.arange(-half, half + 1, dtype=np.float64)
    powers = positions[:, None] ** np.arange(order + 1)
    factorial = float(np.prod(np.arange(1, order + 1)))
    weights: NDArray[np.float64] = np.linalg.pinv(powers)[order] * factorial
    return weights
