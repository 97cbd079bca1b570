"""Mutated recipes, settings and weights in TOML: each is read, or refused in one sentence."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from quintet.ensemble.fuse_files import fuse
from quintet.errors import QuintetError
from quintet.pipeline.recipe import Recipe, load_recipe
from quintet.predictions.predictions import Predictions, read_predictions
from quintet.tuning.settings_file import read_settings
from tests.fuzz.model_folders import check_probabilities, put, refusal
from tests.fuzz.mutations import choose, mutate_toml
from tests.fuzz.target import Runner

Rng = np.random.Generator
RECIPES = Path(__file__).resolve().parents[2] / "recipes"
SETTINGS = """
[train.settings.svm]
C = 3.0
[train.settings.xgboost]
n_estimators = 20
max_depth = 3
"""
WEIGHTS = """
rule = "geometric"
[weights]
first = 2
second = 0.5
"""


def prepare(seeds: Path) -> Runner:
    """The recipes of the repository, settings as `tune` finds them, and weights of a fusion."""
    (seeds / "best.toml").write_text(SETTINGS)
    (seeds / "weights.toml").write_text(WEIGHTS)
    predicted = [seeds / "first.csv", seeds / "second.csv"]
    for path in predicted:
        Predictions(np.array(["a", "b"]), ("x", "y"), np.array([[0.9, 0.1], [0.4, 0.6]])).write(path)
    recipes = sorted(RECIPES.glob("*.toml"))

    def run(rng: Rng, folder: Path) -> Counter[str]:
        target = folder / "recipe.toml"
        kind = choose(rng, ("recipe", "recipe", "settings", "weights"))
        seed = {"settings": seeds / "best.toml", "weights": seeds / "weights.toml"}.get(kind)
        put(target, mutate_toml((seed or choose(rng, recipes)).read_bytes(), rng))
        try:
            if kind == "settings":
                read_settings(target)
            elif kind == "weights":
                fuse(predicted, folder / "fused.csv", rule=str(target))
                check_probabilities(read_predictions(folder / "fused.csv").probabilities)
            else:
                recipe = load_recipe(target)
                if Recipe.model_validate(recipe.model_dump()) != recipe:
                    raise AssertionError(f"a recipe must survive a copy: {recipe}")
        except QuintetError as error:
            return Counter([refusal(error)])
        return Counter([kind])

    return run
