"""Arrays that the compiled loops in `kernels` work on: the trees of a forest, a walk, and a quadrature.

All are named tuples because kernels accept tuples of arrays as arguments.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
MAX_WAITING = 256
"""Size of the stack of nodes that wait while a tree is walked: more than the depth of any tree."""


class Forest(NamedTuple):
    """Trees end to end in flat arrays.

    A node sends a row to the left if `float32(x[feature]) < threshold`. A leaf has `left == -1`.

    Args:
        start: (trees,) first node of each tree.
        left: (nodes,) left child of each node; -1 for a leaf.
        right: (nodes,) right child of each node; -1 for a leaf.
        feature: (nodes,) column that each node compares.
        threshold: (nodes,) float32.
        value: (nodes, outputs) what a leaf adds to the outputs.
        offset: (outputs,) what is added once.
        cover: (nodes,) weight of the training rows that passed the node.
    """

    start: NDArray[np.int64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    feature: NDArray[np.int64]
    threshold: NDArray[np.float32]
    value: Floats
    offset: Floats
    cover: Floats


class Quadrature(NamedTuple):
    """Nodes and weights that integrate a polynomial over [0, 1].

    Args:
        nodes: (k,) one quadrature, or (sizes, k) with one quadrature per row.
        weights: the same shape.
    """

    nodes: Floats
    weights: Floats


def gauss_legendre(n_nodes: int) -> Quadrature:
    """Gauss-Legendre quadrature on [0, 1], exact for polynomials of degree `2 * n_nodes - 1`.

    Args:
        n_nodes: number of nodes, at least 1.

    Returns:
        Nodes and weights, both (n_nodes,).

    Example:
        >>> nodes, weights = gauss_legendre(1)
        >>> nodes.tolist(), weights.tolist()
        ([0.5], [1.0])
    """
    nodes, weights = np.polynomial.legendre.leggauss(n_nodes)
    return Quadrature((nodes + 1) / 2, weights / 2)


class Ladder(NamedTuple):
    """Quadratures of growing size, and the integrands that each integrates within a tolerance.

    Args:
        nodes: (steps, k) one quadrature per row, filled up with zeros.
        weights: the same shape.
        sizes: (steps,) number of nodes, rising.
        ellipses: (e,) half the sums of the axes of some ellipses with foci at both ends of the interval.
        reach: (e, steps) the largest absolute value that an integrand may have on an ellipse.
    """

    nodes: Floats
    weights: Floats
    sizes: Integers
    ellipses: Floats
    reach: Floats


def waiting_nodes() -> Integers:
    """Room for the nodes that wait while a tree is walked."""
    return np.empty((3, MAX_WAITING), np.int64)


class Path(NamedTuple):
    """State of a walk through a tree. Entry 0 is the root; entry `at` is the node `at` edges below it.

    The *edge* of an entry leads from its parent to it, and the *column* of the edge is the one that the
    parent compares. `k` is the number of quadrature nodes.

    Args:
        node: (levels,) the node.
        stage: (levels,) number of its children that were entered: 0, 1 or 2.
        before: (levels,) entry of the edge above that has the same column; -1 if there is none.
        present: (levels,) factor `p` of the column after this edge.
        absent: (levels,) factor `q` of the column after this edge.
        inverse: (levels, k) `1 / (t p + (1 - t) q)`.
        product: (levels, k) product of the factors `t p + (1 - t) q` of all columns of the path.
        pull: (levels, k) change of `w (p - q) / (t p + (1 - t) q)` at this edge.
        gathered: (levels, outputs, k) sum of `product · value` over the leaves below.
        last: (d,) entry of the lowest edge of each column; -1 if the path does not have the column.
    """

    node: Integers
    stage: Integers
    before: Integers
    present: Floats
    absent: Floats
    inverse: Floats
    product: Floats
    pull: Floats
    gathered: Floats
    last: Integers


def new_path(levels: int, n_columns: int, n_outputs: int, n_nodes: int) -> Path:
    """Room for a walk.

    Args:
        levels: one more than the decisions on the longest path.
        n_columns: d.
        n_outputs: outputs of the forest.
        n_nodes: k.
    """
    return Path(
        node=np.zeros(levels, np.int64),
        stage=np.zeros(levels, np.int64),
        before=np.zeros(levels, np.int64),
        present=np.ones(levels),
        absent=np.ones(levels),
        inverse=np.ones((levels, n_nodes)),
        product=np.ones((levels, n_nodes)),
        pull=np.zeros((levels, n_nodes)),
        gathered=np.zeros((levels, n_outputs, n_nodes)),
        last=np.full(n_columns, -1),
    )
