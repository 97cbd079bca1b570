"""Errors of libraries as part of a sentence."""

from __future__ import annotations

LONGEST = 300


def reason(error: BaseException) -> str:
    """Kind and message of an error in one line of at most `LONGEST` printable characters.

    Example:
        >>> reason(ValueError("two\\nlines\\x1b[2J"))
        'ValueError: two lines?[2J'
    """
    text = " ".join(str(error).split())
    printable = "".join(character if character.isprintable() else "?" for character in text)
    message = printable if len(printable) <= LONGEST else f"{printable[:LONGEST]}…"
    return f"{type(error).__name__}: {message}" if message else type(error).__name__
