"""Section "Published scores": scores from a paper beside those of this run, with both protocols."""

from __future__ import annotations

import pandas as pd

from quintet.evaluation.scores import Estimate
from quintet.model_folder.run import Run
from quintet.reports.formats import SCORE_NAMES, rule_name
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
    number_cell,
)
from quintet.reports.text import display_name, split_note

MISSING = Estimate(float("nan"), float("nan"), float("nan"))
NUMBERS = ("published", "value", "low", "high")


def published_section(data: ReportData) -> Section | None:
    """Published scores beside the scores of this run; None if the recipe names none."""
    run = data.run
    table = published_table(run)
    if table.empty:
        return None
    return Section(
        id="published",
        title="Published scores and the scores of this run",
        contents="Published",
        blocks=(Text(_protocols(run)), _published_block(run, table)),
    )


def published_table(run: Run) -> pd.DataFrame:
    """One row per member and published score: `member, score, published, value, low, high`."""
    published = run.results.published
    measured = run.results.parts.get(run.part, {})
    rows = []
    for member, scores in (published.scores if published else {}).items():
        for key, value in scores.items():
            estimate = measured[member].scores.get(key, MISSING) if member in measured else MISSING
            rows.append((member, key, value, estimate.value, estimate.low, estimate.high))
    table = pd.DataFrame(rows, columns=["member", "score", *NUMBERS])
    return table.astype(dict.fromkeys(NUMBERS, float))


def _protocols(run: Run) -> str:
    """Source of the published scores, and how they and ours were evaluated."""
    published = run.results.published
    if published is None:
        return ""
    stamp = split_note(run).short
    if run.part == "test":
        evaluation = "scored on a held-out test part"
    else:
        folds = run.results.split.n_folds or "several"
        evaluation = f"scored on out-of-fold predictions of {folds} folds"
    ours = f"{stamp[0].lower()}{stamp[1:]}, {evaluation}"
    if published.data:
        ours = f"{published.data}; {ours}"
    return (
        f"Source: {published.source or 'not named'}. Published protocol: {published.protocol}. Protocol of "
        f"this run: {ours}. Scores of different protocols and data do not measure the same thing."
    )


def _published_block(run: Run, table: pd.DataFrame) -> Table:
    keys = list(dict.fromkeys(table["score"]))
    records = {(row["member"], row["score"]): row for row in table.to_dict("records")}
    rows = []
    for member in dict.fromkeys(table["member"]):
        numbers = []
        for key in keys:
            row = records.get((member, key))
            if row is None:
                numbers += [number_cell(None), number_cell(None)]
            else:
                measured = number_cell(row["value"], low=row["low"], high=row["high"])
                numbers += [number_cell(row["published"]), measured]
        rows.append(Row(Cell(display_name(str(member), run)), tuple(numbers)))
    heads = (Column("Published", numeric=True), Column("This run", numeric=True))
    return Table(
        label="Published scores beside those of this run",
        columns=(Column("Member"), *(heads * len(keys))),
        rows=tuple(rows),
        caption="Values of this run with their 95 % intervals.",
        groups=tuple(ColumnGroup(SCORE_NAMES.get(key, rule_name(key)), 2) for key in keys),
        downloads=(Download("published", table),),
        stamped=True,
    )
