"""Parts of recordings, and recordings that follow each other in one file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from quintet.audio.decode import load_clip
from quintet.audio.reading.mpeg import find_mpeg_audio
from quintet.audio.reading.probe import probe_duration_s
from quintet.audio.reading.streams import READ_AHEAD_BYTES
from quintet.errors import DecodeError
from tests.fuzz.audio import WITH_AV, WITH_SOUNDFILE, write_av

RATE = 44100
NOISE = np.random.default_rng(0).uniform(-0.3, 0.3, 6 * RATE)


def copy_part(source: Path, target: Path, start_s: float, end_s: float) -> int:
    """Copy packets as `ffmpeg -ss … -to … -c copy` does; the frame with which the part begins."""
    av = pytest.importorskip("av")
    begin = None
    with av.open(str(source)) as whole, av.open(str(target), "w") as part:
        stream = whole.streams.audio[0]
        copied = part.add_stream_from_template(stream)
        for packet in whole.demux(stream):
            if packet.pts is not None and start_s <= packet.pts * packet.time_base < end_s:
                begin = round(packet.pts * packet.time_base * RATE) if begin is None else begin
                packet.stream = copied
                part.mux(packet)
    assert begin is not None
    return begin


@pytest.mark.parametrize(("start_s", "end_s"), [(2.0, 9.0), (2.0, 4.0), (0.0, 3.0)])
def test_a_part_that_was_cut_out_of_a_flac_is_as_long_as_its_sound(
    tmp_path: Path, start_s: float, end_s: float
) -> None:
    """Its header is that of the whole; libFLAC sought in it as in the whole, and gave other samples."""
    soundfile.write(tmp_path / "a.flac", NOISE, RATE)
    whole = load_clip(tmp_path / "a.flac", sample_rate=None).clip.samples
    path = tmp_path / "part.flac"
    begin = copy_part(tmp_path / "a.flac", path, start_s, end_s)
    part = load_clip(path, sample_rate=None, strict=False)
    sound = part.clip.samples
    np.testing.assert_array_equal(sound, whole[begin : begin + len(sound)])
    assert probe_duration_s(path) == part.duration_s
    assert begin + len(sound) + round(part.missing_s * RATE) == len(whole)
    assert bool(part.truncation) == (end_s < 6)  # as if it had been cut off: no frame says where it ends
    for at in (0.5, 1.25, 1.75):
        window = load_clip(path, sample_rate=None, start_s=at, end_s=at + 0.2).clip.samples
        np.testing.assert_array_equal(window, sound[round(at * RATE) :][: len(window)])
    with pytest.raises(DecodeError):
        load_clip(path, sample_rate=None, start_s=4.0, end_s=4.5)


BY_SOUNDFILE = (
    *("16.wav", "float.wav", "adpcm.wav", "wavex.wav", "rf64.wav", "aiff", "au", "caf", "svx"),
    *("mat4.wav", "sds"),
)
BY_AV = ("m4a", "mov", "3gp", "wma", "flv", "tta")


@pytest.mark.parametrize("kind", [*BY_SOUNDFILE, *BY_AV])
def test_a_recording_behind_the_one_that_is_read_is_said(tmp_path: Path, kind: str) -> None:
    """Half of the sound was judged without a word."""
    pytest.importorskip("av")
    path, samples = tmp_path / f"a.{kind}", NOISE[: 2 * RATE]
    if kind in BY_SOUNDFILE:
        format, subtype = WITH_SOUNDFILE[kind]
        soundfile.write(path, samples, RATE, format=format, subtype=subtype)
    else:
        write_av(path, *WITH_AV[kind], samples[:, None], RATE)
    alone = load_clip(path, sample_rate=None)
    path.write_bytes(2 * path.read_bytes())
    joined = load_clip(path, sample_rate=None, strict=False)
    np.testing.assert_array_equal(joined.clip.samples, alone.clip.samples)
    assert "another recording follows" in joined.truncation
    assert load_clip(path, sample_rate=None, start_s=0.5, end_s=1.0).truncation == ""
    with pytest.raises(DecodeError, match="another recording follows"):
        load_clip(path, sample_rate=None)


def test_what_begins_like_a_second_stream_and_is_none_costs_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    soundfile.write(path, NOISE, RATE)
    path.write_bytes(path.read_bytes() + b"fLaC\0\0\0\x22" + bytes(100))
    clip = load_clip(path, sample_rate=None, strict=False)
    assert clip.duration_s == 6.0
    assert "cannot be read" in clip.truncation


def mpeg_stream(path: Path, rate: int, channels: int, mode: str) -> bytes:
    samples = NOISE[: 2 * rate, None].repeat(channels, axis=1)
    soundfile.write(path, samples, rate, format="MP3", subtype="MPEG_LAYER_III", bitrate_mode=mode)
    return path.read_bytes()


@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
@pytest.mark.parametrize("has_tag", [False, True])
@pytest.mark.parametrize(
    ("first", "second"),
    [((RATE, 2), (48000, 2)), ((RATE, 1), (RATE, 2)), ((RATE, 2), (RATE, 1)), ((RATE, 1), (22050, 1))],
    ids=str,
)
def test_an_mp3_of_another_kind_behind_the_first_is_said(
    tmp_path: Path, first: tuple[int, int], second: tuple[int, int], has_tag: bool, mode: str
) -> None:
    """Half of the sound was judged without a word."""
    path = tmp_path / "a.mp3"
    content = mpeg_stream(path, *first, mode)
    if not has_tag:
        audio = find_mpeg_audio(path)
        assert audio is not None
        content = content[audio.ranges[0][0] :]
    path.write_bytes(content)
    alone = load_clip(path, sample_rate=None)
    path.write_bytes(content + mpeg_stream(tmp_path / "b.mp3", *second, mode) + b"TAG" + bytes(125))
    joined = load_clip(path, sample_rate=None, strict=False)
    assert joined.audio_digest == alone.audio_digest
    assert "another rate or other channels follows" in joined.truncation
    assert joined.missing_s == pytest.approx(2.0, abs=0.15)
    assert probe_duration_s(path) == pytest.approx(alone.duration_s)
    assert load_clip(path, sample_rate=None, start_s=0.5, end_s=1.0).truncation == ""
    with pytest.raises(DecodeError, match="another rate or other channels follows"):
        load_clip(path, sample_rate=None)


def test_another_layer_behind_an_mp2_is_said(tmp_path: Path) -> None:
    pytest.importorskip("av")
    path = tmp_path / "a.mp2"
    write_av(path, *WITH_AV["mp2"], NOISE[: 2 * RATE, None], RATE)
    alone = load_clip(path, sample_rate=None)
    path.write_bytes(path.read_bytes() + mpeg_stream(tmp_path / "b.mp3", RATE, 2, "CONSTANT"))
    joined = load_clip(path, sample_rate=None, strict=False)
    assert joined.audio_digest == alone.audio_digest
    assert "another rate or other channels follows" in joined.truncation


def test_the_probe_counts_a_second_flac_with_frames_of_the_same_numbers(tmp_path: Path) -> None:
    """libFLAC found the last frame of the first in the second, and the search began behind it."""
    path = tmp_path / "a.flac"
    soundfile.write(path, NOISE[: 2 * RATE], RATE)
    assert len(path.read_bytes()) > READ_AHEAD_BYTES
    path.write_bytes(2 * path.read_bytes())
    assert probe_duration_s(path) == load_clip(path, sample_rate=None).duration_s == 4.0
