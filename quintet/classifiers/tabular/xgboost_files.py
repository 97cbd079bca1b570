"""Stored trees of XGBoost: read and checked by us, then handed to XGBoost as it would have written them.

XGBoost follows the numbers of its file without checks. So a file is decoded here, every number that its
compiled code would follow is compared with the model that `member.json` describes, and XGBoost gets a new
file with these numbers only.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from quintet.classifiers.tabular.model_size import ModelSize
from quintet.files.untrusted import limits, ubjson

ROOT = 2147483647
"""What a tree of XGBoost names as the parent of its root."""

_NUMBER = r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"
_BASE_SCORE = re.compile(rf"\[?{_NUMBER}(?:,{_NUMBER})*\]?")
_INDICES = ("left_children", "right_children", "parents", "split_indices")
_WEIGHTS = ("base_weights", "loss_changes", "split_conditions", "sum_hessian")
_FLAGS = ("default_left", "split_type")
_EMPTY = ("categories", "categories_nodes", "categories_segments", "categories_sizes")

Numbers = NDArray[np.generic]


def rewrite_model(data: bytes, shape: ModelSize) -> bytes:
    """A model of XGBoost in UBJSON, with the checked numbers of `data` and nothing else.

    Args:
        data: content of a `.ubj` file.
        shape: columns and classes that the model must have.

    Raises:
        ValueError: if `data` is not a model of gradient-boosted trees for such a table, or a number in it
            points outside the model.
    """
    content = _object(ubjson.decode(data), "the file", required=("learner", "version"))
    learner = _object(
        content["learner"],
        "learner",
        required=("gradient_booster", "learner_model_param", "objective"),
        optional=("attributes", "feature_names", "feature_types"),
    )
    booster = _object(learner["gradient_booster"], "gradient_booster", required=("model", "name"))
    _require(booster["name"] == "gbtree", "its booster is not gbtree")
    _require(
        _is_empty(learner.get("feature_names", [])) and _is_empty(learner.get("feature_types", [])),
        "it names its columns",
    )
    return ubjson.encode(
        {
            "learner": {
                "attributes": _attributes(learner.get("attributes", {})),
                "feature_names": [],
                "feature_types": [],
                "gradient_booster": {"model": _forest(booster["model"], shape), "name": "gbtree"},
                "learner_model_param": _model_parameters(learner["learner_model_param"], shape),
                "objective": _objective(learner["objective"], shape),
            },
            "version": _version(content["version"]),
        }
    )


def _attributes(content: object) -> dict[str, object]:
    """The mark of scikit-learn's interface; nothing else."""
    attributes = _object(content, "attributes", optional=("scikit_learn",))
    for value in attributes.values():
        is_mark = isinstance(value, str) and re.fullmatch(r'\{"_estimator_type": "classifier"\}', value)
        _require(bool(is_mark), "its attributes are not those of a classifier")
    return attributes


def _forest(content: object, shape: ModelSize) -> dict[str, object]:
    """All trees, and which output each of them adds to."""
    model = _object(
        content,
        "model",
        required=("gbtree_model_param", "iteration_indptr", "tree_info", "trees"),
        optional=("cats",),
    )
    parameters = _object(
        model["gbtree_model_param"], "gbtree_model_param", required=("num_parallel_tree", "num_trees")
    )
    trees = model["trees"]
    _require(isinstance(trees, list) and 0 < len(trees) <= limits.TREES, "it has no trees, or too many")
    n_trees = len(trees) if isinstance(trees, list) else 0
    _require(_integer(parameters["num_trees"]) == n_trees, "num_trees is not the number of trees")
    _require(_integer(parameters["num_parallel_tree"]) == 1, "num_parallel_tree is not 1")
    outputs = _integers(model["tree_info"], "tree_info", n_trees)
    _require(bool((outputs >= 0).all() and (outputs < shape.n_outputs).all()), "tree_info names no class")
    rounds = _integers(model["iteration_indptr"], "iteration_indptr", None)
    is_ordered = len(rounds) >= 2 and rounds[0] == 0 and rounds[-1] == n_trees and (np.diff(rounds) > 0).all()
    _require(bool(is_ordered), "iteration_indptr does not divide the trees into rounds")
    result: dict[str, object] = {
        "gbtree_model_param": {"num_parallel_tree": "1", "num_trees": str(n_trees)},
        "iteration_indptr": [int(value) for value in rounds],
        "tree_info": [int(value) for value in outputs],
        "trees": [_tree(tree, k, shape) for k, tree in enumerate(trees if isinstance(trees, list) else ())],
    }
    if "cats" in model:
        categories = _object(model["cats"], "cats", optional=("enc", "feature_segments", "sorted_idx"))
        _require(all(_is_empty(value) for value in categories.values()), "it has categories")
        result = {"cats": categories, **result}
    return result


