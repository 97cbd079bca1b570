from __future__ import annotations

import librosa
import numpy as np
import pytest
import scipy.signal

from quintet.audio.clip import Clip
from quintet.audio.mel import (
    LARGEST,
    compress_mel_power,
    hz_to_mel,
    log_mel,
    mel_filterbank,
    mel_power,
    mel_to_hz,
    power_to_db,
    preemphasis,
)
from quintet.audio.spectrum import spectrum


@pytest.mark.parametrize(
    ("sample_rate", "n_fft", "n_mels", "fmin", "fmax"),
    [
        (22050, 2048, 128, 0.0, None),
        (22050, 2048, 96, 0.0, None),
        (44100, 1024, 40, 30.0, 8000.0),
        (16000, 512, 96, 0.0, 8000.0),
        (8000, 2048, 20, 0.0, None),
    ],
)
def test_the_filterbank_is_librosas_to_the_last_bit(sample_rate, n_fft, n_mels, fmin, fmax):
    ours = mel_filterbank(sample_rate=sample_rate, n_fft=n_fft, n_mels=n_mels, fmin=fmin, fmax=fmax)
    np.testing.assert_array_equal(
        ours, librosa.filters.mel(sr=sample_rate, n_fft=n_fft, n_mels=n_mels, fmin=fmin, fmax=fmax)
    )


def test_a_band_narrower_than_the_bins_is_empty_and_finite():
    weights = mel_filterbank(sample_rate=44100, n_fft=256, n_mels=128, fmin=0.0, fmax=None)
    assert (weights.sum(axis=1) == 0).any()
    assert np.isfinite(weights).all()


def test_mel_and_hz_are_inverse():
    mels = np.linspace(0, 60, 50)
    np.testing.assert_allclose([hz_to_mel(float(f)) for f in mel_to_hz(mels)], mels, rtol=1e-12)


@pytest.mark.parametrize("top_db", [None, 80.0, 20.0])
def test_decibels_are_librosas(top_db):
    power = np.concatenate([[0.0, 1e-12, 1.0], np.random.default_rng(0).exponential(size=100) ** 9])
    np.testing.assert_allclose(
        power_to_db(power, ref=2.0, top_db=top_db),
        librosa.power_to_db(power, ref=2.0, top_db=top_db),
        rtol=1e-12,
    )


def test_the_log_mel_is_librosas_within_a_hundred_thousandth_of_a_decibel():
    samples = np.random.default_rng(0).standard_normal(30000) * 0.1
    spec = spectrum(Clip(samples, 22050), n_fft=2048, hop_length=512)
    theirs = librosa.power_to_db(librosa.feature.melspectrogram(y=samples, sr=22050, n_mels=96), top_db=None)
    ours = log_mel(spec, n_mels=96, fmin=0.0, fmax=None)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert ours.dtype == np.float32


def test_twice_the_gain_is_six_decibels_and_silence_is_the_floor():
    samples = np.random.default_rng(0).standard_normal(9000) * 0.1
    samples[4000:] = 0
    quiet, loud = (
        log_mel(
            spectrum(Clip(g * samples, 22050), n_fft=2048, hop_length=512),
            n_mels=40,
            fmin=0.0,
            fmax=None,
            floor_db=-90,
        )
        for g in (1, 2)
    )
    np.testing.assert_allclose((loud - quiet)[:, :5], 20 * np.log10(2), atol=1e-4)
    assert (quiet[:, -5:] == -90).all()


def test_the_power_of_white_noise_is_equal_in_all_bands():
    samples = np.random.default_rng(0).standard_normal(400_000)
    power = mel_power(
        spectrum(Clip(samples, 22050), n_fft=2048, hop_length=512), n_mels=12, fmin=0.0, fmax=None
    ).mean(axis=1)
    np.testing.assert_allclose(power, power.mean(), rtol=0.06)


def test_pre_emphasis_is_scipys_filter_and_raises_what_is_high():
    samples = np.random.default_rng(0).standard_normal(5000).astype(np.float32)
    ours = preemphasis(samples, 0.97)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, scipy.signal.lfilter([1.0, -0.97], [1.0], samples), atol=1e-5)
    low, high = (np.sin(2 * np.pi * f * np.arange(22050) / 22050) for f in (100, 8000))
    assert np.std(preemphasis(low, 0.97)) < 0.1 * np.std(low)
    assert np.std(preemphasis(high, 0.97)) > 1.5 * np.std(high)


def test_compressions_agree_with_their_formulas():
    power = np.array([0.0, 1e-12, 1e-4, 1.0, 1e6])
    np.testing.assert_allclose(
        compress_mel_power(power, compression="db", floor_db=-90), [-90, -90, -40, 0, 60], atol=1e-5
    )
    np.testing.assert_allclose(
        compress_mel_power(power, compression="log"), np.log10(1e4 * power + 1), rtol=1e-6
    )
    np.testing.assert_allclose(
        compress_mel_power(power, compression="power"), [0, 1e-12, 1e-4, 1, LARGEST], rtol=1e-6
    )
