"""Curves: ROC, training, learning curve, settings search, accuracy by share of clips answered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quintet.evaluation.ranking import roc_curve
from quintet.reports.formats import short_name
from quintet.reports.style import colour, legend, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]
HALVES = ("0", ".5", "1")
FALSE, TRUE = "false_positive_rate", "true_positive_rate"


def roc_points(truth: NDArray[np.bool_], scores: NDArray[np.floating]) -> pd.DataFrame:
    """ROC curve as a table `threshold, false_positive_rate, true_positive_rate`.

    Args:
        truth: (n,) whether a clip is of the class.
        scores: (n,) its score; higher means more likely.

    Example:
        >>> roc_points(np.array([True, False]), np.array([0.9, 0.1]))["true_positive_rate"].tolist()
        [0.0, 1.0, 1.0]
    """
    curve = roc_curve(truth, scores)
    columns = {
        "threshold": curve.thresholds,
        FALSE: curve.false_positive_rate,
        TRUE: curve.true_positive_rate,
    }
    return pd.DataFrame(columns)


def roc_figure(curves: Mapping[str, pd.DataFrame], main: str, *, title: str, area: float) -> Figure:
    """ROC curves of one class: `main` in front, the others thin and grey behind it.

    Args:
        curves: name → `roc_points`.
        main: name of the curve that stands out.
        title: name of the class, drawn above the panel.
        area: AUC of `main`.
    """
    figure = new_figure(184, width=170)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=colour("rule"), linewidth=1)
    for name, points in curves.items():
        if name != main:
            axes.plot(points[FALSE], points[TRUE], color=colour("faint"), linewidth=0.9)
    x, y = curves[main][FALSE], curves[main][TRUE]
    axes.fill_between(x, y, color=colour("accent"), alpha=0.08, linewidth=0)
    axes.plot(x, y, color=colour("accent"), linewidth=2)
    text = axes.text(0.97, 0.06, f"AUC {area:.3f}", ha="right", transform=axes.transAxes)
    text.set(color=colour("ink"), fontsize=10.5, fontweight="bold")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
    axes.set(xticklabels=HALVES, yticklabels=HALVES)
    axes.set_title(short_name(title, 22), loc="left", fontsize=11, fontweight="bold", color=colour("ink"))
    tidy(axes)
    return figure


def training_figure(history: pd.DataFrame, quantity: str, *, label: str) -> Figure:
    """One quantity by epoch: folds thin, the final fit bold; training solid, validation dashed.

    Args:
        history: columns `fold` (-1 is the final fit), `epoch`, `quantity` and, if there is one,
            `val_{quantity}`.
        quantity: `loss` or `accuracy`.
        label: label of the vertical axis.
    """
    from matplotlib.ticker import MaxNLocator

    figure = new_figure(230)
    axes = figure.subplots()
    handles: list[Artist] = []
    if quantity in history and history[quantity].notna().any():
        handles += _draw_epochs(axes, history, quantity, "series-1", "-", "training")
    validation = f"val_{quantity}"
    if validation in history and history[validation].notna().any():
        handles += _draw_epochs(axes, history, validation, "series-2", (0, (4, 2)), "validation")
    axes.set(xlabel="epoch", ylabel=label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    tidy(axes, grid="y")
    legend(axes, handles)
    return figure


def _draw_epochs(
    axes: Axes,
    history: pd.DataFrame,
    column: str,
    paint: str,
    dashes: str | tuple[int, tuple[int, int]],
    name: str,
) -> list[Artist]:
    """Draw one column by epoch, one line per fold.

    Returns the lines of the legend: the first one, and the final fit.
    """
    handles: list[Artist] = []
    for fold, rows in history.groupby("fold"):
        is_final = fold == -1
        (line,) = axes.plot(rows["epoch"], rows[column], color=colour(paint), linestyle=dashes)
        line.set(linewidth=2.2 if is_final else 0.8, alpha=1 if is_final else 0.5, label=name)
        if is_final or not handles:
            handles.append(line)
    return handles


def learning_curve_figure(rows: pd.DataFrame, path: pd.DataFrame, *, label: str) -> Figure:
    """Measured sizes as dots with intervals, and the fitted curve: dashed beyond the last dot.

    Args:
        rows: measured sizes, columns `clips, value, low, high`.
        path: fitted curve, columns `size, value, low, high`.
        label: label of the vertical axis.
    """
    figure = new_figure(230)
    axes = figure.subplots()
    paint = colour("accent")
    measured = path["size"] <= rows["clips"].max() * 1.0001
    if path["low"].notna().all():
        axes.fill_between(path["size"], path["low"], path["high"], color=paint, alpha=0.1, linewidth=0)
    axes.plot(path.loc[measured, "size"], path.loc[measured, "value"], color=paint, linewidth=1.6)
    last_measured = np.arange(len(path)) == int(measured.sum()) - 1
    beyond = path[(~measured) | last_measured]
    axes.plot(beyond["size"], beyond["value"], color=paint, linewidth=1.6, linestyle=(0, (4, 3)))
    axes.vlines(rows["clips"], rows["low"], rows["high"], color=colour("ink"), linewidth=2.2, alpha=0.45)
    axes.plot(rows["clips"], rows["value"], "o", color=colour("ink"), markersize=6.5)
    axes.set(xlabel="training clips", ylabel=label)
    axes.set_xlim(left=0)
    tidy(axes, grid="y")
    return figure


def search_figure(trials: pd.DataFrame, *, label: str) -> Figure:
    """Trials of a settings search by number, and the best so far as steps.

    A trial outside of the axis stands at its border, as an arrowhead.

    Args:
        trials: trials of one member, columns `state, value, best_so_far`; the first trial is the default.
        label: label of the vertical axis.
    """
    from matplotlib.ticker import MaxNLocator

    figure = new_figure(210)
    axes = figure.subplots()
    x = np.arange(1, len(trials) + 1)
    y = trials["value"].to_numpy(np.float64)
    complete = (trials["state"] == "complete").to_numpy()
    best = trials["best_so_far"].to_numpy(np.float64)
    low, high = search_range(best)
    shown = y[(y >= low) & (y <= high)]
    low, high = shown.min(), shown.max()
    margin = 0.06 * max(high - low, 1e-6)
    handles: list[Artist] = []
    handles += axes.step(x, best, where="post", color=colour("accent"), linewidth=2, label="best so far")
    handles.append(axes.axhline(y[0], color=colour("faint"), linewidth=1, dashes=(4, 2), label="default"))
    shapes = (("o", (y >= low) & (y <= high)), ("^", y > high), ("v", y < low))
    for rows, fill, text in ((complete, colour("series-2"), "trial"), (~complete, "none", "stopped early")):
        for shape, inside in shapes:
            chosen = rows & inside
            if not chosen.any():
                continue
            dots = axes.scatter(x[chosen], np.clip(y[chosen], low, high), s=16, marker=shape, zorder=3)
            dots.set(facecolor=fill, edgecolor=colour("series-2"))
            if shape == "o":
                dots.set_label(text)
                handles.append(dots)
    axes.set(xlabel="trial", ylabel=label, ylim=(low - margin, high + margin))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    tidy(axes, grid="y")
    legend(axes, handles)
    return figure


def search_range(best: Floats) -> tuple[float, float]:
    """Smallest and largest value on the axis of a settings search.

    Args:
        best: (n,) best value so far after each trial.
    """
    first, last = best[0], best[-1]
    gain = abs(first - last)
    reach = 3 * max(gain, 0.02 * abs(first), 1e-6)
    low, high = min(first, last), max(first, last)
    return low - reach, high + reach


def selective_accuracy_figure(table: pd.DataFrame, overall: float) -> Figure:
    """Accuracy by share of clips answered, the most confident first.

    Args:
        table: columns `share_answered, accuracy`.
        overall: accuracy if all clips are answered.
    """
    figure = new_figure(250)
    axes = figure.subplots()
    x, y = table["share_answered"] * 100, table["accuracy"]
    axes.axhline(overall, color=colour("faint"), linewidth=1.2, linestyle=(0, (3, 2)))
    axes.plot(x, y, color=colour("accent"), linewidth=2)
    axes.fill_between(x, overall, y, color=colour("accent"), alpha=0.08, linewidth=0)
    low = min(float(y.min()), overall)
    bottom = max(0.0, low - 0.15 * (1 - low) - 0.004)
    top = 1 + 0.04 * (1 - low) + 0.001
    axes.set(xlim=(0, 101), ylim=(bottom, top))
    axes.set(xlabel="share of clips answered, most confident first (%)", ylabel="accuracy")
    text = axes.annotate("all answered", (2, overall), xytext=(0, -4), textcoords="offset points", va="top")
    text.set(color=colour("muted"), fontsize=10)
    axes.set_yticks([tick for tick in axes.get_yticks() if axes.get_ylim()[0] <= tick <= 1 + 1e-9])
    tidy(axes, grid="both")
    return figure
