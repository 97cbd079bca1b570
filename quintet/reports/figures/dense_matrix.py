"""The confusion matrix of many classes: small cells without numbers, with confused classes side by side.

It is HTML, so that it fits every screen: the names keep their size, and the cells share the other width.
"""

from __future__ import annotations

import html

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quintet.reports.figures.heat import cell_titles
from quintet.reports.formats import short_name
from quintet.reports.style import heat_paint

MAX_NUMBERED = 16
"""Classes up to which a confusion matrix has a number in each cell; of more classes it is dense."""
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
    return leaves_list(linkage(squareform(distance, checks=False), "average", optimal_ordering=True))


def dense_matrix(counts: pd.DataFrame, alt: str) -> str:
    """Confusion matrix as HTML: names at the left, and one coloured cell for each count above 0.

    Args:
        counts: (K, K) counts in the order of the figure; rows are true classes, columns predicted ones.
        alt: alternative text.
    """
    n = len(counts)
    titles = cell_titles(counts)
    values = counts.to_numpy()
    shares = values / np.maximum(values.sum(axis=1, keepdims=True), 1)
    cells = []
    for i, j in np.argwhere(values > 0):
        paint = heat_paint(0.15 + 0.85 * float(shares[i, j]))  # one clip is seen, too
        title = html.escape(titles[f"cell-{i}-{j}"])
        cells.append(
            f'<rect class="hot" x="{j}" y="{i}" width="1" height="1" fill="var(--{paint})">'
            f"<title>{title}</title></rect>"
        )
    names = "".join(f"<li>{html.escape(short_name(str(name)))}</li>" for name in counts.index)
    label = html.escape(alt)
    return (
        f'<div class="dense" style="--n:{n}"><ol>{names}</ol>'
        f'<svg class="plot" viewBox="0 0 {n} {n}" preserveAspectRatio="none" role="img" aria-label="{label}">'
        f'<path class="guide" d="{_guides(n)}"/>{"".join(cells)}</svg></div>'
    )


def _guides(n: int) -> str:
    """Path of lines between every five rows and columns."""
    steps = range(GUIDE_STEP, n, GUIDE_STEP)
    return "".join(f"M0 {k}H{n}M{k} 0V{n}" for k in steps)
