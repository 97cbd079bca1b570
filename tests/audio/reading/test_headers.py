"""Headers that say nothing of the length, or say it in their own way: only the data count."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from quintet.audio.decode import load_clip

RATE = 8000
SAMPLES = np.random.default_rng(0).integers(-9000, 9000, (2 * RATE, 2)).astype(np.int16)
MIX = SAMPLES.mean(axis=1) / 32768


def write(path: Path, format: str, **options: str) -> bytearray:
    """A recording of two channels, and its bytes."""
    soundfile.write(path, SAMPLES, RATE, format=format, subtype="PCM_16", **options)
    return bytearray(path.read_bytes())


def make_bw64(path: Path) -> bytes:
    return b"BW64" + write(path, "RF64")[4:]


def make_rifx(path: Path) -> bytes:
    return bytes(write(path, "WAV", endian="BIG"))


@pytest.mark.parametrize("make", [make_bw64, make_rifx])
def test_a_wav_of_another_kind_that_is_cut_is_marked(tmp_path: Path, make: Callable[[Path], bytes]) -> None:
    if make is make_bw64:
        pytest.importorskip("av")
    path = tmp_path / "a.wav"
    content = make(path)
    path.write_bytes(content)
    whole = load_clip(path, sample_rate=None, strict=False)
    assert (whole.duration_s, whole.truncation) == (2.0, "")
    path.write_bytes(content[: len(content) * 6 // 10])
    cut = load_clip(path, sample_rate=None, strict=False)
    assert "the file states 2.00 s" in cut.truncation
    assert cut.duration_s + cut.missing_s == pytest.approx(2.0, abs=0.001)
