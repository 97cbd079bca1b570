"""Labels of members and of the ensemble: classes and codes of a training part, label sets, predictions."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quintet.errors import ConfigError, DatasetError

Labels = NDArray[np.str_] | NDArray[np.int64]
"""Labels `(n,)`, or an indicator matrix `(n, tags)` of 0 and 1."""

Codes = NDArray[np.int64]


@contextmanager
def allow_many_classes() -> Iterator[None]:
    """Context without the warning of scikit-learn that labels of many small classes may be numbers."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The number of unique classes is greater")
        yield


def require_labels(y: ArrayLike) -> None:
    """Check that every row has a label.

    Args:
        y: labels `(n,)`, or an indicator matrix. NaN, None and masked entries are missing.

    Raises:
        DatasetError: if a label is missing.
    """
    import pandas as pd

    labels = np.asarray(y, dtype=object)
    if labels.ndim == 0:  # no labels at all, of which the check of lengths has more to say
        return
    is_missing = pd.isna(labels) | (np.ma.getmaskarray(y) if isinstance(y, np.ma.MaskedArray) else False)
    n_missing = int(np.sum(is_missing.reshape(len(is_missing), -1).any(axis=1)))
    if n_missing:
        verb = "has" if n_missing == 1 else "have"
        raise DatasetError(
            f"Every row must have a label. {n_missing} of {len(is_missing)} rows {verb} no label. "
            "Leave them out."
        )


def encode_labels(labels: NDArray[np.generic]) -> tuple[Labels, Codes]:
    """Sorted classes, and the column of the class of each label, `(n,)`.

    Raises:
        DatasetError: if there is one class only.

    Example:
        >>> classes, codes = encode_labels(np.array(["rock", "jazz", "rock"]))
        >>> classes.tolist(), codes.tolist()
        (['jazz', 'rock'], [1, 0, 1])
    """
    classes, codes = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise DatasetError(
            f"A classifier needs at least two classes. Received one class only: {classes[0]!r}. "
            "Add clips of another class."
        )
    return classes, codes.astype(np.int64)


def tag_names(indicator: NDArray[np.generic], names: Sequence[str] | None) -> Labels:
    """Names of the columns of an indicator matrix; 0 … tags - 1 if there are no names.

    Args:
        indicator: `(n, tags)` of 0 and 1.
        names: one name per tag, or None.

    Raises:
        DatasetError: if a value is neither 0 nor 1, or there is not one name per tag.
    """
    n_tags = indicator.shape[1]
    if not np.isin(indicator, (0, 1)).all():
        raise DatasetError(
            f"An indicator matrix must hold 0 and 1 only. Received values from {indicator.min()} "
            f"to {indicator.max()}. Give labels (n,) otherwise."
        )
    if names is None:
        return np.arange(n_tags)
    if len(names) != n_tags:
        raise DatasetError(
            f"There must be one name per tag. Received {len(names)} names for {n_tags} columns."
        )
    return np.array([str(name) for name in names])


def most_probable_labels(probabilities: NDArray[np.float64], classes: Labels, *, multilabel: bool) -> Labels:
    """The most probable labels `(n,)`, or an indicator matrix `(n, tags)` of probabilities of at least 0.5.

    Args:
        probabilities: `(n, classes)`.
        classes: labels, or names of the tags.
        multilabel: whether clips carry label sets.

    Example:
        >>> classes = np.array(["jazz", "rock"])
        >>> most_probable_labels(np.array([[0.2, 0.8]]), classes, multilabel=False).tolist()
        ['rock']
    """
    if multilabel:
        return (probabilities >= 0.5).astype(np.int64)
    labels: Labels = classes[probabilities.argmax(axis=1)]
    return labels


def check_target(y: ArrayLike, classes: Sequence[object] | None) -> tuple[Labels, NDArray[np.generic]]:
    """Labels or indicator matrix as an array, and the classes `(K,)`.

    Args:
        y: labels `(n,)`, or a 0/1 indicator matrix `(n, K)` for label sets.
        classes: names of the columns of an indicator matrix. Default: the columns of a DataFrame `y`,
            otherwise 0 … K - 1. For labels, names that include them.

    Raises:
        ConfigError: the number of names is not that of the columns, or a label is not among the names.
        DatasetError: there is only one class, a row has no label, or an indicator is neither 0 nor 1.
    """
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import column_or_1d

    names_of_columns = getattr(y, "columns", None) if classes is None else classes
    target = np.asarray(y)
    if target.ndim == 2 and target.shape[1] == 1:
        target = column_or_1d(target, warn=True)
    if target.ndim == 2:
        n_columns = target.shape[1]
        names = list(range(n_columns)) if names_of_columns is None else names_of_columns
        if len(names) != n_columns:
            raise ConfigError(
                "Label sets need one class name per column. "
                f"Received {n_columns} columns and {len(names)} names."
            )
        tag_names(target, None)  # checks the values
        return target, np.asarray(names, dtype=object)
    with allow_many_classes():
        check_classification_targets(target)
    present = np.unique(target)
    if len(present) < 2:
        raise DatasetError(
            f"A classifier needs at least two classes. Received 1 class: {present[0]!r}. "
            "Add clips of another class."
        )
    unnamed = [] if classes is None else sorted(set(map(str, present)) - set(map(str, classes)))
    if unnamed:
        raise ConfigError(f"The names of the classes must include every label. They lack {unnamed[0]!r}.")
    return target, present
