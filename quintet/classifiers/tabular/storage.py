"""Storage of a fitted table member without pickle, and checks of the arrays that compiled code will index.

scikit-learn parts are written by skops and read by `skops_files`; trees of XGBoost are written in its own
format and checked by `xgboost_files`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, TypedDict, cast

import numpy as np
from numpy.typing import NDArray

from quintet.classifiers.tabular.landmarks import (
    has_landmarks,
    landmark_arrays,
    landmark_rules,
    restore_landmarks,
)
from quintet.classifiers.tabular.members import FittedModel, TableMember
from quintet.classifiers.tabular.model_size import ModelSize
from quintet.classifiers.tabular.preparation import Preparation
from quintet.classifiers.tabular.skops_files import Nodes, check_nodes, read_skops
from quintet.classifiers.tabular.svm import Machine, MarginClassifier
from quintet.classifiers.tabular.xgboost_files import rewrite_model
from quintet.errors import ArtefactError
from quintet.files.json_types import JsonObject
from quintet.files.untrusted import limits
from quintet.files.untrusted.arrays import ArrayRule, read_npz
from quintet.files.untrusted.listed_files import FileSource

Indices = NDArray[np.int64]

MOST = 1_000_000
"""Largest number among the settings of a support vector machine."""


class TableHead(TypedDict):
    """Content that a table member adds to `member.json`."""

    feature_names: list[str] | None
    constants: list[float | None]
    calibration: list[list[float] | None]


class DecisionTree(Protocol):
    """State of a compiled decision tree of scikit-learn."""

    n_features: int
    value: NDArray[np.float64]

    def predict(self, X: NDArray[np.float32], /) -> NDArray[np.float64]:
        """Shares of the classes in the leaf of each row."""
        ...

    def __getstate__(self) -> dict[str, Nodes]:
        """The nodes and other parts, by name."""
        ...


class ForestTree(Protocol):
    """A decision tree of a forest."""

    tree_: DecisionTree
    n_classes_: int
    n_outputs_: int
    n_features_in_: int


class ScikitModel(FittedModel, Protocol):
    """A fitted forest or logistic regression of scikit-learn."""

    classes_: Indices
    n_features_in_: int


class Forest(ScikitModel, Protocol):
    """A fitted random forest."""

    estimators_: Sequence[ForestTree]
    n_estimators: int
    n_classes_: int
    n_outputs_: int


class Regression(ScikitModel, Protocol):
    """A fitted logistic regression."""

    coef_: NDArray[np.float64]
    intercept_: NDArray[np.float64]
    solver: str


class RbfMachine(Machine, Protocol):
    """A fitted `SVC` with the RBF kernel, with the arrays that libsvm reads."""

    kernel: str
    n_features_in_: int
    classes_: Indices
    fit_status_: int
    degree: int
    coef0: float
    cache_size: float
    decision_function_shape: str
    break_ties: bool
    support_: Indices
    support_vectors_: NDArray[np.float64]
    dual_coef_: NDArray[np.float64]
    _sparse: bool
    _dual_coef_: NDArray[np.float64]
    _n_support: Indices
    _intercept_: NDArray[np.float64]
    _gamma: float


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


def read_table_member(estimator: TableMember, files: FileSource, head: JsonObject) -> None:
    """Read what `write_table_member` wrote into `estimator`, which already has its settings and classes.

    Raises:
        ArtefactError: if the files do not fit each other.
    """
    n_features = head["n_features_in"]
    _require(_is_count(n_features, limits.FEATURES), "n_features_in must be a number of columns")
    estimator.n_features_in_ = n_features
    names = head["feature_names"]
    if names is not None:
        _require(_are_texts(names) and len(names) == n_features, "feature_names must name every column")
        estimator.feature_names_in_ = np.array(names, dtype=object)
    estimator.preparation_ = _read_preparation(estimator, files)
    constants = [np.nan if constant is None else float(constant) for constant in head["constants"]]
    calibration = head["calibration"]
    n_models = len(estimator.classes_) if estimator.multilabel_ else 1
    _require(len(constants) == len(calibration) == n_models, f"there must be {n_models} model(s)")
    in_range = all(np.isnan(constant) or 0 <= constant <= 1 for constant in constants)
    _require(in_range, "a constant must be a probability")
    n_classes = 2 if estimator.multilabel_ else len(estimator.classes_)
    size = ModelSize(len(estimator.preparation_.kept), n_classes)
    estimator.constants_ = np.array(constants)
    estimator.models_ = []
    for k, constant in enumerate(constants):
        has_model = np.isnan(constant)
        stem = f"model_{k:02d}"
        model = _read_model(estimator.member, files, stem, calibration[k], size) if has_model else None
        estimator.models_.append(model)


def check_tree(tree: DecisionTree, *, n_features: int, n_classes: int) -> None:
    """Refuse a compiled decision tree whose nodes point outside it, see `skops_files.check_nodes`.

    Raises:
        ArtefactError: if one does.
    """
    _require(tree.n_features == n_features, "a decision tree points outside itself")
    check_nodes(tree.__getstate__()["nodes"], tree.value, ModelSize(n_features, n_classes))


def _read_preparation(estimator: TableMember, files: FileSource) -> Preparation:
    n_features = estimator.n_features_in_
    rules = {"kept": ArrayRule("iu", (None,))} | {
        name: ArrayRule("f", (None,)) for name in ("median", "spread", "mean", "std")
    }
    preparation = Preparation(scale=estimator.scaled).restore(read_npz(files.read("preparation.npz"), rules))
    kept = preparation.kept
    is_inside = len(kept) > 0 and kept.min() >= 0 and kept.max() < n_features
    _require(bool(is_inside), "preparation.npz names columns that are not there")
    _require(len(np.unique(kept)) == len(kept), "preparation.npz names a column twice")
    equal_lengths = all(array.shape == kept.shape for array in preparation.arrays().values())
    _require(equal_lengths, "preparation.npz has arrays of different lengths")
    _require(bool((preparation.std > 0).all()), "preparation.npz has a standard deviation of 0")
    spread = preparation.spread
    _require(spread is None or bool((spread >= 0).all()), "preparation.npz has a negative spread")
    return preparation


def _write_model(model: FittedModel, stem: Path) -> None:
    if isinstance(model, MarginClassifier) and has_landmarks(model):
        np.savez(stem.with_suffix(".npz"), **landmark_arrays(model))  # type: ignore[arg-type]
        return
    if hasattr(model, "get_booster") and hasattr(model, "save_model"):
        model.save_model(stem.with_suffix(".ubj"))
        return
    import skops.io

    content = model.machines if isinstance(model, MarginClassifier) else model
    skops.io.dump(content, stem.with_suffix(".skops"))


def _read_model(
    member: str, files: FileSource, stem: str, calibration: Sequence[float] | None, size: ModelSize
) -> FittedModel:
    """One classifier of a member, checked for its numbers of columns and classes."""
    if member == "xgboost":
        return _read_trees(files, f"{stem}.ubj", size)
    if member == "svm" and f"{stem}.npz" in files:
        return _read_landmarks(files, f"{stem}.npz", calibration, size)
    name = f"{stem}.skops"
    content = read_skops(files.read(name), size, files.path(name))
    if member == "svm":
        return _check_machines(content, stem, calibration, size)
    if member == "random_forest":
        return _check_forest(content, stem, size)
    return _check_regression(content, stem, size)


def _read_trees(files: FileSource, name: str, size: ModelSize) -> FittedModel:
    from xgboost import XGBClassifier
    from xgboost.core import XGBoostError

    try:
        content = rewrite_model(files.read(name), size)
    except (ValueError, KeyError) as error:
        raise ValueError(f"{name} is not a model of XGBoost for this table: {error}") from error
    model = XGBClassifier()
    try:
        model.load_model(bytearray(content))
    except XGBoostError as error:
        raise ValueError(f"{name} is not a model of XGBoost: {str(error).splitlines()[0]}") from error
    actual = (model.get_booster().num_features(), model.n_classes_)
    _require(actual == (size.n_features, size.n_classes), f"{name} does not fit member.json")
    fitted: FittedModel = model
    return fitted


def _read_landmarks(
    files: FileSource, name: str, calibration: Sequence[float] | None, size: ModelSize
) -> MarginClassifier:
    arrays = read_npz(files.read(name), landmark_rules(size.n_features, size.n_outputs))
    fits = arrays["coefficients"].shape[1] == len(arrays["landmarks"]) and float(arrays["gamma"]) >= 0
    _require(bool(fits), f"{name} has landmarks without one coefficient each")
    slope, offset = _read_calibration(calibration)
    return restore_landmarks(arrays, slope=slope, offset=offset)


def _read_calibration(calibration: Sequence[float] | None) -> tuple[float, float]:
    _require(calibration is not None, "the calibration is missing")
    slope, offset = (float(number) for number in calibration or (1.0, 0.0))
    _require(np.isfinite(slope) and np.isfinite(offset), "the calibration is not finite")
    return slope, offset


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
    slope, offset = _read_calibration(calibration)
    return MarginClassifier(machines, slope=slope, offset=offset)


def _check_machine(machine: RbfMachine, n_features: int) -> None:
    """Refuse a support vector machine whose arrays do not fit each other: libsvm relies on their sizes."""
    is_rbf = type(machine).__name__ == "SVC" and machine.kernel == "rbf" and not machine._sparse
    _require(is_rbf, "a machine is not an RBF machine")
    n_vectors = len(machine.support_)
    types = [array.dtype.str for array in (machine.support_, machine._n_support, machine.support_vectors_)]
    _require(types == ["<i4", "<i4", "<f8"], "the arrays of a machine are of other types")
    counts = machine._n_support
    fits = (
        machine.support_vectors_.shape == (n_vectors, n_features)
        and machine.dual_coef_.shape == (1, n_vectors)
        and machine._dual_coef_.shape == (1, n_vectors)
        and counts.shape == (2,)
        and counts.min() >= 0
        and counts.sum() == n_vectors
        and machine._intercept_.shape == (1,)
        and np.array_equal(machine.classes_, [0, 1])
        and machine.fit_status_ == 0
        and np.ndim(machine._gamma) == 0
        and 0 <= float(machine._gamma) < np.inf
        and machine.n_features_in_ == n_features
    )
    _require(bool(fits), "the arrays of a machine do not match")
    numbers = (machine.degree, machine.coef0, machine.cache_size)
    are_numbers = all(type(number) in (int, float) and abs(number) <= MOST for number in numbers)
    is_shaped = machine.decision_function_shape in ("ovr", "ovo") and type(machine.break_ties) is bool
    _require(
        are_numbers and type(machine.degree) is int and is_shaped, "a setting of a machine is impossible"
    )


def _check_forest(content: object, name: str, size: ModelSize) -> Forest:
    forest = cast("Forest", content)
    _check_scikit_model(forest, name, size)
    is_forest = type(forest).__name__ == "RandomForestClassifier" and isinstance(forest.estimators_, list)
    _require(is_forest, f"{name} must hold a random forest")
    n_trees = len(forest.estimators_)
    has_trees = forest.n_estimators == n_trees > 0
    has_outputs = forest.n_outputs_ == 1 and forest.n_classes_ == size.n_classes
    _require(bool(has_trees and has_outputs), f"{name} must hold a random forest with its trees")
    for tree in forest.estimators_:
        is_tree = type(tree).__name__ == "DecisionTreeClassifier"
        _require(is_tree, f"{name} has a tree of another kind")
        check_tree(tree.tree_, n_features=size.n_features, n_classes=size.n_classes)
        has_classes = tree.n_classes_ == size.n_classes and tree.n_outputs_ == 1
        has_columns = tree.n_features_in_ == size.n_features
        _require(has_classes and has_columns, f"{name} has a tree of other classes")
    return forest


def _check_regression(content: object, name: str, size: ModelSize) -> Regression:
    regression = cast("Regression", content)
    _check_scikit_model(regression, name, size)
    is_regression = type(regression).__name__ == "LogisticRegression"
    _require(is_regression, f"{name} must hold a logistic regression")
    n_rows = 1 if size.n_classes == 2 else size.n_classes
    has_shape = regression.coef_.shape == (n_rows, size.n_features) and regression.intercept_.shape == (
        n_rows,
    )
    _require(has_shape and regression.solver == "lbfgs", f"{name} has coefficients of another shape")
    return regression


def _check_scikit_model(model: ScikitModel, name: str, size: ModelSize) -> None:
    has_classes = np.array_equal(model.classes_, np.arange(size.n_classes))
    _require(has_classes and model.n_features_in_ == size.n_features, f"{name} does not fit member.json")


def _is_count(value: object, most: int) -> bool:
    return type(value) is int and 0 < value <= most


def _are_texts(values: object) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)


def _require(condition: bool, fault: str) -> None:
    if not condition:
        raise ArtefactError(
            f"A stored member must be what Quintet writes: {fault}. "
            "Do not use this file; copy it again, or train again."
        )
