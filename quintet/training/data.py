"""Data of a training run: clips, labels, groups, their split, and the inputs of members."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from quintet.datasets.groups import group_name, require_disjoint
from quintet.datasets.labels import label_indicator, label_set
from quintet.datasets.splits.protocols import SplitSettings, make_split
from quintet.datasets.splits.split import Split
from quintet.ensemble.crossfit import Inputs
from quintet.errors import AlignmentError, ConfigError, DatasetError
from quintet.features.storage.augmented_spectrograms import AugmentedSpectrograms
from quintet.features.storage.spectrograms import SpectrogramStore
from quintet.features.storage.table import FeatureTable
from quintet.training.settings import TrainSettings


@dataclass(frozen=True)
class Copies:
    """Augmented copies of training clips: where they lie, and clip id → their ids."""

    store: SpectrogramStore
    copy_ids: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Material:
    """Everything a training run looks at, in the order of one table."""

    table: FeatureTable
    ids: np.ndarray[Any, Any]
    labels: np.ndarray[Any, Any]
    groups: np.ndarray[Any, Any]
    split: Split
    spectrograms: SpectrogramStore | None
    copies: Copies | None = None

    def __post_init__(self) -> None:
        require_disjoint(
            self.units[self.split.train], self.units[self.split.test], where="the training and the test part"
        )

    @property
    def multilabel(self) -> bool:
        """Whether labels are sets."""
        return bool(self.table.multilabel)

    @property
    def classes(self) -> list[str]:
        """All labels (for sets: all tags), sorted."""
        return sorted(
            {tag for label in self.labels for tag in (label_set(label) if self.multilabel else [label])}
        )

    @property
    def units(self) -> np.ndarray[Any, Any]:
        """What never parts where members are fitted: groups, or clips under `random`, which breaks the rule on purpose and is stamped for it."""
        return self.ids if self.split.protocol == "random" else self.groups

    def target(self, positions: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Labels `(n,)`, or the 0/1 indicator `(n, k)` for sets."""
        target: np.ndarray[Any, Any] = label_indicator(self.labels)[0] if self.multilabel else self.labels
        return np.asarray(target[positions])

    def inputs(self, positions: np.ndarray[Any, Any]) -> dict[str, Any]:
        """Keyword arguments `X` and `spectrograms` for the ensemble."""
        store, ids = self.spectrograms, list(self.ids[positions])
        taken = None if store is None else store.take(ids)
        if taken is not None and self.copies is not None:
            taken = AugmentedSpectrograms(taken.store, ids, copies=self.copies.store, of=self.copies.copy_ids)
        return {"X": self.table.features.iloc[positions], "spectrograms": taken}

    def members_inputs(self, positions: np.ndarray[Any, Any]) -> Inputs:
        """The same as one object, for cross-fitting."""
        given = self.inputs(positions)
        return Inputs(given["X"], given["spectrograms"])


def regroup(table: FeatureTable, groups: str | Path) -> FeatureTable:
    """The table under other groups: those of a CSV with the columns id and group, such as `quintet audit --groups-to` writes.

    Raises:
        AlignmentError: if the file lacks a column, or a usable clip of the table.
    """
    try:
        listed = pd.read_csv(groups, dtype=str)
    except (OSError, ValueError) as error:
        raise AlignmentError(
            f"A file of groups must be a readable CSV. {groups} is not ({error}); `audit --groups-to` writes one."
        ) from error
    if missing := {"id", "group"} - set(listed.columns):
        raise AlignmentError(
            f"A file of groups must have the columns id and group. {groups} lacks: {', '.join(sorted(missing))}."
        )
    found = table.frame["id"].astype(str).map(listed.drop_duplicates("id").set_index("id")["group"])
    if twice := sorted(
        str(id) for id, names in listed.groupby("id")["group"] if names.dropna().map(group_name).nunique() > 1
    ):
        raise AlignmentError(
            f"A clip must have one group. {groups} gives two or more to {len(twice)}, for example {twice[0]}: keep one."
        )
    absent = table.frame.loc[found.isna() & (table.frame["status"] == "ok"), "id"].tolist()
    if absent:
        raise AlignmentError(
            f"Every usable clip must have a group. {groups} has none for {len(absent)}, for example {absent[0]}: audit this table again."
        )
    frame = table.frame.assign(
        group=found.map(group_name, na_action="ignore").fillna(table.frame["group"].astype(str))
    )
    return FeatureTable(frame, {**table.metadata, "grouped": bool(frame["group"].duplicated().any())})


def gather(
    table: FeatureTable, settings: TrainSettings, *, store: SpectrogramStore | None = None
) -> Material:
    """The usable rows of a table, ordered by id (so that the order of rows changes nothing), and their split, checked before anything is fitted."""
    table = FeatureTable(table.frame.sort_values("id", kind="stable", ignore_index=True), table.metadata)
    meta = table.meta
    if not len(meta):
        raise DatasetError(
            "Training must have rows that were extracted without failure. This table has none: read its `reason` column."
        )
    ids, labels, groups = (
        np.asarray(values, dtype=str) for values in (meta.index, meta["label"], meta["group"])
    )
    return Material(
        table, ids, labels, groups, make_training_split(meta, settings, grouped=table.grouped), store
    )


def make_training_split(clips: pd.DataFrame, settings: TrainSettings, *, grouped: bool) -> Split:
    """The split of clips (columns label, group and split, indexed by id) that training would make.

    Raises:
        ConfigError, DatasetError, SplitLeakError: if they cannot be divided so.
    """
    given = clips["split"] if clips["split"].notna().any() else None
    protocol = settings.protocol
    if protocol == "auto":
        protocol = "given" if given is not None else "group"
    if protocol == "given" and given is None:
        raise ConfigError(
            "The protocol 'given' needs a `split` column (train, valid, test) in the data. This table has none: use 'group'."
        )
    return make_split(
        clips.index.astype(str).tolist(),
        clips["label"].astype(str).tolist(),
        clips["group"].astype(str).tolist(),
        SplitSettings(protocol, settings.test_size, settings.folds, settings.seed),
        given=None if protocol != "given" or given is None else given.tolist(),
        grouped=grouped,
    )
