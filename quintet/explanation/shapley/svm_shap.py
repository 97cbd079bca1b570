"""Exact Shapley values of support vector machines with an RBF kernel.

The kernel is a product over columns, `k(x, s) = Π_j exp(-gamma (x[j] - s[j])²)`. In the game an absent column
is taken from a background row `b`. Each support vector then contributes a product game with the factors
`p[j]` (present) and `q[j]` (absent), whose Shapley values are

    φ[j] = (p[j] - q[j]) ∫₀¹ Π_{l≠j} (t p[l] + (1 - t) q[l]) dt

The integrand is a polynomial of degree d - 1 in t, so Gauss-Legendre quadrature with d/2 nodes is exact. A
narrow kernel needs many nodes, and a wide one few: each product gets as many as a bound of its own error asks
for. If the integrand is at most M in absolute value on the ellipse with foci at the ends of the interval and
half axes whose sum is ρ, then n nodes are wrong by at most 64/15 M / (ρ^(2n) (1 - ρ^-2)) (Trefethen,
"Approximation Theory and Approximation Practice", theorem 19.3). On an ellipse that reaches from -a to a
(the interval from -1 to 1), a factor is at most (p + q)/2 + a |p - q|/2, and ρ = a + √(a² - 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from quintet.explanation.shapley.arrays import Floats, Ladder, gauss_legendre
from quintet.frozen.scorers import Machine

if TYPE_CHECKING:
    from sklearn.svm import SVC

TOLERANCE = 1e-16
"""Error that the integral of one support vector of weight 1 may have."""
ELLIPSES = (1.02, 1.1, 1.5, 3.0, 12.0)
"""How far the ellipses reach on which integrands are bounded: near ones for narrow kernels."""


def kernel_shapley(
    machines: Sequence[SVC | Machine | None], rows: Floats, background: Floats, *, n_nodes: int | None = None
) -> tuple[Floats, Floats]:
    """Shapley values of binary `sklearn.svm.SVC`s with RBF kernels, averaged over a background.

    Machines with the same `gamma` share most of their support vectors (one class against the rest). The
    integral of each support vector is computed once for all of them.

    Args:
        machines: fitted; the `decision_function` of each is explained. None stands for a machine that always
            gives -1.
        rows: (n, d) rows to explain.
        background: (m, d) rows from which absent columns are taken.
        n_nodes: nodes of every quadrature; at least d/2 is exact. Default: as many as each product needs.

    Returns:
        Values (n, d, machines) and the bases (machines,): the mean decision value over the background.

    Source:
        The values of the product game follow from Owen's multilinear extension of games (Owen 1972).
    """
    from quintet.explanation.shapley.compiled import add_product_values

    ladder = quadrature_ladder(rows.shape[1]) if n_nodes is None else _single_step(n_nodes)
    values = np.zeros((*rows.shape, len(machines)))
    bases = np.full(len(machines), -1.0)
    plain = plain_machines(machines)
    fitted = {k: machine for k, machine in enumerate(plain) if machine is not None}
    for gamma in {machine.gamma for machine in fitted.values()}:
        places = [k for k, machine in fitted.items() if machine.gamma == gamma]
        same = [fitted[k] for k in places]
        vectors, alphas = _merge_vectors(same)
        integrals, factors = (
            np.zeros((*rows.shape, len(same))),
            np.empty((len(background) + 3, rows.shape[1])),
        )
        given = [np.ascontiguousarray(array, np.float64) for array in (rows, background, vectors, alphas)]
        add_product_values(*given, float(gamma), ladder, factors, integrals)
        values[:, :, places] = integrals / len(background)
        means = [machine.decision_function(background).mean() for machine in same]
        bases[places] = means
    return values, bases


@lru_cache(maxsize=8)
def quadrature_ladder(n_columns: int) -> Ladder:
    """Quadratures for products of up to `n_columns` factors between 0 and 1, each within `TOLERANCE`.

    Args:
        n_columns: d.

    Returns:
        A ladder whose last step integrates every such product.

    Example:
        >>> quadrature_ladder(4).sizes.tolist(), int(quadrature_ladder(1028).sizes[-1])
        ([1, 2, 3], 101)
    """
    a = np.array(ELLIPSES)
    rho = a + np.sqrt(a**2 - 1)
    log_constant = np.log(TOLERANCE * 15 / 64 * (1 - rho**-2) * a / 2)  # a / 2: φ has |p - q| for a factor
    enough = (n_columns * np.log((1 + a) / 2) - log_constant) / (2 * np.log(rho))  # p = 1, q = 0 everywhere
    last = min(n_columns // 2 + 1, int(np.ceil(enough.min())))
    sizes = [size for size in _SIZES if size < last] + [last]
    nodes, weights = np.zeros((len(sizes), last)), np.zeros((len(sizes), last))
    for step, size in enumerate(sizes):
        nodes[step, :size], weights[step, :size] = gauss_legendre(size)
    log_reach = log_constant[:, None] + 2 * np.array(sizes) * np.log(rho)[:, None]
    reach = np.exp(np.minimum(log_reach, 700.0))
    return Ladder(nodes, weights, np.array(sizes, np.int64), a, reach)


_SIZES = (*range(1, 13), 14, 16, 20, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)


def _single_step(n_nodes: int) -> Ladder:
    nodes, weights = gauss_legendre(n_nodes)
    return Ladder(nodes[None], weights[None], np.array([n_nodes]), np.ones(1), np.full((1, 1), np.inf))


def plain_machines(machines: Sequence[SVC | Machine | None]) -> list[Machine | None]:
    """Machines as arrays, fitted ones of scikit-learn too."""
    plain: list[Machine | None] = []
    for machine in machines:
        if machine is None or isinstance(machine, Machine):
            plain.append(machine)
        else:
            weights, offset = machine.dual_coef_.ravel(), float(machine.intercept_[0])
            plain.append(Machine(machine.support_vectors_, weights, offset, float(machine._gamma)))
    return plain


class _VectorUnion(NamedTuple):
    """Support vectors (vectors, d) of several machines, each once, and their weights (vectors, machines)."""

    vectors: Floats
    alphas: Floats


def _merge_vectors(machines: Sequence[Machine]) -> _VectorUnion:
    """The support vectors of some machines, and the weight of each vector in each machine (0: not used
    there)."""
    first = machines[0].vectors
    if all(machine.vectors is first for machine in machines):  # landmarks
        return _VectorUnion(first, np.stack([machine.weights for machine in machines]).T.copy())
    every_vector = np.concatenate([machine.vectors for machine in machines])
    every_weight = np.concatenate([machine.weights for machine in machines])
    vectors, place = np.unique(every_vector, axis=0, return_inverse=True)
    n_vectors = [len(machine.vectors) for machine in machines]
    machine_of_vector = np.repeat(np.arange(len(machines)), n_vectors)
    cells = (place.ravel(), machine_of_vector)
    alphas = np.zeros((len(vectors), len(machines)))
    np.add.at(alphas, cells, every_weight)
    return _VectorUnion(vectors, alphas)
