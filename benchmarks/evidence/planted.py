"""Planted faults are found: noise gets no weight, a leak is refused, a real shortcut raises a warning.

    python -m benchmarks.evidence.planted [--seeds 20]

Tests check the same: tests/ensemble/test_fusion.py, tests/ensemble/test_classifier.py,
tests/datasets/splits/test_splits.py, tests/auditing/test_shortcuts.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.evidence.corpora import arguments
from quintet.auditing.shortcuts import shortcut_audit
from quintet.datasets.splits.protocols import SplitSettings, make_split
from quintet.ensemble.crossfit import Inputs, Trainer
from quintet.ensemble.fusion import LabelledPredictions, fit_fusion
from quintet.errors import SplitLeakError

CLASSES = tuple("abcdefghij")


def weight_of_noise(rule: str, seed: int) -> float:
    """Weight of a member with random predictions beside three members that favour the true class."""
    rng = np.random.default_rng(seed)
    codes, groups = np.repeat(rng.integers(0, 10, 150), 4), np.repeat(np.arange(150), 4)
    informative = [
        _softmax(np.eye(10)[codes] * strength + rng.normal(size=(600, 10))) for strength in (1.5, 2.0, 3.0)
    ]
    stack = np.stack([*informative, _softmax(rng.normal(size=(600, 10)))])
    members = ("one", "two", "three", "noise")
    labels = np.array(CLASSES)[codes]
    labelled = LabelledPredictions.from_labels(stack, labels, groups, members=members, classes=CLASSES)
    return fit_fusion(rule, labelled).weights[3]


def _softmax(z: NDArray[Any]) -> NDArray[Any]:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))


def fit_leaking_folds() -> None:
    """Fit a member on folds with one group on both sides."""
    y = np.array(["a", "b"] * 4)
    groups = np.array(["one", "one", "two", "two", "three", "three", "four", "one"])
    X, first, second = pd.DataFrame({"x": np.arange(8.0)}), np.arange(4), np.arange(4, 8)
    folds = [(first, second), (second, first)]
    Trainer("logistic_regression").out_of_fold(Inputs(X), y, groups, folds, ("a", "b"))


def make_leaking_split() -> None:
    """Make a given split with one artist in train and test."""
    make_split(
        list("uvwxyz"),
        ["a", "b"] * 3,
        ["one", "two", "three", "four", "one", "five"],
        SplitSettings("given"),
        given=["train"] * 4 + ["test"] * 2,
    )


def refusal(attempt: Callable[[], None]) -> str:
    """The error of an attempt, as a line."""
    try:
        attempt()
    except SplitLeakError as error:
        return f"refused: {error}"
    return "NOT REFUSED"


def has_warning(planted: str, seed: int) -> bool:
    """Whether the audit warns of 120 clips in 40 groups whose classes differ in one fact, or in none."""
    rng = np.random.default_rng(seed)
    labels = pd.Series(np.repeat(["a", "b"], 60), index=[f"t{k}" for k in range(120)])
    second = (labels == "b").to_numpy()
    rates = np.where(second, 22050, 44100) if planted == "sample rate" else rng.choice([22050, 44100], 120)
    loudness = rng.normal(-20, 4, 120) + (10.0 if planted == "loudness" else 0.0) * second
    facts = pd.DataFrame(
        {"duration_s": rng.lognormal(2, 0.4, 120), "native_sample_rate": rates, "loudness_db": loudness},
        index=labels.index,
    )
    groups = pd.Series(np.repeat(np.arange(40), 3).astype(str), index=labels.index)
    return bool(shortcut_audit(facts, labels, groups)["warning"].any())


def main() -> None:
    """Print a line per planted fault."""
    parser = arguments(__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    given = parser.parse_args()
    for rule in ("weighted", "greedy"):
        weights = [weight_of_noise(rule, seed) for seed in range(given.seeds)]
        largest = max(weights)
        print(f"noise, {rule}: largest weight of {given.seeds} corpora {largest:.4f} (must stay below 0.02)")
    for name, attempt in (("fold", fit_leaking_folds), ("given split", make_leaking_split)):
        print(f"leak, {name}: {refusal(attempt)}")
    for planted in ("loudness", "sample rate", "nothing"):
        n_warned = sum(has_warning(planted, seed) for seed in range(given.seeds))
        print(f"shortcut, {planted}: warning in {n_warned} of {given.seeds} corpora")


if __name__ == "__main__":
    main()
