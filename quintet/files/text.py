"""Text files that people bring, in any usual encoding."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import BinaryIO, TextIO

HEAD_BYTES = 1 << 16
BLOCK_BYTES = 1 << 22
_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # begins with the mark of UTF-16
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def find_encoding(file: BinaryIO) -> tuple[str, bool]:
    """Encoding of a text file, and whether it is a guess.

    It is what a byte order mark says, or UTF-16 if every other byte is zero, or UTF-8, or else Windows-1252.

    Args:
        file: the file, opened to read bytes, at its start.

    Example:
        >>> import io
        >>> find_encoding(io.BytesIO("é".encode())), find_encoding(io.BytesIO("é".encode("cp1252")))
        (('utf-8', False), ('cp1252', True))
    """
    head = file.read(HEAD_BYTES)
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if head.startswith(mark):
            return encoding, False
    if head[1::2].count(0) > len(head) / 4:
        return "utf-16-le", False
    if head[0::2].count(0) > len(head) / 4:
        return "utf-16-be", False
    for encoding in ("utf-8", "cp1252"):
        file.seek(0)
        decoder = codecs.getincrementaldecoder(encoding)()
        try:
            while block := file.read(BLOCK_BYTES):
                decoder.decode(block)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            continue
        return encoding, encoding != "utf-8"
    return "latin-1", True


def open_text(path: Path, *, newline: str | None = None) -> TextIO:
    """A text file to read, in its own encoding and without its byte order mark.

    Args:
        path: the file.
        newline: as for `open`.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        encoding, _ = find_encoding(file)
    return path.open(encoding=encoding, newline=newline)


def read_text(path: Path) -> str:
    """Content of a text file, without its byte order mark and with plain line ends.

    Raises:
        OSError: the file cannot be read.
        UnicodeDecodeError: it is damaged.
    """
    with open_text(path) as file:
        return file.read()
