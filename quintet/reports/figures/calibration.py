"""Calibration figures: share of right predictions over confidence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quintet.reports.style import colour, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS_PER_ROW = 3
HALVES = ("0", ".5", "1")


def calibration_figure(
    points: pd.DataFrame, confidence: NDArray[np.floating], before: pd.DataFrame | None = None
) -> Figure:
    """Share correct over confidence, and below it a histogram of confidence.

    The diagonal is perfect calibration.

    Args:
        points: `calibration_points` of the ensemble prediction.
        confidence: (n,) probability of each clip's prediction.
        before: `calibration_points` before calibration, drawn hollow behind the others.
    """
    figure = new_figure(330)
    axes, counts = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    axes.plot([0, 1], [0, 1], color=colour("faint"), linewidth=1.2, linestyle=(0, (3, 2)))
    axes.text(0.14, 0.07, "perfect", color=colour("muted"), fontsize=10)
    if before is not None:
        _draw_hollow(axes, before, linewidth=1, markersize=5.5)
    _draw_filled(axes, points, bar=2.4, linewidth=1.4, markersize=6.5)
    axes.set(ylabel="share correct", ylim=(-0.02, 1.04))
    bins = np.linspace(0, 1, 21).tolist()
    counts.hist(confidence, bins=bins, color=colour("faint"), rwidth=0.86)
    counts.set(xlim=(0, 1.02), xlabel="confidence (probability of the prediction)", ylabel="clips")
    counts.locator_params(axis="y", nbins=3, integer=True)
    tidy(axes, grid="both")
    tidy(counts)
    return figure


def reliability_figure(curves: Mapping[str, tuple[pd.DataFrame, pd.DataFrame | None]]) -> Figure:
    """Small calibration curves, three in a row, filled after calibration and hollow before it.

    Args:
        curves: title of the panel → `calibration_points` after calibration, and before it or None.
    """
    n_rows = -(-len(curves) // PANELS_PER_ROW)
    figure = new_figure(150 * n_rows)
    grid = figure.subplots(n_rows, PANELS_PER_ROW, sharex=True, sharey=True, squeeze=False)
    panels = grid.ravel()
    for axes, (title, (points, before)) in zip(panels, curves.items(), strict=False):
        axes.plot([0, 1], [0, 1], color=colour("faint"), linewidth=1, linestyle=(0, (3, 2)))
        if before is not None:
            _draw_hollow(axes, before, linewidth=0.8, markersize=4)
        _draw_filled(axes, points, bar=1.8, linewidth=1.1, markersize=4.5)
        axes.set(xlim=(0, 1.02), ylim=(-0.02, 1.04), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
        axes.set(xticklabels=HALVES, yticklabels=HALVES)
        axes.set_title(title, loc="left", fontsize=10, color=colour("ink"))
        tidy(axes)
    for axes in panels[len(curves) :]:
        axes.set_visible(False)
    lowest = panels[max(len(curves) - PANELS_PER_ROW, 0) : len(curves)]  # the lowest panel of each column
    for axes in lowest:
        axes.tick_params(labelbottom=True)
    return figure


def _draw_filled(
    axes: Axes, points: pd.DataFrame, *, bar: float, linewidth: float, markersize: float
) -> None:
    x, y = points["confidence"], points["correct"]
    axes.vlines(x, points["low"], points["high"], color=colour("accent"), linewidth=bar, alpha=0.4)
    axes.plot(x, y, "o-", color=colour("accent"), linewidth=linewidth, markersize=markersize)


def _draw_hollow(axes: Axes, points: pd.DataFrame, *, linewidth: float, markersize: float) -> None:
    axes.plot(
        points["confidence"],
        points["correct"],
        "o-",
        color=colour("muted"),
        markerfacecolor=colour("surface"),
        linewidth=linewidth,
        markersize=markersize,
    )
