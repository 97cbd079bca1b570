"""What lies in the current folder changes no recording."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from quintet.audio.decode import load_clip
from quintet.audio.reading.mpeg import find_mpeg_audio
from quintet.audio.reading.probe import probe_duration_s

RATE = 44100


def frames_of(path: Path) -> bytes:
    """The blocks of an mp3 without the one that states their number."""
    audio = find_mpeg_audio(path)
    assert audio is not None
    content = path.read_bytes()
    return b"".join(content[start:stop] for start, stop in audio.ranges)


@pytest.mark.parametrize("bit_rate", ["CONSTANT", "VARIABLE"])
@pytest.mark.parametrize("rest", ["tagged", "bare", "padded", "joined"])
@pytest.mark.parametrize("fork", [".AppleDouble", "._"])
def test_a_fork_in_the_current_folder_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bit_rate: str, rest: str, fork: str
) -> None:
    """libsndfile looks there for the fork of an mp3 without a name, and refused it ("bad resource fork")."""
    path = tmp_path / "a.mp3"
    noise = np.random.default_rng(0).normal(size=3 * RATE) * np.linspace(0, 0.2, 3 * RATE)
    soundfile.write(path, noise, RATE, bitrate_mode=bit_rate, compression_level=0.3)
    bare = frames_of(path)
    variants = {"tagged": path.read_bytes(), "bare": bare, "padded": bare + bytes(200_000)}
    path.write_bytes(variants.get(rest, path.read_bytes() + bare))
    (tmp_path / "plain").mkdir()
    monkeypatch.chdir(tmp_path / "plain")
    expected, seconds = load_clip(path, sample_rate=None, strict=False), probe_duration_s(path)
    odd = tmp_path / "odd"
    odd.mkdir()
    if fork == "._":
        (odd / fork).write_bytes(b"no fork")
    else:
        (odd / fork).mkdir()
    monkeypatch.chdir(odd)
    clip = load_clip(path, sample_rate=None, strict=False)
    assert (clip.audio_digest, clip.truncation) == (expected.audio_digest, expected.truncation)
    assert probe_duration_s(path) == seconds
    window = load_clip(path, sample_rate=None, start_s=1.0, end_s=2.0, strict=False).clip.samples
    np.testing.assert_allclose(window, expected.clip.samples[RATE : 2 * RATE], atol=1e-4)
