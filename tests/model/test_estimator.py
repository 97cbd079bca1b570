"""The public ensemble: SHAP values, and a model folder that is written and read without audio."""

from __future__ import annotations

import json
import pickle
from itertools import permutations
from math import comb
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import quintet
from quintet.ensemble.calibration import Calibration
from quintet.errors import ArtefactError, ConfigError
from quintet.explanation.importance import outputs
from quintet.model.shap_values import is_sum_of_trees
from quintet.model_folder.folder import relist

MEMBERS = ("logistic_regression", "random_forest")
SETTINGS = {"random_forest": {"n_estimators": 5}}
COLUMNS = ["timbre.a", "timbre.b", "rhythm.c"]


def rows(n: int = 36) -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(0)
    y = np.arange(n) % 3
    values = rng.normal(size=(n, 3)) + 1.5 * np.eye(3)[y]
    return pd.DataFrame(values.astype(np.float32), columns=COLUMNS), y


@pytest.fixture(scope="module")
def fitted() -> quintet.EnsembleClassifier:
    X, y = rows()
    ensemble = quintet.EnsembleClassifier(
        MEMBERS, n_splits=2, rule="weighted", rules=("mean", "weighted"), settings=SETTINGS
    )
    return ensemble.fit(X, y)


@pytest.fixture(scope="module")
def folder(fitted: quintet.EnsembleClassifier, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fitted.save(tmp_path_factory.mktemp("models") / "model")


def by_orders(fitted: quintet.EnsembleClassifier, x: np.ndarray, background: np.ndarray) -> np.ndarray:
    """(columns, classes): mean change of the mean prediction when a column joins, over all orders."""
    total = np.zeros((3, 3))
    for order in permutations(range(3)):
        mixed = background.copy()
        before = fitted.predict_proba(pd.DataFrame(mixed, columns=COLUMNS)).mean(axis=0)
        for column in order:
            mixed[:, column] = x[column]
            after = fitted.predict_proba(pd.DataFrame(mixed, columns=COLUMNS)).mean(axis=0)
            total[column] += after - before
            before = after
    return total / 6


def test_values_of_the_ensemble_are_shapley_values(fitted: quintet.EnsembleClassifier) -> None:
    X, _ = rows()
    background = X.iloc[:7]
    values = fitted.shap_values(X.iloc[20:22], parts="columns", background=background)
    for k in range(2):
        expected = by_orders(fitted, X.to_numpy()[20 + k], background.to_numpy())
        np.testing.assert_allclose(values.values[k], expected, atol=1e-12)
    assert values.feature_names == COLUMNS
    np.testing.assert_array_equal(values.data, X.iloc[20:22].to_numpy(np.float64))


def test_values_of_families_add_up_to_the_probability(fitted: quintet.EnsembleClassifier) -> None:
    X, _ = rows()
    values = fitted.shap_values(X.iloc[:4])
    assert values.feature_names == ["timbre", "rhythm"]
    assert values.values.shape == values.error_std.shape == (4, 2, 3)
    np.testing.assert_allclose(
        values.values.sum(axis=1) + values.base_values, fitted.predict_proba(X.iloc[:4]), atol=1e-12
    )
    joined = fitted.shap_values(X.iloc[:4], parts={"all": COLUMNS})
    np.testing.assert_allclose(joined.values[:, 0], values.values.sum(axis=1), atol=1e-12)


def every_coalition(fitted: quintet.EnsembleClassifier, x: np.ndarray, background: np.ndarray) -> np.ndarray:
    """(columns, classes): Shapley values from the mean prediction of each of the 2^d coalitions."""
    d = len(x)
    has = (np.arange(2**d)[:, None] >> np.arange(d)) & 1 == 1
    mixed = np.where(has[:, None, :], x, background)
    values = fitted.predict_proba(mixed.reshape(-1, d)).reshape(2**d, len(background), -1).mean(axis=1)
    weight = np.array([1 / (d * comb(d - 1, s)) for s in range(d)])
    size = has.sum(axis=1)
    result = []
    for j in range(d):
        without = np.flatnonzero(~has[:, j])
        gains = values[without + (1 << j)] - values[without]
        result.append((weight[size[without]][:, None] * gains).sum(axis=0))
    return np.array(result)


def test_values_of_many_columns_are_estimates_with_honest_errors_and_an_exact_sum() -> None:
    rng = np.random.default_rng(1)
    y = np.arange(48) % 2
    X = rng.normal(size=(48, 13)) + 1.2 * y[:, None] * (np.arange(13) < 5)
    ensemble = quintet.EnsembleClassifier(("logistic_regression", "svm"), n_splits=2, rules=("geometric",))
    ensemble.fit(X, y)
    some, background = X[:3], X[20:23]
    values = ensemble.shap_values(some, parts="columns", background=background, n_orders=64)
    assert values.values.shape == values.error_std.shape == (3, 13, 2)
    total = values.values.sum(axis=1) + values.base_values
    np.testing.assert_allclose(total, ensemble.predict_proba(some), atol=1e-12)
    expected = np.array([every_coalition(ensemble, row, background) for row in some])
    z = (values.values - expected) / values.error_std
    assert 0.2 < z.std() < 1.3  # background rows take turns, which makes the values better than their errors
    assert np.abs(z).max() < 5
    assert np.abs(values.values - expected).max() < 0.15 * np.abs(expected).max()
    assert values.error_std.max() < 0.2 * np.abs(expected).max()
    with pytest.raises(ConfigError, match="even number of orders"):
        ensemble.shap_values(some, parts="columns", n_orders=3)


@pytest.mark.parametrize("multilabel", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_values_of_many_columns_are_exact_where_forests_are_joined_by_a_mean(
    multilabel: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quintet.model.shap_values.MAX_PLAYERS", 3)  # many: more than that
    rng = np.random.default_rng(2)
    y = np.arange(48) % 2
    X = rng.normal(size=(48, 7)) + 1.2 * y[:, None] * (np.arange(7) < 5)
    labels = np.column_stack([y, rng.integers(0, 2, 48), 1 - y]) if multilabel else y
    ensemble = quintet.EnsembleClassifier(
        ("random_forest",), n_splits=2, rules=("mean",), settings={"random_forest": {"n_estimators": 7}}
    ).fit(X, labels)
    some, background = X[:3], X[20:24]
    ensemble.calibration_ = Calibration("temperature", 1.3)
    assert not is_sum_of_trees(ensemble)
    ensemble.calibration_ = Calibration("none")
    assert is_sum_of_trees(ensemble)
    values = ensemble.shap_values(some, parts="columns", background=background)
    expected = np.array([every_coalition(ensemble, row, background) for row in some])
    assert np.abs(expected).max() > 0.05
    np.testing.assert_allclose(values.values, expected, atol=1e-12)
    total = values.values.sum(axis=1) + values.base_values
    np.testing.assert_allclose(total, ensemble.predict_proba(some), atol=1e-12)
    alone = [ensemble.shap_values(some, parts="columns", background=row[None]).values for row in background]
    errors = np.std(alone, axis=0, ddof=1) / 2  # of the mean over four background rows
    np.testing.assert_allclose(values.error_std, errors, atol=1e-12)


@pytest.mark.parametrize("member", MEMBERS)
def test_values_of_a_member_add_up_to_its_output(fitted: quintet.EnsembleClassifier, member: str) -> None:
    X, _ = rows()
    values = fitted.shap_values(X.iloc[:4].to_numpy(), of=member)
    assert values.values.shape == (4, 3, 3)
    expected = outputs(fitted.members_[member], X.iloc[:4])  # type: ignore[arg-type]
    np.testing.assert_allclose(values.values.sum(axis=1) + values.base_values, expected, atol=1e-9)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"of": "random_florest"}, "Did you mean 'random_forest'"),
        ({"parts": "column"}, "Did you mean 'columns'"),
        ({"parts": {"timbre": COLUMNS[:2]}}, "exactly one family"),
    ],
)
def test_unknown_parts_are_refused(
    fitted: quintet.EnsembleClassifier, arguments: dict[str, object], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        fitted.shap_values(rows()[0], **arguments)  # type: ignore[arg-type]


def test_rows_without_the_columns_of_the_fit_are_refused(fitted: quintet.EnsembleClassifier) -> None:
    X, _ = rows()
    with pytest.raises(ConfigError, match=r"1 are missing.*'rhythm\.c'"):
        fitted.shap_values(X[COLUMNS[:2]])
    with pytest.raises(ConfigError, match="Received 2"):
        fitted.shap_values(X.to_numpy()[:, :2])
    shuffled = fitted.shap_values(X[COLUMNS[::-1]].iloc[:2])
    np.testing.assert_array_equal(shuffled.values, fitted.shap_values(X.iloc[:2]).values)


def test_a_saved_ensemble_is_the_same_from_its_folder(
    fitted: quintet.EnsembleClassifier, folder: Path
) -> None:
    X, y = rows()
    loaded, model = quintet.EnsembleClassifier.load(folder), quintet.load_model(folder)
    for again in (loaded, model):
        np.testing.assert_array_equal(again.predict_proba(X), fitted.predict_proba(X))
        assert again.predict(X).dtype == y.dtype
        assert again.get_params() == fitted.get_params() | {"members": MEMBERS, "rules": ("mean", "weighted")}
        np.testing.assert_array_equal(
            again.shap_values(X.iloc[:2]).values, fitted.shap_values(X.iloc[:2]).values
        )
    table = X.assign(id=[f"c{k}" for k in range(len(X))])
    table.to_csv(folder.parent / "new.csv", index=False)
    from quintet.inference.predict import predict_table_file

    frame = predict_table_file(folder, folder.parent / "new.csv").frame
    np.testing.assert_allclose(
        frame.filter(like="probability.").to_numpy(), fitted.predict_proba(X), atol=1e-6
    )


def test_a_saved_folder_is_whole_and_frozen(folder: Path) -> None:
    from quintet.frozen.ensemble import FrozenEnsemble
    from quintet.model_folder.frozen_files import load_frozen

    assert isinstance(load_frozen(folder), FrozenEnsemble)
    with pytest.raises(ArtefactError, match="needs predictions"):
        quintet.report(folder, folder.parent / "report")
    (folder.parent / "copy").mkdir()
    quintet.load_model(folder).save(folder.parent / "copy")
    assert (folder.parent / "copy/bundle.json").read_bytes() == (folder / "bundle.json").read_bytes()


def test_a_folder_is_replaced_only_if_it_is_a_model_and_the_caller_says_so(
    fitted: quintet.EnsembleClassifier, tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ArtefactError, match="other files"):
        fitted.save(tmp_path, overwrite=True)
    place = fitted.save(tmp_path / "m")
    with pytest.raises(ArtefactError, match="overwrite=True"):
        fitted.save(place)
    model = quintet.load_model(place)
    other = quintet.EnsembleClassifier(MEMBERS[:1], n_splits=2, rules=("mean",)).fit(*rows())
    other.save(place, overwrite=True)
    assert quintet.load_model(place).members == MEMBERS[:1]
    with pytest.raises(ArtefactError, match="replaced"):
        model.predict_proba(rows()[0])


def test_a_copy_of_a_loaded_model_does_not_need_its_folder(
    fitted: quintet.EnsembleClassifier, tmp_path: Path
) -> None:
    X, _ = rows()
    place = fitted.save(tmp_path / "m")
    copy = pickle.loads(pickle.dumps(quintet.load_model(place)))
    place.rename(tmp_path / "elsewhere")
    np.testing.assert_array_equal(copy.predict_proba(X), fitted.predict_proba(X))


def test_a_loaded_model_that_is_fitted_anew_is_a_new_ensemble(folder: Path, tmp_path: Path) -> None:
    X, y = rows()
    model = quintet.load_model(folder)
    before = model.predict_proba(X)
    new = quintet.EnsembleClassifier(**model.get_params()).fit(X, y[::-1])
    np.testing.assert_array_equal(model.fit(X, y[::-1]).predict_proba(X), new.predict_proba(X))
    assert not np.allclose(model.predict_proba(X), before)
    np.testing.assert_array_equal(model.shap_values(X.iloc[:2]).values, new.shap_values(X.iloc[:2]).values)
    with pytest.raises(ConfigError, match="need a model folder"):
        model.predict("song.wav")
    saved = quintet.load_model(model.save(tmp_path / "m"))
    np.testing.assert_array_equal(saved.predict_proba(X), new.predict_proba(X))


def test_calibration_of_the_members_is_a_parameter_of_the_folder(tmp_path: Path) -> None:
    ensemble = quintet.EnsembleClassifier(MEMBERS[:1], n_splits=2, rules=("mean",), calibrate_members=True)
    place = ensemble.fit(*rows()).save(tmp_path / "m")
    for again in (quintet.EnsembleClassifier.load(place), quintet.load_model(place)):
        assert again.get_params()["calibrate_members"] is True
        np.testing.assert_array_equal(again.predict_proba(rows()[0]), ensemble.predict_proba(rows()[0]))


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("config.json", {"train": None}),
        ("config.json", {"train": ["svm"]}),
        ("bundle.json", {"class_kind": "int"}),
    ],
)
def test_a_folder_that_was_not_written_so_is_refused(
    tmp_path: Path, file: str, change: dict[str, object]
) -> None:
    X, y = rows()
    ensemble = quintet.EnsembleClassifier(MEMBERS[:1], n_splits=2, rules=("mean",))
    place = ensemble.fit(X, np.array(["a", "b", "c"])[y]).save(tmp_path / "m")
    content = json.loads((place / file).read_text())
    (place / file).write_text(json.dumps({**content, **change}))
    relist(place)
    for load in (quintet.load_model, quintet.EnsembleClassifier.load):
        with pytest.raises(ArtefactError, match="must be"):
            load(place)


def test_columns_with_names_of_facts_are_refused(tmp_path: Path) -> None:
    X, y = rows()
    ensemble = quintet.EnsembleClassifier(MEMBERS[:1], n_splits=2, rules=("mean",))
    ensemble.fit(X.rename(columns={"timbre.a": "start"}), y)
    with pytest.raises(ConfigError, match="start"):
        ensemble.save(tmp_path / "m")
