"""Predictions: class probabilities keyed by clip id, with labels and groups; in and out of parquet and CSV; joined by id, never by position.

A file of predictions, ours or anybody's, has the columns `clip_id`, `label` (or `labels` for sets, `rock;live`), `group` (both optional) and one
`probability.<class>` per class. Everything that reads one goes through `read_predictions`, so that a file that cannot be believed is refused once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from quintet.datasets.groups import group_name
from quintet.datasets.labels import label_set
from quintet.errors import AlignmentError, DatasetError
from quintet.predictions.files import (
    BATCH_ROWS,
    KeyColumns,
    PredictionTable,
    read_key_columns,
    read_table,
    write_table,
)

SUM_TOLERANCE = 0.01  # a table printed with three decimals and ten classes still passes; a table of percentages or logits does not


@dataclass(frozen=True)
class Predictions:
    """The probabilities that one model gives to each class of each clip.

    Args:
        clip_ids: (n,) str, unique.
        classes: (K,) str, unique, in the order of the columns.
        probabilities: (n, K) float32 or float64 in [0, 1]; rows sum to 1 within 0.01 unless `multilabel`.
        labels: (n,) str, None where unknown; for `multilabel` a set written `rock;live` (`""` is the empty set). None where no row has one.
        groups: (n,) str: clips of one group (track, artist) are not independent. None: every clip is its own group.
        multilabel: True where labels are sets and each column is a probability of its own.
        ungrouped: they come from a split that kept no groups apart: whoever shows their scores stamps them.

    Raises:
        DatasetError: ids repeat, shapes differ, or the probabilities are not probabilities; the message counts and gives examples.

    Example:
        >>> p = Predictions(np.array(["a", "b"]), ("rock", "jazz"), np.array([[0.9, 0.1], [0.4, 0.6]]), np.array(["rock", "jazz"]))
        >>> p.take(["b"]).probabilities.tolist(), p.codes().tolist()
        ([[0.4, 0.6]], [0, 1])
    """

    clip_ids: np.ndarray[Any, Any]
    classes: tuple[str, ...]
    probabilities: np.ndarray[Any, Any]
    labels: np.ndarray[Any, Any] | None = None
    groups: np.ndarray[Any, Any] | None = None
    multilabel: bool = False
    ungrouped: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "clip_ids", _strings(self.clip_ids))
        object.__setattr__(self, "classes", tuple(str(name) for name in self.classes))
        values = np.asarray(self.probabilities)
        object.__setattr__(
            self,
            "probabilities",
            values if values.dtype in (np.float32, np.float64) else values.astype(np.float64),
        )
        for field in ("labels", "groups"):
            column = getattr(self, field)
            column = None if column is None else _strings(column)
            object.__setattr__(
                self, field, None if column is None or (len(column) and not _known(column).any()) else column
            )
        if self.groups is not None:
            named = {group: group_name(group) for group in set(self.groups.tolist()) if group is not None}
            if any(group != name for group, name in named.items()):
                object.__setattr__(
                    self,
                    "groups",
                    np.array([named.get(group) or None for group in self.groups], dtype=object),
                )
        _check_shapes(self)
        _check_probabilities(self.clip_ids, self.classes, self.probabilities, multilabel=self.multilabel)

    def __len__(self) -> int:
        return len(self.clip_ids)

    def take(self, ids: Sequence[str] | np.ndarray[Any, Any]) -> Predictions:
        """The rows of these clips, in this order. Raises AlignmentError for an id that is not there."""
        wanted = _strings(ids)
        position = pd.Index(self.clip_ids).get_indexer(pd.Index(wanted))
        if (position < 0).any():
            absent = list(wanted[position < 0])
            raise AlignmentError(
                f"Every clip asked for must have a prediction. {_examples(absent)} have none. Predict them first, or ask for fewer."
            )
        return self._rows(position)

    def _rows(self, position: np.ndarray[Any, Any]) -> Predictions:
        labels = None if self.labels is None else self.labels[position]
        groups = None if self.groups is None else self.groups[position]
        return replace(
            self,
            clip_ids=self.clip_ids[position],
            probabilities=self.probabilities[position],
            labels=labels,
            groups=groups,
        )

    def with_probabilities(self, probabilities: np.ndarray[Any, Any]) -> Predictions:
        """The same clips, labels and groups under other probabilities (n, K): what fusion and calibration give back."""
        return replace(self, probabilities=probabilities)

    def in_classes(self, classes: Sequence[str]) -> Predictions:
        """The same predictions with their columns in another order of the same classes.

        Raises:
            AlignmentError: `classes` are not exactly the classes of the predictions.
        """
        return replace(
            self,
            classes=tuple(classes),
            probabilities=self.probabilities[:, class_order(classes, self.classes)],
        )

    @property
    def units(self) -> np.ndarray[Any, Any]:
        """(n,) the independent units of the clips: their groups, or the clips themselves where no groups are known."""
        return self.clip_ids if self.groups is None else self.groups

    @property
    def unknown_labels(self) -> dict[str, int]:
        """Labels that are not among the classes, with the number of clips: such clips cannot be scored."""
        known = set(self.classes)
        tags = (
            tag for label in self._labelled() for tag in (label_set(label) if self.multilabel else (label,))
        )
        return dict(sorted(Counter(tag for tag in tags if tag not in known).items()))

    @property
    def scorable(self) -> np.ndarray[Any, Any]:
        """(n,) bool: the clips that have a label, and one among the classes."""
        if self.labels is None:
            return np.zeros(len(self), dtype=bool)
        if self.multilabel and self.unknown_labels:
            known = set(self.classes)
            return np.array(
                [label is not None and known.issuperset(label_set(label)) for label in self.labels],
                dtype=bool,
            )
        return np.asarray(_known(self.labels) if self.multilabel else self.codes() >= 0)

    def codes(self) -> np.ndarray[Any, Any]:
        """(n,) int: the column of each clip's label, -1 where the label is missing or not a class."""
        if self.labels is None:
            return np.full(len(self), -1)
        return np.asarray(pd.Index(self.classes).get_indexer(pd.Index(self.labels, dtype=object)))

    def indicator(self) -> np.ndarray[Any, Any]:
        """(n, K) bool: which classes each clip has, for label sets and single labels alike."""
        column = {name: k for k, name in enumerate(self.classes)}
        result = np.zeros((len(self), len(self.classes)), dtype=bool)
        for row, label in enumerate(() if self.labels is None else self.labels):
            for tag in () if label is None else (label_set(label) if self.multilabel else (label,)):
                if tag in column:
                    result[row, column[tag]] = True
        return result

    def _labelled(self) -> Iterator[str]:
        return (label for label in (() if self.labels is None else self.labels) if label is not None)

    def write(self, path: str | Path) -> None:
        """Writes `.csv` or `.parquet` (probabilities as float32 or float64, as they are), through a temporary file."""
        columns: dict[str, Any] = {"clip_id": self.clip_ids}
        if self.labels is not None or self.multilabel:
            columns["labels" if self.multilabel else "label"] = (
                np.full(len(self), None) if self.labels is None else self.labels
            )
        if self.groups is not None:
            columns["group"] = self.groups
        write_table(PredictionTable(columns, self.classes, self.probabilities, self.ungrouped), Path(path))


