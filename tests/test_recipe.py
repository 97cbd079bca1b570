"""Recipes: read whole, refused with the nearest valid name."""

from __future__ import annotations

from pathlib import Path

import pytest

from quintet.errors import ConfigError
from quintet.recipe import find_recipe, load_recipe, shipped_recipes


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "recipe.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_a_small_recipe_is_completed_with_defaults(tmp_path: Path) -> None:
    recipe = load_recipe(written(tmp_path, 'name = "mine"\n[data]\nsource = "demo"\n[train]\nseed = 7\n'))
    assert (recipe.train.seed, recipe.train.folds, recipe.features.set, recipe.data.source) == (7, None, "full", "demo")


def test_data_can_be_replaced(tmp_path: Path) -> None:
    assert load_recipe(written(tmp_path, 'name = "mine"\n[data]\nsource = "demo"\n'), data="elsewhere").data.source == "elsewhere"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('name = "a"\n[data]\nsource = "demo"\n[train]\nfodls = 3\n', r"unknown key 'train\.fodls' \(did you mean 'folds'\?\)"),
        ('name = "a"\n[data]\nsource = "demo"\n[training]\n', r"unknown key 'training' \(did you mean 'train'\?\)"),
        ('name = "a"\n[data]\nsource = "demo"\n[train]\nfolds = 1\n', r"'train\.folds': .*greater than or equal to 2"),
        ('name = "a"\n[data]\nsource = "demo"\n[train]\nmembers = ["svm", "svm"]\n', r"Members must differ"),
        ('name = "a"\n[data]\nsource = "demo"\n[train]\nrule = "median"\n', r"must be 'auto' or one of the rules"),
        ('name = "a"\n[data]\nsource = "demo"\n[train.settings.lstm]\nx = 1\n', r"Settings must be for members that take part"),
        ('name = "a"\n', r"'data': Field required"),
        ("name = ", r"A recipe must be TOML"),
    ],
)
def test_faults_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_recipe(written(tmp_path, text))


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="There is no file"):
        load_recipe(tmp_path / "nothing.toml")


def test_shipped_recipes_are_valid() -> None:
    recipes = shipped_recipes()
    assert "demo" in recipes
    for name, file in recipes.items():
        assert load_recipe(file).name == name


def test_a_name_finds_its_recipe_and_a_typo_the_nearest() -> None:
    assert find_recipe("demo").name == "demo.toml"
    with pytest.raises(ConfigError, match="Did you mean 'demo'"):
        find_recipe("demmo")
