"""Names as a terminal and a page may show them.

Names of files, classes and clips come from strangers. A name may hold characters that clear the screen, set
the title of the window, begin a line of its own or turn the direction of writing: `printable` shows them as
escapes. Everything that is printed goes through it (`quintet.commands.terminal.console`).
"""

from __future__ import annotations

import re
import unicodedata

from quintet.files.display.file_names import name_text

FIRST_BYTE, LAST_BYTE = "\udc80", "\udcff"
"""Characters that stand for bytes of a name that are not UTF-8."""
MOST_CHARACTERS = 10_000
"""Longest line that is printed."""

_JOINERS = "\u200c\u200d"  # Persian and Indic words and emoji need them
_SHOWN_CATEGORIES = ("Zs", "Cn", "Co")  # blanks of all kinds; characters that this Python does not know
_SUSPECTS = re.compile(r"[^\n\t\x20-\x7e\xa0-\u02ff\u0370-\u058f\u3040-\ud7ff]")
"""All characters but those that are harmless in any case: most are, and need no second look."""


def printable(text: str) -> str:
    """A text on one line. Line breaks and control characters become escapes, and a very long text is cut.

    Example:
        >>> printable("new\\nline\\x1b[2J.mp3"), printable("two\\u3000words"), printable("\\u202e3pm.exe")
        ('new\\\\nline\\\\x1b[2J.mp3', 'two\\u3000words', '\\\\u202e3pm.exe')
    """
    if text.isprintable():
        line = text
    else:
        line = harmless(text).replace("\n", "\\n").replace("\t", "\\t")
    if len(line) <= MOST_CHARACTERS:
        return line
    half = MOST_CHARACTERS // 2
    return f"{line[:half]} … ({len(line):,} characters) … {line[-half // 10 :]}"


def harmless(text: str) -> str:
    """A text of several lines whose other control characters are escapes. Bytes that are no text are too."""
    return _SUSPECTS.sub(lambda match: _escape(match[0]), text)


def _escape(character: str) -> str:
    category = unicodedata.category(character)
    if character.isprintable() or category in _SHOWN_CATEGORIES or character in _JOINERS:
        return character
    if FIRST_BYTE <= character <= LAST_BYTE:
        return name_text(character)
    return character.encode("unicode_escape").decode()