@dataclass(frozen=True)
class Aligned(Sequence[Predictions]):
    """Predictions of the same clips in the same order with the same classes; `left_out` counts the clips that only some had."""

    predictions: tuple[Predictions, ...]
    left_out: int = 0

    def __len__(self) -> int:
        return len(self.predictions)

    def __getitem__(self, index: Any) -> Any:
        return self.predictions[index]

    @property
    def stack(self) -> np.ndarray[Any, Any]:
        """(models, clips, classes): what `fusion` works on."""
        return np.stack([p.probabilities for p in self.predictions])


def align(predictions: Sequence[Predictions], *, intersection: bool = False) -> Aligned:
    """The same clips of several models, joined by clip id in the order of the first; classes in the order of the first.

    Args:
        predictions: at least one; labels and groups that one lacks are filled in from the others.
        intersection: leave out the clips that only some have, instead of refusing.

    Returns:
        Aligned: a sequence of Predictions, with `left_out` and `stack`.

    Raises:
        AlignmentError: clips, classes, labels or groups differ; the message counts and gives examples.

    Example:
        >>> a = Predictions(np.array(["x", "y"]), ("rock", "jazz"), np.array([[0.9, 0.1], [0.4, 0.6]]))
        >>> b = Predictions(np.array(["y", "x"]), ("jazz", "rock"), np.array([[0.7, 0.3], [0.2, 0.8]]))
        >>> align([a, b]).stack[1].tolist()
        [[0.8, 0.2], [0.3, 0.7]]
    """
    if not predictions:
        raise AlignmentError(
            "At least one set of predictions must be given. Received none. Name one or more files."
        )
    first = predictions[0]
    ids, left_out = common_ids([p.clip_ids for p in predictions], intersection=intersection)
    columns = [class_order(first.classes, p.classes) for p in predictions]
    if len({p.multilabel for p in predictions}) > 1:
        raise AlignmentError(
            "All predictions must be of one kind. Received label sets in one, single labels in another. Fuse them apart."
        )
    rows = [_in_order(p, ids, order) for p, order in zip(predictions, columns, strict=True)]
    labels = _merge([p.labels for p in rows], ids, "label", sets=first.multilabel)
    groups = _merge([p.groups for p in rows], ids, "group", sets=False)
    complete = tuple(
        p if p.labels is labels and p.groups is groups else replace(p, labels=labels, groups=groups)
        for p in rows
    )
    return Aligned(complete, left_out)


