"""Probabilities of a member under every coalition of feature families.

The families are the players of a game. In a hybrid, the columns of the present families are the clip's, and
all other columns are those of a background clip. `coalition_probabilities` gives the probabilities of a
member for every coalition, clip and background clip, in the way that suits the kind of member: trees in one
walk per pair (`forests`), the logistic regression by adding up parts of its score, the SVM by multiplying
parts of its kernel. Any other member predicts the hybrids, one coalition at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit, softmax

from quintet.explanation.contracts import Classifier, Floats
from quintet.explanation.shapley.forests import (
    coalition_outputs,
    forest_from_arrays,
    forest_from_sklearn,
    forest_from_xgboost,
)
from quintet.explanation.shapley.svm_shap import plain_machines
from quintet.frozen import scorers
from quintet.frozen.quick_table import QuickTable
from quintet.frozen.scorers import Boosted, Linear, Machine, Machines

if TYPE_CHECKING:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from xgboost import XGBClassifier

    from quintet.classifiers.tabular.members import TableMember
    from quintet.classifiers.tabular.svm import MarginClassifier


@dataclass(frozen=True)
class Hybrids:
    """Clips and background clips, prepared for one member, that are mixed family by family.

    Args:
        rows: (n, d) clips.
        background: (m, d) background clips.
        player: (d,) the player (family) of each column, in 0 … n_players - 1.
        n_players: k.
    """

    rows: Floats
    background: Floats
    player: NDArray[np.int64]
    n_players: int

    @property
    def n_pairs(self) -> int:
        """Number of pairs of a clip and a background clip, n·m."""
        return len(self.rows) * len(self.background)

    @property
    def columns(self) -> list[NDArray[np.bool_]]:
        """Player → (d,) bool: its columns."""
        return [self.player == i for i in range(self.n_players)]


def coalition_probabilities(
    member: Classifier, rows: pd.DataFrame, background: pd.DataFrame, players: Mapping[str, list[str]]
) -> Floats:
    """Probabilities of a fitted member on every hybrid of a clip and a background clip.

    Args:
        member: a table member, or anything with `predict_proba` on a table.
        rows: (n, d) clips.
        background: (m, d) background clips.
        players: player → its columns. Every column of `rows` belongs to exactly one player.

    Returns:
        (2^k, n·m, classes) float64. Bit i of the first index says whether player i is present (the clip's own
        columns). Pairs are ordered by clip, then by background clip.
    """
    if isinstance(member, QuickTable):
        member = member.fitted  # for whole games there are quicker ways still
    name = getattr(member, "member", "")
    if name not in _FAST:
        return _hybrid_probabilities(member, rows, background, players)
    predict, table_member = _FAST[name], cast("TableMember", member)
    hybrids = _prepare_hybrids(table_member, rows, background, players)
    if not table_member.multilabel_:
        return predict(table_member.models_[0], hybrids)
    tags = []
    for model, constant in zip(table_member.models_, table_member.constants_, strict=True):
        if model is None:
            tags.append(np.full((1 << hybrids.n_players, hybrids.n_pairs), constant))
        else:
            tags.append(predict(model, hybrids)[:, :, 1])
    return np.stack(tags, axis=-1)


def _prepare_hybrids(
    member: TableMember, rows: pd.DataFrame, background: pd.DataFrame, players: Mapping[str, list[str]]
) -> Hybrids:
    """Both tables in the form that the member's models predict on."""
    player_of_column: dict[str, int] = {}
    for i, columns in enumerate(players.values()):
        player_of_column |= dict.fromkeys(columns, i)
    player = [player_of_column[column] for column in member.prepared_names]
    return Hybrids(
        rows=member.prepare(rows),
        background=member.prepare(background),
        player=np.array(player, dtype=np.int64),
        n_players=len(players),
    )


def presence(n_players: int) -> NDArray[np.bool_]:
    """The players of each coalition.

    Args:
        n_players: k.

    Returns:
        (2^k, k) bool.

    Example:
        >>> presence(2).astype(int).tolist()
        [[0, 0], [1, 0], [0, 1], [1, 1]]
    """
    coalitions = np.arange(1 << n_players)[:, None]
    bits = (coalitions >> np.arange(n_players)) & 1
    return bits.astype(bool)


def _hybrid_probabilities(
    member: Classifier, rows: pd.DataFrame, background: pd.DataFrame, players: Mapping[str, list[str]]
) -> Floats:
    """`coalition_probabilities` by predicting every hybrid."""
    row_of_pair = np.repeat(np.arange(len(rows)), len(background))
    background_of_pair = np.tile(np.arange(len(background)), len(rows))
    clips = rows.iloc[row_of_pair].reset_index(drop=True)
    others = background.iloc[background_of_pair].reset_index(drop=True)
    probabilities = []
    for present in presence(len(players)):
        hybrid = others.copy()
        for columns, is_present in zip(players.values(), present, strict=True):
            if is_present:
                hybrid[columns] = clips[columns]
        probabilities.append(np.asarray(member.predict_proba(hybrid), dtype=np.float64))
    return np.stack(probabilities)


