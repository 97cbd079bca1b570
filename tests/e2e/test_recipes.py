"""Recipes of the published systems, run from end to end on the demo corpus with `--scale small`."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from quintet.classifiers.networks.music_weights import FRONT_END
from quintet.cli import app
from quintet.features.storage.spectrograms import SpectrogramStore
from quintet.pipeline.recipe import load_recipe, shipped_recipes

pytestmark = pytest.mark.slow
PUBLISHED = (
    "bahuleyan2018",
    "bahuleyan2018_music",
    "pons2017",
    "folmer2021",
    "folmer2021_augmented",
    "lavanya2021",
    "lachmish2016",
)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_system_runs_from_its_recipe(name: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app,
        [
            "run",
            name,
            "--data",
            "demo",
            "--scale",
            "small",
            "-o",
            str(tmp_path / "run"),
            "--jobs",
            "1",
            "--quiet",
        ],
    )
    assert result.exception is None, result.output
    recipe = load_recipe(shipped_recipes()[name])
    scores = json.loads((tmp_path / "run" / "model" / "scores.json").read_text())
    wanted = {*recipe.train.members, *recipe.train.ensembles, "mean"}
    assert wanted <= set(scores["test"])
    assert scores["split"]["grouped"]
    assert recipe.published is not None
    assert scores["published"]["scores"] == recipe.published.scores
    for member, figures in recipe.published.scores.items():
        assert set(figures) <= set(scores["test"][member]["scores"])
        assert all(f"{value:.3f} | " in result.output for value in figures.values())
    assert recipe.published.protocol in result.output
    assert (tmp_path / "run" / "report" / "index.html").is_file()
    _check_options(name, tmp_path / "run")


def _check_options(name: str, run: Path) -> None:
    """What is special about a recipe left its traces."""
    store, split = SpectrogramStore(run / "spectrograms"), pd.read_parquet(run / "model" / "split.parquet")
    settings = json.loads((run / "model" / "config.json").read_text())["train"]["settings"]
    if name == "bahuleyan2018":
        assert store.parameters.pre_emphasis == 0.97
    if name == "bahuleyan2018_music":
        assert store.parameters == FRONT_END
        assert settings["musicnn_vgg"]["weights"] == "random"
    if name == "pons2017":
        assert json.loads((run / "model" / "bundle.json").read_text())["multilabel"]
        assert store.parameters.compression == "log"
    if name in ("folmer2021", "lavanya2021"):
        assert all(chosen["hop_frames"] == chosen["patch_frames"] for chosen in settings.values())
    if name == "folmer2021_augmented":
        copied = {id.partition("#copy=")[0] for id in SpectrogramStore(run / "spectrograms.copies").ids}
        assert copied == set(split.loc[split["part"] == "train", "id"])
