"""Balance of a corpus: clips per class, lengths, rates, channels, and odd clips."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from quintet.auditing.levels import SILENCE_DB
from quintet.datasets.labels import label_set

SILENT_SHARE = 0.9  # of the clip
CLIPPED_SHARE = 0.001
CUT_OFF_SHARE = 0.8  # of half the sample rate; anti-alias filters cut above it
SCARCE_GROUPS = 5  # five folds need as many groups of each class
IMBALANCE_RATIO = 10.0
BALANCE_COLUMNS = ["label", "clips", "share", "groups"]
QUANTITIES = ("duration_s", "loudness_db", "silence_share", "cutoff_hz")
CATEGORIES = ("native_sample_rate", "native_channels")

Spans = dict[str, dict[str, float]]
"""Quantity → its minimum, median and maximum; category → number of clips per value."""

Oddity = tuple[str, str, str]
"""Clip id, kind and detail."""


def class_balance(labels: pd.Series, groups: pd.Series) -> pd.DataFrame:
    """Number of clips and groups of every class, from large to small.

    Args:
        labels: label of each clip, by clip id. A clip with a set of labels counts in each of its classes.
        groups: group of each clip, in the same order.

    Returns:
        Columns label, clips, share (of all clips), groups.

    Example:
        >>> labels = pd.Series(["rock", "rock;live", "jazz"])
        >>> class_balance(labels, pd.Series(["a", "a", "b"]))[["label", "clips", "groups"]].values.tolist()
        [['rock', 2, 1], ['live', 1, 1], ['jazz', 1, 1]]
    """
    label_sets = [label_set(str(label)) for label in labels]
    clips = pd.DataFrame({"label": label_sets, "group": groups.to_numpy()})
    by_label = clips.explode("label").groupby("label", sort=False)
    balance = by_label.agg(clips=("group", "size"), groups=("group", "nunique"))
    n = max(len(labels), 1)
    balance["share"] = balance["clips"] / n
    balance = balance.reset_index()
    balance = balance.sort_values("clips", ascending=False, kind="stable", ignore_index=True)
    return balance[BALANCE_COLUMNS]


def oddities(facts: pd.DataFrame, truncated: Mapping[str, str]) -> pd.DataFrame:
    """Odd clips: one row per clip and reason.

    | kind | meaning |
    |---|---|
    | silent | 90 % of the clip or more is below -60 dBFS |
    | clipped | one sample in a thousand or more is at full scale, three in a row |
    | band-limited | the spectrum ends below 0.8 of half the sample rate |
    | cut short | the file says that something is missing; the sound that is there is used |

    Args:
        facts: facts by clip id. A kind is checked if its columns are present.
        truncated: clip id → what is missing, of the clips that are cut short.

    Returns:
        Columns id, kind, detail.
    """
    cut = [(id, "cut short", reason) for id, reason in truncated.items()]
    rows = [*cut, *_find_high_shares(facts), *_find_band_limits(facts)]
    return pd.DataFrame(rows, columns=["id", "kind", "detail"], dtype="str")


def spans(facts: pd.DataFrame) -> Spans:
    """Minimum, median and maximum of quantities, and number of clips per value of categories, for JSON.

    Args:
        facts: facts by clip id. Columns that are absent or empty are left out.

    Example:
        >>> spans(pd.DataFrame({"duration_s": [1.0, 2.0, 3.0], "native_channels": [1, 1, 2]}))
        {'duration_s': {'min': 1.0, 'median': 2.0, 'max': 3.0}, 'native_channels': {'1': 2, '2': 1}}
    """
    result: Spans = {}
    for name in QUANTITIES:
        if name in facts and facts[name].notna().any():
            values = facts[name].dropna().astype("float64")
            result[name] = {
                "min": float(values.min()),
                "median": float(values.median()),
                "max": float(values.max()),
            }
    for name in CATEGORIES:
        if name in facts and facts[name].notna().any():
            counts = facts[name].dropna().value_counts()
            texts = counts.index.astype("int64").astype("str")
            result[name] = dict(zip(texts, counts.tolist(), strict=True))
    return result


def _find_high_shares(facts: pd.DataFrame) -> list[Oddity]:
    shares = (
        ("silence_share", SILENT_SHARE, "silent", f"{{:.0%}} below {SILENCE_DB:g} dBFS"),
        ("clipped_share", CLIPPED_SHARE, "clipped", "{:.1%} at full scale"),
    )
    rows: list[Oddity] = []
    for column, least, kind, detail in shares:
        if column in facts:
            odd = facts[column][facts[column] >= least]
            rows += [(str(id), kind, detail.format(share)) for id, share in odd.items()]
    return rows


def _find_band_limits(facts: pd.DataFrame) -> list[Oddity]:
    if not {"cutoff_hz", "native_sample_rate"} <= set(facts):
        return []
    nyquist = facts["native_sample_rate"].astype("float64") / 2
    cutoffs = facts["cutoff_hz"]
    limited = cutoffs[cutoffs < CUT_OFF_SHARE * nyquist]
    return [(str(id), "band-limited", f"nothing above {hz / 1000:.1f} kHz") for id, hz in limited.items()]
