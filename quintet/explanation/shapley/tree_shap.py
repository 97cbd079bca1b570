"""Exact TreeSHAP for whole forests, in time linear in the nodes, on every core.

The game (path-dependent TreeSHAP, Lundberg et al. 2020): where a column is absent, a node sends a row both ways, by the shares of the training
rows that went there. A leaf with the value `v` is then a product game: each column on its path has the factor `p` (1 where the row passes all of
the column's nodes, else 0) when present, and `q` (the product of the shares) when absent. As for `kernels.kernel_shapley`,

    φ[j] = v (p[j] - q[j]) ∫₀¹ Π_{l≠j} (t p[l] + (1 - t) q[l]) dt

and Gauss-Legendre quadrature with half as many nodes as the path has columns is exact. The sums over leaves are gathered on the way back up, so
that a tree costs its number of nodes times the quadrature's (the idea of Linear TreeSHAP, with integrals in place of polynomials); classic TreeSHAP
pays the square of the depth at every leaf.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quintet.explanation.shapley.forests import Forest

Array = NDArray[np.float64]


def tree_shapley(forest: Forest, rows: Array, *, n_jobs: int | None = None) -> tuple[Array, Array]:
    """Shapley values of a forest's outputs, columns absent by the shares of training rows on either side of a node.

    Args:
        forest: with `cover`. rows: (n, d), finite.
        n_jobs: threads; None takes every core that this process may use.

    Returns:
        Values (n, d, outputs) and the base (outputs,): the mean output over the training rows, as the forest weighed them.

    Source:
        Equal to `shap.TreeExplainer` (`tree_path_dependent`) and to XGBoost's `pred_contribs`. Lundberg et al., "From local explanations to global
        understanding with explainable AI for trees", Nature Machine Intelligence 2020; Yu et al., "Linear TreeShap", NeurIPS 2022.

    Example:
        >>> one = lambda *x: np.array(x, dtype=np.int64)  # a stump: column 1 below 0.5 says 0, a quarter of the rows; above it says 4
        >>> stump = Forest(
        ...     one(0), one(1, -1, -1), one(2, -1, -1), one(1, -1, -1), np.array([0.5, 0, 0], np.float32),
        ...     np.array([[0.0], [0.0], [4.0]]), np.zeros(1), np.array([4.0, 1.0, 3.0]),
        ... )
        >>> values, base = tree_shapley(stump, np.array([[9.0, 1.0], [9.0, 0.0]]))
        >>> values[:, :, 0].round(9).tolist(), base.tolist()
        ([[0.0, 1.0], [0.0, -3.0]], [3.0])
    """
    depths = _depths(forest)
    nodes, weights = _quadratures(int(depths.max()))
    leaves = forest.left < 0
    root = forest.start[np.searchsorted(forest.start, np.flatnonzero(leaves), side="right") - 1]
    base = forest.offset + (forest.value[leaves] * (forest.cover[leaves] / forest.cover[root])[:, None]).sum(
        axis=0
    )
    values = np.zeros((*rows.shape, forest.value.shape[1]))
    arrays = (
        forest.start,
        forest.left,
        forest.right,
        forest.feature,
        forest.threshold,
        forest.value,
        forest.cover,
        depths,
        nodes,
        weights,
    )
    single, walk = rows.astype(np.float32), _walker()
    n_threads = max(1, min(n_jobs or _cores(), len(rows)))
    ends = np.linspace(0, len(rows), n_threads + 1).astype(int)
    with ThreadPoolExecutor(n_threads) as pool:
        list(pool.map(lambda a, b: walk(*arrays, single[a:b], values[a:b]), ends[:-1], ends[1:]))
    return values, base


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _depths(forest: Forest) -> NDArray[np.int64]:
    """(trees,): the number of decisions on the longest path."""
    ends = np.append(forest.start[1:], len(forest.left))
    depth = np.zeros(len(forest.left), dtype=np.int64)
    level = forest.start
    while len(level := level[forest.left[level] >= 0]):
        below = np.concatenate([forest.left[level], forest.right[level]])
        depth[below] = np.tile(depth[level], 2) + 1
        level = below
    return np.array([depth[a:b].max() for a, b in zip(forest.start, ends, strict=True)])


def _quadratures(deepest: int) -> tuple[Array, Array]:
    """Row k of each: the k nodes and weights in [0, 1] that integrate a product of 2k factors, less one, exactly."""
    size = max(1, (deepest + 1) // 2)
    nodes, weights = np.zeros((size + 1, size)), np.zeros((size + 1, size))
    for k in range(1, size + 1):
        x, w = np.polynomial.legendre.leggauss(k)
        nodes[k, :k], weights[k, :k] = (x + 1) / 2, w / 2
    return nodes, weights


_compiled: Any = None


def _walker() -> Any:
    """The compiled loop; compiled when first asked for, so that importing this module costs nothing."""
    global _compiled
    if _compiled is None:
        from numba import njit

        _compiled = njit(
            cache=True, nogil=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz", "arcp"}
        )(_walk)
    return _compiled


def _walk(
    start: Any, left: Any, right: Any, feature: Any, threshold: Any, value: Any, cover: Any, depths: Any, all_nodes: Any, all_weights: Any,
    rows: Any, values: Any,
) -> None:  # fmt: skip
    levels, n_outputs = depths.max() + 1, value.shape[1]
    widest = all_nodes.shape[1]
    node, stage, before = np.zeros(levels, np.int64), np.zeros(levels, np.int64), np.zeros(levels, np.int64)
    present, absent = np.ones(levels), np.ones(levels)
    inverse, product, pull = np.ones((levels, widest)), np.ones((levels, widest)), np.zeros((levels, widest))
    gathered, last = np.zeros((levels, n_outputs, widest)), np.full(rows.shape[1], -1)
    for i in range(len(rows)):
        for tree in range(len(start)):
            size = max(1, (depths[tree] + 1) // 2)
            ts, ws = all_nodes[size], all_weights[size]
            node[0], stage[0], at = start[tree], 0, 0
            while at >= 0:
                here = node[at]
                if (
                    stage[at] == 2 or left[here] < 0
                ):  # everything below is known: pass it on to the column of the edge above, and upwards
                    if at > 0:
                        j = feature[node[at - 1]]
                        if left[here] < 0:
                            share = 0.0
                            for k in range(size):
                                share += pull[at, k] * product[at, k]
                            for o in range(n_outputs):
                                v = value[here, o]
                                if v != 0.0:  # most leaves speak of one class or two
                                    values[i, j, o] += share * v
                                    for k in range(size):
                                        gathered[at - 1, o, k] += product[at, k] * v
                        else:
                            for o in range(n_outputs):
                                share = 0.0
                                for k in range(size):
                                    share += pull[at, k] * gathered[at, o, k]
                                    gathered[at - 1, o, k] += gathered[at, o, k]
                                values[i, j, o] += share
                        last[j] = before[at]
                    at -= 1
                    continue
                if stage[at] == 0:
                    gathered[at] = 0.0
                child = left[here] if stage[at] == 0 else right[here]
                j = feature[here]
                goes_left = rows[i, j] < threshold[here]
                follows = 1.0 if goes_left == (stage[at] == 0) else 0.0
                stage[at] += 1
                at += 1
                node[at], stage[at], before[at] = child, 0, last[j]
                old = last[j]
                last[j] = at
                share = cover[child] / cover[here]
                p_old, q_old = (present[old], absent[old]) if old >= 0 else (1.0, 1.0)
                p, q = p_old * follows, q_old * share
                present[at], absent[at] = p, q
                for k in range(size):
                    factor = ts[k] * p + (1.0 - ts[k]) * q
                    inverse_old = inverse[old, k] if old >= 0 else 1.0
                    inverse[at, k] = 1.0 / factor
                    product[at, k] = product[at - 1, k] * factor * inverse_old
                    pull[at, k] = ws[k] * ((p - q) * inverse[at, k] - (p_old - q_old) * inverse_old)
