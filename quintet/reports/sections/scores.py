"""Tables of the page: rows of plain values, in the order in which they are shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from quintet.model_folder.run import ENSEMBLE_PREDICTION, Run
from quintet.predictions.predictions import Predictions
from quintet.reports.text import LOWER_IS_BETTER, SCORE_NAMES, display_name

PER_CLASS_NAMES: Mapping[str, str] = {
    "precision": "Precision",
    "recall": "Recall",
    "f1": "F1",
    "auc": "AUC",
    "pr_auc": "PR AUC",
}


def score_names(run: Run) -> list[str]:
    """The scores that the run has, in the order of `SCORE_NAMES`."""
    present = {
        key
        for part in ("test", "oof")
        for row in run.scores.get(part, {}).values()
        for key in row.get("scores", {})
    }
    return [key for key in SCORE_NAMES if key in present and (key != "macro_pr_auc" or run.multilabel)]


def score_table(run: Run) -> pd.DataFrame:
    """One row per member or ensemble, part and score: `name, kind, part, score, value, low, high, n, n_groups`."""
    rows = []
    for part in ("test", "oof"):
        for name, content in run.scores.get(part, {}).items():
            for key, score in content.get("scores", {}).items():
                kind = (
                    "member"
                    if name in run.bundle["members"]
                    else ENSEMBLE_PREDICTION
                    if name == ENSEMBLE_PREDICTION
                    else "ensemble"
                )
                rows.append(
                    (
                        name,
                        kind,
                        part,
                        key,
                        score.get("value"),
                        score.get("low"),
                        score.get("high"),
                        content.get("n"),
                        content.get("n_groups"),
                    )
                )
    columns = ["name", "kind", "part", "score", "value", "low", "high", "n", "n_groups"]
    return pd.DataFrame(rows, columns=columns).astype({"value": float, "low": float, "high": float})


def score_rows(run: Run, keys: list[str]) -> list[dict[str, Any]]:
    """Rows of the page's table: the chosen ensemble first, then by the first score; `best` marks the best value of each column."""
    table = score_table(run)
    cells = {(r.name, r.part, r.score): r for r in table.itertuples(index=False)}
    parts = [part for part in ("test", "oof") if run.parts[part]]
    best = {}
    for part in parts:
        for key in keys:
            values = table[(table["part"] == part) & (table["score"] == key)].dropna(subset=["value"])
            if len(values):
                best[part, key] = values["value"].min() if key in LOWER_IS_BETTER else values["value"].max()
    rows = []
    for name in rank_names(run, keys):
        scores = {
            part: [_cell(cells.get((name, part, key)), best.get((part, key))) for key in keys]
            for part in parts
        }
        rows.append(
            {
                "name": name,
                "display": display_name(name, run),
                "ensemble": name not in run.members,
                "chosen": name == run.prediction_name,
                "scores": scores,
            }
        )
    return rows


def rank_names(run: Run, keys: list[str]) -> list[str]:
    """The verdict, the ensembles, then the members; each by the first score, best first."""
    table = run.scores.get(run.part, {})

    def value(name: str) -> float:
        score = table.get(name, {}).get("scores", {}).get(keys[0], {}) if keys else {}
        sign = -1.0 if keys[0] in LOWER_IS_BETTER else 1.0
        return sign * float(score["value"]) if score.get("value") is not None else -np.inf

    names = dict.fromkeys((run.prediction_name, *run.names))
    return sorted(names, key=lambda name: (name != run.prediction_name, name not in run.rules, -value(name)))


def _cell(row: Any, best: float | None) -> dict[str, Any]:
    if row is None or not np.isfinite(row.value):
        return {"value": None, "low": None, "high": None, "best": False}
    low, high = (None if not np.isfinite(v) else float(v) for v in (row.low, row.high))
    return {
        "value": float(row.value),
        "low": low,
        "high": high,
        "best": best is not None and bool(np.isclose(row.value, best, atol=5e-4)),
    }


def class_table(run: Run, counts: pd.DataFrame | None) -> pd.DataFrame:
    """One row per class: support, the scores of each class, and what it is most often taken for."""
    per_class = run.headline.get("per_class", {})
    rows = []
    for name in run.classes:
        content = per_class.get(name, {})
        row: dict[str, Any] = {"class": name, "support": int(content.get("support", 0))}
        for key in PER_CLASS_NAMES:
            if key in content:
                row[key] = content[key]
        if counts is not None:
            wrong = counts.loc[name].drop(name)
            row["taken_for"] = f"{wrong.idxmax()} ({wrong.max()})" if wrong.max() > 0 else ""
        rows.append(row)
    return pd.DataFrame(rows)


def mistakes(run: Run, limit: int = 12) -> pd.DataFrame:
    """The wrong verdicts with the highest probability: `clip_id, group, label, verdict, confidence, probability_of_label, members_agreeing`."""
    p = run.report_predictions
    codes, verdict = p.codes(), p.probabilities.argmax(axis=1)
    confidence = p.probabilities.max(axis=1)
    wrong = np.flatnonzero((codes >= 0) & (codes != verdict))
    wrong = wrong[np.argsort(-confidence[wrong], kind="stable")][:limit]
    agreeing = np.zeros(len(p), dtype=int)
    for name in run.members:
        agreeing += run.parts[run.part][name].take(p.clip_ids).probabilities.argmax(axis=1) == verdict
    return pd.DataFrame({
        "clip_id": p.clip_ids[wrong],
        "group": p.groups[wrong] if p.groups is not None else "",
        "label": np.array(p.classes, dtype=object)[codes[wrong]],
        "verdict": np.array(p.classes, dtype=object)[verdict[wrong]],
        "confidence": confidence[wrong],
        "probability_of_label": p.probabilities[wrong, codes[wrong]],
        "members_agreeing": agreeing[wrong],
    })  # fmt: skip


def agreement(predictions: Mapping[str, Predictions]) -> pd.DataFrame:
    """Share of clips on which two members give the same verdict, shape (members, members); label sets compare tag by tag at 0.5.

    Example:
        >>> a = Predictions(["x", "y"], ("r", "j"), np.array([[0.9, 0.1], [0.4, 0.6]]))
        >>> b = Predictions(["y", "x"], ("r", "j"), np.array([[0.8, 0.2], [0.7, 0.3]]))
        >>> agreement({"a": a, "b": b}).loc["a", "b"].item()
        0.5
    """
    names = list(predictions)
    first = predictions[names[0]]
    verdicts = []
    for p in predictions.values():
        probabilities = p.take(first.clip_ids).probabilities
        verdicts.append(probabilities >= 0.5 if p.multilabel else probabilities.argmax(axis=1))
    shares = [[float(np.mean(a == b)) for b in verdicts] for a in verdicts]
    return pd.DataFrame(shares, index=names, columns=names)


def failure_reasons(failures: pd.DataFrame) -> pd.DataFrame:
    """The ledger by stage, error and reason, most frequent first: `stage, error, reason, clips`."""
    if failures.empty:
        return pd.DataFrame(columns=["stage", "error", "reason", "clips"])
    keys = [c for c in ("stage", "error", "reason") if c in failures]
    filled = failures[keys].fillna("").astype(str)
    return filled.value_counts(sort=True).rename("clips").reset_index()
