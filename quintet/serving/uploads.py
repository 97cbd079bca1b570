"""The body of a request as a temporary file: raw sound, or the first file of a form, in bounds."""

from __future__ import annotations

import asyncio
import re
import tempfile
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, BinaryIO

from quintet.files.display.names import printable
from quintet.serving.faults import BAD_REQUEST, TIMEOUT, TOO_LARGE, Refusal, client_left
from quintet.serving.forms import FormReader

if TYPE_CHECKING:
    from fastapi import Request

SILENCE_S, UPLOAD_S = 30.0, 600.0
"""Longest time without a byte, and longest time of a whole body, seconds."""
WRITE_BYTES = 1 << 20
"""Bytes that are collected before they are written."""
LONGEST_NAME = 200
SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,5}")
MEDIA_SUFFIXES = {"audio/mpeg": ".mp3", "audio/mp3": ".mp3"}
"""Media type → suffix, where a decoder looks at it."""
UNNAMED = "recording"


@dataclass(frozen=True)
class Upload:
    """A recording that a client has sent.

    Args:
        path: the temporary file.
        name: what the client calls it; only shown, never a path.
    """

    path: Path
    name: str

    def plain(self, text: str) -> str:
        """A text with the name in the place of the temporary path."""
        return text.replace(str(self.path), self.name)


class _Body:
    """The bytes of a request, counted.

    Args:
        request: the request.
        most_bytes: bytes that it may have.
    """

    def __init__(self, request: Request, most_bytes: int) -> None:
        self._request, self._most_bytes = request, most_bytes
        stated = request.headers.get("content-length", "")
        if stated.isdecimal() and int(stated) > most_bytes:
            raise self._too_large()

    def _too_large(self) -> Refusal:
        return Refusal(
            TOO_LARGE,
            f"A request may have {self._most_bytes / 1e6:g} MB. This one has more: "
            "send a shorter recording, or start the service with a larger --max-mb.",
        )

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The bytes as they come.

        Raises:
            Refusal: there are too many, they come too slowly, or the client has gone.
        """
        from starlette.requests import ClientDisconnect

        stream = self._request.stream()
        began, n_bytes = time.monotonic(), 0
        while True:
            try:
                chunk = await asyncio.wait_for(anext(stream), SILENCE_S)
            except StopAsyncIteration:
                return
            except ClientDisconnect:
                raise client_left() from None
            except TimeoutError:
                raise Refusal(
                    TIMEOUT,
                    f"The body of a request may pause for {SILENCE_S:g} s. This one paused for longer.",
                ) from None
            if time.monotonic() - began > UPLOAD_S:
                raise Refusal(
                    TIMEOUT, f"The body of a request may take {UPLOAD_S:g} s. This one took longer."
                )
            n_bytes += len(chunk)
            if n_bytes > self._most_bytes:
                raise self._too_large()
            yield chunk


async def receive(request: Request, folder: Path, name: str | None, most_bytes: int) -> Upload:
    """Write the recording of a request to a file, which the caller deletes.

    Args:
        request: the request.
        folder: folder for the file.
        name: what the client calls the recording; None takes the name in the form.
        most_bytes: bytes that the body may have.

    Raises:
        Refusal: there is no recording, it is too large, or it comes too slowly.
        OSError: the file cannot be written.
    """
    body = _Body(request, most_bytes)
    content_type = request.headers.get("content-type", "")
    media_type = content_type.partition(";")[0].strip().lower()
    form = FormReader(content_type) if media_type == "multipart/form-data" else None
    number, place = tempfile.mkstemp(dir=folder)
    path = Path(place)
    try:
        with open(number, "wb") as file:
            await _write(body.chunks(), file, form)
            is_empty = file.tell() == 0
        if is_empty:
            raise Refusal(
                BAD_REQUEST,
                "The body of a request must be a recording. This one is empty: "
                "send the bytes of an audio file.",
            )
        shown = _display_name(name or (None if form is None else form.name))
        suffix = PurePath(shown).suffix
        ending = suffix if SUFFIX.fullmatch(suffix) else MEDIA_SUFFIXES.get(media_type, "")
        return Upload(path.rename(path.with_name(path.name + ending)), shown)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


async def _write(chunks: AsyncGenerator[bytes, None], file: BinaryIO, form: FormReader | None) -> None:
    """Write the recording in large pieces, in another thread: a slow disk stops no other request.

    Args:
        chunks: of the body.
        file: where to write.
        form: takes the recording out of the chunks; None if the body is the recording.
    """
    held: list[bytes] = []
    n_held = 0
    async for chunk in chunks:
        pieces = [chunk] if form is None else form.read(chunk)
        held += pieces
        n_held += sum(map(len, pieces))
        if n_held >= WRITE_BYTES:
            await asyncio.to_thread(file.writelines, held)
            held, n_held = [], 0
    file.writelines(held)
    if form is not None:
        form.finish()


def _display_name(name: str | None) -> str:
    """The last part of a name, with escapes for characters that are not drawn; a word if nothing is left.

    Example:
        >>> _display_name("C:\\\\music\\\\song.mp3"), _display_name("../../etc/passwd"), _display_name(None)
        ('song.mp3', 'passwd', 'recording')
    """
    last = re.split(r"[/\\]", name or "")[-1]
    shown = printable(last.strip())[-LONGEST_NAME:]
    return shown if shown.strip(".") else UNNAMED
