"""Meaning of the commas and points in the numbers of a file: decimals, or groups of thousands."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from quintet.files.display.names import printable

SHOWN = 5
"""Columns that a note lists."""


@dataclass(frozen=True)
class Marks:
    """Marks in numbers.

    Args:
        decimal: mark before the decimals, a comma or a point.
        thousands: mark between groups of three digits, the other of the two.
    """

    decimal: str
    thousands: str

    @property
    def _grouped(self) -> str:
        """Pattern of a number with groups; it does not begin with 0, so 0.125 is a decimal."""
        return rf"[+-]?[1-9]\d{{0,2}}(?:\{self.thousands}\d{{3}})+(?:\{self.decimal}\d*)?"

    def are_in(self, cells: pd.Series) -> bool:
        """Whether every cell that is not missing is a number with these marks, or without any.

        Example:
            >>> COMMAS.are_in(pd.Series(["0,5", "1.250", "3"])), COMMAS.are_in(pd.Series(["0,5", "0.5"]))
            (True, False)
        """
        mark = rf"\{self.decimal}"
        plain = rf"[+-]?(?:\d+{mark}?\d*|{mark}\d+)(?:[eE][+-]?\d+)?"
        pattern = re.compile(rf"(?:\s*(?:{plain}|{self._grouped})\s*)")
        return bool(cells.dropna().astype("str").str.fullmatch(pattern).all())

    def first_group(self, cells: pd.Series) -> str | None:
        """The first cell with groups of thousands; None if there is none."""
        texts = cells.dropna().astype("str").str.strip()
        found = texts[texts.str.fullmatch(re.compile(f"(?:{self._grouped})")).astype(bool)]
        return None if found.empty else str(found.iloc[0])

    def parse(self, cells: pd.Series) -> pd.Series:
        """Cells as float64.

        Example:
            >>> COMMAS.parse(pd.Series(["0,5", "1.250,5", "3"])).tolist()
            [0.5, 1250.5, 3.0]
        """
        texts = cells.astype("str").str.replace(self.thousands, "", regex=False)
        texts = texts.str.replace(self.decimal, ".", regex=False)
        return pd.to_numeric(texts, errors="coerce").astype("float64")


COMMAS, POINTS = Marks(",", "."), Marks(".", ",")


def read_marked_numbers(
    frame: pd.DataFrame,
    texts: Collection[str],
    written: Callable[[Sequence[str]], pd.DataFrame],
    *,
    file_name: str,
) -> tuple[str, ...]:
    """Make numbers of the columns in which a reader of CSV takes commas or points for text, in place.

    The marks have one meaning in a file. It has decimal commas if a comma can be nothing else (`0,5`), and
    points before decimals if commas can only stand between thousands (`1,250` in a file with `0.5`). If both
    are possible, commas are decimal. In a file with decimal commas, points stand between thousands, except in
    a column where that is impossible (`0.5`).

    Args:
        frame: the table, as a reader has it that knows points before decimals only.
        texts: columns that hold text.
        written: reads columns again, as they are written.
        file_name: name of the file, for the notes.

    Returns:
        What the marks mean, and in which columns that is not certain: one sentence each.
    """
    others = [name for name in frame.columns if name not in texts]
    marked = frame[[name for name in others if not pd.api.types.is_numeric_dtype(frame[name])]]
    with_commas = [name for name in marked.columns if _has_comma(marked[name])]
    if not with_commas:
        return ()
    pointed = written([name for name in others if pd.api.types.is_float_dtype(frame[name])])
    marks = _meaning(marked[with_commas], pointed)
    numbers = [name for name in marked.columns if marks.are_in(marked[name])]
    groups = _first_groups(marked[numbers], marks)
    converted = {name: marked[name] for name in numbers if name in groups or name in with_commas}
    doubtful: dict[str, str] = {}
    if marks == COMMAS:
        for name, group in _first_groups(pointed, COMMAS).items():
            if COMMAS.are_in(pointed[name]):
                converted[name], groups[name] = pointed[name], group
            else:
                doubtful[name] = group
    for name, cells in converted.items():
        frame[name] = marks.parse(cells)
    return _notes(file_name, marks, groups, doubtful)


def _has_comma(cells: pd.Series) -> bool:
    """Whether a column holds numbers, some of which have a comma."""
    has_comma = bool(cells.dropna().astype("str").str.contains(",", regex=False).any())
    return has_comma and (COMMAS.are_in(cells) or POINTS.are_in(cells))


def _meaning(with_commas: pd.DataFrame, pointed: pd.DataFrame) -> Marks:
    """The marks of a file.

    Args:
        with_commas: columns of numbers, some of which have a comma.
        pointed: columns that are numbers with points before decimals.
    """
    if not all(POINTS.are_in(cells) for _, cells in with_commas.items()):
        return COMMAS
    columns = [*(cells for _, cells in with_commas.items()), *(cells for _, cells in pointed.items())]
    return POINTS if any(POINTS.are_in(cells) and not COMMAS.are_in(cells) for cells in columns) else COMMAS


def _first_groups(columns: pd.DataFrame, marks: Marks) -> dict[str, str]:
    """Column → its first cell with groups of thousands, where there is one."""
    found = {str(name): marks.first_group(cells) for name, cells in columns.items()}
    return {name: cell for name, cell in found.items() if cell is not None}


def _notes(
    file_name: str, marks: Marks, groups: Mapping[str, str], doubtful: Mapping[str, str]
) -> tuple[str, ...]:
    """What the marks mean.

    Args:
        file_name: name of the file.
        marks: the marks of the file.
        groups: column → first cell that was read with groups of thousands.
        doubtful: column → first cell that might have groups, where other cells cannot.
    """
    kinds = {COMMAS: "decimal commas", POINTS: "decimal points"}
    notes = [f"{file_name} was read with {kinds[marks]}."]
    mark = "Points" if marks == COMMAS else "Commas"
    if groups:
        cell = next(iter(groups.values()))
        number = f"{marks.parse(pd.Series([cell])).iloc[0]:.15g}"
        notes.append(
            f"{mark} stand between thousands in {_quote(groups)}: '{cell}' was read as {number}. "
            f"If they stand before decimals, write {marks.decimal!r} there."
        )
    if doubtful:
        cell = next(iter(doubtful.values()))
        notes.append(
            f"Points stand before decimals in {_quote(doubtful)}, because not all can stand between "
            f"thousands: '{cell}' was read as {float(cell)}. If it means thousands, remove the points."
        )
    return tuple(notes)


def _quote(names: Collection[str]) -> str:
    shown = ", ".join(f"'{printable(name)}'" for name in list(names)[:SHOWN])
    return f"{shown} and {len(names) - SHOWN} more" if len(names) > SHOWN else shown
