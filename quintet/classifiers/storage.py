"""A fitted member as a folder, and back, without pickle: nothing that is read can name code to run.

`member.json` holds what the member is: its name in the registry, its settings, its classes. Beside it lie arrays
(`preparation.npz`), scikit-learn parts (`model_00.skops`), trees in XGBoost's own format (`model_00.ubj`), or the weights of a network
(`network.weights.h5`), whose architecture is rebuilt from the settings by our own code. What skops may build is the list `TRUSTED`
below, never what a file asks for; and the arrays that compiled code will index are checked first.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quintet.classifiers import registry
from quintet.errors import ArtefactError, ConfigError

SCHEMA = 1
TRUSTED = (
    "sklearn.tree._tree.Tree",
)  # skops trusts scikit-learn's plain estimators itself; compiled trees it rightly does not
DAMAGE_ERRORS = (
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    OSError,
    EOFError,
    ImportError,
    OverflowError,
    zipfile.BadZipFile,
)


def save_member(estimator: Any, folder: str | Path) -> None:
    """Writes a fitted member of the registry into `folder`, which is made where it is missing.

    Raises:
        ArtefactError: the estimator is no member of the registry, or is not fitted.
    """
    name = getattr(estimator, "member", None)
    if name is None or name not in {row.name for row in registry.MEMBERS}:
        raise ArtefactError(
            f"Only members of the registry can be stored. Received {type(estimator).__name__}. Make one with make_member."
        )
    if not hasattr(estimator, "classes_"):
        raise ArtefactError(
            f"Only a fitted member can be stored. Received '{name}' before fit. Call fit first."
        )
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        key: value for key, value in estimator.get_params(deep=False).items() if key != "network"
    }  # the member's name says it
    head: dict[str, Any] = {
        "schema": SCHEMA,
        "member": name,
        "settings": settings,
        "classes": estimator.classes_.tolist(),
    }
    head |= {
        "multilabel": bool(estimator.multilabel_),
        "n_features_in": getattr(estimator, "n_features_in_", None),
    }
    if registry.member_entry(name).input == "table":
        head |= _write_table_member(estimator, folder)
    else:
        from quintet.classifiers.spectrogram.storage import write_network

        head |= write_network(estimator, folder)
    (folder / "member.json").write_text(json.dumps(head, indent=1, allow_nan=False), encoding="utf-8")


def load_member(folder: str | Path) -> Any:
    """The fitted member that `save_member` wrote into `folder`: it predicts the same numbers.

    Raises:
        ArtefactError: a file is missing, damaged, of another version, or asks for something that is not on our list.
    """
    folder = Path(folder)
    head = read_head(folder)
    try:
        estimator = registry.make_member(head["member"], **head["settings"])
        estimator.classes_ = _classes(head["classes"])
        estimator.multilabel_ = bool(head["multilabel"])
        if registry.member_entry(head["member"]).input == "table":
            _read_table_member(estimator, folder, head)
        else:
            from quintet.classifiers.spectrogram.storage import read_network

            read_network(estimator, folder, head)
    except ArtefactError:
        raise
    except ConfigError as error:
        raise ArtefactError(
            f"A stored member must be one that this version of Quintet knows. {folder}: {error}"
        ) from error
    except DAMAGE_ERRORS as error:
        raise ArtefactError(
            f"A stored member must be complete and undamaged. {folder}: {type(error).__name__}: {error}. Copy it again, or train again."
        ) from error
    return estimator


def read_head(folder: Path) -> dict[str, Any]:
    """The content of `member.json`, checked for its version."""
    path = folder / "member.json"
    if not path.is_file():
        raise ArtefactError(
            f"A stored member is a folder with a file member.json. {folder} has none. Give the folder of a member."
        )
    try:
        head = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ArtefactError(
            f"member.json must be readable JSON. {path}: {error}. Copy it again, or train again."
        ) from error
    needed = {"schema", "member", "settings", "classes", "multilabel"}
    if not isinstance(head, dict) or not needed <= set(head):
        raise ArtefactError(
            f"member.json must have the keys {', '.join(sorted(needed))}. {path} lacks some. Copy it again, or train again."
        )
    if head["schema"] != SCHEMA:
        raise ArtefactError(
            f"This version reads members of schema {SCHEMA}. {path} has schema {head['schema']!r}. Train again, or use the version that wrote it."
        )
    return head


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz file, name → array; object arrays (pickles) are refused by numpy."""
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        return dict(arrays)


