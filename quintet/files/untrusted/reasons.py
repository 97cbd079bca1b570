"""Errors of libraries as part of a sentence."""

from __future__ import annotations

from quintet.files.machine import machine_fault

LONGEST = 300


def reason(error: BaseException) -> str:
    """Kind and message of an error in one line of at most `LONGEST` printable characters.

    Args:
        error: what a library raised over a file.

    Raises:
        MachineError: too little memory is free: nothing is known to be wrong with the file.

    Example:
        >>> reason(ValueError("two\\nlines\\x1b[2J"))
        'ValueError: two lines?[2J'
    """
    fault = machine_fault(error) if isinstance(error, MemoryError) else None
    if fault is not None:
        raise fault from error
    text = " ".join(str(error).split())
    printable = "".join(character if character.isprintable() else "?" for character in text)
    message = printable if len(printable) <= LONGEST else f"{printable[:LONGEST]}…"
    return f"{type(error).__name__}: {message}" if message else type(error).__name__
