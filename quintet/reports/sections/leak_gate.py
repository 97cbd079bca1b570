"""Section "Leak gate": scores of the same members under several splits, and the gaps between the splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from quintet.model_folder.run import Run
from quintet.model_folder.scores import LeakGap, LeakGate
from quintet.reports.drawing import Drawing
from quintet.reports.figures.intervals import MISSING, Dot, protocol_figure
from quintet.reports.formats import SCORE_NAMES, format_list, format_signed, score_phrase
from quintet.reports.front.chance_range import PLAIN_MEAN, chance_range
from quintet.reports.report_data import ReportData
from quintet.reports.section import (
    Cell,
    Column,
    ColumnGroup,
    Download,
    Row,
    Section,
    Table,
    Text,
    grid,
    number_cell,
    sort_text,
)
from quintet.reports.style import to_svg
from quintet.reports.text import display_name, group_noun, unit

PROTOCOLS = {
    "random": "random folds",
    "group": "split by group",
    "sound": "blocks that sound alike",
    "given": "split of the data",
}
UNGROUPED = frozenset({"random"})
"""Protocols whose scores are marked wherever they are shown."""

MANY_PROTOCOLS = 3
"""Number of protocols from which on each score has a table of its own."""
GATE_COLUMNS = ["protocol", "member", "score", "value", "low", "high", "n", "n_groups"]


def leak_gate_section(data: ReportData) -> Section | None:
    """Scores under each protocol and their gaps; None if the run has no leak gate."""
    run, gate = data.run, data.run.results.leak_gate
    table = gate_table(run)
    if gate is None or table.empty:
        return None
    noun = group_noun(run)
    who = "The same members"
    if gate.probes:
        who = f"Members that are fitted quickly ({format_list([display_name(p, run) for p in gate.probes])})"
    introduction = (
        f"{who} on the same clips, split in {len(gate.protocols)} ways. If clips of one {noun} "
        f"are on both sides of a split, a member may recognise the {noun} instead of the class. "
        f"{chance_range(run.results) or gap_sentence(gate, run)}"
    )
    return Section(
        id="gate",
        title="Leak gate",
        contents="Leak gate",
        blocks=(Text(introduction), *grid(*gate_drawings(run)), *_gate_tables(run, gate, table)),
    )


def gate_scores(gate: LeakGate) -> list[str]:
    """Scores with gaps: AUC, and accuracy or, for label sets, PR AUC."""
    return list(dict.fromkeys(gap.score for gap in gate.gaps))


def gate_table(run: Run) -> pd.DataFrame:
    """One row per protocol, member and score, columns `GATE_COLUMNS`; no rows if the run has no leak gate."""
    gate = run.results.leak_gate
    rows = []
    for protocol, members in (gate.protocols if gate else {}).items():
        for member, scores in members.items():
            for key in gate_scores(gate) if gate else []:
                if key in scores.scores:
                    estimate = scores.scores[key]
                    interval = (estimate.value, estimate.low, estimate.high)
                    rows.append((protocol, member, key, *interval, scores.n, scores.n_groups))
    table = pd.DataFrame(rows, columns=GATE_COLUMNS)
    return table.astype({"value": float, "low": float, "high": float})


def gap_table(run: Run) -> pd.DataFrame:
    """The stored gaps: `from, to, member, n, n_groups, score, value, low, high, p_value`."""
    gate = run.results.leak_gate
    return pd.DataFrame([gap.to_json() for gap in gate.gaps] if gate else [])


def gap_sentence(gate: LeakGate, run: Run) -> str:
    """The gap of the plain mean of the members in words; empty if it has no interval."""
    protocols = list(gate.protocols)
    key = gate_scores(gate)[0]
    gap = _gaps(gate).get((PLAIN_MEAN, protocols[-1], key))
    if gap is None:
        return ""
    difference = gap.difference
    if not np.isfinite([difference.value, difference.low, difference.high]).all():
        return ""
    first, last = protocol_name(protocols[0]), protocol_name(protocols[-1])
    interval = f"[{format_signed(difference.low)}, {format_signed(difference.high)}]"
    change = f"{format_signed(difference.value)} {interval}"
    score = f"the {score_phrase(key)} of all members together"
    sentence = f"With “{first}” instead of “{last}”, {score} changes by {change}"
    if difference.low > 0:
        return f"{sentence}: so much comes from recognising the {unit(run)}, not the class."
    if difference.high < 0:
        return f"{sentence}: here “{first}” is the harder split."
    return f"{sentence}, which may be chance."


def protocol_name(protocol: str) -> str:
    """Name of a protocol on the page."""
    return PROTOCOLS.get(protocol, protocol)


def gate_drawings(run: Run) -> list[Drawing]:
    """One figure per score: members by row, one dot with its interval per protocol."""
    table = gate_table(run)
    keys = list(dict.fromkeys(table["score"]))
    return [_gate_drawing(run, str(key), table[table["score"] == key]) for key in keys]


def _gate_drawing(run: Run, key: str, rows: pd.DataFrame) -> Drawing:
    dots = _dots(rows)
    members = list(dict.fromkeys(rows["member"]))
    protocols = list(dict.fromkeys(rows["protocol"]))
    names = [_member_name(member, run) for member in members]
    series = {}
    for protocol in protocols:
        mark = " (ungrouped!)" if protocol in UNGROUPED else ""
        series[protocol_name(protocol) + mark] = [dots.get((protocol, member), MISSING) for member in members]
    listed = [_protocol_values(protocol, members, dots, run) for protocol in protocols]
    alt = f"{SCORE_NAMES[key]} of each member under {' and '.join(listed)}."
    svg = to_svg(protocol_figure(names, series), f"gate-{key}", alt)
    caption = f"Out-of-fold predictions, 95 % bootstrap intervals by {unit(run)}."
    return Drawing(f"gate-{key.replace('_', '-')}", svg, caption, rows, SCORE_NAMES[key])


def _dots(rows: pd.DataFrame) -> dict[tuple[str, str], Dot]:
    values = rows[["protocol", "member", "value", "low", "high"]].itertuples(index=False, name=None)
    return {(protocol, member): Dot(value, low, high) for protocol, member, value, low, high in values}


def _protocol_values(
    protocol: str, members: Sequence[str], dots: Mapping[tuple[str, str], Dot], run: Run
) -> str:
    present = [member for member in members if (protocol, member) in dots]
    values = [f"{_member_name(member, run)} {dots[protocol, member].value:.3f}" for member in present]
    return f"{protocol_name(protocol)} ({', '.join(values)})"


def _gate_tables(run: Run, gate: LeakGate, table: pd.DataFrame) -> list[Table]:
    """One table with two scores side by side, or one table per score if there are many protocols."""
    keys = gate_scores(gate)
    if len(gate.protocols) >= MANY_PROTOCOLS:
        return [_gate_block(run, gate, table, [key]) for key in keys]
    return [_gate_block(run, gate, table, keys[i : i + 2]) for i in range(0, len(keys), 2)]


def _gate_block(run: Run, gate: LeakGate, table: pd.DataFrame, keys: Sequence[str]) -> Table:
    protocols = list(gate.protocols)
    others = protocols[1:]
    dots = {key: _dots(table[table["score"] == key]) for key in keys}
    gaps = _gaps(gate)
    rows = []
    for member in dict.fromkeys(table["member"]):
        cells = []
        for key in keys:
            for protocol in protocols:
                dot = dots[key].get((protocol, member), MISSING)
                cells.append(number_cell(dot.value, low=dot.low, high=dot.high))
            cells += [_gap_cell(gaps.get((member, other, key))) for other in others]
        rows.append(Row(Cell(_member_name(member, run)), tuple(cells)))
    heads = [Column(protocol_name(name), numeric=True, ungrouped=name in UNGROUPED) for name in protocols]
    titles = [f"gap to {other}" for other in others] if len(others) > 1 else ["gap"] * len(others)
    heads += [Column(title, numeric=True) for title in titles]
    return Table(
        label=f"Leak gate: {SCORE_NAMES[keys[0]]}",
        columns=(Column(""), *(heads * len(keys))),
        rows=tuple(rows),
        caption="Out-of-fold scores under each split, and the gap on the same clips (paired 95 % interval).",
        groups=tuple(ColumnGroup(SCORE_NAMES[key], len(heads)) for key in keys),
        downloads=(Download("gate", table, "Scores"), Download("gate-gaps", gap_table(run), "Gaps")),
    )


def _gaps(gate: LeakGate) -> dict[tuple[str, str, str], LeakGap]:
    """Member, second protocol and score → gap."""
    return {(gap.member, gap.second, gap.score): gap for gap in gate.gaps}


def _gap_cell(gap: LeakGap | None) -> Cell:
    if gap is None:
        return Cell("–", sort="")
    difference = gap.difference
    notes: tuple[str, ...] = ()
    if np.isfinite(difference.low):
        notes = (f"{format_signed(difference.low)} – {format_signed(difference.high)}",)
    return Cell(format_signed(difference.value), notes, sort_text(difference.value))


def _member_name(name: str, run: Run) -> str:
    return "Plain mean" if name == PLAIN_MEAN else display_name(name, run)
