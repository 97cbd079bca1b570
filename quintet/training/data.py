"""Data of a training run: clips, labels, groups, their split, and the inputs of members."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quintet.datasets.groups import require_disjoint
from quintet.datasets.labels import label_indicator, label_set
from quintet.datasets.splits.protocols import SplitSettings, make_split
from quintet.datasets.splits.split import Positions, Split
from quintet.ensemble.crossfit import Inputs
from quintet.errors import ConfigError, DatasetError
from quintet.features.storage.augmented_spectrograms import AugmentedSpectrograms
from quintet.features.storage.column_roles import quote_names
from quintet.features.storage.external_table import LABEL_MISSING
from quintet.features.storage.left_out import failure_notes, lost_classes_notes
from quintet.features.storage.spectrograms import SpectrogramStore
from quintet.features.storage.table import FeatureTable, is_usable
from quintet.training.blocks.groups import with_blocks_in_parts, with_sound_blocks
from quintet.training.settings import TrainSettings

Texts = NDArray[np.str_]
Target = NDArray[np.generic]  # labels (n,), or the 0/1 indicator (n, K) of label sets
Folds = tuple[
    tuple[Positions, Positions], ...
]  # positions to fit on and positions to predict, one pair per fold


@dataclass(frozen=True)
class Copies:
    """Augmented copies of training clips.

    Args:
        store: the store that holds the copies.
        copy_ids: id of a clip → ids of its copies.
    """

    store: SpectrogramStore
    copy_ids: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Material:
    """Data of a training run, in the order of one feature table.

    Args:
        table: feature table, sorted by id.
        ids: clip ids, `(n,)`.
        labels: labels, `(n,)`; label sets are written `rock;live`.
        groups: group names, `(n,)`.
        split: part and fold of each clip.
        spectrograms: spectrogram store, if a member reads spectrograms.
        copies: augmented copies of training clips, if the settings ask for them.

    Raises:
        SplitLeakError: if a group is both in the training and in the test part.
    """

    table: FeatureTable
    ids: Texts
    labels: Texts
    groups: Texts
    split: Split
    spectrograms: SpectrogramStore | None
    copies: Copies | None = None

    def __post_init__(self) -> None:
        units, split = self.units, self.split
        where = "the training and the test part"
        require_disjoint(units[split.train], units[split.test], where=where)

    @property
    def multilabel(self) -> bool:
        """Whether labels are sets."""
        return bool(self.table.multilabel)

    @property
    def classes(self) -> list[str]:
        """Labels of the training and the test part (for sets: all tags), sorted."""
        if not self.multilabel:
            used = np.concatenate([self.split.train, self.split.test])
            return sorted(set(self.labels[used].tolist()))
        return sorted({tag for label in self.labels for tag in label_set(label)})

    @property
    def units(self) -> Texts:
        """Unit that is never split where members are fitted, `(n,)`: the group, or the single clip.

        It is the clip only if the protocol is `random`, which ignores groups on purpose. Such scores are
        marked as ungrouped.
        """
        return self.ids if self.split.protocol == "random" else self.groups

    def target(self, positions: Positions) -> Target:
        """Labels `(n,)`, or the 0/1 indicator `(n, K)` for sets."""
        target: Target = self.labels
        if self.multilabel:
            target, _ = label_indicator(self.labels)
        return np.asarray(target[positions])

    def inputs(self, positions: Positions) -> Inputs:
        """Rows and spectrograms of the clips at `positions`, with augmented copies for fitting."""
        rows = self.table.features.iloc[positions]
        if self.spectrograms is None:
            return Inputs(rows, None)
        ids = list(self.ids[positions])
        spectrograms = self.spectrograms.take(ids)
        if self.copies is None:
            return Inputs(rows, spectrograms)
        augmented = AugmentedSpectrograms(
            spectrograms.store, ids, copies=self.copies.store, of=self.copies.copy_ids
        )
        return Inputs(rows, augmented)


@dataclass(frozen=True)
class TrainingPart:
    """Training part of a run: m clips with their targets, and the folds for cross-fitting.

    Args:
        inputs: inputs of members, m rows.
        ids: clip ids, `(m,)`.
        labels: labels, `(m,)`; label sets are written `rock;live`.
        y: target: labels `(m,)`, or the 0/1 indicator `(m, K)` of label sets.
        groups: group of each clip, `(m,)`, by which intervals are resampled.
        units: unit of each clip that is never split, `(m,)` (see `Material.units`).
        classes: K class names.
        folds: positions to fit on and positions to predict, one pair per fold.
    """

    inputs: Inputs
    ids: Texts
    labels: Texts
    y: Target
    groups: Texts
    units: Texts
    classes: tuple[str, ...]
    folds: Folds

    @classmethod
    def from_material(cls, material: Material, *, with_test_classes: bool = True) -> TrainingPart:
        """The training part of a run on the folds of the run.

        Args:
            material: data of the run.
            with_test_classes: whether classes that only the test part has are among `classes`. A search for
                settings leaves them out, because it must not look at the test part.
        """
        rows = material.split.train
        labels = material.labels[rows]
        if with_test_classes:
            target, classes = material.target(rows), tuple(material.classes)
        elif material.multilabel:
            target, classes = label_indicator(labels)
        else:
            target, classes = labels, tuple(sorted(set(labels.tolist())))
        return cls(
            inputs=material.inputs(rows),
            ids=material.ids[rows],
            labels=labels,
            y=np.asarray(target),
            groups=material.groups[rows],
            units=material.units[rows],
            classes=classes,
            folds=tuple(material.split.training_folds()),
        )

    @property
    def multilabel(self) -> bool:
        """Whether labels are sets."""
        return self.y.ndim == 2

    @property
    def evaluation_rows(self) -> Positions:
        """Positions that some fold predicts, sorted."""
        predicted = [held_out for _, held_out in self.folds]
        return np.sort(np.concatenate(predicted))


def gather(
    table: FeatureTable,
    settings: TrainSettings,
    *,
    store: SpectrogramStore | None = None,
    target: NDArray[np.float64] | None = None,
) -> Material:
    """The usable rows of a table and their split, checked before anything is fitted.

    Rows are sorted by id, so that the order of the table does not matter.

    Args:
        table: the feature table.
        settings: settings of the split.
        store: spectrogram store, if a member reads spectrograms.
        target: features of the songs of `settings.target`, `(m, d)`.

    Raises:
        DatasetError: if the table has no usable row, no feature that changes, or one class only because
            others are left out.
        ConfigError, DatasetError, SplitLeakError: if the clips cannot be split as the settings ask.
    """
    table = FeatureTable(table.frame.sort_values("id", kind="stable", ignore_index=True), table.metadata)
    table = _without_unlabelled(table)
    meta = table.meta
    if not len(meta):
        raise _no_rows_error(table)
    _require_classes(table)
    _require_changes(table)
    protocol = find_protocol(meta, settings, grouped=table.grouped)
    if protocol == "sound":
        table = with_sound_blocks(table, settings, target)
        meta = table.meta
    split = make_training_split(meta, settings, protocol, grouped=table.grouped or protocol == "sound")
    if protocol == "given" and not table.grouped and split.frame["group"].is_unique:  # no clips share one
        table = with_blocks_in_parts(table, settings, _given_parts(split))
        meta = table.meta
        split = make_training_split(meta, settings, protocol, grouped=False)
    ids, labels, groups = (_texts(values) for values in (meta.index, meta["label"], meta["group"]))
    return Material(table, ids, labels, groups, split, store)


def _given_parts(split: Split) -> Texts:
    """Part of each clip under a given split, `(n,)`: `train`, `valid`, `test` or `unused`."""
    parts = split.frame["part"].to_numpy(object, copy=True)
    if split.has_validation_part:
        parts[split.folds()[0][1]] = "valid"
    return parts.astype(np.str_)


def find_protocol(clips: pd.DataFrame, settings: TrainSettings, *, grouped: bool) -> str:
    """The protocol of a run: that of its settings, and for `auto` the one that suits the data.

    That is `sound` if a target is named, `given` for clips with a split of their own, `group` where groups
    are known, and `sound` where they are not.

    Args:
        clips: column `split`.
        settings: settings of the run.
        grouped: whether groups are known.
    """
    if settings.protocol != "auto":
        return settings.protocol
    if settings.target is not None:
        return "sound"
    if clips["split"].notna().any():
        return "given"
    return "group" if grouped else "sound"


def _no_rows_error(table: FeatureTable) -> DatasetError:
    """The error of a table without a usable row: it has no rows, or the most frequent reason for them."""
    if not len(table.frame):
        return DatasetError("Training must have rows. This table has none below the names of its columns.")
    counts = table.frame["reason"].dropna().value_counts()
    reason = (
        f", {counts.iloc[0]} of them because: {str(counts.index[0])[:200].rstrip('.')}" if len(counts) else ""
    )
    return DatasetError(
        "Training must have rows with a label and with numbers. "
        f"All {len(table.frame)} rows of this table are left out{reason}."
    )


def _require_classes(table: FeatureTable) -> None:
    """Refuse a table of which only one class is left, and say what became of the others."""
    kept = sorted(set(table.meta["label"].astype(str)))
    lost = lost_classes_notes(table.frame["label"].dropna().astype(str), kept)
    if len(kept) == 1 and lost:
        raise DatasetError(
            f"Training must have rows of two classes. Received rows of {quote_names(kept)} only. "
            f"{' '.join([*failure_notes(table), *lost])} Repair them, or drop columns that lack numbers."
        )


def _require_changes(table: FeatureTable) -> None:
    """Refuse a table from elsewhere without a feature that changes, and repeat what its reading said."""
    notes = [str(note) for note in table.metadata.get("notes", [])]
    if (
        table.parameters is None
        and notes
        and all((column == column.iloc[0]).all() for _, column in table.features.items())
    ):
        raise DatasetError(f"Training must have a feature that changes from row to row. {' '.join(notes)}")


def _without_unlabelled(table: FeatureTable) -> FeatureTable:
    """The table, where usable rows without a label have failed.

    Raises:
        DatasetError: if no row has a label.
    """
    unlabelled = table.frame["label"].isna() & is_usable(table.frame)
    if not unlabelled.any():
        return table
    if table.frame["label"].isna().all():
        raise DatasetError(
            f"Training must have labels. None of {len(table)} rows has one: name their column "
            "(label_column, --label-column), or take them from the ids (label_from, --label-from)."
        )
    frame = table.frame.copy()
    frame.loc[unlabelled, ["status", "stage", "error"]] = ["failed", "manifest", "DatasetError"]
    frame.loc[unlabelled, "reason"] = LABEL_MISSING
    return FeatureTable(frame, table.metadata)


def require_training_classes(material: Material) -> None:
    """Refuse a class that is in the test part only: no member could learn it.

    Tags of label sets are not refused, because a tag without a clip has a probability of its own.

    Raises:
        DatasetError: if there is such a class.
    """
    if material.multilabel:
        return
    train, test = (
        set(material.labels[rows].tolist()) for rows in (material.split.train, material.split.test)
    )
    absent = sorted(test - train)
    if absent:
        clips = material.ids[material.split.test][np.isin(material.labels[material.split.test], absent)]
        raise DatasetError(
            "Every class must have a clip in the training part. "
            f"{quote_names(absent)} has none ({len(clips)} clips in the test part, first {str(clips[0])!r}): "
            "move some to the training part, or leave the class out."
        )


def _texts(values: pd.Series | pd.Index) -> Texts:
    return np.asarray(values, dtype=str)


def make_training_split(
    clips: pd.DataFrame, settings: TrainSettings, protocol: str, *, grouped: bool
) -> Split:
    """The split that training makes of these clips.

    Args:
        clips: columns `label`, `group` and `split`, indexed by id.
        settings: share of the test part, number of folds and seed.
        protocol: `group`, `sound`, `random` or `given`.
        grouped: whether the groups are known, or are blocks.

    Raises:
        ConfigError, DatasetError, SplitLeakError: if the clips cannot be split so.
    """
    given = clips["split"] if clips["split"].notna().any() else None
    if protocol == "given" and given is None:
        raise ConfigError(
            "The protocol 'given' needs a `split` column (train, valid, test) in the data. "
            "This table has none: use 'group'."
        )
    if settings.split_values and protocol != "given":
        raise ConfigError(
            "Parts of split values need the data's own split (a column `split`, protocol 'given'). "
            f"This run splits by '{protocol}': leave out {', '.join(settings.split_values)}."
        )
    return make_split(
        clips.index.astype(str).tolist(),
        clips["label"].astype(str).tolist(),
        clips["group"].astype(str).tolist(),
        split_settings(settings, protocol),
        given=None if protocol != "given" or given is None else given.tolist(),
        grouped=grouped,
    )


def split_settings(
    settings: TrainSettings, protocol: str, *, test_size: float | None = None
) -> SplitSettings:
    """Settings of the split of a run.

    Args:
        settings: settings of the run.
        protocol: `group`, `random` or `given`.
        test_size: share of the test part instead of that of the run.
    """
    return SplitSettings(
        protocol,
        settings.test_size if test_size is None else test_size,
        settings.folds,
        settings.seed,
        settings.split_values if protocol == "given" else {},
    )
