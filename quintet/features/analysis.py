"""Analysis of a clip by the definitions: what several descriptors share is computed once.

`engine.analysis.CompiledAnalysis` computes the same numbers by the compiled kernels.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from quintet.audio import mel
from quintet.audio.clip import Clip
from quintet.audio.resample import resample
from quintet.audio.spectrum import Spectrum, spectrum
from quintet.features.descriptors import cepstral, modulation, parts, rhythm, spectral, temporal, tonal
from quintet.features.descriptors.masking_floor import (
    RESOLUTION,
    STRIDE,
    bandwidth_bins,
    masking_floor,
    silence_limit,
)
from quintet.features.parameters import FeatureParameters, LogMelParameters
from quintet.features.statistics import Moments, log_covariance, summaries

Floats = NDArray[np.float64]

COVARIANCE_FLOOR = 1.0
"""Variance that counts as none, dB²: a band that moves by less than a decibel is constant."""


class Analysis:
    """Series and numbers of a clip. Each is computed when it is first needed.

    Args:
        clip: at `parameters.sample_rate`, at least `n_fft` samples, not silent.
        parameters: settings of the features.
    """

    autocorrelation: rhythm.Autocorrelation = staticmethod(rhythm.mean_autocorrelation)
    median_gaps: parts.Gaps = staticmethod(parts.median_gaps)
    moments_class: type[Moments] = Moments

    def __init__(self, clip: Clip, parameters: FeatureParameters) -> None:
        self.clip = clip
        self.parameters = parameters

    def values(self, group: str, statistics: tuple[str, ...]) -> Floats:
        """Numbers of one group, in the order of `columns.group_columns`."""
        if group in WHOLE:
            return WHOLE[group](self, statistics)
        results = self.summaries(self.series(group), statistics, self.resolution(group))
        return np.concatenate([results[statistic] for statistic in statistics])

    def series(self, group: str) -> Floats | Moments:
        """Series of one group, shape `(count, n)` or `(n,)`."""
        return SERIES[group](self)

    def resolution(self, group: str) -> float:
        """Movement below which a series of a group counts as constant: 0 without a masking floor."""
        return 0.0 if self.parameters.masking_floor_db is None else RESOLUTION.get(group, 0.0)

    def summaries(
        self, series: Floats | Moments, statistics: tuple[str, ...], resolution: float
    ) -> dict[str, Floats]:
        """`statistics.summaries`, with the class of moments of this analysis."""
        moments = series if isinstance(series, Moments) else self.moments_class(series)
        return summaries(moments, statistics, resolution=resolution)

    @cached_property
    def spectrum(self) -> Spectrum:
        """Short-time spectrum of the clip."""
        p = self.parameters
        return spectrum(self.clip, n_fft=p.n_fft, hop_length=p.hop_length)

    @cached_property
    def variance(self) -> float:
        """Variance of the samples: the level of the clip."""
        return float(np.var(self.clip.samples, dtype=np.float64))

    @cached_property
    def floor(self) -> Floats:
        """Power of the masking floor in each bin, shape `(bins,)`; zeros if there is none."""
        floor_db = self.parameters.masking_floor_db
        if floor_db is None:
            return np.zeros(self.parameters.n_fft // 2 + 1)
        return masking_floor(self.mean_power, floor_db)

    @property
    def mean_power(self) -> Floats:
        """Mean power in each bin that is described, shape `(bins,)`."""
        return mean_power(self.band_spectrum)

    @property
    def zero(self) -> float:
        """Samples this close to zero count as positive where zero crossings are counted."""
        return max(temporal.ZERO, silence_limit(self.variance, self.parameters.masking_floor_db))

    @cached_property
    def band_spectrum(self) -> Spectrum:
        """Short-time spectrum of the frequencies that are described."""
        return self.spectrum.below(bandwidth_bins(self.parameters.n_fft, self.parameters.masking_floor_db))

    @cached_property
    def noisy_spectrum(self) -> Spectrum:
        """Short-time spectrum with the masking floor, which all descriptors but the tuning look at."""
        return self.band_spectrum.with_noise(self.floor)

    @property
    def tuning_of(self) -> Callable[[Floats, Floats], float]:
        """Estimator of the tuning from frequencies and strengths of peaks."""
        return tonal.tuning_from_peaks if self.parameters.masking_floor_db is None else tonal.mean_tuning

    @property
    def top_db(self) -> float | None:
        """Largest distance of a level from the loudest one of the clip, dB; None with a masking floor."""
        return spectral.TOP_DB if self.parameters.masking_floor_db is None else None

    @cached_property
    def mel_db(self) -> Floats:
        """Mel bands for MFCC and onset strength, dB."""
        return self._levels(self.parameters.n_mels)

    @cached_property
    def bands_db(self) -> Floats:
        """Wide mel bands for modulation and covariance, dB."""
        return self._levels(self.parameters.n_bands)

    def _levels(self, n_mels: int) -> Floats:
        power = mel.mel_power(self.noisy_spectrum, n_mels=n_mels, fmin=0.0, fmax=None)
        return mel.power_to_db(power, top_db=self.top_db)

    @property
    def coarse_mel_db(self) -> Floats:
        """Mel bands of every fourth frame, dB, from which the parts are computed."""
        return self.mel_db[:, :: parts.STRIDE]

    @cached_property
    def parts(self) -> dict[str, Floats]:
        """Harmonic and percussive levels (dB) and the harmonic share, group → `(16, frames)`."""
        series = parts.parts(self.coarse_mel_db, top_db=self.top_db, gaps_of=self.median_gaps)
        return dict(zip(("parts.harmonic", "parts.percussive", "parts.share"), series, strict=True))

    @cached_property
    def bandwidths(self) -> Floats:
        """Spectral bandwidths of order 2, 3 and 4, shape `(3, frames)`, Hz."""
        return spectral.spectral_bandwidths(self.noisy_spectrum)

    @cached_property
    def mfcc(self) -> Floats:
        """MFCC, shape `(n_mfcc, frames)`."""
        return cepstral.mfcc(self.mel_db, n_mfcc=self.parameters.n_mfcc)

    @cached_property
    def chroma(self) -> Floats:
        """Chroma of every `chroma_stride`-th frame, shape `(12, frames)`. The same frames give the tuning."""
        stride = self.parameters.chroma_stride
        tuning = self.tuning_of(*tonal.spectral_peaks(self.band_spectrum.subsample(stride)))
        return tonal.chroma(self.noisy_spectrum.subsample(stride), tuning=tuning)

    @cached_property
    def onset(self) -> Floats:
        """Onset strength, shape `(frames,)`."""
        p = self.parameters
        return rhythm.onset_strength(self.mel_db, n_fft=p.n_fft, hop_length=p.hop_length)

    def tempo(self, statistics: tuple[str, ...]) -> Floats:
        """Tempo in beats per minute (`"bpm"`) and its clarity (`"clarity"`), in the order of `statistics`."""
        bpm, clarity = rhythm.tempo(
            self.onset,
            sample_rate=self.parameters.sample_rate,
            hop_length=self.parameters.hop_length,
            autocorrelation=self.autocorrelation,
        )
        values = {"bpm": bpm, "clarity": clarity}
        return np.array([values[statistic] for statistic in statistics])

    def fluctuations(self) -> Floats:
        """Fluctuation pattern, shape `(n_bands, n_rates)`."""
        p = self.parameters
        frame_rate = p.sample_rate / p.hop_length
        return modulation.fluctuation_pattern(
            self.bands_db, frame_rate=frame_rate, n_rates=p.n_rates, limits_hz=p.modulation_hz
        )

    def log_mel(self, settings: LogMelParameters) -> NDArray[np.floating]:
        """Log-mel spectrogram, shape `(n_mels, frames)`, from the shared spectrum if the settings agree."""
        transform = self.spectrum if self._is_shared(settings) else own_spectrum(self.clip, settings)
        band = transform.below(bandwidth_bins(settings.n_fft, settings.masking_floor_db))
        if settings.masking_floor_db is not None:
            band = band.with_noise(masking_floor(mean_power(band), settings.masking_floor_db))
        power = mel.mel_power(band, n_mels=settings.n_mels, fmin=settings.fmin, fmax=settings.fmax)
        return mel.compress_mel_power(power, compression=settings.compression, floor_db=settings.floor_db)

    def _is_shared(self, settings: LogMelParameters) -> bool:
        p = self.parameters
        shared = (p.sample_rate, p.n_fft, p.hop_length)
        requested = (settings.sample_rate, settings.n_fft, settings.hop_length)
        return shared == requested and not settings.pre_emphasis


def mean_power(transform: Spectrum) -> Floats:
    """Mean power of the frames from which the masking floor follows, shape `(bins,)`."""
    mean: Floats = transform.subsample(STRIDE).power.mean(axis=1)
    return mean


def own_spectrum(clip: Clip, settings: LogMelParameters) -> Spectrum:
    """Spectrum of a log-mel spectrogram with its own transform: resampled, pre-emphasised if requested."""
    samples = resample(clip.samples, orig_sr=clip.sample_rate, target_sr=settings.sample_rate)
    if settings.pre_emphasis:
        samples = mel.preemphasis(samples.astype(np.float64), settings.pre_emphasis)
    prepared = Clip(samples, settings.sample_rate, clip.id)
    return spectrum(prepared, n_fft=settings.n_fft, hop_length=settings.hop_length)


def _zero_crossing_rate(a: Analysis) -> Floats:
    p = a.parameters
    return temporal.zero_crossing_rate(a.clip, frame_length=p.n_fft, hop_length=p.hop_length, zero=a.zero)


def _rms(a: Analysis) -> Floats:
    p = a.parameters
    return temporal.rms(a.clip, frame_length=p.n_fft, hop_length=p.hop_length)


def _contrast(a: Analysis) -> Floats:
    p = a.parameters
    return spectral.spectral_contrast(
        a.noisy_spectrum, n_bands=p.n_contrast_bands, fmin=p.contrast_fmin, top_db=a.top_db
    )


def _rolloff(a: Analysis) -> Floats:
    return spectral.spectral_rolloff(a.noisy_spectrum, roll_percent=a.parameters.roll_percent)


def _covariance(a: Analysis, _: tuple[str, ...]) -> Floats:
    """Upper triangle of the matrix logarithm of the covariance of the bands, row by row."""
    matrix = log_covariance(a.bands_db, floor=COVARIANCE_FLOOR)
    upper: Floats = matrix[np.triu_indices(a.parameters.n_bands)]
    return upper


SERIES: dict[str, Callable[[Analysis], Floats]] = {
    "temporal.amplitude": lambda a: np.abs(a.clip.samples).astype(np.float64),
    "temporal.signal": lambda a: a.clip.samples.astype(np.float64),
    "temporal.zcr": _zero_crossing_rate,
    "temporal.rms": _rms,
    "rhythm.onset": lambda a: a.onset,
    "spectral.centroid": lambda a: spectral.spectral_centroid(a.noisy_spectrum),
    "spectral.bandwidth_p2": lambda a: a.bandwidths[0],
    "spectral.bandwidth_p3": lambda a: a.bandwidths[1],
    "spectral.bandwidth_p4": lambda a: a.bandwidths[2],
    "spectral.contrast": _contrast,
    "spectral.rolloff": _rolloff,
    "spectral.flatness": lambda a: spectral.spectral_flatness(a.noisy_spectrum),
    "cepstral.mfcc": lambda a: a.mfcc,
    "cepstral.delta": lambda a: cepstral.delta(a.mfcc, order=1),
    "cepstral.delta2": lambda a: cepstral.delta(a.mfcc, order=2),
    "tonal.chroma": lambda a: a.chroma,
    "tonal.tonnetz": lambda a: tonal.tonnetz(a.chroma),
    "parts.harmonic": lambda a: a.parts["parts.harmonic"],
    "parts.percussive": lambda a: a.parts["parts.percussive"],
    "parts.share": lambda a: a.parts["parts.share"],
}
"""Series of each group, shape `(count, n)` or `(n,)`."""

WHOLE: dict[str, Callable[[Analysis, tuple[str, ...]], Floats]] = {
    "rhythm.tempo": Analysis.tempo,
    "modulation.band": lambda a, _: a.fluctuations().ravel(),
    "covariance.band": _covariance,
}
"""Numbers of each group whose numbers are not statistics of a series."""
