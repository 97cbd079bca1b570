"""Exact Shapley values of a support vector machine with an RBF kernel.

The kernel is a product over columns, `k(x, s) = Π_j exp(-gamma (x[j] - s[j])²)`. In the game where an absent column is taken from a background row
`b`, each support vector contributes a product game with the factors `p[j]` (present) and `q[j]` (absent), whose Shapley values are

    φ[j] = (p[j] - q[j]) ∫₀¹ Π_{l≠j} (t p[l] + (1 - t) q[l]) dt

a polynomial of degree d - 1 in t: Gauss-Legendre quadrature with d/2 nodes is exact, and as the factors are close to 1 a few nodes already are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def kernel_shapley(machine: Any, rows: Array, background: Array, *, n_nodes: int = 8) -> tuple[Array, float]:
    """Shapley values of a binary `sklearn.svm.SVC` with an RBF kernel, averaged over a background.

    Args:
        machine: fitted; explained is its `decision_function`.
        rows: (n, d) to explain.
        background: (m, d) rows from which absent columns are taken.
        n_nodes: of the quadrature; at least d/2 is exact, fewer converge exponentially.

    Returns:
        Values (n, d), and the base: the mean decision value over the background.

    Source:
        The product game's values follow from Owen's multilinear extension of games (Owen 1972).
    """
    nodes, weights = np.polynomial.legendre.leggauss(min(n_nodes, (rows.shape[1] + 1) // 2 + 1))
    vectors = np.ascontiguousarray(machine.support_vectors_)
    values = _quadrature()(rows, background, vectors, machine.dual_coef_.ravel(), float(machine._gamma), (nodes + 1) / 2, weights / 2)
    return values, float(machine.decision_function(background).mean())


def _quadrature() -> Any:
    """The compiled loop; compiled when first asked for, so that importing this module costs nothing."""
    global _compiled
    if _compiled is None:
        from numba import njit

        _compiled = njit(cache=True, fastmath=True)(_product_values)
    return _compiled


_compiled: Any = None


def _product_values(rows: Array, background: Array, vectors: Array, alphas: Array, gamma: float, nodes: Array, weights: Array) -> Array:
    n, d = rows.shape
    m = len(background)
    values = np.zeros((n, d))
    present, share, absent = np.empty(d), np.empty(d), np.empty((m, d))
    for v in range(len(vectors)):
        for b in range(m):
            for j in range(d):
                absent[b, j] = np.exp(-gamma * (background[b, j] - vectors[v, j]) ** 2)
        for i in range(n):
            for j in range(d):
                present[j] = np.exp(-gamma * (rows[i, j] - vectors[v, j]) ** 2)
            for b in range(m):
                without = absent[b]
                share[:] = 0.0
                for k in range(len(nodes)):
                    t = nodes[k]
                    product = 1.0
                    for j in range(d):
                        product *= without[j] + t * (present[j] - without[j])
                    product *= weights[k]
                    for j in range(d):
                        share[j] += product / (without[j] + t * (present[j] - without[j]))
                for j in range(d):
                    values[i, j] += alphas[v] * (present[j] - without[j]) * share[j]
    return values / len(background)
