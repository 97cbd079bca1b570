"""The compiled way from samples to series: what the definitions say, eight frames at a time.

`measure` runs the first pass, `chroma` the second, over all frames of a clip or a stretch of them; `CompiledAnalysis` puts their results where
`Analysis` would compute the definitions one by one. Both give the same numbers (within 1e-6; `tests/features/engine/test_kernels.py`). Everything
between the kernels is NumPy on arrays of shape `(series, frames)`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import numpy.fft
import numpy.ma  # numba asks whether an array is one of these; loaded here, the first clip costs no more than the others
from numba.core.errors import NumbaError
from numpy.typing import NDArray

from quintet.audio.clip import Clip
from quintet.audio.mel import AMIN, power_to_db
from quintet.audio.spectrum import hann, require_frame
from quintet.features.descriptors import spectral, tonal
from quintet.features.engine.kernel_cache import FOLDER, JIT_ENABLED, announce, compile_once, is_compiled
from quintet.features.engine.kernels import frames as kernels
from quintet.features.engine.kernels import series as series_kernels
from quintet.features.engine.kernels import waveform as waveform_kernels
from quintet.features.engine.kernels.frames import FIRST_CONTRAST, Output
from quintet.features.engine.kernels.simd import LANES, lane_rows
from quintet.features.engine.streamed_moments import in_memory_median
from quintet.features.engine.tables import (
    Measurement,
    MelBands,
    chroma_weights,
    cosine_weights,
    find_fourier_plan,
    kernel_request,
    workspace,
)
from quintet.features.statistics import Moments

Array = NDArray[np.float64]

BLOCK = 64
"""Frames that are transformed at a time where scipy does it; a multiple of eight."""


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """Frames that follow each other, of a clip or of a piece of it: frame `i` begins at sample `first + i * hop`; beyond both ends lie zeros.

    Args:
        samples: shape `(n,)`, float32, contiguous; with at least one sample before each frame that is not the clip's first.
        sample_rate: Hz.
        first: may be negative.
        frames: how many there are.
    """

    samples: NDArray[np.float32]
    sample_rate: int
    first: int
    frames: int


def clip_stretch(clip: Clip, *, n_fft: int, hop_length: int) -> Stretch:
    """All frames of a clip, frame `i` being centred on sample `i * hop_length`.

    Raises:
        TooShortError: if the clip is shorter than one frame.
    """
    require_frame(clip, n_fft)
    return Stretch(
        np.ascontiguousarray(clip.samples, np.float32),
        clip.sample_rate,
        -(n_fft // 2),
        1 + len(clip.samples) // hop_length,
    )


@dataclass(frozen=True, slots=True)
class ClipTotals:
    """What the frames of a clip can only be told together.

    Args:
        banks: the largest power in each filterbank.
        peak: the largest mean of the loudest bins of a contrast band.
        valley: that of the quietest ones.
        tuning: as `tonal.estimate_tuning` gives it; 0 where no peaks were asked for.
    """

    banks: tuple[float, ...]
    peak: float
    valley: float
    tuning: float


@dataclass(frozen=True, slots=True, eq=False)
class FrameSeries:
    """The series of a stretch; views of shape `(frames,)` or `(count, frames)`, in Hz and powers.

    Args:
        measurement: what was asked for.
        rows: shape `(rows, frames rounded up to eights)`: all series but those of the filterbanks; see `kernels.Output`.
        bands: the same of the filterbanks, float32.
        frames: how many there are.
        peaks: frequency in Hz and power of every spectral peak, as `tonal.spectral_peaks` gives them.
    """

    measurement: Measurement
    rows: Array
    bands: NDArray[np.float32]
    frames: int
    peaks: tuple[Array, Array]

    @property
    def centroid(self) -> Array:
        return self.rows[kernels.CENTROID, : self.frames] * self.measurement.step_hz

    @property
    def bandwidths(self) -> Array:
        moments = self.rows[kernels.MOMENT2 : kernels.MOMENT4 + 1, : self.frames]
        return (
            np.stack([np.sqrt(moments[0]), np.cbrt(moments[1]), np.sqrt(np.sqrt(moments[2]))])
            * self.measurement.step_hz
        )

    @property
    def rolloff(self) -> Array:
        return (
            np.minimum(self.rows[kernels.ROLLOFF, : self.frames], self.measurement.bins - 1)
            * self.measurement.step_hz
        )

    @property
    def flatness(self) -> Array:
        return np.exp(self.rows[kernels.FLATNESS, : self.frames])

    @property
    def extremes(self) -> tuple[Array, Array]:
        """Means of the loudest and of the quietest bins of each contrast band."""
        n = self.measurement.n_contrast
        both = self.rows[FIRST_CONTRAST : FIRST_CONTRAST + 2 * n, : self.frames]
        return both[:n], both[n:]

    def contrast(self, whole: ClipTotals) -> Array:
        """`spectral.spectral_contrast` of a clip of which these frames are a part."""
        peaks, valleys = (power_to_db(extremes) for extremes in self.extremes)
        np.maximum(peaks, least_db(whole.peak), out=peaks)
        return peaks - np.maximum(valleys, least_db(whole.valley), out=valleys)

    def power(self, bank: MelBands) -> NDArray[np.float32]:
        """The bands of a filterbank, shape `(n_mels, frames rounded up to eights)`."""
        banks = self.measurement.filterbanks
        first = sum(other.n_mels for other in banks[: banks.index(bank)])
        return self.bands[first : first + bank.n_mels]

    def decibels(
        self, bank: MelBands, *, floor: float, dtype: type[np.floating] = np.float64
    ) -> NDArray[np.floating]:
        """The same in dB re 1."""
        power = self.power(bank)
        result = lane_rows(power.size // LANES, dtype)
        in_decibels = series_kernels.decibels if dtype == np.float64 else series_kernels.decibels_single
        in_decibels(power.reshape(-1, LANES), floor, result)
        return result.reshape(power.shape)

    def floor_decibels(self, bank: MelBands, whole: ClipTotals) -> Array:
        """The same, at most 80 dB below the loudest value of the clip of which these frames are a part."""
        decibels = self.decibels(bank, floor=AMIN)
        np.maximum(decibels, least_db(whole.banks[self.measurement.filterbanks.index(bank)]), out=decibels)
        return np.asarray(decibels, dtype=np.float64)


def least_db(loudest: float) -> float:
    """The limit under which nothing lies, from the largest power."""
    return float(power_to_db(np.array([loudest]))[0]) - spectral.TOP_DB


def combine_stretches(parts: Iterable[FrameSeries]) -> ClipTotals:
    """What the measured stretches of a clip, in their order, say together."""
    banks, peak, valley, peaks = np.zeros(0), 0.0, 0.0, []
    for part in parts:
        loudest = np.array(
            [part.power(bank)[:, : part.frames].max() for bank in part.measurement.filterbanks]
        )
        banks = np.maximum(banks, loudest) if len(banks) else loudest
        if part.measurement.n_contrast:
            peak, valley = (
                max(old, float(new.max())) for old, new in zip((peak, valley), part.extremes, strict=True)
            )
        if len(part.peaks[0]):
            peaks.append(part.peaks)
    tuning = (
        tonal.tuning_from_peaks(*(np.concatenate(values) for values in zip(*peaks, strict=True)))
        if peaks
        else 0.0
    )
    return ClipTotals(tuple(banks.tolist()), peak, valley, tuning)


def measure(stretch: Stretch, measurement: Measurement) -> FrameSeries:
    """The first pass over the frames of a stretch."""
    m, request, frames = measurement, kernel_request(measurement), stretch.frames
    groups = -(-frames // LANES)
    room = frames * (
        1 + int(request.peaks[1] - request.peaks[0]) // 2
    )  # of two neighbouring bins only one is a peak
    output = Output(
        lane_rows(m.rows * groups),
        lane_rows(m.bands * groups, np.float32),
        np.empty(room),
        np.empty(room),
        np.zeros(1, np.int64),
    )
    work = workspace(m.n_fft, m.hop_length)
    for begin, source in _sources(stretch, m.n_fft, m.hop_length):
        kernels.measure(source, frames, begin, request, work, output)
    found = output.found[0]
    peaks = output.pitches[:found] * m.step_hz, output.heights[:found].copy()
    return FrameSeries(
        m,
        output.series.reshape(m.rows, groups * LANES),
        output.bands.reshape(m.bands, groups * LANES),
        frames,
        peaks,
    )


def chroma(stretch: Stretch, *, n_fft: int, hop_length: int, tuning: float) -> Array:
    """The second pass: `tonal.chroma`, shape `(12, frames)`."""
    frames = stretch.frames
    groups = -(-frames // LANES)
    weights = chroma_weights(sample_rate=stretch.sample_rate, n_fft=n_fft, tuning=tuning)
    result, work = lane_rows(12 * groups), workspace(n_fft, hop_length)
    for begin, source in _sources(stretch, n_fft, hop_length):
        kernels.chroma(source, begin, weights, work, result)
    return result.reshape(12, groups * LANES)[:, :frames]


def _sources(stretch: Stretch, n_fft: int, hop_length: int) -> Iterator[tuple[int, kernels.Source]]:
    """The frames of a stretch for the kernels, with the group of eight with which each source begins: the samples where the lanes can transform them,
    else spectra by scipy, `BLOCK` frames at a time.
    """
    plan = find_fourier_plan(n_fft)
    if plan is not None:
        groups = -(-stretch.frames // LANES)
        yield 0, kernels.Source(stretch.samples, stretch.first, hop_length, plan, np.empty(0), 0, groups)
        return
    import scipy.fft  # takes longer to load than the features of a clip

    some_plan = find_fourier_plan(64)  # not used
    assert some_plan is not None
    bins = n_fft // 2 + 1
    stride = 2 * (-(-bins // 4) * 4)
    for frame in range(0, stretch.frames, BLOCK):
        count = min(BLOCK, stretch.frames - frame)
        groups = -(-count // LANES)
        begin = stretch.first + frame * hop_length
        end = begin + (count - 1) * hop_length + n_fft
        inside = stretch.samples[max(begin, 0) : max(end, 0)].astype(np.float64)
        padded = np.pad(inside, (max(-begin, 0), max(end - max(begin, 0) - len(inside), 0)))
        some = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::hop_length]
        spectra = np.zeros((groups * LANES, stride // 2), np.complex128)
        spectra[:count, :bins] = scipy.fft.rfft(some * hann(n_fft), axis=1)
        yield (
            frame // LANES,
            kernels.Source(
                stretch.samples, 0, hop_length, some_plan, spectra.view(np.float64).ravel(), stride, groups
            ),
        )


def mfcc(mel_db: Array, n_mfcc: int) -> Array:
    """`cepstral.mfcc` of bands of shape `(n_mels, frames rounded up to eights)`."""
    n_mels, frames = mel_db.shape
    result = lane_rows(n_mfcc * frames // LANES)
    series_kernels.weighted_sums(mel_db.reshape(-1, LANES), cosine_weights(n_mels, n_mfcc), result)
    return result.reshape(n_mfcc, frames)


def waveform_frames(stretch: Stretch, *, frame_length: int, hop_length: int) -> tuple[Array, Array]:
    """`temporal.zero_crossing_rate` and `temporal.rms`."""
    crossings, energy = np.empty(stretch.frames), np.empty(stretch.frames)
    chunks = np.empty((stretch.frames + frame_length // hop_length, 4))
    waveform_kernels.waveform_frames(
        stretch.samples, stretch.first, frame_length, crossings, energy, hop_length, chunks
    )
    return crossings / frame_length, np.sqrt(energy / frame_length)


class RowMoments(Moments):
    """Moments of series, found in one go.

    Args:
        rows: shape `(count, n)` or `(n,)`, float64.
    """

    def __init__(self, rows: Array) -> None:
        super().__init__(np.ascontiguousarray(rows, np.float64))
        self.table = np.empty((len(self.rows), 6))
        series_kernels.row_moments(self.rows.reshape(-1), self.rows.shape[1], self.table)

    @cached_property
    def mean(self) -> Array:
        return self.table[:, 0]

    @cached_property
    def smallest(self) -> Array:
        return self.table[:, 1]

    @cached_property
    def largest(self) -> Array:
        return self.table[:, 2]

    def moment(self, order: int) -> Array:
        return self.table[:, order + 1]


class SampleMoments(Moments):
    """Moments of a waveform, without a copy of it in float64.

    Args:
        samples: shape `(n,)`, float32.
        central: mean, m2, m3, m4.
        ends: the least and the largest sample.
    """

    def __init__(self, samples: NDArray[np.float32], central: Array, ends: tuple[float, float]) -> None:
        self.samples = samples
        self.central = central
        self.ends = ends

    @cached_property
    def rows(self) -> Array:  # type: ignore[override]
        return self.samples[None].astype(np.float64)

    @cached_property
    def mean(self) -> Array:
        return self.central[:1]

    @cached_property
    def smallest(self) -> Array:
        return np.array([self.ends[0]])

    @cached_property
    def largest(self) -> Array:
        return np.array([self.ends[1]])

    @cached_property
    def median(self) -> Array:
        return np.array([in_memory_median(self.samples)])

    def moment(self, order: int) -> Array:
        return self.central[order - 1 : order]


class AbsoluteMoments(SampleMoments):
    """Moments of the absolute values of a waveform, which are formed only where they are needed one by one.

    Args:
        signal: the moments of the waveform itself.
        central: mean, m2, m3, m4 of the absolute values.
    """

    def __init__(self, signal: SampleMoments, central: Array) -> None:
        self.signal = signal
        self.central = central

    @cached_property
    def samples(self) -> NDArray[np.float32]:  # type: ignore[override]
        return np.abs(self.signal.samples)

    @cached_property
    def median(self) -> Array:
        return np.array([in_memory_median(self.signal.samples, of_absolute=True)])

    @cached_property
    def smallest(self) -> Array:
        return np.array([self.samples.min()], np.float64)

    @cached_property
    def largest(self) -> Array:
        return self.signal.magnitude

    @cached_property
    def magnitude(self) -> Array:
        return self.signal.magnitude


def sample_moments(samples: NDArray[np.float32]) -> tuple[SampleMoments, SampleMoments]:
    """Those of the samples, and those of their absolute values."""
    n = len(samples)
    total, total_of_absolute, least, largest = waveform_kernels.sums(samples)
    mean, mean_of_absolute, powers = total / n, total_of_absolute / n, np.empty(6)
    waveform_kernels.power_sums(samples, mean, mean_of_absolute, powers)
    powers /= n
    signal = SampleMoments(samples, np.array([mean, *powers[:3]]), (least, largest))
    return signal, AbsoluteMoments(signal, np.array([mean_of_absolute, *powers[3:]]))


def mean_autocorrelation(onset: Array, lags: int) -> Array:
    """`rhythm.mean_autocorrelation`: over all windows of the onset strength, shape `(lags,)`."""
    size = max(64, 1 << (2 * lags - 2).bit_length())
    plan = find_fourier_plan(size)
    assert plan is not None
    window = np.zeros(size)
    window[:lags] = hann(lags)
    padded = np.pad(onset, lags // 2, mode="linear_ramp", end_values=0)
    series = np.concatenate([padded, np.zeros(size + LANES)])
    total = lane_rows(size // 2 + 1)
    series_kernels.mean_normalised_power(
        series, len(onset), plan._replace(window=window), workspace(size, 1), total
    )
    result: Array = numpy.fft.irfft(total.sum(axis=1), n=size)[:lags] / len(onset)
    return result


@cache
def kernels_available() -> bool:
    """True where the kernels can be used. Loads them all, or compiles them where this machine has not done so yet; asked again it only answers.

    Where numba cannot build them (an unknown processor, its compiler switched off) one line says so, and the definitions do the work.
    """
    if not JIT_ENABLED:
        return False
    try:
        compile_once(_call_every_kernel, FOLDER)
    except (
        NumbaError,
        AttributeError,
        TypeError,
        RuntimeError,
    ) as error:  # the last three: another numba than those we know
        announce(
            f"the feature kernels cannot be compiled here, so features take about ten times as long ({type(error).__name__})"
        )
        return False
    return True


def _call_every_kernel() -> None:
    """Each kernel once, with the types with which it is always called: that is what makes numba load or compile it."""
    clip = Clip(np.linspace(-1, 1, 256, dtype=np.float32), 8000)
    bank = MelBands(2)
    stretch = clip_stretch(clip, n_fft=64, hop_length=32)
    measured = measure(
        stretch, Measurement(8000, 64, 32, filterbanks=(bank,), contrast=(1, 1000.0), peak_stride=1)
    )
    chroma(stretch, n_fft=64, hop_length=32, tuning=0.0)
    measured.decibels(bank, floor=AMIN, dtype=np.float32)
    mfcc(np.asarray(measured.decibels(bank, floor=AMIN), np.float64), 2)
    waveform_frames(stretch, frame_length=64, hop_length=32)
    sample_moments(clip.samples)[1].median.sum()
    RowMoments(np.ones((1, 9)))
    mean_autocorrelation(np.ones(8), 4)


def _keep_memory() -> None:
    """Teaches the C library that blocks of some megabytes come and go here, so that it keeps the memory of one clip for the next.

    Fresh memory comes page by page, and a third of a clip's time went into that. glibc raises its thresholds when a block of up to 32 MB is given
    back (mallopt(3), "dynamic mmap threshold"); elsewhere this does nothing. The block itself is never touched, so it takes no memory.
    """
    np.empty(31 << 20, np.uint8)


_keep_memory()
if is_compiled(FOLDER):  # so that the first clip costs no more than the others
    kernels_available()
