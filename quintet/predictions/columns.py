"""Columns of text that identify rows of predictions: clip ids, labels, groups, class names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar, cast

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from quintet.datasets.groups import group_name
from quintet.errors import AlignmentError, DatasetError

Texts = NDArray[np.object_] | NDArray[np.str_]
"""One text per clip, `(n,)`. In an object array, None stands for a missing value."""

Values = TypeVar("Values")

Floats = NDArray[np.floating]

Positions = NDArray[np.intp] | NDArray[np.int64]


def text_column(values: ArrayLike) -> Texts:
    """Values `(n,)` as texts in an object array; missing values (None, NaN) become None.

    Example:
        >>> text_column(["a", 7, None]).tolist()
        ['a', '7', None]
    """
    array = np.asarray(values, dtype=object)
    is_missing = pd.isna(array)
    if not is_missing.any() and all(type(value) is str for value in array):
        return array
    texts = [None if missing else str(value) for value, missing in zip(array, is_missing, strict=True)]
    return np.array(texts, dtype=object)


def in_order_of(ids: Texts, values: Values) -> Values:
    """The rows of a Series or DataFrame in the order of the ids, if its index has them; others as they are.

    A plain index counts rows and names none.

    Example:
        >>> in_order_of(text_column(["a", "b"]), pd.Series([1, 2], index=["b", "a"])).tolist()
        [2, 1]
    """
    if not isinstance(values, (pd.Series, pd.DataFrame)) or isinstance(values.index, pd.RangeIndex):
        return values
    names = pd.Index(text_column(values.index))
    if not names.is_unique or set(names) != set(ids):
        return values
    return cast(Values, values.iloc[names.get_indexer(pd.Index(ids))])


def is_present(column: Texts) -> NDArray[np.bool_]:
    """Whether each entry of a column has a value, `(n,)`."""
    return np.asarray(~pd.isna(column))


def class_names(classes: Sequence[str]) -> tuple[str, ...]:
    """Names of classes in one spelling, as that of their labels; as written if two would be equal.

    Example:
        >>> class_names(["hip  hop", "rock"])
        ('hip hop', 'rock')
    """
    names = tuple(map(group_name, classes))
    return names if len(set(names)) == len(names) else tuple(map(str, classes))


def class_order(first: Sequence[str], other: Sequence[str]) -> Positions:
    """Positions in `other` of the classes of `first`, `(K,)`. Spellings of a class are joined.

    Raises:
        AlignmentError: one has a class that the other does not have.

    Example:
        >>> class_order(("jazz", "rock"), ("rock", "jazz")).tolist()
        [1, 0]
    """
    first, other = class_names(first), class_names(other)
    extra, lacking = sorted(set(other) - set(first)), sorted(set(first) - set(other))
    if extra or lacking:
        raise AlignmentError(
            f"All predictions must have the same classes. One file has {len(first)}, another {len(other)}"
            f"{_name_after(', lacking', lacking)}{_name_after(', with also', extra)}. "
            "Train the members on the same classes."
        )
    return np.array([list(other).index(name) for name in first])


def as_floats(values: Floats | pd.DataFrame, classes: Sequence[str]) -> Floats:
    """Float32 and float64 arrays as they are, others as float64; missing values are NaN.

    The columns of a DataFrame with names are put into the order of the classes.

    Raises:
        DatasetError: they have other names.
    """
    if isinstance(values, pd.DataFrame):
        columns: object = values.columns
        if not isinstance(columns, pd.RangeIndex):
            values = values.iloc[:, _positions_of(classes, values.columns)]
        return values.to_numpy(np.float64, na_value=np.nan)
    if np.ma.isMaskedArray(values):
        values = np.ma.filled(values.astype(np.float64), np.nan)
    array = np.asarray(values)
    return array if array.dtype in (np.float32, np.float64) else array.astype(np.float64)


def _positions_of(classes: Sequence[str], columns: pd.Index) -> Positions:
    try:
        return class_order(classes, [str(name).removeprefix("probability.") for name in columns])
    except AlignmentError as error:
        raise DatasetError(
            f"Columns of probabilities must be named for the classes {name_columns(classes)}. "
            f"Received {name_columns(list(columns))}."
        ) from error


def name_clips(ids: Sequence[str], limit: int = 3) -> str:
    """The number of clips and the first ids, for messages.

    Example:
        >>> name_clips(["a", "b", "c", "d"])
        "4 clips ('a', 'b', 'c', …)"
    """
    shown = ", ".join(f"'{_printable(name)}'" for name in ids[:limit])
    more = ", …" if len(ids) > limit else ""
    return f"{len(ids)} clips ({shown}{more})"


def name_columns(names: Sequence[str], limit: int = 8) -> str:
    """The first names, for messages.

    Example:
        >>> name_columns(["a", "b", "c"], limit=2)
        '`a`, `b`, … (3 in all)'
        >>> name_columns(["two" + chr(10) + "lines"])
        '`two\\\\nlines`'
    """
    shown = ", ".join(f"`{_printable(name)}`" for name in names[:limit])
    more = f", … ({len(names)} in all)" if len(names) > limit else ""
    return shown + more


def _printable(name: object) -> str:
    """A name of a file for a message: its first 80 characters, control characters as escapes."""
    text = str(name)
    return repr(text[:80])[1:-1] + ("…" if len(text) > 80 else "")


def _name_after(text: str, names: Sequence[str]) -> str:
    return f"{text} {name_columns(names, 4)}" if names else ""
