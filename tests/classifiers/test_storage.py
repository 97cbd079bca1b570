"""Storage of members: loaded members predict the same numbers, and damaged or forged files are refused."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.linear_model import LogisticRegression

from quintet.classifiers.registry import make_member
from quintet.classifiers.storage import load_member, save_member
from quintet.classifiers.tabular.storage import check_tree
from quintet.errors import ArtefactError

QUICK = {"random_forest": {"n_estimators": 10}, "xgboost": {"n_estimators": 10}}
NAMES = ("logistic_regression", "random_forest", "xgboost", "svm")


def table(n_classes, seed=0):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(60, 4)), columns=list("wxyz"))
    X.iloc[5, 2] = np.nan
    return X, np.array(["rock", "jazz", "pop"])[np.arange(60) % n_classes]


@pytest.fixture(params=NAMES)
def stored(request, tmp_path):
    X, y = table(3)
    fitted = make_member(request.param, **QUICK.get(request.param, {})).fit(X, y)
    save_member(fitted, tmp_path)
    return fitted, tmp_path, X


def test_a_loaded_member_predicts_the_same_numbers(stored):
    fitted, folder, X = stored
    loaded = load_member(folder)
    np.testing.assert_array_equal(loaded.predict_proba(X), fitted.predict_proba(X))
    assert loaded.predict(X).tolist() == fitted.predict(X).tolist()
    assert loaded.get_params() == fitted.get_params()
    assert loaded.prepared_names == fitted.prepared_names


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["two", "tags"])
def test_members_of_two_classes_and_of_tags_can_be_stored(name, kind, tmp_path):
    X, y = table(2)
    if kind == "tags":
        y = np.column_stack([X["w"] > 0, X["x"] > 0, np.zeros(len(X))]).astype(int)
    fitted = make_member(name, **QUICK.get(name, {})).fit(X, y)
    save_member(fitted, tmp_path)
    np.testing.assert_array_equal(load_member(tmp_path).predict_proba(X), fitted.predict_proba(X))


@pytest.mark.parametrize("name", ["logistic_regression", "svm"])
def test_compressed_tails_of_an_embedding_are_stored(name, tmp_path):
    X, y = table(3)
    X.columns = ["embedding_x.001.mean", "embedding_x.002.mean", "tags_x.rock.mean", "rhythm.tempo.bpm"]
    fitted = make_member(f"{name}@all").fit(X, y)
    save_member(fitted, tmp_path)
    loaded = load_member(tmp_path)
    assert (loaded.preparation_.spread > 0).tolist() == [True, True, False, False]
    np.testing.assert_array_equal(loaded.predict_proba(X), fitted.predict_proba(X))
    with np.load(tmp_path / "preparation.npz") as file:
        arrays = dict(file)
    np.savez(tmp_path / "preparation.npz", **{**arrays, "spread": -arrays["spread"]})
    with pytest.raises(ArtefactError, match="spread"):
        load_member(tmp_path)


def test_no_file_is_a_pickle(stored):
    _, folder, _ = stored
    assert {path.suffix for path in folder.iterdir()} <= {".json", ".npz", ".skops", ".ubj"}
    for path in folder.iterdir():
        assert not path.read_bytes().startswith(b"\x80")


def test_a_truncated_or_missing_file_is_refused(stored, tmp_path):
    _, folder, _ = stored
    for path in sorted(folder.iterdir()):
        copy = tmp_path / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("copy"))
        (copy / path.name).write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(ArtefactError, match=r"must"):
            load_member(copy)
        (copy / path.name).unlink()
        with pytest.raises(ArtefactError):
            load_member(copy)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 99}, "schema 99"),
        ({"member": "unknown"}, "must be one of"),
        ({"settings": {"C": 1.0, "evil": 1}}, "evil"),
        ({"classes": [["rock"], "jazz"]}, "classes"),
        ({"classes": ["rock", "jazz"]}, "does not fit"),
        ({"n_features_in": 2}, "must name every column"),
        ({"n_features_in": 2, "feature_names": None}, "columns that are not there"),
    ],
)
def test_a_changed_head_is_refused(change, message, tmp_path):
    X, y = table(3)
    save_member(make_member("logistic_regression").fit(X, y), tmp_path)
    head = json.loads((tmp_path / "member.json").read_text()) | change
    (tmp_path / "member.json").write_text(json.dumps(head))
    with pytest.raises(ArtefactError, match=message):
        load_member(tmp_path)


def test_a_type_that_is_not_trusted_is_refused(tmp_path):
    X, y = table(3)
    save_member(make_member("logistic_regression").fit(X, y), tmp_path)

    skops.io.dump({"model": LogisticRegression(), "code": shutil.rmtree}, tmp_path / "model_00.skops")

    with pytest.raises(ArtefactError, match="only what Quintet writes"):
        load_member(tmp_path)


def test_another_estimator_in_the_file_is_refused(tmp_path):
    X, y = table(3)
    save_member(make_member("logistic_regression").fit(X, y), tmp_path / "a")
    save_member(make_member("random_forest", n_estimators=3).fit(X, y), tmp_path / "b")
    shutil.copy(tmp_path / "b" / "model_00.skops", tmp_path / "a" / "model_00.skops")
    with pytest.raises(ArtefactError, match="logistic regression"):
        load_member(tmp_path / "a")


def forge_tree(tree, **changes):
    """Copy of a tree with some node fields overwritten, as in a forged file."""
    state = tree.__getstate__()
    nodes = state["nodes"].copy()
    for field, (node, value) in changes.items():
        nodes[field][node] = value
    forged = type(tree)(tree.n_features, np.array([tree.max_n_classes], dtype=np.intp), 1)
    forged.__setstate__(state | {"nodes": nodes})
    return forged


@pytest.mark.parametrize(
    "changes",
    [
        {"left_child": (0, 10_000_000)},
        {"right_child": (0, 10_000_000)},
        {"left_child": (1, 0)},
        {"right_child": (0, -1)},
        {"left_child": (0, -5)},
        {"feature": (0, 4_000_000)},
        {"feature": (0, -3)},
    ],
)
def test_a_tree_that_points_outside_itself_is_refused(changes, tmp_path):
    X, y = table(3)
    fitted = make_member("random_forest", n_estimators=3).fit(X, y)
    forest = fitted.models_[0]
    check_tree(forest.estimators_[1].tree_, n_features=4, n_classes=3)

    forest.estimators_[1].tree_ = forge_tree(forest.estimators_[1].tree_, **changes)
    save_member(fitted, tmp_path)

    with pytest.raises(ArtefactError, match="points outside itself"):
        load_member(tmp_path)


@pytest.mark.parametrize("attribute", ["support_vectors_", "_dual_coef_", "_n_support"])
def test_a_machine_whose_arrays_do_not_match_is_refused(attribute, tmp_path):
    X, y = table(2)
    fitted = make_member("svm").fit(X, y)
    machine = fitted.models_[0].machines[0]
    array = getattr(machine, attribute)
    setattr(machine, attribute, array[:, :2] if attribute == "_dual_coef_" else array[:1])
    save_member(fitted, tmp_path)
    with pytest.raises(ArtefactError, match="arrays of a machine"):
        load_member(tmp_path)


def test_only_fitted_members_are_stored(tmp_path):
    with pytest.raises(ArtefactError, match="Only members"):
        save_member(LogisticRegression(), tmp_path)
    with pytest.raises(ArtefactError, match="Only a fitted"):
        save_member(make_member("svm"), tmp_path)
    with pytest.raises(ArtefactError, match="has none"):
        load_member(tmp_path / "nowhere")
