"""An analysis whose series come from the kernels: the names and the numbers of `Analysis`, from one pass over the clip and a second one for the
chroma.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from quintet.audio.clip import Clip
from quintet.audio.mel import AMIN
from quintet.audio.resample import resample
from quintet.features import engine, spectral
from quintet.features.analysis import Analysis
from quintet.features.catalogue import selection
from quintet.features.parameters import FeatureParameters, LogMelParameters
from quintet.features.plan import Measurement, MelBands
from quintet.features.statistics import Moments

Array = NDArray[np.float64]


def analysis_of(clip: Clip, parameters: FeatureParameters, *, with_log_mel: bool = False) -> Analysis:
    """By the kernels where they can be had and the samples are float32, else by the definitions; the numbers are the same."""
    if clip.samples.dtype == np.float32 and engine.available():
        return CompiledAnalysis(clip, parameters, with_log_mel=with_log_mel)
    return Analysis(clip, parameters)


class CompiledAnalysis(Analysis):
    """What is computed once for a clip and shared by its descriptors, by the kernels.

    Args:
        clip: float32 samples.
        parameters: what to measure.
        with_log_mel: whether `log_mel` will be asked for, so that its bands are summed in the same pass.
    """

    autocorrelation = staticmethod(engine.mean_autocorrelation)

    def __init__(self, clip: Clip, parameters: FeatureParameters, *, with_log_mel: bool = False) -> None:
        super().__init__(Clip(np.ascontiguousarray(clip.samples), clip.sample_rate, clip.id), parameters)
        self.measurement = measurement_of(parameters, with_log_mel)

    def series(self, group: str) -> Array | Moments:
        return SERIES[group](self) if group in SERIES else super().series(group)

    @cached_property
    def measured(self) -> engine.Measured:
        return engine.measure(self.clip, self.measurement)

    def _limited(self, bank: MelBands) -> Array:
        """Bands in dB, at most 80 dB below the loudest value; shape `(n_mels, frames rounded up to eights)`."""
        decibels = self.measured.decibels(bank, floor=AMIN)
        np.maximum(decibels, decibels[:, : self.measured.frames].max() - spectral.TOP_DB, out=decibels)
        return np.asarray(decibels, dtype=np.float64)

    @cached_property
    def _mel_db_in_eights(self) -> Array:
        return self._limited(MelBands(self.parameters.n_mels))

    @cached_property
    def mel_db(self) -> Array:
        return self._mel_db_in_eights[:, : self.measured.frames]

    @cached_property
    def bands_db(self) -> Array:
        return self._limited(MelBands(self.parameters.n_bands))[:, : self.measured.frames]

    @cached_property
    def bandwidths(self) -> Array:
        return self.measured.bandwidths

    @cached_property
    def mfcc(self) -> Array:
        return engine.mfcc(self._mel_db_in_eights, self.parameters.n_mfcc)[:, : self.measured.frames]

    @cached_property
    def chroma(self) -> Array:
        p = self.parameters
        return engine.chroma(self.clip, n_fft=p.n_fft, hop_length=p.hop_length * p.chroma_stride, tuning=self.measured.tuning)

    @cached_property
    def waveform(self) -> tuple[Array, Array]:
        """Zero-crossing rate and RMS."""
        return engine.waveform_frames(self.clip.samples, frame_length=self.parameters.n_fft, hop_length=self.parameters.hop_length)

    @cached_property
    def sample_moments(self) -> tuple[Moments, Moments]:
        """Those of the samples and of their absolute values."""
        return engine.sample_moments(self.clip.samples)

    def log_mel(self, wanted: LogMelParameters) -> NDArray[np.float32]:
        if not wanted.plain:
            return super().log_mel(wanted)
        bank = MelBands(wanted.n_mels, wanted.fmin, wanted.fmax)
        floor = 10.0 ** (wanted.floor_db / 10.0)
        if bank in self.measurement.filterbanks and shares_spectrum(self.parameters, wanted):
            measured = self.measured
        else:
            samples = resample(self.clip.samples, orig_sr=self.clip.sample_rate, target_sr=wanted.sample_rate)
            own = Clip(np.ascontiguousarray(samples), wanted.sample_rate, self.clip.id)
            measured = engine.measure(own, Measurement(wanted.sample_rate, wanted.n_fft, wanted.hop_length, filterbanks=(bank,)))
        decibels = measured.decibels(bank, floor=floor, dtype=np.float32)[:, : measured.frames]
        return np.ascontiguousarray(decibels, dtype=np.float32)


SERIES: dict[str, Callable[[CompiledAnalysis], Array | Moments]] = {  # what `Analysis` would compute from its spectrum
    "temporal.amplitude": lambda a: a.sample_moments[1],
    "temporal.signal": lambda a: a.sample_moments[0],
    "temporal.zcr": lambda a: a.waveform[0],
    "temporal.rms": lambda a: a.waveform[1],
    "spectral.centroid": lambda a: a.measured.centroid,
    "spectral.contrast": lambda a: a.measured.contrast,
    "spectral.rolloff": lambda a: a.measured.rolloff,
    "spectral.flatness": lambda a: a.measured.flatness,
}


def shares_spectrum(parameters: FeatureParameters, log_mel: LogMelParameters) -> bool:
    """True where features and log-mel come from the same transform, by the kernels."""
    p, m = parameters, log_mel
    return m.plain and (p.sample_rate, p.n_fft, p.hop_length) == (m.sample_rate, m.n_fft, m.hop_length)


@lru_cache(maxsize=16)
def measurement_of(parameters: FeatureParameters, with_log_mel: bool) -> Measurement:
    """What the first pass must measure so that the groups that were chosen can be computed."""
    p, m = parameters, parameters.log_mel
    groups = {group for group, _ in selection(p)}
    families = {group.partition(".")[0] for group in groups}
    banks = [MelBands(p.n_mels)] if families & {"cepstral", "rhythm"} else []
    banks += [MelBands(p.n_bands)] if families & {"modulation", "covariance"} else []
    banks += [MelBands(m.n_mels, m.fmin, m.fmax)] if with_log_mel and shares_spectrum(p, m) else []
    return Measurement(
        sample_rate=p.sample_rate,
        n_fft=p.n_fft,
        hop_length=p.hop_length,
        filterbanks=tuple(dict.fromkeys(banks)),
        contrast=(p.n_contrast_bands, p.contrast_fmin) if "spectral.contrast" in groups else None,
        roll_percent=p.roll_percent,
        peak_stride=p.chroma_stride if "tonal" in families else 0,
    )
