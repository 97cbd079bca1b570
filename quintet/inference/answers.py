"""Answers: one row per file, failed files included, and the JSON object of `predict --json`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from quintet.datasets.labels import LABEL_SEPARATOR
from quintet.inference.result import Columns

if TYPE_CHECKING:
    from quintet.files.json_types import JsonObject
    from quintet.inference.result import PredictionResult

STATUS_COLUMNS = ("status", "stage", "reason")
SIZE_COLUMNS = ("set_size", "verdict_size")


def file_failures(result: PredictionResult) -> list[JsonObject]:
    """Failures, one per file: `file`, `stage`, `reason`, however many of its segments failed.

    Args:
        result: the predictions.
    """
    predicted = result.columns("frame")
    n_segments = dict(zip(predicted["file"], predicted["segments"], strict=True))
    failures: dict[str, list[JsonObject]] = {}
    for row in result.columns("failures").rows():
        failures.setdefault(row["file"], []).append(row)
    found = []
    for file, rows in failures.items():
        n_failed, n_predicted = len(rows), int(n_segments.get(file) or 0)
        n_all = n_failed + n_predicted
        note = f" ({n_failed} of {n_all} segments)" if n_all > 1 else ""
        found.append({**rows[0], "reason": f"{rows[0]['reason']}{note}"})
    return found


def prediction_columns(result: PredictionResult) -> Columns:
    """All files: those with a prediction, then those without.

    The columns are those of `PredictionResult.frame`. After `file` follow `status`, `stage` and `reason`.
    The status is `ok`, `truncated` (the file is cut short), `incomplete` (some of its segments failed) or
    `failed` (there is no prediction, and its columns are empty). If prediction sets were asked for,
    `set_size` follows `set`: 0 stands for the empty set, which means none of the known classes. For label
    sets, `verdict_size` follows `verdict`: 0 stands for a file without any tag.

    Args:
        result: the predictions.
    """
    predicted = result.columns("frame")
    failures = {row["file"]: row for row in file_failures(result)}
    truncated = {row["file"]: row for row in reversed(result.columns("truncated").rows())}
    present = set(predicted["file"])
    absent = [file for file in failures if file not in present]
    files = [str(file) for file in (*predicted["file"], *absent)]
    facts = [_status(file, absent, failures, truncated) for file in files]
    rows = Columns(file=files)
    for k, name in enumerate(STATUS_COLUMNS):
        rows[name] = [fact[k] for fact in facts]
    nothing = [None] * len(absent)
    for name, values in predicted.items():
        if name == "file":
            continue
        rows[name] = [*values, *nothing]
        if name == "set" or (name == "verdict" and result.multilabel):
            sizes = [len(_set_classes(str(labels or ""))) for labels in values]
            rows[f"{name}_size"] = [*sizes, *nothing]
    return rows


def _status(
    file: str, absent: Sequence[str], failures: JsonObject, truncated: JsonObject
) -> tuple[str, str | None, str | None]:
    """Status, stage and reason of a file."""
    if file in failures:
        row = failures[file]
        return "failed" if file in absent else "incomplete", str(row["stage"]), str(row["reason"])
    if file in truncated:
        return "truncated", "decode", str(truncated[file]["reason"])
    return "ok", None, None


def predict_answer(result: PredictionResult, output: str | None = None) -> JsonObject:
    """The JSON object that `quintet predict --json` prints, and that `quintet serve` sends.

    Args:
        result: the predictions.
        output: the file into which the rows were written; None if there is none.
    """
    return {"command": "predict", "output": output, **predictions_json(result)}


def predictions_json(result: PredictionResult) -> JsonObject:
    """JSON object with the classes, one object per file (`prediction_rows`), counts and notes.

    Args:
        result: the predictions.
    """
    files = json_rows(prediction_columns(result))
    return {
        "classes": list(result.classes),
        "n": len(files),
        "n_failed": sum(row["status"] == "failed" for row in files),
        "files": files,
        "notes": list(result.notes),
        **({} if result.drift is None else {"drift": result.drift}),
    }


def json_rows(rows: Columns) -> list[JsonObject]:
    """Rows as JSON objects. `set` is a list of classes; values that are missing are null."""
    return [{name: _json_value(name, value) for name, value in row.items()} for row in rows.rows()]


def _json_value(name: str, value: object) -> object:
    """A value of a row as JSON has it."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    return _set_classes(str(value)) if name == "set" else value


def _set_classes(labels: str) -> list[str]:
    """Classes of a prediction set."""
    return labels.split(LABEL_SEPARATOR) if labels else []
