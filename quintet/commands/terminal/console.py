"""Consoles of the terminal: results on standard output, progress and messages on standard error.

A pipe therefore receives results only. Outside a terminal a line has no end, so that no name is cut.
"""

from __future__ import annotations

from rich.console import Console, ConsoleDimensions

ENDLESS_WIDTH = 1_000_000  # columns of a file or pipe


class StreamConsole(Console):
    """A console as wide as the terminal, and without a width in a file or a pipe."""

    @property
    def size(self) -> ConsoleDimensions:
        """Columns and lines of the terminal, or of the endless page outside a terminal."""
        size = super().size
        return size if self.is_terminal else ConsoleDimensions(ENDLESS_WIDTH, size.height)

    @size.setter
    def size(self, new_size: tuple[int, int]) -> None:
        self._width, self._height = new_size


out = StreamConsole(highlight=False)
err = StreamConsole(stderr=True, highlight=False)


def print_plain(console: Console, text: str, *, style: str | None = None) -> None:
    """Print a text as it is: brackets in names are not markup, and the console breaks no line.

    Args:
        console: `out` or `err`.
        text: the text.
        style: a style of rich, for example `dim`.
    """
    console.print(text, style=style, markup=False, soft_wrap=True)


def print_message(text: str, *, quiet: bool) -> None:
    """Print a message about the work on standard error, for example the place of a file that was written.

    Args:
        text: the message.
        quiet: whether to print nothing.
    """
    if not quiet:
        print_plain(err, text)
