"""Lengths that file headers state, so that a truncated file is noticed, and headers that can be repaired.

libsndfile silently shortens a WAV, AIFF or AU file whose data ends early, and plays an Ogg stream up to the
point where it breaks off. Each reader here reads a few bytes and returns how many frames there should be.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

UNKNOWN_SIZES = (0, 0x7FFFFFFF, 0x7FFFF000, 0xFFFFFFFF)
"""Sizes that programs write into a header that they cannot complete at the end."""
W64_DATA = b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"
"""Identifier of the data chunk of a W64 file."""
W64_FORMAT = b"fmt \xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"
"""Identifier of the format chunk of a W64 file."""
EXTENSIBLE, IEEE_FLOAT = b"\xfe\xff", b"\x03\x00"
"""Format tags of WAV and W64 files."""
SDS_HEADER_BYTES, SDS_BLOCK_BYTES, SDS_DATA_BYTES, SDS_BITS_AT = 21, 127, 120, 6
"""SDS: bytes of the header, of a block and of its samples (7 bits each); place of the bits of a sample."""
FARTHEST = 1 << 60
"""Largest position of a byte that is looked for."""
MAX_CHUNKS = 1000
"""Chunks that are looked at. A damaged file may consist of empty chunks."""


def stated_frames(path: Path, *, format: str, frames: int, frame_bytes: int) -> int | None:
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
        return reader(file, frame_bytes)


def frames_of_bytes(path: Path, *, format: str) -> int | None:
    """Number of frames that the bytes of a file can hold, where libsndfile reads on without bytes.

    From an SDS file that is cut short, libsndfile reads zeros up to the length that the header states. The
    layout of its blocks is that of the MIDI Sample Dump Standard: https://www.midi.org/specifications.

    Args:
        path: the file.
        format: libsndfile's name of the container.

    Returns:
        Frames in whole blocks; None for other containers.
    """
    if format != "SDS":
        return None
    with path.open("rb") as file:
        head = file.read(SDS_HEADER_BYTES)
    n_blocks = max(0, path.stat().st_size - SDS_HEADER_BYTES) // SDS_BLOCK_BYTES
    bits = head[SDS_BITS_AT] if len(head) > SDS_BITS_AT else 0
    return n_blocks * (SDS_DATA_BYTES // max(2, -(-bits // 7)))


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


def repair_header(path: Path) -> list[tuple[int, int] | bytes] | None:
    """Pieces of a file with the size of its data chunk put right; None if libsndfile can read it as it is.

    A recorder that stops without warning leaves a WAV file that states a size of 0 although data follow. A
    CAF file that states more than it holds is refused by libsndfile. In a W64 file of the extensible format,
    libsndfile takes floating-point samples for integers.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] == b"RIFF" and head[8:] == b"WAVE":
            stated = _find_chunk(file, b"data", byte_order="<")
            start = file.tell()
            if stated != 0 or start >= size or _holds_only_chunks(file, start, size):
                return None
            held = min(size - start, 0xFFFFFFFE)
            return [(0, start - 4), struct.pack("<I", held), (start, start + held)]
        if head[:4] == b"riff":
            tag_at = _find_extensible_float(file)
            return None if tag_at is None else [(0, tag_at), IEEE_FLOAT, (tag_at + 2, size)]
        if head[:4] == b"caff":
            chunk = _find_caf_data(file)
            if chunk is None or chunk[0] + chunk[1] <= size:
                return None
            start = chunk[0]
            return [(0, start - 8), struct.pack(">q", size - start), (start, size)]
    return None


def _find_extensible_float(file: BinaryIO) -> int | None:
    """Position of the format tag of a W64 file whose extensible format is IEEE float; None for any other."""
    chunk = _find_w64_chunk(file, W64_FORMAT)
    if chunk is None:
        return None
    start, _ = chunk
    file.seek(start)
    body = file.read(26)
    is_float = len(body) == 26 and body[:2] == EXTENSIBLE and body[24:26] == IEEE_FLOAT
    return start if is_float else None


def _holds_only_chunks(file: BinaryIO, start: int, size: int) -> bool:
    """Whether whole chunks fill a file from `start` to its end: then its data chunk is truly empty."""
    position = start
    while position + 8 <= size:
        file.seek(position)
        name, length = struct.unpack("<4sI", file.read(8))
        if not name.isalnum() and not name.strip(b" ").isalnum():
            return False
        position += 8 + length + length % 2
    return position == size


def _read_wav(file: BinaryIO, frame_bytes: int) -> int | None:
    size = _find_chunk(file, b"data", byte_order="<")
    is_unknown = size is None or size in UNKNOWN_SIZES or size >= 0x7FFFF000
    if size is None or is_unknown or not frame_bytes:
        return None
    return size // frame_bytes


