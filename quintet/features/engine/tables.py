"""The tables that the kernels work from: made once for each setting, from the definitions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from quintet.audio.mel import mel_filterbank
from quintet.audio.spectrum import Spectrum
from quintet.features.descriptors import cepstral, spectral, tonal
from quintet.features.engine.kernels.fourier import FourierPlan, can_transform, fourier_plan
from quintet.features.engine.kernels.frames import FIRST_CONTRAST, Bands, Request, Workspace
from quintet.features.engine.kernels.simd import lane_rows


@dataclass(frozen=True, slots=True)
class MelBands:
    """A mel filterbank by its settings; see `audio.mel.mel_filterbank`."""

    n_mels: int
    fmin: float = 0.0
    fmax: float | None = None


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one pass over the frames of a clip is to measure.

    Args:
        sample_rate: Hz.
        n_fft: samples in a frame, even.
        hop_length: samples between frames.
        filterbanks: any number.
        contrast: number of octaves and lowest edge in Hz, as `spectral.spectral_contrast` takes them; None for none.
        roll_percent: as `spectral.spectral_rolloff` takes it.
        peak_stride: spectral peaks are looked for in every so many-th frame; 0 for none.
        flatness: whether it is wanted.
    """

    sample_rate: int
    n_fft: int
    hop_length: int
    filterbanks: tuple[MelBands, ...] = ()
    contrast: tuple[int, float] | None = None
    roll_percent: float = 0.85
    peak_stride: int = 0
    flatness: bool = True

    @property
    def bins(self) -> int:
        """Bins of a spectrum."""
        return self.n_fft // 2 + 1

    @property
    def step_hz(self) -> float:
        """Distance of two bins."""
        return self.sample_rate / self.n_fft

    @property
    def n_contrast(self) -> int:
        """Contrast bands, the one below the lowest octave included."""
        return 0 if self.contrast is None else self.contrast[0] + 1

    @property
    def rows(self) -> int:
        """Series that the first pass writes, but for the filterbanks."""
        return FIRST_CONTRAST + 2 * self.n_contrast

    @property
    def bands(self) -> int:
        """Bands of all filterbanks."""
        return sum(bank.n_mels for bank in self.filterbanks)


@lru_cache(maxsize=16)
def kernel_request(measurement: Measurement) -> Request:
    """The same for the kernels: filterbanks without their zeros, bands as bins."""
    m = measurement
    filters = [
        mel_filterbank(
            sample_rate=m.sample_rate, n_fft=m.n_fft, n_mels=bank.n_mels, fmin=bank.fmin, fmax=bank.fmax
        )
        for bank in m.filterbanks
    ]
    return Request(
        bands=sparse(np.concatenate([np.zeros((0, m.bins)), *filters])),
        contrast=_contrast(m),
        rolloff=m.roll_percent,
        peaks=np.array(
            [*tonal.pitch_bins(sample_rate=m.sample_rate, n_fft=m.n_fft), m.peak_stride]
            if m.peak_stride
            else [0, 0, 1]
        ),
        flatness=m.flatness,
    )


def find_fourier_plan(n_fft: int) -> FourierPlan | None:
    """The tables of the transform in lanes; None for lengths that it cannot do."""
    return fourier_plan(n_fft) if can_transform(n_fft) else None


def workspace(n_fft: int, hop_length: int) -> Workspace:
    """Memory for eight frames."""
    bins = n_fft // 2 + 1
    padded = np.zeros(7 * hop_length + n_fft, np.float32)
    singles = (lane_rows(rows, np.float32) for rows in (bins, bins, 4 * bins))
    return Workspace(padded, lane_rows(n_fft), lane_rows(bins), *singles)


def sparse(filters: NDArray[np.float64]) -> Bands:
    """Filters, shape `(bands, bins)`, without the zeros before their first weight and after their last.

    Example:
        >>> sparse(np.array([[0.0, 1.0, 2.0, 0.0], [0.0, 0.0, 0.0, 3.0]])).weights.tolist()
        [1.0, 2.0, 3.0]
    """
    some = (filters != 0).any(axis=1)
    first = np.where(some, (filters != 0).argmax(axis=1), 0)
    last = np.where(some, filters.shape[1] - (filters[:, ::-1] != 0).argmax(axis=1), 0)
    weights = [row[a:b] for row, a, b in zip(filters, first, last, strict=True)]
    offset = np.concatenate([[0], np.cumsum(last - first)[:-1]]) if len(filters) else np.zeros(0)
    return Bands(
        first.astype(np.int64),
        last.astype(np.int64),
        offset.astype(np.int64),
        np.concatenate([np.zeros(0), *weights]).astype(np.float32),
    )


def _contrast(m: Measurement) -> NDArray[np.int64]:
    if m.contrast is None:
        return np.zeros((0, 3), np.int64)
    frequencies_only = Spectrum(np.zeros((m.bins, 0)), m.sample_rate, m.n_fft, m.hop_length)
    bands = spectral.contrast_bands(frequencies_only, n_bands=m.contrast[0], fmin=m.contrast[1])
    return np.array([[band.start, band.stop, share] for band, share in bands], np.int64)


@lru_cache(maxsize=128)
def chroma_weights(*, sample_rate: int, n_fft: int, tuning: float) -> NDArray[np.float32]:
    """`tonal.chroma_filterbank`, transposed: shape `(bins, 12)`."""
    return np.ascontiguousarray(
        tonal.chroma_filterbank(sample_rate=sample_rate, n_fft=n_fft, tuning=tuning).T, np.float32
    )


@lru_cache(maxsize=8)
def cosine_weights(n_mels: int, n_mfcc: int) -> NDArray[np.float64]:
    """`cepstral.mfcc` as a matrix, shape `(n_mels, n_mfcc filled up with zeros to a multiple of four)`."""
    weights = np.zeros((n_mels, -(-n_mfcc // 4) * 4))
    weights[:, :n_mfcc] = cepstral.mfcc(np.eye(n_mels), n_mfcc=n_mfcc).T
    return weights