def _tree(content: object, position: int, shape: ModelSize) -> dict[str, object]:
    """One tree, whose nodes point to later nodes of the same tree and to columns of the table."""
    where = f"tree {position}"
    known = (*_INDICES, *_WEIGHTS, *_FLAGS, *_EMPTY, "id", "tree_param")
    tree = _object(content, where, required=known)
    parameters = _object(
        tree["tree_param"],
        where,
        required=("num_deleted", "num_feature", "num_nodes"),
        optional=("size_leaf_vector",),
    )
    n_nodes = _integer(parameters["num_nodes"])
    _require(n_nodes > 0 and tree["id"] == position, f"{where} has no nodes, or another number")
    _require(
        _integer(parameters["num_deleted"]) == 0
        and _integer(parameters["num_feature"]) == shape.n_features
        and _integer(parameters.get("size_leaf_vector", "1")) in (0, 1),
        f"{where} does not fit member.json",
    )
    _require(all(_is_empty(tree[name]) for name in _EMPTY), f"{where} has categories")
    arrays = {name: _array(tree[name], np.int32, n_nodes, where) for name in _INDICES}
    arrays |= {name: _array(tree[name], np.float32, n_nodes, where) for name in _WEIGHTS}
    arrays |= {name: _array(tree[name], np.uint8, n_nodes, where) for name in _FLAGS}
    _check_links(arrays, n_nodes, shape.n_features, where)
    finite = all(bool(np.isfinite(arrays[name]).all()) for name in _WEIGHTS)
    flags = not np.any(arrays["default_left"].astype(np.int64) > 1) and not arrays["split_type"].any()
    _require(finite and flags, f"{where} has a value that is not finite, or a categorical split")
    return {**tree, **arrays, "tree_param": parameters}


def _check_links(arrays: Mapping[str, Numbers], n_nodes: int, n_features: int, where: str) -> None:
    """Refuse a node whose children are not two later nodes that name it as their parent."""
    left, right, parents, columns = (arrays[name].astype(np.int64) for name in _INDICES)
    index = np.arange(n_nodes)
    is_leaf = (left == -1) & (right == -1)
    inner = np.flatnonzero(~is_leaf)
    for children in (left[inner], right[inner]):
        inside = (children > inner) & (children < n_nodes)
        _require(bool(inside.all()), f"{where} points outside itself")
        _require(bool((parents[children] == inner).all()), f"{where} has a node of two parents")
    named = np.sort(np.concatenate([left[inner], right[inner]]))
    is_whole = np.array_equal(named, index[1:]) and parents[0] in (ROOT, -1)
    _require(bool(is_whole), f"{where} has a node that no other node points to")
    inside = (columns >= 0) & (columns < n_features)
    _require(bool(inside.all()), f"{where} asks for a column that is not there")


