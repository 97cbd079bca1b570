"""Predictions: class probabilities keyed by clip id, with labels and groups; parquet and CSV files of them.

A file of predictions has a column `clip_id` and one column `probability.<class>` per class. Optional columns
are `label` (or `labels` for label sets, written `rock;live`) and `group`. All such files are read and checked
here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quintet.datasets.groups import group_name, group_notes
from quintet.datasets.labels import label_name, label_notes, label_set, repair_labels
from quintet.errors import AlignmentError, DatasetError
from quintet.files.display.notebook import notebook_html
from quintet.files.paths import require_path
from quintet.predictions.columns import (
    Positions,
    Texts,
    as_floats,
    class_names,
    class_order,
    in_order_of,
    is_present,
    name_clips,
    name_columns,
    text_column,
)
from quintet.predictions.files import (
    BATCH_ROWS,
    KeyColumns,
    PredictionTable,
    Probabilities,
    read_key_columns,
    read_table,
    write_table,
)

SUM_TOLERANCE = 0.01
"""Largest distance of a row's sum from 1. Ten classes with three decimals pass; percentages do not."""

ROUNDING = 1e-6
"""Error of a sum of rounded floats: 0.43 + 0.30 + 0.26 is a little more than 0.01 away from 1."""


@dataclass(frozen=True)
class Predictions:
    """Probabilities that one classifier gives to each class of each clip.

    Args:
        clip_ids: unique texts, `(n,)`.
        classes: K unique names, in the order of the columns.
        probabilities: float32 or float64 in [0, 1], `(n, K)`. Rows sum to 1 within 0.01 unless `multilabel`.
            The columns of a DataFrame are found by their names. So are the rows of a DataFrame or Series, of
            labels and groups too, if its index has the clip ids.
        labels: texts `(n,)`, None where unknown. For `multilabel`, sets that are written `rock;live`; `""` is
            the empty set. None if no clip has a label.
        groups: texts `(n,)`. Clips of one group (track, artist) are not independent. None: every clip is its
            own group.
        multilabel: whether labels are sets and each column is a probability of its own.
        ungrouped: whether the split of the run kept no groups apart. Such scores are marked wherever they are
            shown.
        notes: how a file was read, and spellings of labels and groups that were joined, one sentence each.

    Raises:
        DatasetError: ids repeat, shapes differ, or a row holds no probabilities. The message gives the number
            of such rows and examples.

    Example:
        >>> table = np.array([[0.9, 0.1], [0.4, 0.6]])
        >>> p = Predictions(np.array(["a", "b"]), ("rock", "jazz"), table, np.array(["rock", "jazz"]))
        >>> p.take(["b"]).probabilities.tolist(), p.codes().tolist()
        ([[0.4, 0.6]], [0, 1])
    """

    clip_ids: Texts
    classes: tuple[str, ...]
    probabilities: Probabilities
    labels: Texts | None = None
    groups: Texts | None = None
    multilabel: bool = False
    ungrouped: bool = False
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        ids = text_column(self.clip_ids)
        groups = _optional_column(in_order_of(ids, self.groups))
        labels = _optional_column(in_order_of(ids, self.labels))
        if labels is not None:
            labels = self._repair_labels(labels)
        unified = None if labels is None else _unify_labels(labels, multilabel=self.multilabel)
        if labels is not None and unified is not labels:
            object.__setattr__(self, "notes", (*self.notes, *_spelling_notes(labels)))
        joined = None if groups is None else _unify_groups(groups)
        if groups is not None and joined is not groups:
            notes = group_notes(group for group in groups.tolist() if group is not None)
            object.__setattr__(self, "notes", (*self.notes, *notes))
        normalised = {
            "clip_ids": ids,
            "classes": class_names(self.classes),
            "probabilities": as_floats(in_order_of(ids, self.probabilities), self.classes),
            "labels": unified,
            "groups": joined,
        }
        for name, value in normalised.items():
            object.__setattr__(self, name, value)
        _check_shapes(self)
        _check_ids(self.clip_ids)
        _check_probabilities(self.clip_ids, self.classes, self.probabilities, multilabel=self.multilabel)

    def _repair_labels(self, labels: Texts) -> Texts:
        """The labels without `.0` or as lists, with a note, if they are classes only so."""
        repaired, notes = repair_labels([label or None for label in labels])
        if not notes:
            return labels
        found = {name for label in repaired if label for name in self._names_of(label)}
        if not found <= set(class_names(self.classes)):
            return labels
        if self.multilabel:  # a list without an entry is the empty set
            repaired = [None if old is None else new or "" for old, new in zip(labels, repaired, strict=True)]
        object.__setattr__(self, "notes", (*self.notes, *notes))
        return np.array(repaired, dtype=object)

    def __len__(self) -> int:
        return len(self.clip_ids)

    def _repr_html_(self) -> str:
        facts = f"Predictions of {len(self)} clips, {len(self.classes)} classes"
        return notebook_html(facts, self.frame, notes=self.notes)

    @property
    def frame(self) -> pd.DataFrame:
        """One row per clip: `clip_id`, `label` and `group` where they are known, `probability.<class>`.

        Example:
            >>> p = Predictions(np.array(["a"]), ("rock", "jazz"), np.array([[0.9, 0.1]]), np.array(["rock"]))
            >>> p.frame.columns.tolist()
            ['clip_id', 'label', 'probability.rock', 'probability.jazz']
        """
        known = {"clip_id": self.clip_ids, "label": self.labels, "group": self.groups}
        facts = {name: values for name, values in known.items() if values is not None}
        columns = {f"probability.{name}": self.probabilities[:, k] for k, name in enumerate(self.classes)}
        return pd.DataFrame({**facts, **columns})

    def take(self, ids: Sequence[str] | Texts) -> Predictions:
        """Rows of these clips, in this order.

        Raises:
            AlignmentError: an id has no prediction.
        """
        wanted = text_column(ids)
        positions = pd.Index(self.clip_ids).get_indexer(pd.Index(wanted))
        is_absent = positions < 0
        if is_absent.any():
            absent = list(wanted[is_absent])
            raise AlignmentError(
                f"Every clip asked for must have a prediction. {name_clips(absent)} have none. "
                "Predict them first, or ask for fewer."
            )
        return self._take_rows(positions)

    def _take_rows(self, positions: Positions) -> Predictions:
        return replace(
            self,
            clip_ids=self.clip_ids[positions],
            probabilities=self.probabilities[positions],
            labels=None if self.labels is None else self.labels[positions],
            groups=None if self.groups is None else self.groups[positions],
        )

    def with_probabilities(self, probabilities: Probabilities) -> Predictions:
        """The same clips, labels and groups with other probabilities `(n, K)`, for example after fusion."""
        return replace(self, probabilities=probabilities)

    def in_classes(self, classes: Sequence[str]) -> Predictions:
        """The same predictions with the columns in the order of `classes`.

        Raises:
            AlignmentError: `classes` are not exactly the classes of the predictions.
        """
        order = class_order(classes, self.classes)
        return replace(self, classes=tuple(classes), probabilities=self.probabilities[:, order])

    @property
    def units(self) -> Texts:
        """Independent units of the clips, `(n,)`: their groups. A clip without one is a unit of its own."""
        if self.groups is None:
            return self.clip_ids
        return np.where(is_present(self.groups), self.groups, self.clip_ids)

    @property
    def unknown_labels(self) -> dict[str, int]:
        """Labels that are not among the classes → number of clips. Such clips cannot be scored."""
        classes = set(self.classes)
        counts: Counter[str] = Counter()
        for _, names in self._label_names():
            counts.update(name for name in names if name not in classes)
        return dict(sorted(counts.items()))

    @property
    def scorable(self) -> NDArray[np.bool_]:
        """Clips that have a label among the classes (for sets: that have no other tag), `(n,)`."""
        if self.labels is None:
            return np.zeros(len(self), dtype=bool)
        if not self.multilabel:
            return self.codes() >= 0
        result = is_present(self.labels)
        if self.unknown_labels:
            classes = set(self.classes)
            for row, names in self._label_names():
                result[row] = classes.issuperset(names)
        return result

    def codes(self) -> Positions:
        """Column of each clip's label, `(n,)`; -1 if the label is missing or is not a class."""
        if self.labels is None:
            return np.full(len(self), -1)
        return np.asarray(pd.Index(self.classes).get_indexer(pd.Index(self.labels, dtype=object)))

    def indicator(self) -> NDArray[np.bool_]:
        """Classes of each clip, `(n, K)`, for label sets and for single labels."""
        column = {name: k for k, name in enumerate(self.classes)}
        result = np.zeros((len(self), len(self.classes)), dtype=bool)
        for row, names in self._label_names():
            for name in names:
                if name in column:
                    result[row, column[name]] = True
        return result

    def _label_names(self) -> Iterator[tuple[int, tuple[str, ...]]]:
        """Row and label names of each clip that has a label: one name, or the tags of a set."""
        for row, label in enumerate(() if self.labels is None else self.labels):
            if label is not None:
                yield row, self._names_of(label)

    def _names_of(self, label: str) -> tuple[str, ...]:
        """Names in a label: its tags, or the label itself."""
        return label_set(label) if self.multilabel else (label,)

    def write(self, path: str | Path) -> None:
        """Write a `.csv` or `.parquet` file, through a temporary file.

        Parquet keeps the dtype of the probabilities.
        """
        keys: dict[str, Texts] = {"clip_id": self.clip_ids}
        if self.multilabel:  # the column `labels` marks label sets, so it is written even if it is empty
            keys["labels"] = np.full(len(self), None) if self.labels is None else self.labels
        elif self.labels is not None:
            keys["label"] = self.labels
        if self.groups is not None:
            keys["group"] = self.groups
        write_table(PredictionTable(keys, self.classes, self.probabilities, self.ungrouped), Path(path))


