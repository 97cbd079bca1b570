"""Exact Shapley values of support vector machines with an RBF kernel.

The kernel is a product over columns, `k(x, s) = Π_j exp(-gamma (x[j] - s[j])²)`. In the game where an absent column is taken from a background row
`b`, each support vector contributes a product game with the factors `p[j]` (present) and `q[j]` (absent), whose Shapley values are

    φ[j] = (p[j] - q[j]) ∫₀¹ Π_{l≠j} (t p[l] + (1 - t) q[l]) dt

a polynomial of degree d - 1 in t: Gauss-Legendre quadrature with d/2 nodes is exact, and as the factors are close to 1 a few nodes already are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def kernel_shapley(
    machines: Sequence[Any], rows: Array, background: Array, *, n_nodes: int = 8
) -> tuple[Array, Array]:
    """Shapley values of binary `sklearn.svm.SVC`s with RBF kernels, averaged over a background.

    Machines with the same `gamma` share most of their support vectors (one class against the rest): each is integrated once for all of them.

    Args:
        machines: fitted; explained is the `decision_function` of each. None stands for one that always says -1.
        rows: (n, d) to explain.
        background: (m, d) rows from which absent columns are taken.
        n_nodes: of the quadrature; at least d/2 is exact, fewer converge exponentially (8: 1e-15 at 450 columns).

    Returns:
        Values (n, d, machines), and the bases (machines,): the mean decision value over the background.

    Source:
        The product game's values follow from Owen's multilinear extension of games (Owen 1972).
    """
    nodes, weights = np.polynomial.legendre.leggauss(min(n_nodes, (rows.shape[1] + 1) // 2 + 1))
    values, bases = np.zeros((*rows.shape, len(machines))), np.full(len(machines), -1.0)
    for gamma in {float(machine._gamma) for machine in machines if machine is not None}:
        members = [
            k for k, machine in enumerate(machines) if machine is not None and float(machine._gamma) == gamma
        ]
        vectors, place = np.unique(
            np.concatenate([machines[k].support_vectors_ for k in members]), axis=0, return_inverse=True
        )
        owner = np.repeat(np.arange(len(members)), [len(machines[k].support_vectors_) for k in members])
        alphas = np.zeros((len(vectors), len(members)))
        np.add.at(
            alphas, (place.ravel(), owner), np.concatenate([machines[k].dual_coef_.ravel() for k in members])
        )
        values[:, :, members] = _quadrature()(
            rows, background, vectors, alphas, gamma, (nodes + 1) / 2, weights / 2
        )
        bases[members] = [machines[k].decision_function(background).mean() for k in members]
    return values, bases


def _quadrature() -> Any:
    """The compiled loop; compiled when first asked for, so that importing this module costs nothing."""
    global _compiled
    if _compiled is None:
        from numba import njit

        _compiled = njit(cache=True, fastmath=True)(_product_values)
    return _compiled


_compiled: Any = None


def _product_values(
    rows: Array, background: Array, vectors: Array, alphas: Array, gamma: float, nodes: Array, weights: Array
) -> Array:
    n, d = rows.shape
    m = len(background)
    values = np.zeros((n, d, alphas.shape[1]))
    present, share, total, absent = np.empty(d), np.empty(d), np.empty(d), np.empty((m, d))
    for v in range(len(vectors)):
        for b in range(m):
            for j in range(d):
                absent[b, j] = np.exp(-gamma * (background[b, j] - vectors[v, j]) ** 2)
        for i in range(n):
            for j in range(d):
                present[j] = np.exp(-gamma * (rows[i, j] - vectors[v, j]) ** 2)
            total[:] = 0.0
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
                    total[j] += (present[j] - without[j]) * share[j]
            for j in range(d):
                for k in range(alphas.shape[1]):
                    values[i, j, k] += alphas[v, k] * total[j]
    return values / len(background)
