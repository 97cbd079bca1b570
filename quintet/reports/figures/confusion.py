"""The confusion matrix as HTML that fits every screen.

Up to 16 classes, it is a table with a number in each cell. Above, the cells have no numbers, and classes that
are confused are neighbours: names keep their size, and the cells share the other width.
"""

from __future__ import annotations

import html

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quintet.reports.formats import short_name
from quintet.reports.html import add_line_breaks
from quintet.reports.style import heat_paint

MAX_NUMBERED = 16
"""Classes up to which a confusion matrix has a number in each cell; of more classes it is dense."""
NUMBERED_NOTE = "Rows are true classes, columns the predicted ones; the shade is the share of the row."
DENSE_NOTE = (
    "Rows are true classes, columns the predicted ones in the same order, in which classes that are confused "
    "are neighbours. The shade is the share of the row. Point at a cell, or tap it, for its numbers."
)
WIDE = 10
"""Classes above which the numbers are small on a phone."""
GUIDE_STEP = 5
"""Classes between two guide lines."""


def similar_order(counts: pd.DataFrame) -> NDArray[np.intp]:
    """Order of the classes in which those that are often confused are neighbours.

    The classes are the leaves of a tree (average linkage). The distance of two classes is 1 minus the mean of
    their two shares, each the share of a class that is predicted as the other one.

    Args:
        counts: (K, K) counts, rows are true classes and columns predicted classes.

    Example:
        >>> counts = pd.DataFrame([[8, 0, 2], [0, 9, 0], [3, 0, 7]])
        >>> similar_order(counts).tolist() in ([0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1])
        True
    """
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    values = counts.to_numpy(dtype=float)
    if len(values) < 3:
        return np.arange(len(values))
    shares = values / np.maximum(values.sum(axis=1, keepdims=True), 1)
    distance = 1 - (shares + shares.T) / 2
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform(distance, checks=False), "average", optimal_ordering=True)
    order: NDArray[np.intp] = leaves_list(tree).astype(np.intp)
    return order


def cell_title(counts: pd.DataFrame, i: int, j: int) -> str:
    """What a cell counts, in words.

    Args:
        counts: (K, K) counts, rows are true classes and columns predicted classes.
        i: number of the row.
        j: number of the column.

    Example:
        >>> cell_title(pd.DataFrame([[1, 2], [0, 4]], ["jazz", "rock"], ["jazz", "rock"]), 0, 1)
        'jazz → rock: 2 of 3 (67%)'
    """
    row = counts.to_numpy()[i]
    n, total = int(row[j]), int(row.sum())
    return f"{counts.index[i]} → {counts.columns[j]}: {n} of {total} ({n / max(total, 1):.0%})"


def _row_shares(counts: pd.DataFrame) -> NDArray[np.float64]:
    values = counts.to_numpy(dtype=float)
    shares: NDArray[np.float64] = values / np.maximum(values.sum(axis=1, keepdims=True), 1)
    return shares


def confusion_html(counts: pd.DataFrame, label: str) -> str:
    """The confusion matrix, as a table or, for many classes, as coloured cells.

    Args:
        counts: (K, K) counts, rows are true classes and columns predicted classes.
        label: what it shows, for screen readers.
    """
    if len(counts) <= MAX_NUMBERED:
        return numbered_matrix(counts, label)
    order = similar_order(counts)
    right, total = int(np.trace(counts.to_numpy())), int(counts.to_numpy().sum())
    return dense_matrix(counts.iloc[order, order], f"{label}: {right} of {total} clips on the diagonal")


def numbered_matrix(counts: pd.DataFrame, label: str) -> str:
    """Confusion matrix as a table: counts in the cells, shaded by their share of the row.

    Args:
        counts: (K, K) counts, rows are true classes and columns predicted classes.
        label: what it shows, for screen readers.
    """
    names = [html.escape(str(name)) for name in counts.index]
    heads = "".join(
        f'<th scope="col" data-column="{name}" title="{name}"><span>{name}</span></th>' for name in names
    )
    rows = []
    for i, (name, shares) in enumerate(zip(counts.index, _row_shares(counts), strict=True)):
        cells = "".join(_numbered_cell(counts, i, j, float(share)) for j, share in enumerate(shares))
        head = f'<th scope="row">{add_line_breaks(str(name))}</th>'
        rows.append(f'<tr data-class="{names[i]}">{head}{cells}</tr>')
    caption = f"{html.escape(label)}. Rows are true classes, columns predicted classes."
    many = " many" if len(counts) > WIDE else ""
    return (
        f'<div class="matrix{many}"><table><caption class="visually-hidden">{caption}</caption>'
        f'<thead><tr><th scope="col">True&#160;↓ predicted&#160;→</th>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _numbered_cell(counts: pd.DataFrame, i: int, j: int, share: float) -> str:
    paint, title = heat_paint(share), html.escape(cell_title(counts, i, j))
    column, right = html.escape(str(counts.columns[j])), ' class="right"' if i == j else ""
    style, text = f"background:var(--{paint});color:var(--on-{paint})", str(counts.to_numpy()[i, j] or "")
    return f'<td data-column="{column}"{right} style="{style}" title="{title}">{text}</td>'


def dense_matrix(counts: pd.DataFrame, label: str) -> str:
    """Confusion matrix as HTML: names at the left, and one coloured cell for each count above 0.

    Args:
        counts: (K, K) counts in the order of the figure; rows are true classes, columns predicted ones.
        label: what it shows, for screen readers.
    """
    n, shares = len(counts), _row_shares(counts)
    cells = []
    for i, j in np.argwhere(shares > 0):
        paint = heat_paint(0.15 + 0.85 * float(shares[i, j]))  # one clip is seen, too
        title = html.escape(cell_title(counts, i, j))
        cells.append(
            f'<rect class="hot" x="{j}" y="{i}" width="1" height="1" fill="var(--{paint})">'
            f"<title>{title}</title></rect>"
        )
    names = "".join(f"<li>{html.escape(short_name(str(name)))}</li>" for name in counts.index)
    drawn = f'viewBox="0 0 {n} {n}" preserveAspectRatio="none" role="img" aria-label="{html.escape(label)}"'
    return (
        f'<div class="dense" style="--n:{n}"><ol>{names}</ol><svg class="plot" {drawn}>'
        f'<path class="guide" d="{_guides(n)}"/>{"".join(cells)}</svg></div>'
    )


def _guides(n: int) -> str:
    """Path of lines between every five rows and columns."""
    steps = range(GUIDE_STEP, n, GUIDE_STEP)
    return "".join(f"M0 {k}H{n}M{k} 0V{n}" for k in steps)
