"""The leak gate on the page: the same members under several splits, and the gap that is memory rather than music."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from quintet.model_folder.run import Run
from quintet.reports.drawing import Drawing
from quintet.reports.figures.intervals import Dot, protocol_figure
from quintet.reports.style import to_svg
from quintet.reports.text import SCORE_NAMES, display_name, format_signed, score_phrase, unit

Gaps = dict[tuple[str, str, str], dict[Any, Any]]
PROTOCOLS = {"random": "random folds", "group": "split by group", "given": "split of the data"}
UNGROUPED = frozenset({"random"})
"""Protocols whose scores carry the stamp wherever they are shown."""


def gate_scores(run: Run) -> list[str]:
    """The scores whose gaps the run recorded: accuracy, or PR AUC of label sets, and AUC."""
    return list(dict.fromkeys(gap["score"] for gap in run.scores.get("leak_gate", {}).get("gaps", [])))


def gate_table(run: Run) -> pd.DataFrame:
    """One row per protocol, member and score: `protocol, member, score, value, low, high, n, n_groups`; empty where no gate was run."""
    rows = [
        (
            protocol,
            member,
            key,
            *(content["scores"][key].get(end) for end in ("value", "low", "high")),
            content.get("n"),
            content.get("n_groups"),
        )
        for protocol, members in run.scores.get("leak_gate", {}).get("protocols", {}).items()
        for member, content in members.items()
        for key in gate_scores(run)
        if key in content["scores"]
    ]
    columns = ["protocol", "member", "score", "value", "low", "high", "n", "n_groups"]
    return pd.DataFrame(rows, columns=columns).astype({"value": float, "low": float, "high": float})


def gap_table(run: Run) -> pd.DataFrame:
    """The gaps as stored: `from, to, member, score, value, low, high, n, n_groups, p_value`."""
    return pd.DataFrame(run.scores.get("leak_gate", {}).get("gaps", []))


def gate_drawings(run: Run) -> list[Drawing]:
    """One figure per score: members by row, one dot with its interval per protocol."""
    table = gate_table(run)
    drawings = []
    for key in dict.fromkeys(table["score"]):
        rows = table[table["score"] == key]
        members = list(dict.fromkeys(rows["member"]))
        cells = {
            (r["protocol"], r["member"]): Dot(*(float(r[end]) for end in ("value", "low", "high")))
            for r in rows.to_dict("records")
        }
        protocols = list(dict.fromkeys(rows["protocol"]))
        dots = {
            protocol_name(p) + (" (ungrouped!)" if p in UNGROUPED else ""): [
                cells.get((p, m), Dot(np.nan, np.nan, np.nan)) for m in members
            ]
            for p in protocols
        }
        alt = f"{SCORE_NAMES[key]} of each member under " + " and ".join(
            f"{protocol_name(p)} ({', '.join(f'{_who(m, run)} {cells[p, m].value:.3f}' for m in members if (p, m) in cells)})"
            for p in protocols
        )
        svg = to_svg(protocol_figure([_who(m, run) for m in members], dots), f"gate-{key}", alt + ".")
        caption = f"Out-of-fold predictions, 95 % bootstrap intervals by {unit(run)}."
        drawings.append(Drawing(f"gate-{key.replace('_', '-')}", svg, caption, rows, SCORE_NAMES[key]))
    return drawings


def gate_view(run: Run) -> dict[str, Any] | None:
    """What the page's table shows: protocols, scores, and per member the cells and gaps; None where no gate was run."""
    table, gaps = gate_table(run), gap_table(run)
    if table.empty:
        return None
    cells = {(r["member"], r["protocol"], r["score"]): r for r in table.to_dict("records")}
    found: Gaps = {
        (str(r["member"]), str(r["to"]), str(r["score"])): dict(r) for r in gaps.to_dict("records")
    }
    protocols, keys = list(dict.fromkeys(table["protocol"])), list(dict.fromkeys(table["score"]))
    return {
        "protocols": [{"name": p, "text": protocol_name(p), "ungrouped": p in UNGROUPED} for p in protocols],
        "first": protocols[0],
        "others": protocols[1:],
        "keys": keys,
        "rows": [
            {"name": _who(m, run), "cells": {k: {p: cells.get((m, p, k)) for p in protocols} for k in keys},
             "gaps": {k: {p: found.get((m, p, k)) for p in protocols[1:]} for k in keys}}
            for m in dict.fromkeys(table["member"])
        ],
        "sentence": _sentence(found, protocols, keys[0], run),
        "single_groups": [protocol_name(p) for p in protocols if int(table.loc[table["protocol"] == p, "n_groups"].fillna(0).max()) < 2],
    }  # fmt: skip


def _sentence(gaps: Gaps, protocols: list[str], key: str, run: Run) -> str:
    """What the gap of the plain mean says, in words."""
    gap = gaps.get(("mean", protocols[-1], key))
    if gap is None or any(gap[end] is None or np.isnan(gap[end]) for end in ("value", "low", "high")):
        return ""
    first, last = protocol_name(protocols[0]), protocol_name(protocols[-1])
    bounds = f"{format_signed(gap['value'])} [{format_signed(gap['low'])}, {format_signed(gap['high'])}]"
    size = f"Going from {last} to {first} changes the {score_phrase(key)} of their plain mean by {bounds}"
    if gap["low"] > 0:
        return f"{size}: so much of it is knowing the {unit(run)} again, and not the class."
    if gap["high"] < 0:
        return f"{size}: here {first} is the harder division."
    return f"{size}: a gap that may be chance."


def protocol_name(protocol: str) -> str:
    """What a protocol is called on the page."""
    return PROTOCOLS.get(protocol, protocol)


def _who(name: str, run: Run) -> str:
    return "Plain mean" if name == "mean" else display_name(name, run)
