"""Members that read feature tables, as ONNX operations on float64."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from quintet.classifiers.tabular.preparation import BEND, LARGEST, Preparation
from quintet.export.graph import ML_DOMAIN, Graph, tensor
from quintet.frozen.members import FrozenTable
from quintet.frozen.scorers import Boosted, Forest, Linear, Machines, Scorer
from quintet.frozen.trees import Trees


def add_table_member(graph: Graph, member: FrozenTable, features: str) -> str:
    """Probabilities `(n, K)` of a member.

    Args:
        graph: receives the operations.
        member: the member.
        features: rows `(n, d)` of float64, NaN where unknown.
    """
    rows = _prepare(graph, member.preparation, features)
    if not member.multilabel:
        (scorer,) = member.scorers
        assert scorer is not None
        probabilities = _score(graph, scorer, rows)
        total = graph.node("ReduceSum", probabilities, graph.constant([1], np.int64), keepdims=1)
        return graph.node("Div", probabilities, total)
    columns = []
    second = graph.constant([1], np.int64)
    for scorer, constant in zip(member.scorers, member.constants, strict=True):
        if scorer is None:
            first = graph.node("Gather", rows, graph.constant([0], np.int64), axis=1)
            columns.append(
                graph.node("Add", graph.node("Mul", first, graph.constant(0.0)), graph.constant(constant))
            )
        else:
            columns.append(graph.node("Gather", _score(graph, scorer, rows), second, axis=1))
    joined = graph.node("Concat", *columns, axis=1)
    return graph.node("Clip", joined, graph.constant(0.0), graph.constant(1.0))


def _prepare(graph: Graph, preparation: Preparation, features: str) -> str:
    """Prepared rows, as `Preparation.transform`."""
    columns = graph.node("Gather", features, graph.constant(preparation.kept, np.int64), axis=1)
    is_gap = graph.node("Or", graph.node("IsNaN", columns), graph.node("IsInf", columns))
    filled = graph.node("Where", is_gap, graph.constant(preparation.median), columns)
    if not preparation.scale:
        return filled
    if preparation.spread is not None:
        filled = _compress(graph, filled, preparation.median, preparation.spread)
    centred = graph.node("Sub", filled, graph.constant(preparation.mean))
    scaled = graph.node("Div", centred, graph.constant(preparation.std))
    limit = preparation.limit
    return graph.node("Clip", scaled, graph.constant(-limit), graph.constant(limit))


def _compress(graph: Graph, columns: str, median: NDArray[np.float64], spread: NDArray[np.float64]) -> str:
    """Columns with compressed tails."""
    has_tails = spread > 0
    distance = graph.node("Sub", columns, graph.constant(median))
    d = graph.node("Div", distance, graph.constant(np.where(has_tails, spread, 1.0)))
    d = graph.node("Clip", d, graph.constant(-LARGEST), graph.constant(LARGEST))
    bent = graph.node("Div", d, graph.constant(BEND))
    square = graph.node("Add", graph.node("Mul", bent, bent), graph.constant(1.0))
    compressed = graph.node("Div", d, graph.node("Sqrt", square))
    return graph.node("Where", graph.constant(has_tails, np.bool_), compressed, columns)


def _score(graph: Graph, scorer: Scorer, rows: str) -> str:
    """Probabilities of prepared rows."""
    if isinstance(scorer, Linear):
        product = graph.node("MatMul", rows, graph.constant(scorer.coefficients.T))
        scores = graph.node("Add", product, graph.constant(scorer.intercepts))
        return outcomes(graph, scores, len(scorer.intercepts))
    if isinstance(scorer, Machines):
        slope, offset = scorer.calibration
        scores = graph.node("Mul", _decisions(graph, scorer, rows), graph.constant(slope))
        n_scores = len(scorer.offsets)
        if n_scores == 1:
            scores = graph.node("Add", scores, graph.constant(offset))
        return outcomes(graph, scores, n_scores)
    if isinstance(scorer, Forest):
        narrow = graph.cast(graph.cast(rows, np.float32), np.float64)  # as scikit-learn compares them
        return graph.cast(_forest(graph, scorer, narrow), np.float64)
    assert isinstance(scorer, Boosted)
    scores = graph.cast(_boosting(graph, scorer, graph.cast(rows, np.float32)), np.float64)
    return outcomes(graph, scores, len(scorer.base))


def outcomes(graph: Graph, scores: str, n_scores: int) -> str:
    """Softmax of scores; of a single score the logistic function, as the probabilities of both classes.

    Args:
        graph: receives the operations.
        scores: `(n, n_scores)`.
        n_scores: their number.
    """
    if n_scores > 1:
        return graph.node("Softmax", scores, axis=1)
    positive = graph.node("Sigmoid", scores)
    return graph.node("Concat", graph.node("Sub", graph.constant(1.0), positive), positive, axis=1)


def _decisions(graph: Graph, machines: Machines, rows: str) -> str:
    """Decision values of support vector machines, `(n, machines)`."""
    axis = graph.constant([1], np.int64)
    own = graph.node("ReduceSum", graph.node("Mul", rows, rows), axis, keepdims=1)
    squares = graph.constant(np.einsum("ij,ij->i", machines.vectors, machines.vectors))
    product = graph.node("MatMul", rows, graph.constant(-2.0 * machines.vectors.T))
    distances = graph.node("Add", graph.node("Add", own, squares), product)
    positive = graph.node("Max", distances, graph.constant(0.0))
    kernel = graph.node("Exp", graph.node("Mul", positive, graph.constant(-machines.gamma)))
    weighted = graph.node("MatMul", kernel, graph.constant(machines.weights.T))
    return graph.node("Add", weighted, graph.constant(machines.offsets))


def _forest(graph: Graph, forest: Forest, rows: str) -> str:
    """The mean of the class shares, float32 `(n, K)`."""
    nodes, leaves = _nodes(forest.trees, "BRANCH_LEQ")
    shares = forest.shares[forest.trees.column[leaves]] / len(forest.trees.roots)
    n_classes = shares.shape[1]
    attributes = {name: np.repeat(nodes[name][leaves], n_classes) for name in ("treeids", "nodeids")}
    ids = np.tile(np.arange(n_classes), len(leaves))
    return graph.node(
        "TreeEnsembleRegressor",
        rows,
        domain=ML_DOMAIN,
        n_targets=n_classes,
        **_branches(nodes, forest.trees, wide=True),
        target_treeids=attributes["treeids"].tolist(),
        target_nodeids=attributes["nodeids"].tolist(),
        target_ids=ids.tolist(),
        target_weights_as_tensor=tensor("weights", shares.ravel()),
    )


def _boosting(graph: Graph, boosted: Boosted, rows: str) -> str:
    """The sums of the leaves, float32 `(n, scores)`."""
    nodes, leaves = _nodes(boosted.trees, "BRANCH_LT")
    trees = nodes["treeids"][leaves]
    scores = graph.node(
        "TreeEnsembleRegressor",
        rows,
        domain=ML_DOMAIN,
        n_targets=len(boosted.base),
        **_branches(nodes, boosted.trees, wide=False),
        target_treeids=trees.tolist(),
        target_nodeids=nodes["nodeids"][leaves].tolist(),
        target_ids=boosted.group[trees].tolist(),
        target_weights=boosted.trees.threshold[leaves].tolist(),
    )
    return graph.node("Add", scores, graph.constant(boosted.base, np.float32))


def _nodes(trees: Trees, mode: str) -> tuple[dict[str, NDArray[Any]], NDArray[np.int64]]:
    """Tree and number of every node, its mode, and the positions of the leaves.

    Args:
        trees: the trees.
        mode: comparison of the inner nodes.
    """
    here = np.arange(len(trees.left))
    is_leaf = trees.left == here
    tree = np.searchsorted(trees.roots, here, side="right") - 1
    modes = np.where(is_leaf, "LEAF", mode)
    nodes = {"treeids": tree, "nodeids": here - trees.roots[tree], "modes": modes}
    return nodes, np.flatnonzero(is_leaf)


def _branches(nodes: dict[str, NDArray[Any]], trees: Trees, *, wide: bool) -> dict[str, Any]:
    """Attributes of the inner nodes.

    Args:
        nodes: what `_nodes` gave.
        trees: the trees.
        wide: whether thresholds have 64 bits.
    """
    is_leaf = nodes["modes"] == "LEAF"
    first = trees.roots[nodes["treeids"]]
    values = np.where(is_leaf, 0.0, trees.threshold)
    stated = (
        {"nodes_values_as_tensor": tensor("values", values)} if wide else {"nodes_values": values.tolist()}
    )
    return {
        "nodes_treeids": nodes["treeids"].tolist(),
        "nodes_nodeids": nodes["nodeids"].tolist(),
        "nodes_featureids": np.where(is_leaf, 0, trees.column).tolist(),
        "nodes_modes": nodes["modes"].tolist(),
        "nodes_truenodeids": np.where(is_leaf, 0, trees.left - first).tolist(),
        "nodes_falsenodeids": np.where(is_leaf, 0, trees.right - first).tolist(),
        **stated,
    }
