"""Texts in cells that a program wrapped in marks of its own."""

from __future__ import annotations

import re

import pandas as pd

_WRAPPINGS = (re.compile(r'="([^"]*)"'), re.compile(r"'([^']*)'"))
"""`="007"`, with which Excel keeps zeros, and `'a.wav'`, as openSMILE writes names."""


def unwrap(cells: pd.Series) -> pd.Series:
    """Texts without a wrapping that all of them have.

    Args:
        cells: texts; NA where one is missing.

    Example:
        >>> unwrap(pd.Series(['="007"', '="008"'])).tolist(), unwrap(pd.Series(["'n' roll", "'a'"])).tolist()
        (['007', '008'], ["'n' roll", "'a'"])
    """
    present = cells.dropna()
    for wrapping in _WRAPPINGS:
        if len(present) and present.str.fullmatch(wrapping).all():
            return cells.str.replace(wrapping, r"\1", regex=True)
    return cells
