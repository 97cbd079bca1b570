"""Several files of predictions of the same clips.

Keys are joined at once. Probabilities are read file by file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quintet.datasets.groups import missing_groups_note
from quintet.errors import AlignmentError, DatasetError
from quintet.evaluation.intervals import group_codes
from quintet.evaluation.metrics import tag_indicator
from quintet.files.json_types import JsonObject
from quintet.predictions.align import align
from quintet.predictions.columns import Positions, Texts, class_order, is_present, name_columns
from quintet.predictions.files import Probabilities
from quintet.predictions.predictions import Predictions, read_keys, read_probabilities


class _Source(NamedTuple):
    """Place of the values of one file: its clip ids, and the positions of its rows and columns.

    Args:
        clip_ids: in the order of the file.
        rows: positions of its rows in the common order; None if the orders are equal.
        columns: positions of its columns in the common order.
    """

    clip_ids: Texts
    rows: Positions | None
    columns: Positions


class ScorableClips(NamedTuple):
    """Clips of a collection that can be scored.

    Args:
        rows: their positions; None for all.
        y: their labels, or their indicator matrix for label sets.
        groups: their group numbers; None if no groups are known.
    """

    rows: Positions | None
    y: Texts | NDArray[np.bool_]
    groups: Positions | None


class PredictionFiles:
    """Several files of predictions of the same clips.

    Ids, labels and groups are joined at once. Iterating reads the probabilities, one file after the other.

    Args:
        paths: one or more files.
        intersection: leave out the clips that only some files have. Default: refuse them.

    Attributes:
        paths: the files.
        names: their names without ending, with as many folders as are needed to make them different.
        classes: K names, in the order of the first file.
        left_out: number of clips that only some files have.
        ungrouped: whether the split of one of them kept no groups apart.
        notes: how the files were read, and spellings that were joined.

    Raises:
        AlignmentError: no file or one file twice is given, or clips, classes, labels or groups differ.
        ArtefactError: a file is missing, or it is neither parquet nor CSV.
        DatasetError: a column is missing, ids repeat, or a row holds no probabilities.
    """

    def __init__(self, paths: Sequence[str | Path], *, intersection: bool = False) -> None:
        if not paths:
            raise AlignmentError(
                "At least one file of predictions must be given. Received none. Name one or more."
            )
        self.paths = [Path(path) for path in paths]
        self.names = _short_names(self.paths)
        keys, classes = zip(*read_keys(self.paths), strict=True)
        aligned = align(keys, intersection=intersection)
        self.classes: tuple[str, ...] = classes[0]
        self.left_out = aligned.left_out
        self.ungrouped = any(p.ungrouped for p in keys)
        self.notes = tuple(dict.fromkeys(note for p in keys for note in p.notes))
        self._keys = aligned[0]
        self._sources: list[_Source] = []
        for p, names in zip(keys, classes, strict=True):
            rows = _positions(p.clip_ids, self._keys.clip_ids)
            self._sources.append(_Source(p.clip_ids, rows, class_order(self.classes, names)))

    @property
    def n(self) -> int:
        """Number of clips."""
        return len(self._keys)

    @property
    def multilabel(self) -> bool:
        """Whether the files hold label sets."""
        return self._keys.multilabel

    def describe(self) -> JsonObject:
        """JSON object of the facts besides probabilities.

        Keys: `classes, grouped, ungrouped_split, left_out, unlabelled, unknown, unknown_labels, notes`.
        """
        labels, groups = self._keys.labels, self._keys.groups
        n_ungrouped = 0 if groups is None else int((~is_present(groups)).sum())
        n_unlabelled = self.n if labels is None else sum(label is None for label in labels)
        n_scorable = int(self._uniform.scorable.sum())
        return {
            "classes": list(self.classes),
            "grouped": groups is not None,
            "ungrouped_split": self.ungrouped,
            "left_out": self.left_out,
            "unlabelled": n_unlabelled,
            "unknown": self.n - n_unlabelled - n_scorable,
            "unknown_labels": self._uniform.unknown_labels,
            "notes": [*self.notes, *self._uniform.notes, *missing_groups_note(n_ungrouped, self.n)],
        }

    @cached_property
    def _uniform(self) -> Predictions:
        """Keys with the real classes and equal probabilities."""
        n_classes = len(self.classes)
        share = np.full(n_classes, 1 / n_classes, dtype=np.float32)
        probabilities = np.broadcast_to(share, (self.n, n_classes))
        return self.predictions(probabilities)

    @cached_property
    def _scorable(self) -> ScorableClips:
        """Labels and groups of the scorable clips, encoded once for all files."""
        p = self._uniform
        if not self.n:
            raise DatasetError("To be scored, a file must have predictions. Received no row: predict clips.")
        is_scorable = p.scorable
        if p.labels is None or not is_scorable.any():
            raise DatasetError(
                "To be scored, clips must have a label among the classes "
                f"({name_columns(self.classes, 6)}). None of the {self.n} has one. "
                + _label_advice(self.classes, list(p.unknown_labels))
            )
        labels = p.labels[is_scorable]
        y = tag_indicator(labels, self.classes) if self.multilabel else labels
        groups = None
        if p.groups is not None:
            groups = group_codes(p.units[is_scorable], len(labels))[0]
        rows = None if is_scorable.all() else np.flatnonzero(is_scorable)
        return ScorableClips(rows, y, groups)

    def select_scorable(
        self, probabilities: Probabilities
    ) -> tuple[Texts | NDArray[np.bool_], Probabilities, Positions | None]:
        """Labels (for sets: the indicator), probabilities and group numbers of the clips that can be scored.

        Args:
            probabilities: of all clips, `(n, K)`.

        Raises:
            DatasetError: no clip has a label that is one of the classes.
        """
        rows, y, groups = self._scorable
        return y, probabilities if rows is None else probabilities[rows], groups

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[Probabilities]:
        """Probabilities `(n, K)` of each file, with clips and classes in one order.

        A thread reads the next file while the caller works with the current one.
        """
        with ThreadPoolExecutor(1) as pool:
            next_read = pool.submit(self.read, 0)
            for i in range(1, len(self) + 1):
                current = next_read.result()
                if i < len(self):
                    next_read = pool.submit(self.read, i)
                yield current

    def read(self, i: int) -> Probabilities:
        """Probabilities `(n, K)` of file number `i`, with clips and classes in the common order."""
        source = self._sources[i]
        values = read_probabilities(self.paths[i], source.clip_ids, multilabel=self.multilabel)
        if source.rows is not None:
            values = values[source.rows]
        in_order = bool((source.columns == np.arange(len(source.columns))).all())
        return values if in_order else values[:, source.columns]

    def predictions(self, probabilities: Probabilities) -> Predictions:
        """Probabilities `(n, K)` with the ids, labels and groups of the files."""
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


def _label_advice(classes: Sequence[str], labels: Sequence[str]) -> str:
    """What to do about labels that are no classes; the labels that were found."""
    if not labels:
        return "Add a column `label` (or `labels`)."
    in_other_case = {name.casefold() for name in classes} & {label.casefold() for label in labels}
    reason = "They differ in capital letters: w" if in_other_case else "W"
    return f"The labels are {name_columns(labels, 6)}. {reason}rite labels as the classes are written."


def _short_names(paths: Sequence[Path]) -> list[str]:
    """Shortest ends of the paths, without suffix, that are all different.

    Raises:
        AlignmentError: a file is given twice.
    """
    if len({path.resolve() for path in paths}) < len(paths):
        raise AlignmentError(
            "Each file of predictions must be given once. Received one twice. Drop one of them."
        )
    longest = max(len(path.parts) for path in paths)
    for depth in range(1, longest + 1):
        names = ["/".join(path.with_suffix("").parts[-depth:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]


def _positions(ids: Texts, wanted: Texts) -> Positions | None:
    """Positions of the wanted ids; None if both are equal."""
    if ids is wanted or (len(ids) == len(wanted) and bool((ids == wanted).all())):
        return None
    position = {name: i for i, name in enumerate(ids)}
    return np.array([position[name] for name in wanted], dtype=np.int64)
