"""Contenders: functions that compute the same features from the path of a file in different ways."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import librosa
import numpy as np
import scipy.fft
import scipy.stats
import soundfile
import soxr
from numpy.typing import NDArray

from quintet.audio.clip import Clip
from quintet.audio.decode import load_clip
from quintet.features.analysis import Analysis
from quintet.features.columns import select_groups
from quintet.features.describe import describe
from quintet.features.parameters import FeatureParameters

RATE, N_FFT, HOP = 22050, 2048, 512
PAPER = FeatureParameters(feature_set="bahuleyan2018")
WITHOUT_TEMPO = FeatureParameters(
    feature_set="bahuleyan2018", families=("temporal", "spectral", "cepstral", "tonal")
)
FULL, DEFAULT = FeatureParameters(feature_set="full"), FeatureParameters()

Contender = Callable[[Path], object]


def naive_librosa(path: Path, *, tempo: bool = False) -> list[float]:
    """librosa as many scripts use it: one call per feature, and every call makes its own spectrogram."""
    y, sr = librosa.load(path, sr=RATE)
    f = librosa.feature
    series = [f.zero_crossing_rate(y), f.rms(y=y), f.spectral_centroid(y=y, sr=sr)]
    series += [f.spectral_bandwidth(y=y, sr=sr, p=p) for p in (2, 3, 4)]
    series += [
        f.spectral_contrast(y=y, sr=sr),
        f.spectral_rolloff(y=y, sr=sr),
        f.mfcc(y=y, sr=sr),
        f.chroma_stft(y=y, sr=sr, hop_length=1024),
    ]
    librosa.power_to_db(f.melspectrogram(y=y, sr=sr, n_mels=96), top_db=None)
    return _row(y, series, float(f.tempo(y=y, sr=sr)[0]) if tempo else None)


def one_spectrogram_librosa(path: Path, *, tempo: bool = False) -> list[float]:
    """librosa used well: one spectrogram, which is passed to every call."""
    y, sr = librosa.load(path, sr=RATE)
    f, magnitude = librosa.feature, np.abs(librosa.stft(y))
    power = magnitude**2
    centroid = f.spectral_centroid(S=magnitude, sr=sr)
    decibels = librosa.power_to_db(f.melspectrogram(S=power, sr=sr))
    series = [f.zero_crossing_rate(y), f.rms(y=y), centroid]
    series += [f.spectral_bandwidth(S=magnitude, sr=sr, centroid=centroid, p=p) for p in (2, 3, 4)]
    series += [
        f.spectral_contrast(S=magnitude, sr=sr),
        f.spectral_rolloff(S=magnitude, sr=sr),
        f.mfcc(S=decibels),
    ]
    series += [f.chroma_stft(S=power[:, ::2], sr=sr)]
    librosa.power_to_db(f.melspectrogram(S=power, sr=sr, n_mels=96), top_db=None)
    onset = librosa.onset.onset_strength(S=decibels, sr=sr) if tempo else None
    return _row(y, series, None if onset is None else float(f.tempo(onset_envelope=onset, sr=sr)[0]))


def _row(y: NDArray[np.float32], series: list[NDArray[np.float64]], tempo: float | None) -> list[float]:
    row = [np.abs(y).mean(), y.std(), scipy.stats.skew(np.abs(y)), scipy.stats.kurtosis(y)]
    for values in series:
        row += [*values.mean(axis=1), *values.std(axis=1)]
    return [float(value) for value in row] + ([] if tempo is None else [tempo])


def floor(path: Path) -> NDArray[np.complex128]:
    """The unavoidable work: decode, mix, resample, and one transform of every frame in float64."""
    samples, sr = soundfile.read(path, dtype="float32", always_2d=True)
    channels = samples.shape[1]
    mono = samples[:, 0] if channels == 1 else samples @ np.full(channels, 1 / channels, np.float32)
    padded = np.pad(soxr.resample(mono, sr, RATE).astype(np.float64), N_FFT // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::HOP]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(N_FFT) / N_FFT)
    last = np.zeros(0, np.complex128)
    for first in range(0, len(frames), 64):  # in blocks, which stay in the cache
        last = scipy.fft.rfft(frames[first : first + 64] * window, axis=1)
    return last


def loading(path: Path) -> object:
    """Our loading without any feature: decode, check, digest, mix, resample."""
    return load_clip(path, sample_rate=RATE)


def ours(path: Path, parameters: FeatureParameters = WITHOUT_TEMPO) -> object:
    """Our features and log-mel by the kernels."""
    return describe(load_clip(path, sample_rate=RATE).clip, parameters, log_mel=True)


def definitions(path: Path, parameters: FeatureParameters = WITHOUT_TEMPO) -> object:
    """Our features and log-mel by the definitions, which are used if the kernels cannot be compiled."""
    clip = load_clip(path, sample_rate=RATE).clip
    analysis = Analysis(Clip(clip.samples, clip.sample_rate), parameters)
    values = [analysis.values(group, statistics) for group, statistics in select_groups(parameters)]
    return values, analysis.log_mel(parameters.log_mel)


def essentia_extractor() -> Contender | None:
    """LowLevelSpectralExtractor of essentia with our loader; None if essentia is not installed."""
    if importlib.util.find_spec("essentia") is None:
        return None
    import essentia
    import essentia.standard

    essentia.log.infoActive = essentia.log.warningActive = False
    extractor = essentia.standard.LowLevelSpectralExtractor(frameSize=N_FFT, hopSize=HOP, sampleRate=RATE)
    return lambda path: extractor(load_clip(path, sample_rate=RATE).clip.samples)


def opensmile_functionals() -> Contender | None:
    """eGeMAPS functionals of openSMILE with our loader; None if openSMILE is not installed."""
    if importlib.util.find_spec("opensmile") is None:
        return None
    import opensmile

    smile = opensmile.Smile(feature_set=opensmile.FeatureSet.eGeMAPSv02)
    return lambda path: smile.process_signal(load_clip(path, sample_rate=RATE).clip.samples, RATE)


def all_contenders() -> dict[str, Contender]:
    """Contenders by name, in the order of the table."""
    contenders: dict[str, Contender] = {
        "floor": floor,
        "loading": loading,
        "ours": ours,
        "ours, with tempo": lambda path: ours(path, PAPER),
        "ours, full set": lambda path: ours(path, FULL),
        "ours, default set": lambda path: ours(path, DEFAULT),
        "definitions": definitions,
        "one-STFT librosa": one_spectrogram_librosa,
        "naive librosa": naive_librosa,
        "naive librosa, with tempo": lambda path: naive_librosa(path, tempo=True),
    }
    peers = {
        "essentia (other descriptors)": essentia_extractor(),
        "openSMILE eGeMAPS (other descriptors)": opensmile_functionals(),
    }
    return contenders | {name: peer for name, peer in peers.items() if peer is not None}
