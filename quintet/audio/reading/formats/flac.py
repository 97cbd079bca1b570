"""Frames of a FLAC stream, from its header and its first frame.

Source:
    RFC 9639.
"""

from __future__ import annotations

from typing import BinaryIO

STREAMINFO_BYTES = 26
"""Bytes up to the end of the number of samples, with the mark `fLaC` and the head of the block."""
MOST_BLOCKS = 1000
"""Blocks of metadata that are looked at."""


def flac_frames(file: BinaryIO) -> int | None:
    """Number of frames from the first one in the file to the end that STREAMINFO states.

    A part that was cut out without encoding it again keeps the header of the whole: its frames go on counting
    where the part begins.

    Args:
        file: a file that begins with `fLaC`.

    Returns:
        None if the header states no total, or one that lies before the first frame.
    """
    file.seek(0)
    head = file.read(STREAMINFO_BYTES)
    if head[:4] != b"fLaC" or len(head) < STREAMINFO_BYTES:
        return None
    total = int.from_bytes(head[18:26], "big") & (2**36 - 1)
    block_size = int.from_bytes(head[10:12], "big")
    return max(0, total - _first_position(file, block_size)) or None


def _first_position(file: BinaryIO, block_size: int) -> int:
    """Position of the first frame in the stream; 0 if there is none behind the metadata."""
    position, is_last = 4, False
    for _ in range(MOST_BLOCKS):
        file.seek(position)
        head = file.read(4)
        if is_last or len(head) < 4:
            break
        is_last = bool(head[0] & 0x80)
        position += 4 + int.from_bytes(head[1:], "big")
    counts_samples = head[:2] == b"\xff\xf9"
    if not counts_samples and head[:2] != b"\xff\xf8":
        return 0
    return _coded_number(file.read(7)) * (1 if counts_samples else block_size)


def _coded_number(code: bytes) -> int:
    """The number at the start of some bytes, coded as UTF-8 codes characters, with up to 36 bits."""
    n_ones = 8 - (code[0] ^ 0xFF).bit_length() if code else 0
    number = code[0] & (0x7F >> n_ones) if code else 0
    for byte in code[1 : max(1, n_ones)]:
        number = number << 6 | byte & 0x3F
    return number
