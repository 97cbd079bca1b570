"""Cepstral descriptors: timbre as the cosine transform of the mel bands, and its change over time."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

DELTA_WIDTH = 9
"""Frames over which a slope is measured."""


def mfcc(mel_db: Floats, *, n_mfcc: int) -> Floats:
    """Mel-frequency cepstral coefficients: the orthonormal DCT-II of the mel bands in dB.

    `mfcc[i, t] = s_i Σ_m mel_db[m, t] cos(π i (2m + 1) / (2 n_mels))`, `s_0 = sqrt(1 / n_mels)`, else
    `sqrt(2 / n_mels)`

    Args:
        mel_db: shape `(n_mels, frames)`, dB (128 bands, at most 80 dB below the clip's loudest value).
        n_mfcc: number of coefficients.

    Returns:
        Shape `(n_mfcc, frames)`.

    Source:
        Equal to `librosa.feature.mfcc` within 1e-10 relative.

    Example:
        >>> mfcc(np.full((4, 1), 3.0), n_mfcc=2).round(9).tolist()
        [[6.0], [0.0]]
    """
    n_mels = len(mel_db)
    order = np.arange(n_mfcc)
    odd = 2 * np.arange(n_mels) + 1
    cosines = np.cos(np.pi * np.outer(order, odd) / (2 * n_mels))
    scale = np.sqrt(np.where(order == 0, 1, 2) / n_mels)[:, None]
    coefficients: Floats = scale * (cosines @ mel_db)
    return coefficients


def delta(series: Floats, *, order: int) -> Floats:
    """Local slope (order 1) or curvature (order 2): the derivative of the polynomial of that order fitted to
    9 frames.

    `delta[t] = Σ_j weights[j] series[t + j]`, `j = -4 … 4`. Near the ends it is that of the first or last
    nine frames.

    Args:
        series: shape `(count, frames)`.
        order: 1 or 2.

    Returns:
        The shape of `series`, units per frame (squared). If a clip has fewer than 9 frames, the slope is
        measured over their largest odd number. Fewer than 3 frames give 0.

    Source:
        Equal to `librosa.feature.delta(order=order)` within 1e-10 (which refuses fewer than 9 frames).

    Example:
        >>> delta(np.arange(12.0)[None] ** 2, order=2).round(6)[0, 5]
        np.float64(2.0)
    """
    frames = series.shape[1]
    largest_odd = frames - 1 + frames % 2
    half = min(DELTA_WIDTH, largest_odd) // 2
    if half < 1:
        return np.zeros_like(series)
    weights = _derivative_weights(half, order)
    width = 2 * half + 1
    last = frames - width + 1
    slopes = np.empty(series.shape)
    slopes[:, half : half + last] = sum(weights[j] * series[:, j : last + j] for j in range(width))
    slopes[:, :half] = slopes[:, half : half + 1]
    slopes[:, half + last :] = slopes[:, half + last - 1 : half + last]
    return slopes


@lru_cache(maxsize=16)
def _derivative_weights(half: int, order: int) -> tuple[float, ...]:
    """Weights over `-half … half` of the `order`-th derivative of a polynomial fitted by least squares."""
    positions = np.arange(-half, half + 1, dtype=np.float64)
    powers = positions[:, None] ** np.arange(order + 1)
    factorial = float(np.prod(np.arange(1, order + 1)))
    fit = np.linalg.pinv(powers)
    return tuple((fit[order] * factorial).tolist())
