"""Pages of Ogg files: where a stream ends, and whether it ends.

Source:
    RFC 3533 (pages); RFC 7845 (Opus).
"""

from __future__ import annotations

import mmap
import re
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

OGG_HEAD_BYTES, OGG_TAIL_BYTES = 1 << 18, 70_000
"""Bytes at the start and at the end of an Ogg file that are looked at. A page has at most 65,307."""
OGG_FIRST_BYTES = 64
"""Bytes of a first page in which the mark of its codec stands."""
REVERSED_BITS = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
"""Byte → the byte with its bits in reverse order."""
OGG_LATE_S = 10.0
"""Position of the end of the first page, seconds, from which a stream counts as part of a longer one.

A page has at most 255 packets: some 5 s."""
OGG_SURPLUS = 1.25
"""Position of the end of the first page, of the length of its packets, from which the stream began late."""
OGG_LEAST = 0.8
"""Share of that length which the page surely holds: the first packets are shorter."""
OPUS_CLOCK = 48_000
OGG_CODECS = {b"\x01vorbis": 0, b"OpusHead": OPUS_CLOCK, b"\x7fFLAC": 0, b"Speex   ": 0}
"""Start of the first packet of a codec → positions per second in its pages; 0 is the sample rate."""


def ogg_is_complete(path: Path) -> bool:
    """Whether the last page of the sound in an Ogg file is whole and carries the end-of-stream mark.

    Returns:
        True also if the file has no page, since then it says nothing about its end.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        serials = _sound_serials(content)
        page = content.rfind(b"OggS")
        while page >= 0 and not _is_page_of(content, page, serials):
            page = content.rfind(b"OggS", 0, page)
        return page < 0 or _ends_stream(content, page)


def _sound_serials(content: mmap.mmap) -> set[bytes]:
    """The streams of sound in a file that has others beside them; none where all pages are of one stream."""
    head = content[:OGG_HEAD_BYTES]
    if sum(page.is_first for page in _ogg_pages(head)) < 2:
        return set()
    serials = set()
    for first in re.finditer(rb"OggS\0[\2\6]", content):
        page = content[first.start() : first.start() + OGG_FIRST_BYTES]
        body = page[27 + page[26] :] if len(page) > 27 else b""
        if body.startswith(tuple(OGG_CODECS)):
            serials.add(page[14:18])
    return serials


def _is_page_of(content: mmap.mmap, page: int, serials: set[bytes]) -> bool:
    """Whether a page is of one of these streams; of any if there are none. A cut head counts as one."""
    head = content[page : page + 18]
    return not serials or len(head) < 18 or head[14:] in serials


def _ends_stream(content: mmap.mmap, page: int) -> bool:
    """Whether a page carries the end-of-stream mark and is whole, by its checksum.

    A download that broke off may be filled up with zeros.
    """
    head = content[page : page + 27]
    if len(head) < 27 or not head[5] & 0x04:
        return False
    n_bytes = 27 + head[26] + sum(content[page + 27 : page + 27 + head[26]])
    whole = content[page : page + n_bytes]
    return len(whole) == n_bytes and _page_checksum(whole) == whole[22:26]


def _page_checksum(page: bytes) -> bytes:
    """The checksum of a page: CRC-32 with the highest bit first, from 0, with its own field as zeros.

    zlib has the one with the lowest bit first, from ones: its bits are reversed here.
    """
    content = (page[:22] + bytes(4) + page[26:]).translate(REVERSED_BITS)
    value = zlib.crc32(content, 0xFFFFFFFF) ^ 0xFFFFFFFF
    return value.to_bytes(4, "big").translate(REVERSED_BITS)


def ogg_frames(path: Path, sample_rate: int) -> int | None:
    """Frames of an Ogg stream, from the positions that its first and last page state.

    A recording of a broadcast begins at any position.

    Args:
        path: the file.
        sample_rate: Hz, of the frames.

    Returns:
        None if several streams follow each other or run beside each other, or if the codec is unknown.
    """
    with path.open("rb") as file:
        head = file.read(OGG_HEAD_BYTES)
        file.seek(max(0, path.stat().st_size - OGG_TAIL_BYTES))
        tail = file.read()
    if head[:4] != b"OggS" or len(head) < 28:
        return None
    body = head[27 + head[26] :]
    clock = next((rate for mark, rate in OGG_CODECS.items() if body.startswith(mark)), None)
    pages = _ogg_pages(head)
    last = [page for page in _ogg_pages(tail[max(0, tail.find(b"OggS")) :]) if page.position >= 0]
    begun = [page for page in pages if not page.is_first and page.position > 0]
    if (
        clock is None
        or not begun
        or not last
        or {page.serial for page in (*pages, *last)} != {pages[0].serial}
    ):
        return None
    clock = clock or sample_rate
    skipped = int.from_bytes(body[10:12], "little") if clock == OPUS_CLOCK else 0
    start = _ogg_start(begun, clock)
    return max(0, last[-1].position - start - skipped) * sample_rate // clock or None


class _OggPage(NamedTuple):
    """A page: its stream, its position, the packets that end in it, and whether it begins a stream."""

    serial: bytes
    position: int
    n_packets: int
    is_first: bool


def _ogg_start(begun: Sequence[_OggPage], clock: int) -> int:
    """The position at which a stream begins, from its first pages of sound: 0, unless it is part of another.

    Packets hold about as many positions in the first page as in the second. In doubt, the start is late.
    """
    first = begun[0]
    if len(begun) == 1 or not begun[1].n_packets:
        return first.position if first.position > OGG_LATE_S * clock else 0
    per_packet = (begun[1].position - first.position) / begun[1].n_packets
    expected = round(per_packet * first.n_packets)
    is_late = first.position > OGG_SURPLUS * expected
    return max(0, first.position - round(OGG_LEAST * expected)) if is_late else 0


def _ogg_pages(content: bytes) -> list[_OggPage]:
    """The pages in some bytes of an Ogg file. Damaged bytes between them are passed over."""
    pages, at = [], 0
    while at >= 0 and at + 27 <= len(content):
        if content[at : at + 4] == b"OggS":
            (position,) = struct.unpack_from("<q", content, at + 6)
            lacing = content[at + 27 : at + 27 + content[at + 26]]
            n_packets = sum(length < 255 for length in lacing)
            is_first = bool(content[at + 5] & 0x02)
            pages.append(_OggPage(content[at + 14 : at + 18], position, n_packets, is_first))
        at = content.find(b"OggS", at + 27)
    return pages
