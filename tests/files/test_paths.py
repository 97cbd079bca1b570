"""Paths and names that a caller gives: one is one, and anything else is refused in a sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import quintet
from quintet.auditing import audit
from quintet.ensemble.fuse_files import fuse
from quintet.errors import ConfigError
from quintet.features.parameters import FeatureParameters
from quintet.files.paths import expand_home
from quintet.files.text import read_text
from quintet.pipeline.recipe_search import RecipeSearch, tune_recipe
from quintet.predictions.evaluate import evaluate

TAKES_A_PATH: dict[str, Callable[[object], object]] = {
    "extract": lambda path: quintet.extract(path, "x.parquet"),
    "train": lambda path: quintet.train(path, "x"),
    "report": lambda path: quintet.report(path, "x"),
    "predict, model": lambda path: quintet.predict(path, "a.wav"),
    "explain, file": lambda path: quintet.explain("model", path, "x"),
    "explain, model": lambda path: quintet.explain(path, "a.wav", "x"),
    "run": lambda path: quintet.run(path, "x"),
    "load_model": quintet.load_model,
    "load_clip": lambda path: quintet.load_clip(path, sample_rate=22050),
    "load_recipe": quintet.load_recipe,
    "load_source": quintet.load_source,
    "read_feature_table": quintet.read_feature_table,
    "read_predictions": quintet.read_predictions,
    "SpectrogramStore": quintet.SpectrogramStore,
    "audit": audit,
    "evaluate": evaluate,
    "fuse_files": lambda path: fuse(path, "x.csv"),
    "FeatureExtractor": lambda path: quintet.FeatureExtractor().transform([path]),
}


@pytest.mark.parametrize("name", TAKES_A_PATH)
def test_arrays_bytes_and_files_are_refused_in_a_sentence(name: str) -> None:
    with open(__file__, "rb") as file:
        for value, word in ((np.zeros(9), "numbers"), (b"a.wav", "bytes"), (file, "open file")):
            with pytest.raises(ConfigError, match=word):
                TAKES_A_PATH[name](value)


def test_one_member_is_one_member() -> None:
    assert quintet.TrainSettings(members="svm", rules="mean").members == ("svm",)
    assert FeatureParameters(families="spectral").families == ("spectral",)
    extractor = quintet.FeatureExtractor(families="spectral")
    assert extractor.feature_parameters.families == ("spectral",)
    with pytest.raises(ConfigError, match=r"\['svm'\]"):
        quintet.EnsembleClassifier("svm").fit(np.zeros((4, 1)), [0, 0, 1, 1])
    with pytest.raises(ConfigError, match=r"'svmm'.*'svm'"):
        quintet.train("table.parquet", "model", members="svmm")
    with pytest.raises(ConfigError, match="one place"):
        quintet.train("table.parquet", "model", members="svm", settings=quintet.TrainSettings())


def test_the_members_of_a_search_are_no_letters(tmp_path: Path) -> None:
    recipe = quintet.load_recipe(Path(__file__).parents[2] / "recipes" / "demo.toml")
    with pytest.raises(ConfigError, match="'svmm'"):
        tune_recipe(recipe, tmp_path, search=RecipeSearch(members="svmm"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"rules": ()}, "fusion rule"),
        ({"rules": ("median",)}, "'median'"),
        ({"rules": ("mean",) * 2}, "differ"),
    ],
)
def test_rules_are_checked_at_the_door(settings: dict[str, object], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        quintet.TrainSettings(**settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"n_mels": 5000, "n_fft": 256, "hop_length": 128},
        {"n_bands": 2000},
        {"log_mel": {"n_mels": 5000}},
        {"n_fft": 1 << 30},
        {"sample_rate": 10**9},
        {"n_rates": 10**6},
    ],
)
def test_absurd_parameters_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(settings))):
        FeatureParameters(**settings)


def test_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert expand_home("~/a") == tmp_path / "a"
    (tmp_path / "~").mkdir()
    (tmp_path / "~/a").touch()
    assert expand_home("~/a") == Path("~/a")
    assert expand_home("~nobody-of-this-name/a") == Path("~nobody-of-this-name/a")


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"]
)
def test_text_of_any_encoding(tmp_path: Path, encoding: str) -> None:
    text = '# für Ätna\nname = "a"\n[data]\nsource = "Café"\n'
    file = tmp_path / "recipe.toml"
    file.write_text(text, encoding=encoding)
    assert read_text(file) == text
    assert quintet.load_recipe(file).data.source == "Café"


@pytest.mark.parametrize("name", TAKES_A_PATH)
def test_an_empty_path_is_not_the_current_folder(name: str) -> None:
    with pytest.raises(ConfigError, match="empty text"):
        TAKES_A_PATH[name]("")


def test_a_path_is_the_folder_and_not_the_dataset_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("rock/a.wav", "jazz/b.wav"):
        (tmp_path / "demo" / name).parent.mkdir(parents=True)
        (tmp_path / "demo" / name).write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    summary = quintet.extract(Path("demo"), "x.parquet", n_jobs=0)
    assert summary.n_ok + summary.n_failed == 2


WRONG: dict[str, Callable[[], object]] = {
    "output of extract": lambda: quintet.extract("demo", None),
    "output of train": lambda: quintet.train("table.parquet", 5),
    "output of tune": lambda: quintet.tune("table.parquet", None),
    "output of report": lambda: quintet.report("model", 5),
    "parameters": lambda: quintet.extract("demo", "x.parquet", parameters={"feature_set": "full"}),
    "settings of train": lambda: quintet.train("table.parquet", "x", settings={"members": ["svm"]}),
    "settings of tune": lambda: quintet.tune("table.parquet", "x", settings={"members": ["svm"]}),
    "columns": lambda: quintet.load_source("list.csv", columns=["group"]),
    "a column": lambda: quintet.load_source("list.csv", columns={"group": 1}),
    "group_by": lambda: quintet.load_source("demo", group_by=3),
}


@pytest.mark.parametrize("name", WRONG)
def test_arguments_of_another_type_are_refused_before_the_work(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"`{name.split()[0]}|`columns"):
        WRONG[name]()
