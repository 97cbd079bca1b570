"""What an audit found: tables, sentences, JSON, and the groups to train with."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from quintet.audit.duplicates import KINDS

SHOWN = 12  # rows of a long list that the text names


@dataclass(frozen=True, eq=False)
class AuditReport:
    """The findings about one corpus.

    Args:
        name: what the source is called.
        clips: indexed by id: `label`, `group` (as it was), and what was heard: `duration_s, native_sample_rate, native_channels, cutoff_hz,
            loudness_db, silence_share, clipped_share, audio_digest`; fewer columns where no audio was at hand.
        problems: columns id, problem: clips that cannot be used.
        pairs: columns first, second, kind, agreement, shift_s, first_label, second_label, across_classes; those across classes first.
        groups: columns id, group: what must never part, duplicates and known groups together.
        balance: columns label, clips, share, groups.
        oddities: columns id, kind, detail.
        spans: quantiles and counts of lengths, rates, channels, levels.
        shortcuts: columns signal, auc, low, high, warning; empty where they cannot be measured.
        warnings: what to do something about, as sentences.
        notes: how the source was read: columns and spellings that were set aside or joined.
    """

    name: str
    clips: pd.DataFrame
    problems: pd.DataFrame
    pairs: pd.DataFrame
    groups: pd.DataFrame
    balance: pd.DataFrame
    oddities: pd.DataFrame
    spans: dict[str, Any]
    shortcuts: pd.DataFrame
    warnings: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def pairs_across_classes(self) -> pd.DataFrame:
        """The pairs under two labels: one of them is wrong somewhere."""
        return self.pairs[self.pairs["across_classes"]]

    def to_json(self) -> dict[str, Any]:
        """Everything but the table of clips, as plain values; NaN is None."""
        tables = {
            name: getattr(self, name) for name in ("problems", "pairs", "balance", "oddities", "shortcuts")
        }
        several = self.groups["group"].duplicated(keep=False)
        joined = {str(group): part["id"].tolist() for group, part in self.groups[several].groupby("group")}
        return {
            "name": self.name,
            "n": len(self.clips),
            "n_groups": int(self.groups["group"].nunique()),
            "warnings": list(self.warnings),
            "notes": list(self.notes),
            "spans": self.spans,
            **{
                name: json.loads(table.to_json(orient="records", double_precision=15))
                for name, table in tables.items()
            },
            "groups": joined,
        }

    def lines(self) -> list[str]:
        """The report as lines of plain text."""
        n_groups = self.groups["group"].nunique()
        return [
            f"{self.name}: {len(self.clips)} clips, {len(self.balance)} classes, {n_groups} groups, {len(self.problems)} unusable",
            *_titled(
                "Classes",
                [
                    f"{r.label}: {r.clips} clips ({r.share:.1%}), {r.groups} groups"
                    for r in self.balance.itertuples()
                ],
            ),
            *_titled("What the clips are like", [_span(name, value) for name, value in self.spans.items()]),
            *_titled("Duplicates", _pair_lines(self.pairs)),
            *_titled(
                "Clips that stand out", [f"{r.id}: {r.kind}, {r.detail}" for r in self.oddities.itertuples()]
            ),
            *_titled("Unusable", [f"{r.id}: {r.problem}" for r in self.problems.itertuples()]),
            *_titled("AUC without any music", [_shortcut_line(r) for r in self.shortcuts.itertuples()]),
            *_titled("Warnings", list(self.warnings), shown=len(self.warnings)),
            *(_titled("Notes", list(self.notes), shown=len(self.notes)) if self.notes else []),
        ]


def write_groups(report: AuditReport, path: str | os.PathLike[str]) -> None:
    """The groups as a CSV with the columns id and group, one row per usable clip: what must not stand on two sides of a split."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    report.groups.to_csv(target, index=False)


def _titled(title: str, lines: list[str], *, shown: int = SHOWN) -> list[str]:
    if not lines:
        return ["", f"{title}: none"]
    more = [f"  … and {len(lines) - shown} more"] if len(lines) > shown else []
    return ["", title, *(f"  {line}" for line in lines[:shown]), *more]


def _span(name: str, value: dict[str, Any]) -> str:
    if set(value) == {"min", "median", "max"}:
        return f"{name}: {value['min']:.4g} to {value['max']:.4g}, median {value['median']:.4g}"
    return f"{name}: " + ", ".join(f"{key} ({count} clips)" for key, count in value.items())


def _pair_lines(pairs: pd.DataFrame) -> list[str]:
    lines = [
        f"{count} pair{'s' if count > 1 else ''}: {KINDS[str(kind)]}"
        for kind, count in pairs["kind"].value_counts().items()
    ]
    for r in pairs.itertuples():
        labels = f" under two labels, {r.first_label} and {r.second_label}" if r.across_classes else ""
        lines.append(f"{r.first} = {r.second} ({r.kind}){labels}")
    return lines


def _shortcut_line(row: Any) -> str:
    return f"{row.signal}: {row.auc:.3f} [{row.low:.3f}, {row.high:.3f}]{'  !' if row.warning else ''}"
