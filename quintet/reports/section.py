"""Sections of a page, and the blocks of which a section consists.

A module of `sections/` builds a `Section` from data. `templates/macros.html` has one macro per kind of block
and writes the HTML. Texts are escaped there, unless they are `markupsafe.Markup`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import pandas as pd

from quintet.reports.drawing import Drawing
from quintet.reports.formats import format_range, number


@dataclass(frozen=True)
class Download:
    """A table that the page offers for download.

    Args:
        name: name of the file without its ending.
        frame: the table.
        text: text of the link.
    """

    name: str
    frame: pd.DataFrame
    text: str = "Numbers"


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Args:
        text: its content.
        notes: small lines below the content.
        sort: text by which the column is sorted, if the content does not do; empty for a missing number.
        share: length of the bar behind the number, in [0, 1]; None for no bar.
        kind: CSS classes: `best`, `words` for running text, `id` for the name of a clip, `signed` and
            `signed against` for a bar to the right or to the left.
        span: number of columns.
        flag: small warning beside the content.
    """

    text: str
    notes: tuple[str, ...] = ()
    sort: str | None = None
    share: float | None = None
    kind: str = ""
    span: int = 1
    flag: str = ""


def number_cell(
    value: float | None, digits: int = 3, *, low: float | None = None, high: float | None = None
) -> Cell:
    """Cell of a number, with its interval below it if there is one."""
    notes: tuple[str, ...] = ()
    if low is not None and high is not None and math.isfinite(low):
        notes = (format_range(low, high, digits),)
    return Cell(number(value, digits), notes, sort_text(value))


def bar_cell(value: float | None, share: float | None = None, text: str | None = None) -> Cell:
    """Cell of a number with a bar behind it.

    Args:
        value: the number, by which the column is sorted.
        share: length of the bar in [0, 1]. Default: the number itself.
        text: the content. Default: the number with two digits.
    """
    length = value if share is None else share
    if length is None or not math.isfinite(length):
        length = 0.0
    return Cell(number(value, 2) if text is None else text, sort=sort_text(value), share=length)


def share_of(value: float, largest: float) -> float:
    """Length of the bar of a value in [0, 1]; 0 if all values are 0.

    Args:
        value: at least 0.
        largest: value of the longest bar.

    Example:
        >>> share_of(1.0, 4.0), share_of(0.0, 0.0)
        (0.25, 0.0)
    """
    return value / largest if largest > 0 else 0.0


def name_rows(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """A table whose row names become its first column. The column gets another name if a class has it.

    Args:
        table: the table.
        name: name of the column, for example `true`.

    Example:
        >>> counts = pd.DataFrame({"rock": [3], "true": [1]}, index=["rock"])
        >>> list(name_rows(counts, "true").columns)
        ['true_', 'rock', 'true']
    """
    while name in table.columns:
        name += "_"
    return table.rename_axis(columns=None).reset_index(names=name)


def sort_text(value: float | None) -> str:
    """Text by which a number is sorted; empty for a missing number."""
    return "" if value is None or not math.isfinite(value) else repr(float(value))


@dataclass(frozen=True)
class Column:
    """Head of a column.

    Args:
        title: its heading.
        numeric: whether the cells are numbers, which stand at the right.
        ungrouped: whether its scores come from a split that ignores groups, and are marked so.
    """

    title: str
    numeric: bool = False
    ungrouped: bool = False


@dataclass(frozen=True)
class ColumnGroup:
    """Common heading of neighbouring columns.

    Args:
        title: the heading.
        span: number of columns.
        note: small text beside the heading.
    """

    title: str
    span: int
    note: str = ""


@dataclass(frozen=True)
class Row:
    """Row of a table.

    Args:
        head: first cell, the heading of the row.
        cells: the other cells.
        emphasis: CSS classes: `ensemble` for bold, `chosen` for a tinted row.
    """

    head: Cell
    cells: tuple[Cell, ...]
    emphasis: str = ""


@dataclass(frozen=True)
class Table:
    """A table that the reader can sort.

    Args:
        label: name for screen readers.
        columns: heads of all columns; the first is that of the row headings.
        rows: the rows.
        caption: text above the table. Tables in a `Card` show none.
        groups: common headings of the columns after the first.
        downloads: tables for download, linked in the caption.
        stamped: whether the caption carries the stamp of the split.
        sticky: whether the first column stays in place when a narrow screen scrolls.
        id: anchor.
    """

    label: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    caption: str = ""
    groups: tuple[ColumnGroup, ...] = ()
    downloads: tuple[Download, ...] = ()
    stamped: bool = False
    sticky: bool = True
    id: str = ""


@dataclass(frozen=True)
class MiniTable:
    """A short list of columns with bars, beside others of its kind.

    Args:
        title: heading.
        rows: name and cell of each row.
        is_code: whether the names are set in fixed-width letters.
    """

    title: str
    rows: tuple[tuple[str, Cell], ...]
    is_code: bool = True


@dataclass(frozen=True)
class Text:
    """A paragraph.

    Args:
        text: its content.
        kind: CSS class: `aside` for small print, `legend-line` for a legend.
        stamped: whether it carries the stamp of the split.
        downloads: tables for download, linked at its end.
    """

    text: str
    kind: str = ""
    stamped: bool = False
    downloads: tuple[Download, ...] = ()


@dataclass(frozen=True)
class Note:
    """A remark with a coloured edge.

    Args:
        kind: `good` or `warn`.
        head: first words, in bold.
        text: the remark.
        id: anchor.
    """

    kind: str
    head: str
    text: str
    id: str = ""


@dataclass(frozen=True)
class Panels:
    """Small figures with one caption.

    Args:
        name: id of the whole.
        title: heading.
        drawings: the small figures.
        caption: text below them.
        columns: figures per row on a wide screen.
    """

    name: str
    title: str
    drawings: tuple[Drawing, ...]
    caption: str
    columns: int


@dataclass(frozen=True)
class Facts:
    """Key figures in large print: `(name, value)`."""

    items: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Definitions:
    """A list of terms, each with its paragraphs: `(term, paragraphs)`. Several paragraphs become a list."""

    items: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True)
