"""Scatter plot of clips on a two-dimensional map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from quintet.reports.style import colour, new_figure, series

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def map_figure(
    points: pd.DataFrame,
    labels: Sequence[str],
    classes: Sequence[str],
    *,
    rings: Sequence[bool],
    axis_names: tuple[str, str] = ("", ""),
) -> Figure:
    """Points with the colour and the marker of their class. The gid of a point is `point-i`.

    Args:
        points: columns `x, y`.
        labels: class of each point.
        classes: all classes, in the order that gives them colours and markers.
        rings: whether a point has a ring.
        axis_names: labels of the two axes.
    """
    figure = new_figure(400)
    axes = figure.subplots()
    place = {name: k for k, name in enumerate(classes)}
    for i, (x, y) in enumerate(points[["x", "y"]].to_numpy()):
        paint, marker = series(place[labels[i]])
        axes.plot(x, y, marker, color=paint, markersize=5.5, alpha=0.85, markeredgewidth=0, gid=f"point-{i}")
        if rings[i]:
            (ring,) = axes.plot(x, y, "o", markerfacecolor="none", markeredgecolor=colour("ink"))
            ring.set(markersize=10.5, markeredgewidth=1.2)
    axes.set(xticks=(), yticks=(), xlabel=axis_names[0], ylabel=axis_names[1])
    axes.xaxis.label.set(color=colour("muted"), fontsize=10)
    axes.yaxis.label.set(color=colour("muted"), fontsize=10)
    axes.margins(0.05)
    for spine in axes.spines.values():
        spine.set(color=colour("rule"))
    axes.patch.set_alpha(0)
    return figure
