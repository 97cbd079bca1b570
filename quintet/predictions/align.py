"""Alignment of predictions: the same clips of several members, joined by clip id and class name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import overload

import numpy as np
import pandas as pd

from quintet.datasets.labels import label_set
from quintet.errors import AlignmentError
from quintet.files.display.names import printable
from quintet.predictions.columns import Positions, Texts, class_order, is_present, name_clips
from quintet.predictions.files import Probabilities
from quintet.predictions.predictions import Predictions


@dataclass(frozen=True)
class Aligned(Sequence[Predictions]):
    """Predictions of the same clips in the same order, with the same classes.

    Args:
        predictions: one per member.
        left_out: number of clips that only some members have.
    """

    predictions: tuple[Predictions, ...]
    left_out: int = 0

    def __len__(self) -> int:
        return len(self.predictions)

    @overload
    def __getitem__(self, index: int) -> Predictions: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Predictions, ...]: ...
    def __getitem__(self, index: int | slice) -> Predictions | tuple[Predictions, ...]:
        return self.predictions[index]

    @property
    def stack(self) -> Probabilities:
        """Probabilities of all members, `(members, clips, classes)`: the input of fusion."""
        return np.stack([p.probabilities for p in self.predictions])


def align(predictions: Sequence[Predictions], *, intersection: bool = False) -> Aligned:
    """Join predictions by clip id. Clips and classes take the order of the first.

    Args:
        predictions: one or more. Labels and groups that one lacks are filled in from the others.
        intersection: leave out the clips that only some have. Default: refuse them.

    Returns:
        A sequence of `Predictions`, with `left_out` and `stack`.

    Raises:
        AlignmentError: clips, classes, labels or groups differ. The message gives numbers and examples.

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
    orders = [class_order(first.classes, p.classes) for p in predictions]
    if len({p.multilabel for p in predictions}) > 1:
        raise AlignmentError(
            "All predictions must be of one kind. Received label sets in one, single labels in another. "
            "Fuse them apart."
        )
    ordered = [_reorder(p, ids, order) for p, order in zip(predictions, orders, strict=True)]
    labels = _merge([p.labels for p in ordered], ids, "label", sets=first.multilabel)
    groups = _merge([p.groups for p in ordered], ids, "group", sets=False)
    return Aligned(tuple(_with_keys(p, labels, groups) for p in ordered), left_out)


def common_ids(ids: Sequence[Texts], *, intersection: bool) -> tuple[Texts, int]:
    """Clips that all files have, in the order of the first, and the number of clips that only some have.

    Args:
        ids: clip ids of each file.
        intersection: leave out the clips that only some files have. Default: refuse them.

    Raises:
        AlignmentError: only some files have a clip (unless `intersection`), or no clip is in all files.
    """
    first = ids[0]
    if all(_are_equal(other, first) for other in ids[1:]):
        return first, 0
    indices = [pd.Index(other) for other in ids]
    in_all, in_any = indices[0], indices[0]
    for index in indices[1:]:
        in_all, in_any = in_all[in_all.isin(index)], in_any.union(index, sort=False)
    if not len(in_all):
        examples = ", ".join(f"'{printable(names[0])}'" if len(names) else "no row" for names in ids)
        raise AlignmentError(
            f"The files must share clips. None of {len(in_any)} clip ids is in all of them. They begin with "
            f"{examples}: write the ids of all files in one way."
        )
    left_out = len(in_any) - len(in_all)
    if left_out and not intersection:
        only_some = list(in_any[~in_any.isin(in_all)])
        raise AlignmentError(
            f"All predictions must describe the same clips. {name_clips(only_some)} are in only some of the "
            f"{len(ids)} files ({len(in_all)} are in all). Predict the missing ones, "
            "or leave them out with --intersection."
        )
    return np.asarray(in_all, dtype=object), left_out


def _are_equal(first: Texts, second: Texts) -> bool:
    return first is second or (len(first) == len(second) and bool((first == second).all()))


def _reorder(p: Predictions, ids: Texts, order: Positions) -> Predictions:
    """Rows in the order of `ids`, columns in `order`. Returns `p` itself if it is already in both orders."""
    rows = p if _are_equal(p.clip_ids, ids) else p.take(ids)
    if (order == np.arange(len(order))).all():
        return rows
    classes = tuple(p.classes[k] for k in order)
    return replace(rows, classes=classes, probabilities=rows.probabilities[:, order])


def _with_keys(p: Predictions, labels: Texts | None, groups: Texts | None) -> Predictions:
    """`p` with these labels and groups; `p` itself if it has them already."""
    if p.labels is labels and p.groups is groups:
        return p
    return replace(p, labels=labels, groups=groups)


def _merge(columns: Sequence[Texts | None], ids: Texts, kind: str, *, sets: bool) -> Texts | None:
    """One column from the columns of several files: the first value of each clip.

    Args:
        columns: texts `(n,)` of each file, or None.
        ids: clip ids `(n,)`, for the message.
        kind: "label" or "group", for the message.
        sets: whether values are label sets, whose order does not matter.

    Raises:
        AlignmentError: two files give a clip different values.
    """
    distinct = list({id(column): column for column in columns if column is not None}.values())
    if not distinct:
        return None
    merged = distinct[0]
    for column in distinct[1:]:
        different = _differences(merged, column, sets=sets)
        if different:
            row = different[0]
            raise AlignmentError(
                f"All files must give a clip the same {kind}. {len(different)} clips differ: '{ids[row]}' is "
                f"'{merged[row]}' in one and '{column[row]}' in another. Correct the file that is wrong."
            )
        merged = np.where(is_present(merged), merged, column)
    return merged


def _differences(first: Texts, second: Texts, *, sets: bool) -> list[int]:
    """Rows in which both columns have a value, and not the same."""
    both = is_present(first) & is_present(second)
    rows: list[int] = np.flatnonzero(both & (first != second)).tolist()
    if not sets:
        return rows
    return [row for row in rows if set(label_set(first[row])) != set(label_set(second[row]))]
