"""What is computed once for a clip and shared by its descriptors, by their definitions. `compiled.py` does the same by the kernels."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from quintet.audio import mel
from quintet.audio.clip import Clip
from quintet.audio.resample import resample
from quintet.audio.spectrum import Spectrum, spectrum
from quintet.features.descriptors import cepstral, modulation, rhythm, spectral, temporal, tonal
from quintet.features.parameters import FeatureParameters, LogMelParameters
from quintet.features.statistics import Moments, log_covariance, summaries

Array = NDArray[np.float64]
COVARIANCE_FLOOR = 1.0  # dB²: a band that moves by less than a decibel stands still


class Analysis:
    """The series of a clip. Nothing is computed before it is asked for.

    Args:
        clip: at `parameters.sample_rate`, at least `n_fft` samples, not silent.
        parameters: what to measure.
    """

    autocorrelation: rhythm.Autocorrelation = staticmethod(rhythm.mean_autocorrelation)
    moments_class: type[Moments] = Moments

    def __init__(self, clip: Clip, parameters: FeatureParameters) -> None:
        self.clip = clip
        self.parameters = parameters

    def values(self, group: str, statistics: tuple[str, ...]) -> Array:
        """The numbers of one group, in the order of `catalogue.group_columns`."""
        if group in WHOLE:
            return WHOLE[group](self, statistics)
        reduced = self.summaries(self.series(group), statistics)
        return np.concatenate([reduced[statistic] for statistic in statistics])

    def series(self, group: str) -> Array | Moments:
        """The series of one group, shape `(count, n)` or `(n,)`."""
        return SERIES[group](self)

    def summaries(self, series: Array | Moments, statistics: tuple[str, ...]) -> dict[str, Array]:
        """`statistics.summaries`, by the means of this analysis."""
        return summaries(series if isinstance(series, Moments) else self.moments_class(series), statistics)

    @cached_property
    def spectrum(self) -> Spectrum:
        return spectrum(self.clip, n_fft=self.parameters.n_fft, hop_length=self.parameters.hop_length)

    @cached_property
    def mel_db(self) -> Array:
        """Mel bands under MFCC and onset strength, dB, at most 80 dB below the loudest value."""
        power = mel.mel_power(self.spectrum, n_mels=self.parameters.n_mels, fmin=0.0, fmax=None)
        return mel.power_to_db(power, top_db=spectral.TOP_DB)

    @cached_property
    def bands_db(self) -> Array:
        """The few wide mel bands under modulation and covariance, dB, at most 80 dB below the loudest value."""
        power = mel.mel_power(self.spectrum, n_mels=self.parameters.n_bands, fmin=0.0, fmax=None)
        return mel.power_to_db(power, top_db=spectral.TOP_DB)

    @cached_property
    def bandwidths(self) -> Array:
        return spectral.spectral_bandwidths(self.spectrum)

    @cached_property
    def mfcc(self) -> Array:
        return cepstral.mfcc(self.mel_db, n_mfcc=self.parameters.n_mfcc)

    @cached_property
    def chroma(self) -> Array:
        """At every `chroma_stride`-th frame, the tuning being estimated from the same ones."""
        thinned = self.spectrum.subsample(self.parameters.chroma_stride)
        return tonal.chroma(thinned, tuning=tonal.estimate_tuning(thinned))

    @cached_property
    def onset(self) -> Array:
        return rhythm.onset_strength(
            self.mel_db, n_fft=self.parameters.n_fft, hop_length=self.parameters.hop_length
        )

    def tempo(self, statistics: tuple[str, ...]) -> Array:
        p = self.parameters
        bpm, clarity = rhythm.tempo(
            self.onset,
            sample_rate=p.sample_rate,
            hop_length=p.hop_length,
            autocorrelation=self.autocorrelation,
        )
        values = {"bpm": bpm, "clarity": clarity}
        return np.array([values[statistic] for statistic in statistics])

    def fluctuations(self) -> Array:
        p = self.parameters
        frame_rate = p.sample_rate / p.hop_length
        return modulation.fluctuation_pattern(
            self.bands_db, frame_rate=frame_rate, n_rates=p.n_rates, limits_hz=p.modulation_hz
        )

    def log_mel(self, wanted: LogMelParameters) -> NDArray[np.float32]:
        """From the shared spectrum where it is the same one, else from its own."""
        shared = (self.parameters.sample_rate, self.parameters.n_fft, self.parameters.hop_length)
        if shared == (wanted.sample_rate, wanted.n_fft, wanted.hop_length) and not wanted.pre_emphasis:
            own = self.spectrum
        else:
            own = own_spectrum(self.clip, wanted)
        power = mel.mel_power(own, n_mels=wanted.n_mels, fmin=wanted.fmin, fmax=wanted.fmax)
        return mel.compress_mel_power(power, compression=wanted.compression, floor_db=wanted.floor_db)


def own_spectrum(clip: Clip, wanted: LogMelParameters) -> Spectrum:
    """The transform of a network's own: resampled, and pre-emphasised where that is wanted."""
    samples = resample(clip.samples, orig_sr=clip.sample_rate, target_sr=wanted.sample_rate)
    if wanted.pre_emphasis:
        samples = mel.preemphasis(samples.astype(np.float64), wanted.pre_emphasis)
    return spectrum(
        Clip(samples, wanted.sample_rate, clip.id), n_fft=wanted.n_fft, hop_length=wanted.hop_length
    )


