"""Storage of a fitted table member without pickle, and checks of the arrays that compiled code will index.

scikit-learn parts are written by skops and may hold only the types in `TRUSTED`; trees of XGBoost are written
in its own format.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, TypedDict, cast

import numpy as np
from numpy.typing import NDArray

from quintet.classifiers.array_files import read_arrays
from quintet.classifiers.tabular.members import FittedModel, TableMember
from quintet.classifiers.tabular.preparation import Preparation
from quintet.classifiers.tabular.svm import Machine, MarginClassifier
from quintet.errors import ArtefactError
from quintet.files.json_types import JsonObject

TRUSTED = ("sklearn.tree._tree.Tree",)
"""Types that skops may build in addition to those that it trusts itself.

It trusts plain estimators, but not compiled trees."""

Indices = NDArray[np.int64]


class TableHead(TypedDict):
    """Content that a table member adds to `member.json`."""

    feature_names: list[str] | None
    constants: list[float | None]
    calibration: list[list[float] | None]


class ModelSize(NamedTuple):
    """Numbers of columns and classes that a stored classifier must have."""

    n_features: int
    n_classes: int


class DecisionTree(Protocol):
    """Arrays of a compiled decision tree of scikit-learn."""

    node_count: int
    n_features: int
    children_left: Indices
    children_right: Indices
    feature: Indices
    value: NDArray[np.float64]


class ForestTree(Protocol):
    """A decision tree of a forest."""

    tree_: DecisionTree
    n_classes_: int
    n_outputs_: int


class ScikitModel(FittedModel, Protocol):
    """A fitted forest or logistic regression of scikit-learn."""

    classes_: Indices
    n_features_in_: int


class Forest(ScikitModel, Protocol):
    """A fitted random forest."""

    estimators_: Sequence[ForestTree]


class Regression(ScikitModel, Protocol):
    """A fitted logistic regression."""

    coef_: NDArray[np.float64]


class RbfMachine(Machine, Protocol):
    """A fitted `SVC` with the RBF kernel, with the arrays that libsvm reads."""

    kernel: str
    n_features_in_: int
    support_: Indices
    support_vectors_: NDArray[np.float64]
    dual_coef_: NDArray[np.float64]
    _sparse: bool
    _dual_coef_: NDArray[np.float64]
    _n_support: Indices
    _intercept_: NDArray[np.float64]


def write_table_member(estimator: TableMember, folder: Path) -> TableHead:
    """Write preparation and classifiers of a fitted member; return its part of `member.json`."""
    np.savez(folder / "preparation.npz", **estimator.preparation_.arrays())  # type: ignore[arg-type]
    calibration: list[list[float] | None] = []
    for k, model in enumerate(estimator.models_):
        if model is not None:
            _write_model(model, folder / f"model_{k:02d}")
        if isinstance(model, MarginClassifier):
            calibration.append([model.slope, model.offset])
        else:
            calibration.append(None)
    names = getattr(estimator, "feature_names_in_", None)
    return {
        "feature_names": None if names is None else [str(name) for name in names],
        "constants": [None if np.isnan(constant) else float(constant) for constant in estimator.constants_],
        "calibration": calibration,
    }


def read_table_member(estimator: TableMember, folder: Path, head: JsonObject) -> None:
    """Read what `write_table_member` wrote into `estimator`, which already has its settings and classes.

    Raises:
        ArtefactError: if the files do not fit each other.
    """
    estimator.n_features_in_ = int(head["n_features_in"])
    if head["feature_names"] is not None:
        estimator.feature_names_in_ = np.array(head["feature_names"], dtype=object)
    estimator.preparation_ = _read_preparation(estimator, folder)
    constants = [np.nan if constant is None else float(constant) for constant in head["constants"]]
    calibration = head["calibration"]
    n_models = len(estimator.classes_) if estimator.multilabel_ else 1
    _require(len(constants) == len(calibration) == n_models, f"there must be {n_models} model(s)")
    n_classes = 2 if estimator.multilabel_ else len(estimator.classes_)
    size = ModelSize(len(estimator.preparation_.kept), n_classes)
    estimator.constants_ = np.array(constants)
    estimator.models_ = []
    for k, constant in enumerate(constants):
        has_model = np.isnan(constant)
        stem = folder / f"model_{k:02d}"
        model = _read_model(estimator.member, stem, calibration[k], size) if has_model else None
        estimator.models_.append(model)


def check_tree(tree: DecisionTree, *, n_features: int, n_classes: int) -> None:
    """Refuse a decision tree whose nodes point outside it: compiled code follows them without a check.

    Every inner node `i` must have both children in `i + 1 … node_count - 1` (so there is no cycle) and a
    feature in `0 … n_features - 1`. Every leaf must have -1 twice.

    Raises:
        ArtefactError: if one does not.
    """
    left, right, feature = tree.children_left, tree.children_right, tree.feature
    index = np.arange(tree.node_count)
    is_leaf = (left == -1) & (right == -1)
    left_is_valid = (left > index) & (left < tree.node_count)
    right_is_valid = (right > index) & (right < tree.node_count)
    feature_is_valid = (feature >= 0) & (feature < n_features)
    is_inner = left_is_valid & right_is_valid & feature_is_valid
    has_size = tree.node_count > 0 and tree.n_features == n_features
    has_shape = tree.value.shape == (tree.node_count, 1, n_classes)
    is_sound = has_size and has_shape and (is_leaf | is_inner).all() and np.isfinite(tree.value).all()
    _require(bool(is_sound), "a decision tree points outside itself")


def _read_preparation(estimator: TableMember, folder: Path) -> Preparation:
    preparation = Preparation(scale=estimator.scaled).restore(read_arrays(folder / "preparation.npz"))
    kept = preparation.kept
    is_list = kept.ndim == 1 and len(kept) > 0
    is_inside = is_list and kept.min() >= 0 and kept.max() < estimator.n_features_in_
    _require(bool(is_inside), "preparation.npz names columns that are not there")
    equal_lengths = all(array.shape == kept.shape for array in preparation.arrays().values())
    _require(equal_lengths, "preparation.npz has arrays of different lengths")
    return preparation


def _write_model(model: FittedModel, stem: Path) -> None:
    if hasattr(model, "get_booster") and hasattr(model, "save_model"):
        model.save_model(stem.with_suffix(".ubj"))
        return
    import skops.io

    content = model.machines if isinstance(model, MarginClassifier) else model
    skops.io.dump(content, stem.with_suffix(".skops"))


def _read_model(member: str, stem: Path, calibration: Sequence[float] | None, size: ModelSize) -> FittedModel:
    """One classifier of a member, checked for its numbers of columns and classes."""
    if member == "xgboost":
        return _read_trees(stem.with_suffix(".ubj"), size)
    content = _read_skops(stem.with_suffix(".skops"))
    if member == "svm":
        return _check_machines(content, stem.name, calibration, size)
    if member == "random_forest":
        return _check_forest(content, stem.name, size)
    return _check_regression(content, stem.name, size)


def _read_skops(path: Path) -> object:
    import skops.io
    from skops.io.exceptions import UntrustedTypesFoundException

    try:
        content: object = skops.io.load(path, trusted=list(TRUSTED))
    except UntrustedTypesFoundException as error:
        raise ArtefactError(
            f"A stored member may hold only what Quintet writes. {path}: {error} Do not use this file."
        ) from error
    return content


def _read_trees(path: Path, size: ModelSize) -> FittedModel:
    from xgboost import XGBClassifier
    from xgboost.core import XGBoostError

    model = XGBClassifier()
    try:
        model.load_model(path)
    except XGBoostError as error:
        raise ValueError(f"{path.name} is not a model of XGBoost: {str(error).splitlines()[0]}") from error
    actual = ModelSize(model.get_booster().num_features(), model.n_classes_)
    _require(actual == size, f"{path.name} does not fit member.json")
    fitted: FittedModel = model
    return fitted


def _check_machines(
    content: object, name: str, calibration: Sequence[float] | None, size: ModelSize
) -> MarginClassifier:
    n_machines = 1 if size.n_classes == 2 else size.n_classes
    is_complete = isinstance(content, list) and len(content) == n_machines
    _require(is_complete, f"{name} must hold {n_machines} machine(s)")
    machines = cast("list[RbfMachine | None]", content)
    for machine in machines:
        if machine is not None:
            _check_machine(machine, size.n_features)
    _require(calibration is not None, "the calibration is missing")
    slope, offset = calibration or (1.0, 0.0)
    return MarginClassifier(machines, slope=float(slope), offset=float(offset))


def _check_machine(machine: RbfMachine, n_features: int) -> None:
    """Refuse a support vector machine whose arrays do not fit each other: libsvm relies on their sizes."""
    is_rbf = type(machine).__name__ == "SVC" and machine.kernel == "rbf" and not machine._sparse
    _require(is_rbf, "a machine is not an RBF machine")
    n_vectors = len(machine.support_)
    counts = machine._n_support
    fits = (
        machine.support_vectors_.shape == (n_vectors, n_features)
        and machine.dual_coef_.shape == (1, n_vectors)
        and machine._dual_coef_.shape == (1, n_vectors)
        and counts.shape == (2,)
        and counts.min() >= 0
        and counts.sum() == n_vectors
        and machine._intercept_.shape == (1,)
        and machine.n_features_in_ == n_features
    )
    _require(bool(fits), "the arrays of a machine do not match")


def _check_forest(content: object, name: str, size: ModelSize) -> Forest:
    forest = cast("Forest", content)
    _check_scikit_model(forest, name, size)
    is_forest = type(forest).__name__ == "RandomForestClassifier" and len(forest.estimators_) > 0
    _require(is_forest, f"{name} must hold a random forest")
    for tree in forest.estimators_:
        check_tree(tree.tree_, n_features=size.n_features, n_classes=size.n_classes)
        has_classes = tree.n_classes_ == size.n_classes and tree.n_outputs_ == 1
        is_tree = type(tree).__name__ == "DecisionTreeClassifier"
        _require(is_tree and has_classes, f"{name} has a tree of other classes")
    return forest


def _check_regression(content: object, name: str, size: ModelSize) -> Regression:
    regression = cast("Regression", content)
    _check_scikit_model(regression, name, size)
    is_regression = type(regression).__name__ == "LogisticRegression"
    _require(is_regression, f"{name} must hold a logistic regression")
    n_rows = 1 if size.n_classes == 2 else size.n_classes
    has_shape = regression.coef_.shape == (n_rows, size.n_features)
    _require(has_shape, f"{name} has coefficients of another shape")
    return regression


def _check_scikit_model(model: ScikitModel, name: str, size: ModelSize) -> None:
    has_classes = np.array_equal(model.classes_, np.arange(size.n_classes))
    _require(has_classes and model.n_features_in_ == size.n_features, f"{name} does not fit member.json")


def _require(condition: bool, fault: str) -> None:
    if not condition:
        raise ArtefactError(
            f"A stored member must be what Quintet writes: {fault}. "
            "Do not use this file; copy it again, or train again."
        )
