"""Study of one member: its rows, its trials, and what an earlier process has left."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from quintet.datasets.splits.folds import grouped_folds
from quintet.ensemble.crossfit import Inputs
from quintet.features.storage.table import FeatureTable
from quintet.training.data import TrainingPart, gather
from quintet.tuning.search_folder import STUDY_FILE, open_studies
from quintet.tuning.search_settings import SearchBudget, TuneSettings
from quintet.tuning.study import Problem, Search
from quintet.tuning.tune import tune

QUICK = TuneSettings(members=("logistic_regression",), folds=2, resamples=200)


@contextmanager
def open_search(folder: Path, problem: Problem) -> Iterator[Search]:
    """The study of logistic regression in the folder of a search."""
    with open_studies(folder / STUDY_FILE) as storage:
        yield Search("logistic_regression", QUICK, problem, folder / "none", storage)


@pytest.mark.slow
def test_a_trial_of_a_killed_process_is_given_up(table: FeatureTable, tmp_path: Path) -> None:
    whole = tune(table, tmp_path / "whole", settings=QUICK, budget=SearchBudget(12))
    tune(table, tmp_path / "cut", settings=QUICK, budget=SearchBudget(11))
    problem = Problem.from_material(gather(table, QUICK.training), metric="log_loss")
    with open_search(tmp_path / "cut", problem) as search:
        search.study.ask({})  # as after `kill -9`: a trial without an end
    result = tune(table, tmp_path / "cut", settings=QUICK, budget=SearchBudget(12))
    columns = ["member", "number", "state", "value", "settings", "best"]
    assert result.trials[columns].equals(whole.trials[columns])
    with open_search(tmp_path / "cut", problem) as search:
        states = [trial.state.name for trial in search.study.trials]
    assert "RUNNING" not in states
    assert states.count("FAIL") == 1


@pytest.mark.parametrize("protocol", ["group", "given"])
def test_no_group_stands_on_both_sides(table: FeatureTable, protocol: str) -> None:
    settings = QUICK.model_copy(update={"protocol": protocol, "folds": None})
    material = gather(table, settings.training)
    problem = Problem.from_material(material, metric="log_loss")
    part = problem.part
    assert set(part.ids) == set(material.ids[material.split.train])
    assert not set(part.groups) & set(material.groups[material.split.test])
    validation = np.concatenate([valid for _, valid in part.folds])
    assert sorted(validation) == list(range(len(part.y)))
    for rest, valid in part.folds:
        assert not set(part.groups[rest]) & set(part.groups[valid])


def network_problem() -> Problem:
    """Sixteen spectrograms of two classes, which differ in their upper half."""
    rng = np.random.default_rng(0)
    labels = np.repeat(["high", "low"], 8)
    upper_half = (np.arange(32) > 16)[:, None]
    noise = [rng.normal(size=(32, 64)).astype(np.float32) for _ in labels]
    pictures = [x + 2 * (label == "high") * upper_half for x, label in zip(noise, labels, strict=True)]
    groups = np.array([f"g{i // 2}" for i in range(16)])
    ids = np.array([f"c{i}" for i in range(16)])
    folds = grouped_folds(labels, groups.tolist(), n_splits=2, seed=0)
    inputs = Inputs(None, pictures)
    classes = ("high", "low")
    part = TrainingPart(inputs, ids, labels, labels, groups, groups, classes, tuple(folds))
    return Problem(part, "log_loss")


@pytest.mark.slow
def test_a_network_is_searched_like_any_member(tmp_path: Path) -> None:
    fixed = {"epochs": 1, "patch_frames": 64, "filters": 8, "blocks": 2, "validation_share": 0.0}
    settings = TuneSettings(members=("vgg_small",), settings={"vgg_small": fixed})
    with open_studies(tmp_path / STUDY_FILE) as storage:
        search = Search("vgg_small", settings, network_problem(), tmp_path / "kept", storage)
        search.run(2, end=None, on_trial=lambda trial: None)
        trials = search.finished_trials()
    assert [trial.state for trial in trials] == ["complete", "complete"]
    assert trials[0].settings == fixed
    assert set(trials[1].settings) == {*fixed, "learning_rate", "dropout", "augmentation"}
    assert set(trials[1].settings["augmentation"]) == {"mixup", "mask_bands"}