def read_predictions(path: str | Path, *, content: bytes | None = None) -> Predictions:
    """Read and check a file of predictions: parquet, row group by row group, or CSV.

    Args:
        path: a `.csv` file, or a parquet file under any other name.
        content: content of the parquet file, if it was read already; `path` then serves for messages.

    Raises:
        ArtefactError: the file is missing, or it is neither parquet nor CSV.
        DatasetError: a column is missing, ids repeat, or a row holds no probabilities.
    """
    return _from_table(path, read_table(Path(require_path(path, "`path`")), content=content))


def read_keys(paths: Sequence[str | Path]) -> list[tuple[Predictions, tuple[str, ...]]]:
    """Read ids, labels and groups of files, without the probabilities.

    Args:
        paths: files of predictions.

    Returns:
        For each file, its keys as `Predictions` with one class without a name, and its classes. A file with
        the same keys as the first file shares them, so that they are checked once.

    Raises:
        ArtefactError: a file is missing, or it is neither parquet nor CSV.
        DatasetError: a column is missing, or ids repeat.
    """
    first: KeyColumns | None = None
    result: list[tuple[Predictions, tuple[str, ...]]] = []
    for path in paths:
        columns = read_key_columns(Path(path))
        first = columns if first is None else first
        is_alike = (columns.ungrouped, columns.notes) == (first.ungrouped, first.notes)
        if result and is_alike and columns.equals(first):
            result.append((result[0][0], columns.classes))
            continue
        keys = columns.arrays()
        ones = np.broadcast_to(np.float32(1), (len(keys["clip_id"]), 1))
        table = PredictionTable(keys, ("",), ones, columns.ungrouped, columns.notes)
        result.append((_from_table(path, table), columns.classes))
    return result


