"""Explanation of the whole ensemble: values of feature families and of columns, and permutation importance.

In: a run and its assemblies (`assembly.assemble`), one per part. Out: `EnsembleExplanation` (Shapley values
of the families), `ColumnExplanation` (sampled Shapley values of columns), and tables of permutation
importance. The families are the players of the game whose Shapley values are taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from quintet.evaluation.percentile_intervals import percentile_intervals
from quintet.explanation.assembly import Assembly, draw_rows, stored_probabilities, true_classes
from quintet.explanation.contracts import Floats, Positions
from quintet.explanation.importance import family
from quintet.explanation.permutation import combine_predictors, ensemble_predictor, permutation_importance
from quintet.explanation.shapley import family_shapley as families
from quintet.explanation.shapley import sampled_shapley as sampling
from quintet.explanation.shapley.family_shapley import (
    SPECTROGRAM,
    FamilyShapley,
    columns_by_family,
    unused_name,
)
from quintet.explanation.shapley.sampled_shapley import SampledShapley, ensemble_game
from quintet.model_folder.run import Run
from quintet.predictions.predictions import Predictions

NETWORK_INPUT = f"{SPECTROGRAM}\0"
"""Stands among columns for the input of the networks. No column of a file has this name."""
MAX_GAME_CLIPS = 60
"""Most clips for the values of families and of columns, so that both have the same sum."""
MAX_GAME_BACKGROUND = 12
"""Most background clips for the values of families and columns."""
MAX_SHUFFLED_CLIPS = 400
"""Most clips for permutation importance."""
MANY_CLASSES = 20
"""Number of classes beyond which fewer clips are explained, in proportion."""
MIN_GAIN = 0.005
"""Least probability beyond the base that is shared out among families; below, shares are noise divided by
noise."""


@dataclass(frozen=True)
class EnsembleExplanation:
    """Shapley values of families for the ensemble probability of the true class (label sets: mean over the
    tags).

    Args:
        shapley: values per clip, player and class.
        clips: indexed by id, columns `label` and `group`.
        true_class_values: (n, k) values for the true class of each clip.
        steps: one row per player, largest first: `player, value, low, high` (mean over clips, 95 % bootstrap
            interval by group).
        base: mean probability of the true class if no player is present.
        prediction: mean probability of the true class if all players are present.
        by_class: class × player: mean value for the class over its clips.
        n_background: number of background clips, which give the data of absent players.
        background_error: the largest standard error of a step, caused by the small number of background
            clips.
    """

    shapley: FamilyShapley
    clips: pd.DataFrame
    true_class_values: Floats
    steps: pd.DataFrame
    base: float
    prediction: float
    by_class: pd.DataFrame
    n_background: int
    background_error: float

    @property
    def shares(self) -> pd.Series:
        """Player → its share of the probability beyond the base.

        The sum is 1; some may be negative. Empty if the probability beyond the base is less than `MIN_GAIN`.
        """
        gain = self.prediction - self.base
        if gain < MIN_GAIN:
            return pd.Series(dtype=float)
        return pd.Series(self.steps["value"].to_numpy() / gain, index=self.steps["player"])


@dataclass(frozen=True)
class ColumnExplanation:
    """Sampled Shapley values of columns for the ensemble probability of the true class.

    Args:
        shapley: values per clip and player.
        steps: one row per player, largest first: `player, value, low, high` (mean over clips, 95 % by group),
            `standard_error` (of sampling), `mean_size` (mean absolute value).
        n_background: number of background clips, which give the data of absent players.
    """

    shapley: SampledShapley
    steps: pd.DataFrame
    n_background: int


def explain_ensemble(run: Run, assemblies: Sequence[Assembly], *, seed: int = 0) -> EnsembleExplanation:
    """Shapley values of the families on clips of all parts.

    In a background clip, a network's prediction is its stored out-of-fold prediction.

    Args:
        run: a model folder.
        assemblies: one per part.
        seed: draws the clips and the resamples.
    """
    rng = np.random.default_rng(seed)
    limit = _clips_per_part(run, MAX_GAME_CLIPS, assemblies)
    ids: list[str] = []
    parts = []
    for assembly in assemblies:
        rows = draw_rows(assembly.rows, limit, rng)
        background = draw_rows(assembly.background, MAX_GAME_BACKGROUND, rng)
        part = families.family_shapley(
            assembly.members,
            assembly.fuse,
            rows,
            background,
            players=columns_by_family([str(c) for c in rows.columns], family),
            networks=assembly.network_predictions(run, rows, background),
        )
        ids += list(rows.index)
        parts.append(part)
    predictions = run.report_predictions.take(ids)
    return explain_true_classes(families.concatenate_clips(parts), predictions, seed=seed)


def ensemble_permutation(
    run: Run, assemblies: Sequence[Assembly], players: Mapping[str, list[str]], *, seed: int = 0
) -> pd.DataFrame:
    """Permutation importance of the ensemble.

    Args:
        run: a model folder.
        assemblies: one per part.
        players: name → columns that are shuffled together: `family_players`, or columns.
        seed: draws the clips, the shuffles and the resamples.

    Returns:
        The table of `permutation_importance`.
    """
    rng = np.random.default_rng(seed)
    limit = _clips_per_part(run, MAX_SHUFFLED_CLIPS, assemblies)
    parts = [draw_rows(assembly.rows, limit, rng) for assembly in assemblies]
    rows = pd.concat(parts)
    sizes = [len(part) for part in parts]
    ends = np.cumsum([0, *sizes])
    positions: list[Positions] = [np.arange(first, end) for first, end in pairwise(ends)]
    predictors = []
    for assembly, own in zip(assemblies, positions, strict=True):
        networks = {name: stored_probabilities(run, assembly.part, name, rows) for name in assembly.networks}
        predictor = ensemble_predictor(
            assembly.members, assembly.fuse, rows, networks, NETWORK_INPUT, positions=own
        )
        predictors.append((own, predictor))
    predictions = run.report_predictions.take(list(rows.index))
    predict = combine_predictors(predictors)
    return permutation_importance(predict, predictions.indicator(), predictions.units, players, seed=seed)


def explain_columns(
    run: Run, assemblies: Sequence[Assembly], columns: Mapping[str, list[str]], *, seed: int = 0
) -> ColumnExplanation:
    """Sampled Shapley values of columns.

    The players are the given ones, the other columns of each family, and the spectrogram if networks take
    part. Clips and background clips are those of `explain_ensemble` with the same seed, and each background
    clip is used equally often, so that the sums of both are equal.

    Args:
        run: a model folder.
        assemblies: one per part.
        columns: name → columns that join together.
        seed: draws the clips, the orders and the resamples.
    """
    rng = np.random.default_rng(seed)
    limit = _clips_per_part(run, MAX_GAME_CLIPS, assemblies)
    players = _column_players(run, columns, has_networks=bool(assemblies[0].networks))
    ids: list[str] = []
    parts, n_background = [], MAX_GAME_BACKGROUND
    for assembly in assemblies:
        rows = draw_rows(assembly.rows, limit, rng)
        background = draw_rows(assembly.background, MAX_GAME_BACKGROUND, rng)
        game = ensemble_game(
            assembly.members,
            assembly.fuse,
            rows,
            background,
            players=players,
            weights=truth_weights(run.report_predictions.take(list(rows.index))),
            networks=assembly.network_predictions(run, rows, background),
        )
        part = sampling.sampled_shapley(
            game,
            list(players),
            n_clips=len(rows),
            n_background=len(background),
            n_pairs=_even_pairs(len(background)),
            seed=seed,
        )
        parts.append(part)
        ids += list(rows.index)
        n_background = min(n_background, len(background))
    shapley = sampling.concatenate_clips(parts)
    return ColumnExplanation(shapley, _column_steps(run, shapley, ids, seed), n_background)


def _even_pairs(n_background: int) -> int:
    """Pairs of orders in which each background clip has the same number of turns."""
    n_orders = n_background * -(-MAX_GAME_BACKGROUND // n_background)
    return n_orders if n_orders % 2 else n_orders // 2


def _column_players(
    run: Run, columns: Mapping[str, list[str]], *, has_networks: bool
) -> dict[str, list[str]]:
    """The given players, one per family for its other columns, and the spectrogram."""
    listed = {column for names in columns.values() for column in names}
    others = [str(column) for column in run.values.columns if str(column) not in listed]
    players = dict(columns)
    for name, names in columns_by_family(others, family).items():
        noun = "columns" if len(names) > 1 else "column"
        players[unused_name(f"{len(names)} other {name} {noun}", players)] = names
    if has_networks:
        players[SPECTROGRAM] = [SPECTROGRAM]
    return players


def _column_steps(run: Run, shapley: SampledShapley, ids: Sequence[str], seed: int) -> pd.DataFrame:
    """The table `steps` of `ColumnExplanation`."""
    groups = run.report_predictions.take(list(ids)).units
    low, high = percentile_intervals(shapley.values, groups, seed=seed)
    steps = pd.DataFrame(
        {
            "player": shapley.players,
            "value": shapley.values.mean(axis=0),
            "low": low,
            "high": high,
            "standard_error": np.sqrt((shapley.errors**2).sum(axis=0)) / len(ids),
            "mean_size": np.abs(shapley.values).mean(axis=0),
        }
    )
    return steps.sort_values("value", ascending=False, kind="stable").reset_index(drop=True)


def _clips_per_part(run: Run, limit: int, assemblies: Sequence[Assembly]) -> int:
    """Most clips of one part, if all parts together may have `limit`; fewer for many classes."""
    share = min(1.0, MANY_CLASSES / len(run.classes))
    return max(2, round(limit * share / len(assemblies)))


def family_players(run: Run, assembly: Assembly) -> dict[str, list[str]]:
    """Family → its columns, and the spectrogram if networks take part.

    Args:
        run: a model folder.
        assembly: its ensemble.
    """
    players = columns_by_family([str(c) for c in run.values.columns], family)
    if assembly.networks:
        players[SPECTROGRAM] = [NETWORK_INPUT]
    return players


def truth_weights(predictions: Predictions) -> Floats:
    """Weights of the true classes of each clip.

    Args:
        predictions: of n clips.

    Returns:
        (n, K): 1 for the true class; for label sets an equal share for each tag of the clip; a row of 0 if
        the label is unknown.

    Example:
        >>> p = np.full((2, 2), 0.5)
        >>> sets = Predictions(["x", "y"], ("jazz", "live"), p, labels=["jazz;live", "live"], multilabel=True)
        >>> truth_weights(sets).tolist()
        [[0.5, 0.5], [0.0, 1.0]]
    """
    truth = true_classes(predictions).astype(np.float64)
    n_classes = truth.sum(axis=1, keepdims=True)
    return np.asarray(truth / np.maximum(n_classes, 1.0))


def explain_true_classes(
    shapley: FamilyShapley, predictions: Predictions, *, seed: int = 0
) -> EnsembleExplanation:
    """The mean value of each player for the true class of the clips.

    Args:
        shapley: values of n clips.
        predictions: of the same clips, in the same order.
        seed: draws the resamples.
    """
    weights = truth_weights(predictions)
    values = np.einsum("nkc,nc->nk", shapley.values, weights)
    low, high = percentile_intervals(values, predictions.units, seed=seed)
    steps = pd.DataFrame({"player": shapley.players, "value": values.mean(axis=0), "low": low, "high": high})
    steps = steps.sort_values("value", ascending=False, kind="stable").reset_index(drop=True)
    by_class = _values_by_class(shapley, weights, predictions.classes)
    return EnsembleExplanation(
        shapley=shapley,
        clips=pd.DataFrame(
            {"label": predictions.labels, "group": predictions.units}, index=predictions.clip_ids
        ),
        true_class_values=values,
        steps=steps,
        base=_mean_probability(shapley.base, weights),
        prediction=_mean_probability(shapley.prediction, weights),
        by_class=by_class[list(steps["player"])],
        n_background=shapley.by_background.shape[2],
        background_error=_background_error(shapley, weights),
    )


def _values_by_class(shapley: FamilyShapley, weights: Floats, classes: Sequence[str]) -> pd.DataFrame:
    """Class × player: mean value for the class over its clips; classes without clips are left out."""
    means = {}
    for k, name in enumerate(classes):
        is_member = weights[:, k] > 0
        if is_member.any():
            means[name] = shapley.values[is_member, :, k].mean(axis=0)
    return pd.DataFrame.from_dict(means, orient="index", columns=list(shapley.players))


def _mean_probability(probabilities: Floats, weights: Floats) -> float:
    """Mean probability (n, K) of the true classes."""
    return float((probabilities * weights).sum(axis=1).mean())


def _background_error(shapley: FamilyShapley, weights: Floats) -> float:
    """The largest standard error of a player's mean value over background clips; NaN for one background
    clip."""
    by_background = np.einsum("nkmc,nc->km", shapley.by_background, weights) / len(weights)
    n_background = by_background.shape[1]
    if n_background < 2:
        return float("nan")
    deviations = by_background.std(axis=1, ddof=1)
    return float(deviations.max() / np.sqrt(n_background))
