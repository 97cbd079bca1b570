"""Commands that reproduce a run: the recorded one, or one from the configuration."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from quintet.model_folder.run import Run, read_run
from quintet.reports.sections.reproduction import DEFAULT_OPTIONS, commands
from quintet.training.settings import TrainSettings


@pytest.fixture
def run(model_folder: Path) -> Run:
    return read_run(model_folder)


def test_default_options_are_those_of_training() -> None:
    assert {name: getattr(TrainSettings(), name) for name in DEFAULT_OPTIONS} == DEFAULT_OPTIONS


@pytest.mark.parametrize("program", ["quintet", "/usr/bin/quintet", "/usr/lib/quintet/__main__.py"])
def test_a_recorded_command_is_repeated(run: Run, program: str) -> None:
    recorded = replace(
        run,
        environment={"command": f"{program} train 'my table.csv' -o 'my model' --label-from '^([a-z]+)\\.'"},
    )
    assert commands(recorded) == [
        "quintet train 'my table.csv' -o 'my model' --label-from '^([a-z]+)\\.'",
        "quintet report 'my model' -o report",
    ]
    assert commands(replace(run, environment={"command": f"{program} run recipe.toml -o out"})) == [
        "quintet run recipe.toml -o out"
    ]


def test_a_training_in_python_has_the_command_of_its_configuration(run: Run) -> None:
    settings = TrainSettings(
        members=("svm",),
        settings={"svm": {"C": 3.0}},
        test_size=0.0,
        protocols=("random", "group"),
        rules=("mean",),
        learning_curve=True,
    )
    found = commands(
        replace(
            run, environment={"command": "notebook.py"}, config={"train": settings.model_dump(mode="json")}
        )
    )[0]
    assert found.startswith("quintet train features.parquet -o model --members ")
    for option in (
        "--test-size 0.0",
        "--protocols random,group",
        "--rules mean",
        "--learning-curve",
        "--set svm.C=3.0",
    ):
        assert option in found
    assert "--folds" not in found
