"""Frames of MPEG audio are counted where their tag is wrong or absent."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from quintet.audio.decode import load_clip
from quintet.audio.reading import mpeg
from quintet.audio.reading.mpeg import MpegAudio, parse_header, xing_frame
from quintet.audio.reading.probe import probe_duration_s
from quintet.errors import DecodeError
from tests.audio.reading.sounds import (
    RATE,
    SECONDS,
    id3,
    mpeg_of,
    seconds_of,
    sound,
    without_tag,
    write,
)


def test_the_frames_of_an_mp3_are_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp3", sound(), bitrate_mode="VARIABLE", compression_level=0.2)
    audio = mpeg_of(path)
    assert audio.tag_frames == audio.n_frames
    assert audio.n_samples == pytest.approx(SECONDS * RATE, abs=3 * 1152)
    bare = tmp_path / "bare.mp3"
    bare.write_bytes(without_tag(path))
    assert (mpeg_of(bare).tag_frames, mpeg_of(bare).n_frames) == (None, audio.n_frames)


def test_the_table_of_bit_rates_is_the_standard_s() -> None:
    """ISO/IEC 11172-3, 2.4.2.3: 144 · bit rate / sample rate bytes, one more with padding."""
    mpeg_1_layer_3 = [(9, 417), (14, 1044), (1, 104)]
    for index, length in mpeg_1_layer_3:
        for padding in (0, 1):
            header = parse_header(bytes([0xFF, 0xFB, index << 4 | padding << 1, 0]), 0)
            assert header is not None
            assert header.length == length + padding
    mpeg_2_layer_3 = parse_header(bytes([0xFF, 0xF3, 8 << 4, 0xC0]), 0)  # 64 kbit/s, 22050 Hz, mono
    assert mpeg_2_layer_3 is not None
    assert (mpeg_2_layer_3.length, mpeg_2_layer_3.samples, mpeg_2_layer_3.is_mono) == (208, 576, True)


def test_a_made_xing_frame_states_its_frames(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp3", sound(2.0))
    audio = mpeg_of(path)
    tagged = tmp_path / "tagged.mp3"
    tagged.write_bytes(xing_frame(audio) + without_tag(path))
    assert mpeg_of(tagged).tag_frames == audio.n_frames


def with_tag_frames(content: bytes, n_frames: int) -> bytes:
    """An mp3 file whose Xing or Info tag states other frames."""
    at = max(content.find(b"Xing"), content.find(b"Info")) + 8
    return content[:at] + n_frames.to_bytes(4, "big") + content[at + 4 :]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.98])
def test_a_tag_that_counts_too_few_frames_of_an_mp3_cuts_nothing(tmp_path: Path, share: float) -> None:
    """The tag was believed because it states the right number of bytes: 2.6 of 9 s were read, as a whole."""
    path = write(tmp_path / "a.mp3", sound(), bitrate_mode="VARIABLE", compression_level=0.2)
    content, whole = path.read_bytes(), load_clip(path, sample_rate=None)
    path.write_bytes(with_tag_frames(content, round(share * (mpeg_of(path).tag_frames or 0))))
    clip = load_clip(path, sample_rate=None)
    assert clip.audio_digest == whole.audio_digest
    assert probe_duration_s(path) == clip.duration_s
    for start, end in ((0.5, 1.5), (1.0, 2.5), (4.25, 5.0), (5.5, None)):
        window = load_clip(path, sample_rate=None, start_s=start, end_s=end).clip.samples
        stretch = whole.clip.samples[round(start * RATE) : None if end is None else round(end * RATE)]
        np.testing.assert_allclose(window, stretch, atol=1e-4)


def test_a_tag_that_counts_too_many_frames_of_a_whole_mp3_misses_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp3", sound())
    content = path.read_bytes()
    path.write_bytes(with_tag_frames(content, 10_000))
    clip = load_clip(path, sample_rate=None)
    assert clip.duration_s == pytest.approx(SECONDS, abs=0.05)
    filled = content[: len(content) * 6 // 10].ljust(len(content), b"\0")  # as a download that broke off
    for cut in (content[: len(content) * 6 // 10], filled):
        path.write_bytes(cut)
        clip = load_clip(path, sample_rate=None, strict=False)
        assert clip.missing_s > 1.0
        assert clip.duration_s + clip.missing_s == pytest.approx(SECONDS, abs=0.01)


def vbri_frame(audio: MpegAudio, n_frames: int, n_bytes: int) -> bytes:
    """A frame as the encoders of Fraunhofer put it in front."""
    head = bytes([0xFF, audio.first_bytes[1] | 1, 9 << 4 | audio.first_bytes[2] & 0x0C, audio.first_bytes[3]])
    header = parse_header(head, 0)
    assert header is not None
    tag = b"VBRI" + struct.pack(">HHHIIHHHH", 1, 0, 0, n_bytes, n_frames, 0, 1, 2, 1)
    return (head + bytes(32) + tag).ljust(header.length, b"\0")


def test_a_vbri_tag_says_what_is_missing_and_is_no_sound(tmp_path: Path) -> None:
    """A half of such a file was a whole one, and its tag 26 ms of silence."""
    path = write(tmp_path / "a.mp3", sound(), bitrate_mode="VARIABLE", compression_level=0.2)
    audio = mpeg_of(path)
    bare = without_tag(path)
    path.write_bytes(bare)
    whole = load_clip(path, sample_rate=None)
    for n_frames, surplus in ((audio.n_frames, 417), (audio.n_frames, 0), (100, 417), (1000, 417)):
        path.write_bytes(vbri_frame(audio, n_frames, len(bare) + surplus) + bare)
        assert load_clip(path, sample_rate=None).audio_digest == whole.audio_digest
        assert probe_duration_s(path) == pytest.approx(whole.duration_s)
    path.write_bytes((vbri_frame(audio, audio.n_frames, len(bare)) + bare)[: len(bare) // 2])
    cut = load_clip(path, sample_rate=None, strict=False)
    assert cut.missing_s > 1.0
    assert cut.duration_s + cut.missing_s == pytest.approx(whole.duration_s, abs=0.1)
    with pytest.raises(DecodeError, match="is cut short"):
        load_clip(path, sample_rate=None)


def test_the_frames_of_an_mp3_with_a_right_tag_are_not_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.mp3", sound())
    monkeypatch.setattr(mpeg, "_count_frames", lambda *_: pytest.fail("the frames are counted"))
    assert seconds_of(path) == SECONDS
    assert probe_duration_s(path) == SECONDS
    assert load_clip(path, sample_rate=None, start_s=5.0).duration_s == 1.0
    assert load_clip(path, sample_rate=None, start_s=1.0, end_s=2.0).duration_s == 1.0


def test_an_mp3_without_a_tag_begins_where_its_wav_begins(tmp_path: Path) -> None:
    samples = np.zeros(2 * RATE)
    samples[31_000:31_064] = 0.8 * np.hanning(64)
    path = write(tmp_path / "tagged.mp3", samples, format="MP3", subtype="MPEG_LAYER_III")
    bare = tmp_path / "bare.mp3"
    bare.write_bytes(without_tag(path))
    for file in (path, bare):
        assert abs(int(load_clip(file, sample_rate=None).clip.samples.argmax()) - 31_032) <= 2


@pytest.mark.parametrize("tags", [b"", id3(3000)], ids=["bare", "id3"])
def test_the_name_of_an_mp3_changes_nothing(tmp_path: Path, tags: bytes) -> None:
    """Behind a tag, only files that are named .mp3 were taken for one: a half was whole."""
    path, other = tmp_path / "a.mp3", tmp_path / "a.dat"
    content = tags + write(path, sound()).read_bytes()
    frames = tags + without_tag(path)
    for part in (content, content[: len(content) * 6 // 10], frames):
        path.write_bytes(part)
        other.write_bytes(part)
        named, unnamed = (load_clip(file, sample_rate=None, strict=False) for file in (path, other))
        assert named.audio_digest == unnamed.audio_digest
        assert named.missing_s == unnamed.missing_s
