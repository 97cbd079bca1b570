"""Warnings: the findings of an audit that need a decision, as sentences."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from quintet.auditing.balance import IMBALANCE_RATIO, SCARCE_GROUPS
from quintet.auditing.duplicates import KINDS
from quintet.auditing.shortcuts import ALL_SIGNALS, HIGH_AUC
from quintet.evaluation.telling import RowOrder, telling_warnings


def warnings(
    problems: pd.DataFrame,
    pairs: pd.DataFrame,
    known: Mapping[str, str],
    balance: pd.DataFrame,
    odd: pd.DataFrame,
    shortcuts: pd.DataFrame,
    telling: pd.DataFrame,
    order: RowOrder | None,
) -> list[str]:
    """Warnings as sentences, the most serious first. `AuditReport` describes the tables.

    Args:
        problems: clips that cannot be used.
        pairs: duplicates.
        known: clip id → group of the source; empty if the source has no groups.
        balance: clips and groups per class.
        odd: odd clips.
        shortcuts: AUC of each shortcut.
        telling: columns that identify a class by themselves.
        order: how the labels follow each other in the rows, or None.

    Example:
        >>> columns = ["first", "second", "kind", "across_classes", "warning", "clips", "groups"]
        >>> empty = pd.DataFrame(columns=columns)
        >>> problems = pd.DataFrame({"id": ["a"], "problem": ["file not found"]})
        >>> warnings(problems, empty, {}, empty, empty, empty, empty, None)
        ['Clips that cannot be used: 1. See the list; repair them or leave them out.']
    """
    return [
        *_label_warnings(pairs),
        *telling_warnings(telling),
        *_order_warnings(order),
        *_shortcut_warnings(shortcuts),
        *_duplicate_warnings(pairs, known),
        *_problem_warnings(problems),
        *_balance_warnings(balance),
        *_oddity_warnings(odd),
    ]


def _label_warnings(pairs: pd.DataFrame) -> list[str]:
    across_classes = pairs[pairs["across_classes"].astype(bool)]
    return [
        f"One label is wrong: {pair.first} ({pair.first_label}) and {pair.second} ({pair.second_label}) "
        f"are the {pair.kind}."
        for pair in across_classes.itertuples()
    ]


def _shortcut_warnings(shortcuts: pd.DataFrame) -> list[str]:
    sentences = []
    for row in shortcuts[shortcuts["warning"].astype(bool)].itertuples():
        verb = "give" if row.signal == ALL_SIGNALS else "gives"
        sentences.append(
            f"Shortcut: {row.signal} {verb} an AUC of {row.auc:.2f} [{row.low:.2f}, {row.high:.2f}] "
            f"without any music (warning above {HIGH_AUC}). Make the classes equal in it, "
            "or expect lower scores on other data."
        )
    return sentences


def _order_warnings(order: RowOrder | None) -> list[str]:
    if order is None or not order.tells_class:
        return []
    return [
        f"The order of the rows identifies the class: {order.runs} stretches of one label, "
        f"{order.expected:.0f} if they were shuffled. Quintet does not use the order; a column that counts "
        "rows, or a split by position, would give the class away."
    ]


def _duplicate_warnings(pairs: pd.DataFrame, known: Mapping[str, str]) -> list[str]:
    sentences = []
    for kind, count in pairs["kind"].value_counts().items():
        sentences.append(
            f"Pairs of duplicates: {count} ({KINDS[str(kind)]}). "
            "Keep both clips of a pair on one side of a split: train with the groups of this audit."
        )
    n_divided = _count_divided_pairs(pairs, known)
    if n_divided:
        sentences.append(
            f"Duplicates in different groups: {n_divided} pairs. The groups of this audit join them."
        )
    return sentences


def _count_divided_pairs(pairs: pd.DataFrame, known: Mapping[str, str]) -> int:
    """Number of pairs whose clips have different groups in the source."""
    if not known:
        return 0
    first_groups = pairs["first"].map(known.get)
    second_groups = pairs["second"].map(known.get)
    return sum(a != b for a, b in zip(first_groups.tolist(), second_groups.tolist(), strict=True))


def _problem_warnings(problems: pd.DataFrame) -> list[str]:
    if not len(problems):
        return []
    return [f"Clips that cannot be used: {len(problems)}. See the list; repair them or leave them out."]


def _balance_warnings(balance: pd.DataFrame) -> list[str]:
    sentences = []
    clips = balance["clips"]
    if len(balance) and clips.max() >= IMBALANCE_RATIO * clips.min():
        large, small = balance.iloc[0], balance.iloc[-1]
        sentences.append(
            f"Classes are uneven: '{large['label']}' has {large['clips']} clips, "
            f"'{small['label']}' {small['clips']}. Read macro scores."
        )
    scarce = balance[balance["groups"] < SCARCE_GROUPS]
    if len(scarce):
        classes = ", ".join(f"'{row.label}' ({row.groups})" for row in scarce.itertuples())
        sentences.append(f"Too few groups for five folds: {classes}. Add recordings from other sources.")
    return sentences


def _oddity_warnings(odd: pd.DataFrame) -> list[str]:
    return [f"Clips that are {kind}: {count}." for kind, count in odd["kind"].value_counts().items()]
