"""Fusion and calibration as ONNX operations on float64."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from quintet.ensemble.calibration import Calibration
from quintet.ensemble.fusion import RULES, Fusion
from quintet.ensemble.fusion_weights import FLOOR
from quintet.export.graph import Graph

Floats = NDArray[np.float64]


def add_fusion(graph: Graph, fusion: Fusion, members: Sequence[str]) -> str:
    """Fused probabilities `(n, K)`, as `Fusion.apply`.

    Args:
        graph: receives the operations.
        fusion: the rule.
        members: probabilities `(n, K)` of each member, in the order of the rule.
    """
    multilabel = fusion.multilabel
    values = list(members)
    if fusion.temperatures is not None:
        values = [
            value if temperature == 1 else _add_temperature(graph, value, temperature, multilabel=multilabel)
            for value, temperature in zip(values, fusion.temperatures, strict=True)
        ]
    is_linear = RULES[fusion.rule].pool == "linear"
    if not is_linear:
        values = [_evidence(graph, value, multilabel=multilabel) for value in values]
    weighted = [
        graph.node("Mul", value, graph.constant(weight))
        for value, weight in zip(values, fusion.weights, strict=True)
    ]
    total = graph.node("Sum", *weighted)
    if is_linear:
        return graph.node("Clip", total, graph.constant(0.0), graph.constant(1.0))
    if fusion.biases is not None:
        total = graph.node("Add", total, graph.constant(fusion.biases))
    return _probabilities(graph, total, multilabel=multilabel)


def add_calibration(graph: Graph, calibration: Calibration, probabilities: str) -> str:
    """Calibrated probabilities, as `Calibration.apply`.

    Args:
        graph: receives the operations.
        calibration: the map.
        probabilities: `(n, K)`.
    """
    if calibration.method == "temperature":
        return _add_temperature(
            graph, probabilities, calibration.temperature, multilabel=calibration.multilabel
        )
    if calibration.method != "isotonic":
        return probabilities
    columns = []
    for k, (x, y) in enumerate(calibration.steps):
        column = graph.node("Gather", probabilities, graph.constant([k], np.int64), axis=1)
        columns.append(_interpolate(graph, column, np.array(x), np.array(y)))
    joined = graph.node("Concat", *columns, axis=1)
    limited = graph.node("Clip", joined, graph.constant(FLOOR), graph.constant(1 - FLOOR))
    if calibration.multilabel:
        return limited
    total = graph.node("ReduceSum", limited, graph.constant([1], np.int64), keepdims=1)
    return graph.node("Div", limited, total)


def _interpolate(graph: Graph, column: str, x: Floats, y: Floats) -> str:
    """Values of a map with corners (x, y) at `(n, 1)` numbers: y0, and the rise of each piece up to there."""
    if len(x) == 1:
        return graph.node("Add", graph.node("Mul", column, graph.constant(0.0)), graph.constant(y[0]))
    lengths = np.diff(x)
    inside = graph.node("Max", graph.node("Sub", column, graph.constant(x[:-1])), graph.constant(0.0))
    inside = graph.node("Min", inside, graph.constant(lengths))
    rise = graph.node("MatMul", inside, graph.constant((np.diff(y) / lengths)[:, None]))
    return graph.node("Add", rise, graph.constant(y[0]))


def _add_temperature(graph: Graph, probabilities: str, temperature: float, *, multilabel: bool) -> str:
    evidence = _evidence(graph, probabilities, multilabel=multilabel)
    scaled = graph.node("Div", evidence, graph.constant(temperature))
    return _probabilities(graph, scaled, multilabel=multilabel)


def _evidence(graph: Graph, probabilities: str, *, multilabel: bool) -> str:
    """Logarithms of probabilities, or log-odds for label sets."""
    limited = graph.node("Clip", probabilities, graph.constant(FLOOR), graph.constant(1 - FLOOR))
    evidence = graph.node("Log", limited)
    if not multilabel:
        return evidence
    others = graph.node("Log", graph.node("Sub", graph.constant(1.0), limited))
    return graph.node("Sub", evidence, others)


def _probabilities(graph: Graph, evidence: str, *, multilabel: bool) -> str:
    """Softmax per row, or the logistic function for label sets."""
    return graph.node("Sigmoid", evidence) if multilabel else graph.node("Softmax", evidence, axis=1)
