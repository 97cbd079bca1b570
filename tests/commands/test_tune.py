"""Command `tune`, and the use of its result by `train` and `run`."""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from quintet.cli import main

RECIPE = """
name = "mine"
[data]
source = "demo"
limit = 4
[features]
set = "bahuleyan2018"
families = ["cepstral"]
[train]
members = ["svm", "random_forest"]
rules = ["mean"]
folds = 2
resamples = 50
seed = 7
[train.settings.random_forest]
n_estimators = 7
min_samples_split = 5
"""


@pytest.fixture
def features(tmp_path: Path) -> Path:
    """Three classes, which differ in one of four columns, in 24 groups of 3 clips."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(24), 3)
    labels = np.array(list("abc"))[groups % 3]
    values = rng.normal(size=(72, 4))
    values[:, 0] += groups % 3
    frame = pd.DataFrame(values, columns=[f"x{j}" for j in range(4)])
    frame.insert(0, "id", [f"c{i}" for i in range(72)])
    frame.insert(1, "label", labels)
    frame.insert(2, "group", [f"g{group}" for group in groups])
    frame.to_csv(tmp_path / "features.csv", index=False)
    return tmp_path / "features.csv"


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    file = tmp_path / "mine.toml"
    file.write_text(RECIPE)
    return file


def call(monkeypatch: pytest.MonkeyPatch, *words: object) -> object:
    """Run a command and return its exit code."""
    monkeypatch.setattr(sys, "argv", ["quintet", *map(str, words)])
    with pytest.raises(SystemExit) as exit_:
        main()
    return exit_.value.code or 0


def read_json(file: Path) -> dict[str, dict[str, dict[str, object]]]:
    content: dict[str, dict[str, dict[str, object]]] = json.loads(file.read_text())
    return content


@pytest.mark.slow
def test_train_uses_the_settings_of_a_search(
    features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tuned, members = tmp_path / "tuned", ("-m", "svm,logistic_regression")
    assert call(monkeypatch, "tune", features, "-o", tuned, *members, "--trials", 4, "--folds", 3) == 0
    output = capsys.readouterr()
    for word in ("svm", "default"):
        assert word in output.out
    for word in ("4/4", "--settings"):
        assert word in output.err
    rows = json.loads((tuned / "tuning.json").read_text())["members"].values()
    assert all(row["verdict"] in output.out for row in rows)
    best = tomllib.loads((tuned / "best.toml").read_text())["train"]["settings"]
    assert set(best) == {"svm", "logistic_regression"}

    words = ("--settings", tuned / "best.toml", "--set", "svm.C=3.5", "--folds", 3, "--resamples", 50, "-q")
    assert call(monkeypatch, "train", features, "-o", tmp_path / "model", *members, *words) == 0
    used = read_json(tmp_path / "model" / "config.json")["train"]["settings"]
    assert used == {"svm": {**best["svm"], "C": 3.5}, "logistic_regression": best["logistic_regression"]}
    assert call(monkeypatch, "train", features, "-o", tmp_path / "one", "-m", "svm", *words) == 0
    assert set(read_json(tmp_path / "one" / "config.json")["train"]["settings"]) == {"svm"}


@pytest.mark.slow
def test_a_recipe_is_searched_from_its_settings_and_runs_with_the_best(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    words = ("--trials", 3, "--set", "svm.gamma=0.001")
    assert call(monkeypatch, "tune", recipe, "-o", run, *words) == 0
    command = f"quintet run {recipe} -o {run} --settings {run}/tuning/best.toml"
    assert command in capsys.readouterr().err.replace("\n", "")
    search = json.loads((run / "tuning" / "tuning.json").read_text())
    rows = pd.read_parquet(run / "tuning" / "trials.parquet").set_index(["member", "number"])
    trials = rows["settings"].map(json.loads)
    assert trials["random_forest", 0] == {}
    assert set(trials["random_forest", 1]) == {"min_samples_split", "max_features"}
    assert trials["svm", 0] == {"gamma": 0.001}
    assert set(trials["svm", 1]) == {"gamma", "C"}

    best_file = run / "tuning" / "best.toml"
    assert call(monkeypatch, "run", recipe, "-o", run, "--settings", best_file, "-q") == 0
    config = json.loads((run / "model" / "config.json").read_text())
    best = {name: member["settings"] for name, member in search["members"].items()}
    of_recipe = {"n_estimators": 7, "min_samples_split": 5}
    assert config["train"]["settings"]["random_forest"] == of_recipe | best["random_forest"]
    assert config["train"]["settings"]["svm"] == best["svm"]
    assert config["split"]["digest"] == search["split"], "the search used the folds of the run"
    scores = json.loads((run / "model" / "scores.json").read_text())["oof"]
    for name, member in search["members"].items():
        assert scores[name]["scores"]["log_loss"]["value"] == pytest.approx(member["best_value"], rel=1e-9)
    assert json.loads((run / "model" / "tuning" / "tuning.json").read_text()) == search
    assert 'id="search"' in (run / "report" / "index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "message", "code"),
    [
        (("--members", "svn"), "Did you mean 'svm'", 1),
        (("--set", "svm.K=3"), "must be one of: C", 1),
        (("--set", "xgboost.max_depth=3"), "must be one of: svm, random_forest", 1),
        (("--seed", "3"), "--seed is for tables", 2),
        (("--folds", "3"), "--folds is for tables", 2),
        (("--metric", "auc"), "metric", 1),
        (("--data", "demmo"), "demo", 1),
    ],
)
def test_options_that_contradict_a_recipe_are_refused_before_anything_runs(
    recipe: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    message: str,
    code: int,
) -> None:
    assert call(monkeypatch, "tune", recipe, "-o", tmp_path / "run", *words) == code
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "run" / "features.parquet").exists()


def test_data_and_scale_are_for_recipes(
    features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "tune", features, "-o", tmp_path / "t", "--scale", "small") == 2
    assert "--scale is for recipes" in capsys.readouterr().err
