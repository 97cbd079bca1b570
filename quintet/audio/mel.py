"""Mel bands, the only dB conversion, and the log-mel spectrogram."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from quintet.audio.spectrum import Spectrum

LINEAR_HZ = 200.0 / 3  # Hz per mel below the knee
KNEE_HZ = 1000.0
KNEE_MEL = KNEE_HZ / LINEAR_HZ
LOG_STEP = np.log(6.4) / 27.0  # natural logarithm of the ratio of two neighbouring mels above the knee
AMIN = 1e-10  # power that counts as none: -100 dB re 1
LARGEST = 65504.0  # the largest number of float16, in which spectrograms are kept


def hz_to_mel(frequency_hz: float) -> float:
    """Slaney's mel: linear up to 1000 Hz (15 mel), logarithmic above.

    Example:
        >>> round(hz_to_mel(1000.0), 9), round(hz_to_mel(6400.0), 9)
        (15.0, 42.0)
    """
    if frequency_hz >= KNEE_HZ:
        return float(KNEE_MEL + np.log(frequency_hz / KNEE_HZ) / LOG_STEP)
    return frequency_hz / LINEAR_HZ


def mel_to_hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    """The inverse of `hz_to_mel`, shape kept, Hz.

    Example:
        >>> mel_to_hz(np.array([15.0, 42.0])).round(6).tolist()
        [1000.0, 6400.0]
    """
    above_knee = KNEE_HZ * np.exp(LOG_STEP * (mel - KNEE_MEL))
    return np.where(mel >= KNEE_MEL, above_knee, LINEAR_HZ * mel)


@lru_cache(maxsize=32)
def mel_filterbank(
    *, sample_rate: int, n_fft: int, n_mels: int, fmin: float, fmax: float | None
) -> NDArray[np.float64]:
    """Triangles of equal area, evenly spaced on Slaney's mel scale.

    Args:
        sample_rate: Hz.
        n_fft: samples.
        n_mels: number of bands.
        fmin: lower edge of the first band, Hz.
        fmax: upper edge of the last band, Hz; None is `sample_rate / 2`.

    Returns:
        Shape `(n_mels, n_fft // 2 + 1)`, read-only. A band that is narrower than the distance of two bins may
        be all zeros.

    Source:
        Equal to `librosa.filters.mel` to the last bit: the weights are rounded to float32, then stored as
        float64.
    """
    top = sample_rate / 2 if fmax is None else fmax
    edges = mel_to_hz(np.linspace(hz_to_mel(fmin), hz_to_mel(top), n_mels + 2))
    ramps = edges[:, None] - np.fft.rfftfreq(n_fft, 1.0 / sample_rate)
    width = np.diff(edges)[:, None]
    rising = -ramps[:-2] / width[:-1]
    falling = ramps[2:] / width[1:]
    triangles = np.maximum(0.0, np.minimum(rising, falling)).astype(np.float32)
    triangles *= 2.0 / (edges[2:] - edges[:-2])[:, None]
    weights = triangles.astype(np.float64)
    weights.flags.writeable = False
    return weights


def mel_power(spectrum: Spectrum, *, n_mels: int, fmin: float, fmax: float | None) -> NDArray[np.float64]:
    """Power in mel bands, shape `(n_mels, frames)`: `mel_filterbank @ power`.

    Source:
        Equal to `librosa.feature.melspectrogram` within 1e-12 relative.
    """
    weights = mel_filterbank(
        sample_rate=spectrum.sample_rate, n_fft=spectrum.n_fft, n_mels=n_mels, fmin=fmin, fmax=fmax
    )
    power: NDArray[np.float64] = weights @ spectrum.power
    return power


def power_to_db(
    power: NDArray[np.float64], *, ref: float = 1.0, amin: float = AMIN, top_db: float | None = None
) -> NDArray[np.float64]:
    """Decibels: `10 log10(max(power, amin)) - 10 log10(max(ref, amin))`.

    Args:
        power: any shape, >= 0.
        ref: the power that is 0 dB.
        amin: the power that silence counts as, so that the result is finite.
        top_db: if given, nothing lies further than this below the largest value of the whole array.

    Source:
        Equal to `librosa.power_to_db` (whose default is `top_db=80`).

    Example:
        >>> power_to_db(np.array([0.0, 1.0, 100.0])).tolist()
        [-100.0, 0.0, 20.0]
    """
    decibels = 10.0 * np.log10(np.maximum(amin, power))
    if ref != 1.0:
        decibels -= 10.0 * np.log10(max(amin, ref))
    if top_db is not None:
        np.maximum(decibels, decibels.max() - top_db, out=decibels)
    return decibels


def log_mel(
    spectrum: Spectrum, *, n_mels: int, fmin: float, fmax: float | None, floor_db: float = -100.0
) -> NDArray[np.float32]:
    """Log-mel spectrogram for the networks: mel power in dB re 1.0, with a fixed floor.

    Args:
        spectrum: of a clip in [-1, 1].
        n_mels: number of bands.
        fmin: Hz.
        fmax: Hz; None is half the sample rate.
        floor_db: the lowest value, which silence gets. The reference is fixed, so that loudness is kept.

    Returns:
        Shape `(n_mels, frames)`, float32, dB.

    Source:
        Equal to `librosa.power_to_db(librosa.feature.melspectrogram(...), top_db=None)` within 1e-5 dB.
    """
    return compress_mel_power(
        mel_power(spectrum, n_mels=n_mels, fmin=fmin, fmax=fmax), compression="db", floor_db=floor_db
    )


def log_power(power: NDArray[np.float64]) -> NDArray[np.float64]:
    """`log10(1e4 · power + 1)`: logarithmic for loud sounds, linear near silence, which is 0.

    Source:
        Pons & Serra 2019 (musicnn), the input of the published networks.

    Example:
        >>> log_power(np.array([0.0, 0.0999, 1e4])).round(6).tolist()
        [0.0, 3.0, 8.0]
    """
    return np.log10(1e4 * power + 1.0)


def compress_mel_power(
    power: NDArray[np.float64], *, compression: str, floor_db: float = -100.0
) -> NDArray[np.float32]:
    """Mel power, compressed for a network.

    Args:
        power: >= 0, any shape.
        compression: `"db"` (decibels re 1.0, nothing below `floor_db`), `"log"` (`log_power`) or `"power"`
            (unchanged, at most 65504).
        floor_db: lowest value of `"db"`; the others ignore it.

    Returns:
        The same shape, float32.
    """
    if compression == "db":
        return power_to_db(power, amin=10.0 ** (floor_db / 10.0)).astype(np.float32)
    values = log_power(power) if compression == "log" else np.minimum(power, LARGEST)
    return np.asarray(values, dtype=np.float32)


def preemphasis(samples: NDArray[np.floating], coefficient: float) -> NDArray[np.floating]:
    """`y[n] = x[n] - coefficient · x[n - 1]`, with `x[-1] = 0`: high frequencies raised, the dtype kept.

    Source:
        Bahuleyan 2018, §4.1 (coefficient 0.97). Equal to `scipy.signal.lfilter([1, -coefficient], [1], x)`.

    Example:
        >>> preemphasis(np.array([1.0, 1.0, 2.0]), 0.5).tolist()
        [1.0, 0.5, 1.5]
    """
    result = samples.copy()
    result[1:] -= np.asarray(coefficient, dtype=samples.dtype) * samples[:-1]
    return result
