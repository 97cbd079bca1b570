"""Feature columns: their names and their order, for given parameters and without any audio.

A column is named `family.quantity[_index].statistic`, such as `spectral.centroid.mean` or
`cepstral.mfcc_07.std`. The names of columns of pretrained networks are in `embedding_columns.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from quintet.errors import unknown_name
from quintet.features.catalogue import FEATURE_GROUPS, FEATURE_SETS, feature_family, feature_set_families
from quintet.features.parameters import FeatureParameters

_PUBLISHED = {
    "temporal.amplitude": "signal",
    "temporal.signal": "signal",
    "temporal.zcr": "zcr",
    "temporal.rms": "rmse",
    "spectral.centroid": "spectral_centroid",
    "spectral.bandwidth_p2": "spectral_bandwidth_2",
    "spectral.bandwidth_p3": "spectral_bandwidth_3",
    "spectral.bandwidth_p4": "spectral_bandwidth_4",
    "spectral.contrast": "spectral_contrast",
    "spectral.rolloff": "spectral_rolloff",
    "cepstral.mfcc": "mfccs",
    "tonal.chroma": "chroma_stft",
}
"""Names in the paper of the groups of `bahuleyan2018`."""


def feature_names(parameters: FeatureParameters) -> tuple[str, ...]:
    """Columns that these parameters give, in order.

    Example:
        >>> len(feature_names(FeatureParameters(feature_set="bahuleyan2018")))
        97
    """
    names = list(hand_made_columns(parameters))
    for network in parameters.embeddings:
        names += network.columns
    return tuple(names)


@lru_cache(maxsize=16)
def hand_made_columns(parameters: FeatureParameters) -> tuple[str, ...]:
    """Columns of the selected groups, in order: `feature_names` without those of pretrained networks."""
    groups = select_groups(parameters)
    return tuple(
        name for group, statistics in groups for name in group_columns(group, statistics, parameters)
    )


@lru_cache(maxsize=16)
def select_groups(parameters: FeatureParameters) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Rows `(group, statistics)` of the named set whose family is selected, in order."""
    families = parameters.families or feature_set_families(parameters.feature_set)
    rows = FEATURE_SETS[parameters.feature_set]
    return tuple((group, statistics) for group, statistics in rows if feature_family(group) in families)


def group_columns(group: str, statistics: Sequence[str], parameters: FeatureParameters) -> list[str]:
    """Columns of one group: one statistic after the other, each over all series (the order of the paper)."""
    series = series_names(group, parameters)
    if tuple(statistics) == ("rates",):
        rates = range(1, parameters.n_rates + 1)
        return [f"{name}.rate_{rate:02d}" for name in series for rate in rates]
    if tuple(statistics) == ("bands",):
        return _band_pairs(series)
    return [f"{name}.{statistic}" for statistic in statistics for name in series]


def _band_pairs(series: Sequence[str]) -> list[str]:
    """Columns of a covariance matrix: the upper triangle, row by row, with the diagonal."""
    bands = [name.partition(".")[2] for name in series]
    columns: list[str] = []
    for row, name in enumerate(series):
        columns += [f"{name}.{band}" for band in bands[row:]]
    return columns


def series_names(group: str, parameters: FeatureParameters) -> list[str]:
    """Series of a group. They are numbered from 1, with as many digits as the last number has.

    Example:
        >>> series_names("cepstral.mfcc", FeatureParameters())[6]
        'cepstral.mfcc_07'
    """
    count = FEATURE_GROUPS[group].count
    if count is None:
        return [group]
    number = count if isinstance(count, int) else int(getattr(parameters, count))
    if group == "spectral.contrast":
        number += 1  # the band below the lowest octave
    digits = len(str(number))
    return [f"{group}_{index:0{digits}d}" for index in range(1, number + 1)]


def published_names(feature_set: str) -> dict[str, str]:
    """Names of the paper by our column, in order, for the default parameters of the set.

    Raises:
        ConfigError: if the set was never published under other names.

    Example:
        >>> published_names("bahuleyan2018")["cepstral.mfcc_07.std"]
        'mfccs_7_std'
    """
    if feature_set != "bahuleyan2018":
        raise unknown_name("feature set with published names", feature_set, ["bahuleyan2018"])
    parameters = FeatureParameters(feature_set=feature_set)
    names: dict[str, str] = {}
    for group, statistics in select_groups(parameters):
        for column in group_columns(group, statistics, parameters):
            names[column] = _published_name(group, column)
    return names


def _published_name(group: str, column: str) -> str:
    if group == "rhythm.tempo":
        return "tempo"
    series, statistic = column.rsplit(".", 1)
    index = series.removeprefix(group).lstrip("_").lstrip("0")
    parts = (_PUBLISHED[group], index, statistic)
    return "_".join(part for part in parts if part)
