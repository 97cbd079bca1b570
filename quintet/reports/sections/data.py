"""Section "Data": clips per class and part, durations, and the failure ledger."""

from __future__ import annotations

import pandas as pd

from quintet.datasets.labels import label_set
from quintet.model_folder.run import Run
from quintet.reports.drawing import Drawing
from quintet.reports.figures.bars import histogram, stacked_counts
from quintet.reports.formats import count, format_duration
from quintet.reports.html import code_name
from quintet.reports.report_data import ReportData
from quintet.reports.section import (
    Blocks,
    Cell,
    Column,
    Download,
    Facts,
    Part,
    Row,
    Section,
    Table,
    Text,
    grid,
)
from quintet.reports.style import to_svg
from quintet.reports.text import group_noun, groups_known, kind, kinds

PART_TITLES = {"train": "training", "test": "held out"}
MAX_REASONS = 12
MAX_FAILURES = 10
REASON_COLUMNS = ["stage", "error", "reason"]


def data_section(data: ReportData) -> Section:
    """What the data of the run are, and which clips could not be used."""
    run = data.run
    reasons = failure_reasons(run.failures)
    return Section(
        id="data",
        title="Data",
        contents="Data",
        blocks=(
            Facts(tuple(data_facts(run))),
            *(Text(str(note)) for note in run.bundle.get("notes", ())),
            *grid(*data_drawings(run)),
            *_failure_blocks(run.failures, reasons),
        ),
        files=(Download("failures", run.failures), Download("failure-reasons", reasons)),
    )


def data_facts(run: Run) -> list[tuple[str, str]]:
    """Key figures of the data: `(name, value)`."""
    split = _used_clips(run)
    facts = [("clips used", f"{len(split):,}"), (kinds(run), str(len(run.classes)))]
    if groups_known(run) and "group" in split:
        n_groups = split["group"].nunique()
        facts.append((f"{group_noun(run)}s", f"{n_groups:,}"))
    if _has_durations(run):
        total_s = float(run.features["duration_s"].sum())
        facts.append(("duration", format_duration(total_s)))
    facts.append(("columns", f"{run.values.shape[1]:,}"))
    facts.append(("clips not usable", f"{len(run.failures):,}"))
    return facts


def _used_clips(run: Run) -> pd.DataFrame:
    return run.split[run.split["part"] != "unused"] if "part" in run.split else run.split


def _has_durations(run: Run) -> bool:
    return "duration_s" in run.features and bool(run.features["duration_s"].notna().any())


def data_drawings(run: Run) -> list[Drawing]:
    """Clips per class and part, and a histogram of durations."""
    drawings = []
    if len(_used_clips(run)):
        drawings.append(_class_drawing(run))
    if _has_durations(run):
        drawings.append(_duration_drawing(run))
    return drawings


def _class_drawing(run: Run) -> Drawing:
    split = _used_clips(run)
    noun = kind(run)
    counts = _clips_per_class(split)
    totals = ", ".join(f"{name} {int(n)}" for name, n in counts.sum(axis=1).items())
    alt = f"Clips per {noun}, training part and held-out part: {totals}."
    caption = "All clips are used for training and, out of fold, for scoring: no part was held out."
    if "held out" in counts:
        caption = "Grey: training part. Blue: held out."
        facts = run.results.split.validation
        if facts is not None:
            caption = f"Grey: train and validation part ({facts.n} clips). Blue: held out."
    if groups_known(run):
        caption += f" {count(split['group'].nunique(), group_noun(run))} in all."
    svg = to_svg(stacked_counts(counts), "data-classes", alt)
    return Drawing("data-classes", svg, caption, counts.reset_index(), f"Clips per {noun}")


def _clips_per_class(split: pd.DataFrame) -> pd.DataFrame:
    """Counts, rows are classes, columns are parts: training, held out, then any other."""
    sets = split["label"].astype(str).map(label_set)
    labels = split.assign(label=sets).explode("label")
    parts = labels["part"].map(PART_TITLES).fillna(labels["part"])
    counts = pd.crosstab(labels["label"].str.strip(), parts)
    titles = list(PART_TITLES.values())
    first = [title for title in titles if title in counts]
    return counts[[*first, *(column for column in counts if column not in titles)]]


def _duration_drawing(run: Run) -> Drawing:
    durations = run.features["duration_s"].astype(float)
    low, median, high = durations.quantile([0.05, 0.5, 0.95])
    alt = f"Durations of the clips: median {median:.1f} s."
    svg = to_svg(histogram(durations.to_list(), unit="seconds"), "data-durations", alt)
    caption = f"Median {median:.1f} s; 90 % of the clips between {low:.1f} and {high:.1f} s."
    numbers = durations.to_frame("duration_s").reset_index(names="id")
    return Drawing("data-durations", svg, caption, numbers, "Durations")


def failure_reasons(failures: pd.DataFrame) -> pd.DataFrame:
    """Failure ledger by stage, error and reason, most frequent first: `stage, error, reason, clips`."""
    if failures.empty:
        return pd.DataFrame(columns=[*REASON_COLUMNS, "clips"])
    keys = [column for column in REASON_COLUMNS if column in failures]
    filled = failures[keys].fillna("").astype(str)
    return filled.value_counts(sort=True).rename("clips").reset_index()


def _failure_blocks(failures: pd.DataFrame, reasons: pd.DataFrame) -> Blocks:
    if failures.empty:
        return (Text("Every clip could be used."),)
    title = f"{count(len(failures), 'clip')} could not be used"
    return (Part("failures", title, grid(_reasons_table(reasons), _ledger_table(failures))),)


def _reasons_table(reasons: pd.DataFrame) -> Table:
    records = reasons.head(MAX_REASONS).to_dict("records")
    rows = [Row(Cell(r["reason"]), (Cell(r["stage"]), Cell(str(r["clips"])))) for r in records]
    return Table(
        label="Reasons of failure",
        columns=(Column("Reason"), Column("Stage"), Column("Clips", numeric=True)),
        rows=tuple(rows),
        caption="By reason.",
        downloads=(Download("failure-reasons", reasons),),
        sticky=False,
    )


def _ledger_table(failures: pd.DataFrame) -> Table:
    records = failures.head(MAX_FAILURES).to_dict("records")
    rows = [Row(Cell(code_name(r["id"]), kind="id"), (Cell(str(r["reason"])),)) for r in records]
    return Table(
        label="First rows of the failure ledger",
        columns=(Column("Clip"), Column("Reason")),
        rows=tuple(rows),
        caption="First rows of the failure ledger.",
        downloads=(Download("failures", failures),),
        sticky=False,
    )
