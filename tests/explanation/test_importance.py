"""SHAP values of members: equal to shap's explainers, additive, and largest for a planted cause."""

from __future__ import annotations

from itertools import combinations
from math import factorial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.svm import SVC

from quintet.classifiers.registry import make_member
from quintet.classifiers.storage import load_member
from quintet.errors import ConfigError
from quintet.explanation.assembly import Part
from quintet.explanation.contracts import import_shap
from quintet.explanation.importance import (
    TOTAL,
    additivity_residual,
    column_importance,
    explain,
    family,
    family_importance,
    outputs,
    ranking_stability,
)
from quintet.explanation.members import held_out_parts
from quintet.explanation.shapley.svm_shap import kernel_shapley
from quintet.model_folder.run import read_run

TABLE_MEMBERS = ["logistic_regression", "random_forest", "svm", "xgboost"]


@pytest.fixture(scope="module")
def rows(model_folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    part = _held_out(model_folder)
    return part.rows.iloc[:12], part.background.iloc[:6]


def _held_out(model_folder: Path) -> Part:
    return held_out_parts(read_run(model_folder), ["xgboost"], seed=0)[0]


@pytest.fixture(scope="module")
def explained(model_folder: Path, rows: tuple[pd.DataFrame, pd.DataFrame]) -> dict[str, tuple[Any, Any]]:
    members = {name: load_member(model_folder / "members" / name) for name in TABLE_MEMBERS}
    return {name: (member, explain(member, *rows)) for name, member in members.items()}


@pytest.mark.parametrize("name", TABLE_MEMBERS)
def test_values_and_base_add_up_to_the_output_of_the_member(
    name: str, explained: dict[str, tuple[Any, Any]], rows: tuple[pd.DataFrame, Any]
) -> None:
    member, explanation = explained[name]
    assert explanation.values.shape == (12, len(member.prepared_names), 6)
    assert list(explanation.output_names) == list(member.classes_)
    output = outputs(member, rows[0])
    assert additivity_residual(explanation, output) < 1e-5
    assert np.abs(output - output.mean(axis=0)).max() > 0.05  # the outputs differ, so the sum is tested
    changed = import_shap().Explanation(explanation.values.copy(), explanation.base_values)
    changed.values[0, 0, 0] += 1e-3
    assert additivity_residual(changed, output) > 9e-4


def test_explained_output_and_probabilities_have_the_same_largest_class(
    explained: dict[str, tuple[Any, Any]], rows: Any
) -> None:
    for member, _ in explained.values():
        np.testing.assert_array_equal(
            outputs(member, rows[0]).argmax(axis=1), member.predict_proba(rows[0]).argmax(axis=1)
        )


def test_logistic_regression_equals_shap_linear_explainer(
    explained: dict[str, tuple[Any, Any]], rows: Any
) -> None:
    member, explanation = explained["logistic_regression"]
    masker = import_shap().maskers.Independent(member.prepare(rows[1]), max_samples=100)
    theirs = import_shap().LinearExplainer(member.models_[0], masker).shap_values(member.prepare(rows[0]))
    np.testing.assert_allclose(explanation.values, theirs, atol=1e-9)


def test_xgboost_equals_shap_tree_explainer(explained: dict[str, tuple[Any, Any]], rows: Any) -> None:
    member, explanation = explained["xgboost"]
    theirs = import_shap().TreeExplainer(member.models_[0]).shap_values(member.prepare(rows[0]))
    np.testing.assert_allclose(explanation.values, theirs, atol=1e-4)
    own = (
        member.models_[0].get_booster().predict(xgboost.DMatrix(member.prepare(rows[0])), pred_contribs=True)
    )
    np.testing.assert_array_equal(explanation.values[:, :, 2], own[:, 2, :-1].astype(np.float64))


def _small_machine() -> tuple[SVC, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 5))
    machine = SVC(C=3.0).fit(X, (X[:, 0] * X[:, 1] + X[:, 2] > 0).astype(int))
    return machine, X[:4] + 0.3, X[10:17]


