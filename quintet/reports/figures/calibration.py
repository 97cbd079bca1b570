"""Calibration: is a verdict given with 80 % right in 80 of 100 cases?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quintet.reports.style import colour, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def calibration_points(
    confidence: NDArray[np.floating], correct: NDArray[np.bool_], *, n_bins: int = 8
) -> pd.DataFrame:
    """Bins of equal size by confidence: mean confidence, share correct with a 95 % Wilson interval, count.

    Args:
        confidence: (n,) probability of each clip's verdict.
        correct: (n,) whether the verdict is right.
        n_bins: at most; fewer where clips are few (at least five a bin, one bin always).

    Returns:
        Columns `confidence, correct, low, high, n`, ordered by confidence.

    Source:
        Wilson, "Probable inference, the law of succession, and statistical inference", 1927.

    Example:
        >>> calibration_points(np.full(10, 0.9), np.arange(10) > 0)[["confidence", "correct", "n"]].round(3).values.tolist()
        [[0.9, 0.8, 5.0], [0.9, 1.0, 5.0]]
    """
    n_bins = max(1, min(n_bins, len(confidence) // 5))
    order = np.argsort(confidence, kind="stable")
    rows = []
    for chunk in np.array_split(order, n_bins):
        n, share = len(chunk), float(correct[chunk].mean())
        z = 1.959964
        middle = (share + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
        rows.append(
            (float(confidence[chunk].mean()), share, max(middle - half, 0.0), min(middle + half, 1.0), n)
        )
    return pd.DataFrame(rows, columns=["confidence", "correct", "low", "high", "n"])


def calibration_figure(
    points: pd.DataFrame, confidence: NDArray[np.floating], before: pd.DataFrame | None = None
) -> Figure:
    """Share correct over confidence, with intervals and the diagonal of perfect calibration; below it how often each confidence occurs.

    Args:
        points: of the verdict; see `calibration_points`. before: the same without calibration, drawn hollow behind it.
        confidence: (n,) probability of each clip's verdict.
    """
    figure = new_figure(330)
    axes, counts = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    axes.plot([0, 1], [0, 1], color=colour("faint"), linewidth=1.2, linestyle=(0, (3, 2)))
    axes.text(0.14, 0.07, "perfect", color=colour("muted"), fontsize=10)
    if before is not None:
        paint = colour("muted")
        axes.plot(
            before["confidence"],
            before["correct"],
            "o-",
            color=paint,
            markerfacecolor=colour("surface"),
            linewidth=1,
            markersize=5.5,
        )
    axes.vlines(
        points["confidence"], points["low"], points["high"], color=colour("accent"), linewidth=2.4, alpha=0.4
    )
    axes.plot(
        points["confidence"], points["correct"], "o-", color=colour("accent"), linewidth=1.4, markersize=6.5
    )
    axes.set(ylabel="share correct", ylim=(-0.02, 1.04))
    counts.hist(confidence, bins=np.linspace(0, 1, 21).tolist(), color=colour("faint"), rwidth=0.86)
    counts.set(xlim=(0, 1.02), xlabel="confidence (probability of the verdict)", ylabel="clips")
    counts.locator_params(axis="y", nbins=3, integer=True)
    tidy(axes, grid="both")
    tidy(counts)
    return figure


def reliability_figure(curves: Mapping[str, tuple[pd.DataFrame, pd.DataFrame | None]]) -> Figure:
    """Small panels, three in a row: share correct over confidence, with intervals, and hollow behind it the same without calibration.

    Args:
        curves: panel title → `calibration_points`, and those before calibration or None.
    """
    rows = -(-len(curves) // 3)
    figure = new_figure(150 * rows)
    panels = figure.subplots(rows, 3, sharex=True, sharey=True, squeeze=False).ravel()
    for axes, (title, (points, before)) in zip(panels, curves.items(), strict=False):
        axes.plot([0, 1], [0, 1], color=colour("faint"), linewidth=1, linestyle=(0, (3, 2)))
        if before is not None:
            axes.plot(
                before["confidence"],
                before["correct"],
                "o-",
                color=colour("muted"),
                markerfacecolor=colour("surface"),
                linewidth=0.8,
                markersize=4,
            )
        axes.vlines(
            points["confidence"],
            points["low"],
            points["high"],
            color=colour("accent"),
            linewidth=1.8,
            alpha=0.4,
        )
        axes.plot(
            points["confidence"],
            points["correct"],
            "o-",
            color=colour("accent"),
            linewidth=1.1,
            markersize=4.5,
        )
        axes.set(
            xlim=(0, 1.02),
            ylim=(-0.02, 1.04),
            xticks=(0, 0.5, 1),
            yticks=(0, 0.5, 1),
            xticklabels=("0", ".5", "1"),
            yticklabels=("0", ".5", "1"),
        )
        axes.set_title(title, loc="left", fontsize=10, color=colour("ink"))
        tidy(axes)
    for axes in panels[len(curves) :]:
        axes.set_visible(False)
    for axes in panels[max(len(curves) - 3, 0) : len(curves)]:  # the lowest of each column
        axes.tick_params(labelbottom=True)
    return figure
