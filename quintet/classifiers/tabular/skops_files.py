"""Stored parts of scikit-learn: read from skops' format by us, with every array checked before it is built.

A file of skops can ask for any attribute, of any size, of any type that skops trusts. This reader builds four
classes of scikit-learn and their trees, with the attributes in the three tables below, and nothing else.
Trees are checked before their compiled class sees them, because it copies as many nodes as the file says.
"""

from __future__ import annotations

import inspect
import re
import zipfile
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import cast

import numpy as np
from numpy.typing import NDArray

from quintet.classifiers.tabular.model_size import ModelSize
from quintet.errors import ArtefactError
from quintet.files.json_types import JsonObject
from quintet.files.untrusted import limits
from quintet.files.untrusted.arrays import (
    ArrayRule,
    StoredArray,
    open_archive,
    read_entry,
    read_header,
    read_values,
    require_rule,
)
from quintet.files.untrusted.strict_json import parse_json, parse_object

SCHEMA = "schema.json"
SCALAR_LENGTH = 200
"""Characters of the JSON of a number or a text among the attributes."""

STORED_TYPES = ("<f8", "<i4", "<i8")
"""Types of the arrays that scikit-learn stores for Quintet."""

_NAME = re.compile(r"[A-Za-z_]\w{0,60}")
_FLAT = (None,)
_RULES: dict[str, dict[str, ArrayRule]] = {
    "LogisticRegression": {
        "classes_": ArrayRule("iu", _FLAT),
        "coef_": ArrayRule("f", (None, None)),
        "intercept_": ArrayRule("f", _FLAT),
        "n_iter_": ArrayRule("iu", _FLAT),
    },
    "SVC": {
        "classes_": ArrayRule("iu", _FLAT),
        "class_weight_": ArrayRule("f", _FLAT),
        "_gamma": ArrayRule("f", ()),
        "support_": ArrayRule("iu", _FLAT),
        "support_vectors_": ArrayRule("f", (None, None)),
        "_n_support": ArrayRule("iu", _FLAT),
        "dual_coef_": ArrayRule("f", (None, None)),
        "_dual_coef_": ArrayRule("f", (None, None)),
        "intercept_": ArrayRule("f", _FLAT),
        "_intercept_": ArrayRule("f", _FLAT),
        "_probA": ArrayRule("f", (0,)),
        "_probB": ArrayRule("f", (0,)),
        "_num_iter": ArrayRule("iu", _FLAT),
        "n_iter_": ArrayRule("iu", _FLAT),
    },
    "RandomForestClassifier": {
        "classes_": ArrayRule("iu", _FLAT),
        "n_classes_": ArrayRule("iu", ()),
        "_sample_weight": ArrayRule("f", _FLAT),
    },
    "DecisionTreeClassifier": {
        "classes_": ArrayRule("fiu", _FLAT),
        "n_classes_": ArrayRule("iu", ()),
        "max_features_": ArrayRule("iu", ()),
    },
}
"""Class → attribute that is an array, or a number of NumPy → what it may be."""

_MODULES = {
    "LogisticRegression": "sklearn.linear_model._logistic",
    "SVC": "sklearn.svm._classes",
    "RandomForestClassifier": "sklearn.ensemble._forest",
    "DecisionTreeClassifier": "sklearn.tree._classes",
}
_PARTS: dict[str, frozenset[str]] = {
    "RandomForestClassifier": frozenset({"estimator", "estimator_", "estimators_", "estimator_params"}),
    "DecisionTreeClassifier": frozenset({"tree_"}),
    "SVC": frozenset({"shape_fit_"}),
}
"""Class → attributes that are estimators, trees, or lists of these or of scalars."""

