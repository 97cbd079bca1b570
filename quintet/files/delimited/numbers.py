"""Numbers in cells of text, with a decimal point or a decimal comma."""

from __future__ import annotations

import re

import pandas as pd

_DECIMAL_COMMA = re.compile(r"\s*[+-]?(\d+,\d*|,\d+)([eE][+-]?\d+)?\s*")
_WHOLE = re.compile(r"\s*[+-]?\d+([eE][+-]?\d+)?\s*")


def parse_numbers(cells: pd.Series) -> pd.Series:
    """Cells as float64; NaN where a cell is no number. Numbers may have a decimal comma.

    Args:
        cells: numbers or texts.

    Example:
        >>> parse_numbers(pd.Series(["0,5", "0.25", "1", "x"])).tolist()
        [0.5, 0.25, 1.0, nan]
    """
    if pd.api.types.is_numeric_dtype(cells.dtype):
        return cells.astype("float64")
    texts = cells.astype("str")
    has_comma = texts.str.fullmatch(_DECIMAL_COMMA).fillna(False).astype(bool)
    texts = texts.where(~has_comma, texts.str.replace(",", "."))
    return pd.to_numeric(texts, errors="coerce").astype("float64")


def has_decimal_commas(cells: pd.Series) -> bool:
    """Whether every cell that is not missing is a number, some with a decimal comma and none with a point.

    Args:
        cells: a column of a table.

    Example:
        >>> has_decimal_commas(pd.Series(["0,5", "1"])), has_decimal_commas(pd.Series(["0,5", "0.5"]))
        (True, False)
    """
    if pd.api.types.is_numeric_dtype(cells.dtype):
        return False
    texts = cells.dropna().astype("str")
    has_comma = texts.str.fullmatch(_DECIMAL_COMMA)
    return bool(has_comma.any()) and bool((has_comma | texts.str.fullmatch(_WHOLE)).all())