def test_svm_equals_the_definition() -> None:
    machine, rows, background = _small_machine()
    values, base = kernel_shapley([machine], rows, background)
    np.testing.assert_allclose(values, _by_definition(machine, rows, background)[:, :, None], atol=1e-9)
    assert base[0] == pytest.approx(machine.decision_function(background).mean())


@pytest.mark.slow  # shap compiles for a quarter of a minute
def test_svm_equals_shap_exact_explainer() -> None:
    machine, rows, background = _small_machine()
    values, _ = kernel_shapley([machine], rows, background)
    theirs = import_shap().explainers.Exact(
        machine.decision_function, import_shap().maskers.Independent(background, max_samples=100)
    )(rows)
    np.testing.assert_allclose(values[:, :, 0], theirs.values, atol=1e-6)


def _by_definition(machine: Any, rows: np.ndarray, background: np.ndarray) -> np.ndarray:
    d = rows.shape[1]
    found = np.zeros(rows.shape)

    def worth(row: np.ndarray, present: tuple[int, ...]) -> float:
        hybrids = background.copy()
        hybrids[:, list(present)] = row[list(present)]
        return float(machine.decision_function(hybrids).mean())

    for i, row in enumerate(rows):
        for j in range(d):
            for size in range(d):
                weight = factorial(size) * factorial(d - size - 1) / factorial(d)
                for others in combinations([k for k in range(d) if k != j], size):
                    found[i, j] += weight * (worth(row, (*others, j)) - worth(row, others))
    return found


def test_several_machines_equal_one_machine_at_a_time() -> None:
    rng = np.random.default_rng(3)
    X = rng.normal(size=(50, 4))
    machines: list[Any] = [
        SVC(C=2.0, gamma=gamma).fit(X, (X[:, k] > 0.2).astype(int)) for k, gamma in enumerate((0.3, 0.3, 0.7))
    ]
    values, bases = kernel_shapley([*machines, None], X[:5], X[30:36])
    for k, machine in enumerate(machines):
        alone, base = kernel_shapley([machine], X[:5], X[30:36])
        np.testing.assert_allclose(values[:, :, k], alone[:, :, 0], atol=1e-12)
        assert bases[k] == pytest.approx(base[0])
    assert (values[:, :, 3] == 0).all()
    assert bases[3] == -1


@pytest.mark.parametrize("gamma", [1 / 300, 0.05, 1.0])
def test_svm_is_exact_for_wide_and_narrow_kernels(gamma: float) -> None:
    rng = np.random.default_rng(1)
    X = rng.normal(size=(60, 300))
    X[3] *= 40  # an outlier: kernels of 0 beside kernels of 1
    machine = SVC(gamma=gamma).fit(X, (X[:, 0] + X[:, 1] > 0).astype(int))
    rows = np.concatenate([X[2:4], X[:1] + 0.5])
    found, base = kernel_shapley([machine], rows, X[20:23])
    exact, _ = kernel_shapley([machine], rows, X[20:23], n_nodes=150)
    np.testing.assert_allclose(found, exact, atol=1e-13)
    np.testing.assert_allclose(found.sum(axis=1)[:, 0] + base, machine.decision_function(rows), atol=1e-11)


@pytest.mark.parametrize("name", TABLE_MEMBERS)
def test_planted_cause_ranks_first_for_its_class_with_positive_values(name: str) -> None:
    rng = np.random.default_rng(5)
    columns = [f"{f}.{i}.mean" for f in ("cepstral", "tonal") for i in range(6)]
    y = np.array(["blues", "disco", "polka"])[rng.integers(0, 3, 240)]
    X = pd.DataFrame(rng.normal(size=(240, 12)), columns=columns)
    X.loc[y == "disco", "tonal.3.mean"] += 3.0
    settings = {"n_estimators": 40} if name in ("random_forest", "xgboost") else {}
    member = make_member(name, **settings).fit(X.iloc[:180], y[:180])
    explanation = explain(member, X.iloc[180:], X.iloc[:10])
    importance = column_importance(explanation)
    assert importance["disco"].idxmax() == "tonal.3.mean"
    assert family_importance(explanation)["disco"].idxmax() == "tonal"
    k = list(explanation.output_names).index("disco")
    j = list(explanation.feature_names).index("tonal.3.mean")
    assert (
        explanation.values[y[180:] == "disco", j, k].mean()
        > 0
        > explanation.values[y[180:] == "polka", j, k].mean()
    )


