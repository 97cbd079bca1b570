from __future__ import annotations

import librosa
import numpy as np
import pytest

from quintet.audio.clip import Clip
from quintet.audio.spectrum import Spectrum, spectrum
from quintet.features.descriptors import spectral


def spectrum_of(samples: np.ndarray, sample_rate: int = 22050) -> Spectrum:
    return spectrum(Clip(samples, sample_rate), n_fft=2048, hop_length=512)


def signals(sample_rate: int) -> dict[str, np.ndarray]:
    n = sample_rate // 2 + 4096
    t, rng = np.arange(n) / sample_rate, np.random.default_rng(0)
    step = sample_rate / 2048
    return {
        "sine at a bin": np.sin(2 * np.pi * 80 * step * t),
        "sine between": 0.5 * np.sin(2 * np.pi * 80.5 * step * t),
        "dc": np.full(n, 0.3),
        "impulse": np.eye(1, n, n // 2)[0],
        "noise": 0.1 * rng.standard_normal(n),
        "clipped": np.clip(3 * np.sin(2 * np.pi * 220 * t), -1, 1),
        "nyquist": 0.3 * np.cos(np.pi * np.arange(n)),
        "half silent": np.where(np.arange(n) < n // 2, 0.0, 0.1 * rng.standard_normal(n)),
        "faint": 1e-7 * rng.standard_normal(n),
    }


@pytest.mark.parametrize("sample_rate", [22050, 44100, 8000])
@pytest.mark.parametrize("name", signals(8000))
def test_every_spectral_descriptor_equals_librosa(sample_rate, name):
    samples = signals(sample_rate)[name]
    spec, feature = spectrum_of(samples, sample_rate), librosa.feature
    bands = 6 if sample_rate > 12800 else 4
    given = {"y": samples, "sr": sample_rate}
    np.testing.assert_allclose(
        spectral.spectral_centroid(spec), feature.spectral_centroid(**given)[0], rtol=1e-10, atol=1e-9
    )
    for p, row in zip((2, 3, 4), spectral.spectral_bandwidths(spec), strict=True):
        np.testing.assert_allclose(row, feature.spectral_bandwidth(**given, p=p)[0], rtol=1e-8, atol=1e-9)
    np.testing.assert_array_equal(
        spectral.spectral_rolloff(spec, roll_percent=0.85), feature.spectral_rolloff(**given)[0]
    )
    theirs = feature.spectral_contrast(**given, n_bands=bands)
    np.testing.assert_allclose(
        spectral.spectral_contrast(spec, n_bands=bands, fmin=200.0), theirs, rtol=1e-9, atol=1e-9
    )
    np.testing.assert_allclose(
        spectral.spectral_flatness(spec), feature.spectral_flatness(y=samples)[0], rtol=1e-10
    )


def test_the_centroid_of_a_tone_is_the_tone_and_gain_does_not_move_it():
    samples = np.sin(2 * np.pi * 3000 * np.arange(22050) / 22050)
    centroid = spectral.spectral_centroid(spectrum_of(samples))[4:-4]
    np.testing.assert_allclose(centroid, 3000, atol=1)
    np.testing.assert_allclose(
        spectral.spectral_centroid(spectrum_of(0.01 * samples))[4:-4], centroid, rtol=1e-9
    )


def test_white_noise_has_its_closed_forms():
    spec = spectrum_of(np.random.default_rng(1).standard_normal(22050 * 8))
    nyquist = 11025
    assert spectral.spectral_centroid(spec).mean() == pytest.approx(nyquist / 2, rel=0.01)
    for p, row in zip((2, 3, 4), spectral.spectral_bandwidths(spec), strict=True):
        assert row.mean() == pytest.approx(
            nyquist / 2 / (p + 1) ** (1 / p), rel=0.01
        )  # of a uniform distribution
    assert spectral.spectral_rolloff(spec, roll_percent=0.85).mean() == pytest.approx(
        0.85 * nyquist, rel=0.01
    )
    assert spectral.spectral_flatness(spec).mean() == pytest.approx(np.exp(-np.euler_gamma), rel=0.02)


def test_bandwidth_does_not_fall_as_p_grows():
    for samples in signals(22050).values():
        rows = spectral.spectral_bandwidths(spectrum_of(samples))
        assert (np.diff(rows, axis=0) >= -1e-9 * rows[1:]).all()


def test_silent_frames_have_declared_values():
    spec = Spectrum(np.zeros((1025, 3)), 22050, 2048, 512)
    assert not spectral.spectral_centroid(spec).any()
    assert not spectral.spectral_bandwidths(spec).any()
    assert not spectral.spectral_rolloff(spec, roll_percent=0.85).any()
    assert not spectral.spectral_contrast(spec, n_bands=6, fmin=200.0).any()
    np.testing.assert_allclose(spectral.spectral_flatness(spec), 1.0)


def test_the_contrast_of_a_tone_is_largest_in_its_octave():
    samples = np.sin(2 * np.pi * 1100 * np.arange(22050) / 22050) + 0.001 * np.random.default_rng(
        0
    ).standard_normal(22050)
    contrast = spectral.spectral_contrast(spectrum_of(samples), n_bands=6, fmin=200.0).mean(axis=1)
    assert contrast.argmax() == 3  # 800-1600 Hz
