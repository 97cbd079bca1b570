"""Freezing: the fitted members of an ensemble as plain arrays, compared with the members on real clips."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from quintet.classifiers.spectrogram.patches import BandStatistics
from quintet.files.json_types import JsonObject
from quintet.files.untrusted.arrays import StoredArray
from quintet.frozen.members import FrozenMember, FrozenNetwork, FrozenTable
from quintet.frozen.network import Network, Step
from quintet.frozen.scorers import Boosted, Forest, Linear, Machines, Scorer
from quintet.frozen.trees import Trees, require_trees

if TYPE_CHECKING:
    from quintet.classifiers.member import Member
    from quintet.classifiers.spectrogram.classifier import SpectrogramClassifier
    from quintet.classifiers.tabular.members import FittedModel, TableMember
    from quintet.classifiers.tabular.storage import Forest as ScikitForest
    from quintet.classifiers.tabular.storage import RbfMachine, Regression
    from quintet.classifiers.tabular.svm import MarginClassifier

Floats = NDArray[np.float64]

TOLERANCE, NETWORK_TOLERANCE = 1e-6, 1e-5
"""Largest difference of a probability from that of the member. A network adds up thousands of products in
float32, and Keras' own numbers differ by some 1e-6 between processors and sizes of batches."""


class UnfrozenError(ValueError):
    """A member that cannot be frozen, in words that follow its name."""


def freeze_table(member: TableMember, feature_names: Sequence[str]) -> FrozenTable:
    """A fitted table member as plain arrays.

    Args:
        member: fitted on a table with some or all of the columns of the model.
        feature_names: the columns of the model.

    Raises:
        UnfrozenError: it has a column that the model does not have, or numbers that the arrays cannot hold.
    """
    preparation = member.preparation_
    names = getattr(member, "feature_names_in_", None)
    if names is not None and list(names) != list(feature_names):
        place = {name: j for j, name in enumerate(feature_names)}
        own = [str(names[j]) for j in preparation.kept]
        if not set(own) <= set(place):
            raise UnfrozenError("reads columns that the model does not have")
        kept = np.array([place[name] for name in own], dtype=np.int64)
        arrays = {**preparation.arrays(), "kept": kept}
        preparation = type(preparation)(scale=preparation.scale).restore(arrays)
    freeze = _FREEZERS[member.member]
    scorers = tuple(None if model is None else freeze(model) for model in member.models_)
    return FrozenTable(member.member, preparation, scorers, member.constants_, member.multilabel_)


def freeze_network(member: SpectrogramClassifier, weights: Mapping[str, StoredArray]) -> FrozenNetwork:
    """A fitted network as steps.

    Args:
        member: fitted.
        weights: content of its file of weights.

    Raises:
        UnfrozenError: it has a layer or a weight that the steps cannot hold.
    """
    from quintet.classifiers.networks.steps import UnknownLayerError, network_steps

    try:
        steps = [Step.from_json(step) for step in network_steps(member.fitted_network(), weights)]
        shape = (member.n_mels_, member.patch_frames)
        network = Network(steps, weights, shape, len(member.classes_))
    except (UnknownLayerError, ValueError, KeyError) as error:
        raise UnfrozenError(f"has a layer that only Keras computes ({error})") from error
    return FrozenNetwork(
        network,
        BandStatistics(member.mean_, member.std_),
        member.patch_settings,
        member.pooling,
        member.neighbours_,
        member.multilabel_,
    )


def largest_differences(
    frozen: Mapping[str, FrozenMember], expected: Mapping[str, Floats], inputs: tuple[Floats, object]
) -> dict[str, float]:
    """By member, the largest difference of a probability from that of the fitted member.

    Args:
        frozen: member → the frozen member.
        expected: member → its probabilities `(n, K)`.
        inputs: features `(n, d)` and spectrograms of the rows.
    """
    features, spectrograms = inputs
    differences = {}
    for name, member in frozen.items():
        received = member.probabilities(features, spectrograms)  # type: ignore[arg-type]
        differences[name] = float(np.abs(received - expected[name]).max(initial=0.0))
    return differences


def _freeze_regression(model: FittedModel) -> Scorer:
    regression = cast("Regression", model)
    return Linear(regression.coef_.astype(np.float64), regression.intercept_.astype(np.float64))


def _freeze_forest(model: FittedModel) -> Scorer:
    trees = [tree.tree_ for tree in cast("ScikitForest", model).estimators_]
    nodes = [tree.__getstate__()["nodes"] for tree in trees]
    left = [part["left_child"].astype(np.int64) for part in nodes]
    right = [part["right_child"].astype(np.int64) for part in nodes]
    column = np.concatenate([part["feature"].astype(np.int64) for part in nodes])
    values = np.concatenate([tree.value[:, 0] for tree in trees])
    joined = _join(left, right)
    is_leaf = np.concatenate(left) < 0
    shares = values[is_leaf] / values[is_leaf].sum(axis=1, keepdims=True)
    column[is_leaf] = np.arange(is_leaf.sum())
    threshold = np.where(is_leaf, 0.0, np.concatenate([part["threshold"] for part in nodes]))
    cover = np.concatenate([part["weighted_n_node_samples"] for part in nodes]).astype(np.float64)
    return Forest(Trees(*joined, column.astype(np.int32), threshold, inclusive=True, cover=cover), shares)


