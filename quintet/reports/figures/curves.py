"""Curves: ROC of one class, and how networks learnt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quintet.evaluation.ranking import roc_curve
from quintet.reports.style import colour, legend, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def roc_points(truth: NDArray[np.bool_], scores: NDArray[np.floating]) -> pd.DataFrame:
    """The ROC curve as a table `threshold, false_positive_rate, true_positive_rate`; see `quintet.evaluation.ranking.roc_curve`.

    Args:
        truth: (n,) bool.
        scores: (n,), higher means more likely.

    Example:
        >>> roc_points(np.array([True, False]), np.array([0.9, 0.1]))["true_positive_rate"].tolist()
        [0.0, 1.0, 1.0]
    """
    curve = roc_curve(truth, scores)
    return pd.DataFrame(
        {
            "threshold": curve.thresholds,
            "false_positive_rate": curve.false_positive_rate,
            "true_positive_rate": curve.true_positive_rate,
        }
    )


def roc_figure(curves: Mapping[str, pd.DataFrame], main: str, *, title: str, area: float) -> Figure:
    """One class's ROC curves: `main` in front, the others thin and grey behind it.

    Args:
        curves: name → `roc_points`.
        main: the name to stand out.
        title: class name, drawn above the panel.
        area: AUC of `main`.
    """
    figure = new_figure(184, width=170)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=colour("rule"), linewidth=1)
    for name, points in curves.items():
        if name != main:
            axes.plot(
                points["false_positive_rate"],
                points["true_positive_rate"],
                color=colour("faint"),
                linewidth=0.9,
            )
    points = curves[main]
    axes.fill_between(
        points["false_positive_rate"],
        points["true_positive_rate"],
        color=colour("accent"),
        alpha=0.08,
        linewidth=0,
    )
    axes.plot(
        points["false_positive_rate"], points["true_positive_rate"], color=colour("accent"), linewidth=2
    )
    axes.text(
        0.97,
        0.06,
        f"AUC {area:.3f}",
        ha="right",
        color=colour("ink"),
        fontsize=10.5,
        fontweight="bold",
        transform=axes.transAxes,
    )
    axes.set(
        xlim=(-0.02, 1.02),
        ylim=(-0.02, 1.02),
        xticks=(0, 0.5, 1),
        yticks=(0, 0.5, 1),
        xticklabels=("0", ".5", "1"),
        yticklabels=("0", ".5", "1"),
    )
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold", color=colour("ink"))
    tidy(axes)
    return figure


def training_figure(history: pd.DataFrame, quantity: str, *, label: str) -> Figure:
    """One quantity by epoch: folds thin, the final fit bold; training solid, validation dashed.

    Args:
        history: columns `fold` (-1 is the final fit), `epoch`, `quantity` and, where there is one, `val_{quantity}`.
        quantity: `"loss"` or `"accuracy"`.
        label: of the vertical axis.
    """
    from matplotlib.ticker import MaxNLocator

    figure = new_figure(230)
    axes = figure.subplots()
    styles = {
        quantity: (colour("series-1"), "-", "training"),
        f"val_{quantity}": (colour("series-2"), (0, (4, 2)), "validation"),
    }
    handles: list[Any] = []
    for column, (paint, dashes, name) in styles.items():
        if column not in history or history[column].isna().all():
            continue
        for fold, rows in history.groupby("fold"):
            final = fold == -1
            (line,) = axes.plot(
                rows["epoch"],
                rows[column],
                color=paint,
                linestyle=dashes,
                linewidth=2.2 if final else 0.8,
                alpha=1 if final else 0.5,
            )
            line.set_label(name)
            if final or not handles or handles[-1].get_label() != name:
                handles.append(line)
    axes.set(xlabel="epoch", ylabel=label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    tidy(axes, grid="y")
    legend(axes, handles)
    return figure
