"""Byte views: a file as a decoder should see it, joined from ranges of the file and bytes of our own."""

from __future__ import annotations

import io
import os
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import IO


class ByteView(io.RawIOBase):
    """A read-only stream that joins pieces: ranges of a file, and literal bytes.

    libsndfile believes the lengths that headers state. A view gives it the audio of a file behind a header
    that is right, without a copy of the file.

    Args:
        path: the file.
        pieces: `(start, stop)` byte ranges of the file, or literal bytes, in their order.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "a.bin"
        >>> _ = path.write_bytes(b"0123456789")
        >>> ByteView(path, [b"<", (2, 5), b">"]).read()
        b'<234>'
    """

    def __init__(self, path: str | os.PathLike[str], pieces: Sequence[tuple[int, int] | bytes]) -> None:
        self._file: IO[bytes] = Path(path).open("rb")  # noqa: SIM115  close() closes it
        self._pieces = list(pieces)
        self._starts = [0]
        for piece in self._pieces:
            length = len(piece) if isinstance(piece, bytes) else piece[1] - piece[0]
            self._starts.append(self._starts[-1] + length)
        self._position = 0

    def readable(self) -> bool:
        """True: the view can be read."""
        return True

    def seekable(self) -> bool:
        """True: the view can be read from any position."""
        return True

    def tell(self) -> int:
        """The position of the next byte."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a position, and return it."""
        origins = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._starts[-1]}
        self._position = max(0, origins[whence] + offset)
        return self._position

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes from the position on; all that are left if `size` is negative."""
        end = self._starts[-1]
        stop = end if size < 0 else min(end, self._position + size)
        parts: list[bytes] = []
        while self._position < stop:
            index = bisect_right(self._starts, self._position) - 1
            offset = self._position - self._starts[index]
            length = min(stop, self._starts[index + 1]) - self._position
            part = self._read_piece(self._pieces[index], offset, length)
            if not part:
                break
            parts.append(part)
            self._position += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill `buffer` from the position on, and return the number of bytes."""
        content = self.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()

    def _read_piece(self, piece: tuple[int, int] | bytes, offset: int, length: int) -> bytes:
        if isinstance(piece, bytes):
            return piece[offset : offset + length]
        self._file.seek(piece[0] + offset)
        return self._file.read(length)
