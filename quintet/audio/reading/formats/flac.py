"""Frames of a FLAC stream, from its header and its first frame.

Source:
    RFC 9639.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, NamedTuple

from quintet.audio.reading.formats.id3 import skip_id3

STREAM_START = b"fLaC\x00\x00\x00\x22"
"""Bytes with which a stream begins."""

STREAMINFO_BYTES = 26
"""Bytes up to the end of the number of samples, with the mark `fLaC` and the head of the block."""
FRAME_START, SAMPLE_COUNTING_START = b"\xff\xf8", b"\xff\xf9"
"""Bytes with which a frame begins: one that states its own number, or that of its first sample."""
TAG_BYTES = 128
"""Bytes of a tag that may stand behind the sound (ID3v1)."""
MOST_HEAD_BYTES = 16
BITS = {1: 8, 2: 12, 4: 16, 5: 20, 6: 24, 7: 32}
"""Code in the head of a frame → bits of a sample."""
EXTRA_BYTES = {6: 1, 7: 2}
EXTRA_RATE_BYTES = {12: 1, 13: 2, 14: 2}
"""Codes for which the length of the frame, or the sample rate, stands in bytes of its own."""
MOST_MARKS = 100_000
"""Bytes that look like the start of a frame that are looked at."""
MOST_BLOCKS = 1000
"""Blocks of metadata that are looked at."""


def _checksum_of_byte(byte: int) -> int:
    """The checksum of a byte: 16 bits, polynomial x¹⁶ + x¹⁵ + x² + 1."""
    value = byte << 8
    for _ in range(8):
        value = (value << 1 ^ (0x8005 if value & 0x8000 else 0)) & 0xFFFF
    return value


CHECKSUMS = [_checksum_of_byte(byte) for byte in range(256)]


def flac_start(file: BinaryIO) -> int:
    """The byte at which the stream of a FLAC file begins, behind ID3v2 tags; 0 if no stream stands there.

    Args:
        file: the file.
    """
    start = skip_id3(file)
    file.seek(start)
    return start if file.read(4) == STREAM_START[:4] else 0


def flac_frames(file: BinaryIO) -> int | None:
    """Number of frames from the first one in the file to the end that STREAMINFO states.

    A part that was cut out without encoding it again keeps the header of the whole: its frames go on counting
    where the part begins.

    Args:
        file: a FLAC file, perhaps with ID3v2 tags in front.

    Returns:
        None if the header states no total, or one that lies before the first frame.
    """
    start = flac_start(file)
    file.seek(start)
    head = file.read(STREAMINFO_BYTES)
    if head[:4] != b"fLaC" or len(head) < STREAMINFO_BYTES:
        return None
    total = int.from_bytes(head[18:26], "big") & (2**36 - 1)
    block_size = int.from_bytes(head[10:12], "big")
    return max(0, total - _first_position(file, start, block_size)) or None


def _first_position(file: BinaryIO, start: int, block_size: int) -> int:
    """Position of the first frame in the stream at byte `start`; 0 if there is none behind the metadata."""
    head = _first_head(file, start)
    counts_samples = head[:2] == SAMPLE_COUNTING_START
    if not counts_samples and head[:2] != FRAME_START:
        return 0
    return _coded_number(head[4:11]) * (1 if counts_samples else block_size)


def _first_head(file: BinaryIO, start: int) -> bytes:
    """The bytes behind the metadata of the stream at byte `start`; none if there are too many blocks."""
    position, is_last = start + 4, False
    for _ in range(MOST_BLOCKS):
        file.seek(position)
        head = file.read(MOST_HEAD_BYTES)
        if is_last or len(head) < 4:
            return head
        is_last = bool(head[0] & 0x80)
        position += 4 + int.from_bytes(head[1:4], "big")
    return b""


def _coded_number(code: bytes) -> int:
    """The number at the start of some bytes, coded as UTF-8 codes characters, with up to 36 bits."""
    n_ones = 8 - (code[0] ^ 0xFF).bit_length() if code else 0
    number = code[0] & (0x7F >> n_ones) if code else 0
    for byte in code[1 : max(1, n_ones)]:
        number = number << 6 | byte & 0x3F
    return number


def ends_with_frame(source: Path, n_frames: int) -> bool:
    """Whether a file ends with the last frame of its stream, and perhaps a short tag.

    Args:
        source: a FLAC file, whose frames all have the same length except the last.
        n_frames: the number of its samples per channel.

    Returns:
        False also where the frames do not say enough about themselves.
    """
    with source.open("rb") as file:
        file.seek(flac_start(file))
        head = file.read(STREAMINFO_BYTES)
        block_size = int.from_bytes(head[10:12], "big")
        frame_bytes = int.from_bytes(head[15:18], "big")
        if head[:8] != STREAM_START or head[8:10] != head[10:12] or not block_size or not frame_bytes:
            return False
        file.seek(max(0, source.stat().st_size - frame_bytes - TAG_BYTES))
        tail = file.read(frame_bytes + TAG_BYTES)
    form = _form(head)
    last = (n_frames - 1) // block_size
    at = tail.find(FRAME_START)
    while at >= 0 and not _is_frame(tail[at : at + MOST_HEAD_BYTES], form, last):
        at = tail.find(FRAME_START, at + 1)
    return at >= 0 and STREAM_START not in tail[at:]


def _form(head: bytes) -> tuple[int, int]:
    """Channels and bits of the samples, from the head of a stream."""
    field = int.from_bytes(head[18:22], "big")
    return (field >> 9 & 7) + 1, (field >> 4 & 31) + 1


def _is_frame(head: bytes, form: tuple[int, int], number: int) -> bool:
    """Whether bytes are the head of the frame of this number, of a stream of so many channels and bits."""
    return _is_head(head, form) and _coded_number(head[4:11]) == number


def _is_head(head: bytes, form: tuple[int, int]) -> bool:
    """Whether bytes begin with the head of a frame, of a stream of so many channels and bits."""
    if len(head) < 6:
        return False
    channels, bits = head[3] >> 4, BITS.get(head[3] >> 1 & 7)
    n_channels = channels + 1 if channels < 8 else 2
    n_bytes = _length_at(head) + EXTRA_BYTES.get(head[2] >> 4, 0) + EXTRA_RATE_BYTES.get(head[2] & 15, 0)
    is_whole = (n_channels, bits) == form and len(head) > n_bytes
    return is_whole and _checksum(head[:n_bytes]) == head[n_bytes]


def _length_at(head: bytes) -> int:
    """Bytes of the head of a frame up to its number, behind which a length of its own may stand."""
    return 4 + max(1, 8 - (head[4] ^ 0xFF).bit_length())


def _n_samples(head: bytes) -> int:
    """Samples per channel of a frame, from its head."""
    code, at = head[2] >> 4, _length_at(head)
    if code in EXTRA_BYTES:
        return int.from_bytes(head[at : at + EXTRA_BYTES[code]], "big") + 1
    return 256 << code - 8 if code >= 8 else 192 if code == 1 else 576 << max(0, code - 2)


class Frame(NamedTuple):
    """A frame of a stream: its byte in the file, its first sample in the stream, and the sample behind it."""

    at: int
    begin: int
    end: int


def last_frame(source: Path, start: int, stop: int) -> Frame | None:
    """The last frame that begins in a stream, whole or not; None if there is none.

    Args:
        source: the file.
        start: the byte at which the stream begins.
        stop: the byte behind it, and behind what stands between it and the next one.
    """
    with source.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        head = content[start : start + STREAMINFO_BYTES]
        mark = _first_head(file, start)[:2]
        if len(head) < STREAMINFO_BYTES or mark not in (FRAME_START, SAMPLE_COUNTING_START):
            return None
        block_size = int.from_bytes(head[10:12], "big")
        at = content.rfind(mark, start, stop)
        for _ in range(MOST_MARKS):
            frame = content[max(at, 0) : min(stop, at + MOST_HEAD_BYTES)]
            if at < 0 or _is_head(frame, _form(head)):
                break
            at = content.rfind(mark, start, at + 1)
        else:
            return None
        if at < 0:
            return None
        number = _coded_number(frame[4:11]) * (block_size if mark == FRAME_START else 1)
        begin = number - _first_position(file, start, block_size)
        return Frame(at, begin, begin + _n_samples(frame))


def frame_ends(source: Path, start: int, stop: int, frame: Frame) -> Iterator[int]:
    """Bytes behind which a frame of a stream may end: up to there, its checksum is right.

    Args:
        source: the file.
        start: the byte at which the stream begins.
        stop: the byte behind it.
        frame: the frame.
    """
    with source.open("rb") as file:
        file.seek(start)
        channels, bits = _form(file.read(STREAMINFO_BYTES))
        most = 64 + channels * (16 + (frame.end - frame.begin) * (bits + 1) // 8)
        file.seek(frame.at)
        content = file.read(min(stop - frame.at, most))
    value = 0
    for place, byte in enumerate(content, start=1):
        before = value
        value = value << 8 & 0xFF00 ^ CHECKSUMS[value >> 8 ^ byte]
        if not value and before:
            yield frame.at + place


def _checksum(content: bytes) -> int:
    """The checksum of the head of a frame: 8 bits, polynomial x⁸ + x² + x + 1."""
    value = 0
    for byte in content:
        value ^= byte
        for _ in range(8):
            value = (value << 1 ^ (7 if value & 0x80 else 0)) & 0xFF
    return value


def is_too_large(source: Path, n_frames: int) -> bool:
    """Whether a file has more bytes than its first stream can have, by its largest frame.

    Args:
        source: a FLAC file.
        n_frames: the number of samples per channel of its first stream.

    Returns:
        False also if the stream does not state its largest frame.
    """
    with source.open("rb") as file:
        start = flac_start(file)
        file.seek(start)
        head = file.read(STREAMINFO_BYTES)
        _first_head(file, start)
        begin = file.tell()
    block_size, most = int.from_bytes(head[8:10], "big"), int.from_bytes(head[15:18], "big")
    n_blocks = -(-n_frames // max(1, block_size))
    return most > 0 and source.stat().st_size > begin + n_blocks * most


def holds_frames(source: Path, start: int) -> bool:
    """Whether bytes with which a frame begins stand in a file from a place on.

    Args:
        source: the file.
        start: the place, in bytes.
    """
    with source.open("rb") as opened:
        opened.seek(start)
        rest = opened.read()
    return FRAME_START in rest or SAMPLE_COUNTING_START in rest


def next_stream(source: Path, start: int) -> int | None:
    """The byte at which a stream begins behind the one that begins at `start`; None if there is none.

    Args:
        source: the file. It is searched once, until its size or the time of its last change differ.
        start: the place, in bytes.
    """
    about = source.stat()
    return _next_stream(source, start, about.st_size, about.st_mtime_ns)


@lru_cache(maxsize=64)
def _next_stream(source: Path, start: int, size: int, changed_ns: int) -> int | None:
    with source.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
        found = content.find(STREAM_START, start + len(STREAM_START))
    return None if found < 0 else found
