"""Tonal descriptors: tuning, pitch classes, and their centroid on the circles of intervals."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from quintet.audio.spectrum import Spectrum
from quintet.features.statistics import median

Floats = NDArray[np.float64]

PITCH_RANGE_HZ = (150.0, 4000.0)
"""Range in which spectral peaks count as pitches."""

PEAK_SHARE = 0.1
"""Share of the frame's largest power that a peak must exceed."""

PEAK_MARGIN = 1 + 1e-9
"""Two bins whose ratio is smaller are equal, so that rounding forms no peaks."""

NO_TUNING = 0.1
"""Weight of the tuning 0 in the mean of all."""

TINY = float(np.finfo(np.float64).tiny)
"""Smallest positive normal number."""


def estimate_tuning(spectrum: Spectrum) -> float:
    """Tuning: the distance of the music from a = 440 Hz.

    The method takes the spectral peaks of the power (parabolic interpolation, 150-4000 Hz, above a tenth of
    the frame's maximum). The tuning is the most frequent deviation from the nearest semitone, in steps of
    0.01, of the peaks that are at least as strong as the median.

    Args:
        spectrum: power of shape `(bins, frames)`.

    Returns:
        A fraction of a semitone in [-0.5, 0.5), a multiple of 0.01. 0 if there is no peak.

    Source:
        Identical to `librosa.estimate_tuning(S=power)`. A tone exactly in tune lies on the border of two
        steps. There rounding decides between 0.00 and -0.01, in librosa as here.

    Example:
        >>> from quintet.audio.clip import Clip
        >>> from quintet.audio.spectrum import spectrum
        >>> turns = 1760 * 2 ** (0.255 / 12) * np.arange(44100) / 22050
        >>> sharp = Clip(np.sin(2 * np.pi * turns), sample_rate=22050)
        >>> abs(estimate_tuning(spectrum(sharp, n_fft=2048, hop_length=512)) - 0.25) < 0.02
        True
    """
    return tuning_from_peaks(*spectral_peaks(spectrum))


def tuning_from_peaks(frequency: Floats, strength: Floats) -> float:
    """Tuning from spectral peaks; see `estimate_tuning`. 0 if there is no peak.

    Args:
        frequency: Hz, shape `(peaks,)`.
        strength: power, shape `(peaks,)`.

    Example:
        >>> round(tuning_from_peaks(np.full(3, 440 * 2 ** (0.255 / 12)), np.ones(3)), 2)
        0.25
    """
    if not len(frequency):
        return 0.0
    strong = frequency[strength >= median(strength[None])]
    residual = np.mod(12 * np.log2(strong / 27.5), 1.0)
    residual[residual >= 0.5] -= 1.0
    edges = np.linspace(-0.5, 0.5, 101)
    # as numpy.histogram does, which spends more time on its arguments
    step = np.minimum((residual + 0.5) * 100, 99).astype(np.intp)
    step -= residual < edges[step]
    step += residual >= edges[step + 1]
    counts = np.bincount(step, minlength=100)
    return float(edges[counts.argmax()])


def mean_tuning(frequency: Floats, strength: Floats) -> float:
    """Tuning as the mean direction of the deviations from the nearest semitone, which are angles.

    `tuning = arg(0.1 + Σ_i exp(2πi d_i) / n) / 2π`, where `d_i` are the deviations of the `n` peaks that are
    at least as strong as the median. If there is no tuning, the sum is near 0 and the tuning near 0. A small
    change of the sound changes it little, whereas the most frequent deviation (`tuning_from_peaks`) jumps.

    Args:
        frequency: Hz, shape `(peaks,)`.
        strength: power, shape `(peaks,)`.

    Returns:
        A fraction of a semitone in [-0.5, 0.5), rounded to 0.01. 0 if there is no peak.

    Example:
        >>> mean_tuning(440 * 2 ** (np.array([0.24, 1.26]) / 12), np.ones(2))
        0.23
    """
    if not len(frequency):
        return 0.0
    strong = frequency[strength >= median(strength[None])]
    turns = np.mod(12 * np.log2(strong / 27.5), 1.0)
    direction = NO_TUNING + np.exp(2j * np.pi * turns).mean()
    tuning = round(float(np.angle(direction)) / (2 * np.pi), 2)
    return tuning if tuning < 0.5 else -0.5


def spectral_peaks(spectrum: Spectrum) -> tuple[Floats, Floats]:
    """Frequencies (Hz) and strengths (power) of the interpolated peaks of all frames, each of shape
    `(peaks,)`.

    Source:
        The non-zero entries of `librosa.piptrack(S=power)`. Only if a spectrum is flat (an impulse), librosa
        also finds peaks in its rounding noise.
    """
    power = spectrum.power
    low, high = pitch_bins(sample_rate=spectrum.sample_rate, n_fft=spectrum.n_fft)
    least = PEAK_SHARE * power.max(axis=0)
    searched = power[low - 1 : high + 1]
    loud = np.where(searched > least, searched, 0.0)
    centre = loud[1:-1]
    rises = centre > loud[:-2] * PEAK_MARGIN
    does_not_rise_further = centre * PEAK_MARGIN >= loud[2:]
    bins, frames = np.nonzero(rises & does_not_rise_further)
    bins += low
    below = power[bins - 1, frames]
    here = power[bins, frames]
    above = power[bins + 1, frames]
    curvature = above + below - 2 * here
    slope = (above - below) / 2
    is_curved = np.abs(slope) < np.abs(curvature)
    zeros = np.zeros_like(slope)
    shift = np.divide(-slope, curvature, out=zeros, where=is_curved)
    position = bins + shift
    frequency: Floats = position * float(spectrum.sample_rate) / spectrum.n_fft
    height = here + 0.5 * slope * shift
    return frequency, height