def _frame(a: Analysis) -> dict[str, int]:
    return {"frame_length": a.parameters.n_fft, "hop_length": a.parameters.hop_length}


SERIES: dict[str, Callable[[Analysis], Array]] = {  # group → its series, shape (count, n) or (n,)
    "temporal.amplitude": lambda a: np.abs(a.clip.samples).astype(np.float64),
    "temporal.signal": lambda a: a.clip.samples.astype(np.float64),
    "temporal.zcr": lambda a: temporal.zero_crossing_rate(a.clip, **_frame(a)),
    "temporal.rms": lambda a: temporal.rms(a.clip, **_frame(a)),
    "rhythm.onset": lambda a: a.onset,
    "spectral.centroid": lambda a: spectral.spectral_centroid(a.spectrum),
    "spectral.bandwidth_p2": lambda a: a.bandwidths[0],
    "spectral.bandwidth_p3": lambda a: a.bandwidths[1],
    "spectral.bandwidth_p4": lambda a: a.bandwidths[2],
    "spectral.contrast": lambda a: spectral.spectral_contrast(
        a.spectrum, n_bands=a.parameters.n_contrast_bands, fmin=a.parameters.contrast_fmin
    ),
    "spectral.rolloff": lambda a: spectral.spectral_rolloff(
        a.spectrum, roll_percent=a.parameters.roll_percent
    ),
    "spectral.flatness": lambda a: spectral.spectral_flatness(a.spectrum),
    "cepstral.mfcc": lambda a: a.mfcc,
    "cepstral.delta": lambda a: cepstral.delta(a.mfcc, order=1),
    "cepstral.delta2": lambda a: cepstral.delta(a.mfcc, order=2),
    "tonal.chroma": lambda a: a.chroma,
    "tonal.tonnetz": lambda a: tonal.tonnetz(a.chroma),
}

WHOLE: dict[
    str, Callable[[Analysis, tuple[str, ...]], Array]
] = {  # group → its numbers, where they are not statistics of a series
    "rhythm.tempo": Analysis.tempo,
    "modulation.band": lambda a, _: a.fluctuations().ravel(),
    "covariance.band": lambda a, _: log_covariance(a.bands_db, floor=COVARIANCE_FLOOR)[
        np.triu_indices(a.parameters.n_bands)
    ],
}
