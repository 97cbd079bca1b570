from __future__ import annotations

import librosa
import numpy as np
import pytest

from quintet.audio.clip import Clip
from quintet.audio.mel import mel_power, power_to_db
from quintet.audio.spectrum import spectrum
from quintet.features.descriptors.rhythm import onset_strength, tempo


def onset_of(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    spec = spectrum(Clip(samples, sample_rate), n_fft=2048, hop_length=512)
    return onset_strength(
        power_to_db(mel_power(spec, n_mels=128, fmin=0.0, fmax=None), top_db=80.0), n_fft=2048, hop_length=512
    )


@pytest.mark.parametrize("sample_rate", [22050, 44100, 8000])
@pytest.mark.parametrize("seconds", [0.5, 3.0, 20.0])
def test_onset_strength_and_tempo_equal_librosa(sample_rate, seconds):
    rng = np.random.default_rng(int(seconds * 10))
    n = int(seconds * sample_rate)
    beats = np.arange(n) % int(0.43 * sample_rate) < 900
    samples = rng.standard_normal(n) * np.where(beats, 0.5, 0.01)
    onset = onset_of(samples, sample_rate)
    np.testing.assert_allclose(
        onset, librosa.onset.onset_strength(y=samples, sr=sample_rate), rtol=1e-10, atol=1e-12
    )
    assert (
        tempo(onset, sample_rate=sample_rate, hop_length=512)[0]
        == librosa.feature.tempo(y=samples, sr=sample_rate)[0]
    )


@pytest.mark.parametrize("bpm", [75.0, 100.0, 120.0, 150.0])
def test_the_tempo_of_clicks_is_exact_within_a_frame(bpm):
    samples = np.zeros(22050 * 15)
    for beat in np.arange(0.2, 15, 60 / bpm):
        start = int(beat * 22050)
        samples[start : start + 300] = (
            np.random.default_rng(0).standard_normal(300)[: len(samples) - start] * 0.5
        )
    estimate, clarity = tempo(onset_of(samples, 22050), sample_rate=22050, hop_length=512)
    assert estimate == pytest.approx(bpm, rel=0.04)
    assert clarity > 0.4


def test_a_beat_is_clear_and_noise_is_not():
    noise = onset_of(np.random.default_rng(0).standard_normal(22050 * 10) * 0.1, 22050)
    beat = np.zeros(430)
    beat[::20] = 1.0
    assert tempo(beat, sample_rate=22050, hop_length=512)[1] == pytest.approx(1.0, abs=0.06)
    assert abs(tempo(noise[5:], sample_rate=22050, hop_length=512)[1]) < 0.2


def test_without_an_onset_the_tempo_is_near_120_and_unclear():
    bpm, clarity = tempo(np.zeros(100), sample_rate=22050, hop_length=512)
    assert bpm == pytest.approx(120, abs=4)
    assert clarity == 0


def test_a_clip_of_one_frame_has_no_onset():
    assert onset_strength(np.zeros((128, 1)), n_fft=2048, hop_length=512).tolist() == [0.0]


@pytest.mark.parametrize("distance", [3, 4, 5, 7])
def test_no_tempo_is_faster_than_320(distance):
    onset = np.zeros(600)
    onset[[100, 100 + distance]] = 1.0  # a pair, which says nothing of any slower tempo
    bpm, _ = tempo(onset, sample_rate=22050, hop_length=512)
    assert bpm < 320
    assert bpm == librosa.feature.tempo(onset_envelope=onset, sr=22050)[0]
