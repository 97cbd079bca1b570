"""Columns within the ensemble: Shapley values of the fused probability by sampling, with the budget and the error stated.

There are too many columns for all coalitions. So players join in random orders, each order and its reverse (antithetic: what one order
overrates its reverse underrates); a player's value is what it changes when it joins, averaged over orders. Along one order the changes add
up to the prediction, so the values always do; how far they still are from the exact ones is measured by how much pairs of orders differ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quintet.errors import ConfigError
from quintet.explanation.shapley.family_shapley import SPECTROGRAM

Array = NDArray[np.float64]
Game = Callable[[NDArray[np.intp], NDArray[np.intp], NDArray[np.bool_]], Array]
BATCH = 4096
"""Hybrids that go through a member at once."""


@dataclass(frozen=True)
class SampledShapley:
    """Shapley values by sampling, towards one class per clip.

    Args:
        players: k names. values, errors: (n, k): the value and its standard error. base, prediction: (n,): nothing heard, all heard.
        n_orders: orders per clip. n_evaluations: hybrids that were predicted.
    """

    players: tuple[str, ...]
    values: Array
    errors: Array
    base: Array
    prediction: Array
    n_orders: int
    n_evaluations: int

    @property
    def residual(self) -> float:
        """The largest `|sum of values + base - prediction|`: 0 up to rounding, whatever the budget."""
        return float(np.abs(self.values.sum(axis=1) + self.base - self.prediction).max())

    @property
    def mean_error(self) -> float:
        """The largest standard error of a player's mean value over the clips."""
        return float((np.sqrt((self.errors**2).sum(axis=0)) / len(self.errors)).max())


def concatenate_clips(parts: Sequence[SampledShapley]) -> SampledShapley:
    """The values of different clips for the same players, one below the other."""
    values, errors, base, prediction = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("values", "errors", "base", "prediction")
    )
    return SampledShapley(
        parts[0].players,
        values,
        errors,
        base,
        prediction,
        parts[0].n_orders,
        sum(part.n_evaluations for part in parts),
    )


def sampled_shapley(
    game: Game, players: Sequence[str], *, n_clips: int, n_background: int, n_pairs: int = 16, seed: int = 0
) -> SampledShapley:
    """Shapley values from `n_pairs` random orders per clip, and as many reversed.

    Args:
        game: `(clips, backgrounds, present) -> (b,)`: the value where clip `clips[i]` shows the players of `present[i]` (b, k), and background
            clip `backgrounds[i]` stands in for the others.
        players: k ≥ 2 names. n_clips: clips to explain. n_background: background clips; each pair of orders draws one.
        n_pairs: at least 2, for there to be an error.

    Raises:
        ConfigError: fewer than two pairs or players.

    Source:
        Castro, Gómez & Tejada, "Polynomial calculation of the Shapley value based on sampling", 2009; antithetic: Mitchell et al., "Sampling
        permutations for Shapley value estimation", 2022.

    Example:
        >>> total = lambda clips, backgrounds, present: present @ np.array([1.0, 2.0])
        >>> found = sampled_shapley(total, ["a", "b"], n_clips=1, n_background=1, n_pairs=2)
        >>> found.values.tolist(), found.errors.tolist()  # additive: every order says the same
        ([[1.0, 2.0]], [[0.0, 0.0]])
    """
    k = len(players)
    if n_pairs < 2 or k < 2:
        raise ConfigError(
            f"Sampling needs two players and two pairs of orders, or more. Received {k} players, {n_pairs} pairs."
        )
    rng = np.random.default_rng(seed)
    orders = np.stack([rng.permutation(k) for _ in range(n_clips * n_pairs)])
    orders = np.stack([orders, orders[:, ::-1]], axis=1)  # (clips · pairs, 2, k)
    # background clips by turns from a random start: as even as the budget allows
    starts = rng.integers(n_background, size=n_clips)[:, None] + np.arange(n_pairs)
    backgrounds, clips = (starts % n_background).ravel(), np.repeat(np.arange(n_clips), n_pairs)
    joined = (
        np.argsort(orders, axis=2)[:, :, None, :] < np.arange(k + 1)[:, None]
    )  # (clips · pairs, 2, k + 1, k)
    worth = _evaluated(
        game, np.repeat(clips, 2 * (k + 1)), np.repeat(backgrounds, 2 * (k + 1)), joined.reshape(-1, k)
    )
    steps = np.diff(worth.reshape(-1, 2, k + 1), axis=2)
    found = np.empty_like(steps)
    np.put_along_axis(found, orders, steps, axis=2)
    of_pairs = found.mean(axis=1).reshape(n_clips, n_pairs, k)
    ends = worth.reshape(n_clips, n_pairs, 2, k + 1)[:, :, 0, [0, -1]].mean(axis=1)
    errors = of_pairs.std(axis=1, ddof=1) / np.sqrt(n_pairs)
    return SampledShapley(
        tuple(players),
        of_pairs.mean(axis=1),
        errors,
        ends[:, 0],
        ends[:, 1],
        2 * n_pairs,
        len(joined) * 2 * (k + 1),
    )


def _evaluated(
    game: Game, clips: NDArray[np.intp], backgrounds: NDArray[np.intp], present: NDArray[np.bool_]
) -> Array:
    parts = [slice(start, start + BATCH) for start in range(0, len(clips), BATCH)]
    return np.concatenate([game(clips[part], backgrounds[part], present[part]) for part in parts])


def ensemble_game(
    members: Mapping[str, Any],
    fuse: Callable[[Array], Array],
    rows: pd.DataFrame,
    background: pd.DataFrame,
    *,
    players: Mapping[str, Sequence[str]],
    weights: Array,
    networks: Mapping[str, tuple[Array, Array]] | None = None,
) -> Game:
    """The game of `sampled_shapley` on an ensemble: the fused probability of what clip i is.

    Args:
        members, fuse, rows, background, networks: as for `quintet.explanation.shapley.family_shapley.family_shapley`.
        players: name → its columns, every column in exactly one; the player `SPECTROGRAM` is what the networks hear.
        weights: (n, classes) how the classes count for each clip: 1 for the true one, or a share for each of its tags.
    """
    own, other = rows.to_numpy(), background.to_numpy()
    owner = np.full(rows.shape[1], -1)
    for k, (name, columns) in enumerate(players.items()):
        if name != SPECTROGRAM:
            owner[np.flatnonzero(rows.columns.isin(list(columns)))] = k
    if (owner < 0).any():
        raise ConfigError(
            f"Every column must belong to one player. {int((owner < 0).sum())} belong to none: join them in a player of their own."
        )
    heard = networks or {}
    ears = list(players).index(SPECTROGRAM) if SPECTROGRAM in players else None

    def game(clips: NDArray[np.intp], backgrounds: NDArray[np.intp], present: NDArray[np.bool_]) -> Array:
        hybrids = pd.DataFrame(
            np.where(present[:, owner], own[clips], other[backgrounds]), columns=rows.columns
        )
        hears = np.ones((len(clips), 1), dtype=bool) if ears is None else present[:, ears][:, None]
        opinions = [
            np.where(hears, heard[name][0][clips], heard[name][1][backgrounds])
            if name in heard
            else members[name].predict_proba(hybrids)
            for name in members
        ]
        fused = np.asarray(fuse(np.stack(opinions)), dtype=np.float64)
        return np.asarray((fused * weights[clips]).sum(axis=1))

    return game
