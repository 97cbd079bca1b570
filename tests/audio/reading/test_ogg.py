"""The end of an Ogg file, and pages that are missing in it."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from quintet.audio.decode import load_clip
from quintet.audio.reading.formats.ogg import ogg_is_complete
from quintet.errors import DecodeError
from tests.audio.reading.sounds import (
    RATE,
    SECONDS,
    seconds_of,
    sign_page,
    sound,
    write,
)


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
