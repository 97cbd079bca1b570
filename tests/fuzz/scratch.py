"""The folder of the fuzzer: outside of it nothing is written, whatever a mutated file asks for.

The guard sees what Python opens, renames and removes (PEP 578), in this process and in those that it forks.
It does not see what a C library writes by itself.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
DEVICES = ("/dev/null", "/dev/zero", "/dev/tty")
REPORT = "outside.txt"
"""File of the scratch folder with the attempts."""
CHANGES = {
    "os.mkdir": 1,
    "os.remove": 1,
    "os.rmdir": 1,
    "os.truncate": 1,
    "os.chmod": 1,
    "os.rename": 2,
    "os.link": 2,
    "os.symlink": 2,
}
"""Event → how many of its first arguments are paths. Of a link only the place of the link counts."""


WITH_FOLDERS = ("os.remove", "os.rmdir", "os.rename", "os.link")
"""Events whose further arguments are descriptors of open folders, -1 for none."""


class OutsideError(BaseException):
    """An attempt to write outside the scratch folder. No `except Exception` takes it."""


def confine(*folders: Path) -> None:
    """Refuse to write outside some folders until this process ends.

    Args:
        folders: the folders. Attempts are listed in `REPORT` of the first.
    """
    roots = [os.path.realpath(folder) for folder in folders]
    report = os.path.join(roots[0], REPORT)
    sys.dont_write_bytecode = True  # a module that is imported late is no attempt
    is_busy = False

    def look(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal is_busy
        if is_busy or (event != "open" and event not in CHANGES):
            return
        is_busy = True
        try:
            for place in _places(event, arguments):
                if not _lies_in(place, roots):
                    with open(report, "a", encoding="utf-8") as file:
                        file.write(f"{event} {place!r}\n")
                    raise OutsideError(f"{event} of {place!r}, which is outside of {roots}")
        finally:
            is_busy = False

    sys.addaudithook(look)


def _places(event: str, arguments: tuple[object, ...]) -> list[str]:
    """The places that an event changes. What is relative to an open folder is not known here."""
    if event == "open":
        path, _, flags = arguments
        if not isinstance(flags, int) or not flags & WRITES or not isinstance(path, str | bytes):
            return []
        return [os.path.realpath(os.fsdecode(path))]
    if event in WITH_FOLDERS and any(number != -1 for number in arguments[CHANGES[event] :]):
        return []
    paths = [value for value in arguments[: CHANGES[event]] if isinstance(value, str | bytes)]
    if event in ("os.link", "os.symlink"):
        paths = paths[1:]
    found = []
    for path in paths:
        text = os.path.abspath(os.fsdecode(path))
        found.append(os.path.join(os.path.realpath(os.path.dirname(text)), os.path.basename(text)))
    return found


def _lies_in(place: str, roots: list[str]) -> bool:
    return place in DEVICES or any(place == root or place.startswith(root + os.sep) for root in roots)
