"""Lengths that file headers state, so that a truncated file is noticed, and headers that can be repaired.

libsndfile silently shortens a WAV, AIFF or AU file whose data ends early, and plays an Ogg stream up to the
point where it breaks off. Each reader here reads a few bytes and returns how many frames there should be.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple

from quintet.audio.reading.formats.flac import flac_frames
from quintet.audio.reading.formats.voc import SOUND, voc_blocks

LARGEST_WAV = 0x7FFFF000
"""Size of the data of a WAV file from which on it stands for an unknown one."""
UNKNOWN_SIZES = (0, 0x7F000000, 0x7FFFFFFF, 0x7FFFF000, 0xFFFFFFFF)
"""Sizes that programs write into a header that they cannot complete at the end."""
LARGEST_SIZE = 1 << 60
"""Size in 64 bits from which on it stands for an unknown one, too: no disk holds so many bytes."""
CAF_COUNT_BYTES = 4
"""Bytes of the count with which the data chunk of a Core Audio file begins."""
HEADER_MARK_BYTES = 16
"""Bytes by which a header is known that is written again."""
W64_TAIL = b"\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"
"""Bytes behind the name of a chunk of a Sony Wave64 file, which make an identifier of it."""
EXTENSIBLE, IEEE_FLOAT = b"\xfe\xff", b"\x03\x00"
"""Format tags of WAV and W64 files."""
SDS_HEADER_BYTES, SDS_BLOCK_BYTES, SDS_DATA_BYTES, SDS_BITS_AT = 21, 127, 120, 6
"""SDS: bytes of the header, of a block and of its samples (7 bits each); place of the bits of a sample."""
MAX_CHUNKS = 1000
"""Chunks that are looked at. A damaged file may consist of empty chunks."""


class _Data(NamedTuple):
    """Where the sound data of a file begin, and how many bytes they have, as its header states."""

    start: int
    size: int


class _Chunks(NamedTuple):
    """How a container lays out its chunks.

    Args:
        start: position of the first.
        head: name and size, in the notation of `struct`.
        counted: bytes of the head that the size includes.
        multiple: a chunk begins at a multiple of so many bytes.
    """

    start: int
    head: str
    counted: int = 0
    multiple: int = 2


_RIFF, _FORM = _Chunks(12, "<4sI"), _Chunks(12, ">4sI")
_WIDE = (b"RF64", b"BW64")
"""First bytes of WAV files whose sizes have 64 bits."""
_W64, _CAF = _Chunks(40, "<16sQ", counted=24, multiple=8), _Chunks(8, ">4sq", multiple=1)


def stated_frames(path: Path, *, format: str, frames: int, frame_bytes: int) -> int | None:
    """Number of frames that the header of an audio file states; None if it states none.

    Args:
        path: the file.
        format: libsndfile's name of the container, such as `"WAV"`.
        frames: number of frames that libsndfile reports.
        frame_bytes: bytes of one frame (all channels) if the file is PCM, 0 if the data are compressed.
    """
    if format in _STATING_NOTHING:
        return None
    with path.open("rb") as file:
        if format not in _FRAMES and format not in _DATA:
            return frames
        count = _FRAMES[format](file) if format in _FRAMES else None
        if count is not None or format not in _DATA:
            return count
        data = _DATA[format](file)
    return data.size // frame_bytes if data is not None and frame_bytes else None


def byte_share(path: Path, *, format: str) -> float | None:
    """Share of the sound data that a file holds, of what its header states in bytes.

    Where the data are compressed, their bytes say how much is missing: as many seconds as the share of bytes.

    Args:
        path: the file.
        format: libsndfile's name of the container.

    Returns:
        A share below 1; None if the file is whole, or its header states no size.
    """
    if format not in _DATA:
        return None
    with path.open("rb") as file:
        data = _DATA[format](file)
    if data is None:
        return None
    held = path.stat().st_size - data.start
    return held / data.size if 0 < held < data.size else None


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


def repair_header(path: Path) -> list[tuple[int, int] | bytes] | None:
    """Pieces of a file with the size of its data chunk put right; None if libsndfile can read it as it is.

    A recorder that stops without warning, or writes to a pipe, leaves a WAV, RF64, W64 or CAF file that
    states no size although data follow. A CAF file that states more than it holds is refused by libsndfile.
    In a W64 file of the extensible format, libsndfile takes floating-point samples for integers.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(12)
        kind = head[8:] if head[:4] in (*_WIDE, b"RIFF", b"RIFX") else b"WAVE"
        repair = _REPAIRS.get(head[:4]) if kind == b"WAVE" else None
        return None if repair is None else repair(file, size)