_FITTED = ("_sklearn_version", "n_features_in_")
_SCALARS: dict[str, tuple[str, ...]] = {
    "LogisticRegression": (*_FITTED, "penalty", "multi_class", "l1_ratio"),
    "SVC": (
        *_FITTED,
        "_gamma",  # a plain number if the setting is a number
        "_sparse",
        "_effective_probability",
        "fit_status_",
        "nu",
        "epsilon",
        "probability",
    ),
    "RandomForestClassifier": (*_FITTED, "n_outputs_", "n_classes_", "_n_samples", "_n_samples_bootstrap"),
    "DecisionTreeClassifier": (*_FITTED, "n_outputs_", "n_classes_", "max_features_", "monotonic_cst"),
}
"""Class → attributes that are texts, numbers, booleans or None, beside the parameters of its constructor."""

Nodes = NDArray[np.void]


def read_skops(data: bytes, shape: ModelSize, where: object) -> object:
    """The estimator, or the list of estimators, of a file of skops.

    Args:
        data: content of the file.
        shape: columns and classes, for the trees.
        where: name of the file, for messages.

    Raises:
        ArtefactError: for a type or an attribute that Quintet does not write, and for a tree that points
            outside itself.
        ValueError: for a damaged file.
    """
    with open_archive(data) as archive:
        if SCHEMA not in archive.namelist():
            raise ValueError(f"{where} has no {SCHEMA}")
        schema = parse_object(read_entry(archive, SCHEMA), f"{where} ({SCHEMA})")
        return _Builder(archive, shape, where).value(schema)


def check_nodes(nodes: Nodes, values: StoredArray, shape: ModelSize) -> None:
    """Refuse a decision tree whose nodes point outside it: compiled code follows them without a check.

    Every inner node `i` must have both children in `i + 1 … n - 1` (so there is no cycle) and a feature in
    `0 … n_features - 1`. Every leaf must have -1 twice.

    Args:
        nodes: records `(n,)` with the fields `left_child`, `right_child`, `feature`.
        values: `(n, 1, classes)`, finite.
        shape: columns and classes.

    Raises:
        ArtefactError: if one does not.
    """
    left, right, feature = (nodes[name] for name in ("left_child", "right_child", "feature"))
    n_nodes = len(nodes)
    index = np.arange(n_nodes)
    is_leaf = (left == -1) & (right == -1)
    left_is_valid = (left > index) & (left < n_nodes)
    right_is_valid = (right > index) & (right < n_nodes)
    feature_is_valid = (feature >= 0) & (feature < shape.n_features)
    is_inner = left_is_valid & right_is_valid & feature_is_valid
    has_shape = n_nodes > 0 and values.shape == (n_nodes, 1, shape.n_classes)
    is_sound = has_shape and (is_leaf | is_inner).all() and np.isfinite(values).all()
    if not is_sound:
        raise ArtefactError(
            "A stored member must be what Quintet writes: a decision tree points outside itself. "
            "Do not use this file; copy it again, or train again."
        )


