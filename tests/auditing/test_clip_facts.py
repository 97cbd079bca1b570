from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from quintet.audio.clip import Clip
from quintet.audio.decode import ClipSource
from quintet.audio.reading import probe
from quintet.audio.resample import resample
from quintet.auditing import levels
from quintet.auditing.clip_facts import measure_clip, measure_clips
from quintet.auditing.levels import clipping_share, cutoff_hz, loudness_db, silence_share

RATE = 44100
NOISE = 0.1 * np.random.default_rng(0).normal(size=3 * RATE)


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 32000])
def test_audio_from_a_lower_rate_has_its_cutoff_there(rate: int) -> None:
    resampled = resample(resample(NOISE, orig_sr=RATE, target_sr=rate), orig_sr=rate, target_sr=RATE)
    assert 0.9 * rate / 2 < cutoff_hz(Clip(resampled, RATE)) < 1.1 * rate / 2


def test_an_mp3_of_low_quality_has_the_cutoff_of_its_encoder(tmp_path: Path) -> None:
    path = tmp_path / "low.mp3"
    soundfile.write(path, NOISE, RATE, bitrate_mode="CONSTANT", compression_level=0.9)
    measurement = measure_clip(ClipSource(str(path), id="low"), fingerprints=False)
    assert 15000 < measurement.facts["cutoff_hz"] < 19000


def test_a_gradual_fall_is_no_cutoff() -> None:
    spectrum = np.fft.rfft(NOISE)
    f = np.fft.rfftfreq(len(NOISE), 1 / RATE)
    dark = np.fft.irfft(spectrum / (1 + (f / 300) ** 2))  # 12 dB an octave
    assert cutoff_hz(Clip(dark, RATE)) == RATE / 2
    tones = sum(np.sin(2 * np.pi * 700 * k * np.arange(RATE) / RATE) / k**2 for k in range(1, 8))
    assert cutoff_hz(Clip(tones + 0.01 * NOISE[:RATE], RATE)) == RATE / 2


def test_levels_in_closed_form() -> None:
    assert loudness_db(Clip(np.full(1000, 0.1), 8000)) == pytest.approx(-20.0)
    half = np.concatenate([0.5 * np.ones(8000), 1e-4 * np.ones(8000)])
    assert silence_share(Clip(half, 8000)) == 0.5
    sine = np.sin(2 * np.pi * 500 * np.arange(8000) / 8000 + 0.01)
    assert clipping_share(Clip(0.99 * sine, 8000)) == 0.0
    assert clipping_share(Clip(np.clip(2 * sine, -1, 1), 8000)) == pytest.approx(
        2 / 3, abs=0.1
    )  # |sin| > 1/2


def test_an_unreadable_clip_has_a_problem(tmp_path: Path) -> None:
    good, silent, text = tmp_path / "good.wav", tmp_path / "silent.wav", tmp_path / "text.wav"
    soundfile.write(good, NOISE, RATE)
    soundfile.write(silent, np.zeros(RATE), RATE)
    text.write_text("no audio")
    calls: list[tuple[int, int, int]] = []
    places = [ClipSource(str(p), id=p.name) for p in (good, silent, text)] + [
        ClipSource(str(tmp_path / "gone.wav"), id="gone")
    ]
    found = measure_clips(places, fingerprints=True, progress=lambda *numbers: calls.append(numbers))
    assert [one.problem is None for one in found] == [True, False, False, False]
    assert "silent" in str(found[1].problem)
    assert calls == [(4, 1, 0), (4, 2, 1), (4, 3, 2), (4, 4, 3)]
    assert found[0].facts["native_sample_rate"] == RATE
    assert found[0].facts["native_channels"] == 1
    assert found[0].facts["duration_s"] == 3.0


def test_only_the_window_of_a_clip_counts(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.concatenate([NOISE, 0.1 * NOISE]), RATE)
    loud, soft = (
        measure_clip(ClipSource(str(path), s, s + 3.0, id=str(s)), fingerprints=False).facts
        for s in (0.0, 3.0)
    )
    assert loud["duration_s"] == 3.0
    assert loud["loudness_db"] - soft["loudness_db"] == pytest.approx(20.0, abs=0.1)


