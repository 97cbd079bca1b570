r"""Names of files as text: one reversible form for names that are no text, for every table and page.

On Linux the name of a file is a row of bytes, and not every row of bytes is UTF-8. Tables (parquet, CSV),
JSON and HTML hold text only. There, a byte that is not UTF-8 stands as `\x` and two hexadecimal digits: the
name `caf\xe9.wav` is the file whose fourth letter is the single byte E9, an é in Latin-1. A backslash before
`x` and two such digits stands as `\x5c`, so that two files never have one text. All other names are their own
text.

In memory, Python writes a byte that is not UTF-8 as a surrogate (U+DC80 to U+DCFF). `name_text` turns such a
path into its text, `text_path` turns the text back into the path that the operating system opens.
"""

from __future__ import annotations

import os
import re

_ESCAPE = re.compile(r"\\x([0-9a-f]{2})")
_TO_ESCAPE = re.compile("[\udc80-\udcff]|\\\\(?=x[0-9a-f]{2})")
BACKSLASH = 0x5C
FIRST_BYTE = 0x80  # bytes below are ASCII, and always UTF-8
SURROGATE = 0xDC00


def name_text(path: str | os.PathLike[str]) -> str:
    r"""The text of a path.

    Args:
        path: a path as Python has it.

    Example:
        >>> name_text("caf\udce9.wav"), name_text("café.wav"), name_text(r"a\xe9.wav")
        ('caf\\xe9.wav', 'café.wav', 'a\\x5cxe9.wav')
    """
    name = os.fspath(path)
    if name.isascii() and "\\x" not in name:
        return name
    return _TO_ESCAPE.sub(_escape, name)


def text_path(text: str) -> str:
    r"""The path that a text stands for. It is the inverse of `name_text`.

    Args:
        text: the text of a path, for example of the column `path` of a table.

    Example:
        >>> text_path(r"caf\xe9.wav") == "caf\udce9.wav"
        True
        >>> text_path(r"a\x5cxe9.wav"), text_path("C:\\music\\a.wav")
        ('a\\xe9.wav', 'C:\\music\\a.wav')
    """
    return _ESCAPE.sub(_unescape, text) if "\\x" in text else text


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code - SURROGATE if code >= SURROGATE else code:02x}"


def _unescape(match: re.Match[str]) -> str:
    code = int(match[1], 16)
    if code == BACKSLASH:
        return "\\"
    return chr(SURROGATE + code) if code >= FIRST_BYTE else match[0]
