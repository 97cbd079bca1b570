"""The compiled way from samples to series: what the definitions say, eight frames at a time.

`measure` runs the first pass, `chroma` the second; `CompiledAnalysis` puts their results where `Analysis` would compute the definitions one by
one. Both give the same numbers (within 1e-10; `tests/features/test_kernels.py`). Everything between the kernels is NumPy on arrays of shape
`(series, frames)`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from numba.core.errors import NumbaError
from numpy.typing import NDArray

from quintet.audio.clip import Clip
from quintet.audio.mel import AMIN, power_to_db
from quintet.audio.spectrum import framed, hann, require_frame
from quintet.features import kernels, spectral, tonal
from quintet.features.compilation import COMPILES, FOLDER, announce, compile_once, is_compiled
from quintet.features.kernels import FIRST_CONTRAST, Output
from quintet.features.lanes import LANES, lane_rows
from quintet.features.plan import Measurement, MelBands, chroma_weights, cosine_weights, plan_of, request_of, workspace
from quintet.features.statistics import Moments, median

Array = NDArray[np.float64]

BLOCK = 64
"""Frames that are transformed at a time where scipy does it; a multiple of eight."""


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """The series of one clip; views of shape `(frames,)` or `(count, frames)`, in Hz and powers.

    Args:
        measurement: what was asked for.
        rows: shape `(rows, frames rounded up to eights)`: all series; see `kernels.Output`.
        frames: how many there are.
        tuning: as `tonal.estimate_tuning` gives it; 0 where no peaks were asked for.
    """

    measurement: Measurement
    rows: Array
    frames: int
    tuning: float

    @property
    def centroid(self) -> Array:
        return self.rows[kernels.CENTROID, : self.frames] * self.measurement.step_hz

    @property
    def bandwidths(self) -> Array:
        moments = self.rows[kernels.MOMENT2 : kernels.MOMENT4 + 1, : self.frames]
        return np.stack([np.sqrt(moments[0]), np.cbrt(moments[1]), np.sqrt(np.sqrt(moments[2]))]) * self.measurement.step_hz

    @property
    def rolloff(self) -> Array:
        return np.minimum(self.rows[kernels.ROLLOFF, : self.frames], self.measurement.bins - 1) * self.measurement.step_hz

    @property
    def flatness(self) -> Array:
        return np.exp(self.rows[kernels.FLATNESS, : self.frames])

    @property
    def contrast(self) -> Array:
        n = self.measurement.n_contrast
        both = self.rows[FIRST_CONTRAST : FIRST_CONTRAST + 2 * n, : self.frames]
        return power_to_db(both[:n], top_db=spectral.TOP_DB) - power_to_db(both[n:], top_db=spectral.TOP_DB)

    def decibels(self, bank: MelBands, *, floor: float, dtype: type[np.floating] = np.float64) -> NDArray[np.floating]:
        """The bands of a filterbank in dB re 1, shape `(n_mels, frames rounded up to eights)`."""
        banks = self.measurement.filterbanks
        first = FIRST_CONTRAST + 2 * self.measurement.n_contrast + sum(other.n_mels for other in banks[: banks.index(bank)])
        power = self.rows[first : first + bank.n_mels]
        result = lane_rows(power.size // LANES, dtype)
        kernels.decibels(power.reshape(-1, LANES), floor, result)
        return result.reshape(power.shape)


def measure(clip: Clip, measurement: Measurement) -> Measured:
    """The first pass over a clip, whose samples are float32 and contiguous.

    Raises:
        TooShortError: if the clip is shorter than one frame.
    """
    require_frame(clip, measurement.n_fft)
    m, request = measurement, request_of(measurement)
    frames = 1 + len(clip.samples) // m.hop_length
    groups = -(-frames // LANES)
    room = frames * (1 + int(request.peaks[1] - request.peaks[0]) // 2)  # of two neighbouring bins only one is a peak
    output = Output(lane_rows(m.rows * groups), np.empty(room), np.empty(room), np.zeros(1, np.int64))
    work = workspace(m.n_fft, m.hop_length)
    plan = plan_of(m.n_fft)
    if plan is not None:
        kernels.measure_frames(clip.samples, m.hop_length, plan, request, work, output)
    else:
        for group, spectra in _spectra(clip, m.n_fft, m.hop_length):
            kernels.measure_spectra(spectra, _stride(m.n_fft), frames, group, request, work, output)
    peaks = output.found[0]
    tuning = tonal.tuning_of_peaks(output.pitches[:peaks] * m.step_hz, output.heights[:peaks]) if m.peak_stride else 0.0
    return Measured(m, output.series.reshape(m.rows, groups * LANES), frames, tuning)


def chroma(clip: Clip, *, n_fft: int, hop_length: int, tuning: float) -> Array:
    """The second pass: `tonal.chroma`, shape `(12, frames)`."""
    frames = 1 + len(clip.samples) // hop_length
    groups = -(-frames // LANES)
    weights = chroma_weights(sample_rate=clip.sample_rate, n_fft=n_fft, tuning=tuning)
    result, work, plan = lane_rows(12 * groups), workspace(n_fft, hop_length), plan_of(n_fft)
    if plan is not None:
        kernels.chroma_frames(clip.samples, hop_length, plan, weights, work, result)
    else:
        for group, spectra in _spectra(clip, n_fft, hop_length):
            kernels.chroma_spectra(spectra, _stride(n_fft), group, weights, work, result)
    return result.reshape(12, groups * LANES)[:, :frames]


def _stride(n_fft: int) -> int:
    """Numbers from one spectrum to the next: complex bins, filled up to a multiple of four."""
    return 2 * (-(-(n_fft // 2 + 1) // 4) * 4)


def _spectra(clip: Clip, n_fft: int, hop_length: int) -> Iterator[tuple[int, Array]]:
    """Spectra by scipy, `BLOCK` frames at a time, with the group of eight frames at which they begin."""
    import scipy.fft  # takes longer to load than the features of a clip

    frames = framed(clip, frame_length=n_fft, hop_length=hop_length, mode="constant")
    for first in range(0, len(frames), BLOCK):
        some = frames[first : first + BLOCK]
        spectra = np.zeros((-(-len(some) // LANES) * LANES, _stride(n_fft) // 2), np.complex128)
        spectra[: len(some), : n_fft // 2 + 1] = scipy.fft.rfft(some * hann(n_fft), axis=1)
        yield first // LANES, spectra.view(np.float64).ravel()


def mfcc(mel_db: Array, n_mfcc: int) -> Array:
    """`cepstral.mfcc` of bands of shape `(n_mels, frames rounded up to eights)`."""
    n_mels, frames = mel_db.shape
    result = lane_rows(n_mfcc * frames // LANES)
    kernels.weighted_sums(mel_db.reshape(-1, LANES), cosine_weights(n_mels, n_mfcc), result)
    return result.reshape(n_mfcc, frames)


def waveform_frames(samples: NDArray[np.float32], *, frame_length: int, hop_length: int) -> tuple[Array, Array]:
    """`temporal.zero_crossing_rate` and `temporal.rms`."""
    frames = 1 + len(samples) // hop_length
    crossings, energy = np.empty(frames), np.empty(frames)
    kernels.waveform_frames(samples, frame_length, crossings, energy, hop_length)
    return crossings / frame_length, np.sqrt(energy / frame_length)


class SampleMoments(Moments):
    """Moments of a waveform, or of its absolute value, without a copy of it in float64.

    Args:
        samples: shape `(n,)`, float32: the values themselves (so the absolute ones where they are meant).
        central: mean, m2, m3, m4.
    """

    def __init__(self, samples: NDArray[np.float32], central: Array) -> None:
        self.samples = samples
        self.central = central

    @cached_property
    def rows(self) -> Array:  # type: ignore[override]
        return self.samples[None].astype(np.float64)

    @cached_property
    def mean(self) -> Array:
        return self.central[:1]

    @cached_property
    def smallest(self) -> Array:
        return np.array([self.samples.min()], np.float64)

    @cached_property
    def largest(self) -> Array:
        return np.array([self.samples.max()], np.float64)

    @cached_property
    def median(self) -> Array:
        return median(self.samples[None])

    def moment(self, order: int) -> Array:
        return self.central[order - 1 : order]


def sample_moments(samples: NDArray[np.float32]) -> tuple[SampleMoments, SampleMoments]:
    """Those of the samples, and those of their absolute values."""
    n = len(samples)
    mean, mean_of_absolute = (total / n for total in kernels.sums(samples))
    powers = kernels.power_sums(samples, mean, mean_of_absolute) / n
    return SampleMoments(samples, np.array([mean, *powers[:3]])), SampleMoments(np.abs(samples), np.array([mean_of_absolute, *powers[3:]]))


def mean_autocorrelation(onset: Array, lags: int) -> Array:
    """`rhythm.mean_autocorrelation`: over all windows of the onset strength, shape `(lags,)`."""
    size = max(64, 1 << (2 * lags - 2).bit_length())
    plan = plan_of(size)
    assert plan is not None
    window = np.zeros(size)
    window[:lags] = hann(lags)
    padded = np.pad(onset, lags // 2, mode="linear_ramp", end_values=0)
    series = np.concatenate([padded, np.zeros(size + LANES)])
    total = lane_rows(size // 2 + 1)
    kernels.mean_normalised_power(series, len(onset), plan._replace(window=window), workspace(size, 1), total)
    result: Array = np.fft.irfft(total.sum(axis=1), n=size)[:lags] / len(onset)
    return result


@cache
def available() -> bool:
    """True where the kernels can be used. Loads them all, or compiles them where this machine has not done so yet; asked again it only answers.

    Where numba cannot build them (an unknown processor, its compiler switched off) one line says so, and the definitions do the work.
    """
    if not COMPILES:
        return False
    try:
        compile_once(_call_every_kernel, FOLDER)
    except (NumbaError, AttributeError, TypeError, RuntimeError) as error:  # the last three: another numba than those we know
        announce(f"the feature kernels cannot be compiled here, so features take about ten times as long ({type(error).__name__})")
        return False
    return True


def _call_every_kernel() -> None:
    """Each kernel once, with the types with which it is always called: that is what makes numba load or compile it."""
    clip = Clip(np.linspace(-1, 1, 256, dtype=np.float32), 8000)
    bank = MelBands(2)
    measured = measure(clip, Measurement(8000, 64, 32, filterbanks=(bank,), contrast=(1, 1000.0), peak_stride=1))
    chroma(clip, n_fft=64, hop_length=32, tuning=0.0)
    _call_the_kernels_for_other_lengths(measured.measurement)
    measured.decibels(bank, floor=AMIN, dtype=np.float32)
    mfcc(np.asarray(measured.decibels(bank, floor=AMIN), np.float64), 2)
    waveform_frames(clip.samples, frame_length=64, hop_length=32)
    sample_moments(clip.samples)
    mean_autocorrelation(np.ones(8), 4)


def _call_the_kernels_for_other_lengths(m: Measurement) -> None:
    """Those that take spectra, with eight empty ones."""
    spectra, work = np.zeros(LANES * _stride(m.n_fft)), workspace(m.n_fft, m.hop_length)
    output = Output(lane_rows(m.rows), np.empty(0), np.empty(0), np.zeros(1, np.int64))
    kernels.measure_spectra(spectra, _stride(m.n_fft), LANES, 0, request_of(m), work, output)
    weights = chroma_weights(sample_rate=m.sample_rate, n_fft=m.n_fft, tuning=0.0)
    kernels.chroma_spectra(spectra, _stride(m.n_fft), 0, weights, work, lane_rows(12))


def _keep_memory() -> None:
    """Teaches the C library that blocks of some megabytes come and go here, so that it keeps the memory of one clip for the next.

    Fresh memory comes page by page, and a third of a clip's time went into that. glibc raises its thresholds when a block of up to 32 MB is given
    back (mallopt(3), "dynamic mmap threshold"); elsewhere this does nothing. The block itself is never touched, so it takes no memory.
    """
    np.empty(31 << 20, np.uint8)


_keep_memory()
if is_compiled(FOLDER):  # so that the first clip costs no more than the others
    available()
