"""Consoles of the terminal: results on standard output, progress and messages on standard error.

A pipe therefore receives results only. Outside a terminal a line has no end, so that no name is cut.

Names come from strangers. So the consoles show every string on one line, with escapes for control characters
(`printable`), and `write_data` does the same for data if standard output is a terminal. No other module of
the commands prints.
"""

from __future__ import annotations

import io
import sys
from typing import Any

from rich.console import Console, ConsoleDimensions
from rich.table import Table
from rich.text import Text

from quintet.files.display.names import harmless, printable

ENDLESS_WIDTH = 1_000_000  # columns of a file or pipe


class StreamConsole(Console):
    """A console as wide as the terminal, and without a width in a file or a pipe.

    A string, also in a cell of a table, is one line without control characters. What has several lines is a
    `Text` (`lines_of`).
    """

    def render_str(self, text: str, **options: Any) -> Text:
        """The renderable of a string; `options` are those of rich."""
        return super().render_str(printable(text), **options)

    @property
    def is_terminal(self) -> bool:
        """Whether the stream is a terminal. FORCE_COLOR, which rich takes for one, changes no pipe."""
        return not self.file.closed and self.file.isatty()

    @property
    def size(self) -> ConsoleDimensions:
        """Columns and lines of the terminal, or of the endless page outside a terminal."""
        size = super().size
        return size if self.is_terminal else ConsoleDimensions(ENDLESS_WIDTH, size.height)

    @size.setter
    def size(self, new_size: tuple[int, int]) -> None:
        self._width, self._height = new_size


out = StreamConsole(highlight=False, emoji=False)
err = StreamConsole(stderr=True, highlight=False, emoji=False)


def lines_of(texts: list[str]) -> Text:
    """Several lines, for a cell of a table."""
    return Text("\n".join(map(printable, texts)))


def table_text(table: Table) -> str:
    """A table as it stands in a file: no cell is cut and nothing is styled, whatever the terminal."""
    text = io.StringIO()
    StreamConsole(file=text, highlight=False, emoji=False).print(table)
    return text.getvalue()


def write_data(text: str) -> None:
    """Write lines of data (CSV, JSON, tabs) to standard output as they are.

    If standard output is a terminal, control characters become escapes there.
    """
    sys.stdout.write(harmless(text) if sys.stdout.isatty() else text)


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
