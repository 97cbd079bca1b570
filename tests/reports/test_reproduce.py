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
        protocol="sound",
        target="my songs",
        split_values={"fold1": "test"},
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
        "--protocol sound",
        "--target 'my songs'",
        "--split-value fold1=test",
    ):
        assert option in found
    assert "--folds" not in found


def test_every_setting_with_an_option_is_in_the_command(run: Run) -> None:
    """Each setting that `quintet train` has an option for, with another value than its default."""
    others: dict[str, object] = {
        "members": ("svm",),
        "settings": {"svm": {"C": 3.0}},
        "rules": ("mean",),
        "rule": "mean",
        "protocol": "sound",
        "target": "songs",
        "protocols": ("random", "group"),
        "split_values": {"a": "test"},
        "test_size": 0.5,
        "folds": 3,
        "seed": 7,
        "resamples": 10,
        "learning_curve": True,
    }
    in_recipes_only = {"ensembles", "augmentation"}
    assert set(TrainSettings.model_fields) == set(others) | in_recipes_only
    plain = _command(run, TrainSettings())
    for name, value in others.items():
        given = {name: value, "protocol": "sound"} if name == "target" else {name: value}
        assert name == "members" or _command(run, TrainSettings.model_validate(given)) != plain, name


def _command(run: Run, settings: TrainSettings) -> str:
    config = {"train": settings.model_dump(mode="json")}
    return commands(replace(run, environment={"command": "notebook.py"}, config=config))[0]