@pytest.mark.parametrize("name", TABLE_MEMBERS)
def test_two_classes_have_opposite_values(name: str) -> None:
    rng = np.random.default_rng(6)
    X = pd.DataFrame(rng.normal(size=(80, 4)), columns=list("abcd"))
    y = np.where(X["b"] + 0.3 * rng.normal(size=80) > 0, "yes", "no")
    member = (
        make_member(name).fit(X, y)
        if name not in ("random_forest", "xgboost")
        else make_member(name, n_estimators=20).fit(X, y)
    )
    explanation = explain(member, X.iloc[:9], X.iloc[40:50])
    assert explanation.values.shape == (9, 4, 2)
    np.testing.assert_allclose(explanation.values[:, :, 0], -explanation.values[:, :, 1], atol=1e-9)
    assert additivity_residual(explanation, outputs(member, X.iloc[:9])) < 1e-5


def test_ranking_stability_is_high_for_real_sizes_and_low_for_noise() -> None:
    rng = np.random.default_rng(8)
    noise = np.abs(rng.normal(size=(40, 30, 1)))
    firm = noise * np.geomspace(1, 1000, 30)[None, :, None]
    groups, base = np.repeat(np.arange(10), 4), np.zeros((40, 1))
    assert ranking_stability(import_shap().Explanation(firm, base), groups) > 0.95
    assert abs(ranking_stability(import_shap().Explanation(noise, base), groups)) < 0.35
    by_group = np.abs(rng.normal(size=(10, 30, 1)))[
        groups
    ]  # each group has its own ranking: only a division by groups shows it
    assert (
        ranking_stability(import_shap().Explanation(by_group, base), groups)
        < 0.3
        < ranking_stability(import_shap().Explanation(by_group, base), np.arange(40))
    )
    assert np.isnan(ranking_stability(import_shap().Explanation(firm, base), groups % 3))


def test_columns_that_cancel_give_their_family_importance_0() -> None:
    values = np.array([[[1.0], [-1.0], [0.5]]])
    explanation = import_shap().Explanation(
        values,
        np.zeros((1, 1)),
        data=np.zeros((1, 3)),
        feature_names=["a.x", "a.y", "b.z"],
        output_names=["k"],
    )
    assert family_importance(explanation)[TOTAL].to_dict() == {"b": 0.5, "a": 0.0}
    assert column_importance(explanation)[TOTAL].to_dict() == {"a.x": 1.0, "a.y": 1.0, "b.z": 0.5}
    assert family("mfccs_1_mean") == "mfccs"


def test_explain_refuses_a_member_without_exact_values(rows: Any) -> None:
    with pytest.raises(ConfigError, match="SVC"):
        explain(SVC(), *rows)


def test_held_out_parts_explain_test_clips_with_a_training_background(model_folder: Path) -> None:
    part, of = read_run(model_folder).split.set_index("id")["part"], _held_out(model_folder)
    assert set(part.loc[of.rows.index]) == {"test"}
    assert set(part.loc[of.background.index]) == {"train"}


def test_a_class_may_have_the_name_of_the_sum() -> None:
    X = pd.DataFrame({"f0": [0.0, 1.0, 2.0, 3.0], "f1": [0.0, 1.0, 0.0, 1.0]})
    member = make_member("logistic_regression").fit(X, np.array([TOTAL, TOTAL, "rock", "rock"]))
    table = column_importance(explain(member, X, X))
    assert table.shape == (2, 3)
    np.testing.assert_allclose(table[TOTAL], table.drop(columns=TOTAL).sum(axis=1))
