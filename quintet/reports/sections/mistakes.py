"""Section "Mistakes": the wrong predictions with the highest confidence."""

from __future__ import annotations

import numpy as np
import pandas as pd

from quintet.model_folder.run import ENSEMBLE_PREDICTION, Run
from quintet.reports.html import code_name
from quintet.reports.report_data import ReportData
from quintet.reports.section import Cell, Column, Download, Row, Section, Table, Text, number_cell
from quintet.reports.text import display_name, group_noun, groups_known


def mistakes_section(data: ReportData) -> Section | None:
    """Wrong predictions, most confident first; None for label sets and if there is no mistake."""
    run = data.run
    if run.multilabel:
        return None
    table = mistakes(run)
    if table.empty:
        return None
    advice = (
        "Check these clips first: a wrong label, an unusual recording, or a property that the features do "
        "not describe."
    )
    return Section(
        id="mistakes",
        title="Most confident mistakes",
        contents="Mistakes",
        blocks=(Text(advice), _mistakes_block(run, table)),
    )


def mistakes(run: Run, limit: int = 12) -> pd.DataFrame:
    """Wrong predictions with the highest probability.

    Args:
        run: the model folder.
        limit: largest number of rows.

    Returns:
        Columns `clip_id, group, label, verdict, confidence, probability_of_label, members_agreeing`.
    """
    predictions = run.report_predictions
    codes = predictions.codes()
    predicted = predictions.probabilities.argmax(axis=1)
    confidence = predictions.probabilities.max(axis=1)
    wrong = np.flatnonzero((codes >= 0) & (codes != predicted))
    wrong = wrong[np.argsort(-confidence[wrong], kind="stable")][:limit]
    agreeing = np.zeros(len(predictions), dtype=int)
    for name in run.members:
        member = run.parts[run.part][name].take(predictions.clip_ids)
        agreeing += member.probabilities.argmax(axis=1) == predicted
    classes = np.array(predictions.classes, dtype=object)
    columns = {
        "clip_id": predictions.clip_ids[wrong],
        "group": predictions.groups[wrong] if predictions.groups is not None else "",
        "label": classes[codes[wrong]],
        "verdict": classes[predicted[wrong]],
        "confidence": confidence[wrong],
        "probability_of_label": predictions.probabilities[wrong, codes[wrong]],
        "members_agreeing": agreeing[wrong],
    }
    return pd.DataFrame(columns)


def _mistakes_block(run: Run, table: pd.DataFrame) -> Table:
    with_groups = groups_known(run)
    rows = []
    for record in table.to_dict("records"):
        cells = [
            Cell(record["label"]),
            Cell(record["verdict"]),
            number_cell(record["confidence"], 2),
            number_cell(record["probability_of_label"], 2),
            Cell(f"{record['members_agreeing']} of {len(run.members)}"),
        ]
        if with_groups:
            is_own = record["group"] == record["clip_id"]
            cells.insert(0, Cell("–" if is_own else str(record["group"])))
        rows.append(Row(Cell(code_name(record["clip_id"]), kind="id"), tuple(cells)))
    columns = [
        Column("Label"),
        Column("Prediction"),
        Column("Confidence", numeric=True),
        Column("Probability of the label", numeric=True),
        Column("Members that agree", numeric=True),
    ]
    if with_groups:
        columns.insert(0, Column(group_noun(run).capitalize()))
    subject = ""
    if run.prediction_name != ENSEMBLE_PREDICTION:
        subject = f" of {display_name(run.best, run)}"
    return Table(
        label="Table of the most confident mistakes",
        columns=(Column("Clip"), *columns),
        rows=tuple(rows),
        caption=f"Wrong predictions{subject}, most confident first.",
        downloads=(Download("mistakes", table),),
        sticky=False,
    )
