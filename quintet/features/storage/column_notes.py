"""Notes on columns of other programs that tell nothing, or tell less once they are features (float32)."""

from __future__ import annotations

import numpy as np
import pandas as pd

from quintet.features.storage.column_roles import quote_names

SAMPLED_ROWS = 2000
"""Rows, evenly spaced, whose values are compared before and after rounding."""
ROUNDING = 1e-12
"""Share by which values of a float64 column must differ to count as different: calculations err by less."""


def constant_notes(frame: pd.DataFrame) -> list[str]:
    """The columns of numbers whose values are all equal, as one note; none for a table of one row.

    Example:
        >>> constant_notes(pd.DataFrame({"f": [1, 2], "zero": [0, 0]}))
        ["No information, because they never change: 'zero'. They stay among the features."]
    """
    if len(frame) < 2:
        return []
    names = [name for name in frame.columns if _is_constant(frame[name])]
    if not names:
        return []
    return [f"No information, because they never change: {quote_names(names)}. They stay among the features."]


def _is_constant(column: pd.Series) -> bool:
    if not pd.api.types.is_numeric_dtype(column):
        return False
    first, last = column.iloc[0], column.iloc[-1]
    if not pd.isna(first) and not pd.isna(last) and first != last:
        return False  # most columns differ here already
    values = column.dropna()
    return len(values) > 1 and bool((values == values.iloc[0]).all())


def rounding_notes(frame: pd.DataFrame) -> list[str]:
    """The columns of which at most half of the different values stay different in float32, as one note.

    Such are times in seconds since 1970, and counts above 16 million that differ little.

    Args:
        frame: the columns, as they are in the file.

    Example:
        >>> rounding_notes(pd.DataFrame({"t": [1.7e9, 1.7e9 + 10, 1.7e9 + 20]}))[0][:70]
        "Values of 't' become equal, because features have 7 digits (float32). "
    """
    if frame.empty:
        return []
    rows = np.unique(np.linspace(0, len(frame) - 1, SAMPLED_ROWS).astype(int))
    names = [name for name in frame.columns if _loses_values(frame[name].iloc[rows])]
    if not names:
        return []
    return [
        f"Values of {quote_names(names)} become equal, because features have 7 digits (float32). Subtract a "
        "constant from such a column, for example its smallest value; multiply numbers below 1e-38."
    ]


def _loses_values(column: pd.Series) -> bool:
    """Whether at most half of the different values of a column stay different in float32."""
    if not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        return False
    present = column.dropna()
    is_whole = pd.api.types.is_integer_dtype(column)
    values = np.sort(present.to_numpy(None if is_whole else np.float64))
    if not is_whole:
        values = values[np.abs(values) <= np.finfo(np.float32).max]  # the others fail by themselves
    if len(values) < 2:
        return False
    steps = values[1:] != values[:-1]
    if not is_whole:
        steps &= np.diff(values) > ROUNDING * np.maximum(np.abs(values[1:]), np.abs(values[:-1]))
    rounded = values.astype(np.float32)
    n_before, n_after = 1 + int(steps.sum()), 1 + int((rounded[1:] != rounded[:-1]).sum())
    return n_before > 1 and 2 * n_after <= n_before