def common_ids(
    ids: Sequence[np.ndarray[Any, Any]], *, intersection: bool
) -> tuple[np.ndarray[Any, Any], int]:
    """The clips that all have, in the order of the first, and how many only some have; with any of these, AlignmentError unless `intersection`."""
    first = ids[0]
    if all(
        other is first or (len(other) == len(first) and bool((other == first).all())) for other in ids[1:]
    ):
        return first, 0
    indices = [pd.Index(other) for other in ids]
    everywhere, anywhere = indices[0], indices[0]
    for index in indices[1:]:
        everywhere, anywhere = everywhere[everywhere.isin(index)], anywhere.union(index, sort=False)
    left_out = len(anywhere) - len(everywhere)
    if left_out and not intersection:
        only_some = anywhere[~anywhere.isin(everywhere)]
        raise AlignmentError(
            f"All predictions must describe the same clips. {_examples(list(only_some))} are in only some of the {len(ids)} files "
            f"({len(everywhere)} are in all). Predict the missing ones, or leave them out with --intersection."
        )
    if not len(everywhere):
        raise AlignmentError(
            f"The files must share clips. None of {len(anywhere)} clip ids is in all of them. Compare their `clip_id` columns."
        )
    return np.asarray(everywhere, dtype=object), left_out


def class_order(first: Sequence[str], other: Sequence[str]) -> np.ndarray[Any, Any]:
    """(K,) the columns of `other` in the class order of `first`; AlignmentError where the sets of classes differ."""
    extra, lacking = sorted(set(other) - set(first)), sorted(set(first) - set(other))
    if extra or lacking:
        raise AlignmentError(
            f"All predictions must have the same classes. One file has {len(first)}, another {len(other)}"
            f"{_named(', lacking', lacking)}{_named(', with also', extra)}. Train the members on the same classes."
        )
    return np.array([list(other).index(name) for name in first])


def read_predictions(path: str | Path) -> Predictions:
    """A checked file of predictions: parquet (row group by row group), or CSV.

    Raises:
        ArtefactError: the file is missing or is neither parquet nor CSV.
        DatasetError: a column is missing, ids repeat, or the probabilities are not probabilities.
    """
    return _predictions(path, read_table(Path(path)))


def read_keys(paths: Sequence[str | Path]) -> list[tuple[Predictions, tuple[str, ...]]]:
    """Ids, labels and groups of files, under one class without a name, and the classes of each: of large files, what comes before numbers.

    A file that has the very keys of the first shares them with it, and they are checked once.
    """
    first: KeyColumns | None = None
    found: list[tuple[Predictions, tuple[str, ...]]] = []
    for path in paths:
        columns = read_key_columns(Path(path))
        first = columns if first is None else first
        if found and columns.equals(first) and columns.ungrouped == first.ungrouped:
            found.append((found[0][0], columns.classes))
            continue
        keys = columns.arrays()
        nothing = np.broadcast_to(np.float32(1), (len(keys["clip_id"]), 1))
        found.append(
            (_predictions(path, PredictionTable(keys, ("",), nothing, columns.ungrouped)), columns.classes)
        )
    return found


def read_probabilities(
    path: str | Path, ids: np.ndarray[Any, Any], *, multilabel: bool
) -> np.ndarray[Any, Any]:
    """(n, K) the probabilities of a file whose `ids` have been read: the other half of `read_keys`, checked."""
    table = read_table(Path(path), keys=False)
    try:
        _check_probabilities(ids, table.classes, table.probabilities, multilabel=multilabel)
    except DatasetError as error:
        raise DatasetError(f"{path}: {error}") from error
    return table.probabilities


def _predictions(path: str | Path, table: PredictionTable) -> Predictions:
    if {"label", "labels"} <= set(table.keys):
        raise DatasetError(
            f"{path}: there must be `label` or `labels` (sets), not both. Received both. Drop one."
        )
    multilabel = "labels" in table.keys
    labels = table.keys.get("labels" if multilabel else "label")
    try:
        return Predictions(
            table.keys["clip_id"],
            table.classes,
            table.probabilities,
            labels,
            table.keys.get("group"),
            multilabel,
            table.ungrouped,
        )
    except DatasetError as error:
        raise DatasetError(f"{path}: {error}") from error


