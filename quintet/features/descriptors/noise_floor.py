"""Noise floor: what lies far below the level of a clip is not described.

Logarithms and ratios look at what is nearly silent as closely as at the music. There, a sound and its copy in
a lossy format differ: an encoder leaves out what is inaudible (bands above 16 kHz, tails, valleys between
partials), and 16 bits end in rounding noise. So white noise is added to each spectrum, as its expected power:
a number, the same in all bins. Bands and frames below it are as alike as they sound. What lies above
`BANDWIDTH` counts as silent, since encoders and resamplers cut it off.
"""

from __future__ import annotations

import numpy as np

from quintet.audio.spectrum import hann

BANDWIDTH = 7 / 8
"""Share of the frequencies up to half the sample rate that is described. Encoders cut off the rest."""


def noise_variance(samples_variance: float, floor_db: float | None) -> float:
    """Variance of the noise floor of a clip.

    `variance(samples) 10^(floor_db / 10)`, rounded to 24 bits, so that it does not depend on the order in
    which the samples were added up.

    Args:
        samples_variance: variance of the clip's samples, which gives its level without an offset.
        floor_db: level of the noise below that of the clip, dB. None is no noise.

    Returns:
        The variance, >= 0.

    Source:
        What each level costs and saves: `benchmarks/evidence/noise_floor.py`, `benchmarks/lossy.py`.

    Example:
        >>> noise_variance(4.0, -20.0), noise_variance(4.0, None)
        (0.03999999910593033, 0.0)
    """
    if floor_db is None:
        return 0.0
    mantissa, exponent = np.frexp(samples_variance * 10.0 ** (floor_db / 10.0))
    return float(np.ldexp(float(np.float32(mantissa)), exponent))


def bandwidth_bins(n_fft: int, floor_db: float | None) -> int:
    """Bins of a spectrum that are described; those above count as silent.

    Encoders of mp3, mp2, wma and opus drop what lies above 0.89 to 0.94 of half the sample rate, and so do
    resamplers.

    Args:
        n_fft: samples in a frame.
        floor_db: level of the noise floor. None describes all bins.

    Example:
        >>> bandwidth_bins(2048, -20.0), bandwidth_bins(2048, None)
        (897, 1025)
    """
    half = n_fft // 2
    return 1 + (half if floor_db is None else int(BANDWIDTH * half))


def noise_power(variance: float, n_fft: int) -> float:
    """Expected power of white noise in each bin of a spectrum: `variance Σ_n window[n]²`.

    Args:
        variance: of the noise.
        n_fft: samples in a frame.

    Example:
        >>> round(noise_power(2.0, 2048), 9)  # a Hann window has the energy 3 / 8 n_fft
        1536.0
    """
    window = hann(n_fft)
    return variance * float(window @ window)
