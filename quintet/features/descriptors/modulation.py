"""Modulation descriptors: how the loudness of frequency bands fluctuates, by rate."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from quintet.audio.mel import power_to_db
from quintet.audio.spectrum import hann

Floats = NDArray[np.float64]

SEGMENT_S = 6.0
"""Length of a segment, seconds. A slower fluctuation counts as none."""

FLOOR = 1e-3
"""Density that counts as no fluctuation, dB² per Hz: -30 dB."""


def fluctuation_pattern(
    bands_db: Floats, *, frame_rate: float, n_rates: int, limits_hz: tuple[float, float]
) -> Floats:
    """Strength of the loudness fluctuations of each band, by rate: a spectrum of the bands along time.

    The deviation of a band from its mean is cut into segments of 6 s that overlap by half, weighted by a Hann
    window and transformed. `density[m, f]` is the mean squared magnitude over the segments, divided by the
    energy of the window and by the frame rate, so that it does not depend on the length of the clip.
    `pattern[m, r] = 10 log10(mean density in rate band r + 1e-3)`.

    Args:
        bands_db: shape `(bands, frames)`, dB.
        frame_rate: frames per second.
        n_rates: number of rate bands, of equal width on a logarithmic axis.
        limits_hz: lowest and highest rate, Hz. The bands end at half the frame rate at the latest.

    Returns:
        Shape `(bands, n_rates)`, dB re 1 dB²/Hz, at least -30. A clip shorter than a segment is one segment,
        filled up with zeros, which interpolate what it cannot resolve. A constant band gives -30.

    Source:
        After Pampalk, Rauber & Merkl 2002 and Lidy & Rauber 2005 (rhythm patterns), with Welch's averaging,
        and without a weighting by the sensitivity of the ear.

    Example:
        >>> t = np.arange(860) / 43.0
        >>> band = np.sin(2 * np.pi * 4 * t)[None]
        >>> pulse = fluctuation_pattern(band, frame_rate=43.0, n_rates=10, limits_hz=(0.25, 20.0))
        >>> int(pulse.argmax())  # the band from 3.5 to 5.4 Hz
        6
    """
    frames = SEGMENT_S * frame_rate
    size = 1 << int(np.ceil(np.log2(frames)))
    deviation = bands_db - bands_db.mean(axis=1, keepdims=True)
    density = _density(deviation, size) / frame_rate
    weights = _rate_weights(frame_rate, size, n_rates, limits_hz)
    return power_to_db(density @ weights.T + FLOOR)


@lru_cache(maxsize=16)
def _rate_weights(frame_rate: float, size: int, n_rates: int, limits_hz: tuple[float, float]) -> Floats:
    """`rate_weights` of rate bands of equal width on a logarithmic axis, for segments of `size` frames."""
    lowest, highest = limits_hz
    edges = np.geomspace(lowest, min(highest, frame_rate / 2), n_rates + 1)
    weights = rate_weights(edges, frame_rate / size, size // 2 + 1)
    weights.flags.writeable = False
    return weights


def _density(deviation: Floats, size: int) -> Floats:
    """Mean squared magnitude of the weighted segments over the energy of their window.

    Args:
        deviation: shape `(bands, frames)`.
        size: frames of a segment.

    Returns:
        Shape `(bands, size // 2 + 1)`.
    """
    frames = deviation.shape[1]
    length = min(size, frames)
    half = max(1, length // 2)
    starts = range(0, frames - length + 1, half)
    window = hann(length) if length > 1 else np.ones(1)
    segments = np.stack([deviation[:, start : start + length] * window for start in starts])
    transform = np.fft.rfft(segments, n=size, axis=2)
    squares = transform.real**2 + transform.imag**2
    power = squares.mean(axis=0)
    density: Floats = power / np.sum(window**2)
    return density


def rate_weights(edges_hz: Floats, step_hz: float, bins: int) -> Floats:
    """Weights that average the bins of a spectrum over each band: the share of the band that each bin covers.

    Args:
        edges_hz: shape `(bands + 1,)`, rising.
        step_hz: distance of two bins. Bin k covers `(k ± 1/2) step_hz`.
        bins: number of bins.

    Returns:
        Shape `(bands, bins)`. A row sums to 1 if the bins cover all of the band.

    Example:
        >>> rate_weights(np.array([0.5, 2.5]), step_hz=1.0, bins=4).tolist()
        [[0.0, 0.5, 0.5, 0.0]]
    """
    centres = np.arange(bins) * step_hz
    low = edges_hz[:-1, None]
    high = edges_hz[1:, None]
    upper = np.minimum(centres + step_hz / 2, high)
    lower = np.maximum(centres - step_hz / 2, low)
    overlap = np.maximum(0.0, upper - lower)
    weights: Floats = overlap / (high - low)
    return weights
