"""Protocols that divide the clips of a run once into a test part and folds of the training part.

The split is written with a digest, and the digest is checked whenever the split is read. Protocols:

| protocol | units that are kept whole | meaning of the scores |
|---|---|---|
| `group` | groups (artist, recording) | performance on artists that the ensemble was not trained on |
| `sound` | blocks of clips that sound alike (`sound_blocks`) | about as by group, where none are known |
| `random` | single clips; groups are ignored on purpose | too optimistic; marked as ungrouped |
| `given` | as in the data's own `split` column | comparable with other work on the same lists |

A given validation part is used as it is meant: members that are fitted on the train part are judged on it.
The train part is never predicted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quintet.datasets.groups import group_name, group_names, require_disjoint
from quintet.datasets.labels import is_label_set, label_indicator
from quintet.datasets.splits.folds import (
    grouped_folds,
    hold_out,
    require_groups_per_class,
    require_two_classes,
    usable_folds,
)
from quintet.datasets.splits.split import Split
from quintet.datasets.splits.stratification import group_counts
from quintet.errors import ConfigError, DatasetError, unknown_name

PROTOCOLS = ("group", "sound", "random", "given")
GROUPED = ("group", "sound")
"""Protocols that keep the groups whole that they are given."""
PART_NAMES = {"training": "train", "validation": "valid", "val": "valid", "dev": "valid", "testing": "test"}
PART_NAMES |= {"train": "train", "valid": "valid", "test": "test", "unused": "unused"}

Targets = NDArray[np.str_] | NDArray[np.int8]
"""Labels of shape `(n,)`, or an indicator matrix of shape `(n, tags)`."""


@dataclass(frozen=True, slots=True)
class SplitSettings:
    """How `make_split` divides the clips.

    Args:
        protocol: `group`, `sound`, `random` or `given`.
        test_size: share of the clips in the test part, in [0, 1). 0: no test part; scores are then out of
            fold. Ignored under `given`.
        n_splits: number of folds in the training part. None: 5, or fewer if a class has fewer groups.
        seed: selects one of the equally even divisions.
        part_of_value: under `given`: value of the split column → part, for values that are no part's name.
    """

    protocol: str = "group"
    test_size: float = 0.2
    n_splits: int | None = None
    seed: int = 0
    part_of_value: Mapping[str, str] = field(default_factory=dict)


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
        groups: shape `(n,)`; equal to the ids if nothing is known. Under `sound`, the blocks.
        settings: protocol, size of the test part, number of folds, seed.
        given: under `given`: `train`, `valid` or `test` for every clip (also `validation`, `dev`, …). A clip
            without a part, or with the part `unused`, is left out.
        grouped: whether the groups are known (`Manifest.grouped`). None: yes if they differ from the ids.

    Returns:
        A `Split` in the order of `ids`. Under `given` with a `valid` part there is one fold: its held-out
        clips are the valid part (`Split.valid`), and members are fitted on the train part. The train part is
        held out by no fold.

    Raises:
        DatasetError: if there is one class only, a class has too few clips or groups, or a group holds all of
            a class.
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
        return _make_given_split(frame, given, settings, grouped=grouped)
    units = frame["id"] if settings.protocol == "random" else frame["group"]
    y, tags = _targets(frame["label"])
    frame["part"], frame["fold"] = "train", -1
    _require_enough(y, units, settings, tags)
    if settings.test_size:
        _, test = hold_out(y, units.tolist(), test_size=settings.test_size, seed=settings.seed)
        frame.loc[test, "part"] = "test"
    _add_folds(frame, y, units, settings, tags)
    grouped = grouped and settings.protocol in GROUPED
    return Split(frame, settings.protocol, settings.seed, grouped=grouped)


def _targets(labels: pd.Series) -> tuple[Targets, tuple[str, ...] | None]:
    """Labels as they are, and None; or the indicator matrix and its tags if any label is a set."""
    if labels.map(is_label_set).any():
        return label_indicator(labels)
    return labels.to_numpy(str), None


def _add_folds(
    frame: pd.DataFrame,
    y: Targets,
    units: pd.Series,
    settings: SplitSettings,
    tags: tuple[str, ...] | None,
) -> None:
    """Fill the column `fold` of the training rows."""
    train = np.flatnonzero(frame["part"] == "train")
    train_y, train_units = y[train], units.iloc[train].tolist()
    n_splits = settings.n_splits or usable_folds(train_y, train_units)
    folds = grouped_folds(train_y, train_units, n_splits=n_splits, seed=settings.seed, tags=tags)
    for k, (_, valid) in enumerate(folds):
        frame.loc[train[valid], "fold"] = k


def _require_enough(
    y: Targets, units: pd.Series, settings: SplitSettings, tags: tuple[str, ...] | None
) -> None:
    """Check the data before dividing: each class needs a unit per fold, and one more for the test part."""
    if not 0 <= settings.test_size < 1:
        raise ConfigError(f"The share of the test part must lie in [0, 1). Received {settings.test_size}.")
    table = group_counts(y, units.tolist(), tags=tags)
    needed = 2
    if y.ndim == 1:
        require_two_classes(table)
        needed = max(settings.n_splits or 2, 2)
    if settings.test_size:
        needed += 1
    require_groups_per_class(table, needed=needed, whole="all the data")


def _make_given_split(
    frame: pd.DataFrame, given: Sequence[str | None] | None, settings: SplitSettings, *, grouped: bool
) -> Split:
    """The split of the data's own `split` column."""
    parts = _read_parts(given, len(frame), settings.part_of_value)
    if grouped:
        _require_parts_disjoint(frame["group"], parts)
    frame["part"], frame["fold"] = parts.replace("valid", "train"), -1
    y, tags = _targets(frame["label"])
    if y.ndim == 1:
        in_training = frame["part"] == "train"
        require_two_classes(group_counts(y[in_training], frame["group"][in_training].tolist()))
    if (parts == "valid").any():
        frame.loc[parts == "valid", "fold"] = 0
    else:
        _add_folds(frame, y, frame["group"], settings, tags)
    return Split(frame, "given", settings.seed, grouped=grouped)


