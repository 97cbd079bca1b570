"""Tests of `describe`: the whole row against librosa, and on extreme sounds."""

from __future__ import annotations

import subprocess
import sys
import warnings
from functools import partial
from pathlib import Path

import librosa
import numpy as np
import pytest
import scipy.signal
import scipy.stats

from quintet.audio import spectrum as transform
from quintet.audio.clip import Clip
from quintet.audio.decode import load_clip
from quintet.audio.mel import log_mel
from quintet.audio.spectrum import hann, spectrum
from quintet.errors import ConfigError, NonFiniteError, SilentError, TooShortError
from quintet.features.catalogue import FEATURE_SETS
from quintet.features.columns import feature_names
from quintet.features.describe import describe
from quintet.features.descriptors.tonal import estimate_tuning
from quintet.features.parameters import FeatureParameters, LogMelParameters

DATA = Path(__file__).parents[3] / "shared" / "data"
wide = partial(FeatureParameters, feature_set="wide")
PAPER = FeatureParameters(feature_set="bahuleyan2018")
FULL = wide()
BARE = wide(masking_floor_db=None)


def music(seed: int, sample_rate: int = 22050, seconds: float = 3.0) -> np.ndarray:
    """Something with notes, beats and noise, different for every seed."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * sample_rate)) / sample_rate
    notes = 110 * 2 ** (rng.integers(0, 36, 6) / 12)
    voices = sum(
        np.sin(2 * np.pi * f * t * k) / k * (np.sin(2 * np.pi * rng.uniform(0.3, 5) * t) + 1.2)
        for f in notes
        for k in (1, 2, 3)
    )
    beat = np.exp(-((t % rng.uniform(0.3, 0.7)) * rng.uniform(8, 40)))
    return (
        0.05 * np.asarray(voices)
        + rng.uniform(0.01, 0.1) * beat * rng.standard_normal(len(t))
        + 0.001 * rng.standard_normal(len(t))
    )


def librosa_row(
    y: np.ndarray, sample_rate: int, contrast_bands: int, tuning: float | None = None
) -> np.ndarray:
    """The 97 columns in the paper's order, one call per feature, as in its script (without its bug)."""
    f, given = librosa.feature, {"y": y, "sr": sample_rate}

    def mean_std(series: np.ndarray) -> list[float]:
        return [*series.mean(axis=1), *series.std(axis=1)]

    row = [np.abs(y).mean(), y.std(), scipy.stats.skew(np.abs(y)), scipy.stats.kurtosis(y)]
    row += mean_std(f.zero_crossing_rate(y)) + mean_std(f.rms(y=y, dtype=np.float64)) + list(f.tempo(**given))
    row += mean_std(f.spectral_centroid(**given))
    for p in (2, 3, 4):
        row += mean_std(f.spectral_bandwidth(**given, p=p))
    row += mean_std(f.spectral_contrast(**given, n_bands=contrast_bands)) + mean_std(
        f.spectral_rolloff(**given)
    )
    row += mean_std(f.mfcc(**given)) + mean_std(f.chroma_stft(**given, hop_length=1024, tuning=tuning))
    return np.array(row)


def assert_parity(
    samples: np.ndarray, sample_rate: int, rtol: float = 1e-9, tuning: float | None = None
) -> None:
    bands = 6 if sample_rate > 12800 else 4
    settings = {
        "sample_rate": sample_rate,
        "n_contrast_bands": bands,
        "log_mel": {"sample_rate": min(sample_rate, 22050)},
    }
    parameters = FeatureParameters(feature_set="bahuleyan2018", **settings)
    ours = describe(Clip(samples, sample_rate), parameters).features
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # of what librosa and scipy warn (no pitch, nearly constant), we declare the value
        theirs = np.nan_to_num(librosa_row(samples, sample_rate, bands, tuning))
    np.testing.assert_allclose(list(ours.values()), theirs, rtol=rtol, atol=1e-12)


