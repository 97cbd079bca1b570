"""The importance of columns that training keeps by fold is the one of members that are fitted again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import quintet
from quintet.ensemble.crossfit import Trainer
from quintet.explanation import members as why
from quintet.explanation.stability import fold_rankings, fold_stability, stored_rankings
from quintet.model_folder.run import Run, read_run
from quintet.training.settings import TrainSettings

MEMBERS = ("svm", "random_forest", "logistic_regression")
RANKED = MEMBERS[1:]
SETTINGS: dict[str, dict[str, object]] = {
    "random_forest": {"n_estimators": 5},
    "svm": {"calibration_folds": 2},
    "logistic_regression": {"C": "auto"},
}


def train_run(folder: Path, *, test_size: float, members: tuple[str, ...] = MEMBERS) -> Run:
    rng = np.random.default_rng(5)
    track = np.repeat(np.arange(18), 2)
    values = pd.DataFrame(rng.normal(size=(36, 4)), columns=[f"cepstral.{i}.mean" for i in range(4)])
    values["cepstral.2.mean"] += 2.0 * (track % 2)
    values.iloc[3, 1] = np.nan
    about = pd.DataFrame({"label": np.array(list("ab"))[track % 2], "group": track}).astype(str)
    # the rows of a table need not be in the order of their ids
    pd.concat([about.assign(id=[f"clip {(i * 7) % 36:02d}" for i in range(36)]), values], axis=1).to_csv(
        folder / "clips.csv", index=False
    )
    settings = TrainSettings(
        members=members,
        settings={name: SETTINGS[name] for name in members},
        folds=3,
        resamples=10,
        rules=("mean",),
        test_size=test_size,
    )
    quintet.train(folder / "clips.csv", folder / "model", settings=settings)
    return read_run(folder / "model")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train_run(tmp_path_factory.mktemp("kept"), test_size=0.3)


def test_the_kept_importance_is_that_of_members_that_are_fitted_again(run: Run) -> None:
    kept = stored_rankings(run, MEMBERS)
    assert set(kept) == set(RANKED)
    for name in RANKED:
        again = fold_rankings(run, name)
        pd.testing.assert_frame_equal(kept[name], again, check_exact=True, check_names=False)
        assert list(again.columns) == ["fold 0", "fold 1", "fold 2"]


def test_no_member_is_fitted_for_the_stability_of_rankings_that_training_kept(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    older = replace(run, importance=pd.DataFrame())  # as read from a folder of an earlier version
    expected = fold_stability(older, members=RANKED)
    pd.testing.assert_frame_equal(why.explain_run(older).folds.loc[list(RANKED)], expected)
    notice = capsys.readouterr().err
    assert all(name in notice for name in RANKED)

    def fit(*_: object, **__: object) -> None:
        raise AssertionError("a member was fitted")

    monkeypatch.setattr(Trainer, "fit", fit)
    pd.testing.assert_frame_equal(why.explain_run(run).folds.loc[list(RANKED)], expected)
    assert not capsys.readouterr().err


def test_nothing_is_kept_if_the_report_explains_the_clips_of_the_folds(tmp_path: Path) -> None:
    run = train_run(tmp_path, test_size=0.0, members=("random_forest",))
    assert run.importance.empty