def _classes(values: list[Any]) -> NDArray[Any]:
    if len(values) < 1 or not (
        all(isinstance(v, str) for v in values) or all(isinstance(v, (int, float)) for v in values)
    ):
        raise ValueError("classes must all be texts or all be numbers")
    return np.array(values)


def _write_table_member(estimator: Any, folder: Path) -> dict[str, Any]:
    np.savez(folder / "preparation.npz", **estimator.preparation_.arrays())
    names = getattr(estimator, "feature_names_in_", None)
    calibration: list[Any] = []
    for k, model in enumerate(estimator.models_):
        if model is not None:
            _write_model(model, folder, k)
        calibration.append([model.slope, model.offset] if hasattr(model, "slope") else None)
    constants = [None if np.isnan(c) else float(c) for c in estimator.constants_]
    return {
        "feature_names": None if names is None else [str(n) for n in names],
        "constants": constants,
        "calibration": calibration,
    }


def _write_model(model: Any, folder: Path, k: int) -> None:
    if hasattr(model, "get_booster"):
        model.save_model(folder / f"model_{k:02d}.ubj")
        return
    import skops.io

    skops.io.dump(model.machines if hasattr(model, "machines") else model, folder / f"model_{k:02d}.skops")


def _read_table_member(estimator: Any, folder: Path, head: dict[str, Any]) -> None:
    from quintet.classifiers.tabular.preparation import Preparation

    estimator.n_features_in_ = int(head["n_features_in"])
    if head["feature_names"] is not None:
        estimator.feature_names_in_ = np.array(head["feature_names"], dtype=object)
    estimator.preparation_ = Preparation(scale=estimator.scaled).restore(
        read_arrays(folder / "preparation.npz")
    )
    kept = estimator.preparation_.kept
    _must(
        kept.ndim == 1 and len(kept) > 0 and kept.min() >= 0 and kept.max() < estimator.n_features_in_,
        "preparation.npz names columns that are not there",
    )
    _must(
        all(a.shape == kept.shape for a in estimator.preparation_.arrays().values()),
        "preparation.npz has arrays of different lengths",
    )
    estimator.constants_ = np.array([np.nan if c is None else float(c) for c in head["constants"]])
    n_models = len(estimator.classes_) if estimator.multilabel_ else 1
    _must(
        len(estimator.constants_) == len(head["calibration"]) == n_models,
        f"there must be {n_models} model(s)",
    )
    n_classes = 2 if estimator.multilabel_ else len(estimator.classes_)
    estimator.models_ = [
        _read_model(
            estimator.member, folder / f"model_{k:02d}", head["calibration"][k], (len(kept), n_classes)
        )
        if np.isnan(constant)
        else None
        for k, constant in enumerate(estimator.constants_)
    ]


