"""A model folder while it is trained, replaced and read."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import quintet
from quintet.classifiers.registry import make_member
from quintet.ensemble.crossfit import FoldResult, TrainingEvent
from quintet.errors import ArtefactError
from quintet.features.storage.external_table import Roles, foreign_table
from quintet.files.locks import output_lock
from quintet.model_folder import replacement
from quintet.model_folder.fold_cache import FoldFiles
from quintet.model_folder.folder import ModelFolder
from quintet.model_folder.load import load_model
from quintet.model_folder.replacement import NEW, NEXT, finish_replacement, read_unchanged
from quintet.model_folder.run import read_run
from quintet.training.settings import TrainSettings
from quintet.tuning.search_settings import TuneSettings
from quintet.workflow import tune

QUICK = TrainSettings(members=("logistic_regression",), rules=("mean",), rule="mean", resamples=0, folds=2)


def small_table(seed: int = 0):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(size=(24, 3)), columns=["a", "b", "c"])
    frame["id"] = [f"clip{row}" for row in range(24)]
    frame["label"] = ["x", "y"] * 12
    frame["group"] = [f"g{row // 2}" for row in range(24)]
    return foreign_table(frame, Roles(), name="small")


def files_of(folder: Path) -> dict[str, bytes]:
    """Content of every file of a model, except those with times or addresses of objects in them."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    paths = [path for path in paths if path.suffix != ".skops" and path.stem not in ("bundle", "environment")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two finished models of one table, with the seeds 0 and 1."""
    folder = tmp_path_factory.mktemp("models")
    for seed in (0, 1):
        settings = QUICK.model_copy(update={"seed": seed})
        quintet.train(small_table(), folder / str(seed), settings=settings)
    return folder


def test_a_second_training_of_a_folder_is_refused_and_spoils_nothing(models: Path, tmp_path: Path) -> None:
    refusals: list[str] = []

    def train_too(event: TrainingEvent) -> None:
        if refusals:
            return
        settings = QUICK.model_copy(update={"seed": 1})
        with pytest.raises(ArtefactError) as caught:
            quintet.train(small_table(), tmp_path / "model", settings=settings, overwrite=True)
        refusals.append(str(caught.value))

    quintet.train(small_table(), tmp_path / "model", settings=QUICK, listener=train_too)
    assert f"process {os.getpid()}" in refusals[0]
    assert files_of(tmp_path / "model") == files_of(models / "0")


def test_a_fold_of_another_configuration_is_not_taken_over(tmp_path: Path) -> None:
    member = make_member("logistic_regression").fit(np.eye(4), np.array(["x", "y", "x", "y"]))
    mine, other = (FoldFiles(ModelFolder(tmp_path), key) for key in ("mine", "other"))
    mine.save("logistic_regression", 0, FoldResult(np.full((2, 2), 0.5), [], 1.0, None))
    mine.save_member("logistic_regression", member)
    assert mine.load("logistic_regression", 0) is not None
    assert mine.load_member("logistic_regression") is not None
    assert other.load("logistic_regression", 0) is None
    assert other.load_member("logistic_regression") is None


