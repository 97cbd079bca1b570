"""CSV files with ids and a value each, which a command wrote and somebody may have edited."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from quintet.datasets.cells import text_column
from quintet.datasets.splits.clip_ids import spell_ids, unicode_form
from quintet.errors import AlignmentError, ArtefactError, DatasetError
from quintet.features.storage.table import FeatureTable
from quintet.files.display.names import printable
from quintet.files.tables import read_table_file


def read_edited(
    file: str | Path, value: str, *, what: str, writer: str, more: Sequence[str] = ()
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Columns of an edited file as texts, empty cells missing, and how the file was read.

    Args:
        file: the file.
        value: name of the column with the values.
        what: what the file holds, for messages: "groups".
        writer: the command that writes such a file, for messages.
        more: further columns, which the file may lack.

    Returns:
        Columns `id`, the values, and those of `more` that the file has; notes where the reading is a guess.

    Raises:
        AlignmentError: the file cannot be read, or lacks ids or values.
    """
    try:
        content = read_table_file(Path(file))
    except (ArtefactError, DatasetError) as error:
        raise AlignmentError(
            f"A file of {what} must be a readable CSV. {error} `{writer}` writes one."
        ) from error
    listed = content.frame
    missing = [name for name in ("id", value) if name not in listed.columns]
    if missing:
        raise AlignmentError(
            f"A file of {what} must have the columns id and {value}. "
            f"{printable(str(file))} lacks: {', '.join(missing)}."
        )
    known = [name for name in ("id", value, *more) if name in listed.columns]
    return listed[known].apply(text_column), content.notes


def with_ids_of(table: FeatureTable, listed: pd.DataFrame) -> pd.DataFrame:
    """The rows of an edited file with the ids of a table, where only the Unicode form is another.

    Args:
        table: the feature table.
        listed: a column `id`.
    """
    known = pd.Index(table.frame["id"].astype("str"))
    forms = spell_ids(known, unicode_form)
    pairs = zip(forms, known, forms.duplicated(keep=False), strict=True)
    by_form = {form: id for form, id, is_repeated in pairs if not is_repeated}
    others = listed["id"].dropna()
    others = others[~others.isin(known)].astype("str")
    same = others.map(unicode_form).map(by_form).fillna(others)
    return listed.assign(id=listed["id"].where(~listed.index.isin(same.index), same))


def require_one_value(
    listed: pd.DataFrame, value: str, spelling: Callable[[str], str], *, noun: str, file: str | Path
) -> None:
    """Refuse a clip with two values.

    Args:
        listed: result of `read_edited`.
        value: name of the column with the values.
        spelling: the form in which two spellings of a value are equal.
        noun: the value in words, for the message: "group".
        file: the file, for the message.

    Raises:
        AlignmentError: a clip has two values.
    """
    counts = (
        listed.dropna(subset=[value]).groupby("id")[value].agg(lambda cells: cells.map(spelling).nunique())
    )
    several = sorted(map(str, counts.index[counts > 1]))
    if several:
        raise AlignmentError(
            f"A clip must have one {noun}. {printable(str(file))} gives two or more to {len(several)}, "
            f"for example {printable(several[0])!r}: keep one."
        )
