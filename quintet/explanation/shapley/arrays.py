"""Arrays that the compiled loops in `kernels` work on: the trees of a forest, and a quadrature.

Both are named tuples because numba accepts named tuples of arrays as arguments.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


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
