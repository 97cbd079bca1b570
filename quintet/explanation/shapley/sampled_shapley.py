"""Shapley values of columns for the ensemble prediction, by sampling, with their standard errors.

There are too many columns for all coalitions. Players (columns) therefore join in random orders. Each order
is used together with its reverse (antithetic sampling: a value that is too high in one order is too low in
its reverse). The value of a player is the change when it joins, averaged over orders. Along one order the
changes add up to the prediction minus the base, so the values always do. The differences between pairs of
orders give the standard error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quintet.errors import ConfigError
from quintet.explanation.contracts import Classifier, Floats, Fuse, NetworkPredictions, Positions
from quintet.explanation.shapley.family_shapley import SPECTROGRAM
from quintet.explanation.shapley.forests import MAX_PLAYERS, Mixture, TreeWalk
from quintet.frozen.quick_table import QuickTable

Game = Callable[[Positions, Positions, NDArray[np.bool_]], Floats]
"""`(clips, backgrounds, present) -> (b, …)`: the values of b hybrids; see `sampled_shapley`."""
BATCH = 512
"""Hybrids that a member predicts at once: their rows stay in the processor's cache."""


@dataclass(frozen=True)
class SampledShapley:
    """Shapley values by sampling. Where the game has a value per class, `…` is (classes,); otherwise nothing.

    Args:
        players: k names.
        values: (n, k, …) Shapley values.
        errors: (n, k, …) standard errors of the values.
        base: (n, …) value of the empty coalition.
        prediction: (n, …) value of the full coalition.
        n_orders: orders per clip.
        n_evaluations: number of hybrids that were predicted.
    """

    players: tuple[str, ...]
    values: Floats
    errors: Floats
    base: Floats
    prediction: Floats
    n_orders: int
    n_evaluations: int

    @property
    def residual(self) -> float:
        """The largest `|sum of values + base - prediction|`: 0 up to rounding, for any number of orders."""
        differences = self.values.sum(axis=1) + self.base - self.prediction
        return float(np.abs(differences).max())

    @property
    def mean_error(self) -> float:
        """The largest standard error of a player's mean value over the clips."""
        squares = (self.errors**2).sum(axis=0)
        errors = np.sqrt(squares) / len(self.errors)
        return float(errors.max())


def concatenate_clips(parts: Sequence[SampledShapley]) -> SampledShapley:
    """The values of different clips for the same players, one below the other.

    Args:
        parts: at least one.
    """
    return SampledShapley(
        players=parts[0].players,
        values=np.concatenate([part.values for part in parts]),
        errors=np.concatenate([part.errors for part in parts]),
        base=np.concatenate([part.base for part in parts]),
        prediction=np.concatenate([part.prediction for part in parts]),
        n_orders=parts[0].n_orders,
        n_evaluations=sum(part.n_evaluations for part in parts),
    )


def sampled_shapley(
    game: Game,
    players: Sequence[str],
    *,
    n_clips: int,
    n_background: int,
    n_pairs: int = 16,
    seed: int = 0,
) -> SampledShapley:
    """Shapley values from random orders, each used together with its reverse.

    Args:
        game: `(clips, backgrounds, present) -> (b, …)`, the values of b hybrids. Hybrid i has the players of
            `present[i]` (b, k) from clip `clips[i]`, and the others from background clip `backgrounds[i]`.
        players: k ≥ 1 names. A player on its own has the whole difference between prediction and base.
        n_clips: clips to explain.
        n_background: background clips. Orders take them by turns: where twice the number of pairs is a
            multiple of theirs, the values of a clip add up to its prediction minus the mean of all of them.
        n_pairs: pairs of orders per clip; at least 2, because the error needs two.
        seed: seed of the orders and of the background clips.

    Returns:
        The values of `n_clips` clips.

    Raises:
        ConfigError: fewer than two pairs, or no player.

    Source:
        Castro, Gómez & Tejada, "Polynomial calculation of the Shapley value based on sampling", 2009;
        antithetic: Mitchell et al., "Sampling permutations for Shapley value estimation", 2022.

    Example:
        >>> total = lambda clips, backgrounds, present: present @ np.array([1.0, 2.0])
        >>> result = sampled_shapley(total, ["a", "b"], n_clips=1, n_background=1, n_pairs=2)
        >>> result.values.tolist(), result.errors.tolist()  # additive: all orders agree
        ([[1.0, 2.0]], [[0.0, 0.0]])
    """
    k = len(players)
    if n_pairs < 2 or k < 1:
        raise ConfigError(
            "Sampling needs a player and two pairs of orders, or more. "
            f"Received {k} players, {n_pairs} pairs."
        )
    sample = _draw_orders(k, n_clips, n_background, n_pairs, seed)
    values = _evaluate_orders(game, sample)
    steps = np.diff(values, axis=2)
    by_player = np.empty_like(steps)
    shape = values.shape[3:]
    players_of_steps = sample.orders.reshape(*sample.orders.shape, *(1 for _ in shape))
    np.put_along_axis(by_player, players_of_steps, steps, axis=2)
    by_pair = by_player.mean(axis=1).reshape(n_clips, n_pairs, k, *shape)
    by_order = values.reshape(n_clips, 2 * n_pairs, k + 1, *shape)
    ends = by_order[:, :, [0, -1]].mean(axis=1)
    return SampledShapley(
        players=tuple(players),
        values=by_pair.mean(axis=1),
        errors=by_pair.std(axis=1, ddof=1) / np.sqrt(n_pairs),
        base=ends[:, 0],
        prediction=ends[:, 1],
        n_orders=2 * n_pairs,
        n_evaluations=values.size,
    )


