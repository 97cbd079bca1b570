"""Tables for the kernels: computed from the definitions, once for each setting."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from quintet.audio.mel import mel_filterbank
from quintet.audio.spectrum import Spectrum
from quintet.features.descriptors import cepstral, spectral, tonal
from quintet.features.engine.kernels.arguments import FIRST_CONTRAST, Bands, Request, Workspace
from quintet.features.engine.kernels.lanes import lane_rows
from quintet.features.engine.kernels.plans import FourierPlan, can_transform, fourier_plan


@dataclass(frozen=True, slots=True)
class MelBands:
    """Settings of a mel filterbank; see `audio.mel.mel_filterbank`.

    Args:
        n_mels: number of bands.
        fmin: lowest edge, Hz.
        fmax: highest edge, Hz. None is half the sample rate.
    """

    n_mels: int
    fmin: float = 0.0
    fmax: float | None = None


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one pass over the frames of a clip measures.

    Args:
        sample_rate: Hz.
        n_fft: samples in a frame, even.
        hop_length: samples between frames.
        filterbanks: any number of mel filterbanks.
        contrast: number of octaves and lowest edge in Hz, as in `spectral.spectral_contrast`. None measures
            no contrast.
        roll_percent: as in `spectral.spectral_rolloff`.
        peak_stride: distance of the frames in which spectral peaks are searched. 0 searches none.
        keeps_power: whether the power of these frames is kept, from which `passes.chroma` follows.
        flatness: whether to measure the flatness.
        bandwidth: number of bins that are looked at; those above count as silent. None is all.
    """

    sample_rate: int
    n_fft: int
    hop_length: int
    filterbanks: tuple[MelBands, ...] = ()
    contrast: tuple[int, float] | None = None
    roll_percent: float = 0.85
    peak_stride: int = 0
    keeps_power: bool = False
    flatness: bool = True
    bandwidth: int | None = None

    @property
    def bins(self) -> int:
        """Bins of a spectrum."""
        return self.n_fft // 2 + 1

    @property
    def step_hz(self) -> float:
        """Distance of two bins, Hz."""
        return self.sample_rate / self.n_fft

    @property
    def n_contrast(self) -> int:
        """Contrast bands, including the band below the lowest octave."""
        return 0 if self.contrast is None else self.contrast[0] + 1

    @property
    def rows(self) -> int:
        """Series that the first pass writes, without those of the filterbanks."""
        return FIRST_CONTRAST + 2 * self.n_contrast

    @property
    def bands(self) -> int:
        """Bands of all filterbanks."""
        return sum(bank.n_mels for bank in self.filterbanks)


@lru_cache(maxsize=16)
def kernel_request(measurement: Measurement) -> Request:
    """The measurement for the kernels: filterbanks without their zeros, bands as bins."""
    m = measurement
    filters = [np.zeros((0, m.bins))]
    for bank in m.filterbanks:
        edges = {"fmin": bank.fmin, "fmax": bank.fmax}
        filters.append(mel_filterbank(sample_rate=m.sample_rate, n_fft=m.n_fft, n_mels=bank.n_mels, **edges))
    return Request(
        bands=sparse(np.concatenate(filters)),
        contrast=_contrast_bins(m),
        rolloff=m.roll_percent,
        peaks=_peak_search(m),
        stride=max(1, m.peak_stride),
        flatness=m.flatness,
        bandwidth=m.bins if m.bandwidth is None else m.bandwidth,
        floor=np.zeros(m.bins),
    )


def _peak_search(m: Measurement) -> NDArray[np.int64]:
    """First bin and last bin + 1; no bins if no peaks are searched."""
    if not m.peak_stride:
        return np.array([0, 0])
    return np.array(tonal.pitch_bins(sample_rate=m.sample_rate, n_fft=m.n_fft))


def _contrast_bins(m: Measurement) -> NDArray[np.int64]:
    """First bin, last bin + 1 and number of the extreme bins of each contrast band, shape `(bands, 3)`."""
    if m.contrast is None:
        return np.zeros((0, 3), np.int64)
    no_frames = np.zeros((m.bins, 0))
    frequencies_only = Spectrum(no_frames, m.sample_rate, m.n_fft, m.hop_length)
    n_bands, fmin = m.contrast
    bands = spectral.contrast_bands(frequencies_only, n_bands=n_bands, fmin=fmin)
    rows = [(band.start, band.stop, share) for band, share in bands]
    return np.array(rows, np.int64)


def find_fourier_plan(n_fft: int) -> FourierPlan | None:
    """Tables of the transform by the kernels; None if they cannot do this length."""
    return fourier_plan(n_fft) if can_transform(n_fft) else None


@lru_cache(maxsize=4)
def single_fourier_plan(n_fft: int) -> FourierPlan:
    """Tables of the transform in float32, of a length that the kernels can do."""
    plan = fourier_plan(n_fft)
    return FourierPlan(
        window=plan.window.astype(np.float32),
        roots=plan.roots.astype(np.float32),
        order=plan.order,
        turns=plan.turns.astype(np.float32),
    )


def workspace(n_fft: int, hop_length: int, dtype: type[np.floating] = np.float64) -> Workspace:
    """Memory for eight frames, with points and power of a type."""
    bins = n_fft // 2 + 1
    return Workspace(
        padded=np.zeros(7 * hop_length + n_fft, np.float32),
        points=lane_rows(n_fft, dtype),
        power=lane_rows(bins, dtype),
        single=lane_rows(bins, np.float32),
        magnitude=lane_rows(bins, np.float32),
        rest=lane_rows(4 * bins, np.float32),
    )


def sparse(filters: NDArray[np.float64]) -> Bands:
    """Filters, shape `(bands, bins)`, without the zeros before their first weight and after their last.

    Example:
        >>> sparse(np.array([[0.0, 1.0, 2.0, 0.0], [0.0, 0.0, 0.0, 3.0]])).weights.tolist()
        [1.0, 2.0, 3.0]
    """
    nonzero = filters != 0
    has_weights = nonzero.any(axis=1)
    zeros_before = nonzero.argmax(axis=1)
    zeros_after = nonzero[:, ::-1].argmax(axis=1)
    first = np.where(has_weights, zeros_before, 0)
    last = np.where(has_weights, filters.shape[1] - zeros_after, 0)
    weights = [row[a:b] for row, a, b in zip(filters, first, last, strict=True)]
    lengths = last - first
    offset = np.cumsum(lengths) - lengths
    return Bands(
        first=first.astype(np.int64),
        last=last.astype(np.int64),
        offset=offset.astype(np.int64),
        weights=np.concatenate([np.zeros(0), *weights]).astype(np.float32),
    )


@lru_cache(maxsize=128)
def chroma_weights(*, sample_rate: int, n_fft: int, tuning: float) -> NDArray[np.float32]:
    """`tonal.chroma_filterbank`, transposed: shape `(bins, 12)`."""
    filters = tonal.chroma_filterbank(sample_rate=sample_rate, n_fft=n_fft, tuning=tuning)
    return np.ascontiguousarray(filters.T, np.float32)


@lru_cache(maxsize=8)
def cosine_weights(n_mels: int, n_mfcc: int) -> NDArray[np.float64]:
    """`cepstral.mfcc` as a matrix `(n_mels, n_mfcc)`, with columns of zeros up to a multiple of four."""
    weights = np.zeros((n_mels, -(-n_mfcc // 4) * 4))
    weights[:, :n_mfcc] = cepstral.mfcc(np.eye(n_mels), n_mfcc=n_mfcc).T
    return weights
