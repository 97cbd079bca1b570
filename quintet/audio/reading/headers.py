"""Lengths that file headers state, so that a truncated file is noticed.

libsndfile silently shortens a WAV, AIFF or AU file whose data ends early, and plays an Ogg stream up to the
point where it breaks off. Each function here reads a few bytes and returns how many frames there should be.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

UNKNOWN_SIZES = (0, 0x7FFFFFFF, 0x7FFFF000, 0xFFFFFFFF)
"""Sizes that programs write into a header that they cannot complete at the end."""


def declared_frames(path: Path, *, format: str, frames: int, frame_bytes: int) -> int | None:
    """Number of frames that the header of an audio file states; None if it states none.

    Args:
        path: the file.
        format: libsndfile's name of the container, such as `"WAV"`.
        frames: number of frames that libsndfile reports.
        frame_bytes: bytes of one frame (all channels) if the file is PCM, 0 if the data are compressed.
    """
    reader = _READERS.get(format)
    if reader is None:
        return frames
    with path.open("rb") as file:
        return reader(file, frames, frame_bytes)


def ogg_is_complete(path: Path) -> bool:
    """Whether the last page of an Ogg file carries the end-of-stream mark.

    Returns:
        True also if no page is found near the end, since then the file says nothing about it.
    """
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 70_000))  # a page has at most 65,307 bytes
        tail = file.read()
    page = tail.rfind(b"OggS")
    if page < 0 or len(tail) < page + 6:
        return True
    flags = tail[page + 5]
    return bool(flags & 0x04)


def _chunks_of_wav(file: BinaryIO, frames: int, frame_bytes: int) -> int | None:
    size = _chunk_size(file, b"data", byte_order="<")
    is_unknown = size is None or size in UNKNOWN_SIZES or size >= 0x7FFFF000
    if size is None or is_unknown or not frame_bytes:
        return None
    return size // frame_bytes


def _chunks_of_aiff(file: BinaryIO, frames: int, frame_bytes: int) -> int | None:
    if _chunk_size(file, b"COMM", byte_order=">") is None:
        return None
    body = file.read(6)
    return struct.unpack(">hI", body)[1] if len(body) == 6 else None


def _chunk_size(file: BinaryIO, wanted: bytes, byte_order: str) -> int | None:
    """Size of the first chunk with this name. The file position is then the start of the chunk's body."""
    file.seek(12)
    for _ in range(1000):  # a broken file may consist of empty chunks
        head = file.read(8)
        if len(head) < 8:
            return None
        name, size = struct.unpack(f"{byte_order}4sI", head)
        if name == wanted:
            return int(size)
        file.seek(size + size % 2, 1)
    return None


def _header_of_au(file: BinaryIO, frames: int, frame_bytes: int) -> int | None:
    head = file.read(12)
    byte_order = ">" if head[:4] == b".snd" else "<"
    size = 0
    if len(head) == 12:
        _, size = struct.unpack(f"{byte_order}4xII", head)
    if size in UNKNOWN_SIZES or not frame_bytes:
        return None
    return int(size) // frame_bytes


def _tag_of_mp3(file: BinaryIO, frames: int, frame_bytes: int) -> int | None:
    """The count of the Xing or Info tag, which libsndfile reports. Without a tag it only estimates: None."""
    head = file.read(10)
    start = 0
    if head[:3] == b"ID3" and len(head) == 10:
        size_bytes = zip(head[6:10], (21, 14, 7, 0), strict=True)  # seven bits each
        start = 10 + sum(byte << shift for byte, shift in size_bytes)
    file.seek(start)
    first_bytes = file.read(4096)
    has_tag = b"Xing" in first_bytes or b"Info" in first_bytes
    return frames if has_tag else None


_READERS: dict[str, Callable[[BinaryIO, int, int], int | None]] = {
    "WAV": _chunks_of_wav,
    "WAVEX": _chunks_of_wav,
    "AIFF": _chunks_of_aiff,
    "AU": _header_of_au,
    "MP3": _tag_of_mp3,
}
