"""Bars: importance of columns and families, weights, counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from quintet.reports.style import SERIES, colour, new_figure, tidy
from quintet.reports.text import format_signed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def column_bars(
    values: pd.Series,
    *,
    unit: str,
    families: Mapping[str, str] | None = None,
    low: pd.Series | None = None,
    high: pd.Series | None = None,
) -> Figure:
    """One bar per row with its name above it, so that long names need no margin; bars grow from zero to either side.

    Args:
        values: name → value, in the order of drawing from the top.
        unit: of the horizontal axis.
        families: name → family; a family's bars share one colour. Default: all in the accent colour.
        low, high: ends of an interval per name; NaN where there is none.
    """
    figure = new_figure(34 + 27 * len(values))
    axes = figure.subplots()
    rows = np.arange(len(values))[::-1] * 1.0
    paints = family_colours(list(families.values())) if families else {}
    shades = [paints[families[name]] if families else colour("accent") for name in values.index]
    axes.barh(rows, values, height=0.36, color=shades)
    left = min(0.0, float(values.min()))
    if low is not None and high is not None and low.notna().any():
        axes.hlines(rows, low, high, color=colour("ink"), linewidth=1.2)
        left = min(left, float(low.min()))
    for row, name in zip(rows, values.index, strict=True):
        paper = {"facecolor": colour("surface"), "linewidth": 0, "pad": 0.8}
        axes.text(left, row + 0.27, str(name), color=colour("ink"), fontsize=10.5, va="bottom", bbox=paper)
    axes.axvline(0, color=colour("faint"), linewidth=0.8)
    axes.set(yticks=(), ylim=(-0.5, len(values) - 0.1), xlabel=unit)
    tidy(axes, grid="x")
    axes.spines["left"].set_visible(False)
    axes.locator_params(axis="x", nbins=6)
    return figure


def family_colours(families: Sequence[str]) -> dict[str, str]:
    """Family → colour, in order of first appearance; beyond eight families colours repeat.

    Example:
        >>> list(family_colours(["cepstral", "tonal", "cepstral"]))
        ['cepstral', 'tonal']
    """
    return {name: colour(SERIES[i % len(SERIES)]) for i, name in enumerate(dict.fromkeys(families))}


def waterfall(
    steps: pd.DataFrame, *, base: float, total: float, base_name: str, total_name: str, unit: str
) -> Figure:
    """From a base to a total: every step starts where the one before it ended.

    Args:
        steps: columns `player, value, low, high`, in order; the values sum to `total - base`.
        base, total: where it starts and ends; `base_name`, `total_name`: what these are called.
    """
    figure = new_figure(36 + 26 * (len(steps) + 2))
    axes = figure.subplots()
    rows = np.arange(len(steps) + 2)[::-1]
    ends = base + np.append(0.0, steps["value"].to_numpy().cumsum())
    axes.barh(rows[0], base, height=0.6, color=colour("faint"))
    axes.barh(rows[-1], total, height=0.6, color=colour("ink"))
    for row, start, end, low, high in zip(
        rows[1:-1], ends, ends[1:], steps["low"], steps["high"], strict=False
    ):
        axes.barh(
            row, end - start, left=start, height=0.6, color=colour("series-1" if end >= start else "series-2")
        )
        axes.hlines(row - 0.36, start + low, start + high, color=colour("muted"), linewidth=1.1)
    for row, end in zip(rows, ends, strict=False):
        axes.vlines(end, row - 0.7, row - 0.3, color=colour("muted"), linewidth=0.7)
    texts = [f"{base:.2f}", *(format_signed(value, 2) for value in steps["value"]), f"{total:.2f}"]
    places = [base, *np.maximum(ends[:-1], ends[1:]), total]
    for row, place, text in zip(rows, places, texts, strict=True):
        _beside(axes, place, row, text)
    axes.set_yticks(rows, [base_name, *steps["player"], total_name])
    axes.set(
        xlabel=unit,
        ylim=(-0.6, len(rows) - 0.4),
        xlim=(min(0.0, float(ends.min())), max(float(ends.max()), total) * 1.14),
    )
    tidy(axes, grid="x")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0, labelcolor=colour("ink"), labelsize=10.5)
    return figure


def stacked_counts(counts: pd.DataFrame, *, unit: str = "clips") -> Figure:
    """One bar per row, parts side by side in the order of the columns, the total at its end.

    Args:
        counts: rows are classes, columns are parts (training, held out, …).
    """
    figure = new_figure(40 + 25 * len(counts))
    axes = figure.subplots()
    rows = np.arange(len(counts))[::-1]
    start = np.zeros(len(counts))
    for part, paint in zip(
        counts.columns, (colour("faint"), colour("accent"), colour("series-2")), strict=False
    ):
        axes.barh(rows, counts[part], left=start, height=0.6, color=paint, label=str(part))
        start += counts[part].to_numpy()
    for row, total in zip(rows, start, strict=True):
        _beside(axes, total, row, str(int(total)))
    axes.set_yticks(rows, counts.index.astype(str))
    axes.set(xlabel=unit, ylim=(-0.6, len(counts) - 0.4))
    axes.margins(x=0.08)
    tidy(axes)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0, labelcolor=colour("ink"), labelsize=10.5)
    return figure


def _beside(axes: Axes, x: float, y: float, text: str) -> None:
    """A text a little to the right of a point."""
    axes.annotate(
        text,
        (x, y),
        xytext=(4, 0),
        textcoords="offset points",
        va="center_baseline",
        color=colour("ink"),
        fontsize=10,
    )


def histogram(values: Sequence[float], *, unit: str, what: str = "clips") -> Figure:
    """How often each value occurs; NaN is left out."""
    figure = new_figure(170)
    axes = figure.subplots()
    kept = np.asarray(values, dtype=float)
    axes.hist(
        kept[np.isfinite(kept)], bins="auto" if len(kept) < 5000 else 60, color=colour("accent"), rwidth=0.92
    )
    axes.set(xlabel=unit, ylabel=what)
    tidy(axes)
    return figure