def _read_parts(
    given: Sequence[str | None] | None, n_clips: int, part_of_value: Mapping[str, str]
) -> pd.Series:
    """`train`, `valid`, `test` or `unused` per clip, from the spellings in a split column."""
    if given is None or len(given) != n_clips:
        raise ConfigError(
            "The protocol 'given' needs a split column with train, valid or test for every clip. "
            "This source has none: choose another."
        )
    mapped = _check_values(part_of_value, given)
    parts = pd.Series([mapped.get(_value(name)) or _read_part(name) for name in given])
    if parts.isna().any():
        unknown = sorted(
            {str(name) for name, is_unknown in zip(given, parts.isna(), strict=True) if is_unknown}
        )
        raise DatasetError(
            f"A split column must say train, valid or test. Received also: {', '.join(unknown[:5])}. "
            f"Name the part of such a value: --split-value '{unknown[0]}=unused' leaves its clips out "
            "(`split_values` in a recipe and in TrainSettings)."
        )
    for part in ("train", "test"):
        if not (parts == part).any():
            numbers = parts.value_counts().to_dict()
            raise DatasetError(f"A given split must have a {part} part. Received {numbers}.")
    return parts


def _check_values(part_of_value: Mapping[str, str], given: Sequence[str | None]) -> dict[str, str]:
    """Value of the split column → part, by the names of `PARTS` and `valid`.

    Raises:
        ConfigError: a part is unknown.
        DatasetError: no clip has the value.
    """
    present = {_value(name) for name in given}
    mapped = {}
    for value, name in part_of_value.items():
        part = PART_NAMES.get(name.strip().lower())
        if part is None:
            raise unknown_name(
                f"part of the split value '{value}'", name, ("train", "valid", "test", "unused")
            )
        if _value(value) not in present:
            values = ", ".join(sorted(present - {""})[:5])
            raise DatasetError(
                f"A value whose part is named must stand in the split column. '{value}' does not; "
                f"the column has: {values}."
            )
        mapped[_value(value)] = part
    return mapped


def _value(name: str | None) -> str:
    """A value of the split column without blanks around it; empty if it is missing."""
    return "" if pd.isna(name) else str(name).strip()


def _read_part(name: str | None) -> str | None:
    """Part that a spelling stands for; `unused` if it is missing or blank; None if it is unknown."""
    value = _value(name)
    return PART_NAMES.get(value.lower()) if value else "unused"


def _require_parts_disjoint(groups: pd.Series, parts: pd.Series) -> None:
    """Check that no group is in two of the parts train, valid and test."""
    for a, b in (("train", "test"), ("valid", "test"), ("train", "valid")):
        groups_a = groups[parts == a]
        groups_b = groups[parts == b]
        require_disjoint(groups_a, groups_b, where=f"the given {a} and {b} parts")
