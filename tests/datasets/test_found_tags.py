"""Tags as found: every format, several values, damage and bounds."""

from __future__ import annotations

import time
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from quintet.audio.isolation.calls import LostWorkerError, map_isolated
from quintet.datasets import found_tags
from quintet.datasets.found_tags import FoundTag, read_tags, song_columns

mutagen = pytest.importorskip("mutagen")
NOISE = (0.1 * np.random.default_rng(0).normal(size=11025)).astype(np.float32)


def fields(path: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for tag in read_tags(str(path)).tags:
        found.setdefault(tag.field, []).append(tag.value)
        assert tag.position == len(found[tag.field]) - 1
    return found


def write_mp3(path: Path) -> Path:
    soundfile.write(path, NOISE, 22050, format="MP3")
    return path


@pytest.mark.parametrize("version", [3, 4])
def test_id3(tmp_path: Path, version: int) -> None:
    from mutagen.id3 import APIC, ID3, TBPM, TCON, TDRC, TMOO, TXXX

    path = write_mp3(tmp_path / "a.mp3")
    tags = ID3()
    tags.add(TCON(encoding=3, text=["Rock", "Live"]))
    tags.add(TXXX(encoding=3, desc="MOOD", text=["calm"]))
    tags.add(TMOO(encoding=3, text=["sad"]))
    tags.add(TBPM(encoding=3, text=["120"]))
    tags.add(TDRC(encoding=3, text=["1994"]))
    tags.add(APIC(encoding=3, mime="image/png", type=3, desc="", data=b"x" * 1000))
    if version == 3:
        tags.update_to_v23()
    tags.save(path, v2_version=version, v23_sep=None)
    found = fields(path)
    assert found["genre"] == ["Rock", "Live"]
    assert found["bpm"] == ["120"]
    assert found["date"] == ["1994"]
    assert "calm" in found["mood"]
    assert not any("x" * 100 in value for values in found.values() for value in values)
    assert read_tags(str(path)).format == "mp3"


@pytest.mark.parametrize("suffix", ["flac", "ogg"])
def test_vorbis_comments(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, NOISE, 22050)
    file = mutagen.File(path)
    file["genre"] = ["Rock", "Live"]
    file["Album Artist"] = "Somebody"
    file["initialkey"] = "Am"
    file["metadata_block_picture"] = "x" * 5000
    file.save()
    found = fields(path)
    found.pop("encoder", None)  # libsndfile writes it
    assert found == {"genre": ["Rock", "Live"], "albumartist": ["Somebody"], "key": ["Am"]}
    assert read_tags(str(path)).format == suffix


@pytest.mark.parametrize(("suffix", "codec", "container"), [("m4a", "aac", "mp4"), ("wma", "wmav2", "asf")])
def test_mp4_and_asf(tmp_path: Path, suffix: str, codec: str, container: str) -> None:
    av = pytest.importorskip("av")
    path = tmp_path / f"a.{suffix}"
    with av.open(str(path), "w", format=container) as file:
        stream = file.add_stream(codec, rate=44100, layout="stereo")
        stream.bit_rate = 128_000
        samples = np.tile(NOISE[:2048], (2, 1))
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="stereo")
        frame.rate = 44100
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            file.mux(packet)
    tags = mutagen.File(path)
    if suffix == "m4a":
        tags["\xa9gen"] = ["Rock", "Live"]
        tags["trkn"] = [(3, 12)]
        tags["tmpo"] = [120]
        tags["----:com.apple.iTunes:MOOD"] = [b"calm"]
        tags["----:com.apple.iTunes:initialkey"] = [b"Am"]
    else:
        tags["WM/Genre"] = ["Rock", "Live"]
        tags["WM/TrackNumber"] = ["3/12"]
        tags["WM/BeatsPerMinute"] = ["120"]
        tags["WM/Mood"] = ["calm"]
        tags["WM/InitialKey"] = ["Am"]
    tags.save()
    found = fields(path)
    assert found["genre"] == ["Rock", "Live"]
    assert (found["tracknumber"], found["bpm"], found["mood"], found["key"]) == (
        ["3/12"],
        ["120"],
        ["calm"],
        ["Am"],
    )
    assert read_tags(str(path)).format == suffix


