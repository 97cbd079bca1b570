"""How much of what there is: clips per class, lengths, rates, channels, and the clips that stand out by being silent, clipped or cut off."""

from __future__ import annotations

from typing import Any

import pandas as pd

from quintet.audit.clip_facts import SILENCE_DB
from quintet.datasets.labels import label_set

SILENT_SHARE = 0.9  # of the clip
CLIPPED_SHARE = 0.001
CUT_OFF_SHARE = 0.8  # of half the sample rate; anti-alias filters lie above it
SCARCE_GROUPS = 5  # what five folds need
IMBALANCE_RATIO = 10.0


def class_balance(labels: pd.Series, groups: pd.Series) -> pd.DataFrame:
    """Clips and groups of every class, from large to small. A clip with a set of labels counts in each.

    Args:
        labels: indexed by clip id.
        groups: indexed alike.

    Returns:
        Columns label, clips, share (of all clips), groups.

    Example:
        >>> labels = pd.Series(["rock", "rock;live", "jazz"])
        >>> class_balance(labels, pd.Series(["a", "a", "b"]))[["label", "clips", "groups"]].values.tolist()
        [['rock', 2, 1], ['live', 1, 1], ['jazz', 1, 1]]
    """
    sets = pd.DataFrame(
        {"label": [label_set(str(label)) for label in labels], "group": groups.to_numpy()}
    ).explode("label")
    found = sets.groupby("label", sort=False).agg(clips=("group", "size"), groups=("group", "nunique"))
    found["share"] = found["clips"] / max(len(labels), 1)
    return found.reset_index().sort_values("clips", ascending=False, kind="stable", ignore_index=True)[
        ["label", "clips", "share", "groups"]
    ]


def oddities(facts: pd.DataFrame) -> pd.DataFrame:
    """Clips that stand out: one row per clip and reason.

    | kind | means |
    |---|---|
    | silent | 90 % of it or more lies below -60 dBFS |
    | clipped | one sample in a thousand or more stands at full scale, three in a row |
    | band-limited | its spectrum breaks off below 0.8 of half its sample rate |

    Args:
        facts: indexed by clip id; the kinds whose columns are there are looked for.

    Returns:
        Columns id, kind, detail.
    """
    found: list[tuple[str, str, str]] = []
    if "silence_share" in facts:
        silent = facts["silence_share"][facts["silence_share"] >= SILENT_SHARE]
        found += [
            (str(id), "silent", f"{share:.0%} below {SILENCE_DB:g} dBFS") for id, share in silent.items()
        ]
    if "clipped_share" in facts:
        clipped = facts["clipped_share"][facts["clipped_share"] >= CLIPPED_SHARE]
        found += [(str(id), "clipped", f"{share:.1%} at full scale") for id, share in clipped.items()]
    if {"cutoff_hz", "native_sample_rate"} <= set(facts):
        limited = facts[
            facts["cutoff_hz"] < CUT_OFF_SHARE * facts["native_sample_rate"].astype("float64") / 2
        ]
        found += [
            (str(id), "band-limited", f"nothing above {hz / 1000:.1f} kHz")
            for id, hz in limited["cutoff_hz"].items()
        ]
    return pd.DataFrame(found, columns=["id", "kind", "detail"], dtype="str")


def spans(facts: pd.DataFrame) -> dict[str, Any]:
    """Quantiles of what varies smoothly, counts of what does not, for JSON.

    Example:
        >>> spans(pd.DataFrame({"duration_s": [1.0, 2.0, 3.0], "native_channels": [1, 1, 2]}))
        {'duration_s': {'min': 1.0, 'median': 2.0, 'max': 3.0}, 'native_channels': {'1': 2, '2': 1}}
    """
    found: dict[str, Any] = {}
    for name in ("duration_s", "loudness_db", "silence_share", "cutoff_hz"):
        known = facts[name].dropna().astype("float64") if name in facts else pd.Series(dtype="float64")
        if len(known):
            found[name] = {
                "min": float(known.min()),
                "median": float(known.median()),
                "max": float(known.max()),
            }
    for name in ("native_sample_rate", "native_channels"):
        known = facts[name].dropna() if name in facts else pd.Series(dtype="int64")
        if len(known):
            found[name] = dict(
                zip(
                    known.value_counts().index.astype("int64").astype("str"),
                    known.value_counts().tolist(),
                    strict=True,
                )
            )
    return found