def _logistic_regression(model: LogisticRegression | Linear, hybrids: Hybrids) -> Floats:
    """The score is a sum over columns: each family's part is computed once."""
    slopes, intercepts = linear_numbers(model)
    row_parts = _score_parts(slopes, hybrids.rows, hybrids.columns)
    background_parts = _score_parts(slopes, hybrids.background, hybrids.columns)
    n_outputs = len(slopes)
    scores = []
    for present in presence(hybrids.n_players):
        row_sum = _sum_selection(row_parts, present, (len(hybrids.rows), n_outputs))
        background_sum = _sum_selection(background_parts, ~present, (len(hybrids.background), n_outputs))
        pairs = row_sum[:, None] + background_sum[None] + intercepts
        scores.append(pairs.reshape(-1, n_outputs))
    return _probabilities(np.stack(scores))


def linear_numbers(model: LogisticRegression | Linear) -> tuple[Floats, Floats]:
    """Coefficients `(outputs, d)` and intercepts `(outputs,)` of a logistic regression, fitted or frozen."""
    if isinstance(model, Linear):
        return model.coefficients, model.intercepts
    return model.coef_, model.intercept_


def _score_parts(slopes: Floats, data: Floats, columns: Sequence[NDArray[np.bool_]]) -> list[Floats]:
    """Per family, its part of the score: (rows, outputs)."""
    parts = []
    for own in columns:
        coefficients = slopes[:, own]
        parts.append(data[:, own] @ coefficients.T)
    return parts


def _sum_selection(terms: Sequence[Floats], selection: NDArray[np.bool_], shape: tuple[int, ...]) -> Floats:
    """The sum of the terms in the selection, added one by one to zeros of this shape."""
    total = np.zeros(shape)
    for term, is_in in zip(terms, selection, strict=True):
        if is_in:
            total = total + term
    return total


def _probabilities(scores: Floats) -> Floats:
    """Softmax over the last axis; a single score is the log-odds of the second class."""
    if scores.shape[-1] > 1:
        return np.asarray(softmax(scores, axis=-1))
    second = expit(scores)
    return np.concatenate([1 - second, second], axis=-1)


def _random_forest(model: RandomForestClassifier | scorers.Forest, hybrids: Hybrids) -> Floats:
    forest = forest_from_arrays(model) if isinstance(model, scorers.Forest) else forest_from_sklearn(model)
    return coalition_outputs(forest, hybrids.rows, hybrids.background, hybrids.player, hybrids.n_players)


def _xgboost(model: XGBClassifier | Boosted, hybrids: Hybrids) -> Floats:
    if isinstance(model, Boosted):
        forest = forest_from_arrays(model)
    else:
        forest = forest_from_xgboost(model, hybrids.rows)
    scores = coalition_outputs(forest, hybrids.rows, hybrids.background, hybrids.player, hybrids.n_players)
    return _probabilities(scores)


def _svm(model: MarginClassifier | Machines, hybrids: Hybrids) -> Floats:
    columns = [_machine_decisions(machine, hybrids) for machine in plain_machines(model.machines)]
    decisions = np.stack(columns, axis=-1)
    if isinstance(model, Machines):
        slope, offset = model.calibration
    else:
        slope, offset = model.slope, model.offset
    return _probabilities(slope * decisions + offset)


def _machine_decisions(machine: Machine | None, hybrids: Hybrids) -> Floats:
    """Decision values (2^k, n·m) of one RBF machine.

    The kernel of a hybrid is the product of the kernels of its families: exponents add up.
    """
    n_coalitions = 1 << hybrids.n_players
    if machine is None:
        return np.full((n_coalitions, hybrids.n_pairs), -1.0)
    row_exponents = _kernel_exponents(machine, hybrids.rows, hybrids.columns)
    background_exponents = _kernel_exponents(machine, hybrids.background, hybrids.columns)
    weights = machine.weights
    decisions = np.empty((n_coalitions, len(hybrids.rows), len(hybrids.background)))
    for s, present in enumerate(presence(hybrids.n_players)):
        row_sum = _sum_selection(row_exponents, present, row_exponents[0].shape)
        background_sum = _sum_selection(background_exponents, ~present, background_exponents[0].shape)
        row_kernel = np.exp(row_sum)
        background_kernel = np.exp(background_sum)
        decisions[s] = (row_kernel * weights) @ background_kernel.T
    return np.asarray(decisions.reshape(n_coalitions, -1) + machine.offset)


def _kernel_exponents(machine: Machine, data: Floats, columns: Sequence[NDArray[np.bool_]]) -> list[Floats]:
    """Per family, the logarithm of its kernel: (rows, support vectors)."""
    vectors = machine.vectors
    exponents = []
    for own in columns:
        distances = _square_distances(data[:, own], vectors[:, own])
        exponents.append(-machine.gamma * distances)
    return exponents


def _square_distances(a: Floats, b: Floats) -> Floats:
    a_squares = (a**2).sum(axis=1)[:, None]
    b_squares = (b**2).sum(axis=1)[None]
    distances = a_squares + b_squares - 2 * a @ b.T
    return np.asarray(np.maximum(distances, 0.0))


_FAST: Mapping[str, Callable[..., Floats]] = {
    "logistic_regression": _logistic_regression,
    "random_forest": _random_forest,
    "svm": _svm,
    "xgboost": _xgboost,
}
"""Member → `(model, hybrids) -> (2^k, n·m, classes)`, where `model` is a fitted model of that member."""
