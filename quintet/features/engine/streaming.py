"""Description of long recordings, stretch by stretch: in little memory, with the numbers of the whole
recording at once.

A recording is read twice. The first sweep computes what needs all of it: the mean spectrum, from which the
masking floor follows (without one the loudest values, below which 80 dB are looked at), the tuning, the means
of the samples. With these values, the second sweep computes the
series, some hundred frames at a time, by the same kernels as for a whole clip, so that every frame has the
same numbers to the last bit. Only the series are kept. The statistics are computed for one series after the
other.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from quintet.audio.clip import Clip, require_sound_in_blocks
from quintet.audio.mel import compress_mel_power, mel_power, preemphasis
from quintet.audio.reading.probe import is_long
from quintet.audio.reading.recording import Recording
from quintet.audio.resample import resample_blocks
from quintet.audio.spectrum import Spectrum, require_frame, spectrum_from_frames
from quintet.features.analysis import WHOLE, Analysis
from quintet.features.columns import select_groups
from quintet.features.describe import Description, describe_analysis
from quintet.features.descriptors import cepstral, modulation, parts, rhythm, tonal
from quintet.features.descriptors.masking_floor import STRIDE, bandwidth_bins, masking_floor
from quintet.features.engine import passes
from quintet.features.engine.analysis import (
    CompiledAnalysis,
    log_mel_floor,
    log_mel_from_series,
    log_mel_measurement,
    plan_measurement,
    power_to_measure,
    shares_spectrum,
)
from quintet.features.engine.kernels.lanes import LANES
from quintet.features.engine.moments import RowMoments
from quintet.features.engine.passes import ClipTotals, FrameSeries
from quintet.features.engine.streamed_moments import SampleTotals
from quintet.features.engine.stretches import Blocks, Stretch, cut_frames, stretches
from quintet.features.engine.warm_up import kernels_available
from quintet.features.parameters import FeatureParameters, LogMelParameters
from quintet.features.statistics import Moments

Floats = NDArray[np.float64]

STRETCH = 1 << 19
"""Samples that are described at a time."""

SAMPLES = ("temporal.signal", "temporal.amplitude")
"""Groups whose series are the samples: only sums are kept."""

SOURCE_SERIES = {
    "cepstral.delta": "cepstral.mfcc",
    "cepstral.delta2": "cepstral.mfcc",
    "tonal.tonnetz": "tonal.chroma",
    "rhythm.tempo": "rises",
    "rhythm.onset": "rises",
    "modulation.band": "bands",
    "covariance.band": "bands",
    "parts.harmonic": "coarse",
    "parts.percussive": "coarse",
    "parts.share": "coarse",
}
"""Series that is kept for a group, if it is not the group's own: `rises` are those of the mel bands from
frame to frame, `bands` the wide mel bands, `coarse` every fourth frame of the narrow ones.
"""


def should_stream(
    path: str | os.PathLike[str],
    parameters: FeatureParameters,
    *,
    log_mel: bool,
    start_s: float = 0.0,
    end_s: float | None = None,
) -> bool:
    """Whether `describe_recording` should describe a file.

    The file must be long, the kernels available, and `n_fft` of the spectrogram even.

    Args:
        path: the file.
        parameters: settings of the features.
        log_mel: whether the spectrogram is requested.
        start_s: begin of the clip in the file, seconds.
        end_s: end of the clip in the file, seconds. None is the end of the file.
    """
    if log_mel and parameters.log_mel.n_fft % 2:
        return False
    return kernels_available() and is_long(path, start_s=start_s, end_s=end_s)


def describe_recording(
    recording: Recording, parameters: FeatureParameters, *, log_mel: bool = False, name: str = ""
) -> Description:
    """Features of a recording and, if requested, its log-mel spectrogram, without ever holding its samples.

    Args:
        recording: at `parameters.sample_rate`.
        parameters: settings of the features. A spectrogram must have an even `n_fft`.
        log_mel: whether to compute the spectrogram too. It is float16, the precision in which it is stored.
        name: name of the recording in messages.

    Raises:
        AudioError: as `load_clip` and `describe`.

    Source:
        Equal to `describe(load_clip(…).clip, …)` to the last bit. Only the moments of the samples, which are
        sums in another order, are equal within 1e-9.

    Example:
        >>> import soundfile, tempfile
        >>> path = tempfile.mkdtemp() + "/tone.wav"
        >>> soundfile.write(path, np.sin(2 * np.pi * 440 * np.arange(44100) / 22050), 22050)
        >>> parameters = FeatureParameters(feature_set="bahuleyan2018")
        >>> row = describe_recording(Recording(path, sample_rate=22050), parameters).features
        >>> len(row), round(row["temporal.signal.std"], 3)
        (97, 0.707)
    """
    analysis = StreamedAnalysis(recording, parameters, with_log_mel=log_mel, name=name)
    return describe_analysis(analysis, parameters, log_mel=log_mel)


class StretchAnalysis(CompiledAnalysis):
    """Analysis of a stretch of a recording whose totals are known.

    Args:
        stretch: the frames.
        parameters: settings of the features.
        totals: of the whole recording.
        variance: of all its samples.
        floor: its masking floor, shape `(bins,)`.
        with_log_mel: whether the first pass computes the bands of the log-mel spectrogram too.
    """

    def __init__(
        self,
        stretch: Stretch,
        parameters: FeatureParameters,
        totals: ClipTotals,
        *,
        variance: float,
        floor: Floats,
        with_log_mel: bool,
    ) -> None:
        self.stretch = stretch
        self.parameters = parameters
        self.totals = totals
        self.variance = variance
        self.floor = floor
        self.measurement = plan_measurement(parameters, with_log_mel)


class SeriesBuffer:
    """Series that grow, in memory that is allocated once.

    Args:
        length: largest number of values of each series.
    """

    def __init__(self, length: int) -> None:
        self.length = length
        self.filled = 0
        self.memory: Floats | None = None

    def add(self, values: Floats) -> None:
        """Append values of shape `(count, n)` or `(n,)`."""
        rows = np.atleast_2d(values)
        if self.memory is None:
            self.memory = np.empty((len(rows), self.length))
        end = self.filled + rows.shape[1]
        self.memory[:, self.filled : end] = rows
        self.filled = end

    @property
    def rows(self) -> Floats:
        """Values so far, shape `(count, n)`."""
        return np.zeros((1, 0)) if self.memory is None else self.memory[:, : self.filled]


class StreamedAnalysis(Analysis):
    """Series and numbers of a recording that is never in memory as a whole; see `describe_recording`.

    Args:
        recording: at `parameters.sample_rate`.
        parameters: settings of the features.
        with_log_mel: whether `log_mel` will be called, so that the second sweep computes its bands too.
        name: name of the recording in messages.
    """

    autocorrelation = staticmethod(passes.mean_autocorrelation)
    median_gaps = staticmethod(passes.median_gaps)
    moments_class = RowMoments
    PARTS = ("parts.harmonic", "parts.percussive", "parts.share")

    def __init__(
        self, recording: Recording, parameters: FeatureParameters, *, with_log_mel: bool, name: str
    ) -> None:
        self.recording = recording
        self.parameters = parameters
        settings = parameters.log_mel
        self.with_log_mel = with_log_mel and shares_spectrum(parameters, settings)
        self.sample_totals = SampleTotals(_needs_median(parameters))
        self.totals, self.floor = self._first_sweep(name)
        self.variance = self.sample_totals.variance
        self.frames = 1 + self.sample_totals.count // parameters.hop_length
        self.buffers = {series: SeriesBuffer(self.frames) for series in _series_to_keep(parameters)}
        if "coarse" in self.buffers:
            self.buffers["coarse"] = SeriesBuffer(self.frames // parts.STRIDE + 1)
        shape = (self.frames, settings.n_mels) if self.with_log_mel else (0, 0)
        self.spectrogram = np.empty(shape, np.float16)
        self._second_sweep()
        self.moments = dict(zip(SAMPLES, self.sample_totals.moments(), strict=True))

    def _stretches(self, add: Callable[[NDArray[np.float32]], None]) -> Iterator[Stretch]:
        """Stretches of one sweep. `add` receives each block of samples."""

        def blocks() -> Iterator[NDArray[np.float32]]:
            for block in self.recording.blocks():
                if len(block):
                    add(block)
                    yield block

        p = self.parameters
        unit = LANES * math.lcm(p.chroma_stride, STRIDE)
        at_once = unit * max(1, STRETCH // (unit * p.hop_length))
        return stretches(
            blocks(), sample_rate=p.sample_rate, n_fft=p.n_fft, hop_length=p.hop_length, at_once=at_once
        )

    def _first_sweep(self, name: str) -> tuple[ClipTotals, Floats]:
        """Compute the totals of frames and samples, and the masking floor.

        Check that there is a sound of at least one frame.
        """
        floor_db = self.parameters.masking_floor_db
        power = power_to_measure(self.parameters)
        measurement = replace(plan_measurement(self.parameters, False), keeps_power=False)
        needs_frames = floor_db is None or measurement.peak_stride > 0
        if floor_db is not None:  # of the frames, only the tuning and the mean power are needed
            measurement = replace(measurement, filterbanks=(), contrast=None, flatness=False)
        samples = self.sample_totals

        def measured() -> Iterator[FrameSeries]:
            for part in self._stretches(samples.add_first):
                if floor_db is not None:
                    power.add(part)
                if needs_frames:
                    yield passes.measure(part, measurement)

        totals = passes.combine_stretches(measured(), self.tuning_of)
        has_sound = samples.low < 0 or samples.high > 0
        require_sound_in_blocks(0, samples.count, sound=has_sound, name=name)
        n_fft = self.parameters.n_fft
        head = np.zeros(min(samples.count, n_fft), np.float32)
        require_frame(Clip(head, self.parameters.sample_rate, name), n_fft)
        floor = np.zeros(n_fft // 2 + 1) if floor_db is None else masking_floor(power.value, floor_db)
        return totals, floor

    def _second_sweep(self) -> None:
        """Fill the buffers of the series and the spectrogram."""
        frame = 0
        last_mel_db = np.zeros((self.parameters.n_mels, 0))
        divider = parts.Divider(self.median_gaps)
        for stretch in self._stretches(self.sample_totals.add_second):
            part = StretchAnalysis(
                stretch,
                self.parameters,
                self.totals,
                variance=self.variance,
                floor=self.floor,
                with_log_mel=self.with_log_mel,
            )
            for name, buffer in self.buffers.items():
                if name == "rises":
                    mel_db = np.concatenate([last_mel_db, part.mel_db], axis=1)
                    buffer.add(rhythm.mean_rises(mel_db))
                    last_mel_db = part.mel_db[:, -1:]
                elif name == "bands":
                    buffer.add(part.bands_db)
                elif name == "coarse":  # a stretch begins at a multiple of eight frames
                    buffer.add(divider.add(part.coarse_mel_db))
                else:
                    buffer.add(np.asarray(part.series(name)))
            end = frame + stretch.frames
            if self.with_log_mel:
                log_mel = log_mel_from_series(part.frame_series, self.parameters.log_mel)
                self.spectrogram[frame:end] = log_mel.T
            frame = end
        if "coarse" in self.buffers:
            self.buffers["coarse"].add(divider.end())

    def values(self, group: str, statistics: tuple[str, ...]) -> Floats:
        """Numbers of one group, in the order of `columns.group_columns`."""
        if group in WHOLE:
            return super().values(group, statistics)
        resolution = self.resolution(group)
        results = [self.summaries(row, statistics, resolution) for row in self.rows(group)]
        return np.array([result[statistic][0] for statistic in statistics for result in results])

    def rows(self, group: str) -> Iterable[Floats | Moments]:
        """Series of a group one by one, so that no copy of all of them is needed."""
        if group in SAMPLES:
            return [self.moments[group]]
        if group == "rhythm.onset":
            return [self.onset]
        if group in self.PARTS:
            return self.parts[group]
        if group == "tonal.tonnetz":
            return tonal.tonnetz(self.buffers["tonal.chroma"].rows)
        if group in ("cepstral.delta", "cepstral.delta2"):
            order = 2 if group == "cepstral.delta2" else 1
            return (cepstral.delta(row[None], order=order)[0] for row in self.buffers["cepstral.mfcc"].rows)
        return self.buffers[group].rows

    @property
    def onset(self) -> Floats:
        """Onset strength, shape `(frames,)`."""
        p = self.parameters
        rises = self.buffers["rises"].rows[0]
        return rhythm.rises_at_frames(rises, n_fft=p.n_fft, hop_length=p.hop_length, frames=self.frames)

    @property
    def bands_db(self) -> Floats:
        """Wide mel bands for modulation and covariance, dB."""
        return self.buffers["bands"].rows

    @cached_property
    def parts(self) -> dict[str, Floats]:
        """As that of a recording in memory, from the powers that the second sweep has divided."""
        series = parts.part_levels(self.buffers["coarse"].rows, top_db=self.top_db)
        return dict(zip(self.PARTS, series, strict=True))

    def fluctuations(self) -> Floats:
        """Fluctuation pattern, shape `(n_bands, n_rates)`, computed band by band."""
        p = self.parameters
        frame_rate = p.sample_rate / p.hop_length
        patterns = []
        for row in self.bands_db:
            pattern = modulation.fluctuation_pattern(
                row[None], frame_rate=frame_rate, n_rates=p.n_rates, limits_hz=p.modulation_hz
            )
            patterns.append(pattern)
        return np.concatenate(patterns)

    def log_mel(self, settings: LogMelParameters) -> NDArray[np.floating]:
        """Log-mel spectrogram, float16, from the second sweep. Another transform needs its own sweep."""
        if self.with_log_mel:
            return self.spectrogram.T

        def sweep(at_once: int) -> Iterator[Stretch]:
            source_rate = self.recording.sample_rate
            blocks: Blocks = resample_blocks(
                self.recording.blocks(), orig_sr=source_rate, target_sr=settings.sample_rate
            )
            if settings.pre_emphasis:
                blocks = _preemphasise(blocks, settings.pre_emphasis)
            return stretches(
                blocks,
                sample_rate=settings.sample_rate,
                n_fft=settings.n_fft,
                hop_length=settings.hop_length,
                at_once=at_once,
            )

        if not settings.shares_transform:
            return _log_mel_by_definition(sweep, settings)
        unit = LANES * STRIDE
        at_once = unit * max(1, STRETCH // (unit * settings.hop_length))
        has_floor = settings.masking_floor_db is not None
        floor = log_mel_floor(sweep(at_once), settings) if has_floor else None
        measurement = log_mel_measurement(settings)
        pieces = []
        for stretch in sweep(at_once):
            part = log_mel_from_series(passes.measure(stretch, measurement, floor=floor), settings)
            pieces.append(part.T.astype(np.float16))
        return np.concatenate(pieces).T


def _needs_median(parameters: FeatureParameters) -> list[bool]:
    """Whether the median of each group of `SAMPLES` is selected."""
    medians: set[str] = set()
    for group, statistics in select_groups(parameters):
        if "median" in statistics:
            medians.add(group)
    return [group in medians for group in SAMPLES]


def _series_to_keep(parameters: FeatureParameters) -> list[str]:
    """Names of the series from which the selected groups are computed, without the samples."""
    groups = {group for group, _ in select_groups(parameters)}
    names = {SOURCE_SERIES.get(group, group) for group in groups.difference(SAMPLES)}
    return sorted(names)


def _log_mel_by_definition(
    sweep: Callable[[int], Iterator[Stretch]], settings: LogMelParameters
) -> NDArray[np.float16]:
    """Log-mel spectrogram by the definitions, for settings that the kernels lack.

    Args:
        sweep: gives the frames, so many at a time, from the begin each time.
        settings: of the spectrogram.
    """
    n_fft, hop_length, floor_db = settings.n_fft, settings.hop_length, settings.masking_floor_db
    at_once = STRIDE * max(1, STRETCH // (STRIDE * n_fft))

    def spectra() -> Iterator[Spectrum]:
        for stretch in sweep(at_once):
            frames = cut_frames(
                stretch.samples, stretch.first, stretch.frames, n_fft=n_fft, hop_length=hop_length
            )
            transform = spectrum_from_frames(frames, sample_rate=settings.sample_rate, hop_length=hop_length)
            yield transform.below(bandwidth_bins(n_fft, floor_db))

    floor = np.zeros(n_fft // 2 + 1)
    if floor_db is not None:
        frames_so_far = 0
        for transform in spectra():
            power = transform.subsample(STRIDE).power
            floor += power.sum(axis=1)
            frames_so_far += power.shape[1]
        floor = masking_floor(floor / frames_so_far, floor_db)
    parts = []
    for transform in spectra():
        noisy = transform.with_noise(floor)
        power = mel_power(noisy, n_mels=settings.n_mels, fmin=settings.fmin, fmax=settings.fmax)
        part = compress_mel_power(power, compression=settings.compression, floor_db=settings.floor_db)
        parts.append(part.T.astype(np.float16))
    return np.concatenate(parts).T


def _preemphasise(blocks: Blocks, coefficient: float) -> Iterator[Floats]:
    """Blocks after pre-emphasis. The last sample of each block is carried over to the next."""
    last = np.zeros(1)
    for block in blocks:
        samples = np.concatenate([last, block])
        last = samples[-1:]
        yield np.asarray(preemphasis(samples, coefficient)[1:], np.float64)
