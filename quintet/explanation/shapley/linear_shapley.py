"""Exact Shapley values of any number of columns, for a prediction that is a weighted sum of its members.

Shapley values of a sum are the sums of the Shapley values. A forest is a sum of leaves: the hybrids of a clip
and a background clip reach a leaf if they have some players and lack some others, and the value of the leaf
is shared among these. A network is one player of its own. So a weighted mean of forests and networks needs no
coalitions. A softmax or logistic function breaks the sum: the exact values of a logistic regression's
probability are #P-hard (Van den Broeck et al., "On the tractability of SHAP explanations", 2021).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import factorial
from typing import TYPE_CHECKING, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quintet.explanation.contracts import Floats, NetworkPredictions
from quintet.explanation.shapley import compiled
from quintet.explanation.shapley.arrays import Forest
from quintet.explanation.shapley.family_shapley import SPECTROGRAM
from quintet.explanation.shapley.forests import forest_from_arrays, forest_from_sklearn
from quintet.explanation.shapley.tree_shap import tree_depths
from quintet.frozen import scorers

if TYPE_CHECKING:
    from sklearn.ensemble import RandomForestClassifier

    from quintet.classifiers.tabular.members import TableMember
    from quintet.frozen.table_member import ArrayMember


@dataclass(frozen=True)
class LinearShapley:
    """Exact Shapley values of a weighted sum.

    Args:
        players: k names.
        values: (n, k, classes) Shapley values, mean over the background clips.
        errors: (n, k, classes) standard errors that the number of background clips causes; None with one.
        base: (n, classes) mean prediction of the background clips.
    """

    players: tuple[str, ...]
    values: Floats
    errors: Floats | None
    base: Floats


def linear_shapley(
    members: Mapping[str, TableMember | ArrayMember | None],
    weights: Mapping[str, float],
    rows: pd.DataFrame,
    background: pd.DataFrame,
    *,
    players: Mapping[str, Sequence[str]],
    networks: NetworkPredictions | None = None,
) -> LinearShapley:
    """Shapley values of `Σ_m w_m · p_m`, where each member is a random forest or a network.

    Args:
        members: name → random forest; None for a network.
        weights: name → weight; members without one are left out.
        rows: (n, d) clips to explain.
        background: (m, d) clips whose data replace those of absent players.
        players: name → its columns. If networks take part, `SPECTROGRAM` is one more player, the last.
        networks: network → its probabilities of the clips (n, classes) and of the background clips.
    """
    networks = networks or {}
    names = (*players, *((SPECTROGRAM,) if networks else ()))
    decisive = {name: member for name, member in members.items() if weights.get(name, 0.0) > 0}
    base = sum(
        weights[name]
        * (networks[name][1] if member is None else member.predict_proba(background)).mean(axis=0)
        for name, member in decisive.items()
    )
    trees = {
        name: _TreesOfMember(member, rows, background, players)
        for name, member in decisive.items()
        if member is not None
    }
    n, m, n_classes = len(rows), len(background), len(np.asarray(base))
    values = np.empty((n, len(names), n_classes))
    errors = np.empty_like(values)
    for i in range(n):  # a row at a time: memory does not grow with the rows
        total = np.zeros((m, len(names), n_classes))
        for name, member in decisive.items():
            if member is None:
                of_clips, of_background = networks[name]
                total[:, -1] += weights[name] * (of_clips[i] - of_background)
            else:
                total[:, : len(players)] += weights[name] * trees[name].values(i)
        values[i] = total.mean(axis=0)
        errors[i] = total.std(axis=0, ddof=1) / np.sqrt(m) if m > 1 else np.nan
    return LinearShapley(names, values, errors if m > 1 else None, np.tile(base, (n, 1)))


class _TreesOfMember:
    """The forests of a member, one for classes or one per tag, and the prepared rows."""

    def __init__(
        self,
        member: TableMember | ArrayMember,
        rows: pd.DataFrame,
        background: pd.DataFrame,
        players: Mapping[str, Sequence[str]],
    ) -> None:
        number = {column: k for k, own in enumerate(players.values()) for column in own}
        self._player = np.array([number[name] for name in member.prepared_names], dtype=np.int64)
        self._n_players = len(players)
        self._rows, self._background = member.prepare(rows), member.prepare(background)
        self._multilabel = member.multilabel_
        self._forests = [None if model is None else _forest(model) for model in member.models_]

    def values(self, row: int) -> Floats:
        """(m, k, classes) the values of a row against each background clip."""
        found = []
        for forest in self._forests:
            if forest is None:  # a tag that every training clip or none has
                found.append(np.zeros((len(self._background), self._n_players, 1)))
                continue
            own = forest_shapley(forest, self._rows[row], self._background, self._player, self._n_players)
            found.append(own[:, :, 1:] if self._multilabel else own)
        return np.concatenate(found, axis=2)


def _forest(model: object) -> Forest:
    if isinstance(model, scorers.Forest):
        return forest_from_arrays(model)
    return forest_from_sklearn(cast("RandomForestClassifier", model))


def forest_shapley(
    forest: Forest, row: Floats, background: Floats, player: NDArray[np.int64], n_players: int
) -> Floats:
    """Shapley values of the outputs of trees, for one clip against each background clip.

    A leaf of value v, which hybrids reach that have a players and lack c others, gives
    `v (a - 1)! c! / (a + c)!` to each of the a, and takes `v a! (c - 1)! / (a + c)!` from each of the c.

    Args:
        forest: the trees.
        row: (d,) the clip.
        background: (m, d) background clips.
        player: (d,) the player of each column, in 0 … n_players - 1.
        n_players: k, any number.

    Returns:
        (m, k, outputs).

    Source:
        Interventional TreeSHAP: Lundberg et al., "From local explanations to global understanding with
        explainable AI for trees", 2020.
    """
    levels = int(tree_depths(forest).max()) + 2
    shares = np.array(
        [[factorial(a) * factorial(c) / factorial(a + c + 1) for c in range(levels)] for a in range(levels)]
    )
    values = np.zeros((len(background), n_players, forest.value.shape[1]))
    with np.errstate(over="ignore"):
        single, others = row.astype(np.float32), np.ascontiguousarray(background, np.float32)
    paths = np.empty((levels, levels + 3), np.int64)
    compiled.add_background_values(forest, single, others, player, shares, paths, values)
    return values
