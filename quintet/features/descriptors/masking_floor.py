"""Masking floor: what the sound itself hides is not described.

Logarithms and ratios look at what is nearly silent as closely as at the music. There, a sound and its copy in
a lossy format differ: an encoder puts its errors where the sound hides them, leaves out what is inaudible
(the valleys between partials, the pauses of a band) and cuts off the highest frequencies. So noise with the
mean spectrum of the clip is added to each spectrum, as its expected power: the same in every frame. What lies
below it in a band is as alike in the numbers as it sounds. White noise of two steps of 16 bits hides what
rounding leaves behind. What lies above `BANDWIDTH` counts as silent, since encoders and resamplers cut it
off.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BANDWIDTH = 7 / 8
"""Share of the frequencies up to half the sample rate that is described. Encoders cut off the rest."""
SLOPE = 10
"""A power masks neighbouring frequencies less by the frequencies' ratio to this power: by 10 dB at a third of
an octave, which is about a critical band.
"""
STEP = 2.0**-14
"""Deviation of white noise that is added besides: two steps of 16 bits. Rounding and dither lie below it."""
RELATIVE_DB = (-80.0, -20.0)
"""Least and largest level of this noise relative to the clip, dB: its samples may have another scale."""
RESOLUTION = {
    "spectral.centroid": 20.0,
    "spectral.bandwidth_p2": 20.0,
    "spectral.bandwidth_p3": 20.0,
    "spectral.bandwidth_p4": 20.0,
    "spectral.contrast": 1.0,
    "spectral.rolloff": 50.0,
    "spectral.flatness": 0.01,
    "cepstral.mfcc": 1.0,
    "cepstral.delta": 0.15,
    "cepstral.delta2": 0.1,
    "tonal.chroma": 0.03,
    "tonal.tonnetz": 0.02,
    "rhythm.onset": 0.1,
    "parts.harmonic": 1.0,
    "parts.percussive": 1.0,
    "parts.share": 0.02,
}
"""Group → movement of its series that an encoder leaves behind, in the unit of the group, such as dB or Hz.
Skew and kurtosis of a steady sound would describe it.
"""
STRIDE = 4
"""Distance of the frames of which the mean spectrum is taken. With frames of four hops, they touch."""


def bandwidth_bins(n_fft: int, floor_db: float | None) -> int:
    """Bins of a spectrum that are described; those above count as silent.

    Encoders of mp3, mp2, wma and opus drop what lies above 0.89 to 0.94 of half the sample rate, and so do
    resamplers.

    Args:
        n_fft: samples in a frame.
        floor_db: level of the masking floor. None describes all bins.

    Example:
        >>> bandwidth_bins(2048, -20.0), bandwidth_bins(2048, None)
        (897, 1025)
    """
    half = n_fft // 2
    return 1 + (half if floor_db is None else int(BANDWIDTH * half))


def masking_floor(mean_power: Floats, floor_db: float) -> Floats:
    """Power that is added in each bin of every frame: the mean spectrum in critical bands, lowered.

    `floor[k] = 10^(floor_db / 10) Σ_j w[k, j] mean_power[j] / Σ_j w[k, j] + white`, with
    `w[k, j] = (min(f_k, f_j) / max(f_k, f_j))^SLOPE`, `f_k = k + 1`, and the power `white` of noise with the
    deviation `STEP`. It is rounded to 24 bits, so that it does not depend on the order in which the frames
    were added up.

    Args:
        mean_power: mean power in each bin, over the frames, shape `(bins,)`, >= 0.
        floor_db: level of the floor relative to that of each band, dB, such as -15.

    Returns:
        Powers, shape `(bins,)`.

    Source:
        Schroeder, Atal and Hall 1979, *Optimizing digital speech coders by exploiting masking properties of
        the human ear*: noise some 20 dB below a critical band is hidden, and a band masks its neighbours,
        less by 10 dB a band above it. (Below it, they have 25.) What each level costs and saves:
        `benchmarks/evidence/masking_floor.py`, `benchmarks/lossy.py`.

    Example:
        >>> masking_floor(np.full(5, 100.0), -20.0).round(5).tolist()
        [1.0, 1.0, 1.0, 1.0, 1.0]
    """
    bands = _neighbours(mean_power) / _neighbours(np.ones(len(mean_power)))
    floor = 10.0 ** (floor_db / 10.0) * bands + _rounding_power(mean_power)
    mantissas, exponents = np.frexp(floor)
    rounded: Floats = np.ldexp(mantissas.astype(np.float32).astype(np.float64), exponents)
    return rounded


def _rounding_power(mean_power: Floats) -> float:
    """Power in each bin of white noise with the deviation `STEP`, within `RELATIVE_DB` of the clip."""
    window_energy = 3 / 4 * (len(mean_power) - 1)
    level = float(mean_power[1:].mean())
    least, largest = (10.0 ** (decibels / 10.0) * level for decibels in RELATIVE_DB)
    return float(np.clip(STEP**2 * window_energy, least, largest))


def _neighbours(power: Floats) -> Floats:
    """`Σ_j w[k, j] power[j]`: the bins up to `k`, and those above it."""
    weights = np.arange(1.0, len(power) + 1) ** SLOPE
    up_to = np.cumsum(power * weights) / weights
    above = weights * np.cumsum((power / weights)[::-1])[::-1] - power
    result: Floats = up_to + above
    return result


def silence_limit(variance: float, floor_db: float | None) -> float:
    """Level below which samples count as silent where zero crossings are counted: the floor's deviation.

    Args:
        variance: of the clip's samples.
        floor_db: level of the masking floor. None gives 0.

    Example:
        >>> silence_limit(4.0, -20.0), silence_limit(4.0, None)
        (0.20000000298023224, 0.0)
    """
    return 0.0 if floor_db is None else float(np.float32((variance * 10.0 ** (floor_db / 10.0)) ** 0.5))
