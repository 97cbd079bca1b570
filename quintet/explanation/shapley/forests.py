"""Trees under every coalition of families at once.

For a clip `x` and a background clip `b`, a coalition S of families builds the hybrid that has x's columns where the family is in S and b's
elsewhere. A tree is walked once per pair: where x and b go the same way at a node, so do all hybrids; where they part, the hybrids part by
whether the node's family is in S. Every coalition ends in exactly one leaf, so that 2^k predictions cost one walk (the idea of
interventional TreeSHAP, Lundberg et al. 2020, applied to families).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Forest:
    """Trees end to end in flat arrays. A node goes left where `float32(x[feature]) < threshold`; a leaf has `left == -1`.

    Args:
        start: (trees,) first node of each tree. left, right, feature: (nodes,). threshold: (nodes,) float32.
        value: (nodes, outputs): what a leaf adds. offset: (outputs,) what is added once.
        cover: (nodes,) the weight of the training rows that came by.
    """

    start: NDArray[np.int64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    feature: NDArray[np.int64]
    threshold: NDArray[np.float32]
    value: Array
    offset: Array
    cover: Array


def forest_from_sklearn(model: Any) -> Forest:
    """The trees of a `RandomForestClassifier`, each leaf holding its class shares divided by the number of trees."""
    trees = [estimator.tree_ for estimator in model.estimators_]
    start = np.cumsum([0, *(tree.node_count for tree in trees)])
    left, right = (
        np.concatenate([np.where(side < 0, -1, side + s) for side, s in zip(sides, start[:-1], strict=True)])
        for sides in ([t.children_left for t in trees], [t.children_right for t in trees])
    )
    threshold = np.concatenate([tree.threshold for tree in trees])
    rounded = threshold.astype(np.float32)
    below = np.where(
        rounded > threshold, np.nextafter(rounded, np.float32(-np.inf)), rounded
    )  # x <= t in float64 is x <= below in float32
    value = np.concatenate(
        [tree.value[:, 0, :] / tree.value[:, 0, :].sum(axis=1, keepdims=True) for tree in trees]
    ) / len(trees)
    feature = np.concatenate([tree.feature for tree in trees]).astype(np.int64)
    cover = np.concatenate([tree.weighted_n_node_samples for tree in trees])
    return Forest(
        start[:-1],
        left,
        right,
        feature,
        np.nextafter(below, np.float32(np.inf)),
        value,
        np.zeros(value.shape[1]),
        cover,
    )


def forest_from_xgboost(model: Any, rows: Array) -> Forest:
    """The trees of an `XGBClassifier` in log-odds; `rows` (at least one) settle the offset."""
    booster = model.get_booster()
    content = json.loads(bytes(booster.save_raw("json")))["learner"]["gradient_booster"]["model"]
    trees, owner = content["trees"], np.asarray(content["tree_info"])
    start = np.cumsum([0, *(len(tree["left_children"]) for tree in trees)])
    children = [np.asarray(tree[side]) for side in ("left_children", "right_children") for tree in trees]
    left, right = (
        np.concatenate(
            [
                np.where(c < 0, -1, c + s)
                for c, s in zip(children[k * len(trees) : (k + 1) * len(trees)], start[:-1], strict=True)
            ]
        )
        for k in (0, 1)
    )
    condition = np.concatenate([np.asarray(tree["split_conditions"], dtype=np.float32) for tree in trees])
    feature = np.concatenate([np.asarray(tree["split_indices"], dtype=np.int64) for tree in trees])
    value = np.zeros((len(condition), int(owner.max()) + 1))
    node_owner = np.repeat(owner, np.diff(start))
    leaves = left < 0
    value[np.flatnonzero(leaves), node_owner[leaves]] = condition[leaves]
    cover = np.concatenate([np.asarray(tree["sum_hessian"], dtype=np.float64) for tree in trees])
    forest = Forest(start[:-1], left, right, feature, condition, value, np.zeros(value.shape[1]), cover)
    first = np.asarray(model.predict(rows[:1], output_margin=True), dtype=np.float64).reshape(1, -1)
    everything = np.zeros(rows.shape[1], dtype=np.int64)
    return replace(
        forest, offset=first[0] - coalition_outputs(forest, rows[:1], rows[:1], everything, 0)[0, 0]
    )


def coalition_outputs(
    forest: Forest, rows: Array, background: Array, player: NDArray[np.int64], n_players: int
) -> Array:
    """Outputs of the trees on every hybrid.

    Args:
        rows: (n, d) clips. background: (m, d).
        player: (d,) which player each column belongs to, in 0 … n_players - 1.
        n_players: k, at most 12.

    Returns:
        (2^k, n·m, outputs); bit i of the first index says whether player i is present; pairs are ordered by row, then by background clip.
    """
    outputs = np.zeros((len(rows) * len(background), 1 << n_players, forest.value.shape[1]))
    arrays = (forest.start, forest.left, forest.right, forest.feature, forest.threshold, forest.value)
    _walker()(*arrays, rows.astype(np.float32), background.astype(np.float32), player, n_players, outputs)
    return outputs.transpose(1, 0, 2) + forest.offset


_compiled: Any = None


def _walker() -> Any:
    global _compiled
    if _compiled is None:
        from numba import njit

        _compiled = njit(cache=True)(_walk)
    return _compiled


def _walk(
    start: Any,
    left: Any,
    right: Any,
    feature: Any,
    threshold: Any,
    value: Any,
    rows: Any,
    background: Any,
    player: Any,
    k: int,
    outputs: Any,
) -> None:
    everybody = (1 << k) - 1
    nodes, present, absent = np.empty(256, np.int64), np.empty(256, np.int64), np.empty(256, np.int64)
    n_outputs = value.shape[1]
    for i in range(len(rows)):
        for b in range(len(background)):
            pair = i * len(background) + b
            for t in range(len(start)):
                nodes[0], present[0], absent[0], depth = start[t], 0, 0, 1
                while depth > 0:
                    depth -= 1
                    node, yes, no = nodes[depth], present[depth], absent[depth]
                    while left[node] >= 0:
                        j = feature[node]
                        with_x = left[node] if rows[i, j] < threshold[node] else right[node]
                        with_b = left[node] if background[b, j] < threshold[node] else right[node]
                        bit = 1 << player[j]
                        if with_x == with_b or yes & bit:
                            node = with_x
                        elif no & bit:
                            node = with_b
                        else:
                            nodes[depth], present[depth], absent[depth] = with_b, yes, no | bit
                            depth += 1
                            node = with_x
                            yes |= bit
                    free = everybody & ~(yes | no)
                    chosen = free
                    while True:  # every coalition that holds `yes`, lacks `no`, and has any of the others
                        for o in range(n_outputs):
                            outputs[pair, yes | chosen, o] += value[node, o]
                        if chosen == 0:
                            break
                        chosen = (chosen - 1) & free
