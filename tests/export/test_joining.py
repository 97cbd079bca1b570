"""Fusion and calibration in ONNX give the numbers of the package."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from quintet.ensemble.calibration import Calibration
from quintet.ensemble.fusion import RULES, Fusion
from quintet.export.graph import Graph
from quintet.export.joining import add_calibration, add_fusion

runtime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

CLASSES = ("a", "b", "c")
STEPS = (((0.0, 0.2, 0.6), (0.1, 0.1, 0.8)), ((0.3,), (0.4,)), ((0.1, 0.9), (0.0, 1.0)))
CALIBRATIONS = [
    Calibration("none"),
    Calibration("temperature", temperature=1.7),
    Calibration("isotonic", steps=STEPS),
]


def run(stack: np.ndarray, fusion: Fusion, calibration: Calibration) -> np.ndarray:
    graph = Graph()
    names = [graph.input(f"m{k}", np.float64, ["n", 3]) for k in range(len(stack))]
    joined = add_calibration(graph, calibration, add_fusion(graph, fusion, names))
    graph.output(joined, "p", np.float64, ["n", 3])
    content = graph.model({}).SerializeToString()
    session = runtime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["p"], dict(zip(names, stack, strict=True)))[0])


@pytest.mark.parametrize("calibration", CALIBRATIONS, ids=lambda calibration: calibration.method)
@pytest.mark.parametrize("multilabel", [False, True], ids=["classes", "label_sets"])
@pytest.mark.parametrize("rule", RULES)
def test_every_rule_with_every_calibration(rule: str, multilabel: bool, calibration: Calibration) -> None:
    rng = np.random.default_rng(3)
    stack = rng.random((2, 30, 3)) if multilabel else rng.dirichlet(np.ones(3), (2, 30))
    stack[0, 0], stack[1, 1] = [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]
    biases = (0.3, -0.2, 0.1) if rule == "stacked" else None
    for temperatures in (None, (1.0, 0.6)):
        fusion = Fusion(rule, ("m0", "m1"), CLASSES, (0.3, 0.7), biases, multilabel, temperatures)
        own = replace(calibration, multilabel=multilabel)
        expected = own.apply(fusion.apply(stack.copy()))
        np.testing.assert_allclose(run(stack, fusion, own), expected, rtol=0, atol=1e-12)
