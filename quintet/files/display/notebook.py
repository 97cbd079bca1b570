"""How results show themselves in a notebook: a line of facts, then a table."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import pandas as pd

MOST_ROWS = 20
"""Rows that a notebook shows of a table."""


def notebook_html(facts: str, frame: pd.DataFrame, *, notes: Sequence[str] = ()) -> str:
    """HTML of a result: its facts, the first rows of its table, its notes. All text is escaped.

    Args:
        facts: one sentence above the table.
        frame: the table. More than `MOST_ROWS` rows are cut, and the number of all rows is said.
        notes: one sentence each, below the table.

    Example:
        >>> notebook_html("1 clip", pd.DataFrame({"file": ["<b>.wav"]})).count("&lt;b&gt;")
        1
    """
    shown = frame.head(MOST_ROWS)
    parts = [f"<p>{escape(facts)}</p>", shown.to_html(escape=True, border=0, float_format=_figure)]
    if len(shown) < len(frame):
        parts.append(f"<p>{len(shown)} of {len(frame)} rows are shown.</p>")
    parts += [f"<p>{escape(note)}</p>" for note in notes]
    return "\n".join(parts)


def _figure(value: float) -> str:
    return f"{value:.3g}"
