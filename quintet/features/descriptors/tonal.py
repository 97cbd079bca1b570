"""Descriptors of harmony: tuning, pitch classes, and where they lie on the circles of intervals."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from quintet.audio.spectrum import Spectrum
from quintet.features.statistics import median

PITCH_RANGE_HZ = (150.0, 4000.0)  # where spectral peaks are taken for pitches
PEAK_SHARE = 0.1  # of the frame's largest power, below which a peak is none
PEAK_MARGIN = 1 + 1e-9  # two bins that differ by less are equal: rounding makes no peaks
TINY = float(np.finfo(np.float64).tiny)


def estimate_tuning(spectrum: Spectrum) -> float:
    """How far the music lies above or below a = 440 Hz.

    Spectral peaks of the power (parabolic interpolation, 150-4000 Hz, above a tenth of the frame's maximum); of those at
    least as strong as the median, the most frequent deviation from the nearest semitone in steps of 0.01.

    Returns:
        A fraction of a semitone in [-0.5, 0.5), a multiple of 0.01. Without any peak 0.

    Source:
        Identical to `librosa.estimate_tuning(S=power)`. A tone exactly in tune lies on the border of two steps: rounding decides
        between 0.00 and -0.01 there, in librosa as here.

    Example:
        >>> from quintet.audio.clip import Clip
        >>> from quintet.audio.spectrum import spectrum
        >>> sharp = Clip(np.sin(2 * np.pi * 1760 * 2 ** (0.255 / 12) * np.arange(44100) / 22050), sample_rate=22050)
        >>> abs(estimate_tuning(spectrum(sharp, n_fft=2048, hop_length=512)) - 0.25) < 0.02
        True
    """
    return tuning_from_peaks(*spectral_peaks(spectrum))


def tuning_from_peaks(frequency: NDArray[np.float64], strength: NDArray[np.float64]) -> float:
    """`estimate_tuning` from the peaks: shape `(peaks,)` each, Hz and power. No peaks give 0.

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
    step = np.minimum((residual + 0.5) * 100, 99).astype(
        np.intp
    )  # as numpy.histogram does, which takes longer to look at its arguments
    step -= residual < edges[step]
    step += residual >= edges[step + 1]
    return float(edges[np.bincount(step, minlength=100).argmax()])


def spectral_peaks(spectrum: Spectrum) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Frequencies (Hz) and strengths (power) of the interpolated peaks of all frames, each of shape `(peaks,)`.

    Source:
        The non-zero entries of `librosa.piptrack(S=power)`; but where a spectrum is flat (an impulse), librosa takes its rounding noise for peaks.
    """
    power = spectrum.power
    low, high = pitch_bins(sample_rate=spectrum.sample_rate, n_fft=spectrum.n_fft)
    loud = power[low - 1 : high + 1]
    loud = np.where(loud > PEAK_SHARE * power.max(axis=0), loud, 0.0)
    centre = loud[1:-1]
    bins, frames = np.nonzero((centre > loud[:-2] * PEAK_MARGIN) & (centre * PEAK_MARGIN >= loud[2:]))
    bins += low
    below, here, above = power[bins - 1, frames], power[bins, frames], power[bins + 1, frames]
    curvature = above + below - 2 * here
    slope = (above - below) / 2
    shift = np.divide(-slope, curvature, out=np.zeros_like(slope), where=np.abs(slope) < np.abs(curvature))
    frequency: NDArray[np.float64] = (bins + shift) * float(spectrum.sample_rate) / spectrum.n_fft
    return frequency, here + 0.5 * slope * shift


def pitch_bins(*, sample_rate: int, n_fft: int) -> tuple[int, int]:
    """The bins in which peaks are looked for: the first, and the one after the last. Both neighbours of each exist.

    Example:
        >>> pitch_bins(sample_rate=22050, n_fft=2048)
        (14, 372)
    """
    step = sample_rate / n_fft
    low, high = (int(np.ceil(limit / step)) for limit in PITCH_RANGE_HZ)
    return max(1, low), min(n_fft // 2, high)


@lru_cache(maxsize=128)
def chroma_filterbank(*, sample_rate: int, n_fft: int, tuning: float) -> NDArray[np.float64]:
    """Weights that fold the bins onto twelve pitch classes: Gaussian bumps, faded out far from the middle octaves.

    Returns:
        Shape `(12, n_fft // 2 + 1)`, read-only, starting at C.

    Source:
        Equal to `librosa.filters.chroma` (float32, there as here) to the last bit.
    """
    frequencies = np.linspace(0, sample_rate, n_fft, endpoint=False)[1:]
    semitones = 12 * np.log2(frequencies / (440.0 * 2.0 ** (tuning / 12) / 16))
    semitones = np.concatenate([[semitones[0] - 18.0], semitones])[
        : n_fft // 2 + 2
    ]  # 0 Hz is put 1.5 octaves below bin 1
    width = np.maximum(np.diff(semitones), 1.0)
    semitones = semitones[:-1]
    distance = np.remainder(semitones - np.arange(12.0)[:, None] + 126.0, 12.0) - 6.0
    bumps = np.exp(-0.5 * (2 * distance / width) ** 2)
    bumps /= np.sum(bumps**2, axis=0) ** 0.5
    bumps *= np.exp(-0.5 * ((semitones / 12 - 5.0) / 2.0) ** 2)
    weights: NDArray[np.float64] = np.roll(bumps, -3, axis=0).astype(np.float32).astype(np.float64)
    weights.flags.writeable = False
    return weights


def chroma(spectrum: Spectrum, *, tuning: float) -> NDArray[np.float64]:
    """Strength of the twelve pitch classes C, C#, … B, the strongest of a frame being 1.

    `chroma[c, t] = raw[c, t] / max_c raw[c, t]` with `raw = chroma_filterbank @ power`

    Returns:
        Shape `(12, frames)`, in [0, 1]. A silent frame gives 0.

    Source:
        Equal to `librosa.feature.chroma_stft(S=power, tuning=tuning)` within 1e-10.
    """
    raw = (
        chroma_filterbank(sample_rate=spectrum.sample_rate, n_fft=spectrum.n_fft, tuning=tuning)
        @ spectrum.power
    )
    return _normalised(raw, raw.max(axis=0))


def tonnetz(chroma: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centroid of the chroma on the circles of fifths, minor thirds and major thirds: x and y of each.

    `tonnetz[d, t] = Σ_c phi[d, c] chroma[c, t] / Σ_c chroma[c, t]`

    Args:
        chroma: shape `(12, frames)`, >= 0.

    Returns:
        Shape `(6, frames)`, in [-1, 1]. A silent frame gives 0.

    Source:
        Harte, Sandler & Gasser 2006. Equal to `librosa.feature.tonnetz(chroma=chroma)` within 1e-12.
    """
    angles = np.multiply.outer(np.array([7 / 6, 7 / 6, 3 / 2, 3 / 2, 2 / 3, 2 / 3]), np.arange(12.0))
    angles[::2] -= 0.5
    phi = np.array([1, 1, 1, 1, 0.5, 0.5])[:, None] * np.cos(np.pi * angles)
    centroid: NDArray[np.float64] = phi @ _normalised(chroma, chroma.sum(axis=0))
    return centroid


def _normalised(values: NDArray[np.float64], length: NDArray[np.float64]) -> NDArray[np.float64]:
    normalised: NDArray[np.float64] = values / np.where(length < TINY, 1.0, length)
    return normalised
