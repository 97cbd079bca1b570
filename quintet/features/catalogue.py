"""Which numbers there are: the table of feature groups, and the named sets. No audio, no arrays.

A column is named `family.quantity[_index].statistic`. A group is a quantity with one or several series over time; a set
is an ordered list of groups, each with the statistics that are kept of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from quintet.errors import unknown_name

if TYPE_CHECKING:
    from quintet.features.parameters import FeatureParameters

MEAN_STD = ("mean", "std")
ALL = ("mean", "std", "min", "max", "median", "skew", "kurtosis")
SHAPE = (
    "std",
    "min",
    "max",
    "median",
    "skew",
    "kurtosis",
)  # for differences: their mean is zero but for the ends


@dataclass(frozen=True, slots=True)
class Group:
    """One quantity.

    Args:
        count: how many series it has: a number, or the name of the parameter that says so; None for a single, unnumbered one.
        unit: of its mean.
        summary: what it measures.
    """

    count: int | str | None
    unit: str
    summary: str


FEATURE_GROUPS: dict[str, Group] = {
    "temporal.amplitude": Group(None, "1", "the absolute value of every sample"),
    "temporal.signal": Group(None, "1", "every sample"),
    "temporal.zcr": Group(None, "1", "zero crossings per sample of a frame"),
    "temporal.rms": Group(None, "1", "root of a frame's mean square"),
    "rhythm.tempo": Group(None, "BPM", "the tempo, and how clear it is"),
    "rhythm.onset": Group(None, "dB", "mean rise of the mel bands from frame to frame"),
    "spectral.centroid": Group(None, "Hz", "mean frequency, weighted by magnitude"),
    "spectral.bandwidth_p2": Group(None, "Hz", "deviation from the centroid, order 2"),
    "spectral.bandwidth_p3": Group(None, "Hz", "deviation from the centroid, order 3"),
    "spectral.bandwidth_p4": Group(None, "Hz", "deviation from the centroid, order 4"),
    "spectral.contrast": Group(
        "n_contrast_bands", "dB", "peaks above valleys in octave bands, from low to high"
    ),
    "spectral.rolloff": Group(None, "Hz", "the frequency below which 85 % of the magnitude lies"),
    "spectral.flatness": Group(
        None, "1", "geometric over arithmetic mean of the power: 1 is noise, 0 is a tone"
    ),
    "cepstral.mfcc": Group("n_mfcc", "dB", "cosine transform of the mel bands"),
    "cepstral.delta": Group("n_mfcc", "dB per frame", "slope of the MFCC over 9 frames"),
    "cepstral.delta2": Group("n_mfcc", "dB per frame²", "curvature of the MFCC over 9 frames"),
    "tonal.chroma": Group(12, "1", "strength of the twelve pitch classes from C on, the strongest being 1"),
    "tonal.tonnetz": Group(6, "1", "centroid of the chroma on the circles of fifths, minor and major thirds"),
    "modulation.band": Group("n_bands", "dB", "strength of the loudness fluctuations of a mel band, by rate"),
    "covariance.band": Group(
        "n_bands", "1", "how the levels of two mel bands move together: logarithm of their covariance matrix"
    ),
}

FEATURE_SETS: dict[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
    # arXiv:1804.01149, the 97 columns in the paper's order
    "bahuleyan2018": (
        ("temporal.amplitude", ("mean",)),
        ("temporal.signal", ("std",)),
        ("temporal.amplitude", ("skew",)),
        ("temporal.signal", ("kurtosis",)),
        ("temporal.zcr", MEAN_STD),
        ("temporal.rms", MEAN_STD),
        ("rhythm.tempo", ("bpm",)),
        ("spectral.centroid", MEAN_STD),
        ("spectral.bandwidth_p2", MEAN_STD),
        ("spectral.bandwidth_p3", MEAN_STD),
        ("spectral.bandwidth_p4", MEAN_STD),
        ("spectral.contrast", MEAN_STD),
        ("spectral.rolloff", MEAN_STD),
        ("cepstral.mfcc", MEAN_STD),
        ("tonal.chroma", MEAN_STD),
    ),
    "full": (
        ("temporal.amplitude", ("mean", "std", "median", "skew", "kurtosis")),
        ("temporal.signal", ("mean", "std", "min", "max", "skew", "kurtosis")),
        ("temporal.zcr", ALL),
        ("temporal.rms", ALL),
        ("rhythm.tempo", ("bpm", "clarity")),
        (
            "rhythm.onset",
            ("mean", "std", "max", "median", "skew", "kurtosis"),
        ),  # its minimum is 0 by construction
        ("spectral.centroid", ALL),
        ("spectral.bandwidth_p2", ALL),
        ("spectral.bandwidth_p3", ALL),
        ("spectral.bandwidth_p4", ALL),
        ("spectral.contrast", ALL),
        ("spectral.rolloff", ALL),
        ("spectral.flatness", ALL),
        ("cepstral.mfcc", ALL),
        ("cepstral.delta", SHAPE),
        ("cepstral.delta2", SHAPE),
        (
            "tonal.chroma",
            ("mean", "std", "min", "median", "skew", "kurtosis"),
        ),  # its maximum is 1 in most clips
        ("tonal.tonnetz", ALL),
        ("modulation.band", ("rates",)),
        ("covariance.band", ("bands",)),
    ),
}

# The paper's ablation: its time-domain group is the first nine columns, the frequency-domain group the other 88.
PAPER_DOMAINS: dict[str, tuple[str, ...]] = {
    "time": ("temporal", "rhythm"),
    "frequency": ("spectral", "cepstral", "tonal"),
}

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


def feature_family(column: str) -> str:
    """The part of a column's (or a group's) name before the first dot.

    Example:
        >>> feature_family("spectral.bandwidth_p3.mean")
        'spectral'
    """
    return column.partition(".")[0]


def feature_set_families(feature_set: str) -> tuple[str, ...]:
    """The families of a named set, in its order.

    Raises:
        ConfigError: if there is no such set.

    Example:
        >>> feature_set_families("bahuleyan2018")
        ('temporal', 'rhythm', 'spectral', 'cepstral', 'tonal')
    """
    if feature_set not in FEATURE_SETS:
        raise unknown_name("feature set", feature_set, FEATURE_SETS)
    return tuple(dict.fromkeys(feature_family(group) for group, _ in FEATURE_SETS[feature_set]))


def feature_names(parameters: FeatureParameters) -> tuple[str, ...]:
    """The columns that these parameters give, in order, without any audio.

    Example:
        >>> from quintet.features.parameters import FeatureParameters
        >>> len(feature_names(FeatureParameters(feature_set="bahuleyan2018")))
        97
    """
    return tuple(
        name
        for group, statistics in selection(parameters)
        for name in group_columns(group, statistics, parameters)
    )


def selection(parameters: FeatureParameters) -> list[tuple[str, tuple[str, ...]]]:
    """The rows of the named set whose family is wanted: `(group, statistics)` in order."""
    wanted = parameters.families or feature_set_families(parameters.feature_set)
    return [
        (group, statistics)
        for group, statistics in FEATURE_SETS[parameters.feature_set]
        if feature_family(group) in wanted
    ]


def group_columns(group: str, statistics: tuple[str, ...], parameters: FeatureParameters) -> list[str]:
    """The columns of one group: one statistic after the other, each over all series (the paper's order)."""
    series = series_names(group, parameters)
    if statistics == ("rates",):
        return [f"{name}.rate_{rate:02d}" for name in series for rate in range(1, parameters.n_rates + 1)]
    if statistics == ("bands",):
        return [f"{name}.{other.partition('.')[2]}" for i, name in enumerate(series) for other in series[i:]]
    return [f"{name}.{statistic}" for statistic in statistics for name in series]


def series_names(group: str, parameters: FeatureParameters) -> list[str]:
    """The series of a group, numbered from 1 with as many digits as the last one has.

    Example:
        >>> from quintet.features.parameters import FeatureParameters
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
    """Our column → the paper's own, in order, at the set's default parameters.

    Raises:
        ConfigError: for a set that was never published under other names.

    Example:
        >>> published_names("bahuleyan2018")["cepstral.mfcc_07.std"]
        'mfccs_7_std'
    """
    from quintet.features.parameters import FeatureParameters

    if feature_set != "bahuleyan2018":
        raise unknown_name("feature set with published names", feature_set, ["bahuleyan2018"])
    parameters = FeatureParameters(feature_set=feature_set)
    return {
        column: _published(group, column)
        for group, statistics in selection(parameters)
        for column in group_columns(group, statistics, parameters)
    }


def _published(group: str, column: str) -> str:
    if group == "rhythm.tempo":
        return "tempo"
    series, statistic = column.rsplit(".", 1)
    index = series.removeprefix(group).lstrip("_").lstrip("0")
    return "_".join(filter(None, [_PUBLISHED[group], index, statistic]))
