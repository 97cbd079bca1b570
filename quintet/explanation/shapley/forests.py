"""Forests as flat arrays, and their outputs under every coalition of feature families.

For a clip `x` and a background clip `b`, a coalition S of families defines a *hybrid*. The hybrid has x's
value in a column if the column's family is in S, and b's value otherwise. Each tree is walked once per pair
(x, b). At a node where x and b go the same way, so do all hybrids. At a node where they part, the hybrids
part by whether the node's family is in S. Every coalition ends in exactly one leaf, so that 2^k predictions
cost one walk. This is the idea of interventional TreeSHAP (Lundberg et al. 2020), applied to families.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, TypedDict

import numpy as np
from numpy.typing import NDArray

from quintet.explanation.shapley import compiled
from quintet.explanation.shapley.arrays import Floats, Forest, waiting_nodes
from quintet.frozen import scorers

if TYPE_CHECKING:
    from sklearn.ensemble import RandomForestClassifier
    from xgboost import XGBClassifier


def forest_from_sklearn(model: RandomForestClassifier) -> Forest:
    """The trees of a `RandomForestClassifier` as arrays.

    Each leaf holds its class shares divided by the number of trees. scikit-learn sends a row to the left if
    `float32(x) <= threshold`, with a float64 threshold; the threshold here is the next float32 above it, so
    that the comparison with `<` gives the same answer.

    Args:
        model: a fitted forest.

    Returns:
        A forest whose outputs are the probabilities of the classes.
    """
    trees = [estimator.tree_ for estimator in model.estimators_]
    start = np.cumsum([0, *(tree.node_count for tree in trees)])
    threshold = np.concatenate([tree.threshold for tree in trees])
    shares = []
    for tree in trees:
        counts = tree.value[:, 0, :]
        shares.append(counts / counts.sum(axis=1, keepdims=True))
    value = np.concatenate(shares) / len(trees)
    return Forest(
        start=start[:-1],
        left=_join_children([tree.children_left for tree in trees], start),
        right=_join_children([tree.children_right for tree in trees], start),
        feature=np.concatenate([tree.feature for tree in trees]).astype(np.int64),
        threshold=_next_float32(threshold),
        value=value,
        offset=np.zeros(value.shape[1]),
        cover=np.concatenate([tree.weighted_n_node_samples for tree in trees]),
    )


def forest_from_arrays(model: scorers.Forest | scorers.Boosted) -> Forest:
    """The trees of a frozen classifier, as `forest_from_sklearn` and `forest_from_xgboost` give them.

    Args:
        model: its trees must have a `cover`.
    """
    trees = model.trees
    assert trees.cover is not None
    is_leaf = trees.left == np.arange(len(trees.left))
    leaves = np.flatnonzero(is_leaf)
    if isinstance(model, scorers.Forest):
        value = np.zeros((len(is_leaf), model.shares.shape[1]))
        value[leaves] = model.shares[trees.column[leaves]] / len(trees.roots)
        threshold, offset = _next_float32(trees.threshold), np.zeros(value.shape[1])
    else:
        value = np.zeros((len(is_leaf), len(model.base)))
        tree = np.searchsorted(trees.roots, leaves, side="right") - 1
        value[leaves, model.group[tree]] = trees.threshold[leaves]  # the threshold of a leaf is its value
        threshold, offset = trees.threshold.astype(np.float32), model.base.astype(np.float64)
    return Forest(
        start=trees.roots.astype(np.int64),
        left=np.where(is_leaf, -1, trees.left).astype(np.int64),
        right=np.where(is_leaf, -1, trees.right).astype(np.int64),
        feature=np.where(is_leaf, -1, trees.column).astype(np.int64),
        threshold=threshold,
        value=value,
        offset=offset,
        cover=trees.cover,
    )


class TreeWalk:
    """Probabilities of the classes from compiled walks through frozen trees.

    Args:
        model: its trees must have a `cover`.
    """

    def __init__(self, model: scorers.Forest | scorers.Boosted) -> None:
        self.model = model
        self.forest = forest_from_arrays(model)

    def __call__(self, rows: Floats) -> Floats:
        """Probabilities `(n, classes)` of prepared rows `(n, d)`."""
        outputs = np.tile(self.forest.offset, (len(rows), 1))
        compiled.add_leaf_values(self.forest, _single(rows), outputs)
        return self._probabilities(outputs)

    def hybrids(self, mixture: Mixture) -> Floats:
        """The same of hybrids, without their rows: a tree is walked once for those of the same two clips."""
        outputs = np.tile(self.forest.offset, (len(mixture.clips), 1))
        compiled.add_hybrid_values(
            self.forest,
            _single(mixture.rows),
            _single(mixture.background),
            mixture.clips,
            mixture.backgrounds,
            mixture.present @ (1 << np.arange(mixture.present.shape[1])),
            mixture.player,
            waiting_nodes(),
            outputs,
        )
        return self._probabilities(outputs)

    def _probabilities(self, outputs: Floats) -> Floats:
        if isinstance(self.model, scorers.Forest):
            return outputs
        if outputs.shape[1] == 1:
            return scorers.two_columns(scorers.logistic(outputs[:, 0]))
        return scorers.softmax(outputs)


class Mixture(NamedTuple):
    """Hybrids of clips and background clips, by prepared rows.

    Args:
        rows: (n, d) clips.
        background: (m, d) background clips.
        clips: (h,) the clip of each hybrid.
        backgrounds: (h,) its background clip.
        present: (h, k) its present players, at most `MAX_PLAYERS`.
        player: (d,) the player of each column.
    """

    rows: Floats
    background: Floats
    clips: NDArray[np.int64]
    backgrounds: NDArray[np.int64]
    present: NDArray[np.bool_]
    player: NDArray[np.int64]


MAX_PLAYERS = 62
"""Players of a `Mixture`: bits of a number."""


def _single(rows: Floats) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(rows, np.float32)


def _next_float32(threshold: NDArray[np.floating]) -> NDArray[np.float32]:
    """For each number, the smallest float32 above the largest one that is not above the number."""
    rounded = threshold.astype(np.float32)
    one_below = np.nextafter(rounded, np.float32(-np.inf))
    largest = np.where(rounded > threshold, one_below, rounded)  # the largest float32 that goes left
    return np.nextafter(largest, np.float32(np.inf))


class _BoostedTree(TypedDict):
    """One tree in the JSON content of an XGBoost model: lists with one entry per node."""

    left_children: list[int]
    right_children: list[int]
    split_conditions: list[float]
    split_indices: list[int]
    sum_hessian: list[float]


def forest_from_xgboost(model: XGBClassifier, rows: Floats) -> Forest:
    """The trees of an `XGBClassifier` as arrays, with log-odds as outputs.

    Args:
        model: a fitted classifier.
        rows: (n, d) with n ≥ 1. The offset is the difference between the model's output and the sum of the
            trees on the first row.

    Returns:
        A forest with one output per class; with a single output for two classes.
    """
    raw = model.get_booster().save_raw("json")
    learner = json.loads(bytes(raw))["learner"]
    booster = learner["gradient_booster"]["model"]
    forest = _forest_without_offset(booster["trees"], np.asarray(booster["tree_info"]))
    first = rows[:1]
    prediction = model.predict(first, output_margin=True)
    margin = np.asarray(prediction, dtype=np.float64).reshape(1, -1)
    single_player = np.zeros(rows.shape[1], dtype=np.int64)
    sum_of_trees = coalition_outputs(forest, first, first, single_player, 0)
    return forest._replace(offset=margin[0] - sum_of_trees[0, 0])


def _forest_without_offset(trees: Sequence[_BoostedTree], output: NDArray[np.int64]) -> Forest:
    """The trees of an XGBoost model; `output` (trees,) is the output that each tree adds to."""
    start = np.cumsum([0, *(len(tree["left_children"]) for tree in trees)])
    left = _join_children([np.asarray(tree["left_children"]) for tree in trees], start)
    right = _join_children([np.asarray(tree["right_children"]) for tree in trees], start)
    threshold = np.concatenate([np.asarray(tree["split_conditions"], dtype=np.float32) for tree in trees])
    feature = np.concatenate([np.asarray(tree["split_indices"], dtype=np.int64) for tree in trees])
    cover = np.concatenate([np.asarray(tree["sum_hessian"], dtype=np.float64) for tree in trees])
    n_outputs = int(output.max()) + 1
    value = np.zeros((len(threshold), n_outputs))
    nodes_per_tree = np.diff(start)
    node_output = np.repeat(output, nodes_per_tree)
    leaves = np.flatnonzero(left < 0)
    value[leaves, node_output[leaves]] = threshold[leaves]  # the threshold of a leaf is its value
    return Forest(
        start=start[:-1],
        left=left,
        right=right,
        feature=feature,
        threshold=threshold,
        value=value,
        offset=np.zeros(n_outputs),
        cover=cover,
    )


def _join_children(children: Sequence[NDArray[np.int64]], start: NDArray[np.int64]) -> NDArray[np.int64]:
    """Children of all trees end to end, numbered through; -1 for leaves. `start`: first node of each tree."""
    parts = []
    for child, first in zip(children, start[:-1], strict=True):
        number = child + first
        parts.append(np.where(child < 0, -1, number))
    return np.concatenate(parts)


def coalition_outputs(
    forest: Forest, rows: Floats, background: Floats, player: NDArray[np.int64], n_players: int
) -> Floats:
    """Outputs of a forest on every hybrid of a clip and a background clip.

    Args:
        forest: the trees.
        rows: (n, d) clips.
        background: (m, d) background clips.
        player: (d,) the player (family) of each column, in 0 … n_players - 1.
        n_players: k, at most 12.

    Returns:
        (2^k, n·m, outputs). Bit i of the first index says whether player i is present. Pairs are ordered by
        row, then by background clip.
    """
    n_pairs = len(rows) * len(background)
    outputs = np.zeros((n_pairs, 1 << n_players, forest.value.shape[1]))
    compiled.add_coalition_outputs(
        forest, _single(rows), _single(background), player, n_players, waiting_nodes(), outputs
    )
    by_coalition = outputs.transpose(1, 0, 2)
    return by_coalition + forest.offset
