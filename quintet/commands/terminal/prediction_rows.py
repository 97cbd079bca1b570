"""Rows of predictions as CSV, JSON or parquet: one row per file, failed files included."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from quintet.commands.terminal.console import write_data
from quintet.files.atomic import replace_output
from quintet.files.display.spreadsheets import columns_csv
from quintet.inference.answers import SIZE_COLUMNS, json_rows, prediction_columns

if TYPE_CHECKING:
    import pandas as pd

    from quintet.inference.result import Columns, PredictionResult


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


def _json_text(rows: Columns, *, to_file: bool) -> str:
    """The rows as a JSON list of objects."""
    records = json_rows(rows)
    is_utf8 = to_file or (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    return json.dumps(records, indent=2, ensure_ascii=not is_utf8) + "\n"