def _repair_wav(file: BinaryIO, size: int) -> list[tuple[int, int] | bytes] | None:
    layout = _riff_layout(file)
    data = _find_chunk(file, b"data", layout)
    if data is None or data.size or not _sound_follows(file, data.start, size, layout):
        return None
    start = data.start
    held = min(size - start, 0xFFFFFFFE)
    return [(0, start - 4), struct.pack(layout.head[0] + "I", held), (start, start + held)]


def _repair_rf64(file: BinaryIO, size: int) -> list[tuple[int, int] | bytes] | None:
    """libsndfile does not know a BW64 file, which has the layout of RF64 (ITU-R BS.2088)."""
    sizes, data = _find_chunk(file, b"ds64", _RIFF), _find_chunk(file, b"data", _RIFF)
    is_stated = _find_rf64(file) is not None or data is None or data.size not in UNKNOWN_SIZES
    if sizes is None or data is None or is_stated or not _sound_follows(file, data.start, size, _RIFF):
        return None
    field, held = sizes.start + 8, struct.pack("<Q", size - data.start)
    return [b"RF64", (4, field), held, (field + 8, size)]


def _repair_w64(file: BinaryIO, size: int) -> list[tuple[int, int] | bytes] | None:
    tag_at = _find_extensible_float(file)
    if tag_at is not None:
        return [(0, tag_at), IEEE_FLOAT, (tag_at + 2, size)]
    data = _find_chunk(file, b"data" + W64_TAIL, _W64)
    if data is None or data.size > 0 or not _sound_follows(file, data.start, size, _W64):
        return None
    start, stop = _without_headers(file, data.start, size)
    return [(0, data.start - 8), struct.pack("<Q", stop - start + _W64.counted), (start, stop)]


def _repair_caf(file: BinaryIO, size: int) -> list[tuple[int, int] | bytes] | None:
    data = _find_chunk(file, b"data", _CAF)
    if data is None:
        return None
    begin = min(data.start + CAF_COUNT_BYTES, size)
    if data.size > CAF_COUNT_BYTES:
        start, stop = begin, size
        if data.start + data.size <= size:
            return None
    elif data.size < 0 or not _sound_follows(file, begin, size, _CAF):
        return None  # libsndfile knows a size of -1
    else:
        start, stop = _without_headers(file, begin, size)
    stated = struct.pack(">q", begin - data.start + stop - start)
    return [(0, data.start - 8), stated, (data.start, begin), (start, stop)]


def _without_headers(file: BinaryIO, start: int, size: int) -> tuple[int, int]:
    """Where the sound of a file that was written to a pipe begins and ends.

    libsndfile, which other programs use, writes a header again before the sound and behind it, since it
    cannot go back to the first one.

    Args:
        file: the file.
        start: length of its header.
        size: its bytes.
    """
    mark, stop = _read_at(file, 0, HEADER_MARK_BYTES), size - start
    begin = start
    while _read_at(file, begin, HEADER_MARK_BYTES) == mark:
        begin += start
    return begin, stop if stop >= begin and _read_at(file, stop, HEADER_MARK_BYTES) == mark else size


def _find_extensible_float(file: BinaryIO) -> int | None:
    """Position of the format tag of a W64 file whose extensible format is IEEE float; None for any other."""
    chunk = _find_chunk(file, b"fmt " + W64_TAIL, _W64)
    if chunk is None:
        return None
    body = _read_at(file, chunk.start, 26)
    is_float = len(body) == 26 and body[:2] == EXTENSIBLE and body[24:26] == IEEE_FLOAT
    return chunk.start if is_float else None


