"""Table of predictions: files with their most probable classes, fitted to the width of the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from quintet.commands.terminal.tables import new_table
from quintet.files.display.names import printable

if TYPE_CHECKING:
    from quintet.files.json_types import JsonObject

HEADINGS = ("prediction", "second", "third")
MOST_PLACES = len(HEADINGS)
SET_WIDTH = 20  # columns of the terminal for prediction sets
FEWEST_FILE_COLUMNS, FEWEST_CLASS_COLUMNS = 16, 8
PROBABILITY_WIDTH = 7  # ` 0.75` and the padding


@dataclass(frozen=True)
class _Widths:
    """Columns of the terminal for a file and for the name of a class."""

    file: int
    label: int


def shorten_path(path: str, width: int) -> str:
    """A path with at most `width` characters. Its end is kept, because it differs between files.

    Example:
        >>> shorten_path("music/from_material/mine/song.mp3", 14)
        '…mine/song.mp3'
    """
    return path if len(path) <= width else "…" + path[-(width - 1) :]


def probability_table(rows: Sequence[JsonObject], classes: Sequence[str], *, width: int) -> Table:
    """Files with their three most probable classes, and the prediction sets if there are any.

    Args:
        rows: `file`, `probabilities` (class → probability), and possibly `set`, of each file.
        classes: all class names.
        width: columns of the terminal.
    """
    n_places = min(MOST_PLACES, len(classes))
    has_sets = any("set" in row for row in rows)
    table = new_table("file", *HEADINGS[:n_places])
    if has_sets:
        table.add_column("set", overflow="fold")
    widths = _fit_widths(classes, width - SET_WIDTH * has_sets, n_places=n_places)
    for row in rows:
        probabilities = row["probabilities"]
        ranked = sorted(classes, key=lambda name: -probabilities[name])[:n_places]
        cells = [_class_cell(name, probabilities[name], widths.label) for name in ranked]
        if has_sets:
            cells.append(_set_cell(row["set"]))
        table.add_row(escape(shorten_path(printable(row["file"]), widths.file)), *cells)
    return table


def _fit_widths(classes: Sequence[str], width: int, *, n_places: int) -> _Widths:
    """Widths of the file and of the class names on a line of `width` columns."""
    longest = max(map(len, classes))
    room = (width - 24) // n_places - PROBABILITY_WIDTH
    label = min(longest, max(room, FEWEST_CLASS_COLUMNS))
    file = max(width - (label + PROBABILITY_WIDTH) * n_places - 2, FEWEST_FILE_COLUMNS)
    return _Widths(file, label)


def _class_cell(name: str, probability: float, width: int) -> str:
    """Name of a class, cut to `width` characters, and its probability."""
    text = printable(name)
    if len(name) > width:
        text = text[: width - 1] + "…"
    return f"{escape(text)} [dim]{probability:.2f}[/]"


def _set_cell(labels: str) -> str:
    from quintet.datasets.labels import label_set

    return escape(", ".join(label_set(labels))) or "[red]none of these[/]"
