"""Groups of a feature table from a CSV file."""

from __future__ import annotations

from pathlib import Path

from quintet.datasets.groups import group_name, group_notes
from quintet.errors import AlignmentError
from quintet.features.storage.table import FeatureTable, is_usable
from quintet.training.corrections.edited_file import read_edited, require_one_value, with_ids_of


def regroup(table: FeatureTable, groups: str | Path) -> FeatureTable:
    """The same table with the groups of a CSV file.

    Args:
        table: the feature table.
        groups: a CSV file with the columns `id` and `group`, for example from `quintet audit --groups-to`.

    Raises:
        AlignmentError: if the file cannot be read, lacks a column or a usable clip of the table, or gives a
            clip two groups.
    """
    listed, read_notes = read_edited(groups, "group", what="groups", writer="audit --groups-to")
    listed = with_ids_of(table, listed)
    require_one_value(listed, "group", group_name, noun="group", file=groups)
    by_id = listed.drop_duplicates("id").set_index("id")["group"]
    new_groups = table.frame["id"].astype(str).map(by_id)
    without_group = new_groups.isna() & is_usable(table.frame)
    absent = table.frame.loc[without_group, "id"].tolist()
    if absent:
        raise AlignmentError(
            f"Every usable clip must have a group. {groups} has none for {len(absent)}, "
            f"for example {absent[0]!r}: audit this table again."
        )
    names = new_groups.map(group_name, na_action="ignore").fillna(table.frame["group"].astype(str))
    frame = table.frame.assign(group=names)
    metadata = {**table.metadata, "grouped": bool(frame["group"].duplicated().any())}
    notes = [*read_notes, *group_notes(new_groups[is_usable(table.frame)].dropna())]
    if notes:
        metadata["notes"] = [*metadata.get("notes", []), *notes]
    return FeatureTable(frame, metadata)
