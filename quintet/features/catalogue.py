"""Catalogue of features: the literal tables of feature groups and feature sets.

A group is a quantity with one or several series over time. A set is an ordered list of groups, each with the
statistics of its series. `columns.py` derives the names of the feature columns from these tables.
"""

from __future__ import annotations

from dataclasses import dataclass

from quintet.errors import unknown_name

MEAN_STD = ("mean", "std")
ALL = ("mean", "std", "min", "max", "median", "skew", "kurtosis")
WIDE_BANDS = 16
"""Wide bands of the harmonic and percussive parts."""
SHAPE = ("std", "min", "max", "median", "skew", "kurtosis")
"""Statistics of differences between frames. Their mean depends on the first and the last frame only."""


@dataclass(frozen=True, slots=True)
class Group:
    """Feature group: one quantity and its series.

    Args:
        count: number of series, or the name of the parameter that holds it. None for a single series without
            a number.
        unit: unit of the mean.
        summary: what the group measures.
    """

    count: int | str | None
    unit: str
    summary: str


FEATURE_GROUPS: dict[str, Group] = {
    "temporal.amplitude": Group(None, "1", "absolute value of every sample"),
    "temporal.signal": Group(None, "1", "every sample"),
    "temporal.zcr": Group(None, "1", "zero crossings per sample of a frame"),
    "temporal.rms": Group(None, "1", "root of a frame's mean square"),
    "rhythm.tempo": Group(None, "BPM", "tempo and its clarity"),
    "rhythm.onset": Group(None, "dB", "mean rise of the mel bands from frame to frame"),
    "spectral.centroid": Group(None, "Hz", "mean frequency, weighted by magnitude"),
    "spectral.bandwidth_p2": Group(None, "Hz", "deviation from the centroid, order 2"),
    "spectral.bandwidth_p3": Group(None, "Hz", "deviation from the centroid, order 3"),
    "spectral.bandwidth_p4": Group(None, "Hz", "deviation from the centroid, order 4"),
    "spectral.contrast": Group(
        "n_contrast_bands", "dB", "level of peaks above valleys in octave bands, from low to high"
    ),
    "spectral.rolloff": Group(None, "Hz", "the frequency below which 85 % of the magnitude lies"),
    "spectral.flatness": Group(
        None, "1", "geometric over arithmetic mean of the power: 1 is noise, 0 is a tone"
    ),
    "cepstral.mfcc": Group("n_mfcc", "dB", "cosine transform of the mel bands"),
    "cepstral.delta": Group("n_mfcc", "dB per frame", "slope of the MFCC over 9 frames"),
    "cepstral.delta2": Group("n_mfcc", "dB per frame²", "curvature of the MFCC over 9 frames"),
    "tonal.chroma": Group(12, "1", "strength of the twelve pitch classes from C on; the strongest is 1"),
    "tonal.tonnetz": Group(6, "1", "centroid of the chroma on the circles of fifths, minor and major thirds"),
    "modulation.band": Group("n_bands", "dB", "strength of the loudness fluctuations of a mel band, by rate"),
    "covariance.band": Group(
        "n_bands", "1", "matrix logarithm of the covariance of the levels of two mel bands"
    ),
    "parts.harmonic": Group(WIDE_BANDS, "dB", "level of sound that holds its pitch, in a wide band"),
    "parts.percussive": Group(WIDE_BANDS, "dB", "level of sound that fills all pitches, in a wide band"),
    "parts.share": Group(WIDE_BANDS, "1", "share of the power of a wide band that holds its pitch"),
}

PARTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("parts.harmonic", MEAN_STD),
    ("parts.percussive", MEAN_STD),
    ("parts.share", ("mean",)),
)
"""What the set `wide` adds to `full`."""

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
        # the minimum of the onset strength is 0 by construction
        ("rhythm.onset", ("mean", "std", "max", "median", "skew", "kurtosis")),
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
        # the maximum of the chroma is 1 in most clips
        ("tonal.chroma", ("mean", "std", "min", "median", "skew", "kurtosis")),
        ("tonal.tonnetz", ALL),
        ("modulation.band", ("rates",)),
        ("covariance.band", ("bands",)),
    ),
}
FEATURE_SETS["wide"] = (*FEATURE_SETS["full"], *PARTS)
FEATURE_SETS["selected"] = tuple(
    (group, statistics) for group, statistics in FEATURE_SETS["wide"] if not group.startswith("tonal.")
)
DEFAULT_SET = "selected"
"""The set that is computed if none is named: all families that help under folds by group."""

MASKING_FLOOR_DB = {"wide": -15.0, "selected": -15.0}
"""Masking floor of a set, dB, if no other is chosen. The other sets have none, as librosa and the paper."""


def feature_family(column: str) -> str:
    """Feature family of a column or a group: the part of its name before the first dot.

    Example:
        >>> feature_family("spectral.bandwidth_p3.mean")
        'spectral'
    """
    return column.partition(".")[0]


def column_family(column: str) -> str:
    """Feature family of a column of any table. In a name without dots it ends before the first underscore.

    Example:
        >>> column_family("cepstral.mfcc_01.mean"), column_family("mfccs_1_mean"), column_family("tempo")
        ('cepstral', 'mfccs', 'tempo')
    """
    return feature_family(column) if "." in column else column.partition("_")[0]


def feature_set_families(feature_set: str) -> tuple[str, ...]:
    """Feature families of a named set, in its order.

    Raises:
        ConfigError: if there is no such set.

    Example:
        >>> feature_set_families("bahuleyan2018")
        ('temporal', 'rhythm', 'spectral', 'cepstral', 'tonal')
    """
    if feature_set not in FEATURE_SETS:
        raise unknown_name("feature set", feature_set, FEATURE_SETS)
    families = [feature_family(group) for group, _ in FEATURE_SETS[feature_set]]
    return tuple(dict.fromkeys(families))
