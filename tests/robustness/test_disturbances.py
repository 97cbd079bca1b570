"""Disturbances do to samples what they say: levels, bands, pitches, lengths."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from quintet.audio.clip import Clip
from quintet.audio.decode import ClipSource, load_clip
from quintet.audio.encode import write_mp3
from quintet.robustness.disturbances import DISTURBANCES, disturbed_file, write_disturbed

RATE = 22050


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """Every disturbed copy of the middle 2 s of tones of 440 Hz and 9 kHz, as the product decodes it."""
    folder = tmp_path_factory.mktemp("copies")
    t = np.arange(3 * RATE) / RATE
    sound = 0.4 * np.sin(2 * np.pi * 440 * t) + 0.05 * np.sin(2 * np.pi * 9000 * t)
    soundfile.write(folder / "a.wav", np.stack([sound, 0.5 * sound], axis=1), RATE, subtype="FLOAT")
    stem = str(folder / "copy")
    write_disturbed(ClipSource(str(folder / "a.wav")), tuple(DISTURBANCES), stem, 2.0)
    loaded = {name: load_clip(disturbed_file(stem, name), sample_rate=RATE) for name in DISTURBANCES}
    return {name: decoded.clip.samples.astype(np.float64) for name, decoded in loaded.items()}


def peak_hz(samples: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(spectrum.argmax() * RATE / len(samples))


def level(samples: np.ndarray, hz: float) -> float:
    """Amplitude of a tone."""
    t = np.arange(len(samples)) / RATE
    return float(2 * np.abs(np.mean(samples * np.exp(-2j * np.pi * hz * t))))


def test_the_unchanged_copy_is_the_middle_of_the_mono_mix(copies: dict[str, np.ndarray]) -> None:
    t = (np.arange(2 * RATE) + RATE // 2) / RATE
    expected = 0.75 * (0.4 * np.sin(2 * np.pi * 440 * t) + 0.05 * np.sin(2 * np.pi * 9000 * t))
    assert len(copies["unchanged"]) == 2 * RATE
    assert np.abs(copies["unchanged"] - expected).max() < 1 / 32768
    assert np.array_equal(copies["mono"], copies["unchanged"])


def test_gain_noise_and_band(copies: dict[str, np.ndarray]) -> None:
    whole = copies["unchanged"]
    assert copies["gain_down"] == pytest.approx(whole * 10 ** (-12 / 20), abs=1 / 32768)
    assert np.abs(copies["gain_up"]).max() == pytest.approx(1.0, abs=1e-4)  # 12 dB more would be 1.3: clipped
    noise = copies["noise"] - whole
    assert 10 * np.log10(np.mean(whole**2) / np.mean(noise**2)) == pytest.approx(20, abs=0.2)
    assert level(copies["narrow"], 9000) < 0.001 < level(whole, 9000)
    assert level(copies["narrow"], 440) == pytest.approx(level(whole, 440), rel=0.01)


def test_pitch_tempo_and_length(copies: dict[str, np.ndarray]) -> None:
    semitone = 2 ** (1 / 12)
    assert peak_hz(copies["pitch_up"]) == pytest.approx(440 * semitone, rel=0.01)
    assert peak_hz(copies["pitch_down"]) == pytest.approx(440 / semitone, rel=0.01)
    assert len(copies["slower"]) == pytest.approx(2 * RATE / 0.95, rel=0.001)
    assert len(copies["faster"]) == pytest.approx(2 * RATE / 1.05, rel=0.001)
    assert peak_hz(copies["faster"]) == pytest.approx(440, rel=0.01)
    assert len(copies["trimmed"]) == pytest.approx(1.6 * RATE, abs=2)
    tenth = len(copies["unchanged"]) // 10
    assert np.array_equal(copies["trimmed"], copies["unchanged"][tenth : len(copies["unchanged"]) - tenth])


def test_mp3_keeps_the_tone_and_changes_the_samples(copies: dict[str, np.ndarray]) -> None:
    assert level(copies["mp3"][10_000:30_000], 440) == pytest.approx(0.95 * 0.3, rel=0.02)  # LAME scales so
    assert len(copies["mp3"]) == pytest.approx(len(copies["unchanged"]), abs=2400)
    n = min(len(copies["mp3"]), len(copies["unchanged"]))
    assert not np.array_equal(copies["mp3"][:n], copies["unchanged"][:n])


@pytest.mark.parametrize("rate", [8000, 12000, 44100, 96000])
def test_mp3_takes_any_rate(rate: int, tmp_path: Path) -> None:
    t = np.arange(rate) / rate
    write_mp3(Clip(np.sin(2 * np.pi * 440 * t).astype(np.float32), rate), tmp_path / "a.mp3")
    decoded = load_clip(tmp_path / "a.mp3", sample_rate=None)
    assert decoded.native_sample_rate == (44_100 if rate == 96000 else rate)
    assert decoded.duration_s == pytest.approx(1.0, abs=0.2)
    size = (tmp_path / "a.mp3").stat().st_size * 8
    assert size < (90_000 if rate <= 12000 else 170_000)