class _Sample(NamedTuple):
    """Orders of players, one entry per clip and pair (`p` = clips · pairs).

    `orders`: (p, 2, k) an order and its reverse; `clips`: (p,) the clip; `backgrounds`: (p, 2) the background
    clip of each order.
    """

    orders: Positions
    clips: Positions
    backgrounds: Positions


def _draw_orders(k: int, n_clips: int, n_background: int, n_pairs: int, seed: int) -> _Sample:
    """Random orders, and background clips by turns from a random start: as even as their number allows."""
    rng = np.random.default_rng(seed)
    forward = np.stack([rng.permutation(k) for _ in range(n_clips * n_pairs)])
    backward = forward[:, ::-1]
    orders = np.stack([forward, backward], axis=1)
    starts = rng.integers(n_background, size=n_clips)
    turns = starts[:, None] + np.arange(2 * n_pairs)
    backgrounds = turns % n_background
    clips = np.repeat(np.arange(n_clips), n_pairs)
    return _Sample(orders, clips, backgrounds.reshape(-1, 2))


def _evaluate_orders(game: Game, sample: _Sample) -> Floats:
    """(p, 2, k + 1, …) the values of the game along each order, after 0 … k players have joined."""
    k = sample.orders.shape[2]
    ranks = np.argsort(sample.orders, axis=2)  # when each player joins
    n_joined = np.arange(k + 1)[:, None]
    has_joined = ranks[:, :, None, :] < n_joined
    present = has_joined.reshape(-1, k)
    clips = np.repeat(sample.clips, 2 * (k + 1))
    backgrounds = np.repeat(sample.backgrounds.ravel(), k + 1)
    values = []
    for start in range(0, len(clips), BATCH):
        batch = slice(start, start + BATCH)
        values.append(game(clips[batch], backgrounds[batch], present[batch]))
    joined = np.concatenate(values)
    return joined.reshape(-1, 2, k + 1, *joined.shape[1:])


def ensemble_game(
    members: Mapping[str, Classifier | None],
    fuse: Fuse,
    rows: pd.DataFrame,
    background: pd.DataFrame,
    *,
    players: Mapping[str, Sequence[str]],
    weights: Floats | None = None,
    networks: NetworkPredictions | None = None,
) -> Game:
    """The game of `sampled_shapley` on an ensemble: the probabilities, or that of each clip's true class.

    Args:
        members: name → fitted table member (None for a network), in the order that `fuse` expects.
        fuse: (members, clips, classes) → (clips, classes).
        rows: (n, d) clips to explain.
        background: (m, d) clips of the training part, whose data replace those of absent players.
        players: name → its columns, every column in exactly one. The player `SPECTROGRAM` is the input of the
            networks.
        weights: (n, classes) weights of the classes for each clip: 1 for the true one, or a share for each
            tag. None: one value per class.
        networks: member → its probabilities on the rows (n, classes) and on the background clips (m,
            classes).

    Raises:
        ConfigError: a column belongs to no player.
    """
    own, other = rows.to_numpy(), background.to_numpy()
    player = _player_of_columns(rows.columns, players)
    prepared = {
        name: (member.fitted.prepare(rows), member.fitted.prepare(background))
        for name, member in members.items()
        if isinstance(member, QuickTable)
    }
    predictions = networks or {}
    spectrogram = list(players).index(SPECTROGRAM) if SPECTROGRAM in players else None

    def game(clips: Positions, backgrounds: Positions, present: NDArray[np.bool_]) -> Floats:
        if spectrogram is None:
            has_spectrogram = np.ones((len(clips), 1), dtype=bool)
        else:
            has_spectrogram = present[:, spectrogram][:, None]
        stack = []
        for name, member in members.items():
            if name in predictions:
                of_clips, of_background = predictions[name]
                stack.append(np.where(has_spectrogram, of_clips[clips], of_background[backgrounds]))
            elif isinstance(member, QuickTable):  # columns are prepared one by one, so these may be mixed
                kept = player[member.fitted.preparation_.kept]
                mixture = Mixture(*prepared[name], clips, backgrounds, present, kept)
                stack.append(_predict_mixture(member, mixture))
            else:
                mixed = np.where(present[:, player], own[clips], other[backgrounds])
                hybrids = pd.DataFrame(mixed, columns=rows.columns)
                stack.append(cast(Classifier, member).predict_proba(hybrids))
        fused = np.asarray(fuse(np.stack(stack)), dtype=np.float64)
        if weights is None:
            return fused
        weighted = fused * weights[clips]
        return np.asarray(weighted.sum(axis=1))

    return game


def _predict_mixture(member: QuickTable, mixture: Mixture) -> Floats:
    """(h, classes) the probabilities of some hybrids."""
    present = mixture.present
    walks = all(score is None or isinstance(score, TreeWalk) for score in member.scores)
    if walks and present.shape[1] <= MAX_PLAYERS:
        return member.combine(lambda score: cast(TreeWalk, score).hybrids(mixture), len(present))
    own, other = mixture.rows[mixture.clips], mixture.background[mixture.backgrounds]
    return member.predict_prepared(np.where(present[:, mixture.player], own, other))


def _player_of_columns(columns: pd.Index, players: Mapping[str, Sequence[str]]) -> Positions:
    """(d,) the number of the player that each column belongs to."""
    player = np.full(len(columns), -1)
    for k, (name, own) in enumerate(players.items()):
        if name != SPECTROGRAM:
            player[np.flatnonzero(columns.isin(list(own)))] = k
    n_free = int((player < 0).sum())
    if n_free:
        raise ConfigError(
            f"Every column must belong to one player. {n_free} belong to none: "
            "join them in a player of their own."
        )
    return player
