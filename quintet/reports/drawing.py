"""A figure on a page, together with its numbers."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class Drawing:
    """A figure as SVG or HTML, with its caption and its numbers.

    Args:
        name: id of the figure and name of its download.
        svg: the figure as inline SVG with its alternative text, or as HTML that fits every screen.
        caption: text below the figure.
        numbers: table of what the figure shows.
        title: heading of the figure.
    """

    name: str
    svg: str
    caption: str
    numbers: pd.DataFrame
    title: str = ""
