"""`quintet tune`: what is searched, on which rows, and that it goes on where it stopped."""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from quintet.classifiers.registry import MEMBERS, make_member
from quintet.cli import main
from quintet.errors import ArtefactError, ConfigError, MissingExtraError
from quintet.features.storage.table import FeatureTable, read_feature_table
from quintet.pipeline.recipe import load_recipe
from quintet.pipeline.runner import run_recipe, tune_recipe
from quintet.settings import flatten_settings, nest_settings
from quintet.training.data import TrainingPart, gather
from quintet.training.train import TrainOptions, train
from quintet.tuning.spaces import SPACES, default_point, search_space
from quintet.tuning.study import Problem, Search
from quintet.tuning.tune import TuneSettings, _storage, read_settings, tune


def songs(path: Path, *, seed: int = 0, flip_test: bool = False, n_tracks: int = 24) -> Path:
    """Three classes apart by a little in 2 of 12 columns, three clips a track; the split is given, so that test labels decide nothing."""
    rng = np.random.default_rng(seed)
    rows = []
    for track in range(n_tracks):
        label = "abc"[track % 3]
        own = rng.normal(0, 0.5, size=12)
        for clip in range(3):
            x = own + rng.normal(size=12)
            x[0] += 1.5 * (label == "b")
            x[1] += 1.5 * (label == "c")
            part = "test" if track >= n_tracks - 6 else "train"
            shown = "abc"[(track + 1) % 3] if flip_test and part == "test" else label
            rows.append(
                {
                    "id": f"t{track:02d}_{clip}",
                    "label": shown,
                    "group": f"t{track:02d}",
                    "split": part,
                    **{f"x{j}": v for j, v in enumerate(x)},
                }
            )
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> FeatureTable:
    return read_feature_table(songs(tmp_path_factory.mktemp("songs") / "features.csv"))


def quick(**changes: Any) -> TuneSettings:
    return TuneSettings(**{"members": ("logistic_regression",), "folds": 3, "resamples": 200, **changes})


def content(result: Any) -> list[tuple[Any, ...]]:
    """A history without its times."""
    shown = result.trials.drop(columns="seconds")
    return [tuple(str(value) for value in row) for row in shown.itertuples(index=False)]


# ---------------------------------------------------------------------------------------------------------------- the spaces


def test_every_member_has_a_space() -> None:
    assert set(SPACES) == {row.name for row in MEMBERS}


@pytest.mark.parametrize("member", SPACES)
def test_a_space_holds_settings_that_the_member_has_and_its_default(member: str) -> None:
    space = search_space(member)
    place = default_point(member, space, {}, n_columns=50)
    settings = nest_settings(place)
    made = make_member(member, **settings)
    for name, limits in space.items():
        kind, *rest = limits
        assert place[name] in rest if kind == "choice" else rest[0] <= place[name] <= rest[1]
    default = {**make_member(member).get_params(deep=False)}
    known = flatten_settings({k: v for k, v in default.items() if v is not None})
    for name in set(place) & set(known) - {"gamma"}:
        assert place[name] == known[name], "the default lies within, not moved to a border"
    assert made.get_params()["seed"] == 0


def test_what_the_caller_holds_is_not_searched() -> None:
    assert set(search_space("svm", {"C": 1.0})) == {"gamma"}
    assert not [
        name
        for name in search_space("vgg_small", {"augmentation": {"mixup": 0.1}})
        if name.startswith("augmentation")
    ]
    with pytest.raises(ConfigError, match="left to search"):
        search_space("svm", {"C": 1.0, "gamma": 0.1})


# ---------------------------------------------------------------------------------------------------------------- the search


