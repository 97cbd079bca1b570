"""Files that are read as a whole, if they are ordinary files of a bounded size."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from quintet.errors import ArtefactError


def read_bounded(path: Path, limit: int) -> bytes:
    """Bytes of a file. A device or a pipe is refused without waiting, a large file without reading it.

    Args:
        path: the file.
        limit: greatest number of bytes.

    Raises:
        ArtefactError: it is no ordinary file, or is larger.
        OSError: it cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(descriptor, "rb") as file:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise ArtefactError(
                f"A file must be an ordinary one. '{path}' is a device, a pipe or a folder: remove it."
            )
        if facts.st_size <= limit:
            return file.read(facts.st_size)
        raise ArtefactError(
            f"A file of this kind may have {limit} bytes. '{path}' has {facts.st_size}: do not use it."
        )
