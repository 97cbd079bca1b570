"""Exact TreeSHAP for whole forests, in time linear in the number of nodes, on every core.

The game is path-dependent TreeSHAP (Lundberg et al. 2020). If a column is absent, a node sends a row both
ways, by the shares of the training rows that went there. A leaf with the value `v` is then a product game.
Each column on its path has the factor `p` when it is present (1 if the row passes all nodes of the column,
else 0), and `q` when it is absent (the product of the shares). As in `svm_shap.kernel_shapley`,

    φ[j] = v (p[j] - q[j]) ∫₀¹ Π_{l≠j} (t p[l] + (1 - t) q[l]) dt

Gauss-Legendre quadrature with half as many nodes as the path has columns is exact. The sums over leaves are
gathered on the way back up, so that a tree costs its number of nodes times that of the quadrature. This is
the idea of Linear TreeSHAP, with integrals instead of polynomials. Classic TreeSHAP costs the square of the
depth at every leaf.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from quintet.explanation.shapley.arrays import Floats, Forest, Quadrature, gauss_legendre, new_path


def tree_shapley(forest: Forest, rows: Floats, *, n_jobs: int | None = None) -> tuple[Floats, Floats]:
    """Shapley values of the outputs of a forest.

    If a column is absent, a node sends a row both ways, by the shares of the training rows on either side.

    Args:
        forest: the trees, with `cover`.
        rows: (n, d), finite.
        n_jobs: threads. None: every core that this process may use.

    Returns:
        Values (n, d, outputs) and the base (outputs,). The base is the mean output over the training rows,
        weighted as in the forest's training.

    Source:
        Equal to `shap.TreeExplainer` (`tree_path_dependent`) and to XGBoost's `pred_contribs`. Lundberg et
        al., "From local explanations to global understanding with explainable AI for trees", Nature Machine
        Intelligence 2020; Yu et al., "Linear TreeShap", NeurIPS 2022.

    Example:
        >>> one = lambda *x: np.array(x, dtype=np.int64)
        >>> stump = Forest(  # column 1 below 0.5: output 0, a quarter of the rows; above: output 4
        ...     start=one(0), left=one(1, -1, -1), right=one(2, -1, -1), feature=one(1, -1, -1),
        ...     threshold=np.array([0.5, 0, 0], np.float32), value=np.array([[0.0], [0.0], [4.0]]),
        ...     offset=np.zeros(1), cover=np.array([4.0, 1.0, 3.0]),
        ... )
        >>> values, base = tree_shapley(stump, np.array([[9.0, 1.0], [9.0, 0.0]]))
        >>> values[:, :, 0].round(9).tolist(), base.tolist()
        ([[0.0, 1.0], [0.0, -3.0]], [3.0])
    """
    from quintet.explanation.shapley.compiled import add_tree_values

    depths = tree_depths(forest)
    quadratures = _quadratures(int(depths.max()))
    values = np.zeros((*rows.shape, forest.value.shape[1]))
    single = rows.astype(np.float32, order="C")
    n_threads = min(n_jobs or _count_cores(), len(rows))
    n_threads = max(1, n_threads)
    ends = np.linspace(0, len(rows), n_threads + 1).astype(int)

    def add_values(first: int, last: int) -> None:
        path = new_path(int(depths.max()) + 1, rows.shape[1], values.shape[2], quadratures.nodes.shape[1])
        add_tree_values(forest, depths, quadratures, single[first:last], path, values[first:last])

    with ThreadPoolExecutor(n_threads) as pool:
        list(pool.map(add_values, ends[:-1], ends[1:]))
    return values, _base_output(forest)


def _base_output(forest: Forest) -> Floats:
    """(outputs,) the mean of the leaves, weighted by their share of the training rows of their tree."""
    is_leaf = forest.left < 0
    leaves = np.flatnonzero(is_leaf)
    tree_of_leaf = np.searchsorted(forest.start, leaves, side="right") - 1
    root = forest.start[tree_of_leaf]
    shares = forest.cover[is_leaf] / forest.cover[root]
    weighted = forest.value[is_leaf] * shares[:, None]
    return np.asarray(forest.offset + weighted.sum(axis=0))


def _count_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def tree_depths(forest: Forest) -> NDArray[np.int64]:
    """(trees,) number of decisions on the longest path of each tree."""
    n_nodes = len(forest.left)
    depth = np.zeros(n_nodes, dtype=np.int64)
    level = forest.start
    while len(level):
        has_children = forest.left[level] >= 0
        parents = level[has_children]
        level = np.concatenate([forest.left[parents], forest.right[parents]])
        depth[level] = np.tile(depth[parents], 2) + 1
    ends = np.append(forest.start[1:], n_nodes)
    depths = [depth[first:end].max() for first, end in zip(forest.start, ends, strict=True)]
    return np.array(depths)


def _quadratures(deepest: int) -> Quadrature:
    """Quadratures of 1, 2, … nodes: row k holds k of them, which integrate a product of 2k - 1 factors
    exactly."""
    size = max(1, (deepest + 1) // 2)
    nodes = np.zeros((size + 1, size))
    weights = np.zeros((size + 1, size))
    for k in range(1, size + 1):
        quadrature = gauss_legendre(k)
        nodes[k, :k] = quadrature.nodes
        weights[k, :k] = quadrature.weights
    return Quadrature(nodes, weights)
