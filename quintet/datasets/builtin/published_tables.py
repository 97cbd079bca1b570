"""Tables that come with a dataset, as they are published or as a spreadsheet has saved them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from quintet.errors import ArtefactError, DatasetError
from quintet.files.tables import read_table_file


def read_columns(path: Path, needed: Sequence[str], *, table: str) -> pd.DataFrame:
    """A table of texts, in any encoding and with any usual separator.

    Args:
        path: the file.
        needed: columns that it must have.
        table: what it is, for messages: "A GTZAN list".

    Raises:
        DatasetError: if it cannot be read, or lacks a column.
    """
    try:
        frame = read_table_file(path).frame
    except ArtefactError as error:
        raise DatasetError(f"{table} cannot be read. {error}") from error
    missing = [column for column in needed if column not in frame]
    if missing:
        raise DatasetError(
            f"{table} must have the columns {', '.join(needed)}. '{path}' lacks {', '.join(missing)}."
        )
    return frame
