"""What to do something about: the findings of an audit as sentences."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from quintet.audit.balance import IMBALANCE_RATIO, SCARCE_GROUPS
from quintet.audit.duplicates import KINDS
from quintet.audit.shortcuts import ALL_SIGNALS, HIGH_AUC


def warnings(
    problems: pd.DataFrame,
    pairs: pd.DataFrame,
    known: Mapping[str, str],
    balance: pd.DataFrame,
    odd: pd.DataFrame,
    shortcuts: pd.DataFrame,
) -> list[str]:
    """The sentences, the gravest first. For the tables see `AuditReport`; `known` is clip id → group, empty where no groups were known.

    Example:
        >>> nothing = pd.DataFrame(columns=["first", "second", "kind", "across_classes", "warning", "clips", "groups"])
        >>> warnings(pd.DataFrame({"id": ["a"], "problem": ["file not found"]}), nothing, {}, nothing, nothing, nothing)
        ['Clips that cannot be used: 1. See the list; repair them or leave them out.']
    """
    unusable = (
        [f"Clips that cannot be used: {len(problems)}. See the list; repair them or leave them out."]
        if len(problems)
        else []
    )
    return [
        *_label_warnings(pairs),
        *_shortcut_warnings(shortcuts),
        *_duplicate_warnings(pairs, known),
        *unusable,
        *_balance_warnings(balance),
        *[f"Clips that are {kind}: {count}." for kind, count in odd["kind"].value_counts().items()],
    ]


def _label_warnings(pairs: pd.DataFrame) -> list[str]:
    return [
        f"A label is wrong somewhere: {r.first} ({r.first_label}) and {r.second} ({r.second_label}) are the {r.kind}."
        for r in pairs[pairs["across_classes"].astype(bool)].itertuples()
    ]


def _duplicate_warnings(pairs: pd.DataFrame, known: Mapping[str, str]) -> list[str]:
    found = [
        f"Pairs of duplicates: {count} ({KINDS[str(kind)]}). Keep each on one side of a split: train with the groups of this audit."
        for kind, count in pairs["kind"].value_counts().items()
    ]
    parted = (
        sum(
            known.get(a) != known.get(b)
            for a, b in zip(pairs["first"].tolist(), pairs["second"].tolist(), strict=True)
        )
        if known
        else 0
    )
    return (
        [
            *found,
            f"Duplicates that stand in different groups: {parted} pairs. The groups of this audit join them.",
        ]
        if parted
        else found
    )


def _balance_warnings(balance: pd.DataFrame) -> list[str]:
    found = []
    if len(balance) and balance["clips"].max() >= IMBALANCE_RATIO * balance["clips"].min():
        large, small = balance.iloc[0], balance.iloc[-1]
        found.append(
            f"Classes are uneven: '{large['label']}' has {large['clips']} clips, '{small['label']}' {small['clips']}. Read macro scores."
        )
    scarce = balance[balance["groups"] < SCARCE_GROUPS]
    if len(scarce):
        named = ", ".join(f"'{r.label}' ({r.groups})" for r in scarce.itertuples())
        found.append(f"Too few groups for five folds: {named}. Add recordings from other sources.")
    return found


def _shortcut_warnings(shortcuts: pd.DataFrame) -> list[str]:
    return [
        f"Shortcut: {r.signal} tell{'' if r.signal == ALL_SIGNALS else 's'} the class with an AUC of {r.auc:.2f} [{r.low:.2f}, {r.high:.2f}] "
        f"without any music (warned above {HIGH_AUC}). Make the classes alike in it, or expect scores that do not carry over."
        for r in shortcuts[shortcuts["warning"].astype(bool)].itertuples()
    ]