def _read_rf64(file: BinaryIO, frame_bytes: int) -> int | None:
    """The 64-bit size of the data chunk, which the chunk `ds64` states (EBU Tech 3306)."""
    if _find_chunk(file, b"ds64", byte_order="<") is None or not frame_bytes:
        return None
    body = file.read(16)
    if len(body) < 16:
        return None
    _, data_bytes = struct.unpack("<QQ", body)
    return None if data_bytes in (0, 2**64 - 1) else int(data_bytes) // frame_bytes


def _read_w64(file: BinaryIO, frame_bytes: int) -> int | None:
    """The size of the data chunk of a Sony Wave64 file.

    A chunk begins with an identifier of 16 bytes and a size of 8 bytes, which includes these 24.
    """
    chunk = _find_w64_chunk(file, W64_DATA)
    return chunk[1] // frame_bytes if chunk is not None and frame_bytes and chunk[1] > 0 else None


def _find_w64_chunk(file: BinaryIO, wanted: bytes) -> tuple[int, int] | None:
    """Start and stated size of the body of the first chunk with this identifier."""
    position = 40
    for _ in range(MAX_CHUNKS):
        head = _read_at(file, position, 24)
        if len(head) < 24:
            return None
        (chunk_bytes,) = struct.unpack("<Q", head[16:])
        if head[:16] == wanted:
            return position + 24, int(chunk_bytes) - 24
        position += max(24, (int(chunk_bytes) + 7) // 8 * 8)
    return None


def _read_at(file: BinaryIO, position: int, n_bytes: int) -> bytes:
    """Bytes from a position that a header states, which may be one that no file has."""
    if position > FARTHEST:
        return b""
    file.seek(position)
    return file.read(n_bytes)


def _read_caf(file: BinaryIO, frame_bytes: int) -> int | None:
    """The size of the data chunk of a Core Audio file, which begins with a 4-byte count; -1 is unknown."""
    chunk = _find_caf_data(file)
    if chunk is None or chunk[1] <= 4 or not frame_bytes:
        return None
    return (chunk[1] - 4) // frame_bytes


def _find_caf_data(file: BinaryIO) -> tuple[int, int] | None:
    """Start and stated size of the data chunk of a Core Audio file."""
    position = 8
    for _ in range(MAX_CHUNKS):
        head = _read_at(file, position, 12)
        if len(head) < 12:
            return None
        name, size = struct.unpack(">4sq", head)
        position += 12
        if name == b"data":
            return position, int(size)
        position += max(0, int(size))
    return None


def _read_aiff(file: BinaryIO, frame_bytes: int) -> int | None:
    if _find_chunk(file, b"COMM", byte_order=">") is None:
        return None
    body = file.read(6)
    return struct.unpack(">hI", body)[1] if len(body) == 6 else None


def _read_au(file: BinaryIO, frame_bytes: int) -> int | None:
    file.seek(0)
    head = file.read(12)
    byte_order = ">" if head[:4] == b".snd" else "<"
    size = 0
    if len(head) == 12:
        _, size = struct.unpack(f"{byte_order}4xII", head)
    if size in UNKNOWN_SIZES or not frame_bytes:
        return None
    return int(size) // frame_bytes


def _read_flac(file: BinaryIO, frame_bytes: int) -> int | None:
    """The total of samples in STREAMINFO, 36 bits; 0 is unknown."""
    file.seek(0)
    head = file.read(26)
    if head[:4] != b"fLaC" or len(head) < 26:
        return None
    total = int.from_bytes(head[18:26], "big") & (2**36 - 1)
    return total or None


def _state_nothing(file: BinaryIO, frame_bytes: int) -> None:
    """Ogg pages and MPEG frames have no header with a length: `soundfile_reader` looks at them itself."""


def _find_chunk(file: BinaryIO, wanted: bytes, byte_order: str) -> int | None:
    """Size of the first chunk with this name. The file position is then the start of the chunk's body."""
    file.seek(12)
    for _ in range(MAX_CHUNKS):
        head = file.read(8)
        if len(head) < 8:
            return None
        name, size = struct.unpack(f"{byte_order}4sI", head)
        if name == wanted:
            return int(size)
        file.seek(size + size % 2, 1)
    return None


_READERS: dict[str, Callable[[BinaryIO, int], int | None]] = {
    "WAV": _read_wav,
    "WAVEX": _read_wav,
    "RF64": _read_rf64,
    "W64": _read_w64,
    "CAF": _read_caf,
    "AIFF": _read_aiff,
    "AU": _read_au,
    "FLAC": _read_flac,
    "OGG": _state_nothing,
    "MP3": _state_nothing,
}
