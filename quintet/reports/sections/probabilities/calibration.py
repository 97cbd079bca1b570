"""Section "Calibration": agreement of probabilities and frequencies, for the ensemble and each member."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from quintet.ensemble.calibration import Calibration
from quintet.evaluation.calibration_curve import calibration_points
from quintet.evaluation.losses import clip_losses
from quintet.evaluation.metrics import calibration_error, encode_labels
from quintet.explanation.member_value import CalibratedMember, calibrate_members
from quintet.model_folder.run import Run
from quintet.predictions.predictions import Predictions
from quintet.reports.drawing import Drawing
from quintet.reports.figures.calibration import calibration_figure, reliability_figure
from quintet.reports.formats import format_signed, number, rule_name
from quintet.reports.report_data import ReportData, correctness_and_confidence
from quintet.reports.section import Card, Cell, Column, Download, Row, Section, Table, Text, grid, number_cell
from quintet.reports.sections.scores import rank_names
from quintet.reports.style import to_svg
from quintet.reports.text import calibration_phrase, display_name, learnt_on, unit

METHODS = {"none": "not calibrated", "temperature": "temperature", "isotonic": "isotonic regression"}
CALIBRATION_SCORES = {"ece": "Calibration error", "log_loss": "Log loss", "brier": "Brier score"}
CHANGED_SCORES = {"log_loss": "log loss", "ece": "calibration error"}
CLEAR_TREND = 0.03
"""Mean gap between frequency and confidence from which on the caption names a direction."""


def calibration_section(data: ReportData) -> Section:
    """Calibration of the ensemble prediction, of the members, and of the members calibrated alone."""
    run = data.run
    members = calibrate_members(run)
    return Section(
        id="trust",
        title="Calibration of the probabilities",
        contents="Calibration",
        blocks=grid(
            calibration_drawing(run, data.calibration_error),
            _scores_card(run),
            reliability_drawing(run, members),
            _calibrated_card(run, members),
        ),
    )


def calibration_drawing(run: Run, error: float) -> Drawing:
    """Calibration curve of the ensemble prediction.

    Args:
        run: the model folder.
        error: its expected calibration error.
    """
    correct, confidence = correctness_and_confidence(run.report_predictions)
    points = calibration_points(confidence, correct)
    before = _points_before(run)
    trend = float(np.average(points["correct"] - points["confidence"], weights=points["n"]))
    tendency = "about right"
    if abs(trend) > CLEAR_TREND:
        tendency = "too low" if trend > 0 else "too high"
    alt = f"Calibration curve: confidence is {tendency}, expected calibration error {error:.3f}."
    svg = to_svg(calibration_figure(points, confidence, before), "calibration", alt)
    caption = (
        f"Each dot stands for about {int(points['n'].median())} clips: the mean confidence (horizontal) and "
        "the share of right predictions (vertical), with a 95 % Wilson interval. Above the dashed line "
        f"confidence is too low, below it too high. Here it is {tendency} (mean gap "
        f"{format_signed(trend, 2)}, expected calibration error {error:.3f})."
    )
    numbers = points
    if before is not None:
        caption += f" Hollow: before calibration (rule “{rule_name(run.best)}”)."
        numbers = pd.concat([points.assign(calibrated=True), before.assign(calibrated=False)])
    return Drawing("calibration", svg, caption, numbers, "Confidence and share of right predictions")


def _points_before(run: Run) -> pd.DataFrame | None:
    """Calibration curve of the chosen rule before calibration; None if it was not calibrated, or no clip has
    a prediction of it."""
    if run.prediction_name == run.best or run.calibration is None or run.calibration.method == "none":
        return None
    correct, confidence = correctness_and_confidence(run.parts[run.part][run.best])
    return calibration_points(confidence, correct) if len(confidence) else None


def _scores_card(run: Run) -> Card | None:
    """Calibration scores of every ensemble and member; None if none was scored."""
    measured = run.results.parts.get(run.part, {})
    rows = []
    for name in rank_names(run, ["ece"]):
        if name not in measured or "ece" not in measured[name].scores:
            continue
        scores = measured[name].scores
        cells = [number_cell(scores[key].value if key in scores else None) for key in CALIBRATION_SCORES]
        emphasis = "" if name in run.members else "ensemble"
        if name == run.prediction_name:
            emphasis += " chosen"
        rows.append(Row(Cell(display_name(name, run)), tuple(cells), emphasis.strip()))
    if not rows:
        return None
    heads = tuple(Column(title, numeric=True) for title in CALIBRATION_SCORES.values())
    table = Table("Calibration of members and ensembles", (Column("Name"), *heads), tuple(rows))
    explanation = (
        "Calibration error: mean gap between confidence and share of right predictions (15 bins). Log loss "
        "and Brier score penalise confident mistakes. Lower is better for all three. The mean of well "
        "calibrated members is usually not confident enough."
    )
    blocks: list[Table | Text] = [table, Text(explanation, kind="aside")]
    change = calibration_change(run)
    if change:
        blocks.append(Text(f"Effect of calibration. The ensemble prediction is {change}.", kind="aside"))
    return Card("Calibration scores", tuple(blocks))


def calibration_change(run: Run) -> str:
    """Log loss and calibration error before and after calibration; empty if there is no calibration."""
    calibration = run.calibration
    if run.prediction_name == run.best or calibration is None or calibration.method == "none":
        return ""
    ensemble = run.results.ensemble
    if run.part == "oof" and ensemble is not None and set(ensemble.fold_rules) - {run.best}:
        return ""  # some folds use another rule, so that the difference is not due to calibration alone
    scores = run.results.parts[run.part]
    before, after = scores[run.best].scores, scores[run.prediction_name].scores
    changes = []
    for key, name in CHANGED_SCORES.items():
        if key in before and key in after:
            changes.append(f"{name} {number(before[key].value)} → {number(after[key].value)}")
    return f"{calibration_phrase(run)}: {', '.join(changes)}" if changes else ""


def member_table(run: Run, members: Mapping[str, CalibratedMember]) -> pd.DataFrame:
    """One row per member: `member, method`, and `log_loss` and `ece`, each also `_after` calibration."""
    rows = []
    for name, member in members.items():
        row: dict[str, object] = {"member": name, "method": method_phrase(member.calibration)}
        for suffix, predictions in (("", member.before), ("_after", member.after)):
            row[f"log_loss{suffix}"] = _log_loss(run, predictions)
            correct, confidence = correctness_and_confidence(predictions)
            row[f"ece{suffix}"] = float(calibration_error(correct, confidence))
        rows.append(row)
    return pd.DataFrame(rows)


def _log_loss(run: Run, predictions: Predictions) -> float:
    rows = np.flatnonzero(predictions.scorable)
    labels = np.asarray(predictions.labels)[rows]
    target = encode_labels(labels, run.classes, multilabel=run.multilabel)
    return float(clip_losses(target, predictions.probabilities[rows]).mean())


def method_phrase(calibration: Calibration) -> str:
    """Name of a calibration: `temperature 0.76`, `isotonic regression` or `not calibrated`."""
    phrase = METHODS[calibration.method]
    return f"{phrase} {calibration.temperature:.2f}" if calibration.method == "temperature" else phrase


def reliability_drawing(run: Run, members: Mapping[str, CalibratedMember]) -> Drawing | None:
    """One small calibration curve per member, before and after; None for fewer than two members."""
    if len(members) < 2:
        return None
    curves: dict[str, tuple[pd.DataFrame, pd.DataFrame | None]] = {}
    numbers = []
    phrases = []
    for name, member in members.items():
        title = display_name(name, run)
        before, after = (_points(predictions) for predictions in (member.before, member.after))
        changed = member.calibration.method != "none"
        curves[title] = (after, before if changed else None)
        numbers.append(before.assign(member=name, calibrated=False))
        if changed:
            numbers.append(after.assign(member=name, calibrated=True))
        phrases.append(f"{title} {method_phrase(member.calibration)}")
    alt = f"Calibration curve of each member: {'; '.join(phrases)}."
    caption = (
        "Confidence of each member (horizontal) and its share of right predictions (vertical), with 95 % "
        f"Wilson intervals. Filled: calibrated alone, learnt {learnt_on(run)} and by {unit(run)}. "
        "Hollow: not calibrated. The ensemble fuses the members without this calibration. "
        "Only its own result is calibrated."
    )
    svg = to_svg(reliability_figure(curves), "reliability", alt)
    table = pd.concat(numbers, ignore_index=True)
    return Drawing("reliability", svg, caption, table, "Calibration curve of each member")


def _points(predictions: Predictions) -> pd.DataFrame:
    correct, confidence = correctness_and_confidence(predictions)
    return calibration_points(confidence, correct)


def _calibrated_card(run: Run, members: Mapping[str, CalibratedMember]) -> Card | None:
    """Scores of each member before and after its own calibration; None if no member has one."""
    table = member_table(run, members)
    if table.empty:
        return None
    rows = []
    for record in table.to_dict("records"):
        changed = record["method"] != METHODS["none"]
        cells = []
        for key in ("ece", "log_loss"):
            after = number_cell(record[f"{key}_after"])
            text = f"{number(record[key])} → {after.text}" if changed else after.text
            cells.append(Cell(text, sort=after.sort))
        rows.append(Row(Cell(display_name(record["member"], run), (record["method"],)), tuple(cells)))
    columns = (Column("Member"), Column("Calibration error", numeric=True), Column("Log loss", numeric=True))
    explanation = (
        f"Effect of a calibration of its own on each member, chosen and learnt {learnt_on(run)}. "
        "“Not calibrated”: "
        "calibration would not have helped."
    )
    download = Download("calibrated-members", table)
    return Card(
        "Members calibrated alone",
        (
            Table("Members before and after their own calibration", columns, tuple(rows)),
            Text(explanation, kind="aside", stamped=True, downloads=(download,)),
        ),
    )
