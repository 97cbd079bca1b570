"""Frozen table members give the numbers of the members, for two classes, several, and label sets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from quintet.classifiers.registry import make_member
from quintet.classifiers.tabular.members import TableMember
from quintet.export.graph import Graph
from quintet.export.table_members import add_table_member
from quintet.files.untrusted import limits
from quintet.frozen.freezing import UnfrozenError, freeze_table
from quintet.frozen.members import FrozenTable, Size
from quintet.frozen.scorers import Boosted, Forest
from quintet.frozen.trees import Trees

N_COLUMNS = 9
NAMES = [f"f.{j}" for j in range(N_COLUMNS)]
SETTINGS: dict[str, dict[str, object]] = {
    "logistic_regression": {},
    "random_forest": {"n_estimators": 6},
    "xgboost": {"n_estimators": 4},
    "svm": {},
}


def make_table(n_classes: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Rows with gaps, a constant column and a useful one, and their classes."""
    rng = np.random.default_rng(n_classes)
    codes = rng.permutation(np.arange(60) % n_classes)
    values = rng.normal(size=(60, N_COLUMNS)).astype(np.float32)
    values[:, 0] += 2 * codes
    values[:, 3] = 7.0
    values[rng.random(values.shape) < 0.05] = np.nan
    return pd.DataFrame(values, columns=NAMES), codes


def fit_and_freeze(kind: str, n_classes: int) -> tuple[TableMember, FrozenTable, pd.DataFrame]:
    """A fitted member, the frozen one, and the table of the fit; for a negative number of classes, tags."""
    table, codes = make_table(abs(n_classes))
    y = np.array(list("abcd"))[codes]
    if n_classes < 0:  # the last tag is never set: its probability is a constant
        y = np.stack([codes == 0, codes != 1, np.zeros(60)], axis=1).astype(int)
    member = make_member(kind, **SETTINGS[kind]).fit(table, y)
    assert isinstance(member, TableMember)
    return member, freeze_table(member, NAMES), table


def new_rows() -> pd.DataFrame:
    """Rows with a gap and with a number near the limit of float32."""
    values = 3 * np.random.default_rng(9).normal(size=(20, N_COLUMNS)).astype(np.float32)
    values[0, 0], values[1, 1] = np.nan, 3e38
    return pd.DataFrame(values, columns=NAMES)


@pytest.mark.parametrize("kind", SETTINGS)
@pytest.mark.parametrize("n_classes", [2, 4, -3], ids=["two", "four", "label_sets"])
def test_a_frozen_member_gives_the_probabilities_of_the_member(kind: str, n_classes: int) -> None:
    member, frozen, _ = fit_and_freeze(kind, n_classes)
    size = Size(N_COLUMNS, abs(n_classes), n_classes < 0)
    restored = FrozenTable.restore(frozen.head(), frozen.arrays(), size)
    expected = set(FrozenTable.rules(frozen.head(), size)) - {"preparation.spread"}  # no embeddings here
    assert set(frozen.arrays()) == expected
    rows = new_rows()
    received = restored.probabilities(rows.to_numpy(np.float64), None)
    np.testing.assert_allclose(received, member.predict_proba(rows), rtol=0, atol=2e-7)
    in_onnx = run_in_onnx(restored, rows.to_numpy(np.float64), abs(n_classes))
    np.testing.assert_allclose(in_onnx, received, rtol=0, atol=5e-7)


def test_compressed_columns_beside_others_are_the_same_in_all_forms() -> None:
    table, codes = make_table(4)
    names = [*(f"embedding_x.{k:03d}.mean" for k in range(5)), *NAMES[5:7], "tags_x.a.mean", "tags_x.b.mean"]
    table.columns = pd.Index(names)
    member = make_member("svm@all").fit(table, codes)
    assert isinstance(member, TableMember)
    spread = member.preparation_.spread
    assert spread is not None
    assert (spread > 0).tolist() == [True] * 4 + [False] * 4
    size, written = Size(N_COLUMNS, 4, False), freeze_table(member, names)
    assert set(written.arrays()) == set(FrozenTable.rules(written.head(), size))
    frozen = FrozenTable.restore(written.head(), written.arrays(), size)
    rows = new_rows().set_axis(names, axis=1)
    expected = member.predict_proba(rows)
    received = frozen.probabilities(rows.to_numpy(np.float64), None)
    np.testing.assert_allclose(received, expected, rtol=0, atol=1e-12)
    in_onnx = run_in_onnx(frozen, rows.to_numpy(np.float64), 4)
    np.testing.assert_allclose(in_onnx, received, rtol=0, atol=5e-7)


def run_in_onnx(member: FrozenTable, rows: np.ndarray, n_classes: int) -> np.ndarray:
    """Probabilities of the member as `quintet export` writes it."""
    runtime = pytest.importorskip("onnxruntime")
    graph = Graph()
    features = graph.input("features", np.float64, ["n", rows.shape[1]])
    graph.output(add_table_member(graph, member, features), "p", np.float64, ["n", n_classes])
    content = graph.model({}).SerializeToString()
    session = runtime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"features": rows})[0])


def test_columns_are_read_from_where_the_model_has_them() -> None:
    table, codes = make_table(2)
    member = make_member("logistic_regression").fit(table[NAMES[4:] + NAMES[:2]], codes)
    frozen = freeze_table(member, NAMES)  # type: ignore[arg-type]
    rows = new_rows()
    expected = member.predict_proba(rows[NAMES[4:] + NAMES[:2]])
    np.testing.assert_allclose(frozen.probabilities(rows.to_numpy(np.float64), None), expected, atol=1e-12)
    with pytest.raises(UnfrozenError):
        freeze_table(member, NAMES[1:])  # type: ignore[arg-type]


