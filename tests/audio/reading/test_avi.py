"""Lengths that AVI files state: of their chunks of sound, some of which may be empty or never counted."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from quintet.audio.decode import load_clip

av = pytest.importorskip("av")

RATE = 44100
SECONDS = 4
NOISE = (3000 * np.random.default_rng(0).standard_normal((1, SECONDS * RATE))).astype(np.int16)


class Pipe(io.RawIOBase):
    """A file that can only be written forwards."""

    def __init__(self) -> None:
        self.content = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self.content += data
        return len(data)


def write_film(target: Path | Pipe, codec: str, *, late_s: float, format: str = "avi") -> None:
    """A film whose sound begins later than its pictures."""
    file = target if isinstance(target, Pipe) else str(target)
    with av.open(file, "w", format=format) as film:
        picture, sound = film.add_stream("mpeg4", rate=10), film.add_stream(codec, rate=RATE, layout="mono")
        picture.width = picture.height = 64
        for k in range(10 * SECONDS):
            image = av.VideoFrame.from_ndarray(np.full((64, 64, 3), k, np.uint8), format="rgb24")
            film.mux(picture.encode(image))
        film.mux(picture.encode(None))
        resampler = av.AudioResampler(sound.format, "mono", RATE, frame_size=sound.frame_size or 1024)
        frame = av.AudioFrame.from_ndarray(NOISE, format="s16", layout="mono")
        frame.sample_rate, frame.pts = RATE, round(late_s * RATE)
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            film.mux(sound.encode(piece))
        film.mux(sound.encode(None))


@pytest.mark.parametrize("codec", ["libmp3lame", "ac3", "pcm_s16le"])
@pytest.mark.parametrize("late_s", [0.0, 2.5])
def test_sound_that_begins_late_misses_nothing(tmp_path: Path, codec: str, late_s: float) -> None:
    """ffmpeg counts the empty chunks of a delay: the length was that of the film."""
    path = tmp_path / "a.avi"
    write_film(path, codec, late_s=late_s)
    whole = load_clip(path, sample_rate=None, strict=False)
    assert whole.duration_s == pytest.approx(SECONDS, abs=0.06)
    assert (whole.truncation, whole.missing_s) == ("", 0.0)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 6 // 10])
    for _ in range(2):
        cut = load_clip(path, sample_rate=None, strict=False)
        assert "the file states" in cut.truncation
        assert cut.duration_s + cut.missing_s == pytest.approx(whole.duration_s, abs=0.05)


@pytest.mark.parametrize("late_s", [0.0, 2.5])
def test_a_film_that_was_written_to_a_pipe_misses_nothing(tmp_path: Path, late_s: float) -> None:
    """Its header states 40000000 chunks, 324 days."""
    pipe, path = Pipe(), tmp_path / "a.avi"
    write_film(pipe, "libmp3lame", late_s=late_s)
    path.write_bytes(pipe.content)
    clip = load_clip(path, sample_rate=None, strict=False)
    assert clip.duration_s == pytest.approx(SECONDS, abs=0.06)
    assert (clip.truncation, clip.missing_s) == ("", 0.0)


def test_real_media_that_was_written_to_a_pipe_misses_nothing(tmp_path: Path) -> None:
    """Its header states an hour."""
    pipe, path = Pipe(), tmp_path / "a.rm"
    with av.open(pipe, "w", format="rm") as file:
        stream = file.add_stream("ac3", rate=RATE, layout="mono")
        resampler = av.AudioResampler(stream.format, "mono", RATE, frame_size=1536)
        frame = av.AudioFrame.from_ndarray(NOISE, format="s16", layout="mono")
        frame.sample_rate = RATE
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            file.mux(stream.encode(piece))
        file.mux(stream.encode(None))
    path.write_bytes(pipe.content)
    clip = load_clip(path, sample_rate=None, strict=False)
    assert clip.duration_s == pytest.approx(SECONDS, abs=0.06)
    assert (clip.truncation, clip.missing_s) == ("", 0.0)
