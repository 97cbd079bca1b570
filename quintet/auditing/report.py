"""Report of an audit: tables, text, JSON, and the groups to train with."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from quintet.auditing.balance import Spans
from quintet.auditing.duplicates import KINDS
from quintet.evaluation.telling import RowOrder
from quintet.files.atomic import replace_output
from quintet.files.display.notebook import notebook_html
from quintet.files.display.spreadsheets import exact_csv
from quintet.files.json_types import JsonObject

if TYPE_CHECKING:
    from quintet.auditing.labels.suspects import Suspects

SHOWN = 12  # rows of a long list that the text shows
JSON_TABLES = ("problems", "pairs", "balance", "oddities", "shortcuts", "telling_columns")


@dataclass(frozen=True, eq=False)
class AuditReport:
    """Findings about one corpus.

    Args:
        name: name of the source.
        clips: by clip id: `label`, `group` (that of the source) and the facts of the audio: `duration_s`,
            `native_sample_rate`, `native_channels`, `cutoff_hz`, `loudness_db`, `silence_share`,
            `clipped_share`, `audio_digest`. There are fewer columns if the audio is not available.
        problems: columns id, problem: clips that cannot be used.
        pairs: columns first, second, kind, agreement, shift_s, first_label, second_label, across_classes;
            pairs across classes first.
        groups: columns id, group: duplicates and the groups of the source together. A split must not divide
            them.
        balance: columns label, clips, share, groups.
        oddities: columns id, kind, detail.
        spans: minimum, median and maximum of lengths and levels; number of clips per rate and per number of
            channels.
        shortcuts: columns signal, auc, low, high, warning; empty if they cannot be measured.
        telling_columns: columns column, labels, clips, errors: features that identify classes by themselves.
            Empty for a source of audio.
        row_order: how the labels follow each other in the rows; None if the rows have no
            written order, as for a folder.
        warnings: findings that need a decision, as sentences.
        notes: how the source was read: columns that were ignored, spellings that were joined.
        suspects: labels that a trained model takes for wrong; None if no model was given.
    """

    name: str
    clips: pd.DataFrame
    problems: pd.DataFrame
    pairs: pd.DataFrame
    groups: pd.DataFrame
    balance: pd.DataFrame
    oddities: pd.DataFrame
    spans: Spans
    shortcuts: pd.DataFrame
    telling_columns: pd.DataFrame
    row_order: RowOrder | None
    warnings: tuple[str, ...]
    notes: tuple[str, ...] = ()
    suspects: Suspects | None = None

    @property
    def pairs_across_classes(self) -> pd.DataFrame:
        """Pairs with two labels, of which one is wrong."""
        return self.pairs[self.pairs["across_classes"]]

    @property
    def frame(self) -> pd.DataFrame:
        """One row per class: that of `balance`."""
        return self.balance

    def _repr_html_(self) -> str:
        return notebook_html(self._headline(), self.balance, notes=(*self.warnings, *self.notes))

    def to_json(self) -> JsonObject:
        """Everything except the table of clips, as plain values; None stands for NaN."""
        tables = {name: _table_to_json(getattr(self, name)) for name in JSON_TABLES}
        return {
            "name": self.name,
            "n": len(self.clips),
            "n_groups": int(self.groups["group"].nunique()),
            "warnings": list(self.warnings),
            "notes": list(self.notes),
            "spans": self.spans,
            **tables,
            "row_order": None if self.row_order is None else asdict(self.row_order),
            "groups": self._groups_of_several(),
            **({} if self.suspects is None else {"suspects": self.suspects.to_json()}),
        }

    def lines(self) -> list[str]:
        """The report as lines of plain text."""
        sections = {
            "Classes": _class_lines(self.balance),
            "Lengths, levels and formats": _span_lines(self.spans),
            "Duplicates": _pair_lines(self.pairs),
            "Odd clips": _oddity_lines(self.oddities),
            "Unusable": _problem_lines(self.problems),
            "AUC without any music": _shortcut_lines(self.shortcuts),
            "Columns that identify a class": _telling_lines(self.telling_columns),
        }
        lines = [self._headline()]
        for title, rows in sections.items():
            lines += _section(title, rows)
        if self.suspects is not None:
            lines += ["", "Labels that are probably wrong", f"  {self.suspects.headline}"]
            lines += _section("The most doubtful labels", self.suspects.lines())[1:]
        lines += _section("Warnings", list(self.warnings), shown=len(self.warnings))
        if self.notes:
            lines += _section("Notes", list(self.notes), shown=len(self.notes))
        return lines

    def _headline(self) -> str:
        counts = (
            f"{len(self.clips)} clips",
            f"{len(self.balance)} classes",
            f"{self.groups['group'].nunique()} groups",
            f"{len(self.problems)} unusable",
        )
        return f"{self.name}: {', '.join(counts)}"

    def _groups_of_several(self) -> dict[str, list[str]]:
        """Group → ids of its clips, for the groups of two clips or more."""
        has_several = self.groups["group"].duplicated(keep=False)
        groups = {}
        for group, clips in self.groups[has_several].groupby("group"):
            groups[str(group)] = clips["id"].tolist()
        return groups


def write_groups(report: AuditReport, path: str | os.PathLike[str]) -> None:
    """Write the groups as a CSV with the columns id and group, one row per usable clip.

    Args:
        report: the audit.
        path: the CSV file. Its folder is made if it is missing.
    """
    with replace_output(Path(path)) as file:
        file.write_text(exact_csv(report.groups), encoding="utf-8", newline="")


def _table_to_json(table: pd.DataFrame) -> list[JsonObject]:
    """Rows of a table as JSON objects."""
    text = table.to_json(orient="records", double_precision=15)
    rows: list[JsonObject] = json.loads(text)
    return rows


def _section(title: str, lines: list[str], *, shown: int = SHOWN) -> list[str]:
    """A title and the first lines of a list, indented."""
    if not lines:
        return ["", f"{title}: none"]
    indented = [f"  {line}" for line in lines[:shown]]
    n_more = len(lines) - shown
    if n_more > 0:
        indented.append(f"  … and {n_more} more")
    return ["", title, *indented]


def _class_lines(balance: pd.DataFrame) -> list[str]:
    return [
        f"{row.label}: {row.clips} clips ({row.share:.1%}), {row.groups} groups"
        for row in balance.itertuples()
    ]


def _span_lines(spans: Spans) -> list[str]:
    lines = []
    for name, span in spans.items():
        if set(span) == {"min", "median", "max"}:
            low, middle, high = span["min"], span["median"], span["max"]
            text = f"{low:.4g} to {high:.4g}, median {middle:.4g}"
        else:
            counts = [f"{value} ({count} clips)" for value, count in span.items()]
            text = ", ".join(counts)
        lines.append(f"{name}: {text}")
    return lines


def _oddity_lines(oddities: pd.DataFrame) -> list[str]:
    return [f"{row.id}: {row.kind}, {row.detail}" for row in oddities.itertuples()]


def _problem_lines(problems: pd.DataFrame) -> list[str]:
    return [f"{row.id}: {row.problem}" for row in problems.itertuples()]


def _pair_lines(pairs: pd.DataFrame) -> list[str]:
    lines = []
    for kind, count in pairs["kind"].value_counts().items():
        noun = "pairs" if count > 1 else "pair"
        lines.append(f"{count} {noun}: {KINDS[str(kind)]}")
    for pair in pairs.itertuples():
        labels = (
            f" with two labels, {pair.first_label} and {pair.second_label}" if pair.across_classes else ""
        )
        lines.append(f"{pair.first} = {pair.second} ({pair.kind}){labels}")
    return lines


def _shortcut_lines(shortcuts: pd.DataFrame) -> list[str]:
    lines = []
    for row in shortcuts.itertuples():
        mark = "  !" if row.warning else ""
        lines.append(f"{row.signal}: {row.auc:.3f} [{row.low:.3f}, {row.high:.3f}]{mark}")
    return lines


def _telling_lines(columns: pd.DataFrame) -> list[str]:
    lines = []
    for row in columns.itertuples():
        noun = "error" if row.errors == 1 else "errors"
        lines.append(f"{row.column}: {row.labels} ({row.errors} {noun}, {row.clips} clips)")
    return lines
