"""Lengths of recordings come from their data: no header, container or bit rate shortens or lengthens them."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from quintet.audio.decode import load_clip
from quintet.audio.reading import mpeg
from quintet.audio.reading.formats.ogg import ogg_is_complete
from quintet.audio.reading.mpeg import MpegAudio, find_mpeg_audio, parse_header, xing_frame
from quintet.audio.reading.probe import probe_duration_s
from quintet.errors import DecodeError
from tests.fuzz.audio import WITH_AV, make_seeds, ogg_checksum, write_av

RATE = 44100
SECONDS = 6.0
TOLERANCE_S = 0.03
ID3_BYTES = (21, 14, 7, 0)


def sound(seconds: float = SECONDS, *, seed: int = 0) -> np.ndarray:
    """Quiet tone, then loud noise: a variable bit rate rises in the middle."""
    n = round(seconds * RATE)
    rng = np.random.default_rng(seed)
    tone = 1e-3 * np.sin(2 * np.pi * 300 * np.arange(n) / RATE)
    return np.where(np.arange(n) < n // 2, tone, 0.3 * rng.standard_normal(n)).clip(-1, 1)


def write(path: Path, samples: np.ndarray, **options: object) -> Path:
    with soundfile.SoundFile(path, "w", RATE, 1, **options) as file:
        for start in range(0, len(samples), 1 << 15):  # libsndfile's Ogg encoder overflows on long writes
            file.write(samples[start : start + (1 << 15)])
    return path


def mpeg_of(path: Path) -> MpegAudio:
    audio = find_mpeg_audio(path)
    assert audio is not None
    return audio


def without_tag(path: Path) -> bytes:
    """The frames of an mp3 file alone."""
    content = path.read_bytes()
    return b"".join(content[start:stop] for start, stop in mpeg_of(path).ranges)


def id3(n_bytes: int) -> bytes:
    noise = np.random.default_rng(1).integers(0, 255, n_bytes, dtype=np.uint8).tobytes()
    return b"ID3\3\0\0" + bytes(n_bytes >> shift & 127 for shift in ID3_BYTES) + noise


def seconds_of(path: Path) -> float:
    return load_clip(path, sample_rate=None).duration_s


# ------------------------------------------------------------------------------------------------ MPEG frames


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


# ------------------------------------------------------------------------------------------- misleading files


def make_bare_vbr(folder: Path) -> Path:
    path = folder / "bare.mp3"
    path.write_bytes(
        without_tag(write(folder / "a.mp3", sound(), bitrate_mode="VARIABLE", compression_level=0.2))
    )
    return path


def make_loud_quiet_vbr(folder: Path) -> Path:
    path = folder / "falls.mp3"
    original = write(folder / "a.mp3", sound()[::-1], bitrate_mode="VARIABLE", compression_level=0.2)
    path.write_bytes(without_tag(original))
    return path


def make_cover(folder: Path) -> Path:
    path = folder / "cover.mp3"
    path.write_bytes(id3(400_000) + without_tag(write(folder / "a.mp3", sound())))
    return path


def make_padding(folder: Path) -> Path:
    path = folder / "padded.mp3"
    path.write_bytes(id3(3000) + bytes(70_000) + without_tag(write(folder / "a.mp3", sound())))
    return path


def make_flac_of_unknown_total(folder: Path) -> Path:
    return with_flac_total(write(folder / "a.flac", sound()), 0)


def make_flac_of_small_total(folder: Path) -> Path:
    return with_flac_total(write(folder / "a.flac", sound()), RATE)


def make_crashed_wav(folder: Path) -> Path:
    path = write(folder / "a.wav", sound())
    content = bytearray(path.read_bytes())
    position = content.index(b"data") + 4
    content[position : position + 4] = bytes(4)
    path.write_bytes(content)
    return path


def with_flac_total(path: Path, total: int) -> Path:
    content = bytearray(path.read_bytes())
    field = int.from_bytes(content[18:26], "big") >> 36 << 36 | total
    content[18:26] = field.to_bytes(8, "big")
    path.write_bytes(content)
    return path


MISLEADING: dict[str, Callable[[Path], Path]] = {
    "mp3 of variable bit rate without a tag": make_bare_vbr,
    "the same, loud first": make_loud_quiet_vbr,
    "mp3 behind a large cover": make_cover,
    "mp3 behind padding": make_padding,
    "flac of unknown length": make_flac_of_unknown_total,
    "flac that states too little": make_flac_of_small_total,
    "wav of a recorder that crashed": make_crashed_wav,
}


@pytest.mark.parametrize("make", MISLEADING.values(), ids=MISLEADING)
def test_all_of_the_sound_is_read(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    assert seconds_of(make(tmp_path)) == pytest.approx(SECONDS, abs=2 * TOLERANCE_S)


@pytest.mark.parametrize("make", MISLEADING.values(), ids=MISLEADING)
def test_the_probe_says_what_is_read(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    path = make(tmp_path)
    assert probe_duration_s(path) == pytest.approx(seconds_of(path), abs=TOLERANCE_S)


@pytest.mark.parametrize("make", MISLEADING.values(), ids=MISLEADING)
def test_a_window_holds_the_samples_of_that_stretch(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    path = make(tmp_path)
    whole = load_clip(path, sample_rate=None).clip.samples
    for start, end in ((0.5, 1.5), (4.25, 5.0), (5.5, None)):
        window = load_clip(path, sample_rate=None, start_s=start, end_s=end).clip.samples
        stretch = whole[round(start * RATE) : None if end is None else round(end * RATE)]
        np.testing.assert_allclose(window, stretch, atol=1e-4)


def test_a_cover_and_a_tag_change_no_sample(tmp_path: Path) -> None:
    (tmp_path / "bare.mp3").write_bytes(without_tag(write(tmp_path / "a.mp3", sound())))
    bare = load_clip(tmp_path / "bare.mp3", sample_rate=None)
    cover = load_clip(make_cover(tmp_path), sample_rate=None)
    assert bare.audio_digest == cover.audio_digest


def test_a_wav_whose_data_chunk_is_truly_empty_stays_empty(tmp_path: Path) -> None:
    path = write(tmp_path / "empty.wav", np.zeros(0))
    info = b"INFOISFT" + struct.pack("<I", 4) + b"test"
    path.write_bytes(path.read_bytes() + b"LIST" + struct.pack("<I", len(info)) + info)
    with pytest.raises(DecodeError, match="length is zero"):
        load_clip(path, sample_rate=None)


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


# ----------------------------------------------------------------------------------- several streams in a
# file


@pytest.mark.parametrize(("name", "options"), [
    ("a.flac", {}),
    ("a.ogg", {"subtype": "VORBIS"}),
    ("a.ogg", {"subtype": "OPUS"}),
    ("a.mp3", {}),
])  # fmt: skip
def test_streams_that_follow_each_other_are_all_read(
    tmp_path: Path, name: str, options: dict[str, str]
) -> None:
    format = {"format": "OGG"} if name.endswith("ogg") else {}
    rate = 48000 if options.get("subtype") == "OPUS" else RATE
    paths = [tmp_path / f"{k}{name}" for k in range(2)]
    for k, (path, seconds) in enumerate(zip(paths, (1.0, 4.0), strict=True)):
        soundfile.write(path, sound(seconds, seed=k)[: round(seconds * rate)], rate, **format, **options)
    joined = tmp_path / name
    joined.write_bytes(b"".join(path.read_bytes() for path in paths))
    parts = sum(seconds_of(path) for path in paths)
    padding_s = (
        0.12 if name.endswith("mp3") else TOLERANCE_S
    )  # the encoder's, which the tag of a single file cuts off
    assert seconds_of(joined) == pytest.approx(parts, abs=padding_s)
    assert probe_duration_s(joined) == pytest.approx(seconds_of(joined), abs=TOLERANCE_S)
    whole = load_clip(joined, sample_rate=None).clip.samples
    for start_s, end_s in ((2.0, 3.0), (0.5, 0.9), (0.5, 2.5), (0.9, 1.2)):
        window = load_clip(joined, sample_rate=None, start_s=start_s, end_s=end_s).clip.samples
        expected = whole[round(start_s * rate) : round(end_s * rate)]
        np.testing.assert_allclose(window, expected, atol=1e-4, err_msg=f"{start_s} to {end_s} s")


def test_streams_of_different_rates_are_said_to_break_off(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.flac", sound(1.0), RATE)
    soundfile.write(tmp_path / "b.flac", sound(1.0), 48000)
    (tmp_path / "c.flac").write_bytes((tmp_path / "a.flac").read_bytes() + (tmp_path / "b.flac").read_bytes())
    with pytest.raises(DecodeError, match="another rate"):
        load_clip(tmp_path / "c.flac", sample_rate=None)


@pytest.mark.parametrize("total", [None, 0])
def test_tags_in_front_of_a_flac_change_no_sample(tmp_path: Path, total: int | None) -> None:
    """Every such file was refused: the stream behind the tag was taken for a second one."""
    path = write(tmp_path / "a.flac", sound())
    bare, samples = path.read_bytes(), load_clip(path, sample_rate=None).clip.samples
    if total is not None:
        bare = with_flac_total(path, total).read_bytes()
    for tags in (id3(3000), id3(10) + id3(400_000)):
        path.write_bytes(tags + bare)
        np.testing.assert_array_equal(load_clip(path, sample_rate=None).clip.samples, samples)
        assert probe_duration_s(path) == SECONDS
        for begin, end in ((0.5, 1.5), (4.25, 5.0), (5.5, None)):
            window = load_clip(path, sample_rate=None, start_s=begin, end_s=end).clip.samples
            stretch = samples[round(begin * RATE) : None if end is None else round(end * RATE)]
            np.testing.assert_array_equal(window, stretch)


JUNK = np.random.default_rng(3).integers(0, 256, 200_000, np.uint8).tobytes()


@pytest.mark.parametrize("rest", [b"TAG" + bytes(125), bytes(200_000), JUNK], ids=["a tag", "zeros", "junk"])
@pytest.mark.parametrize("options", [{}, {"subtype": "PCM_24"}], ids=str)
def test_bytes_behind_a_flac_of_unknown_length_cost_nothing(
    tmp_path: Path, rest: bytes, options: dict[str, str]
) -> None:
    """Its last block was lost, and the file marked as truncated."""
    whole = load_clip(write(tmp_path / "a.flac", sound(), **options), sample_rate=None)
    path = with_flac_total(tmp_path / "a.flac", 0)
    content = path.read_bytes()
    for behind in (rest, rest + content, rest + id3(3000) + content + rest):
        path.write_bytes(content + behind)
        clip = load_clip(path, sample_rate=None)
        n_streams = 1 + behind.count(b"fLaC\0\0\0")
        np.testing.assert_array_equal(clip.clip.samples, np.tile(whole.clip.samples, n_streams))
        assert probe_duration_s(path) == n_streams * SECONDS
        last = load_clip(path, sample_rate=None, start_s=5.9).clip.samples
        np.testing.assert_array_equal(last, clip.clip.samples[round(5.9 * RATE) :])


def test_a_flac_of_unknown_length_that_is_cut_or_damaged_is_marked(tmp_path: Path) -> None:
    path = with_flac_total(write(tmp_path / "a.flac", sound()), 0)
    content = path.read_bytes()
    for n_left in (len(content) * 6 // 10, len(content) * 3 // 4, len(content) - 200):
        for rest in (b"", b"TAG" + bytes(125), bytes(100_000), JUNK):
            path.write_bytes(content[:n_left] + rest)
            clip = load_clip(path, sample_rate=None, strict=False)
            assert "breaks off" in clip.truncation
            assert clip.duration_s < SECONDS
    damaged = bytearray(content + bytes(1000))
    damaged[len(content) * 9 // 10] ^= 1
    path.write_bytes(damaged)
    assert "breaks off" in load_clip(path, sample_rate=None, strict=False).truncation


def test_a_flac_behind_a_tag_says_how_much_is_missing(tmp_path: Path) -> None:
    path = write(tmp_path / "a.flac", sound())
    content = path.read_bytes()
    path.write_bytes(id3(3000) + content[: len(content) * 6 // 10])
    clip = load_clip(path, sample_rate=None, strict=False)
    assert "the file states 6.00 s" in clip.truncation
    assert clip.duration_s + clip.missing_s == pytest.approx(SECONDS, abs=1e-3)


# ------------------------------------------------------------------------------------------------- truncation


@pytest.mark.parametrize(
    ("name", "format"), [("a.wav", "RF64"), ("a.w64", "W64"), ("a.caf", "CAF"), ("a.wav", "WAV")]
)
def test_a_truncated_file_says_how_much_is_missing(tmp_path: Path, name: str, format: str) -> None:
    path = write(tmp_path / name, sound(), format=format, subtype="PCM_16")
    assert seconds_of(path) == SECONDS
    content = path.read_bytes()
    path.write_bytes(content[: round(0.6 * len(content))])
    with pytest.raises(DecodeError, match=r"6\.00 s, 3\.\d\d s could be decoded \(40% is missing\)"):
        load_clip(path, sample_rate=None)


def test_a_flac_that_claims_a_year_takes_no_memory_for_it(tmp_path: Path) -> None:
    path = with_flac_total(write(tmp_path / "a.flac", sound()), 2**36 - 1)
    with pytest.raises(DecodeError, match=r"6\.00 s could be decoded"):
        load_clip(path, sample_rate=None)
    assert probe_duration_s(path) == SECONDS


# ------------------------------------------------------------------------------------------- through PyAV


def encode(path: Path, codec: str, *, format: str | None = None, video_s: float = 0.0) -> Path:
    av = pytest.importorskip("av")
    with av.open(str(path), "w", format=format) as container:
        stream = container.add_stream(codec, rate=RATE, layout="mono")
        stream.bit_rate = 128_000
        if video_s:
            picture = container.add_stream("mpeg4", rate=10)
            picture.width = picture.height = 64
            for k in range(round(10 * video_s)):
                image = av.VideoFrame.from_ndarray(np.full((64, 64, 3), k, np.uint8), format="rgb24")
                for packet in picture.encode(image):
                    container.mux(packet)
            for packet in picture.encode(None):
                container.mux(packet)
        frame = av.AudioFrame.from_ndarray(
            (32767 * sound()).astype(np.int16)[None], format="s16", layout="mono"
        )
        frame.sample_rate = RATE
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return path


@pytest.mark.parametrize(("name", "codec", "format", "video_s"), [
    ("a.aac", "aac", "adts", 0.0),
    ("a.ts", "aac", "mpegts", 0.0),
    ("a.mkv", "aac", "matroska", 9.0),
    ("a.mp4", "aac", "mp4", 9.0),
    ("a.m4a", "aac", None, 0.0),
    ("a.wmv", "wmav2", "asf", 9.0),
    ("a.avi", "ac3", "avi", 9.0),
    ("a.flv", "aac", "flv", 0.0),
])  # fmt: skip
def test_a_container_neither_shortens_nor_lengthens(
    tmp_path: Path, name: str, codec: str, format: str | None, video_s: float
) -> None:
    path = encode(tmp_path / name, codec, format=format, video_s=video_s)
    whole = load_clip(path, sample_rate=None)
    assert whole.duration_s == pytest.approx(SECONDS, abs=0.06)  # the encoder pads to frames of 1024
    assert probe_duration_s(path) == pytest.approx(whole.duration_s, abs=TOLERANCE_S)
    window = load_clip(path, sample_rate=None, start_s=3.25, end_s=4.0).clip.samples
    np.testing.assert_allclose(window, whole.clip.samples[round(3.25 * RATE) : 4 * RATE], atol=0.01)


def test_an_mp3_without_a_tag_begins_where_its_wav_begins(tmp_path: Path) -> None:
    samples = np.zeros(2 * RATE)
    samples[31_000:31_064] = 0.8 * np.hanning(64)
    path = write(tmp_path / "tagged.mp3", samples, format="MP3", subtype="MPEG_LAYER_III")
    bare = tmp_path / "bare.mp3"
    bare.write_bytes(without_tag(path))
    for file in (path, bare):
        assert abs(int(load_clip(file, sample_rate=None).clip.samples.argmax()) - 31_032) <= 2


@pytest.mark.parametrize("channels", [1, 2])
def test_floats_in_an_extensible_w64_file_are_no_integers(tmp_path: Path, channels: int) -> None:
    """libsndfile takes them for integers; ffmpeg writes such files."""
    samples = sound(0.5)[:, None].repeat(channels, axis=1).astype("<f4")
    block = 4 * channels
    body = struct.pack("<HHIIHH", 0xFFFE, channels, RATE, RATE * block, block, 32) + struct.pack(
        "<HHI", 22, 32, 3
    )
    body += b"\x03\0\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71"
    tail = b"\xf3\xac\xd3\x11\x8c\xd1\0\xc0\x4f\x8e\xdb\x8a"

    def chunk(name: bytes, content: bytes) -> bytes:
        return name + tail + struct.pack("<Q", 24 + len(content)) + content

    content = chunk(b"fmt ", body) + chunk(b"data", samples.tobytes())
    riff = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\0\0"
    path = tmp_path / "a.w64"
    path.write_bytes(riff + struct.pack("<Q", 40 + len(content)) + b"wave" + tail + content)
    decoded = load_clip(path, sample_rate=None)
    np.testing.assert_array_equal(decoded.clip.samples, samples[:, 0])
    path.write_bytes(path.read_bytes()[:-40_000])
    with pytest.raises(DecodeError, match="cut short"):
        load_clip(path, sample_rate=None)


# ------------------------------------------------------------------------------------------- what is cut off


STATE_NOTHING = {"ircam.wav", "paf", "ac3", "mp2", "ts", "nut"}
"""Containers that say nothing of their length: a part of such a file is a whole file (docs/main-job.md)."""
BREAK_OFF = {"opus", "aac"}
"""Containers that do not state their length, but show that they are cut."""
NOTHING_LEFT = {"m4a", "alac.m4a", "mov", "3gp", "ogg"}
"""Files that cannot be decoded without their end: their index, or their only page of sound."""


def test_a_cut_file_is_marked_where_its_format_tells_and_never_filled_up(tmp_path: Path) -> None:
    """A fuzzed SDS file of 537 bytes was 1,174 s of zeros: its header said so, and its decoder did."""
    kinds: set[str] = set()
    for path in make_seeds(tmp_path, per_container=1, seconds=2.0):
        kind = path.name.removeprefix("0.")
        whole, data = load_clip(path, sample_rate=None), path.read_bytes()
        path.write_bytes(data[: len(data) * 6 // 10])
        if kind in NOTHING_LEFT:
            with pytest.raises(DecodeError, match=r"moov|0\.00 s could be decoded"):
                load_clip(path, sample_rate=None, strict=False)
            continue
        kinds.add(kind)
        cut = load_clip(path, sample_rate=None, strict=False)
        assert 0.3 < cut.duration_s / whole.duration_s < 0.75, kind
        assert bool(cut.truncation) == (kind not in STATE_NOTHING), kind
        if kind not in STATE_NOTHING | BREAK_OFF:
            assert cut.duration_s + cut.missing_s == pytest.approx(whole.duration_s, abs=0.1), kind
    assert len(kinds) > 35


@pytest.mark.parametrize("where", ["recording", "broadcast"])
def test_a_missing_page_of_an_ogg_file_is_missed(tmp_path: Path, where: str) -> None:
    """Decoders leave out a page whose checksum is wrong: half a song was judged without a word."""
    path = write(tmp_path / "a.ogg", np.roll(sound(), 3 * RATE), format="OGG", subtype="VORBIS")
    data = bytearray(path.read_bytes())
    places = [match.start() for match in re.finditer(b"OggS", data)]
    if where == "broadcast":  # a part of it begins at any position
        for page in places:
            position = int.from_bytes(data[page + 6 : page + 14], "little")
            late = (position + 3 * 3600 * RATE if position else 0).to_bytes(8, "little")
            data[page + 6 : page + 14] = late
            sign_page(data, page)
        path.write_bytes(data)
        assert seconds_of(path) == pytest.approx(SECONDS, abs=0.1)
    for page in places[4:6]:
        data[page + 100] ^= 0xFF
    path.write_bytes(data)
    clip = load_clip(path, sample_rate=None, strict=False)
    assert clip.missing_s > 0.3
    assert SECONDS - 0.6 < clip.duration_s + clip.missing_s < SECONDS + 0.1


def ogg_of(folder: Path) -> bytes:
    return write(folder / "a.ogg", sound(), format="OGG", subtype="VORBIS").read_bytes()


def filled_up(content: bytes, share: float) -> bytes:
    """A download that broke off, of a program that makes room for the whole file first."""
    return content[: round(share * len(content))].ljust(len(content) + 80_000, b"\0")


CUT_OGG: dict[str, Callable[[bytes], bytes]] = {
    "filled up": lambda content: filled_up(content, 0.6),
    "filled up in the last page": lambda content: filled_up(content, 0.99),
    "the last page": lambda content: content[:-50],
    "the last page of the second": lambda content: (2 * content)[:-50],
    "the head of the last page": lambda content: content[: content.rfind(b"OggS") + 10],
    "a bit of the last page": lambda content: content[:-50] + bytes([content[-50] ^ 1]) + content[-49:],
}


@pytest.mark.parametrize("cut", CUT_OGG.values(), ids=CUT_OGG)
def test_an_ogg_file_whose_last_page_is_not_whole_is_cut(
    tmp_path: Path, cut: Callable[[bytes], bytes]
) -> None:
    """The end mark in the head of a page was believed, and a file without a page near its end was whole."""
    path = tmp_path / "b.ogg"
    path.write_bytes(cut(ogg_of(tmp_path)))
    assert "end mark is missing" in load_clip(path, sample_rate=None, strict=False).truncation
    with pytest.raises(DecodeError, match="is cut short"):
        load_clip(path, sample_rate=None)


@pytest.mark.parametrize("rest", [b"TAG" + bytes(125), bytes(100_000)], ids=["a tag", "zeros"])
def test_bytes_behind_the_last_page_cut_nothing(tmp_path: Path, rest: bytes) -> None:
    path = tmp_path / "b.ogg"
    path.write_bytes(ogg_of(tmp_path) + rest)
    assert (
        load_clip(path, sample_rate=None).audio_digest
        == load_clip(tmp_path / "a.ogg", sample_rate=None).audio_digest
    )


def made_page(flags: int, serial: int, packet: bytes) -> bytes:
    segments = bytes([255] * (len(packet) // 255) + [len(packet) % 255])
    head = struct.pack("<4sBBqIIIB", b"OggS", 0, flags, 0, serial, 0, 0, len(segments))
    page = bytearray(head + segments + packet)
    sign_page(page, 0)
    return bytes(page)


@pytest.mark.parametrize(("sound_ends", "picture_ends"), [(True, False), (False, True)])
def test_the_end_mark_of_the_pictures_is_none_of_the_sound(
    tmp_path: Path, sound_ends: bool, picture_ends: bool
) -> None:
    path = tmp_path / "a.ogv"
    first = [made_page(2, 1, b"\x80theora" + bytes(30)), made_page(2, 2, b"\x01vorbis" + bytes(23))]
    last = [made_page(4 * sound_ends, 2, bytes(3000)), made_page(4 * picture_ends, 1, bytes(60_000))]
    path.write_bytes(b"".join([*first, *last, made_page(0, 1, bytes(60_000))]))
    assert ogg_is_complete(path) == sound_ends


def test_a_decoder_of_mpeg_audio_that_gives_up_is_noticed(tmp_path: Path) -> None:
    """Behind some damage libsndfile ends as if the file did, and the rest was not missed."""
    path = encode(tmp_path / "a.mp2", "mp2", format="mp2")
    data, whole_s = path.read_bytes(), seconds_of(path)
    shares = []
    for seed in (4, 66, 119):
        rng, damaged = np.random.default_rng(seed), bytearray(data)
        at, n_bytes = int(rng.integers(len(data) // 4, len(data) * 7 // 10)), int(rng.integers(1, 300))
        damaged[at : at + n_bytes] = rng.integers(0, 256, n_bytes, np.uint8).tobytes()
        path.write_bytes(damaged)
        clip = load_clip(path, sample_rate=None, strict=False)
        assert clip.duration_s + clip.missing_s == pytest.approx(whole_s, abs=0.3), seed
        shares.append(clip.duration_s / whole_s)
    assert min(shares) < 0.8


def test_a_window_beyond_a_cut_says_what_it_misses(tmp_path: Path) -> None:
    """Raw aac states no length, but the window does."""
    path = encode(tmp_path / "a.aac", "aac", format="adts")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    clip = load_clip(path, sample_rate=None, start_s=1.0, end_s=5.5, strict=False)
    assert clip.duration_s + clip.missing_s == pytest.approx(4.5, abs=0.001)
    assert clip.missing_s > 1.0


def test_a_late_start_is_no_missing_sound(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("pcm_s16le", rate=RATE, layout="mono")
        samples = (32767 * sound(3.0)).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts = RATE, 2 * RATE
        file.mux([*stream.encode(frame), *stream.encode(None)])
    assert seconds_of(path) == pytest.approx(3.0, abs=0.01)


def sign_page(data: bytearray, at: int) -> None:
    """Put the checksum of an Ogg page right."""
    n_segments = data[at + 26]
    length = 27 + n_segments + sum(data[at + 27 : at + 27 + n_segments])
    page = data[at : at + length]
    page[22:26] = bytes(4)
    data[at + 22 : at + 26] = ogg_checksum(bytes(page)).to_bytes(4, "little")


def test_damage_midway_costs_its_packets_and_is_said(tmp_path: Path) -> None:
    """A few damaged packets made the whole clip fail; what follows them can be decoded."""
    samples = np.stack([sound(3.0), sound(3.0)], axis=1)
    for suffix in ("m4a", "mka", "flv", "ts", "wma", "aac", "ac3"):
        path = tmp_path / f"a.{suffix}"
        container, codec = WITH_AV[suffix]
        write_av(path, container, "aac" if suffix == "ts" else codec, samples, RATE)
        whole_s, data = seconds_of(path), bytearray(path.read_bytes())
        for share in (0.7, 0.8):
            at = round(len(data) * share)
            data[at : at + 400] = np.random.default_rng(1).integers(0, 256, 400, np.uint8).tobytes()
        path.write_bytes(data)
        clip = load_clip(path, sample_rate=None, strict=False)
        assert clip.truncation, suffix
        assert 0 < clip.missing_s < 0.4 * whole_s, suffix
        assert clip.duration_s + clip.missing_s == pytest.approx(whole_s, abs=0.2), suffix
        with pytest.raises(DecodeError, match=r"is damaged|is cut short"):
            load_clip(path, sample_rate=None)


@pytest.mark.parametrize("subtype", ["PCM_S8", "PCM_16", "PCM_24"])
def test_an_sds_file_is_as_long_as_its_blocks(tmp_path: Path, subtype: str) -> None:
    samples = sound(0.5)
    path = write(tmp_path / "a.sds", samples, format="SDS", subtype=subtype)
    whole = load_clip(path, sample_rate=None)
    assert whole.truncation == ""
    assert whole.duration_s == pytest.approx(0.5, abs=1e-4)  # the period is in whole ns
    data = path.read_bytes()
    path.write_bytes(data[: 21 + 40 * 127 + 60])
    per_block = {"PCM_S8": 60, "PCM_16": 40, "PCM_24": 30}[subtype]
    cut = load_clip(path, sample_rate=None, strict=False)
    assert cut.duration_s == pytest.approx(40 * per_block / RATE, rel=1e-4)
    assert "the file states 0.50 s" in cut.truncation
    np.testing.assert_array_equal(cut.clip.samples, whole.clip.samples[: 40 * per_block])
    assert probe_duration_s(path) == pytest.approx(cut.duration_s)


@pytest.mark.parametrize(
    ("format", "at", "forged"),
    [("W64", 40 + 14, bytes(2) + b"\xff" * 8), ("CAF", 8 + 4, b"\x7f" + b"\xff" * 7)],
)
def test_a_chunk_that_no_file_can_hold_ends_the_search_for_lengths(
    tmp_path: Path, format: str, at: int, forged: bytes
) -> None:
    """A seek to a position of 64 bits raised a ValueError of Python: 'cannot fit int'."""
    path = write(tmp_path / f"a.{format.lower()}", sound(0.2), format=format, subtype="PCM_16")
    data = path.read_bytes()
    path.write_bytes(data[:at] + forged + data[at + len(forged) :])
    with pytest.raises(DecodeError, match=path.name):
        load_clip(path, sample_rate=None, strict=False)