def _freeze_boosted(model: FittedModel) -> Scorer:
    booster = model.get_booster()  # type: ignore[attr-defined]
    content: JsonObject = json.loads(bytes(booster.save_raw("json")))["learner"]
    trees = content["gradient_booster"]["model"]["trees"]
    left = [np.asarray(tree["left_children"], np.int64) for tree in trees]
    right = [np.asarray(tree["right_children"], np.int64) for tree in trees]
    column = np.concatenate([np.asarray(tree["split_indices"], np.int32) for tree in trees])
    threshold = np.concatenate([np.asarray(tree["split_conditions"], np.float32) for tree in trees])
    joined = _join(left, right)
    column[np.concatenate(left) < 0] = 0
    group = np.asarray(content["gradient_booster"]["model"]["tree_info"], np.int32)
    base = np.atleast_1d(np.asarray(json.loads(content["learner_model_param"]["base_score"]), np.float32))
    n_scores = max(1, int(content["learner_model_param"]["num_class"]))
    if content["objective"]["name"] == "binary:logistic":  # its base is a probability
        base = np.asarray([math.log(p / (1 - p)) for p in base.astype(np.float64)], np.float32)
    base = np.full(n_scores, base[0], np.float32) if len(base) == 1 else base
    cover = np.concatenate([np.asarray(tree["sum_hessian"], np.float64) for tree in trees])
    has_weight = bool((cover[np.concatenate(left) >= 0] > 0).all())
    trees_ = Trees(*joined, column, threshold, inclusive=False, cover=cover if has_weight else None)
    return Boosted(trees_, group, base)


def _join(
    left: list[NDArray[np.int64]], right: list[NDArray[np.int64]]
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """Roots and children of trees whose nodes are numbered one tree after another; leaves are their own.

    Args:
        left: children of each tree; negative at a leaf.
        right: children of each tree.
    """
    starts = np.cumsum([0, *map(len, left)])
    if starts[-1] >= np.iinfo(np.int32).max:
        raise UnfrozenError("has more nodes than 31 bits can number")
    joined = []
    for children in (left, right):
        parts = [
            np.where(nodes < 0, np.arange(len(nodes)), nodes) + start
            for nodes, start in zip(children, starts[:-1], strict=True)
        ]
        joined.append(np.concatenate(parts).astype(np.int32))
    here = np.arange(starts[-1])
    is_leaf = joined[0] == here
    if ((np.minimum(*joined) <= here) & ~is_leaf).any():
        raise UnfrozenError("has a tree whose children stand before their parents")
    roots = starts[:-1].astype(np.int32)
    try:
        require_trees(roots, *joined)
    except ValueError as error:
        raise UnfrozenError(f"has {error}") from error
    return roots, joined[0], joined[1]


def freeze_machines(model: FittedModel) -> Scorer:
    classifier = cast("MarginClassifier", model)
    machines = [cast("RbfMachine | None", machine) for machine in classifier.machines]
    fitted = [machine for machine in machines if machine is not None]
    gammas = {float(machine._gamma) for machine in fitted}
    if len(gammas) != 1:
        raise UnfrozenError("has machines with different kernels")
    rows = np.unique(np.concatenate([machine.support_ for machine in fitted]))
    vectors = np.zeros((len(rows), fitted[0].support_vectors_.shape[1]))
    weights, offsets = np.zeros((len(machines), len(rows))), np.full(len(machines), -1.0)
    for k, machine in enumerate(machines):
        if machine is not None:
            place = np.searchsorted(rows, machine.support_)
            vectors[place] = machine.support_vectors_
            weights[k, place] = machine.dual_coef_[0]
            offsets[k] = machine.intercept_[0]  # type: ignore[attr-defined]
    calibration = np.array([classifier.slope, classifier.offset])
    return Machines(vectors, weights, offsets, gammas.pop(), calibration)


_FREEZERS = {
    "logistic_regression": _freeze_regression,
    "random_forest": _freeze_forest,
    "xgboost": _freeze_boosted,
    "svm": freeze_machines,
}


def freeze_member(
    member: Member, feature_names: Sequence[str], weights: Mapping[str, StoredArray]
) -> FrozenMember:
    """A fitted member as plain arrays.

    Args:
        member: the fitted member.
        feature_names: the columns of the model.
        weights: content of the file of weights of a network; not used for a table member.

    Raises:
        UnfrozenError: it cannot be frozen.
    """
    if hasattr(member, "preparation_"):
        return freeze_table(cast("TableMember", member), feature_names)
    return freeze_network(cast("SpectrogramClassifier", member), weights)
