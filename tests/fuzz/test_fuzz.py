"""The fuzzing targets, for a short time: `make fuzz` runs them for longer."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.fuzz.model_folders import prepare_few
from tests.fuzz.target import TARGETS, Runner, Target


def outcomes(run: Runner, tmp_path: Path, count: int) -> Counter[str]:
    found: Counter[str] = Counter()
    for number in range(count):
        folder = tmp_path / str(number)
        folder.mkdir()
        found[run(np.random.default_rng(number), folder)] += 1
    return found


def test_a_few_mutated_model_folders_predict_or_are_refused(tmp_path: Path) -> None:
    (tmp_path / "seeds").mkdir()
    found = outcomes(prepare_few(tmp_path / "seeds"), tmp_path, 30)
    assert any(outcome.startswith("refused") for outcome in found)
    assert any(outcome.startswith("predicted") for outcome in found)


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_every_target_stands_some_hundred_tries(target: Target, tmp_path: Path) -> None:
    (tmp_path / "seeds").mkdir()
    run = target.load(tmp_path / "seeds")
    count = 30 if target.name == "model_pages" else 300
    assert sum(outcomes(run, tmp_path, count).values()) == count