def test_a_machine_without_rows_counts_as_far_from_its_class() -> None:
    """Not every class has rows in every fit; its machine is missing."""
    table, codes = make_table(4)
    member = make_member("svm").fit(table, codes)
    member.models_[0].machines[2] = None  # type: ignore[attr-defined]
    frozen = freeze_table(member, NAMES)  # type: ignore[arg-type]
    rows = new_rows()
    received = frozen.probabilities(rows.to_numpy(np.float64), None)
    np.testing.assert_allclose(received, member.predict_proba(rows), atol=1e-12)


def small_trees(**changes: object) -> Trees:
    """Two trees of a root and two leaves, whose leaves have the numbers 0 to 3."""
    trees = Trees(
        roots=np.array([0, 3], np.int32),
        left=np.array([1, 1, 2, 4, 4, 5], np.int32),
        right=np.array([2, 1, 2, 5, 4, 5], np.int32),
        column=np.array([0, 0, 1, 1, 2, 3], np.int32),
        threshold=np.array([0.5, 0, 0, -1.0, 0, 0]),
        inclusive=True,
    )
    return replace(trees, **changes)  # type: ignore[arg-type]


def test_rows_go_left_at_the_threshold_of_a_forest_and_right_at_that_of_boosting() -> None:
    rows = np.array([[0.5, -1.0], [0.6, -2.0]], np.float32)
    assert small_trees().leaves(rows).tolist() == [[1, 4], [2, 4]]
    assert small_trees(inclusive=False).leaves(rows).tolist() == [[2, 5], [2, 4]]


BAD_TREES = {
    "a_child_outside": {"left": [1, 1, 2, 9, 4, 5]},
    "a_negative_child": {"right": [-2, 1, 2, 5, 4, 5]},
    "a_circle": {"left": [1, 0, 2, 4, 4, 5]},
    "a_child_before_its_parent": {"roots": [0], "left": [2, 1, 2, 1, 4, 5], "right": [3, 1, 2, 4, 4, 5]},
    "a_root_outside": {"roots": [0, 6]},
    "a_column_outside": {"column": [2, 0, 1, 1, 2, 3]},
    "a_leaf_without_shares": {"column": [0, 0, 1, 1, 2, 4]},
    "arrays_of_different_lengths": {"threshold": [0.5]},
    "a_root_twice": {"roots": [0, 0]},
    "roots_in_another_order": {"roots": [3, 0]},
    "a_root_inside_a_tree": {"roots": [0, 1]},
    "a_node_with_two_parents": {"left": [2, 1, 2, 4, 4, 5]},
    "a_tree_that_goes_on_in_another": {"right": [5, 1, 2, 4, 4, 5], "left": [1, 1, 2, 3, 4, 5]},
    "a_threshold_that_is_no_number": {"threshold": [np.nan, 0, 0, -1.0, 0, 0]},
}


@pytest.mark.parametrize("name", BAD_TREES)
def test_trees_that_point_outside_themselves_are_refused(name: str) -> None:
    shares = np.eye(2)[[0, 1, 0, 1]]
    arrays = {**Forest(small_trees(), shares).arrays()}
    assert Forest.restore(arrays, 2, 2).probabilities(np.zeros((1, 2))).tolist() == [[0.5, 0.5]]
    for key, values in BAD_TREES[name].items():
        arrays[key] = np.asarray(values, arrays[key].dtype)
    with pytest.raises(ValueError, match=r"tree|arrays"):
        Forest.restore(arrays, 2, 2)


def chain(depth: int) -> dict[str, np.ndarray]:
    """The arrays of a forest of one tree whose every inner node has a leaf on the left."""
    left = np.arange(2 * depth + 1, dtype=np.int32)
    right, inner = left.copy(), left[:-1:2].copy()
    left[inner], right[inner] = inner + 1, inner + 2
    zeros = np.zeros(len(left), np.int32)
    trees = Trees(zeros[:1], left, right, zeros, np.zeros(len(left)), inclusive=True)
    return {**Forest(trees, np.array([[0.5, 0.5]])).arrays()}


def test_a_tree_has_a_bounded_depth() -> None:
    assert Forest.restore(chain(limits.TREE_DEPTH), 2, 2).probabilities(np.ones((1, 2))).tolist() == [
        [0.5, 0.5]
    ]
    with pytest.raises(ValueError, match="deeper"):
        Forest.restore(chain(limits.TREE_DEPTH + 1), 2, 2)


def test_a_forest_with_a_tree_that_is_too_deep_is_not_frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "TREE_DEPTH", 1)
    with pytest.raises(UnfrozenError, match="deeper"):
        fit_and_freeze("random_forest", 4)


def test_leaves_without_possible_values_are_refused() -> None:
    with pytest.raises(ValueError, match="sum to 1"):
        Forest.restore({**small_trees().arrays(), "shares": np.full((4, 2), 0.7)}, 2, 2)
    boosted = {**small_trees(column=np.array([0, 0, 0, 1, 0, 0], np.int32)).arrays()}
    boosted |= {"group": np.array([0, 0], np.int32), "base": np.zeros(1, np.float32)}
    assert Boosted.restore(boosted, 2, 2).probabilities(np.zeros((1, 2))).tolist() == [[0.5, 0.5]]
    with pytest.raises(ValueError, match="score"):
        Boosted.restore({**boosted, "group": np.array([0, 1], np.int32)}, 2, 2)
    with pytest.raises(ValueError, match="finite"):
        Boosted.restore({**boosted, "threshold": np.array([0.5, np.inf, 0, -1.0, 0, 0])}, 2, 2)
