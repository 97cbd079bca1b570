"""Several files of predictions for the same clips. Keys are joined at once, probabilities are read file after file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quintet.errors import AlignmentError, DatasetError
from quintet.evaluation.intervals import group_codes
from quintet.evaluation.metrics import encode_labels
from quintet.predictions.predictions import Predictions, align, class_order, read_keys, read_probabilities


class PredictionFiles:
    """Several files of predictions of the same clips: ids, labels and groups are joined at once, probabilities are read when asked for.

    Args:
        paths: one or more files; `names` are their stems, or as much of the path as tells them apart.
        intersection: leave out the clips that only some have (`left_out` counts them) instead of refusing.

    Raises:
        AlignmentError, ArtefactError, DatasetError: as `align` and `read_predictions`.
    """

    def __init__(self, paths: Sequence[str | Path], *, intersection: bool = False) -> None:
        if not paths:
            raise AlignmentError(
                "At least one file of predictions must be given. Received none. Name one or more."
            )
        self.paths = [Path(path) for path in paths]
        self.names = _names(self.paths)
        keys, classes = zip(*read_keys(self.paths), strict=True)
        joined = align(keys, intersection=intersection)
        self.classes: tuple[str, ...] = classes[0]
        self.left_out = joined.left_out
        self._keys: Predictions = joined[0]
        self.ungrouped = any(own.ungrouped for own in keys)
        self._sources = [
            (own.clip_ids, _positions(own.clip_ids, self._keys.clip_ids), class_order(self.classes, names))
            for own, names in zip(keys, classes, strict=True)
        ]

    @property
    def n(self) -> int:
        """The number of clips."""
        return len(self._keys)

    @property
    def multilabel(self) -> bool:
        """Whether the files hold label sets."""
        return self._keys.multilabel

    def describe(self) -> dict[str, Any]:
        """What there is besides probabilities, for JSON."""
        labels = self._keys.labels
        return {
            "classes": list(self.classes),
            "grouped": self._keys.groups is not None,
            "ungrouped_split": self.ungrouped,
            "left_out": self.left_out,
            "unlabelled": self.n if labels is None else sum(label is None for label in labels),
            "unknown_labels": self._labelled.unknown_labels,
        }

    @cached_property
    def _labelled(self) -> Predictions:
        nothing = np.full(len(self.classes), 1 / len(self.classes), dtype=np.float32)
        return self.predictions(np.broadcast_to(nothing, (self.n, len(self.classes))))

    @cached_property
    def _truth(self) -> tuple[NDArray[Any] | None, NDArray[Any], NDArray[Any] | None]:
        """The rows that can be scored (None: all), their labels, and the numbers of their groups: encoded once for all files."""
        known = self._labelled
        rows = known.scorable
        if known.labels is None or not rows.any():
            raise DatasetError(
                f"To be scored, clips must have a label among the classes ({', '.join(self.classes[:6])}, …). None of the {self.n} has one. "
                "Add a column `label` (or `labels`)."
            )
        groups = None if known.groups is None else group_codes(known.groups[rows], int(rows.sum()))[0]
        labels = known.labels[rows]
        y = encode_labels(labels, self.classes, multilabel=True) if self.multilabel else labels
        return (None if rows.all() else np.flatnonzero(rows)), y, groups

    def select_scorable(
        self, probabilities: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any] | None]:
        """Labels (of sets: the indicator), probabilities and groups of the clips that can be scored.

        Raises:
            DatasetError: no clip has a label that is one of the classes.
        """
        rows, y, groups = self._truth
        return y, probabilities if rows is None else probabilities[rows], groups

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[NDArray[Any]]:
        """The probabilities (n, K) of each file in turn, clips and classes in one order; the next one is read while this one is looked at."""
        with ThreadPoolExecutor(1) as pool:
            ahead = pool.submit(self.read, 0)
            for i in range(1, len(self) + 1):
                here = ahead.result()
                if i < len(self):
                    ahead = pool.submit(self.read, i)
                yield here

    def read(self, i: int) -> NDArray[Any]:
        """(n, K) of the i-th file."""
        ids, rows, columns = self._sources[i]
        values = read_probabilities(self.paths[i], ids, multilabel=self._keys.multilabel)
        values = values if rows is None else values[rows]
        return values if bool((columns == np.arange(len(columns))).all()) else values[:, columns]

    def predictions(self, probabilities: NDArray[Any]) -> Predictions:
        """These probabilities with the files' ids, labels and groups."""
        keys = self._keys
        return Predictions(
            keys.clip_ids,
            self.classes,
            probabilities,
            keys.labels,
            keys.groups,
            keys.multilabel,
            self.ungrouped,
        )


def _names(paths: Sequence[Path]) -> list[str]:
    """The shortest ends of the paths, without suffix, that tell them apart; a path given twice is refused."""
    if len({path.resolve() for path in paths}) < len(paths):
        raise AlignmentError(
            "Each file of predictions must be given once. Received one twice. Drop one of them."
        )
    for depth in range(1, 1 + max(len(path.parts) for path in paths)):
        names = ["/".join(path.with_suffix("").parts[-depth:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]


def _positions(own: NDArray[Any], wanted: NDArray[Any]) -> NDArray[np.int64] | None:
    if own is wanted or (len(own) == len(wanted) and bool((own == wanted).all())):
        return None
    row = {name: i for i, name in enumerate(own)}
    return np.array([row[name] for name in wanted], dtype=np.int64)
