"""Search on a feature table: its rows, its result, and how an interrupted search continues."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from quintet.classifiers.tabular.members import LogisticRegressionMember, SVMMember
from quintet.errors import ArtefactError, ConfigError, MissingExtraError
from quintet.features.storage.table import FeatureTable
from quintet.training.train import TrainOptions, train
from quintet.tuning.search_settings import SearchBudget, TuneSettings
from quintet.tuning.settings_file import read_settings
from quintet.tuning.spaces import SPACES
from quintet.tuning.tune import SearchObserver, TuningResult, tune

QUICK = TuneSettings(members=("logistic_regression",), folds=3, resamples=200)


def quick(**changes: object) -> TuneSettings:
    return TuneSettings.model_validate({**QUICK.model_dump(), **changes})


def history(result: TuningResult) -> list[tuple[str, ...]]:
    """The trials without their times."""
    columns = result.trials.drop(columns="seconds")
    return [tuple(str(value) for value in row) for row in columns.itertuples(index=False)]


def search(
    table: FeatureTable | Path, folder: Path, n_trials: int, settings: TuneSettings = QUICK
) -> TuningResult:
    return tune(table, folder, settings=settings, budget=SearchBudget(n_trials))


# ---------------------------------------------------------------------------------------------- result


@pytest.mark.slow
def test_a_planted_optimum_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ring around a disc: an RBF kernel with a far too small gamma is almost linear."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(150, 2))
    inside = np.linalg.norm(X, axis=1) < 1.1
    frame = pd.DataFrame(
        {
            "id": [f"c{i}" for i in range(150)],
            "label": np.where(inside, "in", "out"),
            "group": [f"g{i // 2}" for i in range(150)],
        }
    )
    frame[["x", "y"]] = X
    frame.to_csv(tmp_path / "ring.csv", index=False)
    monkeypatch.setitem(SPACES, "svm", {"gamma": ("float", 1e-5, 10.0, True)})
    monkeypatch.setattr(
        "quintet.classifiers.tabular.members.SVMMember.__init__.__kwdefaults__",
        {**SVMMember.__init__.__kwdefaults__, "C": 1.0, "gamma": 1e-5, "calibration_folds": 3},
    )
    svm = search(tmp_path / "ring.csv", tmp_path / "tuned", 8, quick(members=("svm",))).members["svm"]
    assert svm.default_value > 0.6
    assert svm.best_value < 0.3
    assert 0.05 < svm.settings["gamma"] <= 10.0
    assert svm.clear
    assert svm.gain.value == pytest.approx(svm.default_value - svm.best_value)


def test_trial_0_is_the_default_and_wins_a_tie(table: FeatureTable, tmp_path: Path) -> None:
    tuned = search(table, tmp_path / "tuned", 1).members["logistic_regression"]
    assert (tuned.best, tuned.settings, tuned.gain.value) == (0, {}, 0.0)
    assert "nothing better" in tuned.gain_text
    assert not tuned.clear


@pytest.mark.parametrize("metric", ["log_loss", pytest.param("macro_auc", marks=pytest.mark.slow)])
def test_the_values_are_the_out_of_fold_scores_of_train(
    table: FeatureTable, tmp_path: Path, metric: str
) -> None:
    settings = quick(metric=metric)
    tuned = search(table, tmp_path / "tuned", 5, settings).members["logistic_regression"]
    best = read_settings(tmp_path / "tuned" / "best.toml")
    for name, chosen, value in (("default", {}, tuned.default_value), ("best", best, tuned.best_value)):
        run = settings.training.model_copy(update={"settings": chosen, "rules": ("mean",)})
        scores = train(table, tmp_path / name, settings=run).scores["oof"]["logistic_regression"]["scores"]
        assert scores[metric]["value"] == pytest.approx(value, rel=1e-9)
    smaller_is_better = metric == "log_loss"
    values = (tuned.default_value, tuned.best_value)
    assert tuned.best_value == (min(values) if smaller_is_better else max(values))
    assert tuned.gain.value >= 0


@pytest.mark.slow
def test_a_hopeless_trial_stops_early(table: FeatureTable, tmp_path: Path) -> None:
    result = search(table, tmp_path / "tuned", 10, quick(folds=4))
    pruned = result.trials[result.trials["state"] == "pruned"]
    assert len(pruned)
    assert result.members["logistic_regression"].n_pruned == len(pruned)
    assert all(len(values) < 4 for values in pruned["fold_values"])
    assert not pruned["best"].any()
    unpruned = search(table, tmp_path / "off", 3, quick(folds=4, pruning=False))
    assert set(unpruned.trials["state"]) == {"complete"}
    assert all(len(values) == 4 for values in unpruned.trials["fold_values"])


def test_time_ends_a_search_but_never_before_the_default(table: FeatureTable, tmp_path: Path) -> None:
    settings = quick(members=("logistic_regression", "svm"))
    result = tune(table, tmp_path / "tuned", settings=settings, budget=SearchBudget(50, timeout_s=0.0))
    assert result.trials["member"].tolist() == ["logistic_regression", "svm"]
    assert result.trials["number"].tolist() == [0, 0]


def test_label_sets_are_searched_too(write_songs: Callable[..., Path], tmp_path: Path) -> None:
    frame = pd.read_csv(write_songs(tmp_path / "one.csv"))
    frame["label"] = np.where(frame["x5"] > 0, frame["label"] + ";loud", frame["label"])
    frame.to_csv(tmp_path / "sets.csv", index=False)
    result = search(tmp_path / "sets.csv", tmp_path / "tuned", 4, quick(metric="macro_auc"))
    assert 0.5 < result.members["logistic_regression"].best_value <= 1.0


# ---------------------------------------------------------------------------------------------- continuation


@pytest.mark.slow
def test_an_interrupted_search_continues_to_the_same_trials(table: FeatureTable, tmp_path: Path) -> None:
    whole = search(table, tmp_path / "whole", 13)
    fits = 0

    def stop(event: object) -> None:
        nonlocal fits
        fits += getattr(event, "kind", "") == "start"
        if fits == 33:  # after ten random trials, when TPE has begun to propose
            raise KeyboardInterrupt

    def search_until_stop() -> None:
        budget, observer = SearchBudget(13), SearchObserver(stop)
        with pytest.raises(KeyboardInterrupt) as interrupt:
            tune(table, tmp_path / "cut", settings=QUICK, budget=budget, observer=observer)
        assert str(tmp_path / "cut" / "best.toml") in interrupt.value.__notes__[0]

    search_until_stop()
    trials = pd.read_parquet(tmp_path / "cut" / "trials.parquet")
    assert 10 < len(trials) < 13
    best = json.loads(trials.loc[trials["best"], "settings"].item())
    assert read_settings(tmp_path / "cut" / "best.toml") == {"logistic_regression": best}
    assert json.loads((tmp_path / "cut" / "tuning.json").read_text())["interrupted"]
    fits = 32  # interrupt again in the first fit
    search_until_stop()
    assert history(search(table, tmp_path / "cut", 13)) == history(whole)
    for name in ("best.toml", "tuning.json"):
        assert (tmp_path / "cut" / name).read_text() == (tmp_path / "whole" / name).read_text()


def test_an_interrupt_before_the_first_trial_leaves_no_settings(table: FeatureTable, tmp_path: Path) -> None:
    def stop(event: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as interrupt:
        tune(table, tmp_path, settings=QUICK, budget=SearchBudget(2), observer=SearchObserver(stop))
    assert not hasattr(interrupt.value, "__notes__")
    assert not (tmp_path / "best.toml").exists()


def test_a_finished_search_fits_nothing(table: FeatureTable, tmp_path: Path) -> None:
    first = search(table, tmp_path / "tuned", 3)

    def refuse(event: object) -> None:
        raise AssertionError("nothing is fitted again")

    budget, observer = SearchBudget(3), SearchObserver(refuse)
    second = tune(table, tmp_path / "tuned", settings=QUICK, budget=budget, observer=observer)
    assert not first.reused
    assert second.reused
    assert history(first) == history(second)


def test_more_trials_continue_a_search(table: FeatureTable, tmp_path: Path) -> None:
    first = history(search(table, tmp_path / "tuned", 3))
    second = history(search(table, tmp_path / "tuned", 5))
    assert len(second) == 5
    for before, after in zip(first, second, strict=False):
        assert before[:-1] == after[:-1]  # the last column marks the best trial, which may change


@pytest.mark.slow
def test_lost_predictions_are_made_again(table: FeatureTable, tmp_path: Path) -> None:
    first = search(table, tmp_path / "tuned", 6)
    files = sorted((tmp_path / "tuned" / "predictions" / "logistic_regression").glob("*.parquet"))
    assert {int(file.stem) for file in files} == {0, first.members["logistic_regression"].best}
    for file in files:
        file.unlink()
    assert search(table, tmp_path / "tuned", 6).members == first.members


def test_another_configuration_is_refused_with_the_difference(table: FeatureTable, tmp_path: Path) -> None:
    search(table, tmp_path / "tuned", 1)
    other = quick(metric="macro_auc")
    with pytest.raises(ArtefactError, match=r"tune\.metric: log_loss, now macro_auc"):
        search(table, tmp_path / "tuned", 1, other)
    budget = SearchBudget(2)
    result = tune(table, tmp_path / "tuned", settings=other, budget=budget, overwrite=True)
    assert result.metric == "macro_auc"
    assert len(result.trials) == 2


def test_a_folder_with_other_files_is_refused(table: FeatureTable, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ArtefactError, match="folder of its own"):
        tune(table, tmp_path, settings=QUICK, budget=SearchBudget(1), overwrite=True)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


# ---------------------------------------------------------------------------------------------- rows


@pytest.mark.slow
def test_the_test_part_is_not_used(write_songs: Callable[..., Path], tmp_path: Path) -> None:
    settings = quick(
        members=("logistic_regression", "random_forest"), settings={"random_forest": {"n_estimators": 5}}
    )
    right = search(write_songs(tmp_path / "right.csv"), tmp_path / "a", 3, settings)
    wrong = search(write_songs(tmp_path / "wrong.csv", flip_test=True), tmp_path / "b", 3, settings)
    assert history(right) == history(wrong)
    assert right.members == wrong.members
    frame = pd.read_csv(tmp_path / "right.csv")
    frame.loc[frame["split"] == "test", [f"x{j}" for j in range(12)]] = 1e6
    frame.to_csv(tmp_path / "huge.csv", index=False)
    assert history(search(tmp_path / "huge.csv", tmp_path / "c", 3, settings)) == history(right)


def test_members_are_fitted_on_the_other_folds_only(
    table: FeatureTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[set[str], set[str]]] = []  # groups of the fit, groups of the prediction
    fit, predict = LogisticRegressionMember.fit, LogisticRegressionMember.predict_proba

    def recorded_fit(
        self: LogisticRegressionMember, X: pd.DataFrame, y: NDArray[np.str_], groups: NDArray[np.str_]
    ) -> LogisticRegressionMember:
        self.fitted_on_ = set(groups)
        return fit(self, X, y, groups)

    def recorded_predict(self: LogisticRegressionMember, X: pd.DataFrame) -> NDArray[np.float64]:
        calls.append((self.fitted_on_, {str(name).split("_")[0] for name in X.index}))
        return predict(self, X)

    monkeypatch.setattr(LogisticRegressionMember, "fit", recorded_fit)
    monkeypatch.setattr(LogisticRegressionMember, "predict_proba", recorded_predict)
    search(table, tmp_path / "tuned", 3)
    test = set(table.meta.loc[table.meta["split"] == "test", "group"])
    assert len(calls) >= 9
    for fitted, predicted in calls:
        assert not fitted & predicted
        assert not (fitted | predicted) & test


# ---------------------------------------------------------------------------------------------- refusals


def test_without_optuna_the_error_names_the_extra(
    table: FeatureTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtraError, match=r"quintet-music\[tune\]"):
        tune(table, tmp_path / "tuned", settings=QUICK)
    assert not (tmp_path / "tuned").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"members": ("svn",)}, "svm"),
        ({"members": ()}, "at least one member"),
        ({"settings": {"svm": {"C": 1.0}}}, "held"),
        ({"settings": {"logistic_regression": {"c": 1.0}}}, "must be one of: C"),
        ({"settings": {"logistic_regression": {"C": 1.0}}}, "left to search"),
    ],
)
def test_an_impossible_search_is_refused(
    table: FeatureTable, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        tune(table, tmp_path / "tuned", settings=quick(**changes))
    assert not (tmp_path / "tuned").exists()


def test_an_unfinished_search_cannot_be_part_of_a_model(table: FeatureTable, tmp_path: Path) -> None:
    (tmp_path / "search").mkdir()
    options = TrainOptions(search=tmp_path / "search")
    with pytest.raises(ArtefactError, match=r"tuning\.json .* trials\.parquet"):
        train(table, tmp_path / "model", settings=QUICK.training, options=options)
    assert not (tmp_path / "model").exists()


def test_the_result_is_written_as_json(table: FeatureTable, tmp_path: Path) -> None:
    tuned = search(table, tmp_path / "tuned", 2).members["logistic_regression"]
    content = json.loads((tmp_path / "tuned" / "tuning.json").read_text())
    row = content["members"]["logistic_regression"]
    assert (row["best"], row["settings"], row["verdict"]) == (tuned.best, tuned.settings, tuned.gain_text)
