from __future__ import annotations

import librosa
import numpy as np
import pytest
import scipy.signal

from quintet.audio.clip import Clip
from quintet.audio.spectrum import hann, spectrum
from quintet.errors import TooShortError


@pytest.mark.parametrize(
    ("n", "n_fft", "hop_length"),
    [(2048, 2048, 512), (2049, 2048, 512), (30000, 2048, 512), (9999, 512, 160), (7000, 1000, 1000)],
)
def test_the_transform_equals_librosas(n, n_fft, hop_length):
    samples = np.random.default_rng(0).standard_normal(n)
    ours = spectrum(Clip(samples, 22050), n_fft=n_fft, hop_length=hop_length)
    theirs = np.abs(librosa.stft(samples, n_fft=n_fft, hop_length=hop_length))
    np.testing.assert_allclose(ours.magnitude, theirs, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(ours.power, ours.magnitude**2)


def test_float32_samples_are_transformed_in_float64():
    samples = np.random.default_rng(0).standard_normal(5000).astype(np.float32)
    ours = spectrum(Clip(samples, 22050), n_fft=2048, hop_length=512).magnitude
    np.testing.assert_allclose(ours, np.abs(librosa.stft(samples.astype(np.float64))), rtol=1e-12, atol=1e-12)


def test_frequencies_and_times_belong_to_bins_and_frames():
    spec = spectrum(Clip(np.zeros(16000) + 0.1, 16000), n_fft=1024, hop_length=256)
    np.testing.assert_allclose(spec.frequencies, librosa.fft_frequencies(sr=16000, n_fft=1024))
    np.testing.assert_allclose(spec.times, librosa.times_like(spec.magnitude, sr=16000, hop_length=256))


@pytest.mark.parametrize("n", [10000, 10240, 10239])
def test_every_second_frame_is_the_transform_of_twice_the_hop(n):
    clip = Clip(np.random.default_rng(0).standard_normal(n), 22050)
    thinned, direct = (
        spectrum(clip, n_fft=2048, hop_length=512).subsample(2),
        spectrum(clip, n_fft=2048, hop_length=1024),
    )
    np.testing.assert_array_equal(thinned.magnitude, direct.magnitude)
    np.testing.assert_array_equal(thinned.times, direct.times)


def test_a_clip_shorter_than_a_frame_is_refused():
    with pytest.raises(
        TooShortError, match=r"at least one frame long \(2048 samples, 0.093 s\). 'tick' has 2047 samples"
    ):
        spectrum(Clip(np.ones(2047), 22050, "tick"), n_fft=2048, hop_length=512)


@pytest.mark.parametrize("length", [1, 2, 345, 2048])
def test_the_window_is_scipys(length):
    np.testing.assert_allclose(
        hann(length), scipy.signal.get_window("hann", length), atol=1e-16 if length > 1 else 1
    )


def test_the_window_cannot_be_changed_by_a_caller():
    with pytest.raises(ValueError, match="read-only"):
        hann(16)[0] = 1.0
