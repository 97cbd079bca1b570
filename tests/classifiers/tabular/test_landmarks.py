"""Sizes at many rows: machines of landmarks against the closed form, early stopping, samples of forests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

import quintet
from quintet.classifiers import sizes
from quintet.classifiers.registry import make_member
from quintet.classifiers.storage import load_member, save_member
from quintet.classifiers.tabular import early_stopping, landmarks
from quintet.classifiers.tabular.landmarks import LandmarkMachine, fit_landmark_machines
from quintet.classifiers.tabular.members import TableMember
from quintet.classifiers.tabular.svm import MarginClassifier
from quintet.errors import ArtefactError
from quintet.explanation.refits import refits
from quintet.explanation.shapley.svm_shap import kernel_shapley
from quintet.features.storage.external_table import Roles, foreign_table
from quintet.frozen.freezing import freeze_table
from quintet.model_folder.run import read_run
from quintet.training.settings import TrainSettings

Floats = NDArray[np.float64]
GAMMA, C = 0.1, 3.0


def data(n: int = 90, k: int = 3) -> tuple[Floats, NDArray[np.int64], NDArray[np.str_]]:
    rng = np.random.default_rng(0)
    y = np.arange(n) % k
    return rng.normal(size=(n, 4)) + y[:, None], y, np.array([f"g{i // 3}" for i in range(n)])


def kernel(a: Floats, b: Floats) -> Floats:
    return np.asarray(np.exp(-GAMMA * ((a[:, None] - b[None]) ** 2).sum(axis=2)))


def closed_form(X: Floats, is_class: NDArray[np.bool_], marks: Floats) -> Floats:
    """The weighted least squares of one machine, as rows of a single system that lstsq solves."""
    n, n_own = len(X), int(is_class.sum())
    weight = np.where(is_class, n / (2 * n_own), n / (2 * (n - n_own)))
    rows = np.sqrt(weight)[:, None] * np.column_stack([kernel(X, marks), np.ones(n)])
    root = np.linalg.cholesky(kernel(marks, marks) + 1e-12 * np.eye(len(marks))).T / np.sqrt(C)
    system = np.vstack([rows, np.column_stack([root, np.zeros(len(marks))])])
    target = np.concatenate([np.sqrt(weight) * np.where(is_class, 1.0, -1.0), np.zeros(len(marks))])
    return np.asarray(np.linalg.lstsq(system, target, rcond=None)[0])


@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_machines_and_their_held_out_values_are_those_of_the_closed_form(
    monkeypatch: pytest.MonkeyPatch, n_classes: int
) -> None:
    X, y, _ = data(k=n_classes)
    rows = np.arange(90)
    folds = [(rows[rows % 4 != f], rows[rows % 4 == f]) for f in range(3)]  # no fold holds out the rest
    seen: list[Floats] = []
    monkeypatch.setattr(landmarks, "JITTER", 1e-14)
    monkeypatch.setattr(landmarks, "BLOCK_NUMBERS", 200)  # several blocks
    monkeypatch.setattr(landmarks, "calibrate", lambda d, *_: (seen.append(d), (1.0, 0.0))[1])
    fitted = fit_landmark_machines(X, y, folds, C=C, gamma=GAMMA, n_landmarks=20, seed=0)
    machine = fitted.machines[0]
    assert isinstance(machine, LandmarkMachine)
    marks = machine.support_vectors_
    assert len(marks) == 20
    for j, k in enumerate([1] if n_classes == 2 else range(n_classes)):
        own = fitted.machines[j]
        assert isinstance(own, LandmarkMachine)
        expected = closed_form(X, y == k, marks)
        values = kernel(X, marks) @ expected[:-1] + expected[-1]
        assert own.decision_function(X) == pytest.approx(values, abs=1e-6)
        for train, valid in folds:
            expected = closed_form(X[train], y[train] == k, marks)
            values = kernel(X[valid], marks) @ expected[:-1] + expected[-1]
            assert seen[0][valid, j] == pytest.approx(values, abs=1e-6)


def test_a_class_without_rows_outside_a_fold_has_no_machine_there(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y, _ = data(k=3)
    seen: list[Floats] = []
    monkeypatch.setattr(landmarks, "calibrate", lambda d, *_: (seen.append(d), (1.0, 0.0))[1])
    valid = np.flatnonzero(y == 2)
    folds = [(np.flatnonzero(y != 2), valid), (valid, np.flatnonzero(y != 2))]
    fitted = fit_landmark_machines(X, y, folds, C=C, gamma="scale", n_landmarks=500, seed=0)
    assert all(isinstance(machine, LandmarkMachine) for machine in fitted.machines)
    assert (seen[0][valid, 2] == -1).all()
    assert (seen[0][valid, :2] != -1).all()
    assert len(fitted.machines[0].support_vectors_) == 90  # type: ignore[union-attr]


@pytest.mark.parametrize("n_classes", [2, 4])
def test_a_member_with_landmarks_is_stored_frozen_and_explained(tmp_path: Path, n_classes: int) -> None:
    X, y, groups = data(k=n_classes)
    table = pd.DataFrame(X, columns=["a.x", "a.y", "b.x", "b.y"])
    member = make_member("svm", landmarks=25, calibration_folds=3).fit(table, y.astype(str), groups)
    expected = member.predict_proba(table)
    assert (expected.argmax(axis=1) == y).mean() > 0.5
    save_member(member, tmp_path / "svm")
    assert np.array_equal(load_member(tmp_path / "svm").predict_proba(table), expected)
    assert isinstance(member, TableMember)
    frozen = freeze_table(member, list(table.columns))
    assert frozen.probabilities(X, None) == pytest.approx(expected, abs=1e-12)
    model = member.models_[0]
    assert isinstance(model, MarginClassifier)
    rows = member.prepare(table)
    values, bases = kernel_shapley(model.machines, rows[:5], rows[20:40])  # type: ignore[arg-type]
    for j, machine in enumerate(model.machines):
        assert machine is not None
        total = values[:, :, j].sum(axis=1) + bases[j]
        assert total == pytest.approx(machine.decision_function(rows[:5]), abs=1e-12)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("coefficients", lambda values: values[:, :-1]),
        ("coefficients", lambda values: np.full_like(values, np.nan)),
        ("landmarks", lambda values: values[:, :-1]),
        ("intercepts", lambda values: values[:-1]),
        ("gamma", lambda values: -values),
    ],
)
def test_landmarks_that_do_not_fit_are_refused(tmp_path: Path, name: str, change) -> None:
    X, y, groups = data()
    save_member(make_member("svm", landmarks=9).fit(X, y.astype(str), groups), tmp_path / "svm")
    file = tmp_path / "svm" / "model_00.npz"
    with np.load(file) as stored:
        arrays = dict(stored)
    np.savez(file, **{**arrays, name: change(arrays[name])})
    with pytest.raises(ArtefactError, match="stored member"):
        load_member(tmp_path / "svm")


def test_boosting_stops_on_groups_that_it_was_not_fitted_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, y, groups = data(150)
    folds: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    real = early_stopping.held_out_groups

    def noted(*arguments, **options):
        folds[:] = real(*arguments, **options)
        return folds

    monkeypatch.setattr(early_stopping, "held_out_groups", noted)
    settings = {"n_estimators": 300, "early_stopping_rounds": 3, "learning_rate": 0.5}
    member = make_member("xgboost", **settings).fit(X, y.astype(str), groups)
    assert isinstance(member, TableMember)
    n_rounds = member.models_[0].get_booster().num_boosted_rounds()  # type: ignore[union-attr]
    assert 0 < n_rounds < 300
    train, valid = folds[0]
    assert not set(groups[train]) & set(groups[valid])
    alone = make_member("xgboost", **{**settings, "n_estimators": n_rounds, "early_stopping_rounds": None})
    alone.fit(X[train], y[train].astype(str))
    assert member.predict_proba(X) == pytest.approx(alone.predict_proba(X), abs=1e-6)
    save_member(member, tmp_path / "xgboost")
    assert np.array_equal(load_member(tmp_path / "xgboost").predict_proba(X), member.predict_proba(X))


def test_a_forest_draws_no_more_rows_than_there_are() -> None:
    X, y, groups = data()
    every, bounded, more = (
        make_member("random_forest", n_estimators=5, max_samples=size).fit(X, y.astype(str), groups)
        for size in (None, 30, 10_000)
    )
    assert np.array_equal(every.predict_proba(X), more.predict_proba(X))
    assert not np.array_equal(every.predict_proba(X), bounded.predict_proba(X))


@pytest.mark.parametrize(("n_columns", "n_tried"), [(1, 1), (40, 6), (97, 9), (100, 10), (400, 40)])
def test_a_forest_tries_the_root_of_the_columns_or_a_tenth_of_them(n_columns: int, n_tried: int) -> None:
    X = np.random.default_rng(0).normal(size=(30, n_columns))
    y = np.repeat(["a", "b"], 15)
    usual, other, more = (
        make_member("random_forest", n_estimators=3, seed=1, **settings).fit(X, y)
        for settings in ({}, {"max_features": n_tried}, {"max_features": min(n_tried + 7, n_columns)})
    )
    assert np.array_equal(usual.predict_proba(X), other.predict_proba(X))
    assert n_columns == 1 or not np.array_equal(usual.predict_proba(X), more.predict_proba(X))


def test_what_many_rows_bound_is_said_unless_it_was_chosen() -> None:
    chosen: dict[str, dict[str, object]] = {"random_forest": {"max_samples": None}}
    both = sizes.size_note(["random_forest"], {}, sizes.MANY_ROWS + 1)
    one = sizes.size_note(["random_forest"], chosen, sizes.MANY_ROWS + 1)
    assert both is not None
    assert one is not None
    assert "drawn from" in both
    assert "root" in both
    assert "drawn from" not in one
    assert "root" in one
    chosen["random_forest"]["max_features"] = "tenth"
    assert sizes.size_note(["random_forest"], chosen, sizes.MANY_ROWS + 1) is None


def test_many_rows_change_the_members_of_every_fold_alike_and_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, y, groups = data(96)
    frame = pd.DataFrame(X, columns=["a.x", "a.y", "b.x", "b.y"])
    frame["id"], frame["label"], frame["group"] = [f"clip{i}" for i in range(96)], y.astype(str), groups[:96]
    settings = TrainSettings(members=("svm",), rules=("mean",), rule="mean", resamples=0, folds=2)
    monkeypatch.setattr(sizes, "MANY_ROWS", 60)  # fewer than the training part, more than a fold
    monkeypatch.setitem(sizes.SIZES, "svm", {"landmarks": 12})
    result = quintet.train(foreign_table(frame, Roles(), name="t"), tmp_path / "model", settings=settings)
    assert any("12 landmarks" in note for note in result.notes)
    run = read_run(tmp_path / "model")
    for refit in refits(run, "svm"):
        assert refit.member.get_params()["landmarks"] == 12
    assert quintet.load_model(tmp_path / "model").members_["svm"].get_params()["landmarks"] == 12
