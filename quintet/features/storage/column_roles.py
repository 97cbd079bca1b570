"""Roles of the columns of an external feature table: which hold ids, labels, groups, features, or nothing."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quintet.datasets.cells import text_column
from quintet.datasets.groups import group_name
from quintet.errors import ConfigError, DatasetError, unknown_name
from quintet.files.json_types import JsonObject
from quintet.files.tables import TableContent, is_nameless

LIST_ID_COLUMNS = ("id", "clip_id", "track", "track_id", "file_name", "filename", "path")
"""Columns with ids in lists of clips; the first that a list has is used."""

TEXT_COLUMNS = ("id", "path", "label", "group", "split")
"""Columns that hold text, whatever their cells look like."""

_COUNTING_NAMES = re.compile(
    r"index|level_\d+|#|rows?|row[ _-]?(number|num|nr|no|index|id)|rownames?|idx|nr|no|number",
    re.IGNORECASE,
)
_FEWEST_COUNTED_ROWS = 10  # in fewer rows, a feature may be 1, 2, 3 by chance
_SHOWN = 5  # names that a message lists
_LONGEST = 60  # characters of a name in a message


@dataclass(frozen=True)
class Roles:
    """Roles of the columns of an external table.

    Args:
        id: column with the clip ids; None takes "id", or the index of a parquet file.
        label: column with the labels; None takes "label" if the table has it.
        group: column with the groups; None takes "group" if the table has it.
        label_from: regular expression whose first group, searched in the id, is the label.
        exclude: columns that are no features.
        features: names of the features, for a model that was trained on them. They are looked up by name,
            other columns are left out, and labels may be missing. None: every column without a role.
        id_required: whether the column `id` must be in the table although `features` are named.
    """

    id: str | None = None
    label: str | None = None
    group: str | None = None
    label_from: str | None = None
    exclude: tuple[str, ...] = ()
    features: tuple[str, ...] | None = None
    id_required: bool = False

    @classmethod
    def from_json(cls, content: Mapping[str, object], *, features: Sequence[str]) -> Roles:
        """Roles of a model's table, to read new rows for the model.

        Args:
            content: what `to_json` wrote; empty for an older model.
            features: names of the model's features.
        """
        id, label, group = (_text_or_none(content.get(key)) for key in ("id", "label", "group"))
        return cls(id, label, group, features=tuple(features))

    def to_json(self) -> JsonObject:
        """The roles that are not None, by name."""
        names = ("id", "label", "group", "label_from")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}

    def text_columns(self, columns: Sequence[str]) -> list[str]:
        """Those of the columns of a file that hold text, because they have a role."""
        named = {self.id, self.label, self.group}
        return [name for name in columns if name in named or name in TEXT_COLUMNS]


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) else None


def refuse_roles(**given: str | None) -> None:
    """Refuse options that only apply to external tables.

    Args:
        **given: option → value; None if it was not given.

    Raises:
        ConfigError: any of them was given.
    """
    names = [name for name, value in given.items() if value is not None]
    if names:
        raise ConfigError(
            f"The columns of a table that Quintet wrote are fixed: {', '.join(names)} must not be given. "
            "Leave it out."
        )


def require_columns(names: Collection[str], columns: Sequence[str]) -> None:
    """Refuse a column to leave out that is not there: a slip in its name would keep the column.

    Raises:
        ConfigError: with the nearest name.
    """
    for name in names:
        if name not in columns:
            raise unknown_name("column to leave out (--ignore-column)", name, columns)


def left_out_note(names: Sequence[str]) -> str:
    """Note on the columns that were left out because a user asked for it."""
    return f"No features, because they were named to be left out: {quote_names(names)}."


@dataclass(frozen=True)
class AssignedColumns:
    """Columns that have a role in a table.

    Args:
        id: column with the ids.
        label: column with the labels, or None.
        group: column with the groups, or None.
        displaced: columns with the usual name of a role that another column or option has. They are no
            features.
        notes: one sentence about each choice that the names of the columns alone do not explain.
    """

    id: str
    label: str | None
    group: str | None
    displaced: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def with_roles(self) -> set[str]:
        """The columns with ids, labels and groups."""
        return {name for name in (self.id, self.label, self.group) if name is not None}


def assign_columns(content: TableContent, roles: Roles) -> AssignedColumns:
    """The columns with roles. An option that is given wins over the usual name."""
    frame = content.frame
    if roles.label is not None and roles.label_from is not None:
        raise ConfigError(
            "Labels must come from one place. "
            f"Received the column {roles.label!r} and the pattern {roles.label_from!r}. Give one of them."
        )
    must_exist = roles.features is None
    id_column, notes = _find_id_column(content, roles, must_exist=must_exist or roles.id_required)
    label_column = None
    if roles.label_from is None:
        label_column = _find_column(frame, roles.label, "label", must_exist=must_exist)
    group_column = _find_column(frame, roles.group, "group", must_exist=must_exist)
    if roles.group is None and group_column == label_column:
        group_column = None
    if must_exist and label_column is not None and label_column in (id_column, group_column):
        other = "ids" if label_column == id_column else "groups"
        raise ConfigError(
            f"The labels need a column of their own. {label_column!r} would have the labels and the {other}. "
            "Name other columns (--id-column, --label-column, --group-column)."
        )
    used = {"id": id_column, "label": label_column, "group": group_column}
    displaced = [name for name in used if name in frame.columns and name not in used.values()]
    for name in displaced:
        winner = f"column {used[name]!r}" if used[name] else f"pattern {roles.label_from!r}"
        notes.append(f"The column {name!r} is not used: the {winner} was named for it.")
    return AssignedColumns(id_column, label_column, group_column, tuple(displaced), tuple(notes))


def _find_id_column(content: TableContent, roles: Roles, *, must_exist: bool) -> tuple[str, list[str]]:
    """The column of the ids, and a note if it is the index of the table."""
    frame = content.frame
    column = _find_column(frame, roles.id, "id", must_exist=must_exist)
    if column is not None:
        return column, []
    indices = [name for name in frame.columns if name in content.index or is_nameless(name)]
    for name in indices:
        is_text = not pd.api.types.is_numeric_dtype(frame[name])
        if frame[name].is_unique and frame[name].notna().all() and (is_text or not is_nameless(name)):
            label = "column without a name" if is_nameless(name) else f"index {name!r}"
            return name, [f"The ids are the {label} of the table (first: {frame[name].iloc[0]!r})."]
    text = [repr(shorten(name)) for name in frame.columns if not pd.api.types.is_numeric_dtype(frame[name])]
    if len(frame.columns) == 1:
        raise DatasetError(
            "A feature table must have columns between commas, semicolons, tabs or bars. Its first row is "
            f"one column, {shorten(frame.columns[0])!r}: save it with one of these separators."
        )
    similar = [name for name in frame.columns if name.casefold().strip("_ ") in ("id", "clip_id", "clipid")]
    if similar:
        raise DatasetError(
            "A feature table must have a column that names its clips. There is no 'id', but there is "
            f"{similar[0]!r}: name it with --id-column (in Python id_column)."
        )
    if len(text) > _SHOWN:
        text = [*text[:_SHOWN], f"… ({len(text)} in all)"]
    raise DatasetError(
        "A feature table must have a column that names its clips. There is no 'id'; "
        f"the text columns are: {', '.join(text) or 'none'}. Name one as id_column (--id-column)."
    )


def _find_column(frame: pd.DataFrame, named: str | None, default: str, *, must_exist: bool) -> str | None:
    """The named column, or the default column if the table has it."""
    if named is not None and named in frame.columns:
        return named
    if named is None or not must_exist:
        return default if default in frame.columns else None
    first_columns = ", ".join(map(repr, frame.columns[:8]))
    raise DatasetError(
        f"The {default} column must be in the table. There is no {named!r}; "
        f"its first columns are: {first_columns}."
    )


def counts_rows(column: pd.Series, name: str, index: Collection[str]) -> bool:
    """Whether a column has no name or only counts the rows, so that it is no feature.

    A column with any name counts if it rises or falls by one step (1, 0.5, a minute) from row to row. A
    column that is named for counting (`index`, `row`) or was the index of a parquet file also counts if its
    integers are not in order.
    """
    if is_nameless(name):
        return True
    if not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        return False
    values = column.to_numpy(np.float64, na_value=np.nan)
    if len(values) < 2 or not np.isfinite(values).all():
        return False
    is_whole = not (values != np.round(values)).any()
    if is_whole and (_COUNTING_NAMES.fullmatch(name.strip()) or name in index):
        return bool(column.is_unique)
    return len(values) >= _FEWEST_COUNTED_ROWS and _steps_are_equal(values)


def _steps_are_equal(values: NDArray[np.float64]) -> bool:
    """Whether numbers rise or fall by one step all along, but for what rounding leaves of it."""
    with np.errstate(over="ignore", invalid="ignore"):
        step = (values[-1] - values[0]) / (len(values) - 1)
        line = values[0] + step * np.arange(len(values))
        return bool(step != 0 and (np.abs(values - line) <= 1e-3 * abs(step)).all())


def group_column(column: pd.Series) -> pd.Series:
    """Names of groups; NA if a cell is empty or blank."""
    names = text_column(column).map(group_name, na_action="ignore").astype("str")
    return names.mask(names == "")


def shorten(name: str) -> str:
    """A name for a message: a long one is cut."""
    return name if len(name) <= _LONGEST else f"{name[:_LONGEST]}…"


def quote_names(names: Sequence[str]) -> str:
    """The first names in quotes, for messages.

    Example:
        >>> quote_names(["tempo", "key"])
        "'tempo', 'key'"
    """
    more = f", … ({len(names)} in all)" if len(names) > _SHOWN else ""
    return ", ".join(repr(shorten(name)) for name in names[:_SHOWN]) + more
