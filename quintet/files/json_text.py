"""JSON of any content: values, rows of tables, and text that every reader of JSON accepts."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from quintet.files.display.file_names import name_text
from quintet.files.json_types import JsonObject

_SURROGATE = re.compile("[\udc80-\udcff]")


def json_value(value: object) -> Any:
    """A value as JSON has it: None for NaN, infinity and missing values, a text for what JSON does not know.

    Example:
        >>> json_value({"score": float("nan"), "classes": ("rock", np.int64(2))})
        {'score': None, 'classes': ['rock', 2]}
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or value is pd.NA or value is pd.NaT or isinstance(value, bool | int):
        return None if value is pd.NA or value is pd.NaT else value
    if isinstance(value, str):
        return value if value.isascii() else _SURROGATE.sub(lambda match: name_text(match[0]), value)
    if isinstance(value, os.PathLike):
        return name_text(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {json_value(str(name)): json_value(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset | np.ndarray):
        return [json_value(inner) for inner in value]
    return str(value)


def json_text(content: object) -> str:
    """Indented JSON of any content, in ASCII. Bytes of names that are not UTF-8 stand as in `name_text`.

    Example:
        >>> print(json_text({"n": 1}), end="")
        {
          "n": 1
        }
    """
    return json.dumps(json_value(content), indent=2, allow_nan=False) + "\n"


def table_rows(table: pd.DataFrame) -> list[JsonObject]:
    """Rows of a table as JSON objects."""
    return [json_value(row) for row in table.to_dict("records")]