def _read_model(member: str, stem: Path, calibration: list[float] | None, size: tuple[int, int]) -> Any:
    """One classifier, checked to read `size[0]` columns and to know `size[1]` classes."""
    if member == "xgboost":
        return _read_trees(stem.with_suffix(".ubj"), size)
    model = _read_skops(stem.with_suffix(".skops"))
    if member == "svm":
        from quintet.classifiers.tabular.svm import MarginClassifier

        n_machines = 1 if size[1] == 2 else size[1]
        _must(
            isinstance(model, list) and len(model) == n_machines,
            f"{stem.name} must hold {n_machines} machine(s)",
        )
        for machine in model:
            _check_machine(machine, size[0])
        _must(calibration is not None, "the calibration is missing")
        slope, offset = calibration or (1.0, 0.0)
        return MarginClassifier(model, slope=float(slope), offset=float(offset))
    _must(
        np.array_equal(model.classes_, np.arange(size[1])) and model.n_features_in_ == size[0],
        f"{stem.name} does not fit member.json",
    )
    if member == "random_forest":
        _must(
            type(model).__name__ == "RandomForestClassifier" and len(model.estimators_) > 0,
            f"{stem.name} must hold a random forest",
        )
        for tree in model.estimators_:
            check_tree(tree.tree_, n_features=size[0], n_classes=size[1])
            _must(
                type(tree).__name__ == "DecisionTreeClassifier"
                and tree.n_classes_ == size[1]
                and tree.n_outputs_ == 1,
                f"{stem.name} has a tree of other classes",
            )
    else:
        _must(type(model).__name__ == "LogisticRegression", f"{stem.name} must hold a logistic regression")
        _must(
            model.coef_.shape == (1 if size[1] == 2 else size[1], size[0]),
            f"{stem.name} has coefficients of another shape",
        )
    return model


def _read_skops(path: Path) -> Any:
    import skops.io
    from skops.io.exceptions import UntrustedTypesFoundException

    try:
        return skops.io.load(path, trusted=list(TRUSTED))
    except UntrustedTypesFoundException as error:
        raise ArtefactError(
            f"A stored member may hold only what Quintet writes. {path}: {error} Do not use this file."
        ) from error


def _read_trees(path: Path, size: tuple[int, int]) -> Any:
    from xgboost import XGBClassifier
    from xgboost.core import XGBoostError

    model = XGBClassifier()
    try:
        model.load_model(path)
    except XGBoostError as error:
        raise ValueError(f"{path.name} is not a model of XGBoost: {str(error).splitlines()[0]}") from error
    _must(
        model.get_booster().num_features() == size[0] and model.n_classes_ == size[1],
        f"{path.name} does not fit member.json",
    )
    return model


def check_tree(tree: Any, *, n_features: int, n_classes: int) -> None:
    """Refuses a decision tree whose nodes point outside it: compiled code follows them unchecked.

    Every inner node `i` must have both children in `i + 1 … node_count - 1` (so there is no cycle) and a feature in
    `0 … n_features - 1`; every leaf has -1 twice.

    Raises:
        ArtefactError: one does not.
    """
    left, right, feature, index = (
        tree.children_left,
        tree.children_right,
        tree.feature,
        np.arange(tree.node_count),
    )
    leaf = (left == -1) & (right == -1)
    inner = (
        (left > index)
        & (right > index)
        & (left < tree.node_count)
        & (right < tree.node_count)
        & (feature >= 0)
        & (feature < n_features)
    )
    whole = (
        tree.node_count > 0
        and tree.n_features == n_features
        and tree.value.shape == (tree.node_count, 1, n_classes)
    )
    _must(
        bool(whole and (leaf | inner).all() and np.isfinite(tree.value).all()),
        "a decision tree points outside itself",
    )


def _check_machine(machine: Any, n_features: int) -> None:
    """Refuses a support vector machine whose arrays do not match: libsvm reads them by the sizes that others state."""
    if machine is None:
        return
    n_vectors = len(machine.support_)
    _must(
        type(machine).__name__ == "SVC" and machine.kernel == "rbf" and not machine._sparse,
        "a machine is not an RBF machine",
    )
    shapes = machine.support_vectors_.shape == (
        n_vectors,
        n_features,
    ) and machine.dual_coef_.shape == machine._dual_coef_.shape == (1, n_vectors)
    counts = (
        machine._n_support.shape == (2,)
        and machine._n_support.min() >= 0
        and machine._n_support.sum() == n_vectors
    )
    _must(
        bool(
            shapes and counts and machine._intercept_.shape == (1,) and machine.n_features_in_ == n_features
        ),
        "the arrays of a machine do not match",
    )


def _must(condition: bool, otherwise: str) -> None:
    if not condition:
        raise ArtefactError(
            f"A stored member must be what Quintet writes: {otherwise}. Do not use this file; copy it again, or train again."
        )
