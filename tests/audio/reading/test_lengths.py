"""Lengths of recordings come from their data: no header, container or bit rate shortens or lengthens them."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from quintet.audio.decode import load_clip
from quintet.audio.reading.probe import probe_duration_s
from quintet.errors import DecodeError
from tests.audio.reading.sounds import (
    RATE,
    SECONDS,
    id3,
    seconds_of,
    sound,
    with_flac_total,
    without_tag,
    write,
)
from tests.fuzz.audio import WITH_AV, make_seeds, write_av

TOLERANCE_S = 0.03


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
