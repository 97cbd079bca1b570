"""Labels of clips: one class, or a set of tags written as one string (`"rock;live"`)."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

import numpy as np
from numpy.typing import NDArray

LABEL_SEPARATOR = ";"


def label_set(label: str) -> tuple[str, ...]:
    """Single labels in a label string, in their order, each once.

    Example:
        >>> label_set("rock; live;rock")
        ('rock', 'live')
    """
    return tuple(dict.fromkeys(part.strip() for part in label.split(LABEL_SEPARATOR) if part.strip()))


def label_indicator(labels: Iterable[str]) -> tuple[NDArray[np.int8], tuple[str, ...]]:
    """Indicator matrix of label sets.

    Args:
        labels: label strings, length `n`.

    Returns:
        A matrix of zeros and ones, shape `(n, tags)`, and the names of its columns, sorted.

    Example:
        >>> matrix, classes = label_indicator(["rock;live", "jazz"])
        >>> classes
        ('jazz', 'live', 'rock')
        >>> matrix.tolist()
        [[0, 1, 1], [1, 0, 0]]
    """
    sets = [label_set(label) for label in labels]
    classes = tuple(sorted(set(chain.from_iterable(sets))))
    column_of = {tag: k for k, tag in enumerate(classes)}
    matrix = np.zeros((len(sets), len(classes)), np.int8)
    for row, tags in enumerate(sets):
        columns = [column_of[tag] for tag in tags]
        matrix[row, columns] = 1
    return matrix, classes


def is_label_set(label: str) -> bool:
    """Whether a label string is a set.

    Example:
        >>> is_label_set("rock;live"), is_label_set("rock")
        (True, False)
    """
    return LABEL_SEPARATOR in label


def join_labels(labels: Iterable[str]) -> str:
    """Label string of a set, in the given order.

    Example:
        >>> join_labels(["rock", "live"])
        'rock;live'
    """
    return LABEL_SEPARATOR.join(labels)
