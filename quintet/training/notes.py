"""What the user should know of the data of a run before it is fitted, as sentences."""

from __future__ import annotations

import numpy as np
import pandas as pd

from quintet.datasets.splits.copies import copies_notes
from quintet.evaluation.telling import telling_columns, telling_warnings
from quintet.features.storage.join import foreign_columns
from quintet.features.storage.left_out import (
    count_rows,
    failure_notes,
    lost_classes_notes,
    unlearnt_tags_notes,
)
from quintet.training.data import Material
from quintet.training.settings import TrainSettings


def run_notes(material: Material, settings: TrainSettings) -> list[str]:
    """Notes of the table, rows that are left out, columns and copies that make scores too high, settings that
    the data leave without effect.

    Args:
        material: data of the run.
        settings: of the run.
    """
    table = material.table
    notes = [str(note) for note in table.metadata.get("notes", [])]
    if not table.grouped and table.metadata.get("named_groups"):
        notes.append(str(table.metadata["named_groups"]))
    notes += _left_out(material)
    if material.multilabel:
        notes += unlearnt_tags_notes(
            material.labels[material.split.train], material.labels[material.split.test]
        )
    if table.parameters is None:  # equal rows of our own tables are equal sound, which `audit` finds
        notes += copies_notes(table.features, material.split)
    return [*notes, *_telling_notes(material), *_unused_settings(material, settings)]


def _left_out(material: Material) -> list[str]:
    """The rows that are left out, and the classes that are left out with them."""
    notes = failure_notes(material.table)
    n_unused = int((material.split.frame["part"] == "unused").sum())
    if n_unused:
        kinds = _unused_kinds(material)
        notes.append(f"{count_rows(n_unused, len(material.table))} left out: {kinds}.")
    return notes + _lost_classes(material)


def _lost_classes(material: Material) -> list[str]:
    used = np.concatenate([material.split.train, material.split.test])
    labels = material.table.frame["label"].dropna().astype(str)
    return lost_classes_notes(labels, material.labels[used].tolist())


def _telling_notes(material: Material) -> list[str]:
    """Columns from elsewhere that identify a class of the training part by themselves."""
    columns = foreign_columns(material.table)
    if not columns:
        return []
    rows = material.split.train
    features = material.table.features[columns].iloc[rows]
    labels, units = pd.Series(material.labels[rows]), pd.Series(material.units[rows])
    return telling_warnings(telling_columns(features, labels, units, seed=material.split.seed))


def _unused_kinds(material: Material) -> str:
    """Rows in no part of the split, by the value of their split column."""
    is_unused = (material.split.frame["part"] == "unused").to_numpy()
    values = material.table.meta["split"].fillna("").astype(str).str.strip()[is_unused]
    named = values[(values != "") & (values.str.lower() != "unused")]
    texts = [f"{count} with the split value '{value}'" for value, count in named.value_counts().items()]
    if len(values) > len(named):
        texts.append(
            f"{len(values) - len(named)} in no part of the split" if texts else "in no part of the split"
        )
    return ", ".join(texts)


def _unused_settings(material: Material, settings: TrainSettings) -> list[str]:
    """A sentence for each setting that is not the default one and that this run does not use."""
    split, notes = material.split, []
    is_given = split.protocol == "given"
    if is_given and settings.test_size != TrainSettings.model_fields["test_size"].default:
        notes.append(
            f"The data bring their own test part: the share of {settings.test_size:g} that was asked for "
            "(test_size) is not used. Another protocol makes a new split."
        )
    if is_given and settings.folds is not None and len(split.training_folds()) == 1:
        notes.append(
            f"The data bring their own validation part: the {settings.folds} folds that were asked for are "
            "not made."
        )
    if not is_given and material.table.meta["split"].notna().any():
        notes.append(
            f"The data bring a split, which is not used: this run splits by '{split.protocol}'. "
            "The protocol 'given' uses it."
        )
    return notes
