"""Exact Shapley values of feature families for the ensemble prediction.

The players of the game are the families of columns and, if networks take part, the spectrogram. In a
coalition, a present player keeps the clip's own data; an absent one has the data of a clip of the training
part (a background clip). The value of a coalition is the ensemble probability, averaged over the background
clips. Shapley values share the difference between the full coalition (the prediction) and the empty one (the
base) among the players. They are exact: all 2^k coalitions are computed.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from math import comb
from typing import cast

import numpy as np
import pandas as pd

from quintet.errors import ConfigError
from quintet.explanation.contracts import Classifier, Floats, Fuse, NetworkPredictions
from quintet.explanation.shapley.coalitions import coalition_probabilities

SPECTROGRAM = "spectrogram"
"""Name of the player that stands for the input of the networks."""
MAX_PLAYERS = 12
"""Most players of a game: it has 2^k coalitions."""


@dataclass(frozen=True)
class FamilyShapley:
    """Exact Shapley values of the families for the ensemble prediction.

    Args:
        players: k names.
        values: (n, k, classes) Shapley values.
        base: (n, classes) ensemble probability if all data are those of background clips.
        prediction: (n, classes) ensemble probability of the clips themselves.
        by_background: (n, k, m, classes) values against each background clip alone; their mean over m is
            `values`.
    """

    players: tuple[str, ...]
    values: Floats
    base: Floats
    prediction: Floats
    by_background: Floats

    @property
    def residual(self) -> float:
        """The largest `|sum of values + base - prediction|` (efficiency): 0 is exact."""
        differences = self.values.sum(axis=1) + self.base - self.prediction
        return float(np.abs(differences).max())


def concatenate_clips(parts: Sequence[FamilyShapley]) -> FamilyShapley:
    """The values of different clips for the same players, one below the other.

    If the parts have different numbers of background clips, `by_background` keeps as many as each part has.

    Args:
        parts: at least one.
    """
    n_background = min(part.by_background.shape[2] for part in parts)
    return FamilyShapley(
        players=parts[0].players,
        values=np.concatenate([part.values for part in parts]),
        base=np.concatenate([part.base for part in parts]),
        prediction=np.concatenate([part.prediction for part in parts]),
        by_background=np.concatenate([part.by_background[:, :, :n_background] for part in parts]),
    )


def shapley_values(coalitions: Floats) -> Floats:
    """Shapley values of a game that is given by the value of every coalition.

    `φ[i] = Σ_S |S|! (k - |S| - 1)! / k! · (v[S + i] - v[S])` over the coalitions S without i.

    Args:
        coalitions: (2^k, …) values. Bit i of the index says whether player i is present.

    Returns:
        (k, …) Shapley values. They sum to `v[all players] - v[no player]`.

    Source:
        Shapley, "A value for n-person games", 1953.

    Example:
        >>> shapley_values(np.array([0.0, 1.0, 2.0, 3.0])).tolist()  # an additive game of two
        [1.0, 2.0]
        >>> shapley_values(np.array([0.0, 0.0, 0.0, 1.0])).tolist()  # both are needed
        [0.5, 0.5]
    """
    n_coalitions = len(coalitions)
    k = int(np.log2(n_coalitions))
    masks = np.arange(n_coalitions)
    sizes = np.array([mask.bit_count() for mask in range(n_coalitions)])
    values = np.zeros((k, *coalitions.shape[1:]))
    for i in range(k):
        is_absent = (masks >> i) & 1 == 0
        without = masks[is_absent]
        joined = without | (1 << i)
        weights = np.array([1 / (k * comb(k - 1, size)) for size in sizes[without]])
        gains = coalitions[joined] - coalitions[without]
        values[i] = np.tensordot(weights, gains, axes=1)
    return values


def family_shapley(
    members: Mapping[str, Classifier | None],
    fuse: Fuse,
    rows: pd.DataFrame,
    background: pd.DataFrame,
    *,
    players: Mapping[str, list[str]],
    networks: NetworkPredictions | None = None,
) -> FamilyShapley:
    """Exact Shapley values of families, and of the spectrogram, for the ensemble prediction.

    Args:
        members: name → fitted table member, in the order that `fuse` expects. A name that is also in
            `networks` may map to None.
        fuse: (members, clips, classes) → (clips, classes).
        rows: (n, d) clips to explain.
        background: (m, d) clips of the training part, whose data replace those of absent players.
        players: family → its columns. Every column of `rows` is in exactly one. With the spectrogram at most
            12.
        networks: member → its probabilities on the rows (n, classes) and on the background clips (m,
            classes). The input of a network is always a whole spectrogram: the clip's own or a background
            clip's.

    Returns:
        The values of `n` clips.

    Raises:
        ConfigError: too many players, or columns without a family.

    Example:
        >>> class Sum:
        ...     def predict_proba(self, X):
        ...         return X.to_numpy().sum(axis=1, keepdims=True)
        >>> row = pd.DataFrame({"a.x": [0.5], "b.y": [0.25]})
        >>> zeros = pd.DataFrame({"a.x": [0.0], "b.y": [0.0]})
        >>> players = {"a": ["a.x"], "b": ["b.y"]}
        >>> result = family_shapley({"m": Sum()}, lambda stack: stack[0], row, zeros, players=players)
        >>> result.values[0, :, 0].tolist()
        [0.5, 0.25]
    """
    networks = networks or {}
    names = (*players, SPECTROGRAM) if networks else tuple(players)
    _check_players(names, players, rows)
    tables = {name: cast(Classifier, member) for name, member in members.items() if name not in networks}
    probabilities = {
        name: coalition_probabilities(member, rows, background, players) for name, member in tables.items()
    }
    n, m = len(rows), len(background)
    coalitions: list[Floats] = []
    for is_present in (False, True) if networks else (True,):
        repeated = {
            name: np.repeat(own, m, axis=0) if is_present else np.tile(other, (n, 1))
            for name, (own, other) in networks.items()
        }
        for s in range(1 << len(players)):
            stack = [repeated[name] if name in networks else probabilities[name][s] for name in members]
            coalitions.append(fuse(np.stack(stack)))
    values = np.stack(coalitions).reshape(len(coalitions), n, m, -1)
    by_background = shapley_values(values).transpose(1, 0, 2, 3)
    whole = []
    for name in members:
        if name in networks:
            whole.append(networks[name][0])
        else:
            whole.append(tables[name].predict_proba(rows))
    return FamilyShapley(
        players=names,
        values=by_background.mean(axis=2),
        base=values[0].mean(axis=1),
        prediction=fuse(np.stack(whole)),
        by_background=by_background,
    )


def _check_players(names: tuple[str, ...], players: Mapping[str, list[str]], rows: pd.DataFrame) -> None:
    """Refuse a game of too many players, and columns that do not belong to exactly one player."""
    if len(names) > MAX_PLAYERS:
        raise ConfigError(
            f"A game must have at most {MAX_PLAYERS} players (2^k coalitions). Received {len(names)}: "
            f"{', '.join(names)}. Join some families."
        )
    columns = [column for own in players.values() for column in own]
    if sorted(columns) != sorted(map(str, rows.columns)):
        raise ConfigError(
            f"Every column must belong to exactly one family. Received {len(columns)} columns in families "
            f"for {rows.shape[1]} columns."
        )


def columns_by_family(
    columns: list[str], family: Callable[[str], str], *, limit: int = MAX_PLAYERS - 1
) -> dict[str, list[str]]:
    """Group columns by their feature family.

    Args:
        columns: names of columns.
        family: column → its family.
        limit: most families. If there are more, those with the fewest columns are joined as `other`.

    Returns:
        Family → its columns.

    Example:
        >>> columns_by_family(["a.x", "b.y", "b.z", "c.u"], lambda c: c[0], limit=2)
        {'b': ['b.y', 'b.z'], 'other': ['a.x', 'c.u']}
    """
    families: dict[str, list[str]] = {}
    for column in columns:
        families.setdefault(family(column), []).append(column)
    if len(families) <= limit:
        return families
    by_size = sorted(families, key=lambda name: -len(families[name]))
    largest = by_size[: limit - 1]
    other = [column for column in columns if family(column) not in largest]
    result = {name: own for name, own in families.items() if name in largest}
    return result | {unused_name("other", result): other}


def unused_name(name: str, used: Container[str]) -> str:
    """A name for a player that no other player has, and not that of the networks' input.

    Args:
        name: the name to use if it is free.
        used: names of the other players.

    Example:
        >>> unused_name("tempo", {"key"}), unused_name("other", {"other"}), unused_name("spectrogram", ())
        ('tempo', 'other*', 'spectrogram*')
    """
    while name in used or name == SPECTROGRAM:
        name += "*"
    return name
