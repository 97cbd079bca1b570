"""The recording in a form (multipart/form-data), taken out while the form arrives."""

from __future__ import annotations

from quintet.errors import MissingExtraError
from quintet.serving.faults import BAD_REQUEST, Refusal

FIELD = b"file"
"""Name of the part with the recording. A part with a file name is one, too, whatever it is called."""
HOW = "send it as `curl -F file=@song.mp3` does."


class FormReader:
    """Reads a form piece by piece.

    Args:
        content_type: the header of the request, with the boundary of the parts.

    Raises:
        Refusal: the header has no boundary.
        MissingExtraError: python-multipart is not installed.
    """

    def __init__(self, content_type: str) -> None:
        try:
            from python_multipart.multipart import MultipartParser, parse_options_header
        except ImportError as error:
            raise MissingExtraError("The service", "serve") from error
        self._parse_header = parse_options_header
        boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
        if not boundary:
            raise Refusal(BAD_REQUEST, f"A form must have a boundary. The Content-Type has none: {HOW}")
        self._header, self._value, self._disposition = b"", b"", b""
        self._pieces: list[bytes] = []
        self._takes = False
        self.found, self.is_whole = False, False
        self.name: str | None = None
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin,
                    "on_header_field": self._add_header,
                    "on_header_value": self._add_value,
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._end_headers,
                    "on_part_data": self._add_data,
                    "on_part_end": self._end,
                },
            )
        except ValueError as error:
            raise _form_refusal(error) from None

    def read(self, chunk: bytes) -> list[bytes]:
        """Bytes of the recording in a chunk of the form.

        Raises:
            Refusal: the form is damaged, or has two recordings.
        """
        try:
            self._parser.write(chunk)
        except ValueError as error:
            raise _form_refusal(error) from None
        pieces, self._pieces = self._pieces, []
        return pieces

    def finish(self) -> None:
        """Check the form after its last chunk.

        Raises:
            Refusal: it had no recording, or not all of it.
        """
        if not self.found:
            raise Refusal(BAD_REQUEST, f"A form must have a part called file. This one has none: {HOW}")
        if not self.is_whole:
            raise Refusal(BAD_REQUEST, f"A form must be whole. This one ends within its recording: {HOW}")

    def _begin(self) -> None:
        self._disposition, self._takes = b"", False

    def _add_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _add_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header, self._value = b"", b""

    def _end_headers(self) -> None:
        options = self._parse_header(self._disposition)[1]
        self._takes = b"filename" in options or options.get(b"name") == FIELD
        if not self._takes:
            return
        if self.found:
            raise Refusal(BAD_REQUEST, f"A form must have one recording. This one has more: {HOW}")
        self.found = True
        name = options.get(b"filename")
        self.name = None if name is None else name.decode("utf-8", "backslashreplace")

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        if self._takes:
            self._pieces.append(data[start:end])

    def _end(self) -> None:
        self.is_whole = self.is_whole or self._takes


def _form_refusal(error: ValueError) -> Refusal:
    return Refusal(
        BAD_REQUEST, f"A form must be as multipart/form-data has it. This one is not ({error}): {HOW}"
    )
