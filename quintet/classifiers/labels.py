"""Labels of members: classes and codes of a training part, and predicted labels."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from quintet.errors import DatasetError

Labels = NDArray[np.str_] | NDArray[np.int64]
"""Labels `(n,)`, or an indicator matrix `(n, tags)` of 0 and 1."""

Codes = NDArray[np.int64]


@contextmanager
def allow_many_classes() -> Iterator[None]:
    """Context without the warning of scikit-learn that labels of many small classes may be numbers."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The number of unique classes is greater")
        yield


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
