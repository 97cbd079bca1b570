"""Search for the settings of a recipe: it starts from the recipe and uses the folds of its run."""

from __future__ import annotations

from pathlib import Path

import pytest

from quintet.errors import ArtefactError
from quintet.features.storage.read import read_feature_table
from quintet.pipeline.recipe import Recipe, load_recipe
from quintet.pipeline.recipe_search import RecipeSearch, tune_recipe
from quintet.pipeline.runner import run_recipe
from quintet.tuning.search_settings import SearchBudget, TuneSettings
from quintet.tuning.tune import tune

TEXT = """
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
"""
FOREST = "[train.settings.random_forest]\nn_estimators = 7\nmin_samples_split = 5\n"


def recipe_of(folder: Path, text: str) -> Recipe:
    file = folder / "mine.toml"
    file.write_text(text)
    return load_recipe(file)


@pytest.mark.slow
def test_the_first_trial_is_the_recipe_and_not_the_default(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, TEXT + FOREST)
    search, budget = RecipeSearch(members=("random_forest",)), SearchBudget(1)
    tuned = tune_recipe(recipe, tmp_path / "run", search=search, budget=budget).members["random_forest"]
    table = read_feature_table(tmp_path / "run" / "features.parquet")

    def default_value(name: str, **settings: dict[str, object]) -> float:
        plain = TuneSettings(members=("random_forest",), settings=settings, folds=2, seed=7, resamples=50)
        result = tune(table, tmp_path / name, settings=plain, budget=budget)
        return result.members["random_forest"].default_value

    assert tuned.settings == {}
    fixed = recipe.train.settings["random_forest"]
    assert tuned.default_value == default_value("fixed", random_forest=fixed)
    assert tuned.default_value != default_value("none")


def test_settings_that_segments_decide_are_not_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = TEXT.replace('"svm", "random_forest"', '"vgg_small"') + "[segments]\nlength_s = 2.0\n"
    received: list[TuneSettings] = []
    monkeypatch.setattr(
        "quintet.pipeline.recipe_search.tune", lambda *_, settings, **__: received.append(settings)
    )
    tune_recipe(recipe_of(tmp_path, text), tmp_path / "run", budget=SearchBudget(1))
    (settings,) = received
    assert "patch_frames" not in settings.space("vgg_small")
    base = settings.base_settings("vgg_small")
    assert (base["patch_frames"], base["hop_frames"]) == (86, 86)


def test_absent_weights_are_refused_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run and a search give the same message. A search works if its fixed settings need no weights."""
    from quintet.classifiers.networks.backend import load_keras

    load_keras()
    from quintet.classifiers.networks import images

    def unreachable(*_: object, **__: object) -> None:
        raise OSError("no route")

    monkeypatch.setattr(images, "keras_home", lambda: str(tmp_path))
    monkeypatch.setattr(images, "urlopen", unreachable)
    recipe = recipe_of(tmp_path, TEXT.replace('"random_forest"', '"vgg16_transfer"'))
    pattern = r"\[train\.settings\.vgg16_transfer\]: .*no route"
    with pytest.raises(ArtefactError, match=pattern) as of_run:
        run_recipe(recipe, tmp_path / "run")
    with pytest.raises(ArtefactError, match=pattern) as of_search:
        tune_recipe(recipe, tmp_path / "run")
    assert str(of_run.value) == str(of_search.value)
    settings = TuneSettings(members=("vgg16_transfer",))
    with pytest.raises(ArtefactError, match="no route"):
        tune(tmp_path / "features.parquet", tmp_path / "run", settings=settings)
    assert not (tmp_path / "run").exists()

    monkeypatch.setattr("quintet.pipeline.recipe_search.describe_clips", lambda *_, **__: None)
    monkeypatch.setattr("quintet.pipeline.recipe_search.tune", lambda *_, settings, **__: settings)
    fixed = {"vgg16_transfer": {"weights": "random", "size": 32}}
    accepted = tune_recipe(recipe, tmp_path / "run", search=RecipeSearch(fixed=fixed))
    assert accepted.base_settings("vgg16_transfer") == fixed["vgg16_transfer"]  # type: ignore[attr-defined]
