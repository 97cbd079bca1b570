"""Rows of predictions as CSV, JSON or parquet: one row per file, failed files included."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from quintet.commands.terminal.console import write_data
from quintet.files.atomic import replace_output
from quintet.files.display.spreadsheets import columns_csv

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from quintet.files.json_types import JsonObject
    from quintet.inference.result import Columns, PredictionResult

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
    from quintet.inference.result import Columns

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


def prediction_rows(result: PredictionResult) -> pd.DataFrame:
    """`prediction_columns` as a table of pandas, whose counts are integers also where one is missing."""
    import pandas as pd

    from quintet.inference.result import TEXT_COLUMNS

    rows = prediction_columns(result)
    table = rows.frame()
    for name in ("segments", *SIZE_COLUMNS):
        if name in rows:
            table[name] = pd.Series(rows[name], dtype="Int64")
    for name in rows:
        if name not in TEXT_COLUMNS and name not in ("segments", *SIZE_COLUMNS):
            table[name] = pd.Series(rows[name], dtype="float64")
    return table


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


def write_rows(
    result: PredictionResult, format_: str, output: Path | None, *, for_spreadsheets: bool = False
) -> None:
    """Write the rows to a file, which is complete or absent, or to standard output.

    Args:
        result: the predictions.
        format_: `csv`, `json` or `parquet`.
        output: the file, or None for standard output. Parquet needs a file.
        for_spreadsheets: whether no cell of a CSV may be a formula.
    """
    if format_ == "parquet":
        if output is not None:
            with replace_output(output) as file:
                prediction_rows(result).to_parquet(file, index=False)
        return
    rows = prediction_columns(result)
    if format_ == "json":
        text = _json_text(rows, to_file=output is not None)
    else:
        text = columns_csv(rows, for_spreadsheets=for_spreadsheets)
    write_text(text, output)


def write_text(text: str, output: Path | None) -> None:
    """Write a text in UTF-8 to a file, or to standard output in its encoding.

    Args:
        text: the text.
        output: the file, or None.
    """
    if output is None:
        write_data(text)
        return
    with replace_output(output) as file:
        file.write_text(text, encoding="utf-8", newline="")


def predictions_json(result: PredictionResult) -> JsonObject:
    """JSON object with the classes, one object per file (`prediction_rows`), counts and notes.

    Args:
        result: the predictions.
    """
    files = _records(prediction_columns(result))
    return {
        "classes": list(result.classes),
        "n": len(files),
        "n_failed": sum(row["status"] == "failed" for row in files),
        "files": files,
        "notes": list(result.notes),
    }


def _records(rows: Columns) -> list[JsonObject]:
    """The rows as JSON objects. `set` is a list of classes; values that are missing are null."""
    return [{name: _json_value(name, value) for name, value in row.items()} for row in rows.rows()]


def _json_text(rows: Columns, *, to_file: bool) -> str:
    """The rows as a JSON list of objects."""
    records = _records(rows)
    is_utf8 = to_file or (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    return json.dumps(records, indent=2, ensure_ascii=not is_utf8) + "\n"


def _json_value(name: str, value: object) -> object:
    """A value of a row as JSON has it."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    return _set_classes(str(value)) if name == "set" else value


def _set_classes(labels: str) -> list[str]:
    """Classes of a prediction set."""
    from quintet.datasets.labels import LABEL_SEPARATOR

    return labels.split(LABEL_SEPARATOR) if labels else []