def pitch_bins(*, sample_rate: int, n_fft: int) -> tuple[int, int]:
    """Bins of the search for peaks: the first, and the last + 1. Each of them has two neighbours.

    Args:
        sample_rate: Hz.
        n_fft: samples in a frame.

    Example:
        >>> pitch_bins(sample_rate=22050, n_fft=2048)
        (14, 372)
    """
    step = sample_rate / n_fft
    low, high = (int(np.ceil(limit / step)) for limit in PITCH_RANGE_HZ)
    return max(1, low), min(n_fft // 2, high)


@lru_cache(maxsize=128)
def chroma_filterbank(*, sample_rate: int, n_fft: int, tuning: float) -> Floats:
    """Weights from bins to twelve pitch classes: Gaussian bumps that fade out far from the middle octaves.

    Args:
        sample_rate: Hz.
        n_fft: samples in a frame.
        tuning: fraction of a semitone.

    Returns:
        Shape `(12, n_fft // 2 + 1)`, read-only, starting at C.

    Source:
        Equal to `librosa.filters.chroma` (float32, there as here) to the last bit.
    """
    bins = np.linspace(0, sample_rate, n_fft, endpoint=False)
    frequencies = bins[1:]
    reference = 440.0 * 2.0 ** (tuning / 12) / 16
    semitones = 12 * np.log2(frequencies / reference)
    below_bin_1 = semitones[0] - 18.0  # 0 Hz is placed 1.5 octaves below bin 1
    semitones = np.concatenate([[below_bin_1], semitones])
    semitones = semitones[: n_fft // 2 + 2]
    width = np.maximum(np.diff(semitones), 1.0)
    semitones = semitones[:-1]
    pitch_classes = np.arange(12.0)[:, None]
    distance = np.remainder(semitones - pitch_classes + 126.0, 12.0) - 6.0
    relative_distance = 2 * distance / width
    bumps = np.exp(-0.5 * relative_distance**2)
    norm = np.sum(bumps**2, axis=0) ** 0.5
    bumps /= norm
    octaves_from_middle = semitones / 12 - 5.0
    bumps *= np.exp(-0.5 * (octaves_from_middle / 2.0) ** 2)
    from_c = np.roll(bumps, -3, axis=0)
    weights: Floats = from_c.astype(np.float32).astype(np.float64)
    weights.flags.writeable = False
    return weights


def chroma(spectrum: Spectrum, *, tuning: float) -> Floats:
    """Chroma: strength of the twelve pitch classes C, C#, … B. The strongest of a frame is 1.

    `chroma[c, t] = raw[c, t] / max_c raw[c, t]` with `raw = chroma_filterbank @ power`

    Args:
        spectrum: power of shape `(bins, frames)`.
        tuning: fraction of a semitone.

    Returns:
        Shape `(12, frames)`, in [0, 1]. A silent frame gives 0.

    Source:
        Equal to `librosa.feature.chroma_stft(S=power, tuning=tuning)` within 1e-10.
    """
    filters = chroma_filterbank(sample_rate=spectrum.sample_rate, n_fft=spectrum.n_fft, tuning=tuning)
    raw = filters @ spectrum.power
    return _divide(raw, raw.max(axis=0))


def tonnetz(chroma: Floats) -> Floats:
    """Tonnetz: centroid of the chroma on the circles of fifths, minor thirds and major thirds, x and y of
    each.

    `tonnetz[d, t] = Σ_c phi[d, c] chroma[c, t] / Σ_c chroma[c, t]`

    Args:
        chroma: shape `(12, frames)`, >= 0.

    Returns:
        Shape `(6, frames)`, in [-1, 1]. A silent frame gives 0.

    Source:
        Harte, Sandler & Gasser 2006. Equal to `librosa.feature.tonnetz(chroma=chroma)` within 1e-12.
    """
    turns = np.array([7 / 6, 7 / 6, 3 / 2, 3 / 2, 2 / 3, 2 / 3])
    radii = np.array([1, 1, 1, 1, 0.5, 0.5])
    angles = np.multiply.outer(turns, np.arange(12.0))
    angles[::2] -= 0.5
    phi = radii[:, None] * np.cos(np.pi * angles)
    shares = _divide(chroma, chroma.sum(axis=0))
    centroid: Floats = phi @ shares
    return centroid


def _divide(values: Floats, length: Floats) -> Floats:
    """Values divided by a length per frame; unchanged if the length is zero."""
    quotient: Floats = values / np.where(length < TINY, 1.0, length)
    return quotient
