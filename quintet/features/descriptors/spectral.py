"""Spectral descriptors: the shape of the magnitude spectrum, frame by frame."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from quintet.audio.mel import AMIN, power_to_db
from quintet.audio.spectrum import Spectrum

TOP_DB = 80.0
"""Largest distance of a level from the loudest one of the clip, dB."""

QUANTILE = 0.02
"""Share of a band's bins that form its peak, and share that form its valley."""


def spectral_centroid(spectrum: Spectrum) -> NDArray[np.float64]:
    """Mean frequency, weighted by magnitude.

    `centroid[t] = Σ_k frequencies[k] magnitude[k, t] / Σ_k magnitude[k, t]`

    Args:
        spectrum: magnitude of shape `(bins, frames)`.

    Returns:
        Shape `(frames,)`, Hz, in [0, sample_rate / 2]. A silent frame gives 0.

    Source:
        Equal to `librosa.feature.spectral_centroid` within 1e-12 relative.

    Example:
        >>> from quintet.audio.clip import Clip
        >>> from quintet.audio.spectrum import spectrum
        >>> tone = Clip(np.sin(2 * np.pi * 440 * np.arange(22050) / 22050), sample_rate=22050)
        >>> round(float(spectral_centroid(spectrum(tone, n_fft=2048, hop_length=512))[20]))
        440
    """
    centroid: NDArray[np.float64] = spectrum.frequencies @ spectrum.magnitude / spectrum.total
    return centroid


def spectral_bandwidths(spectrum: Spectrum, *, orders: tuple[int, ...] = (2, 3, 4)) -> NDArray[np.float64]:
    """Bandwidths: deviation of the spectrum from its centroid, of several orders p.

    `bandwidth_p[t] = (Σ_k |frequencies[k] - centroid[t]|^p magnitude[k, t] / Σ_k magnitude[k, t])^(1 / p)`

    Args:
        spectrum: magnitude of shape `(bins, frames)`.
        orders: rising whole numbers, from 2 on. Each power is the one before times the deviation.

    Returns:
        Shape `(len(orders), frames)`, Hz. The bandwidth does not fall as p grows. A silent frame gives 0.

    Source:
        Each row equals `librosa.feature.spectral_bandwidth(p=p)` within 1e-10 relative. If the sound is a
        pure tone in the middle of a bin, the sum consists of the leakage of the window, 1e-5 of the tone: the
        same to 1e-10, but hardly a property of the sound. If the signal is constant, the sum consists of
        rounding noise (1e-16 of the loudest bin, times the fourth power of a thousand bins): librosa, this
        function and the kernels agree to 1e-3 only.
    """
    # shape (frames, bins), the order of the spectrum in memory
    deviation = np.abs(spectrum.frequencies - spectral_centroid(spectrum)[:, None])
    weighted = spectrum.magnitude.T * deviation
    rows = []
    for order in range(2, orders[-1] + 1):
        weighted *= deviation
        if order in orders:
            moment = weighted.sum(axis=1) / spectrum.total
            rows.append(moment ** (1.0 / order))
    return np.stack(rows)


def spectral_rolloff(spectrum: Spectrum, *, roll_percent: float) -> NDArray[np.float64]:
    """Roll-off: the lowest frequency below which a share `roll_percent` of the magnitude lies.

    `rolloff[t] = frequencies[min{k : Σ_{j<=k} magnitude[j, t] >= roll_percent Σ_j magnitude[j, t]}]`

    Args:
        spectrum: magnitude of shape `(bins, frames)`.
        roll_percent: the share, in (0, 1).

    Returns:
        Shape `(frames,)`, Hz: the frequency of a bin. A silent frame gives 0.

    Source:
        Equal to `librosa.feature.spectral_rolloff`, to the bin.
    """
    cumulated = np.cumsum(spectrum.magnitude.T, axis=1)
    reached = cumulated >= roll_percent * cumulated[:, -1:]
    rolloff: NDArray[np.float64] = spectrum.frequencies[reached.argmax(axis=1)]
    return rolloff


def spectral_contrast(
    spectrum: Spectrum, *, n_bands: int, fmin: float, top_db: float | None = TOP_DB
) -> NDArray[np.float64]:
    """Spectral contrast: level of the peaks above the valleys in octave bands.

    In band b, with the `share = max(1, rint(0.02 bins_b))` largest and smallest magnitudes of the frame:
    `contrast[b, t] = dB(mean(largest)) - dB(mean(smallest))`, in dB as for a power. Each level is at most
    `top_db` below its own largest value in the clip.

    Args:
        spectrum: magnitude of shape `(bins, frames)`.
        n_bands: octaves above `fmin`. Band 0 lies below it.
        fmin: lower edge of the first octave, Hz.
        top_db: dB. None sets no limit, for a spectrum with a masking floor.

    Returns:
        Shape `(n_bands + 1, frames)`, dB. A silent frame gives the difference of the two floors.

    Source:
        Equal to `librosa.feature.spectral_contrast` within 1e-10 relative (Jiang et al. 2002). If a resampler
        has emptied the top bins, the valley is rounding noise near the floor of 1e-10, and a transform in
        float32 gives other values.
    """
    peaks, valleys = [], []
    for band, share in contrast_bands(spectrum, n_bands=n_bands, fmin=fmin):
        bins = np.ascontiguousarray(spectrum.magnitude[band].T)
        ordered = np.sort(bins, axis=1)
        valleys.append(ordered[:, :share].mean(axis=1))
        peaks.append(ordered[:, -share:].mean(axis=1))
    peak_db = power_to_db(np.stack(peaks), top_db=top_db)
    valley_db = power_to_db(np.stack(valleys), top_db=top_db)
    return peak_db - valley_db


def contrast_bands(spectrum: Spectrum, *, n_bands: int, fmin: float) -> list[tuple[slice, int]]:
    """Bins of each octave band, and the number of bins that form a peak.

    As in librosa, a band begins one bin below its edge and ends one bin before the last that it covers. The
    last band reaches up to half the sample rate.

    Args:
        spectrum: only its frequencies are used.
        n_bands: octaves above `fmin`.
        fmin: lower edge of the first octave, Hz.
    """
    frequencies = spectrum.frequencies
    octaves = fmin * 2.0 ** np.arange(n_bands + 1)
    edges = np.concatenate([[0.0], octaves])
    bands = []
    for number, (low, high) in enumerate(pairwise(edges)):
        is_last = number == n_bands
        in_band = (frequencies >= low) & (frequencies <= high)
        inside = np.flatnonzero(in_band)
        first = int(inside[0]) - (number > 0)
        end = len(frequencies) if is_last else int(inside[-1]) + 1
        share = max(1, int(np.rint(QUANTILE * (end - first))))
        band = slice(first, end if is_last else end - 1)
        bands.append((band, share))
    return bands


def spectral_flatness(spectrum: Spectrum) -> NDArray[np.float64]:
    """Spectral flatness: geometric over arithmetic mean of the power.

    `flatness[t] = exp(mean_k log p[k, t]) / mean_k p[k, t]` with `p = max(1e-10, power)`

    Args:
        spectrum: power of shape `(bins, frames)`.

    Returns:
        Shape `(frames,)`, in (0, 1]: near 0 for a tone, about 0.56 for white noise, 1 for silence (all bins
        at the floor).

    Source:
        Equal to `librosa.feature.spectral_flatness` within 1e-12 relative.
    """
    power = np.maximum(AMIN, spectrum.power)
    geometric_mean = np.exp(np.log(power).mean(axis=0))
    flatness: NDArray[np.float64] = geometric_mean / power.mean(axis=0)
    return flatness
