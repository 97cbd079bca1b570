"""Rows of predictions as CSV, JSON or parquet: one row per file, failed files included."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from quintet.commands.terminal.console import write_data
from quintet.files.atomic import replace_output
from quintet.files.display.spreadsheets import exact_csv, spreadsheet_csv

if TYPE_CHECKING:
    import pandas as pd

    from quintet.files.json_types import JsonObject
    from quintet.inference.predict import PredictionResult

STATUS_COLUMNS = ("status", "stage", "reason")


def file_failures(result: PredictionResult) -> pd.DataFrame:
    """Failures, one row per file: `file`, `stage`, `reason`, however many of its segments failed.

    Args:
        result: the predictions.
    """
    counts = result.failures.groupby("file", sort=False).size()
    first = result.failures.drop_duplicates("file").reset_index(drop=True)
    n_segments = result.frame.set_index("file")["segments"]
    reasons = []
    for row in first.to_dict("records"):
        n_failed, n_predicted = int(counts[row["file"]]), int(n_segments.get(row["file"], 0))
        n_all = n_failed + n_predicted
        note = f" ({n_failed} of {n_all} segments)" if n_all > 1 else ""
        reasons.append(f"{row['reason']}{note}")
    return first.assign(reason=reasons)


def prediction_rows(result: PredictionResult) -> pd.DataFrame:
    """All files: those with a prediction, then those without.

    The columns are those of `PredictionResult.frame`. After `file` follow `status`, `stage` and `reason`.
    The status is `ok`, `truncated` (the file is cut short), `incomplete` (some of its segments failed) or
    `failed` (there is no prediction, and its columns are empty). If prediction sets were asked for,
    `set_size` follows `set`: 0 stands for the empty set, which means none of the known classes. For label
    sets, `verdict_size` follows `verdict`: 0 stands for a file without any tag.

    Args:
        result: the predictions.
    """
    import pandas as pd

    rows = result.frame.copy()
    if "set" in rows:
        sizes = [len(_set_classes(labels)) for labels in rows["set"]]
        rows.insert(list(rows.columns).index("set") + 1, "set_size", pd.Series(sizes, dtype="Int64"))
    if result.multilabel:
        sizes = [len(_set_classes(labels)) for labels in rows["verdict"]]
        rows.insert(list(rows.columns).index("verdict") + 1, "verdict_size", pd.Series(sizes, dtype="Int64"))
    rows["segments"] = rows["segments"].astype("Int64")
    failures = file_failures(result).set_index("file")
    absent = [name for name in failures.index if name not in set(rows["file"])]
    failed = pd.DataFrame({"file": absent}).reindex(columns=rows.columns)
    if absent:
        rows = pd.concat([rows, failed.astype(rows.dtypes.to_dict())], ignore_index=True)
    truncated = result.truncated.set_index("file")
    facts = [_status(name, absent, failures, truncated) for name in rows["file"]]
    for k, column in enumerate(STATUS_COLUMNS):
        rows.insert(k + 1, column, [fact[k] for fact in facts])
    return rows


def _status(
    name: str, absent: list[str], failures: pd.DataFrame, truncated: pd.DataFrame
) -> tuple[str, str | None, str | None]:
    """Status, stage and reason of a file."""
    if name in failures.index:
        row = failures.loc[name]
        return "failed" if name in absent else "incomplete", str(row["stage"]), str(row["reason"])
    if name in truncated.index:
        return "truncated", "decode", str(truncated.loc[name, "reason"])
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
    rows = prediction_rows(result)
    if format_ == "parquet":
        if output is not None:
            with replace_output(output) as file:
                rows.to_parquet(file, index=False)
        return
    if format_ == "json":
        text = _json_text(rows, to_file=output is not None)
    else:
        text = spreadsheet_csv(rows) if for_spreadsheets else exact_csv(rows)
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
    files = _records(prediction_rows(result))
    return {
        "classes": list(result.classes),
        "n": len(files),
        "n_failed": sum(row["status"] == "failed" for row in files),
        "files": files,
        "notes": list(result.notes),
    }


def _records(rows: pd.DataFrame) -> list[JsonObject]:
    """The rows as JSON objects. `set` is a list of classes; values that are missing are null."""
    return [
        {str(name): _json_value(str(name), value) for name, value in row.items()}
        for row in rows.to_dict("records")
    ]


def _json_text(rows: pd.DataFrame, *, to_file: bool) -> str:
    """The rows as a JSON list of objects."""
    records = _records(rows)
    is_utf8 = to_file or (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    return json.dumps(records, indent=2, ensure_ascii=not is_utf8) + "\n"


def _json_value(name: str, value: object) -> object:
    """A value of a row as JSON has it."""
    import numpy as np
    import pandas as pd

    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, np.generic):
        return value.item()
    if name == "set":
        return _set_classes(str(value))
    return value


def _set_classes(labels: str) -> list[str]:
    """Classes of a prediction set."""
    from quintet.datasets.labels import LABEL_SEPARATOR

    return labels.split(LABEL_SEPARATOR) if labels else []
