"""Published scores on the page, with the scores of the run and both protocols."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from quintet.model_folder.folder import relist
from quintet.model_folder.run import read_run
from quintet.reports.report_data import ReportData
from quintet.reports.sections.members.training import training_options
from quintet.reports.sections.published import published_section, published_table


@pytest.fixture
def told(model_folder: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    shutil.copytree(model_folder, folder)
    scores = json.loads((folder / "scores.json").read_text())
    figures = {
        "xgboost": {"accuracy": 0.123, "macro_auc": 0.865},
        "svm": {"accuracy": 0.457},
        "absent": {"accuracy": 0.321},
    }
    scores["published"] = {
        "source": "a paper",
        "data": "other music",
        "protocol": "one random split",
        "scores": figures,
    }
    (folder / "scores.json").write_text(json.dumps(scores))
    return relist(folder)


def test_the_page_shows_published_and_measured_scores_and_both_protocols(
    told: Path, tmp_path: Path, write_sections: Callable[..., Path]
) -> None:
    page = write_sections(told, tmp_path / "report", published_section)
    section = page.read_text(encoding="utf-8").partition('id="published"')[2].partition("</section>")[0]
    ours = json.loads((told / "scores.json").read_text())["test"]["xgboost"]["scores"]["accuracy"]["value"]
    for text in (
        "0.123",
        "0.865",
        "0.457",
        "0.321",
        f"{ours:.3f}",
        "a paper",
        "one random split",
        "other music; split by artist",
    ):
        assert text in section
    numbers = pd.read_parquet(tmp_path / "report" / "numbers" / "published.parquet")
    assert numbers["published"].tolist() == [0.123, 0.865, 0.457, 0.321]
    assert numbers["value"].iloc[0] == ours
    assert numbers["value"].isna().tolist() == [False, False, False, True]


def test_without_published_scores_there_is_no_section(model_folder: Path) -> None:
    run = read_run(model_folder)
    assert published_table(run).empty
    assert published_section(ReportData(run)) is None


def test_options_of_training_are_named(told: Path) -> None:
    config = json.loads((told / "config.json").read_text())
    config["train"]["settings"] = {"vgg_small": {"hop_frames": 64, "pooling": "vote"}}
    config["train"]["augmentation"] = {"copies": 1, "pitch_shift": [[-9, -5]], "noise_db": None}
    (told / "config.json").write_text(json.dumps(config))
    options = dict(training_options(read_run(relist(told))))
    assert "hop_frames 64, pooling vote" in options["vgg_small"]
    assert options["augmentation of audio"] == "copies 1, pitch_shift [[-9, -5]]"
    assert options["vgg_small"].endswith("augmentation.mixup 0.3"), "its default"


def test_an_augmentation_is_shown_as_on_or_off(told: Path) -> None:
    def shown(**settings: Any) -> str:
        config = json.loads((told / "config.json").read_text())
        config["train"] |= {"settings": {"vgg_small": settings}, "augmentation": None}
        (told / "config.json").write_text(json.dumps(config))
        options = dict(training_options(read_run(relist(told))))
        assert options["augmentation of audio"] == "off"
        return options["vgg_small"].partition("augmentation")[2]

    assert (
        shown(augmentation={"mixup": 0.28946789429870323, "mask_bands": 21, "mask_frames": 0})
        == ".mixup 0.289, augmentation.mask_bands 21"
    )
    assert shown(augmentation=None) == shown(augmentation={"mixup": 0.0}) == " off"