def _sound_follows(file: BinaryIO, start: int, size: int, layout: _Chunks) -> bool:
    """Whether sound stands behind a data chunk that states none.

    If whole chunks fill the file from `start` to its end, the data chunk is truly empty.
    """
    position, n_bytes = start, struct.calcsize(layout.head)
    while position + n_bytes <= size:
        name, length = struct.unpack(layout.head, _read_at(file, position, n_bytes))
        length -= layout.counted
        if length < 0 or not (name[:4].isalnum() or name[:4].strip(b" ").isalnum()):
            return True
        position += n_bytes + -(-length // layout.multiple) * layout.multiple
    return position != size


def _is_stated(size: int) -> bool:
    """Whether a size is one, and does not stand for an unknown one."""
    return 0 < size < LARGEST_SIZE and size not in UNKNOWN_SIZES


def _riff_layout(file: BinaryIO) -> _Chunks:
    """The layout of the chunks of a WAV file: those of RIFX have the byte order of AIFF."""
    return _FORM if _read_at(file, 0, 4) == b"RIFX" else _RIFF


def _find_wav(file: BinaryIO) -> _Data | None:
    if _read_at(file, 0, 4) in _WIDE:
        return _find_rf64(file)
    data = _find_chunk(file, b"data", _riff_layout(file))
    return data if data is not None and 0 < data.size < LARGEST_WAV else None


def _find_rf64(file: BinaryIO) -> _Data | None:
    """The 64-bit size of the data chunk, which the chunk `ds64` states (EBU Tech 3306)."""
    sizes, data = _find_chunk(file, b"ds64", _RIFF), _find_chunk(file, b"data", _RIFF)
    body = b"" if sizes is None else _read_at(file, sizes.start, 16)
    if len(body) < 16 or data is None:
        return None
    _, size = struct.unpack("<QQ", body)
    return _Data(data.start, int(size)) if _is_stated(size) else None


def _find_w64(file: BinaryIO) -> _Data | None:
    data = _find_chunk(file, b"data" + W64_TAIL, _W64)
    return data if data is not None and _is_stated(data.size) else None


def _read_at(file: BinaryIO, position: int, n_bytes: int) -> bytes:
    """Bytes from a position that a header states, which may be one that no file has."""
    if position >= os.fstat(file.fileno()).st_size:
        return b""
    file.seek(position)
    return file.read(n_bytes)


def _find_caf(file: BinaryIO) -> _Data | None:
    """The size of the data chunk of a Core Audio file, which begins with a 4-byte count; -1 is unknown."""
    data = _find_chunk(file, b"data", _CAF)
    if data is None or not _is_stated(data.size - CAF_COUNT_BYTES):
        return None
    return _Data(data.start + CAF_COUNT_BYTES, data.size - CAF_COUNT_BYTES)


def _count_caf(file: BinaryIO) -> int | None:
    """The valid frames in the packet table of compressed data, if the table stands before them."""
    table = _find_chunk(file, b"pakt", _CAF)
    body = b"" if table is None else _read_at(file, table.start, 16)
    return int(struct.unpack(">qq", body)[1]) or None if len(body) == 16 else None


def _find_aiff(file: BinaryIO) -> _Data | None:
    """The sound data chunk of an AIFF file, which begins with 8 bytes about its alignment."""
    data = _find_chunk(file, b"SSND", _FORM)
    is_stated = data is not None and _is_stated(data.size - 8) and _is_stated(data.size)
    return _Data(data.start + 8, data.size - 8) if data is not None and is_stated else None


def _find_svx(file: BinaryIO) -> _Data | None:
    data = _find_chunk(file, b"BODY", _FORM)
    return data if data is not None and _is_stated(data.size) else None


def _find_au(file: BinaryIO) -> _Data | None:
    head = _read_at(file, 0, 12)
    if len(head) < 12:
        return None
    start, size = struct.unpack(">4xII" if head[:4] == b".snd" else "<4xII", head)
    return None if size in UNKNOWN_SIZES else _Data(int(start), int(size))


def _find_voc(file: BinaryIO) -> _Data | None:
    """The blocks of sound of a Creative Voice file."""
    sound = [block for block in islice(voc_blocks(file), MAX_CHUNKS) if block.kind in SOUND]
    if not sound:
        return None
    start = sound[0].start
    return _Data(start, sound[-1].start + sound[-1].size - start)


def _find_mat5(file: BinaryIO) -> _Data | None:
    """The last matrix of a MATLAB 5 file: each element has a type and a size of four bytes."""
    byte_order = "<" if _read_at(file, 126, 2) == b"IM" else ">"
    position, found = 128, None
    for _ in range(MAX_CHUNKS):
        head = _read_at(file, position, 8)
        if len(head) < 8:
            break
        _, size = struct.unpack(f"{byte_order}II", head)
        found = _Data(position + 8, int(size))
        position += 8 + int(size)
    return found


def _count_aiff(file: BinaryIO) -> int | None:
    """The frames of an AIFF file, unless the size of its sound stands for an unknown one."""
    sound = _find_chunk(file, b"SSND", _FORM)
    if sound is not None and _find_aiff(file) is None and sound.size > 8:
        return None
    facts = _find_chunk(file, b"COMM", _FORM)
    body = b"" if facts is None else _read_at(file, facts.start, 6)
    return struct.unpack(">hI", body)[1] if len(body) == 6 else None


def _count_nist(file: BinaryIO) -> int | None:
    """The field `sample_count` of a NIST (SPHERE) header, which is text."""
    field = re.search(rb"sample_count -i (\d+)", _read_at(file, 0, 1024))
    return int(field[1]) if field else None


def _count_mat4(file: BinaryIO) -> int | None:
    """The columns of the second matrix of a MATLAB 4 file; the first is the sample rate."""
    head = _read_at(file, 0, 20)
    if len(head) < 20:
        return None
    byte_order = "<" if head[:4] == bytes(4) else ">"
    name_bytes = struct.unpack(f"{byte_order}I", head[16:])[0]
    body = _read_at(file, 20 + int(name_bytes) + 8, 12)
    return struct.unpack(f"{byte_order}III", body)[2] if len(body) == 12 else None


def _count_field(position: int, kind: str) -> Callable[[BinaryIO], int | None]:
    """A reader of the number of frames in a field of 4 bytes."""

    def read(file: BinaryIO) -> int | None:
        field = _read_at(file, position, 4)
        return int(struct.unpack(kind, field)[0]) or None if len(field) == 4 else None

    return read


def _find_chunk(file: BinaryIO, wanted: bytes, layout: _Chunks) -> _Data | None:
    """The body of the first chunk with this name."""
    position, n_bytes = layout.start, struct.calcsize(layout.head)
    for _ in range(MAX_CHUNKS):
        head = _read_at(file, position, n_bytes)
        if len(head) < n_bytes:
            break
        name, size = struct.unpack(layout.head, head)
        position += n_bytes
        size -= layout.counted
        if name == wanted:
            return _Data(position, size)
        position += max(0, -(-size // layout.multiple) * layout.multiple)
    return None


_DATA: dict[str, Callable[[BinaryIO], _Data | None]] = {
    "WAV": _find_wav,
    "WAVEX": _find_wav,
    "RF64": _find_rf64,
    "W64": _find_w64,
    "CAF": _find_caf,
    "AIFF": _find_aiff,
    "AU": _find_au,
    "SVX": _find_svx,
    "VOC": _find_voc,
    "MAT5": _find_mat5,
}
"""Container → its sound data, as the header states them."""
_REPAIRS: dict[bytes, Callable[[BinaryIO, int], list[tuple[int, int] | bytes] | None]] = {
    **dict.fromkeys((b"RIFF", b"RIFX"), _repair_wav),
    **dict.fromkeys(_WIDE, _repair_rf64),
    b"riff": _repair_w64,
    b"caff": _repair_caf,
}
"""First bytes of a file → what puts its header right."""
_FRAMES: dict[str, Callable[[BinaryIO], int | None]] = {
    "AIFF": _count_aiff,
    "CAF": _count_caf,
    "FLAC": flac_frames,
    "NIST": _count_nist,
    "AVR": _count_field(26, ">I"),
    "MAT4": _count_mat4,
    "MPC2K": _count_field(26, "<I"),
    "WVE": _count_field(18, ">I"),
}
"""Container → its number of frames, as the header states it."""
_STATING_NOTHING = frozenset({"OGG", "MP3", "RAW", "IRCAM", "PAF", "PVF"})
"""Containers whose headers state no length. `soundfile_reader` looks at Ogg pages and MPEG frames itself."""
