"""Text in files that are named like audio: pages of a server that had no such file, and notes.

A decoder of a format without a header makes sound of any bytes, so text must be noticed before it.
"""

from __future__ import annotations

import codecs
from pathlib import Path

HEAD_BYTES = 4096
CONTROL = frozenset(range(32)) - frozenset(b"\t\n\r\f\x1b")
"""Bytes that do not occur in text."""
MOST_BEYOND_ASCII = 0.1
"""Share of bytes beyond ASCII in text that is not UTF-8, if it has no line ends."""
FEW_BYTES = 64
"""With fewer bytes, that none is a byte of control may be chance."""
PAGES = (b"<!doctype html", b"<html", b"<?xml", b"<head", b"<body")


def text_kind(path: Path) -> str | None:
    """What kind of text a file is, such as "an HTML page"; None if it is no text.

    Args:
        path: a file that can be read.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "song.al"
        >>> _ = path.write_text("<!DOCTYPE html><title>404</title>")
        >>> text_kind(path)
        'an HTML page'
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        try:
            text = head[: len(head) // 2 * 2].decode("utf-16", errors="strict")
        except UnicodeDecodeError:
            return None
        if not any(map(str.isspace, text)):  # quiet mu-law begins with these bytes, too
            return None
        head = text.encode("utf-8")
    for half, other in ((head[::2], head[1::2]), (head[1::2], head[::2])):
        if len(head) >= FEW_BYTES and not any(other):  # UTF-16 without a mark
            head = half
            break
    start = head.removeprefix(codecs.BOM_UTF8)
    if not start or not CONTROL.isdisjoint(start) or not _is_readable(start):
        return None
    return "an HTML page" if start.lstrip().lower().startswith(PAGES) else "text"


def _is_readable(content: bytes) -> bool:
    """Whether bytes without control are UTF-8, ASCII with few others among them, or lines of any encoding.

    Samples whose bytes are line ends now and then would have bytes of control, too: these are neighbours in
    all formats of 8 bits, and as frequent.
    """
    try:
        codecs.getincrementaldecoder("utf-8")().decode(content)
    except UnicodeDecodeError:
        if len(content) >= FEW_BYTES and (b"\n" in content or b"\r" in content):
            return True
        n_beyond = sum(byte > 127 for byte in content)
        return n_beyond <= MOST_BEYOND_ASCII * len(content)
    return True
