"""The fuzzing targets, for a short time: `make fuzz` runs them for longer."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.fuzz import audio
from tests.fuzz.model_folders import prepare_few
from tests.fuzz.target import TARGETS, Runner, Target

COUNTS = {"model_pages": 30, "audio_extract": 1, "audio_predict": 1, "audio_audit": 1}
"""Tries of the slow targets; a try of audio has `audio.BATCH` files."""


def outcomes(run: Runner, tmp_path: Path, count: int) -> Counter[str]:
    found: Counter[str] = Counter()
    for number in range(count):
        folder = tmp_path / str(number)
        folder.mkdir()
        found += run(np.random.default_rng(number), folder)
    return found


def test_a_few_mutated_model_folders_predict_or_are_refused(tmp_path: Path) -> None:
    (tmp_path / "seeds").mkdir()
    found = outcomes(prepare_few(tmp_path / "seeds"), tmp_path, 20)
    assert any(outcome.startswith("refused") for outcome in found)
    assert any(outcome.startswith("predicted") for outcome in found)


def test_a_few_mutated_recordings_have_a_row_each(tmp_path: Path) -> None:
    (tmp_path / "seeds").mkdir()
    found = outcomes(audio.prepare_few(tmp_path / "seeds"), tmp_path, 2)
    assert found.total() == 2 * audio.SMALL_BATCH


SMALL = (
    *("feature_tables", "prediction_tables", "split_files", "manifests", "spectrogram_stores", "recipes"),
    *("tag_plans", "genre_maps", "tags"),
)


@pytest.mark.parametrize("name", SMALL)
def test_a_few_mutated_files_are_read_or_refused(name: str, tmp_path: Path) -> None:
    target = next(target for target in TARGETS if target.name == name)
    (tmp_path / "seeds").mkdir()
    count = 12 if name == "tag_plans" else 40
    found = outcomes(target.load(tmp_path / "seeds"), tmp_path, count)
    assert found.total() == count > found["refused"] > 0


def test_checksums_of_ogg_pages_are_put_right(tmp_path: Path) -> None:
    """The checksums of an encoder stay as they are: then the fuzzer's are those that decoders expect."""
    path = tmp_path / "a.ogg"
    soundfile.write(path, np.random.default_rng(0).normal(size=4000) * 0.1, 8000)
    data = bytearray(path.read_bytes())
    audio.repair_checksums(data)
    assert bytes(data) == path.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_every_target_stands_some_hundred_tries(target: Target, tmp_path: Path) -> None:
    (tmp_path / "seeds").mkdir()
    run = target.load(tmp_path / "seeds")
    count = COUNTS.get(target.name, 300)
    expected = count * (audio.BATCH if target.name.startswith("audio") else 1)
    assert outcomes(run, tmp_path, count).total() == expected
