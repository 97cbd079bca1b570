"""Section "Doubtful labels": labels that are probably wrong, with the nearest clips of both classes."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from quintet.auditing.labels.suspects import Suspects
from quintet.reports.formats import number
from quintet.reports.front.sounds import button
from quintet.reports.html import code_name
from quintet.reports.report_data import ReportData
from quintet.reports.section import Cell, Code, Column, Download, Row, Section, Table, Text

SHOWN = 12
COMMANDS = (
    "quintet audit features.parquet --model MODEL --labels-to suspects.csv",
    "# fill in the column corrected",
    "quintet train features.parquet -o better --labels suspects.csv",
)


def doubtful_labels_section(data: ReportData) -> Section | None:
    """The labels with the least support; None if no clip has a label."""
    suspects = data.suspects
    if suspects is None or suspects.frame.empty:
        return None
    advice = "A rare kind of a class is doubted like a wrong label: listen first."
    return Section(
        id="doubtful-labels",
        title="Labels that are probably wrong",
        contents="Doubtful labels",
        blocks=(Text(f"{suspects.headline} {advice}"), _table(suspects), Code(COMMANDS)),
    )


def _table(suspects: Suspects) -> Table:
    rows = []
    for record in suspects.frame.head(SHOWN).to_dict("records"):
        cells = (
            _label_cell(record["label"], record["p_label"]),
            _label_cell(record["suggested"], record["p_suggested"], is_weak=not record["is_suspect"]),
            Cell(_clips(record["near_label"][:1]), kind="id"),
            Cell(_clips(record["near_suggested"][:1]), kind="id"),
        )
        rows.append(Row(Cell(_clips((record["id"],)), kind="id"), cells))
    heads = ("Clip", "Label", "Rather", "Nearest with the label", "Nearest with the suggestion")
    frame = suspects.frame.assign(
        near_label=suspects.frame["near_label"].map(" | ".join),
        near_suggested=suspects.frame["near_suggested"].map(" | ".join),
    )
    return Table(
        label="Table of doubtful labels",
        columns=tuple(map(Column, heads)),
        rows=tuple(rows),
        caption="Labels with the least support first, and probabilities. Nearest clips are of other groups.",
        downloads=(Download("doubtful-labels", frame),),
        sticky=False,
    )


def _label_cell(label: str, probability: float, *, is_weak: bool = False) -> Cell:
    """A label with its probability; weak is a suggestion that does not reach its threshold."""
    return Cell(label or "no tag", (number(probability, 2),), flag="weak" if is_weak else "")


def _clips(ids: Sequence[str]) -> Markup:
    """Names of clips, each with a button that plays it; the page removes buttons without a sound."""
    parts = [button(clip) + code_name(clip) for clip in ids]
    return Markup("<br>").join(parts) if parts else Markup("–")