def test_overwrite_keeps_the_old_model_until_the_new_one_is_whole(models: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(models / "0", folder)
    (folder / "notes.txt").write_text("mine")
    settings = QUICK.model_copy(update={"seed": 1})
    old = files_of(models / "0")

    def stop(event: TrainingEvent) -> None:
        kept = {name: content for name, content in files_of(folder).items() if not name.startswith(NEXT)}
        assert kept == {**old, "notes.txt": b"mine"}
        if event.kind == "start" and event.fold == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quintet.train(small_table(), folder, settings=settings, overwrite=True, listener=stop)
    assert load_model(folder).seed == 0
    fits: list[int] = []
    quintet.train(
        small_table(),
        folder,
        settings=settings,
        resume=True,
        listener=lambda event: fits.append(event.fold) if event.kind == "start" else None,
    )
    assert 0 not in fits  # the finished fold of the interrupted run is taken over
    assert files_of(folder) == {**files_of(models / "1"), "notes.txt": b"mine"}
    assert load_model(folder).seed == 1


def killed_at(step: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Replace the model of a folder, and stop before a step. False if there are not so many steps."""
    done = iter(range(step + 1))

    def count(function):
        def counted(*args, **options):
            if next(done) == step:
                raise KeyboardInterrupt
            return function(*args, **options)

        return counted

    with monkeypatch.context() as patch:
        patch.setattr(replacement.os, "rename", count(os.rename))
        patch.setattr(replacement.os, "replace", count(os.replace))
        patch.setattr(Path, "unlink", count(Path.unlink))
        patch.setattr(shutil, "rmtree", count(shutil.rmtree))
        try:
            replacement.replace_model(ModelFolder(folder))
        except KeyboardInterrupt:
            return True
    return False


def test_a_replacement_that_is_killed_at_any_step_is_finished_later(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, goes_on = 1, True
    while goes_on:
        folder = tmp_path / str(step)
        shutil.copytree(models / "0", folder)
        shutil.copytree(models / "1", folder / NEXT)
        goes_on = killed_at(step, folder, monkeypatch)
        finish_replacement(ModelFolder(folder))
        assert not (folder / NEXT).exists()
        assert not (folder / NEW).exists()
        assert files_of(folder) == files_of(models / "1")
        step += 1
    assert step > 15
    assert load_model(folder).seed == 1


def test_a_replacement_that_did_not_begin_leaves_both_models(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(models / "0", folder)
    shutil.copytree(models / "1", folder / NEXT)
    assert killed_at(0, folder, monkeypatch)
    finish_replacement(ModelFolder(folder))
    assert files_of(folder / NEXT) == files_of(models / "1")
    shutil.rmtree(folder / NEXT)
    assert files_of(folder) == files_of(models / "0")


def test_who_reads_while_a_model_is_replaced_gets_the_new_one_whole(models: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(models / "0", folder)
    shutil.copytree(models / "1", folder / NEXT)
    seeds = []

    def read() -> list[int]:
        first = json.loads((folder / "config.json").read_text())["train"]["seed"]
        if not seeds:
            replacement.replace_model(ModelFolder(folder))
        seeds.append(json.loads((folder / "config.json").read_text())["train"]["seed"])
        return [first, seeds[-1]]

    assert read_unchanged(folder, read) == [1, 1]
    assert read_run(folder).config["train"]["seed"] == 1


def test_an_error_of_an_unchanged_model_is_raised_at_once(models: Path) -> None:
    calls = []

    def fail() -> None:
        calls.append(1)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        read_unchanged(models / "0", fail)
    assert len(calls) == 1


def test_tune_refuses_a_folder_that_another_tune_writes(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    settings = TuneSettings(members=("logistic_regression",), folds=2)
    with output_lock(tmp_path / "tuned"), pytest.raises(ArtefactError, match=f"process {os.getpid()}"):
        tune(small_table(), tmp_path / "tuned", settings=settings)
    assert not (tmp_path / "tuned").exists()


def test_files_of_the_user_among_those_of_a_model_are_never_deleted(models: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(models / "0", folder)
    (folder / "notes.txt").write_text("mine")
    (folder / "predictions" / "mine.csv").write_text("mine")
    settings = QUICK.model_copy(update={"seed": 1})
    with pytest.raises(ArtefactError, match=r"predictions/mine\.csv"):
        quintet.train(small_table(), folder, settings=settings, overwrite=True)
    assert (folder / "predictions" / "mine.csv").read_text() == "mine"
    (folder / "predictions" / "mine.csv").unlink()
    quintet.train(small_table(), folder, settings=settings, overwrite=True)
    assert (folder / "notes.txt").read_text() == "mine"