class KeyValues:
    """A table of names and values in fixed-width letters.

    Args:
        label: name for screen readers.
        caption: text above it.
        items: `(name, value)`.
    """

    label: str
    caption: str
    items: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Code:
    """Command lines."""

    lines: tuple[str, ...]


@dataclass(frozen=True)
class ClassKey:
    """Legend of a map: the colour and the shape of each class, and the ring.

    Args:
        classes: the classes, in the order of their colours.
        ring: what a ring around a point means.
    """

    classes: tuple[str, ...]
    ring: str


@dataclass(frozen=True)
class Grid:
    """Blocks side by side on a wide screen.

    Args:
        blocks: the blocks.
        columns: blocks per row: 1, 2 or 3.
    """

    blocks: tuple[Block, ...]
    columns: int = 2


@dataclass(frozen=True)
class Stack:
    """Blocks below each other, as one block of a `Grid`."""

    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Card:
    """Blocks in a frame.

    Args:
        title: heading.
        blocks: the blocks. A table among them shows no caption.
    """

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Fold:
    """Blocks that the reader unfolds.

    Args:
        summary: text to click on.
        blocks: the blocks.
    """

    summary: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Part:
    """A part of a section with its own heading.

    Args:
        id: anchor.
        title: heading.
        blocks: the blocks.
    """

    id: str
    title: str
    blocks: tuple[Block, ...]


Container: TypeAlias = Grid | Stack | Card | Fold | Part
Leaf: TypeAlias = (
    Drawing | Table | MiniTable | Text | Note | Panels | Facts | Definitions | KeyValues | Code | ClassKey
)
Block: TypeAlias = Leaf | Container
Blocks: TypeAlias = tuple[Block, ...]


@dataclass(frozen=True)
class Section:
    """A section of a page.

    Args:
        id: anchor.
        title: heading.
        contents: entry in the table of contents.
        blocks: what it shows, in order.
        files: tables that are written beside the page without a link.
    """

    id: str
    title: str
    contents: str
    blocks: Blocks
    files: tuple[Download, ...] = ()

    @property
    def drawings(self) -> list[Drawing]:
        """All figures."""
        return list(_drawings(self.blocks))

    @property
    def tables(self) -> list[Table]:
        """All tables."""
        return [block for block in walk(self.blocks) if isinstance(block, Table)]

    @property
    def text(self) -> str:
        """All paragraphs and remarks."""
        return " ".join(block.text for block in walk(self.blocks) if isinstance(block, (Text, Note)))

    @property
    def downloads(self) -> list[Download]:
        """All tables that are written beside the page, those of the figures included."""
        result = list(self.files)
        for block in walk(self.blocks):
            if isinstance(block, (Table, Text)):
                result += block.downloads
        result += [Download(drawing.name, drawing.numbers) for drawing in self.drawings]
        return result


def walk(blocks: Sequence[Block]) -> Iterator[Block]:
    """All blocks, those inside of other blocks included."""
    for block in blocks:
        yield block
        if isinstance(block, (Grid, Stack, Card, Fold, Part)):
            yield from walk(block.blocks)


def _drawings(blocks: Sequence[Block]) -> Iterator[Drawing]:
    for block in walk(blocks):
        if isinstance(block, Drawing):
            yield block
        elif isinstance(block, Panels):
            yield from block.drawings


def grid(*blocks: Block | None, columns: int = 2) -> Blocks:
    """A grid of the blocks that are there; nothing if none is there."""
    present = tuple(block for block in blocks if block is not None)
    return (Grid(present, columns),) if present else ()
