"""A search that replaces another: the earlier one stays until the new one is whole."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from quintet.features.storage.table import FeatureTable
from quintet.model_folder.folder import ModelFolder
from quintet.model_folder.replacement import NEXT
from quintet.tuning.search_folder import (
    CONFIGURATION,
    OUR_FILES,
    STUDY_FILE,
    claim_folder,
    finish_replacement_of_search,
    replace_search,
)
from quintet.tuning.search_settings import SearchBudget, TuneSettings
from quintet.tuning.study import Trial
from quintet.tuning.tune import SearchObserver, TuningResult, tune

CLOCKED = {"environment.json", "trials.parquet", STUDY_FILE}


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def without_next(folder: Path) -> dict[str, bytes]:
    return {name: data for name, data in files_of(folder).items() if not name.startswith(f"{NEXT}/")}


def write_search(folder: Path, word: str, trials: tuple[int, ...]) -> None:
    """The files of a finished search, whose content is a word."""
    for name in OUR_FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps({"tune": word, "file": name}))
    for trial in trials:
        path = folder / "predictions" / "svm" / f"{trial}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(word)


class Stopped(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("step", range(14))
def test_a_replacement_that_is_stopped_anywhere_is_finished_by_the_next_command(
    step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_search(tmp_path, "old", (0, 7))
    (tmp_path / f"{STUDY_FILE}-journal").write_text("half a transaction of the old search")
    (tmp_path / "mine.txt").write_text("mine")
    write_search(tmp_path / NEXT, "new", (0, 3))
    expected = {**files_of(tmp_path / NEXT), "mine.txt": b"mine"}
    n_steps = 0

    def stop(real, *arguments, **options):
        nonlocal n_steps
        n_steps += 1
        if n_steps > step:
            raise Stopped
        return real(*arguments, **options)

    with monkeypatch.context() as patch:
        for module, name in ((os, "replace"), (os, "rename"), (Path, "unlink")):
            real = getattr(module, name)
            patch.setattr(module, name, lambda *a, real=real, **k: stop(real, *a, **k))
        with pytest.raises(Stopped):
            replace_search(ModelFolder(tmp_path))
    finish_replacement_of_search(ModelFolder(tmp_path))
    if step == 0:  # the old search is whole: the command that made the new one goes on
        replace_search(ModelFolder(tmp_path))
    assert files_of(tmp_path) == expected


@pytest.mark.slow
def test_the_earlier_search_stays_until_the_new_one_is_whole(table: FeatureTable, tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    settings = TuneSettings(members=("logistic_regression",), folds=2, resamples=20)
    other = settings.model_copy(update={"seed": 1})
    place, budget = tmp_path / "tuned", SearchBudget(2)

    def overwrite(observer: SearchObserver | None = None) -> TuningResult:
        return tune(table, place, settings=other, budget=budget, overwrite=True, observer=observer)

    tune(table, place, settings=settings, budget=budget)
    earlier = without_next(place)

    def stop(trial: Trial, n_trials: int) -> None:
        assert without_next(place) == earlier
        raise Stopped

    with pytest.raises(Stopped):
        overwrite(SearchObserver(on_trial=stop))
    assert without_next(place) == earlier

    numbers: list[int] = []
    result = overwrite(SearchObserver(on_trial=lambda trial, _: numbers.append(trial.number)))
    assert numbers == [1]  # the trials of the stopped search are kept
    assert result.folder == place
    alone = tune(table, tmp_path / "alone", settings=other, budget=budget)
    assert result.members == alone.members
    new, fresh = files_of(place), files_of(tmp_path / "alone")
    assert set(new) == set(fresh)
    assert {name for name in new if new[name] != fresh[name]} <= CLOCKED


def test_a_search_of_a_third_configuration_begins_anew(tmp_path: Path) -> None:
    folder = ModelFolder(tmp_path)
    pytest.importorskip("optuna")
    write_search(tmp_path, "old", (0,))
    for word in ("second", "third"):
        place = claim_folder(folder, {"tune": word}, overwrite=True)
        assert place.path == tmp_path / NEXT
        assert json.loads((place.path / CONFIGURATION).read_text()) == {"tune": word}
        (place.path / STUDY_FILE).write_text(word)
    assert claim_folder(folder, {"tune": "third"}, overwrite=True).path == tmp_path / NEXT
    assert (tmp_path / NEXT / STUDY_FILE).read_text() == "third"
    assert (tmp_path / STUDY_FILE).read_text() != "third"
