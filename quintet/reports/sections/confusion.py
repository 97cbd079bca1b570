"""The confusion matrix: what was taken for what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quintet.evaluation.metrics import confusion_matrix
from quintet.reports.style import WIDTH, colour, heat, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def confusion_counts(
    truth: NDArray[np.integer], verdict: NDArray[np.integer], classes: Sequence[str]
) -> pd.DataFrame:
    """Counts, shape (K, K): rows are true classes, columns verdicts, both in the order of `classes`.

    Example:
        >>> confusion_counts(np.array([0, 0, 1]), np.array([0, 1, 1]), ["jazz", "rock"]).to_numpy().tolist()
        [[1, 1], [0, 1]]
    """
    counts = confusion_matrix(truth, verdict, len(classes)).astype(int)
    return pd.DataFrame(
        counts, index=pd.Index(classes, name="true"), columns=pd.Index(classes, name="verdict")
    )


def main_confusions(counts: pd.DataFrame, limit: int = 3) -> list[tuple[str, str, int]]:
    """The most frequent mistakes as `(true, verdict, count)`, most frequent first; none where there is no mistake.

    Example:
        >>> main_confusions(confusion_counts(np.array([0, 0, 1]), np.array([0, 1, 1]), ["jazz", "rock"]))
        [('jazz', 'rock', 1)]
    """
    wrong = counts.to_numpy().copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:limit]
    cells = [np.unravel_index(flat, wrong.shape) for flat in order]
    return [
        (str(counts.index[i]), str(counts.columns[j]), int(wrong[i, j])) for i, j in cells if wrong[i, j] > 0
    ]


def confusion_figure(counts: pd.DataFrame) -> Figure:
    """Counts in cells, shade by share of the row; hover and the table below give the share in numbers.

    Args:
        counts: `confusion_counts`.
    """
    shares = counts.div(counts.sum(axis=1).clip(lower=1), axis=0)
    width = max(WIDTH, 110 + 30 * len(counts))
    return heat_figure(
        shares,
        counts.astype(str).where(counts > 0, "·"),
        row_label="true class",
        column_label="verdict",
        width=width,
    )


def cell_titles(counts: pd.DataFrame) -> dict[str, str]:
    """Hover texts of `confusion_figure`, by gid."""
    cells = counts.to_numpy(dtype=int)
    sums = cells.sum(axis=1)
    return {
        f"cell-{i}-{j}": f"{true} → {verdict}: {cells[i, j]} of {sums[i]} ({cells[i, j] / max(int(sums[i]), 1):.0%})"
        for i, true in enumerate(counts.index)
        for j, verdict in enumerate(counts.columns)
    }


def heat_figure(
    shares: pd.DataFrame,
    texts: pd.DataFrame,
    *,
    row_label: str = "",
    column_label: str = "",
    width: float = WIDTH,
) -> Figure:
    """A table of shaded cells with a text in each, gids `cell-i-j`.

    Args:
        shares: values in [0, 1], the shade.
        texts: what stands in the cells, same shape.
        width: in the figure's units.
    """
    n_rows, n_columns = shares.shape
    shade = shares.to_numpy(dtype=float)
    figure = new_figure(92 + 27 * n_rows, width=width)
    axes = figure.subplots()
    size = 11 if n_columns <= 9 else 10
    for i in range(n_rows):
        for j in range(n_columns):
            fill, ink = heat(shade[i, j])
            axes.fill(
                [j + 0.03, j + 0.97, j + 0.97, j + 0.03],
                [i + 0.04, i + 0.04, i + 0.96, i + 0.96],
                color=fill,
                linewidth=0,
                gid=f"cell-{i}-{j}",
            )
            axes.text(
                j + 0.5,
                i + 0.5,
                str(texts.iat[i, j]),
                ha="center",
                va="center_baseline",
                color=ink,
                fontsize=size,
            )
    _frame(axes, shares, row_label, column_label)
    return figure


def _frame(axes: Axes, shares: pd.DataFrame, row_label: str, column_label: str) -> None:
    n_rows, n_columns = shares.shape
    axes.set(xlim=(0, n_columns), ylim=(n_rows, 0))
    axes.set_xticks(
        np.arange(n_columns) + 0.5, shares.columns.astype(str), rotation=40, ha="left", rotation_mode="anchor"
    )
    axes.set_yticks(np.arange(n_rows) + 0.5, shares.index.astype(str))
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.tick_params(length=0, labelsize=10.5, labelcolor=colour("ink"), pad=3)
    axes.patch.set_alpha(0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_ylabel(row_label, color=colour("muted"), fontsize=10)
    axes.set_xlabel(column_label, color=colour("muted"), fontsize=10, loc="left")
