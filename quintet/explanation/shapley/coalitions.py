"""What a member says when it hears only some families of columns, the rest being another clip's.

`coalition_probabilities` gives a member's probabilities for every coalition of players, clip and background clip. Each kind of member does
it in the way that suits it: trees in one walk per pair (`trees`), the logistic regression by adding up parts of its score, the SVM by
multiplying parts of its kernel; anything else is asked about the hybrids one coalition at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit, softmax

from quintet.explanation.shapley.forests import coalition_outputs, forest_from_sklearn, forest_from_xgboost

Array = NDArray[np.float64]


def coalition_probabilities(
    member: Any, rows: pd.DataFrame, background: pd.DataFrame, players: Mapping[str, list[str]]
) -> Array:
    """Probabilities of a fitted table member on every hybrid of a clip and a background clip.

    Args:
        member: a table member (or anything with `predict_proba` on a table).
        rows: (n, d) clips. background: (m, d).
        players: player → its columns; every column of `rows` belongs to exactly one.

    Returns:
        (2^k, n·m, classes) float64; bit i of the first index says whether player i is present (the clip's own columns), pairs ordered by clip, then
        background clip.
    """
    name = getattr(member, "member", "")
    if name not in _FAST:
        return _by_hybrids(member.predict_proba, rows, background, players)
    owner = {column: i for i, columns in enumerate(players.values()) for column in columns}
    player = np.array([owner[column] for column in member.prepared_names], dtype=np.int64)
    heard = (member.prepare(rows), member.prepare(background), player, len(players))
    if not member.multilabel_:
        return _FAST[name](member.models_[0], *heard)
    tags = [
        np.full((1 << len(players), len(rows) * len(background)), constant)
        if model is None
        else _FAST[name](model, *heard)[:, :, 1]
        for model, constant in zip(member.models_, member.constants_, strict=True)
    ]
    return np.stack(tags, axis=-1)


def presence(n_players: int) -> NDArray[np.bool_]:
    """(2^k, k) bool: which players each coalition has.

    Example:
        >>> presence(2).astype(int).tolist()
        [[0, 0], [1, 0], [0, 1], [1, 1]]
    """
    return ((np.arange(1 << n_players)[:, None] >> np.arange(n_players)) & 1).astype(bool)


def _by_hybrids(
    predict_proba: Callable[[Any], Any],
    rows: pd.DataFrame,
    background: pd.DataFrame,
    players: Mapping[str, list[str]],
) -> Array:
    repeated = rows.iloc[np.repeat(np.arange(len(rows)), len(background))].reset_index(drop=True)
    tiled = background.iloc[np.tile(np.arange(len(background)), len(rows))].reset_index(drop=True)
    found = []
    for present in presence(len(players)):
        hybrid = tiled.copy()
        for columns, is_present in zip(players.values(), present, strict=True):
            if is_present:
                hybrid[columns] = repeated[columns]
        found.append(np.asarray(predict_proba(hybrid), dtype=np.float64))
    return np.stack(found)


def _logistic_regression(
    model: Any, rows: Array, background: Array, player: NDArray[np.int64], k: int
) -> Array:
    parts = [
        [data[:, player == i] @ model.coef_[:, player == i].T for i in range(k)]
        for data in (rows, background)
    ]
    scores = []
    for present in presence(k):
        own = sum(
            (parts[0][i] for i in range(k) if present[i]), start=np.zeros((len(rows), len(model.coef_)))
        )
        other = sum(
            (parts[1][i] for i in range(k) if not present[i]),
            start=np.zeros((len(background), len(model.coef_))),
        )
        scores.append((own[:, None] + other[None] + model.intercept_).reshape(-1, len(model.coef_)))
    return _as_probabilities(np.stack(scores))


def _as_probabilities(scores: Array) -> Array:
    """Softmax over the last axis; a single score is the second class's log-odds."""
    if scores.shape[-1] > 1:
        return np.asarray(softmax(scores, axis=-1))
    second = expit(scores)
    return np.concatenate([1 - second, second], axis=-1)


def _random_forest(model: Any, rows: Array, background: Array, player: NDArray[np.int64], k: int) -> Array:
    return coalition_outputs(forest_from_sklearn(model), rows, background, player, k)


def _xgboost(model: Any, rows: Array, background: Array, player: NDArray[np.int64], k: int) -> Array:
    return _as_probabilities(coalition_outputs(forest_from_xgboost(model, rows), rows, background, player, k))


def _svm(model: Any, rows: Array, background: Array, player: NDArray[np.int64], k: int) -> Array:
    decisions = np.stack(
        [_machine(machine, rows, background, player, k) for machine in model.machines], axis=-1
    )
    return _as_probabilities(model.slope * decisions + model.offset)


def _machine(machine: Any, rows: Array, background: Array, player: NDArray[np.int64], k: int) -> Array:
    """Decision values (2^k, n·m) of one RBF machine: the kernel of a hybrid is the product of its families' kernels."""
    if machine is None:
        return np.full((1 << k, len(rows) * len(background)), -1.0)
    own, other = (
        [-machine._gamma * _squared_distances(data, machine.support_vectors_, player == i) for i in range(k)]
        for data in (rows, background)
    )
    weights = machine.dual_coef_.ravel()
    found = np.empty((1 << k, len(rows), len(background)))
    for s, present in enumerate(presence(k)):
        mine = np.exp(sum((own[i] for i in range(k) if present[i]), start=np.zeros_like(own[0])))
        theirs = np.exp(sum((other[i] for i in range(k) if not present[i]), start=np.zeros_like(other[0])))
        found[s] = (mine * weights) @ theirs.T
    return np.asarray(found.reshape(1 << k, -1) + machine.intercept_[0])


def _squared_distances(a: Array, b: Array, columns: NDArray[np.bool_]) -> Array:
    a, b = a[:, columns], b[:, columns]
    return np.asarray(np.maximum((a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None] - 2 * a @ b.T, 0.0))


_FAST: Mapping[str, Callable[[Any, Array, Array, NDArray[np.int64], int], Array]] = {
    "logistic_regression": _logistic_regression,
    "random_forest": _random_forest,
    "svm": _svm,
    "xgboost": _xgboost,
}
