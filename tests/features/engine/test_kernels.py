"""Tests of the kernels against the definitions: any setting, any sound, every series."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from numba import njit
from scipy.signal import argrelmax

from quintet.audio.clip import Clip
from quintet.audio.mel import AMIN
from quintet.audio.spectrum import spectrum
from quintet.errors import TooShortError
from quintet.features.analysis import Analysis
from quintet.features.columns import select_groups
from quintet.features.describe import describe
from quintet.features.descriptors import tonal
from quintet.features.engine import analysis as engine_analysis
from quintet.features.engine import native, passes
from quintet.features.engine.analysis import CompiledAnalysis, make_analysis
from quintet.features.engine.kernels import fourier, plans
from quintet.features.engine.kernels.extremes import extremes
from quintet.features.engine.kernels.lanes import LANES, lane_rows
from quintet.features.engine.kernels.simd import store
from quintet.features.engine.moments import RowMoments, sample_moments
from quintet.features.engine.streamed_moments import in_memory_median
from quintet.features.engine.stretches import clip_stretch
from quintet.features.engine.tables import MelBands
from quintet.features.parameters import FeatureParameters, LogMelParameters
from quintet.features.statistics import Moments

wide = partial(FeatureParameters, feature_set="wide")
RATE = 22050
FULL, PAPER = wide(), FeatureParameters(feature_set="bahuleyan2018")
BARE = wide(masking_floor_db=None)
FLOORED = wide(masking_floor_db=-18)


def noise(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(n) * 0.1


def music(n: int, rate: int = RATE, seed: int = 0) -> np.ndarray:
    """Decaying chords over noise, with a silent stretch: something happens in every family."""
    rng, t = np.random.default_rng(seed), np.arange(n) / rate
    sound = 0.01 * rng.standard_normal(n)
    for start in np.arange(0, n / rate, 0.37):
        envelope = np.where(t >= start, np.exp(-6 * (t - start)), 0.0)
        for pitch in rng.choice([220.0, 261.6, 329.6, 415.3, 880.0], 3):
            sound += 0.2 * envelope * np.sin(2 * np.pi * pitch * (t - start))
    sound[n // 3 : n // 3 + n // 10] = 0.0
    return sound


SOUNDS = {
    "music": music(60000),
    "sine at a bin": np.sin(2 * np.pi * 100 * np.arange(30000) / 2048),
    "sine between bins": np.sin(2 * np.pi * 100.5 * np.arange(30000) / 2048),
    "near half the rate": np.sin(2 * np.pi * 11000 * np.arange(30000) / RATE),
    "constant": np.full(30000, 0.5),
    "impulse": np.eye(1, 30000, 12345)[0],
    "noise": noise(30000),
    "clipped": np.clip(3 * np.sin(2 * np.pi * 300 * np.arange(30000) / RATE), -1, 1),
    "silence, then noise": np.concatenate([np.zeros(15000), noise(15000)]),
    "very quiet": noise(30000) * 1e-9,
    "out of scale": noise(30000) * 3e5,
}


# --- the transform ----------------------------------------------------------------------------------------


@njit
def _powers(samples, first, hop, fourier_tables, points, power):
    for group in range(power.shape[0]):
        fourier.transform(samples, first + LANES * group * hop, hop, fourier_tables, points)
        fourier.separate(points, fourier_tables, power.shape[1], power[group])


def power_of_bins(samples: np.ndarray, n_fft: int, hop_length: int) -> np.ndarray:
    """Every bin of every frame by the kernel, frame 0 being centred on sample 0."""
    frames, bins = 1 + len(samples) // hop_length, n_fft // 2 + 1
    groups = -(-frames // LANES)
    padded = np.pad(samples, (n_fft // 2, n_fft + LANES * hop_length))
    power = np.empty((groups, bins, LANES))
    _powers(padded, 0, hop_length, plans.fourier_plan(n_fft), lane_rows(n_fft), power)
    return power.transpose(1, 0, 2).reshape(bins, -1)[:, :frames]


@pytest.mark.parametrize("n_fft", [64, 128, 256, 512, 1024, 2048, 4096])
def test_the_transform_is_the_fourier_transform(n_fft):
    samples = noise(3 * n_fft + 5).astype(np.float32)
    expected = spectrum(Clip(samples, RATE), n_fft=n_fft, hop_length=n_fft // 4).power
    np.testing.assert_allclose(
        power_of_bins(samples, n_fft, n_fft // 4), expected, rtol=1e-9, atol=1e-13 * expected.max()
    )


def test_a_quiet_frame_beside_a_loud_one_keeps_its_precision():
    samples = np.concatenate([noise(8192) * 1e-8, noise(8192)]).astype(np.float32)
    expected = spectrum(Clip(samples, RATE), n_fft=512, hop_length=512).power
    np.testing.assert_allclose(
        power_of_bins(samples, 512, 512)[:, :15],
        expected[:, :15],
        rtol=1e-9,
        atol=1e-13 * expected[:, :15].max(),
    )


@pytest.mark.parametrize(
    ("n_fft", "can"), [(64, True), (2048, True), (32, False), (1200, False), (96, False)]
)
def test_the_kernels_transform_powers_of_two_only(n_fft, can):
    assert plans.can_transform(n_fft) is can


@pytest.mark.parametrize("n_fft", [64, 1024, 4096])
def test_peaks_are_the_local_maxima_of_the_power(n_fft):
    clip = Clip(SOUNDS["music"].astype(np.float32), RATE)
    hop, first, last, share = n_fft // 2, 2, n_fft // 3, 1e-3
    found = passes.find_peaks(
        clip_stretch(clip, n_fft=n_fft, hop_length=hop),
        n_fft=n_fft,
        hop_length=hop,
        bins=(first, last),
        share=share,
    )
    power = spectrum(clip, n_fft=n_fft, hop_length=hop).power
    bins, frames = argrelmax(power)
    is_loud = power[bins, frames] > share * power[first - 1 : last + 1].max(axis=0)[frames]
    searched = is_loud & (bins >= first) & (bins < last)
    expected = sorted(zip(frames[searched], bins[searched], strict=True))
    assert sorted(zip(found.frames.tolist(), found.bins.tolist(), strict=True)) == expected
    around = np.stack([power[found.bins + k, found.frames] for k in (-1, 0, 1)])
    np.testing.assert_allclose(found.powers, around, rtol=1e-5, atol=1e-6 * around.max())


# --- the series -------------------------------------------------------------------------------------------


def assert_same_series(samples: np.ndarray, parameters: FeatureParameters) -> None:
    """Compare every group by kernels and definitions, relative to the largest value of the series."""
    clip = Clip(samples.astype(np.float32), parameters.sample_rate)
    expected, received = Analysis(clip, parameters), CompiledAnalysis(clip, parameters, with_log_mel=True)
    rounding = (
        2e-3 if np.ptp(samples) == 0 else 1e-6
    )  # of a constant signal bandwidths are made of rounding noise
    np.testing.assert_allclose(received.bandwidths, expected.bandwidths, rtol=rounding)
    np.testing.assert_array_equal(received.waveform[0], expected.series("temporal.zcr"))
    np.testing.assert_array_equal(received.frame_series.rolloff, expected.series("spectral.rolloff"))
    peaks = tonal.spectral_peaks(expected.band_spectrum.subsample(parameters.chroma_stride))
    assert received.totals.tuning == expected.tuning_of(*peaks)
    np.testing.assert_allclose(
        received.log_mel(parameters.log_mel), expected.log_mel(parameters.log_mel), atol=1e-5
    )
    for group in (
        "temporal.rms",
        "spectral.centroid",
        "spectral.contrast",
        "spectral.flatness",
        "cepstral.mfcc",
        "tonal.chroma",
        "rhythm.onset",
    ):
        one, other = received.series(group), expected.series(group)
        least = {"spectral.contrast": 1e-4, "rhythm.onset": 1e-6}  # dB, of powers in float32
        rounding = max(
            least.get(group, 0.0), 1e-6 * np.abs(other).max()
        )  # the valley of a tone is rounding noise
        np.testing.assert_allclose(one, other, rtol=3e-7, atol=rounding, err_msg=group)


@pytest.mark.parametrize("name", SOUNDS)
def test_any_sound_has_the_series_of_the_definitions(name):
    assert_same_series(SOUNDS[name], FULL)


@pytest.mark.parametrize(
    "settings",
    [
        {"n_fft": 1024, "hop_length": 441},
        {"n_fft": 1200, "hop_length": 300},
        {"n_fft": 4096, "hop_length": 4096, "chroma_stride": 1},
        {"n_fft": 2048, "hop_length": 100, "chroma_stride": 7},
        {"n_mels": 40, "n_mfcc": 13, "n_bands": 1, "roll_percent": 0.5},
        {
            "feature_set": "full",
            "n_mels": 7,
            "n_mfcc": 7,
            "n_contrast_bands": 2,
            "contrast_fmin": 700.0,
            "roll_percent": 0.999,
        },
        {"log_mel": LogMelParameters(n_mels=128)},
        {
            "log_mel": LogMelParameters(
                sample_rate=16000, n_fft=400, hop_length=160, n_mels=64, fmin=50, fmax=7000, floor_db=-70
            )
        },
        {
            "sample_rate": 8000,
            "n_fft": 256,
            "hop_length": 128,
            "n_contrast_bands": 4,
            "log_mel": LogMelParameters(sample_rate=8000),
        },
        {"sample_rate": 96000, "n_fft": 8192, "hop_length": 2000},
        {"masking_floor_db": -18.0, "n_fft": 1200, "hop_length": 300},
        {
            "masking_floor_db": -50.0,
            "log_mel": LogMelParameters(n_fft=512, hop_length=256, masking_floor_db=-3.0),
        },
    ],
    ids=str,
)
def test_any_setting(settings):
    parameters = wide(**settings)
    assert_same_series(music(40000, parameters.sample_rate), parameters)


@pytest.mark.parametrize("n", [2048, 2049, 2048 + 511, 7 * 512, 8 * 512 - 1, 8 * 512, 20000 + 1])
def test_any_length(n):
    assert_same_series(music(n, seed=n), FULL)


@pytest.mark.parametrize("parameters", [FULL, FLOORED, PAPER], ids=["full", "floored", "paper"])
def test_kernels_and_definitions_give_the_same_row(parameters):
    samples = music(5 * RATE).astype(np.float32)
    compiled = describe(Clip(samples, RATE), parameters, log_mel=True)
    defined = describe(Clip(samples.astype(np.float64), RATE), parameters, log_mel=True)
    assert list(compiled.features) == list(defined.features)
    np.testing.assert_allclose(
        list(compiled.features.values()), list(defined.features.values()), rtol=1e-6, atol=1e-5
    )
    np.testing.assert_allclose(compiled.log_mel, defined.log_mel, atol=1e-5)


def test_make_analysis_selects_kernels_or_definitions(monkeypatch):
    clip = Clip(music(4096).astype(np.float32), RATE)
    assert isinstance(make_analysis(clip, FULL), CompiledAnalysis)
    assert type(make_analysis(Clip(clip.samples.astype(np.float64), RATE), FULL)) is Analysis
    monkeypatch.setattr(engine_analysis, "kernels_available", lambda: False)
    assert type(make_analysis(clip, FULL)) is Analysis


@pytest.mark.parametrize("gain", [1e-30, 1e-9, 1e9, 1e30])
def test_the_scale_of_the_samples_does_not_matter(gain):
    samples = music(20000).astype(np.float32)
    scaled, plain = (
        describe(Clip(samples * np.float32(factor), RATE), BARE).features for factor in (gain, 1.0)
    )
    for column in (
        "spectral.centroid.mean",
        "spectral.bandwidth_p4.mean",
        "spectral.rolloff.mean",
        "tonal.chroma_01.mean",
        "temporal.zcr.mean",
    ):
        if column != "temporal.zcr.mean" or gain > 1e-9:  # below 1e-10 a sample has no sign
            assert scaled[column] == pytest.approx(plain[column], rel=1e-5), column


def test_samples_need_not_be_contiguous():
    samples = music(2 * 44100).astype(np.float32)
    apart = describe(Clip(samples[::2], RATE), PAPER).features
    assert apart == describe(Clip(samples[::2].copy(), RATE), PAPER).features


def test_a_clip_shorter_than_a_frame_is_refused_by_the_kernels():
    with pytest.raises(TooShortError, match="at least one frame"):
        clip_stretch(Clip(noise(100).astype(np.float32), RATE), n_fft=128, hop_length=64)


def test_only_the_required_filterbanks_are_measured():
    clip = Clip(noise(4096).astype(np.float32), RATE)
    banks = {}
    for family in ("spectral", "cepstral", "modulation"):
        analysis = CompiledAnalysis(clip, wide(families=(family,)))
        banks[family] = analysis.measurement.filterbanks
    assert banks == {"spectral": (), "cepstral": (MelBands(128),), "modulation": (MelBands(20),)}


def test_the_kernels_compute_every_group_of_the_sets():
    analysis = CompiledAnalysis(Clip(music(9000).astype(np.float32), RATE), FULL)
    assert all(
        np.isfinite(analysis.values(group, statistics)).all() for group, statistics in select_groups(FULL)
    )
    assert "spectrum" not in vars(analysis)  # the definitions' spectrogram was never made


# --- the waveform and the logarithm -----------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 7, 8, 1001, 40000])
def test_moments_of_a_waveform_are_those_of_its_samples(n):
    samples = (noise(n) + 0.3).astype(np.float32)
    for moments, values in zip(sample_moments(samples), (samples, np.abs(samples)), strict=True):
        exact = values.astype(np.float64)
        assert moments.mean[0] == pytest.approx(exact.mean(), rel=1e-12)
        for order in (2, 3, 4):
            assert moments.moment(order)[0] == pytest.approx(
                np.mean((exact - exact.mean()) ** order), rel=1e-9, abs=1e-18
            )
        assert (moments.smallest[0], moments.largest[0], moments.median[0]) == (
            exact.min(),
            exact.max(),
            np.median(exact),
        )


def test_decibels_are_exact_to_the_last_digits():
    power = np.geomspace(1e-37, 1e37, 80000).astype(np.float32).reshape(-1, LANES)
    power[0, :3] = [1.0, 2.0, np.nextafter(np.float32(1), np.float32(2))]
    expected, exact, single = (
        10 * np.log10(power.astype(np.float64)),
        lane_rows(len(power)),
        lane_rows(len(power), np.float32),
    )
    native.decibels(power, 1e-38, exact)
    np.testing.assert_allclose(exact, expected, rtol=1e-15, atol=1e-15)
    native.decibels_single(power, 1e-37, single)
    np.testing.assert_allclose(single, expected, rtol=2.5e-7, atol=1e-7)


def test_decibels_have_a_floor():
    power, exact, single = np.zeros((1, LANES), np.float32), lane_rows(1), lane_rows(1, np.float32)
    native.decibels(power, AMIN, exact)
    native.decibels_single(power, AMIN, single)
    np.testing.assert_allclose([exact, single], -100.0)


@pytest.mark.parametrize("n", [1, 2, 5, 1000, 30001])
@pytest.mark.parametrize("kind", ["noise", "zeros", "ties", "tiny and huge"])
def test_the_median_of_samples_is_that_of_the_sorted(n, kind):
    rng = np.random.default_rng(n)
    sounds = {
        "noise": noise(n),
        "zeros": np.zeros(n),
        "ties": rng.integers(-3, 3, n) / 7,
        "tiny and huge": rng.choice([-1e30, -1e-40, -0.0, 1e-44, 2e30], n),
    }
    samples = sounds[kind].astype(np.float32)
    assert in_memory_median(samples) == np.median(samples.astype(np.float64))
    assert in_memory_median(samples, of_absolute=True) == np.median(np.abs(samples).astype(np.float64))


@pytest.mark.parametrize("n", [1, 7, 8, 9, 1001])
def test_moments_of_series_are_those_of_their_definition(n):
    rows = np.random.default_rng(n).standard_normal((3, n)) * [[1.0], [1e6], [1e-9]] + [[0.0], [-3e6], [5.0]]
    compiled, defined = RowMoments(rows), Moments(rows)
    for name in ("mean", "smallest", "largest", "magnitude", "median"):
        np.testing.assert_allclose(getattr(compiled, name), getattr(defined, name), rtol=1e-13, err_msg=name)
    for order in (2, 3, 4):
        np.testing.assert_allclose(
            compiled.moment(order), defined.moment(order), rtol=1e-6, atol=1e-12 * np.abs(rows).max() ** order
        )


@pytest.mark.parametrize("value", [0.1, -1e30, 3.0])
def test_a_constant_series_has_exactly_no_spread(value):
    moments = RowMoments(np.full((1, 1003), value))
    assert moments.smallest[0] == moments.largest[0] == value
    assert moments.mean[0] == pytest.approx(value, rel=1e-15)
    assert moments.variance[0] == moments.shape(3, normal=0.0)[0] == moments.shape(4, normal=3.0)[0] == 0


# --- the extremes -----------------------------------------------------------------------------------------


@njit
def _extremes(rows, first, last, n, rest, result):
    largest, smallest = extremes(rows, first, last, n, rest)
    store(result, 0, largest)
    store(result, 1, smallest)


@pytest.mark.parametrize("ties", [False, True])
def test_extremes_are_those_of_a_sorted_list(ties):
    rng = np.random.default_rng(3)
    for count in [*range(1, 20), 50, 101, 430]:
        for n in sorted({1, 2, 3, 4, 5, count // 10, count // 2, count} - {0}):
            if n <= count:
                rows = lane_rows(count + 5, np.float32)
                rows[:] = rng.integers(0, 4, rows.shape) if ties else rng.standard_normal(rows.shape)
                ordered, result = np.sort(rows[2 : 2 + count], axis=0), lane_rows(2)
                _extremes(rows, 2, 2 + count, n, lane_rows(4 * count + 8, np.float32), result)
                expected = [
                    ordered[-n:].mean(axis=0, dtype=np.float64),
                    ordered[:n].mean(axis=0, dtype=np.float64),
                ]
                np.testing.assert_allclose(result, expected, rtol=2e-6, atol=2e-6, err_msg=f"{n} of {count}")
