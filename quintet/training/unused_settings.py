"""Settings of a run that its data leave without effect. What is given and not used is said."""

from __future__ import annotations

from quintet.training.data import Material
from quintet.training.settings import TrainSettings


def unused_settings_notes(material: Material, settings: TrainSettings) -> list[str]:
    """A sentence for each setting that is not the default one and that this run does not use.

    Args:
        material: data of the run.
        settings: of the run.
    """
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
