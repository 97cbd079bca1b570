"""Dots with intervals: what each member and ensemble scores, and how sure one can be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from quintet.reports.style import colour, legend, new_figure, series, tidy

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Dot:
    """One measured value with its interval; `low` and `high` may be NaN where there is none."""

    value: float
    low: float
    high: float


def interval_figure(
    names: Sequence[str],
    held_out: Sequence[Dot],
    *,
    out_of_fold: Sequence[Dot] = (),
    bold: Sequence[bool] = (),
    chance: float | None = None,
) -> Figure:
    """One row per name: a filled dot with its interval on held-out clips, an open one for out-of-fold predictions.

    Args:
        names: what the rows are called, best first.
        held_out: one `Dot` per name.
        out_of_fold: one `Dot` per name, or empty.
        bold: which rows stand out (the ensembles).
        chance: where guessing would be; drawn as a dotted line where it lies within the axis.
    """
    rows = np.arange(len(names))[::-1].astype(float)
    figure = new_figure(34 + 25 * len(names))
    axes = figure.subplots()
    strong = list(bold) or [False] * len(names)
    for row, dot, stands_out in zip(rows, held_out, strong, strict=True):
        paint = colour("accent") if stands_out else colour("ink")
        axes.hlines(row, dot.low, dot.high, color=paint, linewidth=3.2 if stands_out else 2.2, alpha=0.45)
        axes.plot(dot.value, row, "o", color=paint, markersize=8 if stands_out else 6.5)
    for row, dot in zip(rows, out_of_fold, strict=False):
        axes.hlines(row - 0.27, dot.low, dot.high, color=colour("muted"), linewidth=1)
        axes.plot(
            dot.value,
            row - 0.27,
            "o",
            markerfacecolor=colour("surface"),
            markeredgecolor=colour("muted"),
            markersize=4.5,
        )
    _frame(figure, names, rows, strong, chance)
    return figure


def protocol_figure(names: Sequence[str], dots: Mapping[str, Sequence[Dot]]) -> Figure:
    """One row per name, and in it one dot with its interval per series, in the series' colour and shape; a legend above.

    Args:
        names: what the rows are called. dots: series → one `Dot` per name.
    """
    rows = np.arange(len(names))[::-1].astype(float)
    figure = new_figure(62 + (14 + 14 * len(dots)) * len(names))
    axes = figure.subplots()
    offsets = np.linspace(0.2, -0.2, len(dots)) if len(dots) > 1 else [0.0]
    handles = []
    for k, (offset, (name, own)) in enumerate(zip(offsets, dots.items(), strict=True)):
        paint, mark = series(k)
        axes.hlines(
            rows + offset, [d.low for d in own], [d.high for d in own], color=paint, linewidth=2.4, alpha=0.45
        )
        (line,) = axes.plot(
            [d.value for d in own], rows + offset, mark, color=paint, markersize=6.5, label=name
        )
        handles.append(line)
    _frame(figure, names, rows, [False] * len(names), None)
    legend(
        axes,
        handles,
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=len(dots),
        borderpad=0,
        handletextpad=0.2,
        columnspacing=1.2,
    )
    return figure


def _frame(
    figure: Figure, names: Sequence[str], rows: np.ndarray, strong: Sequence[bool], chance: float | None
) -> None:
    axes = figure.axes[0]
    axes.set_yticks(rows, names)
    axes.set_ylim(-0.75, len(names) - 0.4)
    low, high = axes.get_xlim()
    if chance is not None and low - (high - low) * 0.4 < chance < high:
        axes.axvline(chance, color=colour("muted"), linewidth=1, linestyle=":")
    tidy(axes, grid="x")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0, labelcolor=colour("ink"), labelsize=10.5)
    for label, stands_out in zip(axes.get_yticklabels(), strong, strict=True):
        label.set_fontweight("bold" if stands_out else "normal")
    axes.locator_params(axis="x", nbins=6)
