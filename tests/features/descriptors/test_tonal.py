from __future__ import annotations

import librosa
import numpy as np
import pytest

from quintet.audio.clip import Clip
from quintet.audio.spectrum import Spectrum, spectrum
from quintet.features.descriptors import tonal


def music(sample_rate: int, cents: float = 0.0, seed: int = 0) -> np.ndarray:
    """A few chords with overtones, detuned."""
    rng = np.random.default_rng(seed)
    t = np.arange(sample_rate) / sample_rate
    notes = 220 * 2 ** ((np.array([0, 3, 7, 12, 16]) + cents / 100) / 12)
    parts = [np.sin(2 * np.pi * note * k * t + rng.uniform(0, 6)) / k for note in notes for k in range(1, 5)]
    return 0.05 * np.sum(parts, axis=0) + 0.001 * rng.standard_normal(sample_rate)


def spectrum_of(samples: np.ndarray, sample_rate: int = 22050) -> Spectrum:
    return spectrum(Clip(samples, sample_rate), n_fft=2048, hop_length=1024)


@pytest.mark.parametrize("sample_rate", [22050, 44100, 8000])
@pytest.mark.parametrize("cents", [-37.0, 0.0, 12.0])
def test_tuning_chroma_and_tonnetz_equal_librosa(sample_rate, cents):
    samples = music(sample_rate, cents)
    spec = spectrum_of(samples, sample_rate)
    tuning = tonal.estimate_tuning(spec)
    assert tuning == librosa.estimate_tuning(S=spec.power, sr=sample_rate)
    ours = tonal.chroma(spec, tuning=tuning)
    np.testing.assert_allclose(
        ours, librosa.feature.chroma_stft(y=samples, sr=sample_rate, hop_length=1024), rtol=1e-10, atol=1e-12
    )
    np.testing.assert_allclose(
        tonal.tonnetz(ours), librosa.feature.tonnetz(chroma=ours), rtol=1e-10, atol=1e-12
    )


@pytest.mark.parametrize("kind", ["noise", "dc", "half silent"])
def test_tuning_equals_librosa_if_nothing_is_in_tune(kind):
    noise = 0.1 * np.random.default_rng(3).standard_normal(22050)
    samples = {
        "noise": noise,
        "dc": np.full(22050, 0.2),
        "half silent": np.where(np.arange(22050) < 11000, 0, noise),
    }[kind]
    spec = spectrum_of(samples)
    pitches = librosa.piptrack(S=spec.power, sr=22050)[0]
    assert len(tonal.spectral_peaks(spec)[0]) == np.count_nonzero(pitches)
    if pitches.any():
        assert tonal.estimate_tuning(spec) == librosa.estimate_tuning(S=spec.power, sr=22050)
    else:
        assert tonal.estimate_tuning(spec) == 0.0


@pytest.mark.parametrize("tuning", [-0.5, -0.13, 0.0, 0.49])
@pytest.mark.parametrize(("sample_rate", "n_fft"), [(22050, 2048), (44100, 4096), (16000, 512)])
def test_the_filterbank_equals_librosa_to_the_last_bit(sample_rate, n_fft, tuning):
    ours = tonal.chroma_filterbank(sample_rate=sample_rate, n_fft=n_fft, tuning=tuning)
    np.testing.assert_array_equal(ours, librosa.filters.chroma(sr=sample_rate, n_fft=n_fft, tuning=tuning))


def test_the_strongest_pitch_class_of_a_note_is_its_name():
    for midi in range(60, 84):
        samples = np.sin(2 * np.pi * 440 * 2 ** ((midi - 69) / 12) * np.arange(8192) / 22050)
        assert tonal.chroma(spectrum_of(samples), tuning=0.0)[:, 4].argmax() == midi % 12


def test_the_tuning_is_that_of_a_detuned_tone():
    for cents in (-30, -10, 20, 40):
        assert tonal.estimate_tuning(spectrum_of(music(22050, cents))) * 100 == pytest.approx(cents, abs=12)


@pytest.mark.parametrize("place", [7, 4096, 12345, 22049])
def test_an_impulse_has_no_peaks_so_no_tuning(place):
    spectrum = spectrum_of(np.eye(1, 22050, place)[0])
    assert len(tonal.spectral_peaks(spectrum)[0]) == 0
    assert tonal.estimate_tuning(spectrum) == 0.0


def test_gain_does_not_change_chroma_and_silence_is_zero():
    samples = music(22050)
    np.testing.assert_allclose(
        tonal.chroma(spectrum_of(samples), tuning=0.1),
        tonal.chroma(spectrum_of(3 * samples), tuning=0.1),
        rtol=1e-9,
    )
    silent = Spectrum(np.zeros((1025, 4)), 22050, 2048, 1024)
    assert tonal.estimate_tuning(silent) == 0.0
    assert not tonal.tonnetz(tonal.chroma(silent, tuning=0.0)).any()


def test_a_fifth_up_turns_the_first_circle_by_a_twelfth():
    base = np.eye(12)[:, :1]
    x, y = tonal.tonnetz(base)[:2, 0]
    up = tonal.tonnetz(np.roll(base, 7, axis=0))[:2, 0]
    assert abs(np.angle((up[1] + 1j * up[0]) / (y + 1j * x))) == pytest.approx(np.pi / 6)