def _check_shapes(p: Predictions) -> None:
    expected = (len(p.clip_ids), len(p.classes))
    if p.probabilities.shape != expected:
        raise DatasetError(
            f"Probabilities must have one row per clip and one column per class {expected}. Received {p.probabilities.shape}."
        )
    for name, column in (("labels", p.labels), ("groups", p.groups)):
        if column is not None and len(column) != len(p.clip_ids):
            raise DatasetError(
                f"There must be one of `{name}` per clip ({len(p.clip_ids)}). Received {len(column)}."
            )
    if len(set(p.classes)) < len(p.classes) or not p.classes:
        raise DatasetError(f"Classes must be one or more, each named once. Received {_few(p.classes)}.")
    if not _known(p.clip_ids).all():
        raise DatasetError(
            f"Every row must have a clip id. {int((~_known(p.clip_ids)).sum())} have none. Fill the column `clip_id`."
        )
    index = pd.Index(p.clip_ids)
    if not index.is_unique:
        repeated = list(index[index.duplicated()].unique())
        raise DatasetError(
            f"Every clip id must be there once. {_examples(repeated)} are there more than once. Keep one row per clip."
        )


def _check_probabilities(
    ids: np.ndarray[Any, Any], classes: Sequence[str], values: np.ndarray[Any, Any], *, multilabel: bool
) -> None:
    wrong = np.zeros((3, len(values)), dtype=bool)
    for start in range(0, len(values), BATCH_ROWS):
        block, rows = values[start : start + BATCH_ROWS], slice(start, start + BATCH_ROWS)
        low, high, total = block.min(axis=1), block.max(axis=1), block.sum(axis=1, dtype=np.float64)
        wrong[0, rows] = ~np.isfinite(low + high)
        wrong[1, rows] = (low < 0) | (high > 1 + 1e-6)
        wrong[2, rows] = False if multilabel else np.abs(total - 1) > SUM_TOLERANCE
    reasons = (
        ("be finite", "Drop the clips that could not be predicted."),
        ("lie in [0, 1]", "Give probabilities, not scores, logits or percentages."),
        ("sum to 1 in each row", "Give one column per class, or write `labels` if a clip can have several."),
    )
    for rows_of, (must, advice) in zip(wrong, reasons, strict=True):
        if rows_of.any():
            row = int(np.flatnonzero(rows_of)[0])
            example = ", ".join(
                f"{name} {value:.4g}" for name, value in zip(classes[:6], values[row], strict=False)
            )
            raise DatasetError(
                f"Probabilities must {must}. {int(rows_of.sum())} rows do not, such as '{ids[row]}': {example}. {advice}"
            )


def _in_order(p: Predictions, ids: np.ndarray[Any, Any], order: np.ndarray[Any, Any]) -> Predictions:
    rows = p if p.clip_ids is ids or (len(p) == len(ids) and bool((p.clip_ids == ids).all())) else p.take(ids)
    if (order == np.arange(len(order))).all():
        return rows
    return replace(
        rows, classes=tuple(p.classes[k] for k in order), probabilities=rows.probabilities[:, order]
    )


def _merge(
    columns: Sequence[np.ndarray[Any, Any] | None], ids: np.ndarray[Any, Any], kind: str, *, sets: bool
) -> np.ndarray[Any, Any] | None:
    given = list({id(column): column for column in columns if column is not None}.values())
    if not given:
        return None
    merged = given[0]
    for column in given[1:]:
        both = _known(merged) & _known(column)
        differ = np.flatnonzero(both & (merged != column))
        if sets:
            differ = np.array(
                [i for i in differ if set(label_set(merged[i])) != set(label_set(column[i]))], dtype=int
            )
        if len(differ):
            example = (
                f"'{ids[differ[0]]}' is '{merged[differ[0]]}' in one and '{column[differ[0]]}' in another"
            )
            raise AlignmentError(
                f"All files must give a clip the same {kind}. {len(differ)} clips differ: {example}. Correct the file that is wrong."
            )
        merged = np.where(_known(merged), merged, column)
    return merged


def _strings(values: Any) -> np.ndarray[Any, Any]:
    array = np.asarray(values, dtype=object)
    missing = pd.isna(array)
    if not missing.any() and all(type(value) is str for value in array):
        return array
    return np.array(
        [None if gone else str(value) for value, gone in zip(array, missing, strict=True)], dtype=object
    )


def _known(column: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return ~pd.isna(column)


def _examples(ids: Sequence[Any], limit: int = 3) -> str:
    shown = ", ".join(f"'{name}'" for name in ids[:limit])
    return f"{len(ids)} clips ({shown}{', …' if len(ids) > limit else ''})"


def _few(names: Sequence[str], limit: int = 8) -> str:
    return ", ".join(f"`{name}`" for name in names[:limit]) + (
        f", … ({len(names)} in all)" if len(names) > limit else ""
    )


def _named(text: str, names: Sequence[str]) -> str:
    return f"{text} {_few(names, 4)}" if names else ""
