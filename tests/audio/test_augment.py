"""Augmentation of waveforms: pitch, length, level and noise of an augmented tone."""

from __future__ import annotations

import numpy as np
import pytest

from quintet.audio.augment import AudioAugmentation, add_noise, augment_clip, pitch_shift, time_stretch
from quintet.audio.clip import Clip

RATE = 22050


def tone(frequency: float = 440.0, seconds: float = 1.0) -> np.ndarray:
    return np.sin(2 * np.pi * frequency * np.arange(int(seconds * RATE)) / RATE).astype(np.float32)


def peak_hz(samples: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 8 * RATE))
    return float(spectrum.argmax()) / 8


@pytest.mark.parametrize("semitones", [pytest.param(-9.0, marks=pytest.mark.slow), 5.0, 12.0])
def test_a_tone_moves_by_its_semitones_and_keeps_its_length(semitones):
    shifted = pitch_shift(tone(), semitones, sample_rate=RATE)
    assert shifted.shape == tone().shape
    assert peak_hz(shifted) == pytest.approx(440 * 2 ** (semitones / 12), rel=0.005)


def test_a_tone_twice_as_fast_is_half_as_long_and_no_higher():
    fast = time_stretch(tone(), 2.0)
    assert len(fast) == pytest.approx(RATE / 2, abs=2)
    assert peak_hz(fast) == pytest.approx(440, rel=0.005)


@pytest.mark.parametrize("snr_db", [0.0, 20.0])
def test_noise_lies_so_many_decibels_below(snr_db):
    samples = tone()
    noise = add_noise(samples, snr_db, np.random.default_rng(0)) - samples
    assert 10 * np.log10(np.mean(samples**2) / np.mean(noise**2)) == pytest.approx(snr_db, abs=0.2)
    assert not add_noise(np.zeros(9, np.float32), snr_db, np.random.default_rng(0)).any()


def test_amounts_come_from_the_ranges_and_the_seed():
    clip = Clip(tone(seconds=0.1), RATE, "a")
    settings = AudioAugmentation(gain_db=(-6, 6))
    gains = [
        20 * np.log10(np.abs(augment_clip(clip, settings, np.random.default_rng(k)).samples).max())
        for k in range(40)
    ]
    assert min(gains) >= -6.01
    assert max(gains) <= 6.01
    assert np.std(gains) > 2
    shifts = AudioAugmentation(pitch_shift=((-9, -5), (5, 9)))
    peaks = {
        augment_clip(Clip(tone(), RATE), shifts, np.random.default_rng(k)).samples.tobytes()
        for k in (0, 0, 1)
    }
    assert len(peaks) == 2
    steps = [
        12
        * np.log2(peak_hz(augment_clip(Clip(tone(), RATE), shifts, np.random.default_rng(k)).samples) / 440)
        for k in range(8)
    ]
    assert all(4.9 <= abs(step) <= 9.1 for step in steps)
    assert {np.sign(step) for step in steps} == {-1, 1}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "must do something"),
        ({"gain_db": (3, -3)}, "from low to high"),
        ({"time_stretch": (0, 1)}, "above 0"),
        ({"echo": 1}, "Extra inputs"),
    ],
)
def test_nonsense_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        AudioAugmentation(**settings)
