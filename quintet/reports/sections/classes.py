"""Section "Classes": scores by class, the confusion matrix, ROC curves."""

from __future__ import annotations

import pandas as pd

from quintet.evaluation.ranking import rank_scores
from quintet.model_folder.run import Run
from quintet.reports.drawing import Drawing
from quintet.reports.figures.confusion import DENSE_NOTE, MAX_NUMBERED, NUMBERED_NOTE, confusion_html
from quintet.reports.figures.curves import roc_figure, roc_points
from quintet.reports.report_data import ReportData, main_confusions
from quintet.reports.section import (
    Blocks,
    Card,
    Cell,
    Column,
    Download,
    Grid,
    Panels,
    Row,
    Section,
    Table,
    bar_cell,
    name_rows,
)
from quintet.reports.style import to_svg
from quintet.reports.text import display_name, evaluation_part, inline_name, kind, kinds

CLASS_SCORES = {
    "precision": "Precision",
    "recall": "Recall",
    "f1": "F1",
    "auc": "AUC",
    "pr_auc": "PR AUC",
}
"""Scores of a class → their names."""

MAX_PANELS = 60
"""ROC curves on the page. If there are more classes, the table has all."""


def classes_section(data: ReportData) -> Section:
    """Scores by class, confusions and ROC curves."""
    run = data.run
    noun = kind(run)
    return Section(
        id="classes",
        title=f"Scores by {noun}",
        contents=kinds(run).capitalize(),
        blocks=(_class_table_block(run, data.confusions), *_confusion_blocks(data), *_roc_blocks(run)),
    )


def class_table(run: Run, counts: pd.DataFrame | None) -> pd.DataFrame:
    """One row per class: support, its scores, and the class that is most often predicted in its place.

    Args:
        run: the model folder.
        counts: the confusion matrix; None for label sets.
    """
    scores = run.report_scores
    rows = []
    for name in run.classes:
        support = scores.support.get(name, 0) if scores else 0
        row: dict[str, object] = {"class": name, "support": support}
        estimates = scores.per_class.get(name, {}) if scores else {}
        for key in CLASS_SCORES:
            if key in estimates:
                row[key] = estimates[key].value
        if counts is not None:
            row["taken_for"] = _main_confusion(counts, name)
        rows.append(row)
    return pd.DataFrame(rows)


def _main_confusion(counts: pd.DataFrame, name: str) -> str:
    wrong = counts.loc[name].drop(name)
    return f"{wrong.idxmax()} ({wrong.max()})" if wrong.max() > 0 else ""


def _class_table_block(run: Run, counts: pd.DataFrame | None) -> Table:
    table = class_table(run, counts)
    keys = [key for key in CLASS_SCORES if key in table]
    columns = [Column(kind(run).capitalize()), Column("Clips", numeric=True)]
    columns += [Column(CLASS_SCORES[key], numeric=True) for key in keys]
    if counts is not None:
        columns.append(Column("Most often predicted instead"))
    rows = []
    for record in table.to_dict("records"):
        cells = [Cell(str(record["support"]))]
        cells += [bar_cell(record[key]) for key in keys]
        if counts is not None:
            cells.append(Cell(record["taken_for"] or "–"))
        rows.append(Row(Cell(record["class"]), tuple(cells)))
    name = display_name(run.prediction_name, run)
    return Table(
        label=f"Table of {kinds(run)}",
        columns=tuple(columns),
        rows=tuple(rows),
        caption=f"{name} on {evaluation_part(run)} clips, each {kind(run)} against the rest.",
        downloads=(Download("classes", table),),
        stamped=True,
    )


def _confusion_blocks(data: ReportData) -> Blocks:
    counts = data.confusions
    if counts is None:
        return ()
    frequent = _frequent_confusions(counts, 20 if len(counts) > MAX_NUMBERED else 8)
    beside = (Card("Most frequent confusions", (frequent,)),) if frequent.rows else ()
    return (Grid((confusion_drawing(counts), *beside)),)


def confusion_drawing(counts: pd.DataFrame) -> Drawing:
    """The confusion matrix as a figure.

    Args:
        counts: `confusion_counts`.
    """
    caption = DENSE_NOTE if len(counts) > MAX_NUMBERED else NUMBERED_NOTE
    matrix = confusion_html(counts, "Confusion matrix")
    return Drawing("confusion", matrix, caption, name_rows(counts, "true"), "Confusion matrix")


def _frequent_confusions(counts: pd.DataFrame, limit: int) -> Table:
    totals = counts.sum(axis=1)
    rows = []
    for true, predicted, n in main_confusions(counts, limit):
        share = n / int(totals[true])
        rows.append(Row(Cell(true), (Cell(predicted), Cell(str(n)), bar_cell(share, text=f"{share:.0%}"))))
    return Table(
        label="Most frequent confusions",
        columns=(
            Column("True class"),
            Column("Predicted class"),
            Column("Clips", numeric=True),
            Column("Share of the class", numeric=True),
        ),
        rows=tuple(rows),
    )


def _roc_blocks(run: Run) -> Blocks:
    drawings = roc_drawings(run)
    if not drawings:
        return ()
    caption = (
        "Horizontal: false positive rate. Vertical: true positive rate. Blue: "
        f"{inline_name(run.prediction_name, run)}. Grey: the members and other ensembles. A perfect curve "
        "follows the top left corner. The diagonal is guessing."
    )
    title = f"ROC curve of each {kind(run)} against the rest"
    return (Panels("roc", title, tuple(drawings), caption, panel_columns(len(run.classes))),)


def panel_columns(n: int) -> int:
    """Panels per row: of 6, 5 and 4 the number that leaves the fewest empty places.

    Example:
        >>> panel_columns(10), panel_columns(6), panel_columns(3)
        (5, 6, 4)
    """
    if n <= 3:
        return 4
    return min((6, 5, 4), key=lambda columns: (-n % columns, -columns))


def roc_drawings(run: Run) -> list[Drawing]:
    """One ROC panel per class that has positive and negative examples."""
    chosen = run.report_predictions
    names = dict.fromkeys((run.prediction_name, *run.names))
    predictions = {name: run.parts[run.part][name].take(chosen.clip_ids) for name in names}
    truth = chosen.indicator()
    drawings = []
    for k, label in enumerate(run.classes[:MAX_PANELS]):
        positive = truth[:, k]
        if not 0 < positive.sum() < len(truth):
            continue
        curves = {}
        for name, table in predictions.items():
            curves[name] = roc_points(positive, table.probabilities[:, table.classes.index(label)])
        area = float(rank_scores(positive, chosen.probabilities[:, k]).auc)
        who = inline_name(run.prediction_name, run)
        alt = f"ROC curve of {label}: area {area:.3f} for {who}; the members in grey."
        svg = to_svg(roc_figure(curves, run.prediction_name, title=label, area=area), f"roc-{k}", alt)
        tables = [points.assign(name=name, **{"class": label}) for name, points in curves.items()]
        drawings.append(Drawing(f"roc-{k}", svg, "", pd.concat(tables), label))
    return drawings
