"""Descriptors of movement within frequency bands: fluctuation patterns and the covariance of the bands."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quintet.audio.mel import power_to_db
from quintet.audio.spectrum import hann

SEGMENT_S = 6.0  # what is heard at once; a slower fluctuation counts as none
FLOOR = 1e-3  # dB² per Hz that count as no fluctuation at all: -30 dB


def fluctuation_pattern(
    bands_db: NDArray[np.float64], *, frame_rate: float, n_rates: int, limits_hz: tuple[float, float]
) -> NDArray[np.float64]:
    """How strongly the loudness of each band fluctuates, by rate: a spectrum of the bands along time.

    The deviation of a band from its mean is cut into segments of 6 s that overlap by half, weighted by a Hann window and
    transformed; `density[m, f]` is the mean squared magnitude over the segments, divided by the window's energy and the frame
    rate, so that it does not depend on the length of the clip. `pattern[m, r] = 10 log10(mean density in rate band r + 1e-3)`.

    Args:
        bands_db: shape `(bands, frames)`, dB.
        frame_rate: frames per second.
        n_rates: rate bands, of equal width on a logarithmic axis.
        limits_hz: the lowest and the highest rate. Above half the frame rate there is none: the bands end there.

    Returns:
        Shape `(bands, n_rates)`, dB re 1 dB²/Hz, from -30 on. A clip shorter than a segment is one segment, zeros
        added; what it cannot resolve is interpolated by them. A constant band gives -30.

    Source:
        After Pampalk, Rauber & Merkl 2002 and Lidy & Rauber 2005 (rhythm patterns), with Welch's averaging, no weighting by sensitivity.

    Example:
        >>> t = np.arange(860) / 43.0
        >>> pulse = fluctuation_pattern(np.sin(2 * np.pi * 4 * t)[None], frame_rate=43.0, n_rates=10, limits_hz=(0.25, 20.0))
        >>> int(pulse.argmax())  # the band from 3.5 to 5.4 Hz
        6
    """
    size = 1 << int(np.ceil(np.log2(SEGMENT_S * frame_rate)))
    deviation = bands_db - bands_db.mean(axis=1, keepdims=True)
    density = _density(deviation, size) / frame_rate
    edges = np.geomspace(limits_hz[0], min(limits_hz[1], frame_rate / 2), n_rates + 1)
    weights = rate_weights(edges, frame_rate / size, density.shape[1])
    return power_to_db(density @ weights.T + FLOOR)


def _density(deviation: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Mean squared magnitude of the windowed segments over the energy of their window, shape `(bands, size // 2 + 1)`."""
    frames = deviation.shape[1]
    length = min(size, frames)
    starts = range(0, frames - length + 1, max(1, length // 2))
    window = hann(length) if length > 1 else np.ones(1)
    segments = np.stack([deviation[:, start : start + length] * window for start in starts])
    transform = np.fft.rfft(segments, n=size, axis=2)
    power = (transform.real**2 + transform.imag**2).mean(axis=0)
    density: NDArray[np.float64] = power / np.sum(window**2)
    return density


def rate_weights(edges_hz: NDArray[np.float64], step_hz: float, bins: int) -> NDArray[np.float64]:
    """Weights that average the bins of a spectrum over each band: the share of the band that each bin covers.

    Args:
        edges_hz: shape `(bands + 1,)`, rising.
        step_hz: distance of two bins; bin k covers `(k ± 1/2) step_hz`.
        bins: how many there are.

    Returns:
        Shape `(bands, bins)`; a row sums to 1 where the bins cover all of the band.

    Example:
        >>> rate_weights(np.array([0.5, 2.5]), step_hz=1.0, bins=4).tolist()
        [[0.0, 0.5, 0.5, 0.0]]
    """
    centres = np.arange(bins) * step_hz
    low, high = edges_hz[:-1, None], edges_hz[1:, None]
    overlap = np.minimum(centres + step_hz / 2, high) - np.maximum(centres - step_hz / 2, low)
    weights: NDArray[np.float64] = np.maximum(0.0, overlap) / (high - low)
    return weights
