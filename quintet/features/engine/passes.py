"""Passes over the frames by the kernels: from samples to series, eight frames at a time.

`measure` is the first pass, `chroma` the second, over all frames of a clip or over a stretch of them.
`find_peaks` is the pass over longer frames, for the key of a song.
`CompiledAnalysis` uses their results where `Analysis` computes the definitions one by one. Both give the same
numbers (within 1e-6; `tests/features/engine/test_kernels.py`). Everything between the kernels is NumPy on
arrays of shape `(series, frames)`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.fft
from numpy.typing import NDArray

from quintet.audio.mel import AMIN, power_to_db
from quintet.audio.spectrum import hann
from quintet.features.descriptors import spectral, temporal, tonal
from quintet.features.descriptors.masking_floor import STRIDE
from quintet.features.descriptors.parts import BANDS, FRAMES
from quintet.features.engine import native
from quintet.features.engine.kernels.arguments import (
    CENTROID,
    FIRST_CONTRAST,
    FLATNESS,
    MOMENT2,
    MOMENT3,
    MOMENT4,
    ROLLOFF,
    FoundPeaks,
    Output,
    Source,
)
from quintet.features.engine.kernels.lanes import LANES, lane_rows
from quintet.features.engine.stretches import Stretch, cut_frames
from quintet.features.engine.tables import (
    Measurement,
    MelBands,
    chroma_weights,
    cosine_weights,
    find_fourier_plan,
    kernel_request,
    single_fourier_plan,
    workspace,
)

Floats = NDArray[np.float64]
Peaks = tuple[Floats, Floats]
"""Frequency (Hz) and power of spectral peaks."""

BLOCK = 64
"""Frames that scipy transforms at a time; a multiple of eight."""


@dataclass(frozen=True, slots=True)
class ClipTotals:
    """Values that need all frames of a clip.

    Args:
        banks: largest power in each filterbank.
        peak: largest mean of the loudest bins of a contrast band.
        valley: largest mean of the quietest bins of a contrast band.
        tuning: as `tonal.estimate_tuning` gives it. 0 if no peaks were measured.
    """

    banks: tuple[float, ...]
    peak: float
    valley: float
    tuning: float


@dataclass(frozen=True, slots=True, eq=False)
class FrameSeries:
    """Series of a stretch: views of shape `(frames,)` or `(count, frames)`, in Hz and powers.

    Args:
        measurement: what was measured.
        rows: shape `(rows, frames rounded up to eights)`: all series except those of the filterbanks; see
            `kernels.arguments.Output`.
        bands: the series of the filterbanks, float32.
        frames: number of frames.
        peaks: frequency in Hz and power of every spectral peak, as `tonal.spectral_peaks` gives them.
        kept: power of every `measurement.peak_stride`-th frame, if it was to be kept; see
            `kernels.arguments.Output`.
    """

    measurement: Measurement
    rows: Floats
    bands: NDArray[np.float32]
    frames: int
    peaks: Peaks
    kept: NDArray[np.float32]

    def _row(self, row: int) -> Floats:
        return self.rows[row, : self.frames]

    @property
    def centroid(self) -> Floats:
        """Spectral centroid, Hz."""
        return self._row(CENTROID) * self.measurement.step_hz

    @property
    def bandwidths(self) -> Floats:
        """Spectral bandwidths of order 2, 3 and 4, shape `(3, frames)`, Hz."""
        second = np.sqrt(self._row(MOMENT2))
        third = np.cbrt(self._row(MOMENT3))
        fourth = np.sqrt(np.sqrt(self._row(MOMENT4)))
        roots = np.stack([second, third, fourth])
        return roots * self.measurement.step_hz

    @property
    def rolloff(self) -> Floats:
        """Spectral roll-off, Hz."""
        bins = np.minimum(self._row(ROLLOFF), self.measurement.bins - 1)
        return bins * self.measurement.step_hz

    @property
    def flatness(self) -> Floats:
        """Spectral flatness."""
        return np.exp(self._row(FLATNESS))

    @property
    def extremes(self) -> tuple[Floats, Floats]:
        """Means of the loudest and of the quietest bins of each contrast band, each `(bands, frames)`."""
        n = self.measurement.n_contrast
        both = self.rows[FIRST_CONTRAST : FIRST_CONTRAST + 2 * n, : self.frames]
        return both[:n], both[n:]

    def contrast(self, totals: ClipTotals | None) -> Floats:
        """`spectral.spectral_contrast` of these frames.

        Args:
            totals: of the clip that the frames belong to. None sets no limit to levels below the loudest.
        """
        peaks, valleys = (power_to_db(extremes) for extremes in self.extremes)
        if totals is not None:
            np.maximum(peaks, least_db(totals.peak), out=peaks)
            np.maximum(valleys, least_db(totals.valley), out=valleys)
        return peaks - valleys

    def power(self, bank: MelBands) -> NDArray[np.float32]:
        """Bands of a filterbank, shape `(n_mels, frames rounded up to eights)`."""
        banks = self.measurement.filterbanks
        first = sum(other.n_mels for other in banks[: banks.index(bank)])
        return self.bands[first : first + bank.n_mels]

    def decibels(
        self, bank: MelBands, *, floor: float, dtype: type[np.floating] = np.float64
    ) -> NDArray[np.floating]:
        """Bands of a filterbank in dB re 1, shape `(n_mels, frames rounded up to eights)`.

        Args:
            bank: the filterbank.
            floor: smallest power.
            dtype: float64 or float32.
        """
        power = self.power(bank)
        values = power.reshape(-1, LANES)
        if dtype == np.float64:
            result = lane_rows(len(values))
            native.decibels(values, floor, result)
            return result.reshape(power.shape)
        single = lane_rows(len(values), np.float32)
        native.decibels_single(values, floor, single)
        return single.reshape(power.shape)

    def floor_decibels(self, bank: MelBands, totals: ClipTotals | None) -> Floats:
        """Bands of a filterbank in dB re 1, at most 80 dB below the loudest value of the clip.

        Args:
            bank: the filterbank.
            totals: of the clip that the frames belong to. None sets no limit.
        """
        decibels = np.asarray(self.decibels(bank, floor=AMIN), dtype=np.float64)
        if totals is None:
            return decibels
        loudest = totals.banks[self.measurement.filterbanks.index(bank)]
        np.maximum(decibels, least_db(loudest), out=decibels)
        return decibels


def least_db(loudest: float) -> float:
    """Lowest level, dB, from the largest power."""
    return float(power_to_db(np.array([loudest]))[0]) - spectral.TOP_DB


def combine_stretches(
    parts: Iterable[FrameSeries],
    tuning_of: Callable[[Floats, Floats], float] = tonal.tuning_from_peaks,
) -> ClipTotals:
    """Totals of a clip from its measured stretches, in their order.

    Args:
        parts: the stretches.
        tuning_of: estimator of the tuning from frequencies and strengths of peaks.
    """
    banks = np.zeros(0)
    peak = valley = 0.0
    frequencies: list[Floats] = []
    heights: list[Floats] = []
    for part in parts:
        filterbanks = part.measurement.filterbanks
        loudest = np.array([part.power(bank)[:, : part.frames].max() for bank in filterbanks])
        banks = np.maximum(banks, loudest) if len(banks) else loudest
        if part.measurement.n_contrast:
            peaks, valleys = part.extremes
            peak = max(peak, float(peaks.max()))
            valley = max(valley, float(valleys.max()))
        if len(part.peaks[0]):
            frequencies.append(part.peaks[0])
            heights.append(part.peaks[1])
    tuning = 0.0
    if frequencies:
        tuning = tuning_of(np.concatenate(frequencies), np.concatenate(heights))
    return ClipTotals(tuple(banks.tolist()), peak, valley, tuning)


class MeanPower:
    """Mean power of every `masking_floor.STRIDE`-th frame of a clip, which comes in stretches.

    Args:
        n_fft: samples in a frame.
        hop_length: samples between frames.
        bandwidth: number of bins that are looked at; those above count as silent.
    """

    def __init__(self, *, n_fft: int, hop_length: int, bandwidth: int) -> None:
        self.n_fft = n_fft
        self.step = STRIDE * hop_length
        self.bandwidth = bandwidth
        self.frames = 0
        self.total = lane_rows(n_fft // 2 + 1)
        self.total[:] = 0
        self.work = workspace(n_fft, self.step)

    def add(self, stretch: Stretch) -> None:
        """Add the frames of a stretch, which has a multiple of `8 STRIDE` of them if it is not the last."""
        frames = -(-stretch.frames // STRIDE)
        for begin, source in _sources(replace(stretch, frames=frames), self.n_fft, self.step):
            native.add_power(source, frames, begin, self.bandwidth, self.work, self.total)
        self.frames += frames

    @property
    def value(self) -> Floats:
        """Mean power in each bin, shape `(bins,)`."""
        mean: Floats = self.total.sum(axis=1) / self.frames
        return mean


def measure(stretch: Stretch, measurement: Measurement, *, floor: Floats | None = None) -> FrameSeries:
    """First pass over the frames of a stretch.

    Args:
        stretch: the frames.
        measurement: what to measure.
        floor: power of the masking floor in each bin, shape `(bins,)`. The peaks are without it.
    """
    m, frames = measurement, stretch.frames
    request = kernel_request(m)
    if floor is not None:
        request = request._replace(floor=floor)
    groups = _groups(frames)
    peaks_in_frame = 1 + int(request.peaks[1] - request.peaks[0]) // 2  # of two neighbouring bins one at most
    room = frames * peaks_in_frame
    output = Output(
        series=lane_rows(m.rows * groups),
        bands=lane_rows(m.bands * groups, np.float32),
        pitches=np.empty(room),
        heights=np.empty(room),
        found=np.zeros(1, np.int64),
        kept=_room_for_power(m, frames),
    )
    work = workspace(m.n_fft, m.hop_length)
    for begin, source in _sources(stretch, m.n_fft, m.hop_length):
        native.measure(source, frames, begin, request, work, output)
    count = output.found[0]
    return FrameSeries(
        m,
        rows=output.series.reshape(m.rows, groups * LANES),
        bands=output.bands.reshape(m.bands, groups * LANES),
        frames=frames,
        peaks=(output.pitches[:count] * m.step_hz, output.heights[:count].copy()),
        kept=output.kept,
    )


def _room_for_power(m: Measurement, frames: int) -> NDArray[np.float32]:
    """Memory for the power that is kept: `kernels.arguments.Output.kept`.

    Frames that fill the last group of eight are kept, too. There is room for them, since eight kept frames
    span a multiple of eight frames.
    """
    if not m.keeps_power:
        return lane_rows(0, np.float32)
    groups = _groups(-(-frames // m.peak_stride))
    kept = lane_rows(groups * m.bins, np.float32)
    kept[-m.bins :] = 0  # frames that fill the last group
    return kept


def chroma(series: FrameSeries, tuning: float) -> Floats:
    """`tonal.chroma` of the frames whose power was kept, shape `(12, frames)`.

    Args:
        series: measured frames of a clip, or of a stretch.
        tuning: of the whole clip, as `ClipTotals.tuning`.
    """
    m = series.measurement
    frames = -(-series.frames // m.peak_stride)
    groups = _groups(frames)
    weights = chroma_weights(sample_rate=m.sample_rate, n_fft=m.n_fft, tuning=tuning)
    result = lane_rows(12 * groups)
    native.chroma(series.kept, weights, result)
    return result.reshape(12, groups * LANES)[:, :frames]


def find_peaks(
    stretch: Stretch, *, n_fft: int, hop_length: int, bins: tuple[int, int], share: float
) -> FoundPeaks:
    """Peaks of the power of every frame: bins above their lower and not below their upper neighbour.

    Args:
        stretch: the frames.
        n_fft: samples in a frame, a power of two from 64 on.
        hop_length: samples between frames.
        bins: first bin of the search, at least 1, and last bin + 1, at most `n_fft / 2`.
        share: a peak has more than this share of the largest power among its frame's bins of the search and
            their two neighbours.

    Returns:
        Arrays as long as there are peaks.
    """
    room = stretch.frames * (1 + (bins[1] - bins[0]) // 2)  # of two neighbouring bins one at most
    powers = np.empty((3, room), np.float32)
    found = FoundPeaks(np.empty(room, np.int64), np.empty(room, np.int64), powers, np.zeros(1, np.int64))
    groups = _groups(stretch.frames)
    plan = single_fourier_plan(n_fft)
    source = Source(stretch.samples, stretch.first, hop_length, plan, np.empty(0), 0, groups)
    native.find_peaks(
        source, stretch.frames, *bins, share, workspace(n_fft, hop_length, dtype=np.float32), found
    )
    count = int(found.total[0])
    return FoundPeaks(found.frames[:count], found.bins[:count], powers[:, :count], found.total)


def _groups(frames: int) -> int:
    """Number of groups of eight that hold so many frames."""
    return -(-frames // LANES)


def _sources(stretch: Stretch, n_fft: int, hop_length: int) -> Iterator[tuple[int, Source]]:
    """Frames of a stretch for the kernels, each source with the group of eight in which it begins.

    One source of samples if the kernels can do the transform; otherwise spectra by scipy, `BLOCK` frames at a
    time.
    """
    plan = find_fourier_plan(n_fft)
    if plan is not None:
        groups = _groups(stretch.frames)
        yield 0, Source(stretch.samples, stretch.first, hop_length, plan, np.empty(0), 0, groups)
        return
    unused_plan = find_fourier_plan(64)
    assert unused_plan is not None
    bins = n_fft // 2 + 1
    stride = 2 * (-(-bins // 4) * 4)
    for frame in range(0, stretch.frames, BLOCK):
        count = min(BLOCK, stretch.frames - frame)
        begin = stretch.first + frame * hop_length
        windows = cut_frames(stretch.samples, begin, count, n_fft=n_fft, hop_length=hop_length)
        spectra = _spectra(windows, n_fft, stride)
        source = Source(stretch.samples, 0, hop_length, unused_plan, spectra, stride, _groups(count))
        yield frame // LANES, source


def _spectra(frames: Floats, n_fft: int, stride: int) -> Floats:
    """Spectra as pairs (re, im), one every `stride` numbers. Zeros fill up the last group of eight."""
    import scipy.fft  # takes longer to load than the features of a clip

    count, bins = len(frames), n_fft // 2 + 1
    weighted = frames * hann(n_fft)
    shape = (_groups(count) * LANES, stride // 2)
    spectra = np.zeros(shape, np.complex128)
    spectra[:count, :bins] = scipy.fft.rfft(weighted, axis=1)
    return spectra.view(np.float64).ravel()


def mfcc(mel_db: Floats, n_mfcc: int) -> Floats:
    """`cepstral.mfcc` of bands of shape `(n_mels, frames rounded up to eights)`."""
    n_mels, frames = mel_db.shape
    result = lane_rows(n_mfcc * frames // LANES)
    native.weighted_sums(mel_db.reshape(-1, LANES), cosine_weights(n_mels, n_mfcc), result)
    return result.reshape(n_mfcc, frames)


def median_gaps(levels: Floats) -> Floats:
    """`parts.median_gaps` of levels of shape `(bands, frames)`."""
    n_bands, frames = levels.shape
    groups = _groups(frames)
    missing = groups * LANES - frames
    near_bands, near_frames = BANDS // 2, FRAMES // 2
    padded = np.empty((n_bands + 2 * near_bands, frames + 2 * near_frames + missing))
    inside = padded[near_bands : near_bands + n_bands]
    inside[:, near_frames : near_frames + frames] = levels
    inside[:, :near_frames] = levels[:, :1]
    inside[:, near_frames + frames :] = levels[:, -1:]
    padded[:near_bands] = inside[0]
    padded[near_bands + n_bands :] = inside[-1]
    result = lane_rows(n_bands * groups)
    native.median_gaps(padded, result)
    return result.reshape(n_bands, groups * LANES)[:, :frames]


def waveform_frames(
    stretch: Stretch, *, frame_length: int, hop_length: int, zero: float = temporal.ZERO
) -> tuple[Floats, Floats]:
    """`temporal.zero_crossing_rate` and `temporal.rms`."""
    frames = stretch.frames
    crossings = np.empty(frames)
    energy = np.empty(frames)
    n_chunks = frames + frame_length // hop_length
    chunks = np.empty((n_chunks, 4))
    native.waveform_frames(
        stretch.samples, stretch.first, frame_length, crossings, energy, hop_length, zero, chunks
    )
    return crossings / frame_length, np.sqrt(energy / frame_length)


def mean_autocorrelation(onset: Floats, lags: int) -> Floats:
    """`rhythm.mean_autocorrelation`: over all windows of the onset strength, shape `(lags,)`."""
    size = max(64, 1 << (2 * lags - 2).bit_length())
    plan = find_fourier_plan(size)
    assert plan is not None
    window = np.zeros(size)
    window[:lags] = hann(lags)
    half, count = lags // 2, len(onset)
    series = np.zeros(count + 2 * half + size + LANES)
    series[:half] = np.linspace(0, onset[0], half, endpoint=False)
    series[half : half + count] = onset
    series[half + count : 2 * half + count] = np.linspace(0, onset[-1], half, endpoint=False)[::-1]
    lanes = lane_rows(size // 2 + 1)
    work = workspace(size, 1)
    weighting_plan = plan._replace(window=window)
    native.mean_normalised_power(series, count, weighting_plan, work, lanes)
    power = lanes.sum(axis=1)
    total = numpy.fft.irfft(power, n=size)[:lags]
    result: Floats = total / count
    return result
