"""Heat maps: agreement, weights and importance as shaded cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from quintet.reports.formats import short_name
from quintet.reports.style import WIDTH, colour, heat, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

USUAL_NAME = 15
"""Characters of a column's name that fit above a heat map of the usual height."""
SLANT_PER_CHARACTER = 4
"""Height of one more character of a slanted name, in the figure's units."""


def heat_figure(
    shares: pd.DataFrame,
    texts: pd.DataFrame,
    *,
    row_label: str = "",
    column_label: str = "",
    width: float = WIDTH,
) -> Figure:
    """Table of shaded cells with a text in each. The gid of a cell is `cell-i-j`.

    Args:
        shares: the shades, in [0, 1].
        texts: the texts, same shape.
        row_label: label of the vertical axis.
        column_label: label of the horizontal axis.
        width: width in the figure's units.
    """
    n_rows, n_columns = shares.shape
    shade = shares.to_numpy(dtype=float)
    row_names = [short_name(str(name)) for name in shares.index]
    column_names = [short_name(str(name)) for name in shares.columns]
    longest = max(map(len, column_names), default=0)
    slant = max(0, longest - USUAL_NAME) * SLANT_PER_CHARACTER
    figure = new_figure(92 + slant + 27 * n_rows, width=width)
    axes = figure.subplots()
    size = 11 if n_columns <= 9 else 10
    for i, j in np.ndindex(n_rows, n_columns):
        fill, ink = heat(float(shade[i, j]))
        left, right, top, bottom = j + 0.03, j + 0.97, i + 0.04, i + 0.96
        corners = ([left, right, right, left], [top, top, bottom, bottom])
        axes.fill(*corners, color=fill, linewidth=0, gid=f"cell-{i}-{j}")
        text = str(texts.iat[i, j])
        axes.text(j + 0.5, i + 0.5, text, ha="center", va="center_baseline", color=ink, fontsize=size)
    _label_cells(axes, row_names, column_names)
    axes.set_ylabel(row_label, color=colour("muted"), fontsize=10)
    axes.set_xlabel(column_label, color=colour("muted"), fontsize=10, loc="left")
    return figure


def _label_cells(axes: Axes, row_names: Sequence[str], column_names: Sequence[str]) -> None:
    n_rows, n_columns = len(row_names), len(column_names)
    axes.set(xlim=(0, n_columns), ylim=(n_rows, 0))
    centres = np.arange(n_columns) + 0.5
    axes.set_xticks(centres, column_names, rotation=40, ha="left", rotation_mode="anchor")
    axes.set_yticks(np.arange(n_rows) + 0.5, row_names)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.tick_params(length=0, labelsize=10.5, labelcolor=colour("ink"), pad=3)
    axes.patch.set_alpha(0)
    for spine in axes.spines.values():
        spine.set_visible(False)
