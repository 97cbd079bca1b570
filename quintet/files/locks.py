"""Locks on outputs: one command at a time writes a file or a folder.

The lock of an output is a lock of the operating system on a small file beside it, `.NAME.lock`. It ends with
the process that holds it, however that ends, and the file is removed with it. A file that a killed process
left behind holds nothing. The file names its holder, for the message to the next command.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from quintet.errors import ArtefactError
from quintet.files.atomic import is_stream, name_beside
from quintet.files.notices import announce

NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.EBADF}
"""Errors of a file system that has no locks."""

NO_PLACE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.ELOOP}
"""Errors of a place where no file can be made. The output cannot be written there either, and says why."""

HOLDER_BYTES = 4096


INNER_LOCK = ".quintet.lock"
"""Name of the lock of a folder whose own folder cannot be written, for example the root of a disk."""


class HeldOutputError(ArtefactError):
    """Another command is writing an output."""


@contextmanager
def output_lock(output: str | os.PathLike[str]) -> Iterator[None]:
    """Sole right to write an output, for as long as the block lasts.

    Two names of one output (links, relative paths) share a lock. A device or a pipe has no lock. If the file
    system has no locks, a line on standard error says so, and the block runs without one.

    Args:
        output: the file or folder that is to be written. It need not exist.

    Raises:
        HeldOutputError: another command writes the output.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, output_lock(Path(folder, "model")):
        ...     os.listdir(folder)
        ['.model.lock']
    """
    if is_stream(Path(output)):
        yield
        return
    target = Path(os.path.realpath(output))
    for lock in _lock_files(target):
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            descriptor = _acquire(lock, output)
        except OSError as error:
            if isinstance(error, ArtefactError) or error.errno not in NO_PLACE:
                raise
            continue  # the next place, or no lock: then the output cannot be written either
        break
    else:
        descriptor = None
    if descriptor is None:
        yield
        return
    try:
        _write_holder(descriptor)
        yield
    finally:
        with suppress(OSError):  # Windows does not remove an open file
            lock.unlink()
        os.close(descriptor)


def is_vacant(folder: Path) -> bool:
    """Whether a folder does not exist, or holds nothing but its own lock."""
    return not folder.exists() or all(entry.name == INNER_LOCK for entry in folder.iterdir())


def _lock_files(target: Path) -> list[Path]:
    """Places of the lock of an output: beside it, and for a folder also in it."""
    beside = [name_beside(target, ".lock")] if target.name else []
    return [*beside, target / INNER_LOCK] if target.is_dir() else beside


def _acquire(lock: Path, output: str | os.PathLike[str]) -> int | None:
    """Descriptor of the locked file; None if the file system has no locks.

    Raises:
        ArtefactError: another process holds the lock.
        OSError: the file cannot be made.
    """
    while True:
        descriptor = _open(lock)
        try:
            is_ours = try_lock(descriptor)
        except OSError as error:
            os.close(descriptor)
            if error.errno not in NO_LOCKS:
                raise
            announce(
                f"the file system of '{lock.parent}' has no locks: "
                f"make sure that no other command writes '{output}' now"
            )
            return None
        if not is_ours:
            refusal = _refusal(descriptor, output)
            os.close(descriptor)
            raise HeldOutputError(refusal)
        if _is_in_place(descriptor, lock):
            return descriptor
        os.close(descriptor)  # its last holder has removed it: the next round makes a new one


def _open(lock: Path) -> int:
    """Open the file, and make it if it is missing. Links are not followed.

    The file of another user may be readable only, which is enough for a lock.
    """
    flags = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        return os.open(lock, os.O_RDWR | os.O_CREAT | flags, 0o666)
    except PermissionError:
        return os.open(lock, os.O_RDONLY | flags)


def try_lock(descriptor: int) -> bool:
    """Lock an open file until it is closed. False if another process holds the lock.

    Raises:
        OSError: the file system has no locks.
    """
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(descriptor, HOLDER_BYTES, os.SEEK_SET)  # behind the text, which others must read
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _is_in_place(descriptor: int, lock: Path) -> bool:
    """Whether the open file is still the file of that name."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(lock, follow_symlinks=False))
    except OSError:
        return False


def _command() -> str:
    """What this process runs: `quintet train`, or the name of a script."""
    script = Path(sys.argv[0] if sys.argv else "")
    program = script.parent.name if script.name == "__main__.py" else script.stem
    if program == "quintet" and sys.argv[1:] and sys.argv[1].isalpha():
        return f"quintet {sys.argv[1]}"
    return program or "python"


def _write_holder(descriptor: int) -> None:
    """Write who holds the lock. On a full disk the file stays empty, and the lock holds all the same."""
    holder = {
        "command": _command(),
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
    }
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, json.dumps(holder).encode()[:HOLDER_BYTES])


def _refusal(descriptor: int, output: str | os.PathLike[str]) -> str:
    """The message: who holds the lock, as far as its file says."""
    holder = "another command"
    try:
        os.lseek(descriptor, 0, os.SEEK_SET)
        stated = json.loads(os.read(descriptor, HOLDER_BYTES))
        process, host = int(stated["pid"]), str(stated["host"])[:64]
        if (process, host) == (os.getpid(), socket.gethostname()[:64]):
            return (
                f"An output must be written by one task at a time. '{output}' is being written by this "
                f"command (process {process}) already: give each output a name of its own, or wait until "
                "that task ends."
            )
        since = str(stated["since"])[:32]
        holder = f"`{str(stated['command'])[:64]}` (process {process} on {host!r}, since {since})"
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return (
        f"An output must be written by one command at a time. '{output}' is being written by {holder}: "
        "wait until that command ends, or name another output."
    )
