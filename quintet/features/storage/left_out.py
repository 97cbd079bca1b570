"""Notes on rows that are left out of a feature table, on whole classes of them, and on tags of test rows."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from quintet.datasets.labels import is_label_set, label_set
from quintet.features.catalogue import feature_family
from quintet.features.storage.column_roles import quote_names
from quintet.features.storage.external_table import LABEL_MISSING, NUMBER_BEYOND, NUMBER_MISSING
from quintet.features.storage.join import ROW_MISSING, joined_families
from quintet.features.storage.table import FeatureTable, is_usable

SHOWN_ROWS = 3
"""Rows that a note lists."""


def failure_notes(table: FeatureTable) -> list[str]:
    """How many rows of a table have failed and why, and the columns with missing or too large numbers.

    Example:
        >>> from quintet.features.storage.external_table import Roles, foreign_table
        >>> frame = pd.DataFrame({"id": ["a", "b"], "f": [1.0, 2.0], "g": [1.0, None]})
        >>> failure_notes(foreign_table(frame, Roles(), name="x"))
        ["1 row of 2 is left out: 1 with a missing number (b). Numbers are missing in 'g'."]
    """
    failures = table.failures
    if not len(failures):
        return []
    counts = failures["reason"].map(_failure_kind).value_counts(sort=False)
    kinds = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    examples = ", ".join(map(str, failures["id"].head(SHOWN_ROWS)))
    more = ", …" if len(failures) > SHOWN_ROWS else ""
    left_out = f"{count_rows(len(failures), len(table))} left out: {kinds} ({examples}{more})."
    return [" ".join([left_out, *missing_numbers_notes(table)])]


def missing_numbers_notes(table: FeatureTable) -> list[str]:
    """The columns for whose missing or too large numbers rows have failed: one sentence each, or none."""
    reasons = table.frame["reason"].fillna("").astype(str)
    failed = ~is_usable(table.frame) & reasons.str.startswith((NUMBER_MISSING, NUMBER_BEYOND))
    if not failed.any():
        return []
    joined = joined_families(table.metadata)
    is_joined = np.array([feature_family(name) in joined for name in table.feature_names])
    in_joined = reasons[failed].str.contains(" (in ", regex=False).to_numpy()
    may_fail = in_joined[:, None] == is_joined[None, :]  # a row may fail before another table is joined to it
    values = table.frame.loc[failed, list(table.feature_names)].to_numpy(np.float32)
    kinds = {"missing": np.isnan(values), "beyond 3.4e38": np.isinf(values)}
    notes = []
    for kind, found in kinds.items():
        counts = pd.Series((found & may_fail).sum(axis=0), index=table.feature_names)
        counts = counts[counts > 0].sort_values(ascending=False, kind="stable")
        if len(counts):
            notes.append(f"Numbers are {kind} in {quote_names(counts.index.tolist())}.")
    return notes


def lost_classes_notes(labels: Iterable[str], kept: Iterable[str]) -> list[str]:
    """The classes or tags of which no row is kept: one sentence, or none.

    Args:
        labels: labels of all rows; label sets are written `rock;live`.
        kept: labels of the rows that are kept.

    Example:
        >>> lost_classes_notes(["rock", "jazz", "folk"], ["rock"])
        ["All rows of 2 classes are left out: 'folk', 'jazz'."]
    """
    before = set(labels)
    lost = sorted(_names(before) - _names(set(kept)))
    one, several = ("tag", "tags") if any(map(is_label_set, before)) else ("class", "classes")
    if len(lost) < 2:
        return [f"All rows of the {one} {quote_names(lost)} are left out."] if lost else []
    return [f"All rows of {len(lost)} {several} are left out: {quote_names(lost)}."]


def unlearnt_tags_notes(train: Iterable[str], test: Iterable[str]) -> list[str]:
    """The tags that only the test part has, which no member can learn: one sentence, or none.

    Args:
        train: label sets of the training part, written `rock;live`.
        test: label sets of the test part.

    Example:
        >>> unlearnt_tags_notes(["rock;live", "jazz"], ["rock;calm"])[0][:64]
        "The training part has no clip with the tag 'calm' (1 in the test"
    """
    sets = [set(label_set(label)) for label in test]
    absent = sorted(set().union(*sets) - _names(set(train)))
    if not absent:
        return []
    n = sum(not tags.isdisjoint(absent) for tags in sets)
    noun, pronoun = ("tag", "it") if len(absent) == 1 else ("tags", "them")
    return [
        f"The training part has no clip with the {noun} {quote_names(absent)} ({n} in the test part): no "
        f"member can learn {pronoun}. Move some to the training part, or leave the {noun} out."
    ]


def _names(labels: set[str]) -> set[str]:
    return {name for label in labels for name in label_set(label)}


def count_rows(n: int, total: int) -> str:
    """Number of rows as the beginning of a sentence.

    Example:
        >>> count_rows(1, 90), count_rows(2, 90)
        ('1 row of 90 is', '2 rows of 90 are')
    """
    return f"{n} row of {total} is" if n == 1 else f"{n} rows of {total} are"


def _failure_kind(reason: object) -> str:
    """A reason in two or three words, if it is about the table itself."""
    text = str(reason)
    if text == LABEL_MISSING:
        return "without a label"
    if text.startswith(ROW_MISSING):
        return "without a row in a joined table"
    if text.startswith(NUMBER_BEYOND):
        return "with a number beyond 3.4e38"
    return "with a missing number" if text.startswith(NUMBER_MISSING) else "not extracted"
