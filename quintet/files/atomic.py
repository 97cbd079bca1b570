"""Atomic writing: a file is complete or absent. All outputs are written through this module."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from quintet.errors import ArtefactError, QuintetError
from quintet.files.paths import text_name

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LONGEST_NAME = 255
"""Bytes in the name of a file, on nearly all file systems."""


@contextmanager
def atomic_replace(target: Path) -> Iterator[Path]:
    """Give a temporary path beside `target` to write to; at the end, the written file replaces `target`.

    If the block fails, `target` stays as it was. A reader sees the old file or the new one, never a part,
    even if the process is killed or the power fails in between. The temporary file exists from the start,
    under a random name. If `target` is a link, the link is replaced, not its file.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = name_beside(target, f".{secrets.token_hex(6)}.tmp")
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_NOFOLLOW", 0)
    os.close(os.open(temporary, flags, 0o666))
    try:
        with text_name(temporary) as name:
            yield name
        synchronise(temporary)
        os.replace(temporary, target)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def replace_output(output: Path) -> Iterator[Path]:
    """A path to write to: a temporary file that then replaces `output`, or a device or a pipe itself.

    Args:
        output: a file that a user names, for example `/dev/stdout`.
    """
    if is_stream(output):
        yield output
        return
    with atomic_replace(output) as temporary:
        yield temporary


def write_or_keep(output: Path, save: Callable[[Path], None], subject: str = "--output") -> None:
    """Write the result of long work. If its place cannot be written any more, it is kept in another one.

    Args:
        output: the file or folder.
        save: writes the result to a path.
        subject: what names the place, in a message: an option, or a kind of output.

    Raises:
        ArtefactError: if the result could not be written (the disk is full by now); it names the other place.
        OSError: if no place can be written.
    """
    try:
        save(output)
    except OSError as error:
        if isinstance(error, (QuintetError, BrokenPipeError)):
            raise
        folder = Path(tempfile.mkdtemp(prefix="quintet-"))
        place = folder / output.name
        try:
            save(place)
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)
            raise error from None
        raise ArtefactError(
            f"{subject} must be a place that can be written until the end. '{output}' could not be "
            f"({error.strerror or error}). The result is complete in '{place}': move it from there."
        ) from error


def save_array(path: Path, values: NDArray[np.generic]) -> None:
    """Write an array to an npy file, with errors that say what the system says.

    If the disk is full, `numpy.save` raises an error without a number, which nobody knows as that of a full
    disk.

    Args:
        path: the file; an existing one is overwritten.
        values: numbers of any shape.

    Raises:
        OSError: the file cannot be written.
    """
    import numpy as np

    ordered = values if values.flags.forc else np.ascontiguousarray(values)
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(ordered))
        file.write(ordered.ravel("K").view(np.uint8).data)


def is_stream(output: Path) -> bool:
    """Whether a path is a device, a pipe or an open file of this process: it is written, not replaced."""
    if output.exists() and not (output.is_file() or output.is_dir()):
        return True
    return output.absolute().parts[1:2] in (("dev",), ("proc",)) and output.absolute().parts[2:3] != ("shm",)


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Give a new, empty folder beside `target`; at the end, it replaces `target`.

    If the block fails, `target` stays as it was.
    """
    token = secrets.token_hex(6)
    temporary, old = name_beside(target, f".{token}.tmp"), name_beside(target, f".{token}.old")
    temporary.mkdir(parents=True)
    try:
        with text_name(temporary) as name:
            yield name
        if os.path.lexists(target):
            os.rename(target, old)
        try:
            os.rename(temporary, target)
        except OSError:
            if os.path.lexists(old):
                os.rename(old, target)
            raise
        if old.is_symlink():
            old.unlink()
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file atomically: a reader sees the old content or the new content, never a part."""
    with atomic_replace(path) as temporary:
        temporary.write_bytes(data)


def append_bytes(path: Path, data: bytes) -> None:
    """Append to a file; if not all can be written (a full disk), nothing of it stays."""
    with path.open("ab", buffering=0) as file:
        size = file.tell()
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[file.write(rest) :]
        except BaseException:
            file.truncate(size)
            raise


def write_text(path: Path, text: str, *, errors: str = "strict") -> None:
    """Write a text in UTF-8 atomically, with its line ends as they are.

    Args:
        path: the file.
        text: its content.
        errors: what happens to characters that UTF-8 does not have, as in `str.encode`.
    """
    write_bytes(path, text.encode("utf-8", errors))


def name_beside(target: Path, ending: str) -> Path:
    """The hidden path `.NAME` + ending beside a file or folder; a long name is cut.

    Example:
        >>> name_beside(Path("out/scores.csv"), ".lock").as_posix()
        'out/.scores.csv.lock'
    """
    room = LONGEST_NAME - 1 - len(ending.encode())
    name = os.fsdecode(os.fsencode(target.name)[:room])
    return target.with_name(f".{name}{ending}")


def synchronise(path: Path) -> None:
    """Flush a file to the disk before anything refers to it."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
