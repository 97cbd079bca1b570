"""Settings search on the page: trials, best so far, gain, and warnings."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from quintet.model_folder.folder import relist
from quintet.model_folder.run import read_run
from quintet.reports.figures.curves import search_figure
from quintet.reports.report_data import ReportData
from quintet.reports.section import Note
from quintet.reports.sections.members.tuning import (
    search_basis,
    search_drawings,
    search_table,
    search_warnings,
    trial_table,
    tuning_section,
)

VALUES = {"svm": [0.70, 0.64, 0.90, 0.66, 0.61], "xgboost": [0.50, 0.55, 9.99, 0.52, 0.51]}


def searched(
    model_folder: Path, folder: Path, *, metric: str = "log_loss", split: str | None = None, used: Any = None
) -> Path:
    """Model folder with a search: a trial of SVM was stopped early, the default of XGBoost was best."""
    shutil.copytree(model_folder, folder)
    rows, members = [], {}
    for name, values in VALUES.items():
        best = int(np.argmin(values)) if metric == "log_loss" else int(np.argmax(values))
        for k, value in enumerate(values):
            state = "pruned" if (name, k) == ("svm", 3) else "complete"
            settings = json.dumps({"C": 1.0 + k} if k else {})
            rows.append(
                {
                    "member": name,
                    "number": k,
                    "state": state,
                    "value": value,
                    "settings": settings,
                    "seconds": 1.0,
                    "best": k == best,
                }
            )
        members[name] = {
            "member": name,
            "best": best,
            "settings": {"C": 1.0 + best} if best else {},
            "default_value": values[0],
            "best_value": values[best],
            "gain": {"value": abs(values[0] - values[best]), "low": 0.0, "high": 0.2},
            "n_trials": 5,
            "n_pruned": int(name == "svm"),
            "verdict": "so",
        }
    config = json.loads((folder / "config.json").read_text())
    told = {
        "metric": metric,
        "n": 160,
        "n_groups": 18,
        "n_folds": 4,
        "split": split or config.get("split", {}).get("digest"),
        "members": members,
    }
    (folder / "tuning").mkdir()
    (folder / "tuning" / "tuning.json").write_text(json.dumps(told))
    pd.DataFrame(rows).to_parquet(folder / "tuning" / "trials.parquet")
    config.setdefault("train", {})["settings"] = {"svm": {"C": 5.0, "gamma": 2.0}} if used is None else used
    (folder / "config.json").write_text(json.dumps(config))
    return relist(folder)


def test_the_page_shows_trials_and_gains(
    model_folder: Path, tmp_path: Path, write_sections: Callable[..., Path]
) -> None:
    folder = searched(model_folder, tmp_path / "model", split="other", used={"svm": {"C": 4.0}})
    page = write_sections(folder, tmp_path / "report", tuning_section).read_text(encoding="utf-8")
    section = page.partition('id="search"')[2].partition("</section>")[0]
    for text in (
        "160 clips of 18 ",
        "4 folds",
        "0.700",
        "0.610",
        "+0.090",
        "C 5",
        "1 stopped early",
        "the default",
        "figure-search-svm",
    ):
        assert text in section
    for warning in ("Another split", "Best settings not used"):
        assert warning in section
    numbers = pd.read_parquet(tmp_path / "report" / "numbers" / "search.parquet").set_index("member")
    assert numbers["gain"].tolist() == pytest.approx([0.09, 0.0])
    assert numbers["used"].tolist() == [False, True]
    assert len(pd.read_parquet(tmp_path / "report" / "numbers" / "search-trials.parquet")) == 10


def test_the_best_so_far_is_of_complete_trials_in_the_metrics_direction(
    model_folder: Path, tmp_path: Path
) -> None:
    lower = (
        trial_table(read_run(searched(model_folder, tmp_path / "a")))
        .groupby("member")["best_so_far"]
        .apply(list)
    )
    assert lower["svm"] == [0.70, 0.64, 0.64, 0.64, 0.61]
    assert lower["xgboost"] == [0.50] * 5
    higher = (
        trial_table(read_run(searched(model_folder, tmp_path / "b", metric="macro_auc")))
        .groupby("member")["best_so_far"]
        .apply(list)
    )
    assert higher["svm"] == [0.70, 0.70, 0.90, 0.90, 0.90]


def test_other_settings_and_another_split_have_warnings(model_folder: Path, tmp_path: Path) -> None:
    used = {"svm": {"C": 4.0}}
    other = read_run(searched(model_folder, tmp_path / "other", split="other", used=used))
    split, settings = search_warnings(other, search_table(other))
    assert isinstance(split, Note)
    assert isinstance(settings, Note)
    assert split.head == "Another split."
    assert settings.text.startswith("SVM was")
    same = read_run(searched(model_folder, tmp_path / "same"))
    assert search_warnings(same, search_table(same)) == ()


def test_a_trial_far_off_does_not_flatten_the_rest(model_folder: Path, tmp_path: Path) -> None:
    trials = trial_table(read_run(searched(model_folder, tmp_path / "model")))
    axes = search_figure(trials[trials["member"] == "xgboost"], label="log loss").axes[0]
    assert axes.get_ylim()[1] < 1.0
    drawn = np.concatenate([dots.get_offsets()[:, 0] for dots in axes.collections])
    assert sorted(drawn) == [1, 2, 3, 4, 5], "every trial is there"


def test_the_caption_explains_arrowheads_if_there_are_any(model_folder: Path, tmp_path: Path) -> None:
    svm, xgboost = search_drawings(read_run(searched(model_folder, tmp_path / "model")))
    assert "arrowhead" in xgboost.caption, "9.99 among values near 0.5"
    assert "arrowhead" not in svm.caption
    assert "log loss" in xgboost.svg


def test_clips_without_known_groups_are_not_counted_twice(model_folder: Path, tmp_path: Path) -> None:
    folder = searched(model_folder, tmp_path / "model")
    scores = json.loads((folder / "scores.json").read_text())
    scores["split"]["groups_known"] = False
    (folder / "scores.json").write_text(json.dumps(scores))
    assert search_basis(read_run(relist(folder))) == "160 clips of the training part, out of fold on 4 folds"


def test_without_a_search_there_is_no_section(model_folder: Path) -> None:
    run = read_run(model_folder)
    assert search_table(run).empty
    assert trial_table(run).empty
    assert search_drawings(run) == []
    assert tuning_section(ReportData(run)) is None