class _Builder:
    """Builds the objects of one file."""

    def __init__(self, archive: zipfile.ZipFile, shape: ModelSize, where: object) -> None:
        self.archive = archive
        self.shape = shape
        self.where = where
        self.arrays: dict[str, StoredArray] = {}
        self.n_trees = 0

    def value(self, node: object) -> object:
        """The estimator of a node, None, or a list of estimators."""
        kind = self._kind(node)
        if kind == ("ListNode", "builtins.list"):
            return [self.value(item) for item in self._items(node)]
        if kind[0] == "ObjectNode":
            return self.estimator(node)
        if kind[0] == "JsonNode" and self.scalar(node) is None:
            return None
        raise self._foreign(kind[1])

    def estimator(self, node: object) -> object:
        """A classifier of scikit-learn with its known attributes."""
        _, name = self._kind(node)
        class_name = name.rpartition(".")[2]
        if class_name not in _MODULES or name != f"{_MODULES[class_name]}.{class_name}":
            raise self._foreign(name)
        attributes = self._dictionary(self._entry(node, "content"))
        state: dict[str, object] = {}
        for attribute, part in attributes.items():
            state[attribute] = self.attribute(class_name, attribute, part)
        _bound_threads(state)
        cls = _scikit_class(class_name)
        instance = cls.__new__(cls)
        cast("_HasState", instance).__setstate__(state)
        return instance

    def attribute(self, class_name: str, attribute: str, node: object) -> object:
        """Value of one attribute of an estimator."""
        loader, name = self._kind(node)
        if loader == "JsonNode" and attribute in _scalar_names(class_name):
            return self.scalar(node)
        if loader == "NdArrayNode" and attribute in _RULES[class_name]:
            return self.array(node, _RULES[class_name][attribute], attribute)
        if attribute in _PARTS.get(class_name, ()):
            if loader in ("ListNode", "TupleNode"):
                items = [self.item(item) for item in self._items(node)]
                return tuple(items) if loader == "TupleNode" else items
            if loader == "TreeNode":
                return self.tree(node)
            if loader == "ObjectNode":
                return self.estimator(node)
        raise self._foreign(f"{name} as {class_name}.{attribute[:60]}")

    def item(self, node: object) -> object:
        """One item of a list among the attributes: a scalar, or a tree of a forest."""
        return self.scalar(node) if self._kind(node)[0] == "JsonNode" else self.estimator(node)

    def scalar(self, node: object) -> object:
        """A text, a number, a boolean or None."""
        content = self._entry(node, "content")
        if not isinstance(content, str) or len(content) > SCALAR_LENGTH:
            raise ValueError(f"{self.where} has a scalar that is too long")
        value = parse_json(content.encode(), self.where)
        if isinstance(value, list | dict):
            raise ValueError(f"{self.where} has a {type(value).__name__} where a scalar must be")
        return value

    def array(self, node: object, rule: ArrayRule, attribute: str) -> StoredArray:
        """An array, or a number of NumPy, which its rule allows."""
        _, name = self._kind(node)
        file = self._entry(node, "file")
        if self._entry(node, "type") != "numpy" or not isinstance(file, str):
            raise self._foreign(f"an array of objects as {attribute}")
        if file not in self.arrays:
            data = read_entry(self.archive, file)
            header = read_header(data)
            require_rule(header, rule, attribute)
            self.arrays[file] = read_values(data, header)
        values = self.arrays[file]
        is_stored_type = values.dtype.str in STORED_TYPES  # compiled code reads no other
        if not is_stored_type or values.dtype.kind not in rule.kinds or values.ndim != len(rule.shape):
            raise ValueError(f"{attribute} is an array of another kind")
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise ValueError(f"{attribute} has a value that is not finite")
        if name == "numpy.ndarray":
            return values
        module, _, class_name = name.rpartition(".")
        if module != "numpy" or values.shape or class_name != values.dtype.name:
            raise self._foreign(name)
        number: StoredArray = values[()]
        return number

    def tree(self, node: object) -> object:
        """A compiled tree, built from arrays that were checked."""
        if self._kind(node)[1] != "sklearn.tree._tree.Tree":
            raise self._foreign(self._kind(node)[1])
        self.n_trees += 1
        if self.n_trees > limits.TREES:
            raise ValueError(f"{self.where} has more than {limits.TREES} trees")
        from sklearn.tree import _tree

        arguments = self._items(self._entry(self._entry(node, "__reduce__"), "args"))
        state = self._dictionary(self._entry(node, "content"))
        if len(arguments) != 3 or set(state) != {"max_depth", "node_count", "nodes", "values"}:
            raise ValueError(f"{self.where} has a tree of other parts")
        classes = self.array(arguments[1], ArrayRule("iu", (1,)), "n_classes")
        nodes = self.nodes(state["nodes"], _tree.NODE_DTYPE)
        values = self.array(state["values"], ArrayRule("f", (len(nodes), 1, None)), "values")
        depth, count = self.scalar(state["max_depth"]), self.scalar(state["node_count"])
        fits = (
            self.scalar(arguments[0]) == self.shape.n_features
            and classes.tolist() == [self.shape.n_classes]
            and self.scalar(arguments[2]) == 1
            and count == len(nodes)
            and isinstance(depth, int)
            and 0 <= depth <= len(nodes)
        )
        if fits:
            check_nodes(nodes, values, self.shape)
        else:
            raise ValueError(f"{self.where} has a tree that does not fit member.json")
        tree = _tree.Tree(self.shape.n_features, np.array([self.shape.n_classes], dtype=np.intp), 1)
        tree.__setstate__(
            {
                "max_depth": depth,
                "node_count": count,
                "nodes": np.ascontiguousarray(nodes),
                "values": np.ascontiguousarray(values, dtype=np.float64),
            }
        )
        built: object = tree
        return built

    def nodes(self, node: object, dtype: np.dtype[np.void]) -> Nodes:
        """Node records of a tree."""
        file = self._entry(node, "file")
        if self._kind(node) != ("NdArrayNode", "numpy.ndarray") or not isinstance(file, str):
            raise self._foreign(self._kind(node)[1])
        data = read_entry(self.archive, file)
        header = read_header(data)
        if header.dtype != dtype or len(header.shape) != 1 or not header.shape[0]:
            raise ValueError(f"{self.where} has nodes of another kind")
        nodes = cast("Nodes", read_values(data, header))
        if any(np.isnan(nodes[name]).any() for name in ("threshold", "impurity", "weighted_n_node_samples")):
            raise ValueError(f"{self.where} has a node with NaN")
        return nodes

    def _kind(self, node: object) -> tuple[str, str]:
        """Loader and full name of the class of a node."""
        parts = [self._entry(node, key) for key in ("__loader__", "__module__", "__class__")]
        if not all(isinstance(part, str) for part in parts):
            raise ValueError(f"{self.where} has a node without a type")
        return str(parts[0]), f"{parts[1]}.{parts[2]}"[:200]

    def _entry(self, node: object, key: str) -> object:
        if not isinstance(node, dict) or key not in node:
            raise ValueError(f"{self.where} has a node without {key}")
        value: object = node[key]
        return value

    def _items(self, node: object) -> list[object]:
        """Items of a list or tuple."""
        if self._kind(node) not in (("ListNode", "builtins.list"), ("TupleNode", "builtins.tuple")):
            raise self._foreign(self._kind(node)[1])
        items = self._entry(node, "content")
        if not isinstance(items, list) or len(items) > limits.TREES:
            raise ValueError(f"{self.where} has a list without items, or with too many")
        return items

    def _dictionary(self, node: object) -> JsonObject:
        """Name → node of a dictionary whose keys are names."""
        if self._kind(node) != ("DictNode", "builtins.dict"):
            raise self._foreign(self._kind(node)[1])
        content = self._entry(node, "content")
        if not isinstance(content, dict) or not all(_NAME.fullmatch(key) for key in content):
            raise ValueError(f"{self.where} has attributes without names")
        return content

    def _foreign(self, name: str) -> ArtefactError:
        return ArtefactError(
            f"A stored member may hold only what Quintet writes. {self.where} asks for {name}. "
            "Do not use this file."
        )


class _HasState:
    """An estimator as `__new__` leaves it."""

    __setstate__: Callable[[Mapping[str, object]], None]


def _bound_threads(state: dict[str, object]) -> None:
    """Refuse a number of threads that would exhaust the machine, and silence the estimator."""
    threads = state.get("n_jobs")
    if threads is not None and not (
        isinstance(threads, int) and -limits.THREADS <= threads <= limits.THREADS and threads != 0
    ):
        raise ValueError(f"n_jobs must be a number up to {limits.THREADS}, it is {str(threads)[:30]}")


@lru_cache(maxsize=8)
def _scalar_names(class_name: str) -> frozenset[str]:
    parameters = inspect.signature(_scikit_class(class_name).__init__).parameters
    inherited = ("estimator_params",) if class_name == "RandomForestClassifier" else ()
    return frozenset({*parameters, *_SCALARS[class_name]} - {"self", *inherited})


def _scikit_class(name: str) -> type[object]:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import SVC
    from sklearn.tree import DecisionTreeClassifier

    classes: tuple[type[object], ...] = (
        LogisticRegression,
        RandomForestClassifier,
        SVC,
        DecisionTreeClassifier,
    )
    return next(cls for cls in classes if cls.__name__ == name)
