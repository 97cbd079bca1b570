"""Alignment of two recordings: the best shift between them, and how well they agree at that shift.

Two clips count as one recording if they agree in every octave that is audible in both.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from quintet.audio.clip import Clip
from quintet.audio.mel import power_to_db

Floats = NDArray[np.float64]
Spectrum = NDArray[np.complex128]

OCTAVES_HZ = (0, 125, 250, 500, 1000, 2000, 4000)
AUDIBLE_DB = 50.0
"""An octave that lies further than this below the strongest one does not count."""

CLEAR_DB = 10.0
"""An octave that lies this far above the limit of audibility counts fully."""

SLACK_S = 0.05
"""Error of the shift that the fingerprints give, in seconds."""

MIN_OVERLAP = 0.5
ENOUGH_S = 5.0
"""Two clips must overlap by `MIN_OVERLAP` of the shorter clip, or by `ENOUGH_S` seconds."""

FADE_S = 0.01
EMPHASIS = 0.5
MAX_PEAKS = 4
TINY = np.finfo(np.float64).tiny


class Alignment(NamedTuple):
    """Agreement of two clips at one shift.

    Args:
        agreement: in [-1, 1]; 1 for the same recording, about 0 for two different ones.
        shift_s: where the second clip begins in the first, seconds.
        overlap_s: length of the overlap, seconds.
    """

    agreement: float
    shift_s: float
    overlap_s: float


NO_ALIGNMENT = Alignment(0.0, 0.0, 0.0)


def align(first: Clip, second: Clip, *, near_s: float) -> Alignment:
    """Agreement of two clips at the best shift near the shift that their fingerprints give.

    The shift is a peak of the normalised cross-correlation within ±50 ms: of the four highest peaks, the one
    with the best agreement. At this shift, each octave has the correlation
    `r = Σ A_k conj(B_k) / √(Σ|A_k|² Σ|B_k|²)` over its bins k. The agreement is the mean of r over the
    octaves that are audible in both clips, that is, within 50 dB of the loudest octave. (Octaves within 40 dB
    count fully.) Before that, each clip is clipped at the level of the other, so that a copy that was
    recorded too loud still agrees.

    Args:
        first: clip.
        second: clip with the same sample rate.
        near_s: where the second clip begins in the first, seconds. Negative: it begins earlier.

    Returns:
        Zeros if the clips overlap by less than half of the shorter one and by less than five seconds.

    Example:
        >>> noise = np.random.default_rng(0).normal(size=16000)
        >>> whole, part = Clip(noise, 8000), Clip(0.5 * noise[4000:], 8000)
        >>> alignment = align(whole, part, near_s=0.49)
        >>> round(alignment.agreement, 6), alignment.shift_s
        (1.0, 0.5)
    """
    rate = first.sample_rate
    a = first.samples.astype(np.float64)
    b = second.samples.astype(np.float64)
    lags = _possible_lags(len(a), len(b), rate, near_s=near_s)
    if not len(lags):
        return NO_ALIGNMENT
    correlation = _correlation(_emphasise(a), _emphasise(b), lags)
    alignments = []
    for k in _highest_peaks(correlation):
        delay = _peak_offset(correlation, k)
        alignment = _align_at(a, b, int(lags[k]), delay=delay, rate=rate)
        alignments.append(alignment)
    return max(alignments, key=lambda alignment: alignment.agreement)


def _possible_lags(n_first: int, n_second: int, rate: int, *, near_s: float) -> NDArray[np.int64]:
    """Lags in samples, within ±50 ms of `near_s`, at which the clips overlap enough."""
    shorter = min(n_first, n_second)
    least_overlap = max(min(MIN_OVERLAP * shorter, ENOUGH_S * rate), 2)
    lowest = round((near_s - SLACK_S) * rate)
    highest = round((near_s + SLACK_S) * rate)
    lags = np.arange(lowest, highest + 1)
    begins = np.maximum(lags, 0)
    ends = np.minimum(n_first, n_second + lags)
    overlaps = ends - begins
    return lags[overlaps >= least_overlap]


def _align_at(a: Floats, b: Floats, lag: int, *, delay: float, rate: int) -> Alignment:
    """Agreement at one lag (samples) plus a fraction of a sample."""
    begin = max(lag, 0)
    end = min(len(a), len(b) + lag)
    n = end - begin
    part_a = a[begin:end]
    part_b = b[begin - lag : end - lag]
    if not part_a.any() or not part_b.any():
        return NO_ALIGNMENT
    fade = _fade(n, round(FADE_S * rate))
    like_b = _clip_like(part_a, part_b) * fade
    like_a = _clip_like(part_b, part_a) * fade
    agreement = _agreement(like_b, like_a, rate, delay_s=delay / rate)
    return Alignment(agreement, shift_s=lag / rate, overlap_s=n / rate)


def _emphasise(samples: Floats) -> Floats:
    """Samples with stronger high frequencies."""
    differences = samples[1:] - EMPHASIS * samples[:-1]
    return np.append(samples[:1], differences)


def _correlation(a: Floats, b: Floats, lags: NDArray[np.int64]) -> Floats:
    """Correlation over the overlap: `Σ a[n + lag] b[n] / √(Σ a² Σ b²)` for each lag."""
    n = scipy.fft.next_fast_len(len(a) + len(b), real=True)
    # One expression: numpy rounds a product of complex arrays differently if one of them has a name.
    cross_spectrum = scipy.fft.rfft(a, n) * scipy.fft.rfft(b, n).conj()
    products = scipy.fft.irfft(cross_spectrum, n)[lags]
    energy_until_a = _cumulative_energy(a)
    energy_until_b = _cumulative_energy(b)
    begin = np.maximum(lags, 0)
    end = np.minimum(len(a), len(b) + lags)
    energy_a = energy_until_a[end] - energy_until_a[begin]
    begin_b, end_b = begin - lags, end - lags
    energy_b = energy_until_b[end_b] - energy_until_b[begin_b]
    energy = np.maximum(energy_a * energy_b, TINY)
    ratio: Floats = products / np.sqrt(energy)
    return ratio


def _cumulative_energy(samples: Floats) -> Floats:
    """Energy of the samples before each position, `(n + 1,)`."""
    energy = np.cumsum(samples**2)
    return np.concatenate([[0.0], energy])


def _highest_peaks(values: Floats) -> list[int]:
    """Positions of the highest local maxima, at most four.

    A steady tone has one maximum per period, and at whole samples the highest need not be the right one.
    """
    padded = np.pad(values, 1, constant_values=-np.inf)
    left, right = padded[:-2], padded[2:]
    is_peak = (values >= left) & (values >= right)
    peaks = np.flatnonzero(is_peak)
    order = np.argsort(-values[peaks])
    from_highest = peaks[order]
    highest: list[int] = from_highest[:MAX_PEAKS].tolist()
    return highest


def _peak_offset(values: Floats, k: int) -> float:
    """Distance from `k` to the summit of the parabola through a peak and its neighbours, in [-0.5, 0.5]."""
    if not 0 < k < len(values) - 1:
        return 0.0
    left, middle, right = values[k - 1 : k + 2]
    curvature = left - 2 * middle + right
    if not curvature < 0:
        return 0.0
    offset = (left - right) / (2 * curvature)
    return float(np.clip(offset, -0.5, 0.5))


def _clip_like(samples: Floats, other: Floats) -> Floats:
    """Samples at the gain of the other clip, clipped at its peak as a recording that is too loud is."""
    ceiling = np.abs(other).max()
    is_soft = np.abs(other) < 0.7 * ceiling
    soft = samples * is_soft
    energy = max(np.sum(soft * soft), TINY)
    gain = np.sum(soft * other) / energy
    if not gain > 0:
        return samples
    clipped: Floats = np.clip(gain * samples, -ceiling, ceiling)
    return clipped


def _fade(n: int, length: int) -> Floats:
    """Ones with a ramp at each end, because a sudden end would spread over all frequencies."""
    positions = np.arange(n)
    steps_from_end = np.minimum(positions, positions[::-1]) + 1.0
    return np.minimum(1.0, steps_from_end / (length + 1))


def _agreement(a: Floats, b: Floats, rate: int, *, delay_s: float) -> float:
    """Weighted mean of the correlation over octaves, where `b` is delayed by a fraction of a sample."""
    n = scipy.fft.next_fast_len(len(a), real=True)
    frequencies = np.fft.rfftfreq(n, 1 / rate)
    delay = np.exp(-2j * np.pi * frequencies * delay_s)
    spectrum_a = scipy.fft.rfft(a, n)
    spectrum_b = scipy.fft.rfft(b, n) * delay
    octaves = _octaves(frequencies)
    power_a = _octave_products(spectrum_a, spectrum_a, octaves)
    power_b = _octave_products(spectrum_b, spectrum_b, octaves)
    powers = np.stack([power_a, power_b]) + TINY
    strongest = powers.max(axis=1, keepdims=True)
    levels = power_to_db(powers / strongest)
    lower_level = levels.min(axis=0)
    weights = np.clip(AUDIBLE_DB + lower_level, 0.0, CLEAR_DB)
    if not weights.any():
        return 0.0
    cross_power = _octave_products(spectrum_b, spectrum_a, octaves)
    energy = powers[0] * powers[1]
    correlations = cross_power / np.sqrt(energy)
    return float(np.average(correlations, weights=weights))


def _octaves(frequencies: NDArray[np.floating]) -> list[slice]:
    """Bins of each octave that has bins; the last one reaches to the highest frequency."""
    edges = np.searchsorted(frequencies, OCTAVES_HZ).tolist()
    begins, ends = edges[:-1], [*edges[1:-1], len(frequencies)]
    octaves = []
    for begin, end in zip(begins, ends, strict=True):
        if end > begin:
            octaves.append(slice(begin, end))
    return octaves


def _octave_products(first: Spectrum, second: Spectrum, octaves: list[slice]) -> Floats:
    """Real part of the scalar product of two spectra in each octave, `(octaves,)`."""
    products = [np.vdot(first[octave], second[octave]) for octave in octaves]
    return np.array([product.real for product in products])
