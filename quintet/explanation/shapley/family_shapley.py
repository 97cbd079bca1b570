"""The ensemble as one game: what each family of features, and the spectrogram, adds to the fused probability.

The players are the families of columns and, where networks take part, the spectrogram. A coalition hears the clip itself where a player is
present, and a clip of the training part where it is absent; its value is the fused probability, averaged over those background clips. Shapley
values share the distance between the empty coalition (the base) and the full one (the prediction) among the players, exactly: every one of
the 2^k coalitions is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import comb
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quintet.errors import ConfigError
from quintet.explanation.shapley.coalitions import coalition_probabilities

Array = NDArray[np.float64]
SPECTROGRAM = "spectrogram"
MAX_PLAYERS = 12


@dataclass(frozen=True)
class FamilyShapley:
    """Exact Shapley values of the players for the fused probability.

    Args:
        players: k names.
        values: (n, k, classes). base: (n, classes): the fused probability when nothing of the clip is heard.
        prediction: (n, classes): the fused probability itself, from whole clips.
        by_background: (n, k, m, classes): the values against each background clip alone; their mean over m is `values`.
    """

    players: tuple[str, ...]
    values: Array
    base: Array
    prediction: Array
    by_background: Array

    @property
    def residual(self) -> float:
        """The largest `|sum of values + base - prediction|`: efficiency, 0 where exact."""
        return float(np.abs(self.values.sum(axis=1) + self.base - self.prediction).max())


def concatenate_clips(parts: Sequence[FamilyShapley]) -> FamilyShapley:
    """The values of different clips for the same players, one below the other."""
    values, base, prediction, by_background = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("values", "base", "prediction", "by_background")
    )
    return FamilyShapley(parts[0].players, values, base, prediction, by_background)


def shapley_values(coalitions: Array) -> Array:
    """Shapley values of a game given by the value of every coalition.

    `φ[i] = Σ_S |S|! (k - |S| - 1)! / k! · (v[S + i] - v[S])` over the coalitions S without i.

    Args:
        coalitions: (2^k, …); bit i of the index says whether player i is present.

    Returns:
        (k, …); the values sum to `v[everybody] - v[nobody]`.

    Source:
        Shapley, "A value for n-person games", 1953.

    Example:
        >>> shapley_values(np.array([0.0, 1.0, 2.0, 3.0])).tolist()  # an additive game of two
        [1.0, 2.0]
        >>> shapley_values(np.array([0.0, 0.0, 0.0, 1.0])).tolist()  # only concatenate_clips
        [0.5, 0.5]
    """
    k = int(np.log2(len(coalitions)))
    masks = np.arange(1 << k)
    sizes = np.array([mask.bit_count() for mask in range(1 << k)])
    found = np.zeros((k, *coalitions.shape[1:]))
    for i in range(k):
        without = masks[(masks >> i) & 1 == 0]
        weights = np.array([1 / (k * comb(k - 1, size)) for size in sizes[without]])
        found[i] = np.tensordot(weights, coalitions[without | (1 << i)] - coalitions[without], axes=1)
    return found


def family_shapley(
    members: Mapping[str, Any],
    fuse: Callable[[Array], Array],
    rows: pd.DataFrame,
    background: pd.DataFrame,
    *,
    players: Mapping[str, list[str]],
    networks: Mapping[str, tuple[Array, Array]] | None = None,
) -> FamilyShapley:
    """Exact Shapley values of families, and of the spectrogram, for the fused probability.

    Args:
        members: name → fitted table member, in the order that `fuse` expects; a name that `networks` has too may map to None.
        fuse: (members, clips, classes) → (clips, classes).
        rows: (n, d) clips to explain. background: (m, d) clips of the training part that stand in for what is absent.
        players: family → its columns, every column of `rows` in exactly one; with the spectrogram at most 12.
        networks: member → its probabilities on the rows (n, classes) and on the background clips (m, classes): a network only ever hears a
            whole spectrogram, the clip's own or a background clip's.

    Raises:
        ConfigError: too many players, or columns without a family.

    Example:
        >>> class Sum:
        ...     def predict_proba(self, X):
        ...         return X.to_numpy().sum(axis=1, keepdims=True)
        >>> row, nothing = pd.DataFrame({"a.x": [0.5], "b.y": [0.25]}), pd.DataFrame({"a.x": [0.0], "b.y": [0.0]})
        >>> found = family_shapley({"m": Sum()}, lambda stack: stack[0], row, nothing, players={"a": ["a.x"], "b": ["b.y"]})
        >>> found.values[0, :, 0].tolist()
        [0.5, 0.25]
    """
    networks = networks or {}
    names = (*players, SPECTROGRAM) if networks else tuple(players)
    _check(names, players, rows)
    n, m = len(rows), len(background)
    heard = {
        name: coalition_probabilities(member, rows, background, players)
        for name, member in members.items()
        if name not in networks
    }
    worth: list[Array] = []
    for of_rows in (False, True) if networks else (True,):
        whole = {
            name: np.repeat(own, m, axis=0) if of_rows else np.tile(other, (n, 1))
            for name, (own, other) in networks.items()
        }
        worth += [
            fuse(np.stack([whole[name] if name in networks else heard[name][s] for name in members]))
            for s in range(1 << len(players))
        ]
    values = np.stack(worth).reshape(len(worth), n, m, -1)
    by_background = shapley_values(values).transpose(1, 0, 2, 3)
    prediction = fuse(
        np.stack(
            [
                networks[name][0] if name in networks else member.predict_proba(rows)
                for name, member in members.items()
            ]
        )
    )
    return FamilyShapley(names, by_background.mean(axis=2), values[0].mean(axis=1), prediction, by_background)


def _check(names: tuple[str, ...], players: Mapping[str, list[str]], rows: pd.DataFrame) -> None:
    if len(names) > MAX_PLAYERS:
        raise ConfigError(
            f"A game must have at most {MAX_PLAYERS} players (2^k coalitions). Received {len(names)}: {', '.join(names)}. Join some families."
        )
    owned = [column for columns in players.values() for column in columns]
    if sorted(owned) != sorted(map(str, rows.columns)):
        raise ConfigError(
            f"Every column must belong to exactly one family. Received {len(owned)} columns in families for {rows.shape[1]} columns."
        )


def columns_by_family(
    columns: list[str], family: Callable[[str], str], *, limit: int = MAX_PLAYERS - 1
) -> dict[str, list[str]]:
    """Family → columns; beyond `limit` families, the ones with the fewest columns are joined as `other`.

    Example:
        >>> columns_by_family(["a.x", "b.y", "b.z", "c.u"], lambda c: c[0], limit=2)
        {'b': ['b.y', 'b.z'], 'other': ['a.x', 'c.u']}
    """
    found: dict[str, list[str]] = {}
    for column in columns:
        found.setdefault(family(column), []).append(column)
    if len(found) <= limit:
        return found
    kept = sorted(found, key=lambda name: -len(found[name]))[: limit - 1]
    other = [column for column in columns if family(column) not in kept]
    return {name: list_ for name, list_ in found.items() if name in kept} | {"other": other}
