"""SHAP values of a fitted ensemble and of its members, as an `Explanation` of the library shap.

| explained | parts | output | method |
|---|---|---|---|
| a table member | columns | its own (`explanation.importance.SPACES`) | exact for each kind of member |
| the ensemble | feature families, or other sets of columns | fused, calibrated probability | all coalitions |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
import pandas as pd

from quintet.classifiers.registry import reads_table
from quintet.classifiers.spectrogram.sequences import SpectrogramInput
from quintet.ensemble.array_types import Floats
from quintet.ensemble.classifier import EnsembleClassifier
from quintet.ensemble.crossfit import Inputs, member_probabilities
from quintet.errors import ConfigError, unknown_name
from quintet.explanation.contracts import import_shap
from quintet.explanation.importance import explain, family
from quintet.explanation.shapley.family_shapley import (
    MAX_PLAYERS,
    SPECTROGRAM,
    columns_by_family,
    family_shapley,
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
) -> shap.Explanation:
    """Exact Shapley values of groups of columns for the probabilities of the ensemble.

    Args:
        ensemble: a fitted ensemble.
        table: `(n, d)` rows to explain.
        background: training rows.
        parts: `"families"`, `"columns"` (of a table with few columns), or name → columns.
        spectrograms: spectrograms of the rows, for networks: they are one more part.

    Raises:
        ConfigError: there are too many parts, a column belongs to none or to two, or networks have no
            spectrograms.
    """
    networks = [name for name in ensemble.members_ if not reads_table(name)]
    if len(networks) == len(ensemble.members_):
        raise ConfigError(
            "Shapley values of feature families need a member that reads a table. "
            f"Received only networks: {', '.join(networks)}. See `explain` for the regions of a spectrogram."
        )
    groups = find_parts(parts, [str(name) for name in table.columns], n_more=len(networks[:1]))
    predictions = _network_predictions(ensemble, networks, background, spectrograms)
    members = {
        name: None if name in networks else QuickTable(cast("TableMember", member))
        for name, member in ensemble.members_.items()
    }

    def fuse(stack: Floats) -> Floats:
        return ensemble.fuse_and_calibrate(dict(zip(members, stack, strict=True)))

    game = family_shapley(members, fuse, table, background.rows, players=groups, networks=predictions)
    n_background = game.by_background.shape[2]
    errors = None
    if n_background > 1:
        errors = game.by_background.std(axis=2, ddof=1) / np.sqrt(n_background)
    explanation: shap.Explanation = import_shap().Explanation(
        values=game.values,
        base_values=game.base,
        data=_part_data(table, groups, game.players),
        feature_names=list(game.players),
        output_names=list(ensemble.class_names_),
        error_std=errors,
    )
    return explanation


def find_parts(parts: Parts, columns: Sequence[str], *, n_more: int = 0) -> dict[str, list[str]]:
    """Name of a part → its columns.

    Args:
        parts: `"families"`, `"columns"`, or name → columns.
        columns: all columns.
        n_more: number of further parts.

    Raises:
        ConfigError: the name is unknown, or there are too many columns.

    Example:
        >>> find_parts("families", ["cepstral.mfcc_01.mean", "cepstral.mfcc_02.mean", "tonal.key"])
        {'cepstral': ['cepstral.mfcc_01.mean', 'cepstral.mfcc_02.mean'], 'tonal': ['tonal.key']}
    """
    most = MAX_PLAYERS - n_more
    if not isinstance(parts, str):
        return {str(name): list(map(str, own)) for name, own in parts.items()}
    if parts == FAMILIES:
        return columns_by_family(list(columns), family, limit=most)
    if parts != COLUMNS:
        raise unknown_name("kind of part", parts, (FAMILIES, COLUMNS))
    if len(columns) > most:
        raise ConfigError(
            f"Exact values of the ensemble by column need at most {most} columns (2^k coalitions). "
            f"Received {len(columns)}: name sets of columns (parts={{name: columns}}), keep "
            f"parts='{FAMILIES}', or ask for one member (of='svm'), whose values by column are exact."
        )
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
