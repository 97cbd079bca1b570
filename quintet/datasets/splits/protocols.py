"""Splits: who may learn from whom.

`make_split` divides the clips once: a test part, and folds within the training part. The result is written with a digest and
checked whenever it is read. Protocols:

| protocol | units that never part | what its scores mean |
|---|---|---|
| `group` | groups (artist, recording) | music by people that the model never heard |
| `random` | single clips, groups ignored on purpose | the flattering figure; stamped ungrouped wherever it is shown |
| `given` | as the data's own `split` column says | comparable with whoever used the same lists |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from quintet.datasets.groups import group_name, group_names, require_disjoint
from quintet.datasets.labels import LABEL_SEPARATOR, label_indicator
from quintet.datasets.splits.split import Positions, Split
from quintet.datasets.splits.stratification import allocate_groups, group_counts
from quintet.errors import ConfigError, DatasetError, unknown_name

PROTOCOLS = ("group", "random", "given")
PART_NAMES = {"training": "train", "validation": "valid", "val": "valid", "dev": "valid", "testing": "test"}
PART_NAMES |= {"train": "train", "valid": "valid", "test": "test", "unused": "unused"}


def grouped_folds(
    y: ArrayLike, groups: Sequence[Any], *, n_splits: int, seed: int
) -> list[tuple[Positions, Positions]]:
    """Stratified folds that no group crosses.

    Args:
        y: labels, shape `(n,)`, or an indicator matrix, shape `(n, tags)`.
        groups: shape `(n,)`. Give every clip its own to split clips.
        n_splits: the number of folds, at least 2.
        seed: which of the equally even divisions. The order of rows does not matter.

    Returns:
        `(train, valid)` position arrays, one pair per fold; every position is in exactly one `valid`.

    Raises:
        DatasetError: if there is one class only, or a class lies in fewer groups than there are folds (for label sets: if there
            are fewer groups than folds, or a tag lies in one group only; a rarer tag is absent from some folds, and scores say so).

    Example:
        >>> folds = grouped_folds(["a", "a", "b", "b"], ["w", "x", "y", "z"], n_splits=2, seed=0)
        >>> [(len(train), len(valid)) for train, valid in folds]
        [(2, 2), (2, 2)]
    """
    if n_splits < 2:
        raise ConfigError(f"Cross-validation must have at least 2 folds. Received {n_splits}.")
    counts, names, rows, classes = group_counts(y, groups)
    _require_classes(counts, classes, labelled=np.ndim(y) == 1)
    if len(names) < n_splits:
        raise DatasetError(
            f"There must be at least as many groups as folds. Received {len(names)} groups for {n_splits} folds: ask for fewer folds."
        )
    _require_groups(
        counts,
        names,
        classes,
        needed=n_splits if np.ndim(y) == 1 else 2,
        whole=f"the part to be dealt into {n_splits} folds",
    )
    fold = allocate_groups(counts, np.bincount(rows).astype(float), [1 / n_splits] * n_splits, seed=seed)[
        rows
    ]
    return [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(n_splits)]


def hold_out(
    y: ArrayLike, groups: Sequence[Any], *, test_size: float, seed: int
) -> tuple[Positions, Positions]:
    """One stratified division into two that no group crosses, also for early stopping and calibration.

    Args:
        y: labels, shape `(n,)`, or an indicator matrix.
        groups: shape `(n,)`.
        test_size: the wished share of clips in the second part, in (0, 1); whole groups come as near as they can.
        seed: which of the equally even divisions.

    Returns:
        `(train, test)` positions. Every class is in `train`; in `test` too wherever it has a second group.

    Raises:
        DatasetError: if there are fewer than two groups.
    """
    if not 0 < test_size < 1:
        raise ConfigError(f"The held-out share must lie between 0 and 1. Received {test_size}.")
    counts, names, rows, _ = group_counts(y, groups)
    if len(names) < 2:
        raise DatasetError(
            f"A division needs at least two groups. All {len(rows)} clips belong to '{names[0] if len(names) else ''}'."
        )
    part = allocate_groups(counts, np.bincount(rows).astype(float), [1 - test_size, test_size], seed=seed)[
        rows
    ]
    return np.flatnonzero(part == 0), np.flatnonzero(part == 1)


def nested_subsets(
    y: ArrayLike, groups: Sequence[Any], *, shares: Sequence[float], seed: int
) -> list[Positions]:
    """Stratified parts of the data in whole groups, each within the next: what a learning curve is drawn with.

    Args:
        y: labels, shape `(n,)`, or an indicator matrix, shape `(n, tags)`.
        groups: shape `(n,)`.
        shares: wished shares of the clips, rising, in (0, 1]; whole groups come as near as they can.
        seed: which of the equally even divisions.

    Returns:
        Sorted positions, one array per share. A small part may lack a class that lies in few groups.

    Raises:
        ConfigError: shares that do not rise, or lie outside (0, 1].

    Example:
        >>> half, whole = nested_subsets(["a", "a", "b", "b"], ["w", "x", "y", "z"], shares=[0.5, 1.0], seed=0)
        >>> len(half), whole.tolist()
        (2, [0, 1, 2, 3])
    """
    steps = np.diff([0.0, *shares])
    if not len(steps) or (steps <= 0).any() or shares[-1] > 1:
        raise ConfigError(
            f"Shares of the data must rise within (0, 1]. Received {', '.join(map(str, shares)) or 'none'}."
        )
    counts, _, rows, _ = group_counts(y, groups)
    parts = [*steps, 1 - shares[-1]] if shares[-1] < 1 else list(steps)
    part = allocate_groups(counts, np.bincount(rows).astype(float), parts, seed=seed)[rows]
    return [np.flatnonzero(part <= k) for k in range(len(shares))]


def usable_folds(y: ArrayLike, groups: Sequence[Any], *, at_most: int = 5) -> int:
    """The number of folds that every class can fill: that of the groups of the rarest class, between 2 and `at_most`.

    Example:
        >>> usable_folds(["a", "a", "a", "b", "b", "b"], [1, 2, 3, 4, 5, 6])
        3
    """
    counts, names, _, _ = group_counts(y, groups)
    present = counts.sum(axis=0) > 0
    fewest = (counts > 0).sum(axis=0)[present].min(initial=len(names)) if np.ndim(y) == 1 else len(names)
    return int(np.clip(fewest, 2, at_most))


@dataclass(frozen=True, slots=True)
class SplitSettings:
    """How `make_split` divides the clips.

    Args:
        protocol: `group`, `random` or `given`.
        test_size: share of the clips in the test part, in [0, 1). 0: no test part; scores are then out of fold.
            Ignored under `given`.
        n_splits: number of folds in the training part. None: 5, or fewer if a class has fewer groups.
        seed: selects one of the equally even divisions.
    """

    protocol: str = "group"
    test_size: float = 0.2
    n_splits: int | None = None
    seed: int = 0


def make_split(
    ids: Sequence[str],
    labels: Sequence[str],
    groups: Sequence[str],
    settings: SplitSettings = SplitSettings(),
    *,
    given: Sequence[str | None] | None = None,
    grouped: bool | None = None,
) -> Split:
    """Divide the clips of a run into a test part and folds.

    Args:
        ids: clip ids, shape `(n,)`, unique.
        labels: shape `(n,)`: `"rock"`, or `"rock;live"` for sets.
        groups: shape `(n,)`; equal to the ids if nothing is known.
        settings: protocol, size of the test part, number of folds, seed.
        given: under `given`: `train`, `valid` or `test` for every clip (also `validation`, `dev`, …). A clip without
            a part, or with the part `unused`, is left out.
        grouped: whether the groups are known (`Manifest.grouped`). None: yes if they differ from the ids.

    Returns:
        A `Split` in the order of `ids`. Under `given` with a `valid` part there are two folds: fold 0 is the valid part
        (predicted by a model of the train part), fold 1 is the train part (predicted by a model of the valid part).
        So every clip of both parts gets an out-of-fold prediction. `Split.valid` is the valid part alone.

    Raises:
        DatasetError: if there is one class only, a class has too few clips or groups, or a group holds all of a class.
        SplitLeakError: if a given split has one group on two sides.
        ConfigError: if the protocol is unknown, or a size is impossible.

    Example:
        >>> settings = SplitSettings(test_size=0.25, n_splits=3)
        >>> split = make_split(list("abcdefgh"), ["x", "y"] * 4, list("AABBCCDD"), settings)
        >>> split.frame["part"].value_counts().to_dict(), len(split.folds())
        ({'train': 6, 'test': 2}, 3)
    """
    if settings.protocol not in PROTOCOLS:
        raise unknown_name("protocol", settings.protocol, PROTOCOLS)
    columns = {"id": list(map(str, ids)), "label": list(map(str, labels)), "group": group_names(groups)}
    frame = pd.DataFrame(columns)
    if grouped is None:
        grouped = bool((frame["group"] != frame["id"].map(group_name)).any())
    if settings.protocol == "given":
        return _given_split(frame, given, settings, grouped=grouped)
    units = frame["id"] if settings.protocol == "random" else frame["group"]
    y = _targets(frame["label"])
    frame["part"], frame["fold"] = "train", -1
    _require_enough(y, units, settings)
    if settings.test_size:
        _, test = hold_out(y, units.tolist(), test_size=settings.test_size, seed=settings.seed)
        frame.loc[test, "part"] = "test"
    _add_folds(frame, y, units, settings)
    grouped = grouped and settings.protocol == "group"
    return Split(frame, settings.protocol, settings.seed, grouped=grouped)


def _targets(labels: pd.Series) -> NDArray[Any]:
    """Labels as they are, or the indicator matrix of label sets."""
    if labels.str.contains(LABEL_SEPARATOR, regex=False).any():
        return label_indicator(labels)[0]
    return labels.to_numpy(str)


def _add_folds(frame: pd.DataFrame, y: NDArray[Any], units: pd.Series, settings: SplitSettings) -> None:
    """Fills the column `fold` of the training rows."""
    train = np.flatnonzero(frame["part"] == "train")
    inside = units.iloc[train].tolist()
    n_splits = settings.n_splits or usable_folds(y[train], inside)
    folds = grouped_folds(y[train], inside, n_splits=n_splits, seed=settings.seed)
    for k, (_, valid) in enumerate(folds):
        frame.loc[train[valid], "fold"] = k


def _given_split(
    frame: pd.DataFrame, given: Sequence[str | None] | None, settings: SplitSettings, *, grouped: bool
) -> Split:
    """The split that the data bring along."""
    if given is None or len(given) != len(frame):
        raise ConfigError(
            "The protocol 'given' needs a split column with train, valid or test for every clip. This source has none: choose another."
        )
    parts = pd.Series(
        [
            "unused"
            if pd.isna(name) or not str(name).strip()
            else PART_NAMES.get(str(name).strip().lower(), "?")
            for name in given
        ]
    )
    if (parts == "?").any():
        odd = sorted({str(name) for name, part in zip(given, parts, strict=True) if part == "?"})
        raise DatasetError(
            f"A split column must say train, valid or test. Received also: {', '.join(odd[:5])}."
        )
    for part in ("train", "test"):
        if not (parts == part).any():
            raise DatasetError(
                f"A given split must have a {part} part. Received {parts.value_counts().to_dict()}."
            )
    if grouped:
        for a, b in (("train", "test"), ("valid", "test"), ("train", "valid")):
            require_disjoint(
                frame["group"][parts == a], frame["group"][parts == b], where=f"the given {a} and {b} parts"
            )
    frame["part"], frame["fold"] = parts.replace("valid", "train"), -1
    y = _targets(frame["label"])
    counts, _, _, classes = group_counts(
        y[frame["part"] == "train"], frame["group"][frame["part"] == "train"].tolist()
    )
    _require_classes(counts, classes, labelled=y.ndim == 1)
    if (parts == "valid").any():
        frame.loc[parts == "valid", "fold"] = 0
        frame.loc[parts == "train", "fold"] = 1
    else:
        _add_folds(frame, y, frame["group"], settings)
    return Split(frame, "given", settings.seed, grouped=grouped)


def _require_classes(counts: NDArray[np.float64], classes: NDArray[Any], *, labelled: bool) -> None:
    present = classes[counts.sum(axis=0) > 0]
    if labelled and len(present) < 2:
        raise DatasetError(
            f"A classifier needs at least two classes. Received {len(present)}: {', '.join(map(str, present)) or 'none'}."
        )


def _require_groups(
    counts: NDArray[np.float64], names: NDArray[np.str_], classes: NDArray[Any], *, needed: int, whole: str
) -> None:
    """Refuses what cannot be divided, naming each class with its numbers."""
    in_groups, clips = (counts > 0).sum(axis=0), counts.sum(axis=0)
    short = [k for k in range(len(classes)) if 0 < in_groups[k] < needed]
    if not short:
        return
    alone = [k for k in short if in_groups[k] == 1 and clips[k] > 1]
    if alone:
        listed = "; ".join(
            f"'{names[np.argmax(counts[:, k])]}' holds all {clips[k]:.0f} clips of '{classes[k]}'"
            for k in alone
        )
        raise DatasetError(
            f"A group must not hold all of a class: the class could be learnt or tested, never both. In {whole}, {listed}. "
            "Add clips of the class from other groups, leave the class out, or split by something finer."
        )
    short.sort(key=lambda k: in_groups[k])
    listed = ", ".join(f"'{classes[k]}' has {clips[k]:.0f} clips in {in_groups[k]} groups" for k in short[:3])
    listed += f", and {len(short) - 3} more classes have too few" if len(short) > 3 else ""
    raise DatasetError(
        f"Every class must lie in at least {needed} groups (clips, where no groups are known) to be divided so. In {whole}, {listed}. "
        "Ask for fewer folds or no test part, add clips from other groups, or leave the class out."
    )


def _require_enough(y: NDArray[Any], units: pd.Series, settings: SplitSettings) -> None:
    """What must hold of the whole before anything is divided: each class in a group per fold, and one more for the test."""
    if not 0 <= settings.test_size < 1:
        raise ConfigError(f"The share of the test part must lie in [0, 1). Received {settings.test_size}.")
    counts, names, _, classes = group_counts(y, units.tolist())
    _require_classes(counts, classes, labelled=y.ndim == 1)
    needed = (max(settings.n_splits or 2, 2) if y.ndim == 1 else 2) + (1 if settings.test_size else 0)
    _require_groups(counts, names, classes, needed=needed, whole="all the data")
