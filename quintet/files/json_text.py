"""JSON of any content: values, rows of tables, and text that every reader of JSON accepts."""

from __future__ import annotations

import json
import math
import os
import re
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from quintet.files.display.file_names import name_text
from quintet.files.json_types import JsonObject

if TYPE_CHECKING:
    import pandas as pd

_SURROGATE = re.compile("[\udc80-\udcff]")


def is_missing(value: object) -> bool:
    """Whether a value is None or a missing value of pandas, which is not imported for the answer.

    Example:
        >>> is_missing(None), is_missing(0)
        (True, False)
    """
    pandas = sys.modules.get("pandas")
    return value is None or (pandas is not None and (value is pandas.NA or value is pandas.NaT))


def json_value(value: object) -> Any:
    """A value as JSON has it: None for NaN, infinity and missing values, a text for what JSON does not know.

    Example:
        >>> json_value({"score": float("nan"), "classes": ("rock", 2)})
        {'score': None, 'classes': ['rock', 2]}
    """
    numpy = sys.modules.get("numpy")  # what nobody has imported has made no value
    if numpy is not None and isinstance(value, numpy.generic):
        value = value.item()
    if is_missing(value):
        return None
    if isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return value if value.isascii() else _SURROGATE.sub(lambda match: name_text(match[0]), value)
    if isinstance(value, os.PathLike):
        return name_text(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {json_value(str(name)): json_value(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset) or (
        numpy is not None and isinstance(value, numpy.ndarray)
    ):
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
