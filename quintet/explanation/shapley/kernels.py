"""Loops of the Shapley values of trees and of support vector machines, and of the widths of t-SNE.

They are called through `compiled`, which imports this module, and with it numba, only to compile them. They
allocate nothing: what they need, they get.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quintet.explanation.shapley.arrays import Floats, Forest, Integers, Ladder, Path, Quadrature
from quintet.features.engine.kernel_cache import Compiler, compiled

_TREE_ARITHMETIC = {"contract", "reassoc", "nsz", "arcp"}
_compile_exactly: Compiler = compiled(fastmath=False)
_compile_products: Compiler = compiled(fastmath=True)
_compile_trees: Compiler = compiled(fastmath=_TREE_ARITHMETIC)
_compile_step: Compiler = compiled(forceinline=True, fastmath=True)
_compile_tree_step: Compiler = compiled(forceinline=True, fastmath=_TREE_ARITHMETIC)
"""For the steps of the walk through a tree: they become part of the compiled walk, as fast as one long
function."""
SMALLEST = 1e-250
"""A product of kernels below it is no number that counts, and could be divided by zero."""


@_compile_tree_step
def _add_leaf(path: Path, at: int, size: int, leaf: Floats, column: Floats) -> None:
    """Add a leaf's value `(outputs,)` to the values of the edge's column `(outputs,)`, and pass it
    upwards."""
    product = path.product
    gathered = path.gathered
    above = at - 1
    share = 0.0
    for k in range(size):
        share += path.pull[at, k] * product[at, k]
    for o in range(len(leaf)):
        v = leaf[o]
        if v != 0.0:  # most leaves have one or two classes
            column[o] += share * v
            for k in range(size):
                gathered[above, o, k] += product[at, k] * v


@_compile_tree_step
def _add_subtree(path: Path, at: int, size: int, column: Floats) -> None:
    """Add the sum of the leaves below to the values of the edge's column `(outputs,)`, and pass it
    upwards."""
    gathered = path.gathered
    above = at - 1
    for o in range(len(column)):
        share = 0.0
        for k in range(size):
            total = gathered[at, o, k]
            share += path.pull[at, k] * total
            gathered[above, o, k] += total
        column[o] += share


@_compile_tree_step
def _enter_child(
    forest: Forest, path: Path, at: int, row: NDArray[np.float32], quadrature: Quadrature
) -> None:
    """Put the next child of the node at entry `at` into entry `at + 1`, with its factors."""
    here = path.node[at]
    is_first = path.stage[at] == 0
    path.stage[at] += 1
    child = forest.left[here] if is_first else forest.right[here]
    column = forest.feature[here]
    goes_left = row[column] < forest.threshold[here]
    follows = 1.0 if goes_left == is_first else 0.0
    share = forest.cover[child] / forest.cover[here]
    old, below = path.last[column], at + 1
    path.node[below] = child
    path.stage[below] = 0
    path.before[below] = old
    path.last[column] = below
    p_old = 1.0
    q_old = 1.0
    if old >= 0:
        p_old = path.present[old]
        q_old = path.absent[old]
    p = p_old * follows
    q = q_old * share
    path.present[below] = p
    path.absent[below] = q
    nodes = quadrature.nodes
    inverse = path.inverse
    product = path.product
    for k in range(len(nodes)):
        t = nodes[k]
        factor = t * p + (1.0 - t) * q
        inverse_old = inverse[old, k] if old >= 0 else 1.0
        inverse_new = 1.0 / factor
        inverse[below, k] = inverse_new
        product[below, k] = product[at, k] * factor * inverse_old
        change = (p - q) * inverse_new - (p_old - q_old) * inverse_old
        path.pull[below, k] = quadrature.weights[k] * change


@_compile_trees
def add_tree_values(
    forest: Forest,
    depths: Integers,
    quadratures: Quadrature,
    rows: NDArray[np.float32],
    path: Path,
    values: Floats,
) -> None:
    """Add the path-dependent Shapley values of all trees; see `tree_shap.tree_shapley`.

    Args:
        forest: the trees.
        depths: (trees,) number of decisions on the longest path of each tree.
        quadratures: row `s` holds the quadrature of `s` nodes.
        rows: (n, d) clips.
        path: `new_path` of the deepest tree.
        values: (n, d, outputs); the Shapley values are added to it.
    """
    for i in range(len(rows)):
        row = rows[i]
        for tree in range(len(forest.start)):
            size = max(1, (depths[tree] + 1) // 2)
            nodes = quadratures.nodes[size, :size]
            weights = quadratures.weights[size, :size]
            quadrature = Quadrature(nodes, weights)
            path.node[0] = forest.start[tree]
            path.stage[0] = 0
            at = 0
            while at >= 0:
                here = path.node[at]
                is_leaf = forest.left[here] < 0
                if not is_leaf and path.stage[at] < 2:
                    if path.stage[at] == 0:
                        path.gathered[at] = 0.0
                    _enter_child(forest, path, at, row, quadrature)
                    at += 1
                    continue
                # all leaves below are gathered: add them to the column of the edge above
                if at > 0:
                    parent = path.node[at - 1]
                    column = forest.feature[parent]
                    if is_leaf:
                        _add_leaf(path, at, size, forest.value[here], values[i, column])
                    else:
                        _add_subtree(path, at, size, values[i, column])
                    path.last[column] = path.before[at]
                at -= 1


@_compile_step
def _choose_step(present: Floats, absent: Floats, ladder: Ladder) -> int:
    """The smallest quadrature for the product of all factors; -1 if the product is zero everywhere."""
    found = len(ladder.sizes) - 1
    for e in range(len(ladder.ellipses)):
        reach = ladder.ellipses[e]
        bound = 1.0
        for j in range(len(present)):
            bound *= 0.5 * (present[j] + absent[j]) + reach * 0.5 * abs(present[j] - absent[j])
        if bound < SMALLEST:
            return -1
        while found > 0 and bound <= ladder.reach[e, found - 1]:
            found -= 1
    return found


@_compile_products
def add_product_values(
    rows: Floats,
    background: Floats,
    vectors: Floats,
    alphas: Floats,
    gamma: float,
    ladder: Ladder,
    factors: Floats,
    values: Floats,
) -> None:
    """Add Shapley values of sums of RBF kernels, summed over a background; see `svm_shap.kernel_shapley`.

    Args:
        rows: (n, d) clips.
        background: (m, d) background clips.
        vectors: (vectors, d) support vectors.
        alphas: (vectors, machines) weight of each support vector in each machine.
        gamma: of the kernel.
        ladder: the quadratures.
        factors: (m + 3, d) room for the factors of one support vector.
        values: (n, d, machines), changed.
    """
    n, d = rows.shape
    m = len(background)
    n_machines = alphas.shape[1]
    present, share, total, absent = factors[0], factors[1], factors[2], factors[3:]
    for v in range(len(vectors)):
        for b in range(m):
            for j in range(d):
                distance = background[b, j] - vectors[v, j]
                absent[b, j] = np.exp(-gamma * distance**2)
        for i in range(n):
            for j in range(d):
                distance = rows[i, j] - vectors[v, j]
                present[j] = np.exp(-gamma * distance**2)
            total[:] = 0.0
            for b in range(m):
                without = absent[b]
                step = _choose_step(present, without, ladder)
                if step < 0:
                    continue
                share[:] = 0.0
                for k in range(ladder.sizes[step]):
                    t = ladder.nodes[step, k]
                    product = 1.0
                    for j in range(d):
                        factor = without[j] + t * (present[j] - without[j])
                        product *= factor
                    product *= ladder.weights[step, k]
                    for j in range(d):
                        factor = without[j] + t * (present[j] - without[j])
                        share[j] += product / factor
                for j in range(d):
                    total[j] += (present[j] - without[j]) * share[j]
            for j in range(d):
                for k in range(n_machines):
                    values[i, j, k] += alphas[v, k] * total[j]


@_compile_exactly
def fill_neighbour_shares(distances: NDArray[np.float32], perplexity: float, shares: Floats) -> None:
    """Shares of the neighbours of each clip, from Gaussians that have the perplexity; see `projections`.

    Args:
        distances: (n, n) squared.
        perplexity: number of neighbours.
        shares: (n, n) zeros; then every row sums to 1.
    """
    n = len(distances)
    wanted = np.log(perplexity)
    for i in range(n):
        low, high, beta = -np.inf, np.inf, 1.0
        for _ in range(100):
            total = 0.0
            for j in range(n):
                if j != i:
                    shares[i, j] = np.exp(-distances[i, j] * beta)
                    total += shares[i, j]
            if total == 0.0:
                total = float(np.float32(1e-8))
            spread = 0.0
            for j in range(n):
                shares[i, j] /= total
                spread += distances[i, j] * shares[i, j]
            excess = np.log(total) + beta * spread - wanted
            if abs(excess) <= np.float32(1e-5):
                break
            if excess > 0.0:
                low = beta
                beta = beta * 2.0 if high == np.inf else (beta + high) / 2.0
            else:
                high = beta
                beta = beta / 2.0 if low == -np.inf else (beta + low) / 2.0
