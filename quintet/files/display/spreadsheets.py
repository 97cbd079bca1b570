"""CSV for spreadsheets, which run what begins like a formula.

Names of files, classes and groups come from strangers. A spreadsheet takes a cell such as `=1+1|x!A0`
for a formula. A file that programs read keeps the names as they are; a file that people open has an
apostrophe in front of such a cell, which a spreadsheet does not show.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

_FORMULA = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n]")
_INNER_FORMULA = re.compile(r"([;\t\r\n]\s*)(?=[=+\-@\uff1d\uff0b\uff0d\uff20])")
_APOSTROPHE = re.compile(r"(^|[;\t\r\n]\s*)'(?=\s*[=+\-@\uff1d\uff0b\uff0d\uff20\t\r\n])")
_NUMBER = re.compile(r"\s*[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?\s*")


def is_formula(text: str) -> bool:
    """Whether a spreadsheet would run a cell with this text, or a part of it if it divides lines elsewhere.

    Example:
        >>> [is_formula(text) for text in ("=1+1", "@SUM(A1)", "a;=1", "-0.5", "rock", "a=b")]
        [True, True, True, False, False, False]
    """
    begins = _FORMULA.match(text) is not None and _NUMBER.fullmatch(text) is None
    return begins or _INNER_FORMULA.search(text) is not None


def count_formulas(columns: Mapping[str, Sequence[object]] | pd.DataFrame) -> int:
    """Number of cells of a table that a spreadsheet would run, the names of its columns included.

    Example:
        >>> count_formulas({"file": ["=1+1.wav", "a.wav"], "p": [-0.5, 1]})
        1
    """
    cells: list[object] = []
    for name, values in columns.items():
        cells += [str(name), *values]
    return sum(isinstance(cell, str) and is_formula(cell) for cell in cells)


def columns_csv(columns: Mapping[str, Sequence[object]], *, for_spreadsheets: bool = False) -> str:
    """CSV of plain columns: that of `exact_csv`, or with `for_spreadsheets` that of `spreadsheet_csv`.

    Args:
        columns: name → values; None and NaN are empty cells.
        for_spreadsheets: whether no cell may be a formula.

    Example:
        >>> print(columns_csv({"file": ["a.wav"], "p": [0.5], "set": [None]}), end="")
        file,p,set
        a.wav,0.5,
    """
    rows = [list(map(_cell, row)) for row in zip(*columns.values(), strict=True)]
    names: list[str] = list(columns)
    if for_spreadsheets:
        rows = [[safe_cell(cell) if isinstance(cell, str) else cell for cell in row] for row in rows]
        names = [safe_cell(name) for name in names]
    text = io.StringIO()
    texts = (cell for cell in chain.from_iterable(rows) if isinstance(cell, str))
    if for_spreadsheets or _is_delicate(texts):
        writer = csv.writer(text, lineterminator=os.linesep, quoting=csv.QUOTE_NONNUMERIC)
    else:
        writer = csv.writer(text, lineterminator=os.linesep)
    writer.writerow(names)
    writer.writerows(rows)
    return text.getvalue()


def _cell(value: object) -> object:
    """A value as it stands in a cell: empty if it is None or NaN."""
    return "" if value is None or value != value else value


def _is_delicate(texts: Iterable[str]) -> bool:
    """Whether readers would change one of these texts if it stood without quotation marks."""
    return any("\r" in text or text != text.strip() for text in texts)


def spreadsheet_csv(table: pd.DataFrame) -> str:
    """CSV in which no cell is a formula: an apostrophe stands in front, and every text is in quotation marks.

    An apostrophe also stands where a cell would begin if a semicolon or a tab separated the cells.

    Example:
        >>> import pandas as pd
        >>> print(spreadsheet_csv(pd.DataFrame({"file": ["=1+1.wav", "a;=1.wav"], "p": [-0.5, 1]})), end="")
        "file","p"
        "'=1+1.wav",-0.5
        "a;'=1.wav",1.0
    """
    import pandas as pd

    safe = table.copy()
    for name in _text_columns(table):
        safe[name] = [safe_cell(cell) if isinstance(cell, str) else cell for cell in table[name]]
    safe.columns = pd.Index([safe_cell(str(name)) for name in table.columns])
    return safe.to_csv(index=False, quoting=csv.QUOTE_NONNUMERIC)


def exact_csv(table: pd.DataFrame) -> str:
    """CSV that programs read as it was written. Texts are in quotation marks if one of them needs it.

    Without them, a carriage return in a text ends its row for most readers, and blanks at its ends are lost.

    Example:
        >>> import pandas as pd
        >>> print(exact_csv(pd.DataFrame({"file": ["a.wav"], "p": [0.5]})), end="")
        file,p
        a.wav,0.5
        >>> print(exact_csv(pd.DataFrame({"file": [" a.wav"], "p": [0.5]})), end="")
        "file","p"
        " a.wav",0.5
    """
    is_delicate = _is_delicate(_text_cells(table))
    return table.to_csv(index=False, quoting=csv.QUOTE_NONNUMERIC if is_delicate else csv.QUOTE_MINIMAL)


def _text_cells(table: pd.DataFrame) -> Iterator[str]:
    """All cells of a table that are texts."""
    for name in _text_columns(table):
        yield from (cell for cell in table[name] if isinstance(cell, str))


def safe_cell(text: str) -> str:
    """A text as it stands in a table for spreadsheets: an apostrophe in front of whatever they would run.

    Example:
        >>> safe_cell("=1+1"), safe_cell("rock")
        ("'=1+1", 'rock')
    """
    if not is_formula(text):
        return text
    inner = _INNER_FORMULA.sub(r"\1'", text)
    return f"'{inner}" if _FORMULA.match(text) else inner


def plain_cell(cell: str) -> str:
    """The text of which `safe_cell` gives this cell; the cell itself if it gives it of none.

    Example:
        >>> plain_cell("'=1+1"), plain_cell("'n' roll")
        ('=1+1', "'n' roll")
    """
    found = _APOSTROPHE.sub(r"\1", cell)
    return found if found != cell and safe_cell(found) == cell else cell


def _text_columns(table: pd.DataFrame) -> list[object]:
    from pandas.api.types import is_numeric_dtype

    return [name for name in table.columns if not is_numeric_dtype(table[name])]