def _model_parameters(content: object, shape: ModelSize) -> dict[str, object]:
    parameters = _object(
        content,
        "learner_model_param",
        required=("base_score", "num_class", "num_feature"),
        optional=("boost_from_average", "num_target"),
    )
    n_classes = 0 if shape.n_classes == 2 else shape.n_classes
    fits = _integer(parameters["num_feature"]) == shape.n_features
    fits = fits and _integer(parameters["num_class"]) == n_classes
    fits = fits and _integer(parameters.get("num_target", "1")) == 1
    fits = fits and _integer(parameters.get("boost_from_average", "1")) in (0, 1)
    _require(fits, "learner_model_param does not fit member.json")
    base = parameters["base_score"]
    is_text = isinstance(base, str) and len(base) < 64 * (shape.n_outputs + 1)
    _require(is_text and _BASE_SCORE.fullmatch(str(base)) is not None, "base_score is no number")
    values = [float(part) for part in str(base).strip("[]").split(",")]
    _require(
        len(values) in (1, shape.n_outputs) and all(np.isfinite(np.float32(value)) for value in values),
        "base_score has not one finite number for each class",
    )
    return parameters


def _objective(content: object, shape: ModelSize) -> dict[str, object]:
    """The objective, which turns the sums of the leaves into probabilities."""
    if shape.n_classes == 2:
        objective = _object(content, "objective", required=("name", "reg_loss_param"))
        _object(objective["reg_loss_param"], "reg_loss_param", required=("scale_pos_weight",))
        _require(objective["name"] == "binary:logistic", "its objective is not binary:logistic")
        return {"name": "binary:logistic", "reg_loss_param": {"scale_pos_weight": "1"}}
    objective = _object(content, "objective", required=("name", "softmax_multiclass_param"))
    parameters = _object(objective["softmax_multiclass_param"], "objective", required=("num_class",))
    _require(objective["name"] == "multi:softprob", "its objective is not multi:softprob")
    _require(_integer(parameters["num_class"]) == shape.n_classes, "its objective has other classes")
    return {"name": "multi:softprob", "softmax_multiclass_param": {"num_class": str(shape.n_classes)}}


def _version(content: object) -> list[object]:
    numbers = _integers(content, "version", 3)
    _require(bool((numbers >= 0).all() and (numbers < 1000).all()), "its version is impossible")
    return [int(number) for number in numbers]


def _object(
    content: object, where: str, *, required: Collection[str] = (), optional: Collection[str] = ()
) -> dict[str, object]:
    """An object with these keys and no others."""
    if not isinstance(content, dict):
        raise ValueError(f"{where} must be an object")
    missing = [key for key in required if key not in content]
    unknown = [key for key in content if key not in required and key not in optional]
    if missing or unknown:
        fault = f"lacks {missing[0]}" if missing else f"has the unknown entry {unknown[0][:60]!r}"
        raise ValueError(f"{where} {fault}")
    return content


def _integer(text: object) -> int:
    """A whole number that XGBoost stores as a text."""
    if not isinstance(text, str) or not re.fullmatch(r"-?\d{1,10}", text):
        raise ValueError(f"there must be a whole number, there is {str(text)[:30]!r}")
    return int(text)


def _integers(content: object, where: str, length: int | None) -> NDArray[np.int64]:
    """A list of whole numbers of at most 32 bits."""
    values = content.tolist() if isinstance(content, np.ndarray) else content
    is_list = isinstance(values, list) and all(type(value) is int for value in values)
    if not is_list or not isinstance(values, list) or (length is not None and len(values) != length):
        raise ValueError(f"{where} must be a list of {'' if length is None else length} whole numbers")
    if any(abs(value) >= 1 << 31 for value in values):
        raise ValueError(f"{where} has a number that is too large")
    return np.asarray(values, dtype=np.int64)


def _array(content: object, kind: type[np.generic], length: int, where: str) -> Numbers:
    """An array of one type and length. A narrower type, as XGBoost may write it, is widened."""
    if not isinstance(content, np.ndarray) or content.shape != (length,):
        raise ValueError(f"{where} must have {length} values of every kind")
    if not np.can_cast(content.dtype, kind, casting="safe"):
        raise ValueError(f"{where} has values of the type {content.dtype}")
    return content.astype(kind)


def _is_empty(content: object) -> bool:
    return isinstance(content, list | np.ndarray) and len(content) == 0


def _require(condition: bool, fault: str) -> None:
    if not condition:
        raise ValueError(fault)
