"""Bars: importance of columns and families, weights, counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from quintet.reports.style import SERIES, colour, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def column_bars(
    values: pd.Series, *, unit: str, families: Mapping[str, str] | None = None, low: pd.Series | None = None, high: pd.Series | None = None
) -> Figure:
    """One bar per row with its name above it, so that long names need no margin; bars grow from zero to either side.

    Args:
        values: name → value, in the order of drawing from the top.
        unit: of the horizontal axis.
        families: name → family; a family's bars share one colour. Default: all in the accent colour.
        low, high: ends of an interval per name.
    """
    figure = new_figure(34 + 27 * len(values))
    axes = figure.subplots()
    rows = np.arange(len(values))[::-1] * 1.0
    paints = family_colours(list(families.values())) if families else {}
    shades = [paints[families[name]] if families else colour("accent") for name in values.index]
    axes.barh(rows, values, height=0.36, color=shades)
    if low is not None and high is not None:
        axes.hlines(rows, low, high, color=colour("ink"), linewidth=1.2)
    left = min(0.0, float(values.min()), float(low.min()) if low is not None else 0.0)
    for row, name in zip(rows, values.index, strict=True):
        axes.text(left, row + 0.27, str(name), color=colour("ink"), fontsize=10.5, va="bottom")
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


def stacked_counts(counts: pd.DataFrame, *, unit: str = "clips") -> Figure:
    """One bar per row, parts side by side in the order of the columns, the total at its end.

    Args:
        counts: rows are classes, columns are parts (training, held out, …).
    """
    figure = new_figure(40 + 25 * len(counts))
    axes = figure.subplots()
    rows = np.arange(len(counts))[::-1]
    start = np.zeros(len(counts))
    for part, paint in zip(counts.columns, (colour("faint"), colour("accent"), colour("series-2")), strict=False):
        axes.barh(rows, counts[part], left=start, height=0.6, color=paint, label=str(part))
        start += counts[part].to_numpy()
    for row, total in zip(rows, start, strict=True):
        axes.text(total, row, f" {int(total)}", va="center_baseline", color=colour("muted"), fontsize=10)
    axes.set_yticks(rows, counts.index.astype(str))
    axes.set(xlabel=unit, ylim=(-0.6, len(counts) - 0.4))
    axes.margins(x=0.08)
    tidy(axes)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0, labelcolor=colour("ink"), labelsize=10.5)
    return figure


def histogram(values: Sequence[float], *, unit: str, what: str = "clips") -> Figure:
    """How often each value occurs; NaN is left out."""
    figure = new_figure(170)
    axes = figure.subplots()
    kept = np.asarray(values, dtype=float)
    axes.hist(kept[np.isfinite(kept)], bins="auto" if len(kept) < 5000 else 60, color=colour("accent"), rwidth=0.92)
    axes.set(xlabel=unit, ylabel=what)
    tidy(axes)
    return figure
