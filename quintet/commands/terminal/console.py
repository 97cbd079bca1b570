"""Consoles of the terminal: results on standard output, progress and messages on standard error.

A pipe therefore receives results only.
"""

from __future__ import annotations

from rich.console import Console

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def print_plain(console: Console, text: str, *, style: str | None = None) -> None:
    """Print a text as it is: brackets in names are not markup, and the console breaks no line.

    Args:
        console: `out` or `err`.
        text: the text.
        style: a style of rich, for example `dim`.
    """
    console.print(text, style=style, markup=False, soft_wrap=True)
