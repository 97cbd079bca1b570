"""Headers that say nothing of the length, or say it in their own way: only the data count."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from quintet.audio.decode import load_clip
from quintet.audio.reading.probe import probe_duration_s
from quintet.errors import DecodeError

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


def forge(content: bytearray, mark: bytes, *fields: tuple[int, bytes]) -> bytes:
    """Bytes with other ones at places counted from a mark."""
    at = content.index(mark)
    for place, field in fields:
        content[at + place : at + place + len(field)] = field
    return bytes(content)


def ffmpeg_w64(path: Path) -> bytes:
    content = write(path, "W64")
    content[16:24] = b"\xff" * 8
    return forge(content, b"data\xf3\xac", (16, b"\xff" * 7 + b"\x7f"))


def sox_aiff(path: Path) -> bytes:
    content = bytearray(forge(write(path, "AIFF"), b"COMM", (10, (0x7F000000 // 4).to_bytes(4, "big"))))
    return forge(content, b"SSND", (4, (0x7F000008).to_bytes(4, "big")))


def ffmpeg_rf64(path: Path) -> bytes:
    return forge(write(path, "RF64"), b"ds64", (8, bytes(24)))


def other_rf64(path: Path) -> bytes:
    return forge(write(path, "RF64"), b"ds64", (8, b"\xff" * 24))


def ffmpeg_bw64(path: Path) -> bytes:
    return b"BW64" + ffmpeg_rf64(path)[4:]


def sox_caf(path: Path) -> bytes:
    """libsndfile writes its header anew before the first block and at the end, as it cannot go back."""
    content = bytes(write(path, "CAF"))
    start = content.index(b"data") + 16
    open_header = content[: start - 12] + (4).to_bytes(8, "big") + bytes(4)
    return 2 * open_header + content[start:] + content[:start]


def sox_w64(path: Path) -> bytes:
    content = bytes(write(path, "W64"))
    start = content.index(b"data\xf3\xac") + 24
    open_headers = [content[: start - 8] + size.to_bytes(8, "little") for size in (23, 24)]
    return b"".join(open_headers) + content[start:] + content[:start]


def crashed_rifx(path: Path) -> bytes:
    return forge(write(path, "WAV", endian="BIG"), b"data", (4, bytes(4)))


PIPED = [ffmpeg_w64, sox_aiff, ffmpeg_rf64, other_rf64, ffmpeg_bw64, sox_caf, sox_w64, crashed_rifx]


@pytest.mark.parametrize("make", PIPED, ids=lambda make: make.__name__)
def test_a_recording_that_was_written_to_a_pipe_is_whole(
    tmp_path: Path, make: Callable[[Path], bytes]
) -> None:
    """Such a header was believed (52,286,689,551,322 s are missing), or its length was said to be zero."""
    path = tmp_path / "a.wav"
    path.write_bytes(make(path))
    clip = load_clip(path, sample_rate=None, strict=False)
    assert (clip.truncation, clip.missing_s) == ("", 0.0)
    np.testing.assert_array_equal(clip.clip.samples, MIX.astype(np.float32))
    window = load_clip(path, sample_rate=None, start_s=0.5, end_s=1.0).clip.samples
    np.testing.assert_array_equal(window, clip.clip.samples[RATE // 2 : RATE])
    assert probe_duration_s(path) == 2.0


@pytest.mark.parametrize(
    ("format", "chunk"),
    [
        ("CAF", b"info" + (8).to_bytes(8, "big") + b"text" * 2),
        ("RF64", b"LIST" + (8).to_bytes(4, "little") + b"text" * 2),
    ],
)
def test_a_recording_without_sound_gets_none_from_other_chunks(
    tmp_path: Path, format: str, chunk: bytes
) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros((0, 2)), RATE, format=format, subtype="PCM_16")
    path.write_bytes(path.read_bytes() + chunk)
    with pytest.raises(DecodeError, match="length is zero"):
        load_clip(path, sample_rate=None)


def split_voc(path: Path, n_blocks: int) -> bytes:
    """A voc file as ffmpeg writes it: blocks of samples, each with a head of four bytes, and an end mark."""
    whole = bytes(write(path, "VOC"))
    start = whole.index(bytes([9]), 26)
    facts, parts = whole[start + 4 : start + 16], np.array_split(SAMPLES.astype("<i2"), n_blocks)
    content = whole[:start]
    for k, part in enumerate(parts):
        body = (b"" if k else facts) + part.tobytes()
        content += bytes([2 if k else 9]) + len(body).to_bytes(3, "little") + body
    return content + bytes(1)


def test_the_heads_of_blocks_of_a_voc_file_are_no_sound(tmp_path: Path) -> None:
    """libsndfile takes them for samples: 9.009 s instead of 9, with a click at every block."""
    pytest.importorskip("av")
    path = tmp_path / "a.voc"
    for n_blocks in (1, 2, 1500):
        content = split_voc(path, n_blocks)
        path.write_bytes(content)
        clip = load_clip(path, sample_rate=None, strict=False)
        assert (clip.truncation, clip.missing_s) == ("", 0.0)
        np.testing.assert_array_equal(clip.clip.samples, MIX.astype(np.float32))
        assert probe_duration_s(path) == 2.0
        path.write_bytes(content[: len(content) * 6 // 10])
        assert load_clip(path, sample_rate=None, strict=False).truncation