def read_probabilities(path: str | Path, ids: Texts, *, multilabel: bool) -> Probabilities:
    """Read and check the probabilities `(n, K)` of a file whose keys were read with `read_keys`.

    Args:
        path: a file of predictions.
        ids: clip ids of its rows, `(n,)`, for messages.
        multilabel: whether rows need not sum to 1.

    Raises:
        ArtefactError: the file is missing, or it is neither parquet nor CSV.
        DatasetError: a column is missing, or a row holds no probabilities.
    """
    table = read_table(Path(path), keys=False)
    try:
        _check_probabilities(ids, table.classes, table.probabilities, multilabel=multilabel)
    except DatasetError as error:
        raise DatasetError(f"{path}: {error}") from error
    return table.probabilities


def _from_table(path: str | Path, table: PredictionTable) -> Predictions:
    """Predictions from the columns of a file; messages name the file."""
    keys = table.keys
    if "label" in keys and "labels" in keys:
        raise DatasetError(
            f"{path}: there must be `label` or `labels` (sets), not both. Received both. Drop one."
        )
    multilabel = "labels" in keys
    labels = keys.get("labels") if multilabel else keys.get("label")
    try:
        return Predictions(
            keys["clip_id"],
            table.classes,
            table.probabilities,
            labels,
            keys.get("group"),
            multilabel,
            table.ungrouped,
            table.notes,
        )
    except DatasetError as error:
        raise DatasetError(f"{path}: {error}") from error


