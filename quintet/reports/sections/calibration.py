"""Whether each member's probabilities can be believed, as they are and calibrated by themselves, out of fold: from the stored predictions alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quintet.ensemble.calibration import cross_calibrate, fit_calibration
from quintet.evaluation.metrics import calibration_error, clip_losses, encode_labels
from quintet.model_folder.run import Run
from quintet.predictions.predictions import Predictions
from quintet.reports.drawing import Drawing, correctness_and_confidence
from quintet.reports.figures.calibration import calibration_points, reliability_figure
from quintet.reports.style import to_svg
from quintet.reports.text import display_name, unit

METHODS = {"none": "as it is", "temperature": "temperature", "isotonic": "isotonic regression"}


def calibrated_members(run: Run) -> dict[str, tuple[str, Predictions, Predictions]]:
    """Member → how it was calibrated, and its predictions on the clips that the report is about, before and after.

    The method is chosen and its map learnt on the out-of-fold predictions, on the folds of the run. Without a test part each row is calibrated
    by a map that was learnt on the other folds. Members whose folds are not known are left out.
    """
    fold = (
        run.split.set_index("id")["fold"]
        if {"id", "fold"} <= set(run.split.columns)
        else pd.Series(dtype=int)
    )
    found = {}
    for name in run.members:
        oof, judged = run.oof.get(name), run.parts[run.part][name]
        if oof is None or oof.labels is None or not set(oof.clip_ids) <= set(fold.index):
            continue
        oof = oof.take(oof.clip_ids[oof.scorable])
        own = fold.loc[list(oof.clip_ids)].to_numpy()
        folds = [(np.flatnonzero(own != k), np.flatnonzero(own == k)) for k in np.unique(own)]
        options: dict[str, Any] = {"classes": run.classes, "multilabel": run.multilabel, "folds": folds}
        truth = (_in_order(oof, run.classes), np.asarray(oof.labels), _units(run, oof))
        calibration = fit_calibration(*truth, **options)
        if run.part == "test":
            after = calibration.apply(_in_order(judged, run.classes))
        else:
            judged, after = oof, cross_calibrate(*truth, method=calibration.method, **options)
        method = METHODS[calibration.method] + (
            f" {calibration.temperature:.2f}" if calibration.method == "temperature" else ""
        )
        before = Predictions(
            judged.clip_ids,
            run.classes,
            _in_order(judged, run.classes),
            judged.labels,
            judged.groups,
            judged.multilabel,
        )
        found[name] = (method, before, before.with_probabilities(after))
    return found


def member_table(run: Run, found: dict[str, tuple[str, Predictions, Predictions]]) -> pd.DataFrame:
    """One row per member: `member, method`, and `log_loss` and `ece`, each also `_after`."""
    rows = []
    for name, (method, before, after) in found.items():
        row: dict[str, Any] = {"member": name, "method": method}
        for suffix, p in (("", before), ("_after", after)):
            kept = np.flatnonzero(p.scorable)
            target = encode_labels(np.asarray(p.labels)[kept], run.classes, multilabel=run.multilabel)
            row[f"log_loss{suffix}"] = float(clip_losses(target, p.probabilities[kept]).mean())
            row[f"ece{suffix}"] = float(calibration_error(*correctness_and_confidence(p)))
        rows.append(row)
    return pd.DataFrame(rows)


def reliability_drawing(run: Run, found: dict[str, tuple[str, Predictions, Predictions]]) -> Drawing | None:
    """One small reliability curve per member, before and after; None for fewer than two members."""
    if len(found) < 2:
        return None
    curves: dict[str, tuple[pd.DataFrame, pd.DataFrame | None]] = {}
    numbers = []
    for name, (method, before, after) in found.items():
        points = [calibration_points(*correctness_and_confidence(p)[::-1]) for p in (before, after)]
        changed = method != METHODS["none"]
        curves[display_name(name, run)] = (points[1], points[0] if changed else None)
        numbers += [points[0].assign(member=name, calibrated=False)] + (
            [points[1].assign(member=name, calibrated=True)] if changed else []
        )
    alt = (
        "Reliability of each member: "
        + "; ".join(f"{display_name(name, run)} {method}" for name, (method, *_) in found.items())
        + "."
    )
    caption = (
        f"How sure each member was (across) and how often it was right (up), with 95 % Wilson intervals; filled: calibrated by itself, learnt out of "
        f"fold and by {unit(run)}; hollow: as it was. The members are joined as they were; only their verdict is calibrated."
    )
    svg = to_svg(reliability_figure(curves), "reliability", alt)
    return Drawing(
        "reliability", svg, caption, pd.concat(numbers, ignore_index=True), "Each member by itself"
    )


def _units(run: Run, p: Predictions) -> NDArray[Any]:
    """What no fold parts: groups, or clips where the split ignored groups on purpose."""
    alone = p.groups is None or run.scores.get("split", {}).get("protocol") == "random"
    return np.asarray(p.clip_ids if alone else p.groups)


def _in_order(p: Predictions, classes: tuple[str, ...]) -> NDArray[np.float64]:
    return np.asarray(p.probabilities[:, [p.classes.index(name) for name in classes]], dtype=np.float64)
