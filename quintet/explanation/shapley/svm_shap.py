"""Exact Shapley values of support vector machines with an RBF kernel.

The kernel is a product over columns, `k(x, s) = Π_j exp(-gamma (x[j] - s[j])²)`. In the game an absent column
is taken from a background row `b`. Each support vector then contributes a product game with the factors
`p[j]` (present) and `q[j]` (absent), whose Shapley values are

    φ[j] = (p[j] - q[j]) ∫₀¹ Π_{l≠j} (t p[l] + (1 - t) q[l]) dt

The integrand is a polynomial of degree d - 1 in t, so Gauss-Legendre quadrature with d/2 nodes is exact. The
factors are close to 1, so a few nodes already suffice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from quintet.explanation.shapley.arrays import Floats, gauss_legendre
from quintet.frozen.scorers import Machine

if TYPE_CHECKING:
    from sklearn.svm import SVC


def kernel_shapley(
    machines: Sequence[SVC | Machine | None], rows: Floats, background: Floats, *, n_nodes: int = 8
) -> tuple[Floats, Floats]:
    """Shapley values of binary `sklearn.svm.SVC`s with RBF kernels, averaged over a background.

    Machines with the same `gamma` share most of their support vectors (one class against the rest). The
    integral of each support vector is computed once for all of them.

    Args:
        machines: fitted; the `decision_function` of each is explained. None stands for a machine that always
            gives -1.
        rows: (n, d) rows to explain.
        background: (m, d) rows from which absent columns are taken.
        n_nodes: nodes of the quadrature. At least d/2 is exact; fewer converge exponentially (8 nodes: 1e-15
            at 450 columns).

    Returns:
        Values (n, d, machines) and the bases (machines,): the mean decision value over the background.

    Source:
        The values of the product game follow from Owen's multilinear extension of games (Owen 1972).
    """
    from quintet.explanation.shapley.compiled import add_product_values

    n_exact = (rows.shape[1] + 1) // 2 + 1
    quadrature = gauss_legendre(min(n_nodes, n_exact))
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
        add_product_values(*given, float(gamma), quadrature, factors, integrals)
        values[:, :, places] = integrals / len(background)
        means = [machine.decision_function(background).mean() for machine in same]
        bases[places] = means
    return values, bases


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
