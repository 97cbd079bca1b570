"""Separator and header of a CSV file, from its first lines."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

SEPARATORS = (",", ";", "\t", "|")
SAMPLE_ROWS = 50  # rows that decide about the separator
MOST_HEADER_ROWS = 6
"""Rows above the values, at most: levels of the names of columns, and a row with the names of the index."""
COMMENT_MARK = "#"
LEVEL_MARK = "."
"""Stands between the levels of a name: `mfcc.mean.01`."""

_SEPARATOR_LINE = re.compile(r"\s*\"?sep=(.)\"?\s*", re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?(\d+[.,]?\d*|[.,]\d+)([eE][+-]?\d+)?")


@dataclass(frozen=True)
class Dialect:
    """How the lines of a CSV file are read.

    Args:
        separator: one character.
        skipped_lines: lines before the last row of the header.
        rows: cells of the first lines, the header first. A header of several rows is joined to one.
        index: positions of the columns that were the index of a data frame with several rows of names.
        comments: lines of comments above the header, which begin with `#`.
    """

    separator: str
    skipped_lines: int
    rows: list[list[str]]
    index: tuple[int, ...] = ()
    comments: int = 0


def find_dialect(lines: Sequence[str], usual: str) -> Dialect:
    """Separator and header: the usual separator if it gives rows of one length, else one that does.

    If none does, lines at the top that begin with `#` are comments, as few as leave rows of one length.

    Args:
        lines: the first lines of the file, at most `SAMPLE_ROWS`.
        usual: the separator that the name of the file suggests.

    Example:
        >>> find_dialect(["id;f\\n", "a;0,5\\n"], ",").separator
        ';'
    """
    declared = _SEPARATOR_LINE.fullmatch(lines[0]) if lines else None
    if declared is not None:
        separator = declared[1]
        return _join_header(Dialect(separator, 1, _split_lines(lines[1:], separator)), lines)
    for n_comments in range(_count_comments(lines) + 1):
        separator, rows = _find_separator(lines[n_comments:], usual)
        if _is_even(rows):
            return _join_header(Dialect(separator, n_comments, rows, comments=n_comments), lines)
    return _join_header(Dialect(usual, 0, _split_lines(lines, usual)), lines)


def _count_comments(lines: Sequence[str]) -> int:
    """Number of lines at the top that begin with `#`."""
    return next((k for k, line in enumerate(lines) if not line.lstrip().startswith(COMMENT_MARK)), len(lines))


def _find_separator(lines: Sequence[str], usual: str) -> tuple[str, list[list[str]]]:
    """The separator that gives rows of one length, and the rows; of several, the one with most cells."""
    rows = {separator: _split_lines(lines, separator) for separator in SEPARATORS}
    if _is_even(rows[usual]):
        return usual, rows[usual]
    even = [separator for separator in SEPARATORS if _is_even(rows[separator])]
    best = max(even, key=lambda separator: len(rows[separator][0]), default=usual)
    return best, rows[best]


def join_levels(levels: Sequence[object]) -> str:
    """One name from the levels of a name. Levels without a name are left out.

    Example:
        >>> join_levels(["mfcc", "mean", "01"]), join_levels(["tempo", "", "Unnamed: 3_level_2"])
        ('mfcc.mean.01', 'tempo')
    """
    texts = (str(level).strip() for level in levels)
    return LEVEL_MARK.join(text for text in texts if text and not text.startswith("Unnamed: "))


def _join_header(dialect: Dialect, lines: Sequence[str]) -> Dialect:
    """The dialect with a header of one row, if pandas wrote one row per level of its names."""
    n_levels, index = _header_levels(dialect.rows)
    if not n_levels:
        return dialect
    n_rows = n_levels + bool(index)
    names = [join_levels(levels) for levels in zip(*dialect.rows[:n_levels], strict=True)]
    n_index = max(1, len(index))
    names[:n_index] = dialect.rows[n_levels][:n_index] if index else [""]
    reader = csv.reader(lines[dialect.skipped_lines :], delimiter=dialect.separator, skipinitialspace=True)
    n_found = 0
    while n_found < n_rows - 1:  # the last row of the header is read as the header
        n_found += bool(next(reader))
    skipped = dialect.skipped_lines + reader.line_num
    rows = [names, *dialect.rows[n_rows:]]
    return replace(dialect, skipped_lines=skipped, rows=rows, index=index or (0,))


def _header_levels(rows: Sequence[Sequence[str]]) -> tuple[int, tuple[int, ...]]:
    """Rows that hold the levels of names, 0 if the header is one row; and the columns of a named index.

    A name of the first level stands above each column that shares it, so it is repeated. The first column
    has no name, or the names of the levels. Below the levels, pandas writes the names of the index, if it has
    any, and nothing beside them.
    """
    if len(rows) < 3 or len({len(row) for row in rows}) > 1:
        return 0, ()
    named = [cell for cell in rows[0][1:] if cell.strip()]
    is_repeated = len(set(named)) < len(named)
    for n_levels in range(2, min(MOST_HEADER_ROWS, len(rows))):
        is_nameless = not any(row[0].strip() for row in rows[:n_levels])
        filled = [bool(cell.strip()) for cell in rows[n_levels]]
        n_index = filled.index(False) if False in filled else 0
        if n_index and not any(filled[n_index:]) and (is_repeated or is_nameless):
            return n_levels, tuple(range(n_index))
    for n_levels in range(2, min(MOST_HEADER_ROWS, len(rows))):
        if is_repeated and _are_levels(rows[:n_levels]):
            return n_levels, ()
    return 0, ()


def _are_levels(rows: Sequence[Sequence[str]]) -> bool:
    """Whether rows without a name in the first column name every other column, and hold no number."""
    below = [cell.strip() for row in rows[1:] for cell in row[1:]]
    names = [join_levels(column) for column in zip(*rows, strict=True)]
    is_nameless = not any(row[0].strip() for row in rows)
    return is_nameless and len(set(names)) == len(names) and not any(map(_NUMBER.fullmatch, below))


def _split_lines(lines: Sequence[str], separator: str) -> list[list[str]]:
    """Cells of the rows. The last row is left out if the sample may have cut it."""
    rows = [row for row in csv.reader(lines, delimiter=separator, skipinitialspace=True) if row]
    return rows[:-1] if len(lines) >= SAMPLE_ROWS else rows


def _is_even(rows: list[list[str]]) -> bool:
    """Whether a header of two names or more is followed by rows of one length."""
    if not rows or len(rows[0]) < 2:
        return False
    lengths = {len(row) for row in rows[1:]}
    return len(lengths) <= 1 and min(lengths, default=2) >= 2