def test_an_address_is_measured_like_a_file_and_costs_its_row(tmp_path: Path) -> None:
    file = tmp_path / "a.wav"
    soundfile.write(file, 0.1 * np.random.default_rng(0).standard_normal(8000), 8000)
    (tmp_path / "empty.wav").touch()
    here, there = (
        measure_clip(ClipSource(path, id="a"), fingerprints=True) for path in (str(file), file.as_uri())
    )
    assert here.facts == there.facts
    assert here.facts is not None
    assert here.fingerprint is not None
    assert np.array_equal(here.fingerprint.marks, there.fingerprint.marks)  # type: ignore[union-attr]
    for url, words in (
        ((tmp_path / "empty.wav").as_uri(), "file://"),
        ("http://127.0.0.1:9/a.wav", "127.0.0.1"),
        ("ftp://example.org/a.wav", "scheme"),
    ):
        measured = measure_clip(ClipSource(url, id="a"), fingerprints=True)
        assert measured.facts is None
        assert words in str(measured.problem)


@pytest.mark.parametrize(("suffix", "block_samples"), [("flac", 1 << 22), ("mp3", 50_000)])
def test_a_long_recording_has_the_numbers_of_the_sound_at_once(
    suffix: str, block_samples: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Silence, clipping over the borders of blocks, a cut-off; the marks of blocks of 64 s."""
    rng, rate = np.random.default_rng(3), 11025
    sound = 0.2 * rng.normal(size=70 * rate) * (1 + np.sin(np.arange(70 * rate) / rate))
    sound[20 * rate : 23 * rate] = 0.0
    sound[300_000:410_000] = 1.0
    sound[5::7000] = 1.0
    sound = np.clip(sound, -1, 1)
    soundfile.write(tmp_path / f"a.{suffix}", sound, rate)
    source = ClipSource(str(tmp_path / f"a.{suffix}"), 1.5, 68.0, id="a")
    monkeypatch.setattr(levels, "BLOCK_SAMPLES", block_samples)
    at_once = measure_clip(source, fingerprints=True)
    monkeypatch.setattr(probe, "LONG_S", 60.0)
    monkeypatch.setattr(probe, "SMALL_BYTES", 1000)
    monkeypatch.setattr(ClipSource, "load", lambda *_, **__: pytest.fail("the clip was read at once"))
    in_sweeps = measure_clip(source, fingerprints=True)
    assert in_sweeps.facts == at_once.facts
    assert at_once.facts["clipped_share"] > 0.1
    assert at_once.facts["silence_share"] > 0.04
    assert len(in_sweeps.fingerprint.marks) > 1000
    np.testing.assert_array_equal(in_sweeps.fingerprint.marks, at_once.fingerprint.marks)
    np.testing.assert_array_equal(in_sweeps.fingerprint.frames, at_once.fingerprint.frames)


def test_a_long_recording_that_is_cut_short_is_measured_and_a_silent_one_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "LONG_S", 1.0)
    monkeypatch.setattr(probe, "SMALL_BYTES", 1000)
    soundfile.write(tmp_path / "a.wav", NOISE, RATE)
    data = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "a.wav").write_bytes(data[: len(data) // 2])
    soundfile.write(tmp_path / "b.wav", np.zeros(3 * RATE), RATE)
    sources = [ClipSource(str(tmp_path / name), id=name) for name in ("a.wav", "b.wav")]
    cut, silent = (measure_clip(source, fingerprints=True) for source in sources)
    assert cut.facts is not None
    assert cut.facts["duration_s"] == pytest.approx(1.5, abs=0.01)
    assert "3.00 s" in cut.truncation
    assert silent.problem is not None
    assert "silent" in silent.problem


@pytest.mark.slow
def test_three_hours_are_measured_in_little_memory(tmp_path: Path) -> None:
    """In a process of its own: its peak is that of the measurement."""
    with soundfile.SoundFile(tmp_path / "long.flac", "w", 11025, 1) as file:
        for _ in range(3 * 3600 // 4):
            file.write(0.1 * NOISE[:44100])
    code = (
        "import resource, sys\n"
        "from quintet.audio.decode import ClipSource\n"
        "from quintet.auditing.clip_facts import measure_clip\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "found = measure_clip(ClipSource(sys.argv[1], id='a'), fingerprints=True)\n"
        "assert found.facts['duration_s'] == 10800.0, found\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "long.flac")]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(result.stdout) < 300  # the samples alone take 476
