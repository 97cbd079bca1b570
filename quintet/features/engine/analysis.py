"""An analysis whose series come from the kernels: the names and the numbers of `Analysis`, from one pass over the clip and a second one for the
chroma.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from quintet.audio.clip import Clip, require_sound
from quintet.audio.resample import resample
from quintet.features.analysis import Analysis
from quintet.features.columns import selected_groups
from quintet.features.engine import passes as engine
from quintet.features.engine.tables import Measurement, MelBands
from quintet.features.parameters import FeatureParameters, LogMelParameters
from quintet.features.statistics import Moments

Array = NDArray[np.float64]

LEAST_PEAK, LARGEST_PEAK = 1e-10, 1e10
"""The largest sample of a clip of which the kernels can say something: beyond, float32 is too small for the power and its moments."""


def make_analysis(clip: Clip, parameters: FeatureParameters, *, with_log_mel: bool = False) -> Analysis:
    """By the kernels where they can be had, the samples are float32 and their power is, too; else by the definitions. The numbers are the same.

    Raises:
        SilentError, NonFiniteError: if there is nothing that could be analysed.
    """
    if clip.samples.dtype == np.float32 and len(clip.samples) and engine.kernels_available():
        compiled = CompiledAnalysis(clip, parameters, with_log_mel=with_log_mel)
        if compiled.is_ordinary:
            return compiled
    require_sound(clip.samples, name=clip.id)
    return Analysis(clip, parameters)


class CompiledAnalysis(Analysis):
    """What is computed once for a clip and shared by its descriptors, by the kernels.

    Args:
        clip: float32 samples.
        parameters: what to measure.
        with_log_mel: whether `log_mel` will be asked for, so that its bands are summed in the same pass.
    """

    autocorrelation = staticmethod(engine.mean_autocorrelation)
    moments_class = engine.RowMoments

    def __init__(self, clip: Clip, parameters: FeatureParameters, *, with_log_mel: bool = False) -> None:
        super().__init__(Clip(np.ascontiguousarray(clip.samples), clip.sample_rate, clip.id), parameters)
        self.measurement = required_measurement(parameters, with_log_mel)

    def series(self, group: str) -> Array | Moments:
        return SERIES[group](self) if group in SERIES else super().series(group)

    @property
    def is_ordinary(self) -> bool:
        """Whether all samples are numbers, and of a size of which the kernels can say something."""
        signal, amplitude = self.sample_moments
        return bool(LEAST_PEAK <= signal.magnitude[0] <= LARGEST_PEAK and np.isfinite(amplitude.mean[0]))

    @cached_property
    def stretch(self) -> engine.Stretch:
        """The frames that are analysed: all."""
        return engine.clip_stretch(
            self.clip, n_fft=self.parameters.n_fft, hop_length=self.parameters.hop_length
        )

    @cached_property
    def frame_series(self) -> engine.FrameSeries:
        return engine.measure(self.stretch, self.measurement)

    @cached_property
    def totals(self) -> engine.ClipTotals:
        """What can only be told of all frames together."""
        return engine.combine_stretches([self.frame_series])

    @cached_property
    def _mel_db_in_eights(self) -> Array:
        return self.frame_series.floor_decibels(MelBands(self.parameters.n_mels), self.totals)

    @cached_property
    def mel_db(self) -> Array:
        return self._mel_db_in_eights[:, : self.frame_series.frames]

    @cached_property
    def bands_db(self) -> Array:
        return self.frame_series.floor_decibels(MelBands(self.parameters.n_bands), self.totals)[
            :, : self.frame_series.frames
        ]

    @cached_property
    def bandwidths(self) -> Array:
        return self.frame_series.bandwidths

    @cached_property
    def mfcc(self) -> Array:
        return engine.mfcc(self._mel_db_in_eights, self.parameters.n_mfcc)[:, : self.frame_series.frames]

    @cached_property
    def chroma(self) -> Array:
        p = self.parameters
        thinned = replace(self.stretch, frames=-(-self.stretch.frames // p.chroma_stride))
        return engine.chroma(
            thinned, n_fft=p.n_fft, hop_length=p.hop_length * p.chroma_stride, tuning=self.totals.tuning
        )

    @cached_property
    def waveform(self) -> tuple[Array, Array]:
        """Zero-crossing rate and RMS."""
        return engine.waveform_frames(
            self.stretch, frame_length=self.parameters.n_fft, hop_length=self.parameters.hop_length
        )

    @cached_property
    def sample_moments(self) -> tuple[Moments, Moments]:
        """Those of the samples and of their absolute values."""
        return engine.sample_moments(self.clip.samples)

    def log_mel(self, wanted: LogMelParameters) -> NDArray[np.float32]:
        if not wanted.shares_transform:
            return super().log_mel(wanted)
        bank = bank_of(wanted)
        if bank in self.measurement.filterbanks and shares_spectrum(self.parameters, wanted):
            measured = self.frame_series
        else:
            samples = resample(self.clip.samples, orig_sr=self.clip.sample_rate, target_sr=wanted.sample_rate)
            own = engine.clip_stretch(
                Clip(samples, wanted.sample_rate, self.clip.id),
                n_fft=wanted.n_fft,
                hop_length=wanted.hop_length,
            )
            measured = engine.measure(own, log_mel_measurement(wanted))
        return np.ascontiguousarray(log_mel_from_series(measured, wanted), dtype=np.float32)


def bank_of(log_mel: LogMelParameters) -> MelBands:
    """The filterbank of a log-mel spectrogram."""
    return MelBands(log_mel.n_mels, log_mel.fmin, log_mel.fmax)


def log_mel_measurement(log_mel: LogMelParameters) -> Measurement:
    """What is measured where a log-mel spectrogram has a transform of its own."""
    return Measurement(
        log_mel.sample_rate, log_mel.n_fft, log_mel.hop_length, filterbanks=(bank_of(log_mel),)
    )


def log_mel_from_series(measured: engine.FrameSeries, log_mel: LogMelParameters) -> NDArray[np.floating]:
    """The log-mel spectrogram of the frames that were measured, float32."""
    floor = 10.0 ** (log_mel.floor_db / 10.0)
    return measured.decibels(bank_of(log_mel), floor=floor, dtype=np.float32)[:, : measured.frames]


SERIES: dict[
    str, Callable[[CompiledAnalysis], Array | Moments]
] = {  # what `Analysis` would compute from its spectrum
    "temporal.amplitude": lambda a: a.sample_moments[1],
    "temporal.signal": lambda a: a.sample_moments[0],
    "temporal.zcr": lambda a: a.waveform[0],
    "temporal.rms": lambda a: a.waveform[1],
    "spectral.centroid": lambda a: a.frame_series.centroid,
    "spectral.contrast": lambda a: a.frame_series.contrast(a.totals),
    "spectral.rolloff": lambda a: a.frame_series.rolloff,
    "spectral.flatness": lambda a: a.frame_series.flatness,
}


def shares_spectrum(parameters: FeatureParameters, log_mel: LogMelParameters) -> bool:
    """True where features and log-mel come from the same transform, by the kernels."""
    p, m = parameters, log_mel
    return m.shares_transform and (p.sample_rate, p.n_fft, p.hop_length) == (
        m.sample_rate,
        m.n_fft,
        m.hop_length,
    )


@lru_cache(maxsize=16)
def required_measurement(parameters: FeatureParameters, with_log_mel: bool) -> Measurement:
    """What the first pass must measure so that the groups that were chosen can be computed."""
    p, m = parameters, parameters.log_mel
    groups = {group for group, _ in selected_groups(p)}
    families = {group.partition(".")[0] for group in groups}
    banks = [MelBands(p.n_mels)] if families & {"cepstral", "rhythm"} else []
    banks += [MelBands(p.n_bands)] if families & {"modulation", "covariance"} else []
    banks += [bank_of(m)] if with_log_mel and shares_spectrum(p, m) else []
    return Measurement(
        sample_rate=p.sample_rate,
        n_fft=p.n_fft,
        hop_length=p.hop_length,
        filterbanks=tuple(dict.fromkeys(banks)),
        contrast=(p.n_contrast_bands, p.contrast_fmin) if "spectral.contrast" in groups else None,
        roll_percent=p.roll_percent,
        peak_stride=p.chroma_stride if "tonal" in families else 0,
        flatness="spectral.flatness" in groups,
    )
