"""Truths that were planted are found: noise gets no weight, a leak is refused, a shortcut is called one and nothing else is.

    python -m benchmarks.evidence.planted [--seeds 20]

Tests hold the same: tests/ensemble/test_fusion.py (a_member_that_is_pure_noise_gets_nothing), tests/ensemble/test_classifier.py
(given_folds_that_leak_are_refused), tests/datasets/splits/test_splits.py, tests/audit/test_shortcuts.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.evidence.corpora import arguments
from quintet.audit.shortcuts import shortcut_audit
from quintet.datasets.splits.protocols import SplitSettings, make_split
from quintet.ensemble.crossfit import Inputs, Trainer
from quintet.ensemble.fusion import LabelledPredictions, fit_fusion
from quintet.errors import SplitLeakError

CLASSES = tuple("abcdefghij")


def weight_of_noise(rule: str, seed: int) -> float:
    """Three members that know something beside one that draws its opinions: the weight that it gets."""
    rng = np.random.default_rng(seed)
    codes, groups = np.repeat(rng.integers(0, 10, 150), 4), np.repeat(np.arange(150), 4)
    knowing = [
        _opinion(np.eye(10)[codes] * strength + rng.normal(size=(600, 10))) for strength in (1.5, 2.0, 3.0)
    ]
    stack = np.stack([*knowing, _opinion(rng.normal(size=(600, 10)))])
    members = ("one", "two", "three", "noise")
    labels = np.array(CLASSES)[codes]
    labelled = LabelledPredictions.from_labels(stack, labels, groups, members=members, classes=CLASSES)
    return fit_fusion(rule, labelled).weights[3]


def _opinion(z: NDArray[Any]) -> NDArray[Any]:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))


def leaking_folds() -> None:
    """One group on both sides of a fold, at the moment of fitting."""
    y, groups = (
        np.array(["a", "b"] * 4),
        np.array(["one", "one", "two", "two", "three", "three", "four", "one"]),
    )
    X = pd.DataFrame({"x": np.arange(8.0)})
    Trainer("logistic_regression").out_of_fold(
        Inputs(X), y, groups, [(np.arange(4), np.arange(4, 8)), (np.arange(4, 8), np.arange(4))], ("a", "b")
    )


def leaking_split() -> None:
    """A given split with one artist in train and test."""
    make_split(
        list("uvwxyz"),
        ["a", "b"] * 3,
        ["one", "two", "three", "four", "one", "five"],
        SplitSettings("given"),
        given=["train"] * 4 + ["test"] * 2,
    )


def refusal(attempt: Callable[[], None]) -> str:
    try:
        attempt()
    except SplitLeakError as error:
        return f"refused: {error}"
    return "NOT REFUSED"


def warned(planted: str, seed: int) -> bool:
    """Whether any warning is raised for 120 clips in 40 groups that differ by nothing, or by class in one fact only."""
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
    """Print what became of each."""
    parser = arguments(__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    given = parser.parse_args()
    for rule in ("weighted", "greedy"):
        weights = [weight_of_noise(rule, seed) for seed in range(given.seeds)]
        print(
            f"noise, {rule}: largest weight of {given.seeds} corpora {max(weights):.4f} (must stay below 0.02)"
        )
    for name, attempt in (("fold", leaking_folds), ("given split", leaking_split)):
        print(f"leak, {name}: {refusal(attempt)}")
    for what in ("loudness", "sample rate", "nothing"):
        print(
            f"shortcut, {what}: warned of in {sum(warned(what, seed) for seed in range(given.seeds))} of {given.seeds} corpora"
        )


if __name__ == "__main__":
    main()