def test_ape() -> None:
    from mutagen.apev2 import APEv2, APEValue

    tags = APEv2()
    tags["Genre"] = ["Rock", "Live"]
    tags["Year"] = "1994"
    tags["Cover Art (Front)"] = APEValue(b"x" * 100, 1)
    found = found_tags._bounded(found_tags._values(tags))
    assert [(tag.field, tag.value) for tag in found] == [
        ("genre", "Rock"),
        ("genre", "Live"),
        ("date", "1994"),
    ]


def test_damaged_and_foreign_files_have_no_tags(tmp_path: Path) -> None:
    for name, data in (
        ("a.mp3", b""),
        ("b.flac", b"fLaC\xff\xff\xff\xff"),
        ("c.m4a", b"\0" * 50),
        ("d.xyz", b"x"),
    ):
        (tmp_path / name).write_bytes(data)
        assert read_tags(str(tmp_path / name)).tags == []


def test_large_tags_are_bounded(tmp_path: Path) -> None:
    from mutagen.id3 import ID3, TXXX

    path = write_mp3(tmp_path / "a.mp3")
    tags = ID3()
    for k in range(12):
        tags.add(TXXX(encoding=3, desc=f"d{k}", text=["y" * 1_000_000]))
    tags.add(TXXX(encoding=3, desc="many", text=["z"] * 2000))
    tags.save(path)
    assert path.stat().st_size > 10_000_000
    found = read_tags(str(path)).tags
    assert len(found) <= found_tags.MOST_VALUES
    assert sum(len(tag.value) for tag in found) <= found_tags.MOST_CHARACTERS


def test_many_names_take_no_time(tmp_path: Path) -> None:
    """Time grows with the bounds, not with the square of the comments: 230 kB took 38 s."""
    path = tmp_path / "a.flac"
    soundfile.write(path, NOISE, 22050)
    file = mutagen.File(path)
    file.tags.extend((f"K{k}", "v") for k in range(20_000))
    file.save()
    began = time.process_time()
    assert len(read_tags(str(path)).tags) == found_tags.MOST_VALUES
    assert time.process_time() - began < 5


def test_a_value_that_cannot_be_read_costs_the_tags_of_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutagen turns the numbers of genres into names when they are asked for, and fails over long ones."""
    from mutagen.id3 import ID3, TCON

    path = write_mp3(tmp_path / "a.mp3")
    tags = ID3()
    tags.add(TCON(encoding=3, text=["9" * 5000]))
    tags.save(path)
    monkeypatch.setattr(mutagen, "File", lambda _: SimpleNamespace(tags=tags))
    found = read_tags(str(path))
    assert found.tags == []
    assert found.problem.startswith("ValueError")


def test_columns_of_a_song() -> None:
    tags = [
        FoundTag("genre", 0, "Rock; Live", "TCON"),
        FoundTag("genre", 1, "Rock", "TCON"),
        FoundTag("date", 0, "05.1994", "TDRC"),
        FoundTag("tracknumber", 0, "3/12", "TRCK"),
        FoundTag("albumartist", 0, "A", "TPE2"),
    ]
    columns = song_columns(tags)
    assert columns["genre"] == "Rock;Live"
    assert (columns["year"], columns["track"], columns["album_artist"], columns["title"]) == (
        1994,
        3,
        "A",
        None,
    )


def packed_frame(name: bytes, text: bytes) -> bytes:
    """An ID3v2.4 tag with one compressed frame."""

    def size(n: int) -> bytes:
        return bytes(n >> shift & 127 for shift in (21, 14, 7, 0))

    body = size(min(len(text), (1 << 28) - 1)) + zlib.compress(text, 9)
    frame = name + size(len(body)) + b"\x00\x09" + body
    return b"ID3\x04\x00\x00" + size(len(frame)) + frame


@pytest.mark.slow
def test_a_tag_that_unpacks_to_gigabytes_costs_its_own_tags(tmp_path: Path) -> None:
    """Mutagen unpacks frames of ID3 without a bound. The worker process has one."""
    path, other = write_mp3(tmp_path / "a.mp3"), write_mp3(tmp_path / "b.mp3")
    path.write_bytes(packed_frame(b"TIT2", b"\x03" + b"a" * (3 << 30)) + path.read_bytes())
    other.write_bytes(packed_frame(b"TIT2", b"\x03fine") + other.read_bytes())
    calls = [(str(path),), (str(other),)]
    found, fine = map_isolated(read_tags, calls, n_workers=1)
    assert isinstance(found, LostWorkerError) or (found.tags, "MemoryError" in found.problem) == ([], True)
    assert [tag.value for tag in fine.tags] == ["fine"]
