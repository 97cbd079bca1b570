"""Bar charts: importance of columns and families, contributions, counts, durations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quintet.reports.formats import format_signed, short_name
from quintet.reports.style import colour, family_paint, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


PALE = 0.45
"""Opacity of a bar that stands for a step downwards."""


def column_bars(
    values: pd.Series,
    *,
    unit: str,
    families: Mapping[str, str] | None = None,
    low: pd.Series | None = None,
    high: pd.Series | None = None,
) -> Figure:
    """One bar per row, to the right of zero or to the left.

    The name stands above the bar, so that it may be long.

    Args:
        values: name → value, in the order of drawing from the top.
        unit: label of the horizontal axis.
        families: name → family. The bars of a family share one colour. Default: all bars have the accent
            colour.
        low: lower end of the interval per name; NaN if there is none.
        high: upper end of the interval per name; NaN if there is none.
    """
    figure = new_figure(34 + 27 * len(values))
    axes = figure.subplots()
    rows = np.arange(len(values))[::-1] * 1.0
    axes.barh(rows, values, height=0.36, color=_bar_colours(values, families))
    left = min(0.0, float(values.min()))
    if low is not None and high is not None and low.notna().any():
        axes.hlines(rows, low, high, color=colour("ink"), linewidth=1.2)
        left = min(left, float(low.min()))
    paper = {"facecolor": colour("surface"), "linewidth": 0, "pad": 0.8}
    for row, name in zip(rows, values.index, strict=True):
        text = axes.text(left, row + 0.27, short_name(str(name), 60), va="bottom", bbox=paper)
        text.set(color=colour("ink"), fontsize=10.5)
    axes.axvline(0, color=colour("faint"), linewidth=0.8)
    axes.set(yticks=(), ylim=(-0.5, len(values) - 0.1), xlabel=unit)
    tidy(axes, grid="x")
    axes.spines["left"].set_visible(False)
    axes.locator_params(axis="x", nbins=6)
    return figure


def _bar_colours(values: pd.Series, families: Mapping[str, str] | None) -> list[str]:
    if not families:
        return [colour("accent")] * len(values)
    colours = family_colours(list(families.values()))
    return [colours[families[name]] for name in values.index]


def family_colours(families: Sequence[str]) -> dict[str, str]:
    """Family → its colour, the same on every page.

    Example:
        >>> list(family_colours(["cepstral", "tonal", "cepstral"]))
        ['cepstral', 'tonal']
    """
    return {name: colour(family_paint(name)) for name in dict.fromkeys(families)}


def waterfall(
    steps: pd.DataFrame, *, base: float, total: float, base_name: str, total_name: str, unit: str
) -> Figure:
    """Waterfall chart from a base to a total: every step starts at the end of the step before.

    A bar has the colour of its family; a step downwards is pale.

    Args:
        steps: columns `player, value, low, high`, in order; the values sum to `total - base`. A player is a
            feature family or the spectrogram.
        base: value at the start.
        total: value at the end.
        base_name: label of the start.
        total_name: label of the end.
        unit: label of the horizontal axis.
    """
    n_rows = len(steps) + 2
    figure = new_figure(36 + 26 * n_rows)
    axes = figure.subplots()
    rows = np.arange(n_rows)[::-1]
    values = steps["value"].to_numpy()
    ends = base + np.append(0.0, values.cumsum())
    axes.barh(rows[0], base, height=0.6, color=colour("faint"))
    axes.barh(rows[-1], total, height=0.6, color=colour("ink"))
    intervals = (steps["low"], steps["high"])
    paints = [colour(family_paint(str(name))) for name in steps["player"]]
    for row, paint, start, end, low, high in zip(
        rows[1:-1], paints, ends, ends[1:], *intervals, strict=False
    ):
        (bar,) = axes.barh(row, end - start, left=start, height=0.6, color=paint)
        bar.set_alpha(1 if end >= start else PALE)
        axes.hlines(row - 0.36, start + low, start + high, color=colour("muted"), linewidth=1.1)
    for row, end in zip(rows, ends, strict=False):
        axes.vlines(end, row - 0.7, row - 0.3, color=colour("muted"), linewidth=0.7)
    signed = [format_signed(value, 2) for value in values]
    right_ends = np.maximum(ends[:-1], ends[1:])
    texts = [f"{base:.2f}", *signed, f"{total:.2f}"]
    places = [base, *right_ends, total]
    for row, place, text in zip(rows, places, texts, strict=True):
        _write_beside(axes, place, row, text)
    left = min(0.0, float(ends.min()))
    right = max(float(ends.max()), total) * 1.14
    axes.set(xlabel=unit, ylim=(-0.6, n_rows - 0.4), xlim=(left, right))
    tidy(axes, grid="x")
    names = [base_name, *steps["player"], total_name]
    _label_rows(axes, rows, names)
    return figure


def stacked_counts(counts: pd.DataFrame, *, unit: str = "clips") -> Figure:
    """One bar per row with its parts side by side, and the total at its end.

    Args:
        counts: rows are classes, columns are parts (training, held out, …).
        unit: label of the horizontal axis.
    """
    figure = new_figure(40 + 25 * len(counts))
    axes = figure.subplots()
    rows = np.arange(len(counts))[::-1]
    start = np.zeros(len(counts))
    paints = (colour("faint"), colour("accent"), colour("series-2"))
    for part, paint in zip(counts.columns, paints, strict=False):
        axes.barh(rows, counts[part], left=start, height=0.6, color=paint, label=str(part))
        start += counts[part].to_numpy()
    for row, total in zip(rows, start, strict=True):
        _write_beside(axes, total, row, str(int(total)))
    axes.set(xlabel=unit, ylim=(-0.6, len(counts) - 0.4))
    axes.margins(x=0.08)
    tidy(axes)
    _label_rows(axes, rows, [str(name) for name in counts.index])
    return figure


def histogram(values: Sequence[float], *, unit: str, noun: str = "clips") -> Figure:
    """Histogram of values. NaN is left out.

    Args:
        values: the values.
        unit: label of the horizontal axis.
        noun: label of the vertical axis.
    """
    figure = new_figure(170)
    axes = figure.subplots()
    numbers = np.asarray(values, dtype=float)
    bins = "auto" if len(numbers) < 5000 else 60
    axes.hist(numbers[np.isfinite(numbers)], bins=bins, color=colour("accent"), rwidth=0.92)
    axes.set(xlabel=unit, ylabel=noun)
    tidy(axes)
    return figure


def _label_rows(axes: Axes, rows: NDArray[np.int64], names: Sequence[str]) -> None:
    axes.set_yticks(rows, [short_name(name) for name in names])
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0, labelcolor=colour("ink"), labelsize=10.5)


def _write_beside(axes: Axes, x: float, y: float, text: str) -> None:
    """Write a text a little to the right of a point."""
    axes.annotate(
        text,
        (x, y),
        xytext=(4, 0),
        textcoords="offset points",
        va="center_baseline",
        color=colour("ink"),
        fontsize=10,
    )
