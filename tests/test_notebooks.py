"""What a notebook shows of a result: its facts and its table, with every name escaped."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from quintet.auditing.run import audit
from quintet.features.storage.external_table import Roles, foreign_table
from quintet.inference.result import PredictionResult
from quintet.predictions.predictions import Predictions

HOSTILE = "<script>alert(1)</script>"


def predictions() -> Predictions:
    labels = np.array([HOSTILE, "jazz"], dtype=object)
    return Predictions(
        np.array(["a", "b"]), (HOSTILE, "jazz"), np.array([[0.875, 0.125], [0.25, 0.75]]), labels
    )


def result() -> PredictionResult:
    frame = pd.DataFrame(
        {"file": [f"{HOSTILE}.wav", "b.wav"], "verdict": ["rock", HOSTILE], "confidence": 0.875}
    )
    failures = pd.DataFrame({"file": ["c.wav"] * 3, "stage": "decode", "reason": HOSTILE})
    return PredictionResult(frame, frame, failures, frame, ("rock",), (f"Left out: {HOSTILE}.",))


def report() -> object:
    rows = np.random.default_rng(0).normal(size=(8, 3))
    frame = pd.DataFrame(rows, columns=["x", "y", "z"]).assign(id=[*"abcdefgh"], label=[HOSTILE, "jazz"] * 4)
    return audit(foreign_table(frame, Roles(), name=HOSTILE))


@pytest.mark.parametrize(
    ("make", "facts"),
    [(predictions, "2 clips, 2 classes"), (result, "2 files; 1 could"), (report, "8 clips, 2 classes")],
)
def test_a_result_shows_its_facts_and_no_markup_of_a_file(make: Callable[[], object], facts: str) -> None:
    html = make()._repr_html_()  # type: ignore[attr-defined]
    assert facts in html
    assert "<table" in html
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_the_frame_of_predictions_has_their_numbers() -> None:
    frame = predictions().frame
    assert frame.columns.tolist() == ["clip_id", "label", f"probability.{HOSTILE}", "probability.jazz"]
    assert frame["probability.jazz"].tolist() == [0.125, 0.75]
