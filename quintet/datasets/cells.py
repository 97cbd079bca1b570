"""Cells of tables as text: one rule for every reader, whatever the type of the column."""

from __future__ import annotations

import pandas as pd

from quintet.datasets.labels import label_text


def text_column(column: pd.Series) -> pd.Series:
    """Cells as `label_text` writes them, missing cells as NA. Texts stay as they are.

    Example:
        >>> text_column(pd.Series([2.0, b"rock", True, ["rock", "live"], None])).tolist()[:4]
        ['2', 'rock', 'True', 'rock;live']
    """
    if pd.api.types.is_string_dtype(column) and isinstance(column.dtype, pd.StringDtype):
        return column
    return column.map(label_text).astype("str")
