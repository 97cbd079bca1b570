"""Segments that are cut while a file is decoded are those that are decoded window by window."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import soundfile

from quintet.audio.decode import DecodedClip, load_clip
from quintet.audio.reading.probe import probe_duration_s
from quintet.audio.reading.segments import (
    WHOLE_FILE,
    Segment,
    Whole,
    Window,
    plan_windows,
    read_segments,
)
from quintet.errors import AudioError, DecodeError, SilentError

RATE = 22050


def music(duration_s: float, *, rate: int = RATE, channels: int = 2) -> np.ndarray:
    rng = np.random.default_rng(7)
    t = np.arange(round(duration_s * rate)) / rate
    tones = [np.sin(2 * np.pi * (300 + 200 * c) * t * (1 + 0.1 * t)) for c in range(channels)]
    return np.stack(tones, axis=1) * 0.3 + 0.03 * rng.normal(size=(len(t), channels))


def read(path: Path, segment_s: float = 1.0, **settings: bool) -> tuple[list[Segment], Whole]:
    *segments, whole = read_segments(path, sample_rate=16000, segment_s=segment_s, **settings)
    assert isinstance(whole, Whole)
    assert all(isinstance(segment, Segment) for segment in segments)
    return segments, whole  # type: ignore[return-value]


def write_av(path: Path, codec: str, samples: np.ndarray) -> None:
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=48000, layout="stereo")
        stream.bit_rate = 96_000
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(samples.T, dtype=np.float32), format="fltp", layout="stereo"
        )
        frame.sample_rate = RATE
        resampler = av.AudioResampler(
            format=stream.format, layout="stereo", rate=48000, frame_size=stream.frame_size or 1024
        )
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))


FORMATS = {
    "wav": {"subtype": "PCM_16"},
    "float.wav": {"subtype": "FLOAT"},
    "flac": {},
    "ogg": {},
    "mp3": {},
    "aiff": {"subtype": "PCM_24"},
    "m4a": {"codec": "aac"},
    "opus": {"codec": "libopus"},
    "wma": {"codec": "wmav2"},
}


REPEATABLE = ("wav", "float.wav", "flac", "ogg", "aiff", "opus")
"""Formats whose windows are the same to the bit, however they are decoded."""


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """3.4 s of music in every format."""
    folder = tmp_path_factory.mktemp("recordings")
    for suffix, settings in FORMATS.items():
        path, settings = folder / f"a.{suffix}", dict(settings)
        if "codec" in settings:
            write_av(path, settings["codec"], music(3.4))
        else:
            soundfile.write(path, music(3.4), RATE, **settings)
    return folder


@pytest.mark.parametrize("suffix", FORMATS)
def test_segments_are_slices_of_the_whole_recording(recordings: Path, suffix: str) -> None:
    path = recordings / f"a.{suffix}"
    whole = load_clip(path, sample_rate=None)
    rate = whole.clip.sample_rate
    *segments, end = read_segments(path, sample_rate=rate, segment_s=1.0, with_digest=True)
    assert end == Whole(whole.duration_s, whole.audio_digest)
    assert [segment.window for segment in segments] == plan_windows(probe_duration_s(path) or 0, 1.0)
    assert len(segments) == 4
    for segment in segments:
        start = round(segment.window.start * rate)
        expected = whole.clip.samples[start : start + rate]
        exact = not (suffix == "m4a" and segment is segments[-1])  # its decoder makes noise anew
        np.testing.assert_allclose(segment.sound.clip.samples, expected, atol=1e-6 if exact else 0.1)


@pytest.mark.parametrize("suffix", REPEATABLE)
def test_segments_are_the_windows_to_the_bit(recordings: Path, suffix: str) -> None:
    path = recordings / f"a.{suffix}"
    for segment in read(path)[0]:
        start_s, end_s = segment.window
        expected = load_clip(path, sample_rate=16000, start_s=start_s, end_s=end_s)
        assert segment.sound.audio_digest == expected.audio_digest
        np.testing.assert_array_equal(segment.sound.clip.samples, expected.clip.samples)


@pytest.mark.parametrize(
    ("duration_s", "windows"),
    [
        (1.5, [WHOLE_FILE]),
        (2.0, [Window(0.0, 1.0), Window(1.0, 2.0)]),
        (2.2, [Window(0.0, 1.0), Window(1.0, 2.0)]),
        (2.4, [Window(0.0, 1.0), Window(1.0, 2.0), Window(1.4, 2.4)]),
    ],
)
def test_a_long_file_is_cut_and_a_long_rest_gets_a_segment(
    tmp_path: Path, duration_s: float, windows: list[Window]
) -> None:
    soundfile.write(tmp_path / "a.wav", music(duration_s), RATE)
    segments, whole = read(tmp_path / "a.wav")
    np.testing.assert_equal([segment.window for segment in segments], windows)
    np.testing.assert_equal(plan_windows(duration_s, 1.0), windows)
    assert whole.duration_s == duration_s


def test_the_number_of_segments_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    soundfile.write(tmp_path / "a.wav", music(3.0), RATE)
    monkeypatch.setattr("quintet.audio.reading.segments.MOST_SEGMENTS", 3)
    assert len(read(tmp_path / "a.wav")[0]) == len(plan_windows(3.0, 1.0)) == 3
    parts = read_segments(tmp_path / "a.wav", sample_rate=16000, segment_s=0.5)
    with pytest.raises(DecodeError, match="at most 3 segments"):
        list(parts)
    with pytest.raises(DecodeError, match=r"more of 1e-300 s: choose longer segments"):
        plan_windows(3.0, 1e-300)


def test_a_silent_segment_is_an_error_beside_the_others(tmp_path: Path) -> None:
    samples = music(3.0)
    samples[RATE : 2 * RATE] = 0
    soundfile.write(tmp_path / "a.wav", samples, RATE)
    kinds = [type(segment.sound) for segment in read(tmp_path / "a.wav")[0]]
    assert kinds == [DecodedClip, SilentError, DecodedClip]


def claim_frames(path: Path, n_frames: int) -> None:
    """Let the header of a flac state another length."""
    data = bytearray(path.read_bytes())
    field = int.from_bytes(data[18:26], "big") >> 36 << 36 | n_frames
    data[18:26] = field.to_bytes(8, "big")
    path.write_bytes(data)


def test_the_number_of_segments_does_not_come_from_a_header(tmp_path: Path) -> None:
    path = tmp_path / "claim.flac"
    soundfile.write(path, music(2.0, rate=1000, channels=1), 1000)
    claim_frames(path, 2**36 - 1)
    segments, whole = read(path)
    assert [segment.window for segment in segments] == [Window(0.0, 1.0), Window(1.0, 2.0)]
    assert whole.duration_s == 2.0
    last = segments[-1].sound
    assert isinstance(last, DecodedClip)
    assert "the file states 68719476.73 s" in last.truncation
    with pytest.raises(DecodeError, match="cut short"):
        read(path, strict=True)


def test_segments_behind_a_damage_are_found_again(tmp_path: Path) -> None:
    path = tmp_path / "damaged.flac"
    soundfile.write(path, music(8.0), RATE)
    data = bytearray(path.read_bytes())
    place = len(data) // 2
    data[place : place + 2000] = bytes(2000)
    path.write_bytes(data)
    segments, whole = read(path)
    starts = [segment.window.start for segment in segments if isinstance(segment.sound, DecodedClip)]
    assert 2 < whole.duration_s < 5
    assert starts[:2] == [0.0, 1.0]
    assert starts[-2:] == [6.0, 7.0]
    for segment in segments:
        if isinstance(segment.sound, AudioError):
            assert 3.0 <= segment.window.start < 6.0
    marks = [segment.sound.truncation for segment in segments if isinstance(segment.sound, DecodedClip)]
    assert any(marks)


def test_a_file_without_sound_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    with pytest.raises(DecodeError):
        read(tmp_path / "a.wav")
    with pytest.raises(DecodeError, match="must exist"):
        read(tmp_path / "none.wav")
    assert math.isnan(WHOLE_FILE.end)
