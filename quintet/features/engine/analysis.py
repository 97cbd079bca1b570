"""Analysis of a clip by the kernels: the names and numbers of `Analysis`, from one pass over its frames.

`make_analysis` is the only function that other packages need: it selects the kernels or the definitions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from quintet.audio.clip import Clip, require_sound
from quintet.audio.resample import resample
from quintet.features.analysis import Analysis
from quintet.features.catalogue import feature_family
from quintet.features.columns import select_groups
from quintet.features.descriptors.masking_floor import bandwidth_bins, masking_floor
from quintet.features.engine import passes
from quintet.features.engine.moments import RowMoments, sample_moments
from quintet.features.engine.passes import ClipTotals, FrameSeries, MeanPower
from quintet.features.engine.stretches import Stretch, clip_stretch
from quintet.features.engine.tables import Measurement, MelBands
from quintet.features.engine.warm_up import kernels_available
from quintet.features.parameters import FeatureParameters, LogMelParameters
from quintet.features.statistics import Moments

Floats = NDArray[np.float64]

LEAST_PEAK, LARGEST_PEAK = 1e-10, 1e10
"""Range of a clip's largest sample for the kernels. Beyond it, float32 cannot hold the power's moments."""


def make_analysis(clip: Clip, parameters: FeatureParameters, *, with_log_mel: bool = False) -> Analysis:
    """Analysis of a clip. The numbers are the same by the kernels and by the definitions.

    The kernels are used if they are available, the samples are float32, and the power fits float32 too.

    Args:
        clip: at `parameters.sample_rate`.
        parameters: settings of the features.
        with_log_mel: whether `log_mel` will be called, so that the first pass computes its bands too.

    Raises:
        SilentError: if every sample is zero.
        NonFiniteError: if a sample is NaN or infinite.
    """
    samples = clip.samples
    if samples.dtype == np.float32 and len(samples) and kernels_available():
        compiled = CompiledAnalysis(clip, parameters, with_log_mel=with_log_mel)
        if compiled.is_in_range:
            return compiled
    require_sound(samples, name=clip.id)
    return Analysis(clip, parameters)


class CompiledAnalysis(Analysis):
    """Series and numbers of a clip, computed by the kernels.

    Args:
        clip: float32 samples.
        parameters: settings of the features.
        with_log_mel: whether `log_mel` will be called, so that the first pass computes its bands too.
    """

    autocorrelation = staticmethod(passes.mean_autocorrelation)
    median_gaps = staticmethod(passes.median_gaps)
    moments_class = RowMoments

    def __init__(self, clip: Clip, parameters: FeatureParameters, *, with_log_mel: bool = False) -> None:
        contiguous = Clip(np.ascontiguousarray(clip.samples), clip.sample_rate, clip.id)
        super().__init__(contiguous, parameters)
        self.measurement = plan_measurement(parameters, with_log_mel)

    def series(self, group: str) -> Floats | Moments:
        """Series of one group, shape `(count, n)` or `(n,)`, or its moments."""
        return SERIES[group](self) if group in SERIES else super().series(group)

    @property
    def is_in_range(self) -> bool:
        """Whether all samples are finite, and of a size for which the kernels are exact."""
        signal, amplitude = self.sample_moments
        in_range = LEAST_PEAK <= signal.magnitude[0] <= LARGEST_PEAK
        return bool(in_range and np.isfinite(amplitude.mean[0]))

    @cached_property
    def stretch(self) -> Stretch:
        """All frames of the clip."""
        p = self.parameters
        return clip_stretch(self.clip, n_fft=p.n_fft, hop_length=p.hop_length)

    @cached_property
    def variance(self) -> float:
        """Variance of the samples: the level of the clip."""
        return float(self.sample_moments[0].moment(2)[0])

    @property
    def mean_power(self) -> Floats:
        """Mean power in each bin that is described, shape `(bins,)`."""
        power = power_to_measure(self.parameters)
        power.add(self.stretch)
        return power.value

    @property
    def limits(self) -> ClipTotals | None:
        """Totals from which the lowest level follows; None if the masking floor is below all levels."""
        return self.totals if self.parameters.masking_floor_db is None else None

    @cached_property
    def frame_series(self) -> FrameSeries:
        """Result of the first pass."""
        return passes.measure(self.stretch, self.measurement, floor=self.floor)

    @cached_property
    def totals(self) -> ClipTotals:
        """Values that need all frames of the clip."""
        return passes.combine_stretches([self.frame_series], self.tuning_of)

    @cached_property
    def _mel_db_in_eights(self) -> Floats:
        """Mel bands with the number of frames rounded up to eights."""
        return self.frame_series.floor_decibels(MelBands(self.parameters.n_mels), self.limits)

    @cached_property
    def mel_db(self) -> Floats:
        """Mel bands for MFCC and onset strength, dB."""
        return self._mel_db_in_eights[:, : self.frame_series.frames]

    @cached_property
    def bands_db(self) -> Floats:
        """Wide mel bands for modulation and covariance, dB."""
        bands = self.frame_series.floor_decibels(MelBands(self.parameters.n_bands), self.limits)
        return bands[:, : self.frame_series.frames]

    @cached_property
    def bandwidths(self) -> Floats:
        """Spectral bandwidths of order 2, 3 and 4, shape `(3, frames)`, Hz."""
        return self.frame_series.bandwidths

    @cached_property
    def mfcc(self) -> Floats:
        """MFCC, shape `(n_mfcc, frames)`."""
        coefficients = passes.mfcc(self._mel_db_in_eights, self.parameters.n_mfcc)
        return coefficients[:, : self.frame_series.frames]

    @cached_property
    def chroma(self) -> Floats:
        """Chroma of every `chroma_stride`-th frame, shape `(12, frames)`."""
        return passes.chroma(self.frame_series, self.totals.tuning)

    @cached_property
    def waveform(self) -> tuple[Floats, Floats]:
        """Zero-crossing rate and RMS."""
        p = self.parameters
        return passes.waveform_frames(
            self.stretch, frame_length=p.n_fft, hop_length=p.hop_length, zero=self.zero
        )

    @cached_property
    def sample_moments(self) -> tuple[Moments, Moments]:
        """Moments of the samples and of their absolute values."""
        return sample_moments(self.clip.samples)

    def log_mel(self, settings: LogMelParameters) -> NDArray[np.floating]:
        """Log-mel spectrogram, shape `(n_mels, frames)`, from the first pass if the settings allow it."""
        if not settings.shares_transform:
            return super().log_mel(settings)
        measured = mel_bands(settings) in self.measurement.filterbanks
        if measured and shares_spectrum(self.parameters, settings):
            series = self.frame_series
        else:
            series = self._own_pass(settings)
        return np.ascontiguousarray(log_mel_from_series(series, settings), dtype=np.float32)

    def _own_pass(self, settings: LogMelParameters) -> FrameSeries:
        """First pass for a log-mel spectrogram with a transform of its own."""
        clip, rate = self.clip, settings.sample_rate
        samples = resample(clip.samples, orig_sr=clip.sample_rate, target_sr=rate)
        resampled = Clip(samples, rate, clip.id)
        stretch = clip_stretch(resampled, n_fft=settings.n_fft, hop_length=settings.hop_length)
        return passes.measure(
            stretch, log_mel_measurement(settings), floor=log_mel_floor([stretch], settings)
        )


SERIES: dict[str, Callable[[CompiledAnalysis], Floats | Moments]] = {
    "temporal.amplitude": lambda a: a.sample_moments[1],
    "temporal.signal": lambda a: a.sample_moments[0],
    "temporal.zcr": lambda a: a.waveform[0],
    "temporal.rms": lambda a: a.waveform[1],
    "spectral.centroid": lambda a: a.frame_series.centroid,
    "spectral.contrast": lambda a: a.frame_series.contrast(a.limits),
    "spectral.rolloff": lambda a: a.frame_series.rolloff,
    "spectral.flatness": lambda a: a.frame_series.flatness,
}
"""Series of the groups that `Analysis` would compute from its spectrum or from its samples."""


def mel_bands(log_mel: LogMelParameters) -> MelBands:
    """Filterbank of a log-mel spectrogram."""
    return MelBands(log_mel.n_mels, log_mel.fmin, log_mel.fmax)


def log_mel_measurement(log_mel: LogMelParameters) -> Measurement:
    """Measurement of a log-mel spectrogram that has a transform of its own."""
    return Measurement(
        log_mel.sample_rate,
        log_mel.n_fft,
        log_mel.hop_length,
        filterbanks=(mel_bands(log_mel),),
        bandwidth=bandwidth_bins(log_mel.n_fft, log_mel.masking_floor_db),
    )


def log_mel_floor(parts: Iterable[Stretch], log_mel: LogMelParameters) -> Floats | None:
    """Masking floor of a log-mel spectrogram that has a transform of its own; None if it has none.

    Args:
        parts: stretches of the clip, at the sample rate of the spectrogram.
        log_mel: settings of the spectrogram.
    """
    if log_mel.masking_floor_db is None:
        return None
    power = power_to_measure(log_mel)
    for part in parts:
        power.add(part)
    return masking_floor(power.value, log_mel.masking_floor_db)


def power_to_measure(settings: FeatureParameters | LogMelParameters) -> MeanPower:
    """The mean power from which the masking floor of some settings follows, before its first frame."""
    return MeanPower(
        n_fft=settings.n_fft,
        hop_length=settings.hop_length,
        bandwidth=bandwidth_bins(settings.n_fft, settings.masking_floor_db),
    )


def log_mel_from_series(series: FrameSeries, log_mel: LogMelParameters) -> NDArray[np.floating]:
    """Log-mel spectrogram of measured frames, shape `(n_mels, frames)`, float32."""
    floor = 10.0 ** (log_mel.floor_db / 10.0)
    decibels = series.decibels(mel_bands(log_mel), floor=floor, dtype=np.float32)
    return decibels[:, : series.frames]


def shares_spectrum(parameters: FeatureParameters, log_mel: LogMelParameters) -> bool:
    """Whether features and log-mel spectrogram come from the same transform by the kernels."""
    p, m = parameters, log_mel
    shared = (p.sample_rate, p.n_fft, p.hop_length, p.masking_floor_db)
    requested = (m.sample_rate, m.n_fft, m.hop_length, m.masking_floor_db)
    return shared == requested and m.shares_transform


@lru_cache(maxsize=16)
def plan_measurement(parameters: FeatureParameters, with_log_mel: bool) -> Measurement:
    """Measurement of the first pass from which the selected feature groups can be computed."""
    p, log_mel = parameters, parameters.log_mel
    groups = {group for group, _ in select_groups(p)}
    families = {feature_family(group) for group in groups}
    banks: list[MelBands] = []
    if families & {"cepstral", "rhythm", "parts"}:
        banks.append(MelBands(p.n_mels))
    if families & {"modulation", "covariance"}:
        banks.append(MelBands(p.n_bands))
    if with_log_mel and shares_spectrum(p, log_mel):
        banks.append(mel_bands(log_mel))
    return Measurement(
        sample_rate=p.sample_rate,
        n_fft=p.n_fft,
        hop_length=p.hop_length,
        filterbanks=tuple(dict.fromkeys(banks)),
        contrast=(p.n_contrast_bands, p.contrast_fmin) if "spectral.contrast" in groups else None,
        roll_percent=p.roll_percent,
        peak_stride=p.chroma_stride if "tonal" in families else 0,
        keeps_power="tonal" in families,
        flatness="spectral.flatness" in groups,
        bandwidth=bandwidth_bins(p.n_fft, p.masking_floor_db),
    )
