"""ID3v2 tags, which stand in front of the sound of mp3 files, and of some others.

Source:
    https://id3.org/id3v2.4.0-structure
"""

from __future__ import annotations

import mmap
import os
from typing import BinaryIO

ID3_HEAD_BYTES = 10


def id3_bytes(head: bytes) -> int:
    """Bytes of the tag that begins with `head`; 0 if none does.

    Example:
        >>> id3_bytes(b"ID3\\4\\0\\0" + bytes([0, 0, 1, 2]))
        140
    """
    if len(head) < ID3_HEAD_BYTES or head[:3] != b"ID3":
        return 0
    size = 0
    for byte in head[6:ID3_HEAD_BYTES]:
        size = (size << 7) + byte
    return ID3_HEAD_BYTES + size


def skip_id3(content: mmap.mmap | BinaryIO) -> int:
    """The position behind the ID3v2 tags with which a file begins; 0 if there is none.

    Args:
        content: the file.
    """
    position, size = 0, content.seek(0, os.SEEK_END) or content.tell()
    while position < size:
        content.seek(position)
        n_bytes = id3_bytes(content.read(ID3_HEAD_BYTES))
        if not n_bytes:
            break
        position += n_bytes
    return position
