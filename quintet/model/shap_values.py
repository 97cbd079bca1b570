"""SHAP values of a fitted ensemble and of its members, as an `Explanation` of the library shap.

| explained | parts | output | method |
|---|---|---|---|
| a table member | columns | its own (`explanation.importance.SPACES`) | exact for each kind of member |
| the ensemble | feature families, or at most 12 parts | fused, calibrated probability | all coalitions |
| a weighted mean of forests and networks, not calibrated | any columns | probability | sum of trees |
| any other ensemble | more columns | fused, calibrated probability | random orders, with standard errors |

In general the fused probability is no sum over columns and no sum of trees, so nothing but all 2^k coalitions
gives its exact values. Of many columns they are therefore estimated; their sum is exact all the same. The
attribute `error_std` says how far off a value may be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quintet.classifiers.registry import reads_table
from quintet.classifiers.spectrogram.sequences import SpectrogramInput
from quintet.classifiers.views import split_name
from quintet.ensemble.array_types import Floats, Positions
from quintet.ensemble.classifier import EnsembleClassifier
from quintet.ensemble.crossfit import Inputs, member_probabilities
from quintet.ensemble.fusion import RULES
from quintet.errors import ConfigError, unknown_name
from quintet.explanation.contracts import import_shap
from quintet.explanation.importance import explain, family
from quintet.explanation.shapley.family_shapley import (
    MAX_PLAYERS,
    SPECTROGRAM,
    FamilyShapley,
    columns_by_family,
    family_shapley,
)
from quintet.explanation.shapley.linear_shapley import LinearShapley, linear_shapley
from quintet.explanation.shapley.sampled_shapley import (
    Game,
    SampledShapley,
    concatenate_clips,
    ensemble_game,
    sampled_shapley,
)
from quintet.frozen.quick_table import QuickTable
from quintet.model.background import Background

if TYPE_CHECKING:
    import shap

    from quintet.classifiers.tabular.members import TableMember

ENSEMBLE = "ensemble"
FAMILIES, COLUMNS = "families", "columns"
N_BACKGROUND = 16
"""Training rows whose values stand for those of absent parts, for the ensemble."""
N_ORDERS = 64
"""Random orders per row, where the values of the ensemble are estimated."""

Parts = str | Mapping[str, Sequence[str]]


def member_values(
    ensemble: EnsembleClassifier, name: str, table: pd.DataFrame, background: pd.DataFrame
) -> shap.Explanation:
    """Exact SHAP values of one table member, column by column.

    Args:
        ensemble: a fitted ensemble.
        name: the member.
        table: `(n, d)` rows to explain.
        background: `(m, d)` training rows.

    Raises:
        ConfigError: the ensemble has no such member, or it reads spectrograms.
    """
    members = ensemble.members_
    if name not in members:
        raise unknown_name("explained part", name, (ENSEMBLE, *members))
    if not reads_table(name):
        raise ConfigError(
            f"SHAP values of columns need a member that reads a table. '{name}' reads spectrograms: "
            f"ask for '{ENSEMBLE}', where the spectrogram is one part, or see `explain` for its regions."
        )
    tags = ensemble.class_names_ if ensemble.multilabel_ else None
    return explain(cast("TableMember", members[name]), table, background, tags=tags).to_shap()


def ensemble_values(
    ensemble: EnsembleClassifier,
    table: pd.DataFrame,
    background: Background,
    *,
    parts: Parts = FAMILIES,
    spectrograms: SpectrogramInput | None = None,
    n_orders: int = N_ORDERS,
) -> shap.Explanation:
    """Shapley values of groups of columns for the probabilities of the ensemble.

    They are exact for at most 12 groups, and for any number if `is_sum_of_trees`; otherwise estimates.

    Args:
        ensemble: a fitted ensemble.
        table: `(n, d)` rows to explain.
        background: training rows.
        parts: `"families"`, `"columns"`, or name → columns.
        spectrograms: spectrograms of the rows, for networks: they are one more part.
        n_orders: random orders per row, if there are more parts; even, and at least 4.

    Raises:
        ConfigError: a column belongs to no part or to two, networks have no spectrograms, or there are too
            few orders.
    """
    networks = [name for name in ensemble.members_ if not reads_table(name)]
    if len(networks) == len(ensemble.members_):
        raise ConfigError(
            "Shapley values of feature families need a member that reads a table. "
            f"Received only networks: {', '.join(networks)}. See `explain` for the regions of a spectrogram."
        )
    has_networks = bool(networks)
    groups = find_parts(parts, [str(name) for name in table.columns], n_more=int(has_networks))
    predictions = _network_predictions(ensemble, networks, background, spectrograms)
    if len(groups) + has_networks > MAX_PLAYERS and is_sum_of_trees(ensemble):
        fusion = ensemble.fusions_[ensemble.rule_]
        forests = {
            name: None if name in networks else cast("TableMember", member)
            for name, member in ensemble.members_.items()
        }
        weights = dict(zip(fusion.members, fusion.weights, strict=True))
        exact = linear_shapley(forests, weights, table, background.rows, players=groups, networks=predictions)
        return _explanation(ensemble, exact, exact.errors, table, groups)
    members = {
        name: None if name in networks else QuickTable(cast("TableMember", member))
        for name, member in ensemble.members_.items()
    }

    def fuse(stack: Floats) -> Floats:
        return ensemble.fuse_and_calibrate(dict(zip(members, stack, strict=True)))

    found: FamilyShapley | SampledShapley
    if len(groups) + has_networks <= MAX_PLAYERS:
        found = family_shapley(members, fuse, table, background.rows, players=groups, networks=predictions)
        errors = _background_errors(found)
    else:
        players = {**groups, SPECTROGRAM: [SPECTROGRAM]} if has_networks else groups
        game = ensemble_game(members, fuse, table, background.rows, players=players, networks=predictions)
        found = _sample(game, list(players), len(table), len(background.rows), n_orders, ensemble.seed)
        errors = found.errors
    return _explanation(ensemble, found, errors, table, groups)


def is_sum_of_trees(ensemble: EnsembleClassifier) -> bool:
    """Whether the ensemble prediction is a weighted mean of forests and networks, and not calibrated.

    Args:
        ensemble: a fitted ensemble. Members without weight do not count.
    """
    fusion = ensemble.fusions_[ensemble.rule_]
    decisive = [name for name, weight in zip(fusion.members, fusion.weights, strict=True) if weight]
    return (
        RULES[fusion.rule].pool == "linear"
        and fusion.temperatures is None
        and ensemble.calibration_.method == "none"
        and all(not reads_table(name) or split_name(name)[0] == "random_forest" for name in decisive)
    )


def _explanation(
    ensemble: EnsembleClassifier,
    found: FamilyShapley | SampledShapley | LinearShapley,
    errors: Floats | None,
    table: pd.DataFrame,
    groups: Mapping[str, list[str]],
) -> shap.Explanation:
    explanation: shap.Explanation = import_shap().Explanation(
        values=found.values,
        base_values=found.base,
        data=_part_data(table, groups, found.players),
        feature_names=list(found.players),
        output_names=list(ensemble.class_names_),
        error_std=errors,
    )
    return explanation


def _background_errors(found: FamilyShapley) -> Floats | None:
    """Standard errors that the small number of background rows causes; None with a single one."""
    n_background = found.by_background.shape[2]
    if n_background < 2:
        return None
    errors: Floats = found.by_background.std(axis=2, ddof=1) / np.sqrt(n_background)
    return errors


def _sample(
    game: Game, players: Sequence[str], n_rows: int, n_background: int, n_orders: int, seed: int
) -> SampledShapley:
    """Values of each row from random orders, a row at a time: memory does not grow with the rows."""
    if n_orders < 4 or n_orders % 2:
        raise ConfigError(
            f"Estimated SHAP values need an even number of orders, at least 4. Received {n_orders}: more "
            f"orders give smaller errors ({N_ORDERS} is the default)."
        )
    rows = []
    for i in range(n_rows):
        own = sampled_shapley(
            partial(_of_row, game, i),
            players,
            n_clips=1,
            n_background=n_background,
            n_pairs=n_orders // 2,
            seed=seed + i,
        )
        rows.append(own)
    return concatenate_clips(rows)


def _of_row(
    game: Game, row: int, clips: Positions, backgrounds: Positions, present: NDArray[np.bool_]
) -> Floats:
    """The game of a single row, which is clip 0 there."""
    return game(clips + row, backgrounds, present)


def find_parts(parts: Parts, columns: Sequence[str], *, n_more: int = 0) -> dict[str, list[str]]:
    """Name of a part → its columns.

    Args:
        parts: `"families"`, `"columns"`, or name → columns.
        columns: all columns.
        n_more: number of further parts.

    Raises:
        ConfigError: the name is unknown.

    Example:
        >>> find_parts("families", ["cepstral.mfcc_01.mean", "cepstral.mfcc_02.mean", "tonal.key"])
        {'cepstral': ['cepstral.mfcc_01.mean', 'cepstral.mfcc_02.mean'], 'tonal': ['tonal.key']}
    """
    if not isinstance(parts, str):
        return {str(name): list(map(str, own)) for name, own in parts.items()}
    if parts == FAMILIES:
        return columns_by_family(list(columns), family, limit=MAX_PLAYERS - n_more)
    if parts != COLUMNS:
        raise unknown_name("kind of part", parts, (FAMILIES, COLUMNS))
    return {name: [name] for name in columns}


def _network_predictions(
    ensemble: EnsembleClassifier,
    networks: Sequence[str],
    background: Background,
    spectrograms: SpectrogramInput | None,
) -> dict[str, tuple[Floats, Floats]]:
    """Network → its probabilities of the rows and of the background rows."""
    if not networks:
        return {}
    if spectrograms is None:
        raise ConfigError(
            f"The spectrograms of the rows must be given, for {', '.join(networks)}. Received none: pass "
            "`spectrograms`, or ask for one member that reads the table (of='svm')."
        )
    absent = [name for name in networks if name not in background.networks]
    if absent:
        raise ConfigError(
            f"The background must have predictions of every network. It has none of {', '.join(absent)}: "
            "leave `background` out, or ask for one member that reads the table (of='svm')."
        )
    view = Inputs(None, spectrograms).view("spectrogram")
    classes, multilabel = ensemble.class_names_, ensemble.multilabel_
    return {
        name: (
            member_probabilities(ensemble.members_[name], view, classes, multilabel=multilabel),
            background.networks[name],
        )
        for name in networks
    }


def _part_data(table: pd.DataFrame, groups: Mapping[str, list[str]], names: Sequence[str]) -> Floats:
    """(n, k) the value of each part that is a single column; NaN for several, and for the spectrogram."""
    data = np.full((len(table), len(names)), np.nan)
    for k, name in enumerate(names):
        own = groups.get(name, [])
        if name != SPECTROGRAM and len(own) == 1:
            data[:, k] = table[own[0]].to_numpy(np.float64)
    return data