def test_a_bad_default_is_left_for_the_planted_optimum(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Narrow bells in two columns: with gamma far too small, an RBF kernel is nearly linear and cannot see a ring."""
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
        {"C": 1.0, "gamma": 1e-5, "calibration_folds": 3, "seed": 0},
    )
    found = tune(tmp_path / "ring.csv", tmp_path / "tuned", settings=quick(members=("svm",)), n_trials=8)
    svm = found.members["svm"]
    assert svm.default_value > 0.6
    assert svm.best_value < 0.3
    assert 0.05 < svm.settings["gamma"] <= 10.0
    assert svm.clear
    assert svm.gain.value == pytest.approx(svm.default_value - svm.best_value)


def test_trial_0_is_the_default_and_wins_a_tie(table: FeatureTable, tmp_path: Path) -> None:
    found = tune(table, tmp_path / "tuned", settings=quick(), n_trials=1)
    tuned = found.members["logistic_regression"]
    assert (tuned.best, tuned.settings, tuned.gain.value) == (0, {}, 0.0)
    assert tuned.gain_text == "nothing better than the default was found"
    assert not tuned.clear


@pytest.mark.parametrize("metric", ["log_loss", "macro_auc"])
def test_the_values_are_those_that_train_gets_out_of_fold(
    table: FeatureTable, tmp_path: Path, metric: str
) -> None:
    settings = quick(metric=metric)
    found = tune(table, tmp_path / "tuned", settings=settings, n_trials=5).members["logistic_regression"]
    for name, own, value in (
        ("default", {}, found.default_value),
        ("best", read_settings(tmp_path / "tuned" / "best.toml"), found.best_value),
    ):
        run = settings.training.model_copy(update={"settings": own, "rules": ("mean",)})
        scores = train(table, tmp_path / name, settings=run).scores["oof"]["logistic_regression"]["scores"]
        assert scores[metric]["value"] == pytest.approx(value, rel=1e-9)
    assert (
        found.best_value <= found.default_value
        if metric == "log_loss"
        else found.best_value >= found.default_value
    )
    assert found.gain.value >= 0


def test_an_interrupted_search_goes_on_to_the_same_trials(table: FeatureTable, tmp_path: Path) -> None:
    settings = quick()
    whole = tune(table, tmp_path / "whole", settings=settings, n_trials=13)
    fits = 0

    def stop(event: Any) -> None:
        nonlocal fits
        fits += event.kind == "start"
        if fits == 33:  # after ten trials at random TPE has begun to propose
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(table, tmp_path / "cut", settings=settings, n_trials=13, listener=stop)
    kept = pd.read_parquet(tmp_path / "cut" / "trials.parquet")
    assert 10 < len(kept) < 13
    fits = 32  # once more, in the first fit
    with pytest.raises(KeyboardInterrupt):
        tune(table, tmp_path / "cut", settings=settings, n_trials=13, listener=stop)
    again = tune(table, tmp_path / "cut", settings=settings, n_trials=13)
    assert content(again) == content(whole)
    assert (tmp_path / "cut" / "best.toml").read_text() == (tmp_path / "whole" / "best.toml").read_text()
    assert json.loads((tmp_path / "cut" / "tuning.json").read_text()) == json.loads(
        (tmp_path / "whole" / "tuning.json").read_text()
    )


def test_a_trial_that_died_without_a_word_is_given_up(table: FeatureTable, tmp_path: Path) -> None:
    settings = quick(folds=2)
    whole = tune(table, tmp_path / "whole", settings=settings, n_trials=12)
    tune(table, tmp_path / "cut", settings=settings, n_trials=11)
    problem = Problem.from_material(gather(table, settings.training), metric="log_loss")
    with _storage(tmp_path / "cut" / "study.sqlite") as storage:
        search = Search(
            "logistic_regression", {}, problem, tmp_path / "nowhere", 0, pruning=True, storage=storage
        )
        search.study.ask({})  # what `kill -9` leaves: a trial that runs for ever
    assert content(tune(table, tmp_path / "cut", settings=settings, n_trials=12)) == content(whole)
    with _storage(tmp_path / "cut" / "study.sqlite") as storage:
        states = [
            trial.state.name
            for trial in Search(
                "logistic_regression", {}, problem, tmp_path, 0, pruning=True, storage=storage
            ).study.trials
        ]
    assert "RUNNING" not in states
    assert states.count("FAIL") == 1


def test_a_finished_search_does_nothing_and_more_trials_go_on(table: FeatureTable, tmp_path: Path) -> None:
    first = tune(table, tmp_path / "tuned", settings=quick(), n_trials=3)

    def refuse(event: Any) -> None:
        raise AssertionError("nothing is fitted again")

    second = tune(table, tmp_path / "tuned", settings=quick(), n_trials=3, listener=refuse)
    assert not first.reused
    assert second.reused
    assert content(first) == content(second)
    third = tune(table, tmp_path / "tuned", settings=quick(), n_trials=5)
    assert content(third)[:3] == [
        (*row[:-1], after[-1]) for row, after in zip(content(first), content(third), strict=False)
    ]
    assert len(third.trials) == 5


def test_lost_predictions_are_made_again(table: FeatureTable, tmp_path: Path) -> None:
    first = tune(table, tmp_path / "tuned", settings=quick(), n_trials=6)
    files = sorted((tmp_path / "tuned" / "predictions" / "logistic_regression").glob("*.parquet"))
    assert {int(file.stem) for file in files} == {0, first.members["logistic_regression"].best}
    for file in files:
        file.unlink()
    assert tune(table, tmp_path / "tuned", settings=quick(), n_trials=6).members == first.members


def test_another_configuration_is_refused_with_what_differs(table: FeatureTable, tmp_path: Path) -> None:
    tune(table, tmp_path / "tuned", settings=quick(), n_trials=1)
    with pytest.raises(ArtefactError, match=r"tune\.metric: log_loss, now macro_auc"):
        tune(table, tmp_path / "tuned", settings=quick(metric="macro_auc"), n_trials=1)
    found = tune(table, tmp_path / "tuned", settings=quick(metric="macro_auc"), n_trials=2, overwrite=True)
    assert found.metric == "macro_auc"
    assert len(found.trials) == 2
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("mine")
    with pytest.raises(ArtefactError, match="folder of its own"):
        tune(table, tmp_path / "other", settings=quick(), n_trials=1, overwrite=True)
    assert (tmp_path / "other" / "thesis.txt").read_text() == "mine"


def test_a_hopeless_trial_stops_early(table: FeatureTable, tmp_path: Path) -> None:
    found = tune(table, tmp_path / "tuned", settings=quick(folds=4), n_trials=10)
    pruned = found.trials[found.trials["state"] == "pruned"]
    assert len(pruned)
    assert found.members["logistic_regression"].n_pruned == len(pruned)
    assert all(len(values) < 4 for values in pruned["fold_values"])
    assert not pruned["best"].any()
    off = tune(table, tmp_path / "off", settings=quick(folds=4, pruning=False), n_trials=3)
    assert set(off.trials["state"]) == {"complete"}
    assert all(len(values) == 4 for values in off.trials["fold_values"])


def test_time_ends_a_search_but_never_before_the_default(table: FeatureTable, tmp_path: Path) -> None:
    settings = quick(members=("logistic_regression", "svm"))
    found = tune(table, tmp_path / "tuned", settings=settings, n_trials=50, timeout_s=0.0)
    assert found.trials["member"].tolist() == ["logistic_regression", "svm"]
    assert found.trials["number"].tolist() == [0, 0]


# ------------------------------------------------------------------------------------------------------------------ the rows


def test_the_test_part_is_never_looked_at(tmp_path: Path) -> None:
    settings = quick(
        members=("logistic_regression", "random_forest"), settings={"random_forest": {"n_estimators": 5}}
    )
    true = tune(songs(tmp_path / "true.csv"), tmp_path / "a", settings=settings, n_trials=3)
    false = tune(songs(tmp_path / "false.csv", flip_test=True), tmp_path / "b", settings=settings, n_trials=3)
    assert content(true) == content(false)
    assert true.members == false.members
    wild = pd.read_csv(tmp_path / "true.csv")
    wild.loc[wild["split"] == "test", [f"x{j}" for j in range(12)]] = 1e6
    wild.to_csv(tmp_path / "wild.csv", index=False)
    assert content(tune(tmp_path / "wild.csv", tmp_path / "c", settings=settings, n_trials=3)) == content(
        true
    )


@pytest.mark.parametrize("protocol", ["group", "given"])
def test_no_group_stands_on_both_sides(table: FeatureTable, protocol: str) -> None:
    settings = quick(protocol=protocol, folds=None)
    material = gather(table, settings.training)
    problem = Problem.from_material(material, metric="log_loss")
    assert set(problem.part.ids) == set(material.ids[material.split.train])
    assert not set(problem.part.groups) & set(material.groups[material.split.test])
    held_out = np.concatenate([valid for _, valid in problem.part.folds])
    assert sorted(held_out) == list(range(len(problem.part.y)))
    for rest, valid in problem.part.folds:
        assert not set(problem.part.groups[rest]) & set(problem.part.groups[valid])


def test_members_are_fitted_on_the_rest_only(
    table: FeatureTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from quintet.classifiers.tabular.members import LogisticRegressionMember

    seen: list[tuple[set[str], set[str]]] = []
    fit, predict = LogisticRegressionMember.fit, LogisticRegressionMember.predict_proba

    def watched_fit(self: Any, X: Any, y: Any, groups: Any = None, **rest: Any) -> Any:
        self.fitted_on_ = set(groups)
        return fit(self, X, y, groups, **rest)

    def watched_predict(self: Any, X: Any) -> Any:
        seen.append((self.fitted_on_, {str(name).split("_")[0] for name in X.index}))
        return predict(self, X)

    monkeypatch.setattr(LogisticRegressionMember, "fit", watched_fit)
    monkeypatch.setattr(LogisticRegressionMember, "predict_proba", watched_predict)
    tune(table, tmp_path / "tuned", settings=quick(), n_trials=3)
    meta = table.meta
    test = set(meta.loc[meta["split"] == "test", "group"])
    assert len(seen) >= 9
    for fitted, asked in seen:
        assert not fitted & asked
        assert not (fitted | asked) & test


# ------------------------------------------------------------------------------------------------- several labels, networks


def test_label_sets_are_searched_too(tmp_path: Path) -> None:
    frame = pd.read_csv(songs(tmp_path / "one.csv"))
    frame["label"] = np.where(frame["x5"] > 0, frame["label"] + ";loud", frame["label"])
    frame.to_csv(tmp_path / "sets.csv", index=False)
    found = tune(tmp_path / "sets.csv", tmp_path / "tuned", settings=quick(metric="macro_auc"), n_trials=4)
    assert 0.5 < found.members["logistic_regression"].best_value <= 1.0


def test_a_network_is_searched_like_any_member(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(["high", "low"], 8)
    groups = np.array([f"g{i // 2}" for i in range(16)])
    pictures = [
        rng.normal(size=(32, 64)).astype(np.float32) + 2 * (label == "high") * (np.arange(32) > 16)[:, None]
        for label in labels
    ]
    from quintet.datasets.splits.protocols import grouped_folds
    from quintet.ensemble.crossfit import Inputs

    folds = grouped_folds(labels, groups.tolist(), n_splits=2, seed=0)
    ids = np.array([f"c{i}" for i in range(16)])
    part = TrainingPart(
        Inputs(None, pictures), ids, labels, labels, groups, groups, ("high", "low"), tuple(folds)
    )
    problem = Problem(part, "log_loss")
    held = {"epochs": 1, "patch_frames": 64, "filters": 8, "blocks": 2, "validation_share": 0.0}
    with _storage(tmp_path / "study.sqlite") as storage:
        search = Search("vgg_small", held, problem, tmp_path / "kept", 0, pruning=True, storage=storage)
        search.run(2, ends=None, on_trial=lambda trial: None)
        trials = search.finished_trials()
    assert [trial.state for trial in trials] == ["complete", "complete"]
    assert trials[0].settings == held
    assert set(trials[1].settings) == {*held, "learning_rate", "dropout", "augmentation"}
    assert set(trials[1].settings["augmentation"]) == {"mixup", "mask_bands"}


# ----------------------------------------------------------------------------------------------------------- the command line


def command(monkeypatch: pytest.MonkeyPatch, *words: object) -> None:
    monkeypatch.setattr(sys, "argv", ["quintet", *map(str, words)])
    with pytest.raises(SystemExit) as done:
        main()
    assert done.value.code in (0, None)


def test_from_the_command_line_to_a_tuned_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    features = songs(tmp_path / "features.csv")
    command(
        monkeypatch,
        "tune",
        features,
        "-o",
        tmp_path / "tuned",
        "-m",
        "svm,logistic_regression",
        "--trials",
        4,
        "--folds",
        3,
    )
    said = capsys.readouterr()
    assert "svm" in said.out
    assert "default" in said.out
    assert "--settings" in said.out
    assert "4/4" in said.err
    verdicts = [
        member["verdict"]
        for member in json.loads((tmp_path / "tuned" / "tuning.json").read_text())["members"].values()
    ]
    assert all(verdict in said.out for verdict in verdicts)
    best = tomllib.loads((tmp_path / "tuned" / "best.toml").read_text())["train"]["settings"]
    assert set(best) == {"svm", "logistic_regression"}
    words = (
        "--settings",
        tmp_path / "tuned" / "best.toml",
        "--set",
        "svm.C=3.5",
        "--folds",
        3,
        "--resamples",
        50,
        "-q",
    )
    command(monkeypatch, "train", features, "-o", tmp_path / "model", "-m", "svm,logistic_regression", *words)
    used = json.loads((tmp_path / "model" / "config.json").read_text())["train"]["settings"]
    assert used == {"svm": {**best["svm"], "C": 3.5}, "logistic_regression": best["logistic_regression"]}
    command(monkeypatch, "train", features, "-o", tmp_path / "two", "-m", "svm", *words)
    assert set(json.loads((tmp_path / "two" / "config.json").read_text())["train"]["settings"]) == {"svm"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[train]\nseed = 1\n", "sections such as"),
        ("[train.settings]\nsvm = 3\n", "sections such as"),
        ("[train.settings.svm]\nK = 3\n", "setting of 'svm'"),
        ("[train.settings.svn]\nC = 3\n", "svm"),
        ("C = ", "not one"),
    ],
)
def test_a_wrong_file_of_settings_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "best.toml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_settings(tmp_path / "best.toml")
    with pytest.raises(ConfigError, match="no file"):
        read_settings(tmp_path / "none.toml")


def test_without_optuna_it_says_what_to_install(
    table: FeatureTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtraError, match=r"quintet\[tune\]"):
        tune(table, tmp_path / "tuned", settings=quick())
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
def test_what_cannot_be_searched_is_refused(
    table: FeatureTable, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        tune(table, tmp_path / "tuned", settings=quick(**changes))
    assert not (tmp_path / "tuned").exists()


# ------------------------------------------------------------------------------------------------------------------- recipes


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe on a table's rows: its own settings, which the search must begin with."""
    file = tmp_path_factory.mktemp("recipe") / "mine.toml"
    file.write_text(
        'name = "mine"\n[data]\nsource = "demo"\nlimit = 4\n[features]\nset = "bahuleyan2018"\nfamilies = ["cepstral"]\n'
        '[train]\nmembers = ["svm", "random_forest"]\nrules = ["mean"]\nfolds = 2\nresamples = 50\nseed = 7\n'
        "[train.settings.random_forest]\nn_estimators = 7\nmin_samples_split = 5\n"
    )
    return file


def test_a_recipe_is_searched_from_its_own_settings_and_runs_with_what_was_found(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    command(monkeypatch, "tune", recipe, "-o", run, "--trials", 3, "--set", "svm.gamma=0.001")
    assert (
        f"quintet run {recipe} -o {run} --settings {run}/tuning/best.toml"
        in capsys.readouterr().out.replace("\n", "")
    )
    found = json.loads((run / "tuning" / "tuning.json").read_text())
    trials = (
        pd.read_parquet(run / "tuning" / "trials.parquet")
        .set_index(["member", "number"])["settings"]
        .map(json.loads)
    )
    assert trials["random_forest", 0] == {}
    assert set(trials["random_forest", 1]) == {"min_samples_split", "max_features"}, (
        "what is not searched stays the recipe's"
    )
    assert trials["svm", 0] == {"gamma": 0.001}
    assert set(trials["svm", 1]) == {"gamma", "C"}
    command(monkeypatch, "run", recipe, "-o", run, "--settings", run / "tuning" / "best.toml", "-q")
    config = json.loads((run / "model" / "config.json").read_text())
    best = {name: member["settings"] for name, member in found["members"].items()}
    assert (
        config["train"]["settings"]["random_forest"]
        == {"n_estimators": 7, "min_samples_split": 5} | best["random_forest"]
    )
    assert config["train"]["settings"]["svm"] == best["svm"]
    assert config["split"]["digest"] == found["split"], "the search saw the folds of the run"
    scores = json.loads((run / "model" / "scores.json").read_text())["oof"]
    for name, member in found["members"].items():
        assert scores[name]["scores"]["log_loss"]["value"] == pytest.approx(member["best_value"], rel=1e-9)
    assert json.loads((run / "model" / "tuning" / "tuning.json").read_text()) == found
    assert 'id="search"' in (run / "report" / "index.html").read_text(encoding="utf-8")


def test_the_first_trial_is_the_recipe_and_not_the_default(recipe: Path, tmp_path: Path) -> None:
    own = load_recipe(recipe)
    found = tune_recipe(own, tmp_path / "run", hooks={}, members=("random_forest",), n_trials=1).members[
        "random_forest"
    ]
    held = {"random_forest": own.train.settings["random_forest"]}
    table = read_feature_table(tmp_path / "run" / "features.parquet")
    given = TuneSettings(members=("random_forest",), settings=held, folds=2, seed=7, resamples=50)
    assert found.settings == {}
    assert (
        found.default_value
        == tune(table, tmp_path / "held", settings=given, n_trials=1).members["random_forest"].default_value
    )
    assert (
        found.default_value
        != tune(table, tmp_path / "none", settings=given.model_copy(update={"settings": {}}), n_trials=1)
        .members["random_forest"]
        .default_value
    )


def test_segments_are_not_searched(tmp_path: Path, recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (
        recipe.read_text().replace('"svm", "random_forest"', '"vgg_small"').split("[train.settings")[0]
        + "[segments]\nlength_s = 2.0\n"
    )
    (tmp_path / "net.toml").write_text(text)
    seen: dict[str, Any] = {}

    def caught(*args: Any, settings: TuneSettings, **rest: Any) -> None:
        seen["settings"] = settings

    monkeypatch.setattr("quintet.pipeline.runner.tune", caught)
    tune_recipe(load_recipe(tmp_path / "net.toml"), tmp_path / "run", hooks={}, n_trials=1)
    settings = seen["settings"]
    assert "patch_frames" not in settings.space("vgg_small")
    assert (
        settings.base_settings("vgg_small")["patch_frames"]
        == settings.base_settings("vgg_small")["hop_frames"]
        == 86
    )


def test_absent_weights_are_refused_as_a_run_refuses_them(
    recipe: Path, table: FeatureTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything runs: of a recipe in the very words of `run`, of a table too; unless what is held needs no weights."""
    from quintet.classifiers.networks.backend import load_keras

    load_keras()
    from quintet.classifiers.networks import images

    def unreachable(*args: Any, **rest: Any) -> None:
        raise OSError("no route")

    monkeypatch.setattr(images, "keras_home", lambda: str(tmp_path))
    monkeypatch.setattr(images, "urlopen", unreachable)
    text = (
        recipe.read_text()
        .replace('"svm", "random_forest"', '"svm", "vgg16_transfer"')
        .split("[train.settings")[0]
    )
    (tmp_path / "net.toml").write_text(text)
    own = load_recipe(tmp_path / "net.toml")
    said = []
    for command_ in (run_recipe, tune_recipe):
        with pytest.raises(
            ArtefactError, match=r"\[train\.settings\.vgg16_transfer\]: .*no route"
        ) as refused:
            command_(own, tmp_path / "run", hooks={})
        said.append(str(refused.value))
    assert said[0] == said[1]
    with pytest.raises(ArtefactError, match="no route"):
        tune(table, tmp_path / "run", settings=quick(members=("vgg16_transfer",)))
    assert not (tmp_path / "run").exists()
    monkeypatch.setattr("quintet.pipeline.runner.describe_clips", lambda *args, **rest: None)
    monkeypatch.setattr(
        "quintet.pipeline.runner.tune",
        lambda *args, settings, **rest: settings.base_settings("vgg16_transfer"),
    )
    held = {"vgg16_transfer": {"weights": "random", "size": 32}}
    assert tune_recipe(own, tmp_path / "run", hooks={}, held=held) == held["vgg16_transfer"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--members", "svn"), "Did you mean 'svm'"),
        (("--set", "svm.K=3"), "must be one of: C"),
        (("--set", "xgboost.max_depth=3"), "must be one of: svm, random_forest"),
        (("--seed", "3"), "--seed is for tables"),
        (("--folds", "3"), "--folds is for tables"),
        (("--metric", "auc"), "metric"),
        (("--data", "demmo"), "demo"),
    ],
)
def test_what_a_recipe_decides_is_refused_before_anything_runs(
    recipe: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.setattr(sys, "argv", ["quintet", "tune", str(recipe), "-o", str(tmp_path / "run"), *words])
    with pytest.raises(SystemExit) as done:
        main()
    assert done.value.code == 1
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "run" / "features.parquet").exists()


def test_data_and_scale_are_for_recipes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    features = songs(tmp_path / "features.csv")
    monkeypatch.setattr(
        sys, "argv", ["quintet", "tune", str(features), "-o", str(tmp_path / "t"), "--scale", "small"]
    )
    with pytest.raises(SystemExit):
        main()
    assert "--scale is for recipes" in capsys.readouterr().err


def test_a_search_that_is_not_finished_is_no_history(table: FeatureTable, tmp_path: Path) -> None:
    (tmp_path / "search").mkdir()
    with pytest.raises(ArtefactError, match=r"has no tuning\.json and no trials\.parquet"):
        train(
            table,
            tmp_path / "model",
            settings=quick().training,
            options=TrainOptions(search=tmp_path / "search"),
        )
    assert not (tmp_path / "model").exists()