@pytest.mark.parametrize("sample_rate", [22050, 44100, 8000])
def test_the_papers_row_equals_librosa(sample_rate):
    assert_parity(music(1, sample_rate), sample_rate)


def floor_by_the_formula(power: np.ndarray, floor_db: float) -> np.ndarray:
    """The masking floor of a power spectrogram, from all pairs of its bins."""
    places = np.arange(1.0, len(power) + 1)
    weights = (np.minimum.outer(places, places) / np.maximum.outer(places, places)) ** 10
    bands = weights @ power[:, ::4].mean(axis=1) / weights.sum(axis=1)
    white = 2.0**-28 * np.sum(scipy.signal.get_window("hann", 2048) ** 2)
    return 10 ** (floor_db / 10) * bands + white


def floored_librosa_row(y: np.ndarray, sample_rate: int, floor_db: float) -> np.ndarray:
    """The 97 columns by librosa from a spectrum with the masking floor in each bin.

    Nothing above 7/8 of half the sample rate is in it. The tuning is the mean direction of librosa's peaks.
    """
    f, rate = librosa.feature, {"sr": sample_rate}
    variance = y.var() * 10 ** (floor_db / 10)
    power = np.abs(librosa.stft(y, n_fft=2048, hop_length=512)) ** 2
    power[1 + 7 * 1024 // 8 :] = 0
    noisy = power + floor_by_the_formula(power, floor_db)[:, None]
    given = {"S": np.sqrt(noisy), **rate}
    mel_db = librosa.power_to_db(f.melspectrogram(S=noisy, n_mels=128, **rate), top_db=None)
    onset = librosa.onset.onset_strength(S=mel_db, **rate)
    pitches, strengths = librosa.piptrack(S=power[:, ::2], **rate)
    strong = pitches[(strengths >= np.median(strengths[pitches > 0])) & (pitches > 0)]
    direction = 0.1 + np.exp(2j * np.pi * librosa.hz_to_octs(strong) * 12).mean()
    tuning = round(float(np.angle(direction)) / (2 * np.pi), 2)
    series = [f.zero_crossing_rate(y, threshold=np.sqrt(variance)), f.rms(y=y, dtype=np.float64)]
    series += [f.spectral_centroid(**given), *(f.spectral_bandwidth(**given, p=p) for p in (2, 3, 4))]
    series += [f.spectral_contrast(**given), f.spectral_rolloff(**given), f.mfcc(S=mel_db)]
    series += [f.chroma_stft(S=noisy[:, ::2], tuning=tuning, **rate)]
    row = [np.abs(y).mean(), y.std(), scipy.stats.skew(np.abs(y)), scipy.stats.kurtosis(y)]
    for number, values in enumerate(series):
        row += [*values.mean(axis=1), *values.std(axis=1)]
        if number == 1:
            row += list(f.tempo(onset_envelope=onset, **rate))
    return np.array(row)


@pytest.mark.parametrize("floor_db", [-18.0, -50.0])
def test_a_row_with_a_masking_floor_is_that_of_librosa_with_the_floor_in_the_spectrum(floor_db):
    samples = music(1)
    parameters = FeatureParameters(feature_set="bahuleyan2018", masking_floor_db=floor_db)
    ours = describe(Clip(samples, 22050), parameters).features
    np.testing.assert_allclose(
        list(ours.values()), floored_librosa_row(samples, 22050, floor_db), rtol=5e-6, atol=1e-9
    )


def test_what_the_sound_hides_is_not_described():
    """Noise 40 dB below a beat, of its colour, which is loud in its pauses only, moves no descriptor."""
    t = np.arange(3 * 22050) / 22050
    rng = np.random.default_rng(0)
    beat = 0.3 * np.exp(-20 * (t % 0.5)) * rng.standard_normal(len(t)) + 0.05 * np.sin(2 * np.pi * 300 * t)
    hiss = 10 ** (-40 / 20) * beat.std() * rng.standard_normal(len(t))
    colour = scipy.signal.butter(2, 2000, fs=22050, output="sos")
    beat, hiss = (scipy.signal.sosfilt(colour, x) for x in (beat, hiss))
    parameters = wide(families=("rhythm", "spectral", "cepstral", "tonal"))
    mean_columns = [name for name in feature_names(parameters) if name.endswith(("mean", "median"))]
    for floor_db, moves in ((-20.0, False), (None, True)):
        settings = wide(families=parameters.families, masking_floor_db=floor_db)
        rows = [describe(Clip(x, 22050), settings).features for x in (beat, beat + hiss)]
        plain, other = (np.array([row[name] for name in mean_columns]) for row in rows)
        difference = np.abs(other - plain) / (1 + np.abs(plain))
        assert bool(difference.max() > 0.3) is moves, (floor_db, mean_columns[int(difference.argmax())])


def test_what_an_encoder_cuts_off_is_not_described():
    """A low-pass above 7/8 of half the sample rate moves nothing but the samples."""
    spectral = wide(families=("rhythm", "spectral", "cepstral", "tonal", "covariance"))
    noise = np.random.default_rng(3).normal(size=2 * 22050)
    bins = np.fft.rfft(noise)
    bins[int(0.9 * len(bins)) :] = 0
    cut = np.fft.irfft(bins, len(noise))
    for floor_db, moves in ((-18.0, False), (None, True)):
        settings = wide(families=spectral.families, masking_floor_db=floor_db)
        names = [name for name in feature_names(settings) if name.endswith("mean")]
        rows = [describe(Clip(0.1 * x, 22050), settings).features for x in (noise, cut)]
        one, other = (np.array([row[name] for name in names]) for row in rows)
        assert bool(np.max(np.abs(other - one) / (1 + np.abs(one))) > 0.1) is moves, floor_db


def extreme_sounds(n: int = 22050) -> dict[str, np.ndarray]:
    t, rng = np.arange(n), np.random.default_rng(0)
    return {
        "sine at a bin": np.sin(2 * np.pi * 80 * t / 2048),
        "sine between": 0.5 * np.sin(2 * np.pi * 80.5 * t / 2048),
        "dc": np.full(n, 0.3),
        "impulse": np.eye(1, n, n // 2)[0],
        "white noise": 0.1 * rng.standard_normal(n),
        "clipped": np.clip(3 * np.sin(2 * np.pi * t / 100.3), -1, 1),
        "nyquist": 0.3 * np.cos(np.pi * t),
        "half silent": np.where(t < n // 2, 0, 0.1 * rng.standard_normal(n)),
        "faint": 1e-7 * rng.standard_normal(n),
        "one sample": 1e-30 * np.eye(1, n, 7)[0],
        "one frame": 0.1 * rng.standard_normal(2048),
        "loud": 1e6 * rng.standard_normal(n),
    }


@pytest.mark.parametrize("name", extreme_sounds())
def test_extreme_sounds_equal_librosa(name):
    samples, tuning = extreme_sounds()[name], None
    if name in (
        "impulse",
        "one sample",
    ):  # a flat spectrum has no peaks but rounding, which librosa's tuning is made of there
        tuning = estimate_tuning(spectrum(Clip(samples, 22050), n_fft=2048, hop_length=1024))
    assert_parity(samples, 22050, tuning=tuning)


@pytest.mark.parametrize("feature_set", FEATURE_SETS)
@pytest.mark.parametrize("name", extreme_sounds())
def test_every_value_is_finite_and_fits_float32(name, feature_set):
    features = describe(
        Clip(extreme_sounds()[name], 22050), FeatureParameters(feature_set=feature_set)
    ).features
    values = np.array(list(features.values())).astype(np.float32)
    assert np.isfinite(values).all(), [
        column for column, value in zip(features, values, strict=True) if not np.isfinite(value)
    ]


@pytest.mark.parametrize("n", [2048, 2049, 2559, 2560, 3000, 4096, 6000])
def test_short_clips_have_every_column(n):
    features = describe(Clip(music(3)[:n].astype(np.float32), 22050), FULL).features
    assert tuple(features) == feature_names(FULL)
    assert np.isfinite(list(features.values())).all()


def test_no_column_is_constant_or_a_copy_of_another():
    rows = np.array(
        [
            list(describe(Clip(music(seed).astype(np.float32), 22050), FULL).features.values())
            for seed in range(8)
        ],
        np.float32,
    )
    names = np.array(feature_names(FULL))
    assert names[np.ptp(rows, axis=0) == 0].tolist() == []
    _, first, count = np.unique(rows, axis=1, return_index=True, return_counts=True)
    assert names[first[count > 1]].tolist() == []


def test_shape_columns_of_a_steady_sound_do_not_describe_its_rounding():
    t = np.arange(3 * 22050) / 22050
    tone = 1e-2 * np.sin(2 * np.pi * 300 * t)
    steps = np.round(32768 * tone) / 32768
    for floor_db, moves in ((-15.0, False), (None, True)):
        settings = wide(families=("spectral", "cepstral"), masking_floor_db=floor_db)
        names = [n for n in feature_names(settings) if n.endswith("kurtosis")]
        one, other = (describe(Clip(x, 22050), settings).features for x in (tone, steps))
        assert any(abs(one[n] - other[n]) > 10 for n in names) is moves


@pytest.mark.parametrize(("floor_db", "gain"), [(None, 1.0), (-15.0, 1e3)])
def test_gain_does_not_change_features_without_level(floor_db, gain):
    """With a masking floor not exactly, unless steps of 16 bits are nothing beside the clip."""
    samples = music(5)
    families = ("rhythm", "spectral", "tonal", "modulation", "covariance")
    parameters = wide(families=families, masking_floor_db=floor_db)
    quiet, loud = (describe(Clip(g * samples, 22050), parameters).features for g in (gain, 2 * gain))
    for column in quiet:
        assert loud[column] == pytest.approx(quiet[column], rel=1e-6, abs=1e-8), column


def test_a_feature_does_not_depend_on_the_other_families():
    clip = Clip(music(2), 22050)
    full = describe(clip, FULL).features
    for families in [("cepstral",), ("tonal", "rhythm"), ("covariance",)]:
        part = describe(clip, wide(families=families)).features
        assert part == {column: full[column] for column in part}
    bare = describe(clip, BARE).features
    assert describe(clip, PAPER).features == {column: bare[column] for column in feature_names(PAPER)}


def test_the_log_mel_shares_the_transform_if_the_settings_agree(monkeypatch):
    transforms: list[int] = []
    monkeypatch.setattr(
        transform, "hann", lambda length: transforms.append(length) or hann(length)
    )  # each transform asks for its window
    clip = Clip(music(2), 22050)  # float64: by the definitions
    shared = describe(clip, BARE, log_mel=True).log_mel
    assert transforms == [2048]
    whole = spectrum(clip, n_fft=2048, hop_length=512)
    np.testing.assert_array_equal(shared, log_mel(whole, n_mels=96, fmin=0.0, fmax=None))
    floored = wide(masking_floor_db=-18)
    transforms.clear()
    shared = describe(clip, floored, log_mel=True).log_mel
    assert transforms.count(2048) == len(transforms)
    band = whole.below(1 + 896)
    with_noise = band.with_noise(floor_by_the_formula(band.power, -18.0))
    np.testing.assert_allclose(shared, log_mel(with_noise, n_mels=96, fmin=0.0, fmax=None), atol=1e-5)
    transforms.clear()
    own = wide(log_mel=LogMelParameters(n_fft=512, hop_length=256, sample_rate=16000, n_mels=64))
    assert describe(clip, own, log_mel=True).log_mel.shape == (64, 1 + 48000 // 256)
    assert transforms == [2048, 512]


def test_the_input_is_not_changed_and_the_result_is_repeatable():
    samples = music(4).astype(np.float32)
    before = samples.copy()
    first, second = (describe(Clip(samples, 22050), FULL, log_mel=True) for _ in range(2))
    np.testing.assert_array_equal(samples, before)
    assert first.features == second.features


@pytest.mark.parametrize(
    ("samples", "error", "match"),
    [
        (np.ones(2047), TooShortError, "at least one frame"),
        (np.zeros(9000), SilentError, "is silent"),
        (np.r_[np.ones(9000), np.nan], NonFiniteError, "1 NaN or infinite"),
    ],
)
def test_an_unusable_sound_is_refused(samples, error, match):
    with pytest.raises(error, match=match) as caught:
        describe(Clip(samples, 22050, "the id"), PAPER)
    assert "the id" in str(caught.value)
    assert caught.value.stage == "check"


def test_another_sample_rate_is_refused():
    with pytest.raises(ConfigError, match=r"22050 Hz\. 'x' has 44100 Hz"):
        describe(Clip(music(0), 44100, "x"), PAPER)


def test_importing_the_extractor_is_light():
    heavy = "librosa sklearn pandas matplotlib scipy.signal scipy.stats tensorflow joblib"
    code = (
        "import sys, quintet.features.describe, quintet.features.extraction.worker; "
        f"print([m for m in '{heavy}'.split() if m in sys.modules])"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "[]"
    )


@pytest.mark.real_data
@pytest.mark.skipif(not DATA.exists(), reason="no shared data on this machine")
@pytest.mark.parametrize("sample_rate", [22050, 44100, 16000])
@pytest.mark.parametrize(
    "clip", ["instruments/Acoustic_guitar", "instruments/Snare_drum", "esc10/Rain", "esc10/Rooster"]
)
def test_the_papers_row_is_librosas_on_real_recordings(clip, sample_rate):
    path = sorted(path for path in (DATA / clip).iterdir() if path.suffix in (".flac", ".ogg"))[3]
    assert_parity(
        load_clip(path, sample_rate=sample_rate, id=clip).clip.samples.astype(np.float64), sample_rate
    )


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (
            {"pre_emphasis": 0.97},
            lambda y: librosa.power_to_db(
                librosa.feature.melspectrogram(y=y, sr=22050, n_mels=96), top_db=None
            ),
        ),
        (
            {"compression": "log"},
            lambda y: np.log10(1e4 * librosa.feature.melspectrogram(y=y, sr=22050, n_mels=96) + 1),
        ),
        (
            {"n_fft": 2205, "hop_length": 882},
            lambda y: librosa.power_to_db(mel_by_librosa(y, 2205, 882), top_db=None),
        ),
        ({"n_fft": 2205, "hop_length": 882, "compression": "power"}, lambda y: mel_by_librosa(y, 2205, 882)),
    ],
)
def test_other_log_mel_settings_equal_librosa_and_do_not_change_the_features(settings, expected):
    """Any frame, pre-emphasis and compression, beside features that stay what they are to the last bit."""
    y = music(3).astype(np.float32)
    parameters = wide(log_mel=LogMelParameters(**settings))
    result = describe(Clip(y, 22050), parameters, log_mel=True)
    emphasised = (
        scipy.signal.lfilter([1, -0.97], [1], y.astype(np.float64))
        if "pre_emphasis" in settings
        else y.astype(np.float64)
    )
    np.testing.assert_allclose(result.log_mel, expected(emphasised), rtol=1e-5, atol=2e-4)
    assert result.features == describe(Clip(y, 22050), FULL, log_mel=True).features


def mel_by_librosa(y: np.ndarray, n_fft: int, hop_length: int) -> np.ndarray:
    return librosa.feature.melspectrogram(y=y, sr=22050, n_fft=n_fft, hop_length=hop_length, n_mels=96)
