"""Blocks of a Creative Voice file (voc): each has a type and a size of three bytes.

Source: https://wiki.multimedia.cx/index.php/Creative_Voice
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

SOUND = (1, 2, 9)
"""Types of the blocks that hold sound."""
END = 0
"""Type of the block that ends a file. It is a single byte."""
UNSUPPORTED = 4
"""libsndfile's number of an error: a known format with a content that it cannot read."""


class Block(NamedTuple):
    """A block.

    Args:
        kind: its type.
        start: byte at which its content begins.
        size: bytes of its content, as the block states.
    """

    kind: int
    start: int
    size: int


def voc_blocks(file: BinaryIO) -> Iterator[Block]:
    """The blocks of a file in their order, up to its end or the block that ends it, which is one of them."""
    file.seek(20)
    position = int.from_bytes(file.read(2), "little")
    while True:
        file.seek(position)
        head = file.read(4)
        if head[:1] == bytes([END]):
            yield Block(END, position + 1, 0)
        if len(head) < 4 or head[0] == END:
            return
        size = int.from_bytes(head[1:], "little")
        yield Block(head[0], position + 4, size)
        position += 4 + size


def voc_is_split(path: Path) -> bool:
    """Whether a file has several blocks of sound: libsndfile takes the heads of the later ones for sound."""
    n_blocks = 0
    with path.open("rb") as file:
        for block in voc_blocks(file):
            n_blocks += block.kind in SOUND
            if n_blocks > 1:
                return True
    return False


def voc_is_complete(path: Path) -> bool:
    """Whether the last block of a file is the one that ends it."""
    kind = -1
    with path.open("rb") as file:
        for block in voc_blocks(file):
            kind = block.kind
    return kind == END
