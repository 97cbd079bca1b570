"""Section "Out of class": clips of known classes that would be flagged as none of the classes."""

from __future__ import annotations

import numpy as np
import pandas as pd

from quintet.model_folder.run import Run
from quintet.reports.drawing import Drawing
from quintet.reports.figures.intervals import out_of_class_figure
from quintet.reports.formats import count
from quintet.reports.report_data import ReportData
from quintet.reports.section import Card, Section, Text, grid
from quintet.reports.style import to_svg
from quintet.reports.text import evaluation_part

CONFIDENCE = 0.9
MAX_CLASSES = 24
"""Classes in the figure: those with the highest scores. The numbers have all classes."""
COLUMNS = ["clip_id", "class", "right", "out_of_class", "distance"]


def out_of_class_section(data: ReportData) -> Section | None:
    """Out-of-class scores of clips of known classes; None for label sets and in older folders."""
    drawing = out_of_class_drawing(data.run)
    if drawing is None:
        return None
    method = (
        "The out-of-class score is between 0 and 1. It combines the probabilities and, if the model "
        "measures it, the distance of the clip from all classes in feature space."
    )
    limit = (
        "The figure does not show how clips of unknown classes are scored. To find out, leave one class out "
        "of the training data and predict its clips."
    )
    return Section(
        id="out-of-class",
        title="Known-class clips flagged as out of class",
        contents="Out of class",
        blocks=grid(drawing, Card("How to read the out-of-class score", (Text(method), Text(limit)))),
    )


def out_of_class_table(run: Run) -> pd.DataFrame:
    """One row per clip of the report: `clip_id, class, right, out_of_class, distance`.

    There are no rows for label sets, and in folders that are older than the score.
    """
    predictions = run.report_predictions
    if run.out_of_class.empty or not predictions.scorable.any():
        return pd.DataFrame(columns=COLUMNS)
    rows = np.flatnonzero(predictions.scorable)
    ids = predictions.clip_ids[rows]
    scores = run.out_of_class_of(ids)
    predicted = predictions.probabilities[rows].argmax(axis=1)
    columns = {
        "clip_id": ids,
        "class": np.asarray(predictions.labels)[rows],
        "right": predicted == predictions.codes()[rows],
        "out_of_class": scores["out_of_class"].to_numpy(),
        "distance": scores["distance"].to_numpy(),
    }
    return pd.DataFrame(columns)


def out_of_class_drawing(run: Run) -> Drawing | None:
    """Out-of-class score of every clip of the report, one row per class; None if there are no scores."""
    table = out_of_class_table(run)
    if table.empty:
        return None
    flagged = table["out_of_class"] >= CONFIDENCE
    by_class = table.assign(flagged=flagged).groupby("class")
    order = by_class.agg(flagged=("flagged", "mean"), mean=("out_of_class", "mean"))
    names = order.sort_values(["flagged", "mean"], ascending=False).index.tolist()
    n_flagged = int(flagged.sum())
    share = f"{n_flagged} of {len(table)} ({flagged.mean():.0%})"
    verb = "is" if n_flagged == 1 else "are"
    alt = (
        f"Out-of-class score by class: {count(n_flagged, 'clip')} of {len(table)} at {CONFIDENCE:g} or more."
    )
    caption = (
        f"Out-of-class score of each {evaluation_part(run)} clip. All clips are of known classes. {share} "
        f"{verb} flagged as “none of these” at {CONFIDENCE:g} (right of the line), where the guarantee "
        f"allows one in ten.{_accuracy_of_flagged(table, flagged)}"
    )
    if len(names) > MAX_CLASSES:
        caption += f" Shown: the {MAX_CLASSES} classes with the highest scores of {len(names)}."
    figure = out_of_class_figure(table, names[:MAX_CLASSES], confidence=CONFIDENCE)
    return Drawing("strange", to_svg(figure, "strange", alt), caption, table, "Out-of-class score by class")


def _accuracy_of_flagged(table: pd.DataFrame, flagged: pd.Series) -> str:
    """Accuracy of the flagged clips and of the other clips; empty without a comparison."""
    if not flagged.any() or flagged.all():
        return ""
    right = table["right"]
    n = int(right[flagged].sum())
    verb = "has" if n == 1 else "have"
    others = f"{right[~flagged].mean():.0%}"
    return f" Of the flagged clips, {n} {verb} the right class on top; of the other clips, {others}."
