"""Dot plots: a score with its interval for each member and ensemble; out-of-class scores of clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quintet.reports.formats import short_name
from quintet.reports.style import colour, legend_above, new_figure, series, tidy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_NAME = 18
"""Letters of a class name in the figure of out-of-class scores."""


@dataclass(frozen=True)
class Dot:
    """A score with its interval.

    Args:
        value: the score.
        low: lower end of the interval; NaN if there is none.
        high: upper end of the interval; NaN if there is none.
    """

    value: float
    low: float
    high: float


MISSING = Dot(np.nan, np.nan, np.nan)


def interval_figure(
    names: Sequence[str],
    scores: Sequence[Dot],
    *,
    out_of_fold: Sequence[Dot] = (),
    bold: Sequence[bool] = (),
    chance: float | None = None,
) -> Figure:
    """One row per name: a filled dot with its interval, and a small open dot for out-of-fold predictions.

    Args:
        names: names of the rows, best first.
        scores: one `Dot` per name.
        out_of_fold: one `Dot` per name, or empty.
        bold: which rows stand out (the ensembles).
        chance: score of guessing, drawn as a dotted line if it lies within the axis.
    """
    rows = np.arange(len(names))[::-1].astype(float)
    figure = new_figure(34 + 25 * len(names))
    axes = figure.subplots()
    strong = list(bold) or [False] * len(names)
    for row, dot, is_strong in zip(rows, scores, strong, strict=True):
        paint = colour("accent") if is_strong else colour("ink")
        axes.hlines(row, dot.low, dot.high, color=paint, linewidth=3.2 if is_strong else 2.2, alpha=0.45)
        axes.plot(dot.value, row, "o", color=paint, markersize=8 if is_strong else 6.5)
    for row, dot in zip(rows, out_of_fold, strict=False):
        axes.hlines(row - 0.27, dot.low, dot.high, color=colour("muted"), linewidth=1)
        (mark,) = axes.plot(dot.value, row - 0.27, "o", markersize=4.5)
        mark.set(markerfacecolor=colour("surface"), markeredgecolor=colour("muted"))
    _finish_rows(figure, names, rows, strong, chance)
    return figure


def protocol_figure(names: Sequence[str], dots: Mapping[str, Sequence[Dot]]) -> Figure:
    """One row per name with one dot and interval per series, in the series' colour and shape; a legend above.

    Args:
        names: names of the rows.
        dots: series → one `Dot` per name.
    """
    rows = np.arange(len(names))[::-1].astype(float)
    figure = new_figure(62 + (14 + 14 * len(dots)) * len(names))
    axes = figure.subplots()
    offsets = np.linspace(0.2, -0.2, len(dots)) if len(dots) > 1 else [0.0]
    handles = []
    for k, (offset, (name, scores)) in enumerate(zip(offsets, dots.items(), strict=True)):
        paint, mark = series(k)
        places = rows + offset
        low, high = [dot.low for dot in scores], [dot.high for dot in scores]
        axes.hlines(places, low, high, color=paint, linewidth=2.4, alpha=0.45)
        values = [dot.value for dot in scores]
        (line,) = axes.plot(values, places, mark, color=paint, markersize=6.5, label=name)
        handles.append(line)
    _finish_rows(figure, names, rows, [False] * len(names), None)
    legend_above(axes, handles, columns=len(dots), border=0)
    return figure


def _finish_rows(
    figure: Figure,
    names: Sequence[str],
    rows: NDArray[np.float64],
    strong: Sequence[bool],
    chance: float | None,
) -> None:
    axes = figure.axes[0]
    axes.set_yticks(rows, [short_name(name) for name in names])
    axes.set_ylim(-0.75, len(names) - 0.4)
    low, high = axes.get_xlim()
    if chance is not None and low - (high - low) * 0.4 < chance < high:
        axes.axvline(chance, color=colour("muted"), linewidth=1, linestyle=":")
    tidy(axes, grid="x")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0, labelcolor=colour("ink"), labelsize=10.5)
    for label, is_strong in zip(axes.get_yticklabels(), strong, strict=True):
        label.set_fontweight("bold" if is_strong else "normal")
    axes.locator_params(axis="x", nbins=6)


def out_of_class_figure(table: pd.DataFrame, names: Sequence[str], *, confidence: float) -> Figure:
    """Out-of-class score of every clip, one row per class, and a line at the confidence.

    Args:
        table: columns `class, right, out_of_class`.
        names: classes to show, from the top.
        confidence: score from which on a clip is flagged.
    """
    figure = new_figure(58 + 22 * len(names))
    axes = figure.subplots()
    rows = {name: len(names) - 1 - i for i, name in enumerate(names)}
    shown = table[table["class"].isin(rows)]
    position = shown.groupby("class").cumcount()
    height = shown["class"].map(rows) + 0.28 * np.sin(2.4 * position)  # spreads the dots without chance
    marks = ((True, "o", "accent", "right class on top"), (False, "X", "bad", "wrong class on top"))
    for is_right, shape, paint, text in marks:
        chosen = (shown["right"] == is_right).to_numpy()
        dots = axes.scatter(shown["out_of_class"][chosen], height[chosen], marker=shape, s=18, label=text)
        dots.set(color=colour(paint), alpha=0.65, linewidths=0)
    axes.axvline(confidence, color=colour("muted"), linewidth=1.2, linestyle=(0, (3, 2)))
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.6, len(names) - 0.4), xlabel="out-of-class score")
    axes.set_yticks(list(rows.values()), [short_name(name, MAX_NAME) for name in rows])
    tidy(axes, grid="x")
    legend_above(axes, columns=2, anchor=(0.45, 1.0), loc="lower center")
    return figure