def _optional_column(values: Texts | None) -> Texts | None:
    """A text column; None if no row has a value."""
    if values is None:
        return None
    column = text_column(values)
    is_empty = len(column) > 0 and not is_present(column).any()
    return None if is_empty else column


def _unify_groups(groups: Texts) -> Texts:
    """Groups by their `group_name`: two spellings of one artist become one group. Empty names become None."""
    names: dict[str, str] = {}
    for group in set(groups.tolist()):
        if group is not None:
            names[group] = group_name(group)
    if all(group == name for group, name in names.items()):
        return groups
    return np.array([names.get(group) or None for group in groups], dtype=object)


def _unify_labels(labels: Texts, *, multilabel: bool) -> Texts:
    """Labels in one spelling, without blanks around them, in one Unicode form. The same array if they are."""
    unify = label_name if multilabel else group_name
    names = {label: unify(label) for label in set(labels.tolist()) if label is not None}
    if all(label == name for label, name in names.items()):
        return labels
    empty = "" if multilabel else None
    return np.array([None if label is None else names[label] or empty for label in labels], dtype=object)


def _spelling_notes(labels: Texts) -> list[str]:
    texts = [label for label in labels.tolist() if label]
    return [note for note in label_notes(texts, texts) if "joined" in note]


def _check_shapes(p: Predictions) -> None:
    n_clips, n_classes = len(p.clip_ids), len(p.classes)
    if p.probabilities.shape != (n_clips, n_classes):
        raise DatasetError(
            "Probabilities must have one row per clip and one column per class "
            f"{(n_clips, n_classes)}. Received {p.probabilities.shape}."
        )
    for name, column in (("labels", p.labels), ("groups", p.groups)):
        if column is not None and len(column) != n_clips:
            raise DatasetError(f"There must be one of `{name}` per clip ({n_clips}). Received {len(column)}.")
    if len(set(p.classes)) < n_classes or n_classes == 0:
        raise DatasetError(
            f"Classes must be one or more, each named once. Received {name_columns(p.classes)}."
        )


def _check_ids(ids: Texts) -> None:
    n_missing = int((~is_present(ids)).sum())
    if n_missing:
        raise DatasetError(
            f"Every row must have a clip id. {n_missing} have none. Fill the column `clip_id`."
        )
    index = pd.Index(ids)
    if not index.is_unique:
        repeated = list(index[index.duplicated()].unique())
        raise DatasetError(
            f"Every clip id must be there once. {name_clips(repeated)} are there more than once. "
            "Keep one row per clip."
        )


def _check_probabilities(
    ids: Texts, classes: Sequence[str], values: Probabilities, *, multilabel: bool
) -> None:
    not_finite, outside, wrong_sum = (np.zeros(len(values), dtype=bool) for _ in range(3))
    for start in range(0, len(values), BATCH_ROWS):
        rows = slice(start, start + BATCH_ROWS)
        block = values[rows]
        low, high = block.min(axis=1), block.max(axis=1)
        not_finite[rows] = ~np.isfinite(low + high)
        outside[rows] = (low < 0) | (high > 1 + 1e-6)
        if not multilabel:
            total = block.sum(axis=1, dtype=np.float64)
            wrong_sum[rows] = np.abs(total - 1) > SUM_TOLERANCE + ROUNDING
    checks = (
        (not_finite, "be finite", "Drop the clips that could not be predicted."),
        (outside, "lie in [0, 1]", "Give probabilities, not scores, logits or percentages."),
        (
            wrong_sum,
            "sum to 1 in each row",
            "Give one column per class, or write `labels` if a clip can have several.",
        ),
    )
    for is_wrong, requirement, advice in checks:
        if is_wrong.any():
            row = int(np.flatnonzero(is_wrong)[0])
            pairs = zip(classes[:6], values[row], strict=False)
            example = ", ".join(f"{name} {value:.4g}" for name, value in pairs)
            raise DatasetError(
                f"Probabilities must {requirement}. {int(is_wrong.sum())} rows do not, "
                f"such as '{ids[row]}': {example}. {advice}"
            )
