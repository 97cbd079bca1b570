"""Lists of clips that assign the parts of a split to the rows of a feature table."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quintet.datasets.cells import text_column
from quintet.datasets.groups import group_notes
from quintet.datasets.labels import is_label_set, label_name, label_notes, repair_labels
from quintet.datasets.splits.clip_ids import SPELLINGS, spell_ids
from quintet.errors import AlignmentError, ConfigError, DatasetError, SplitLeakError, unknown_name
from quintet.features.storage.column_roles import LIST_ID_COLUMNS, group_column
from quintet.features.storage.table import FeatureTable
from quintet.files.delimited.dialect import LEVEL_MARK
from quintet.files.json_types import JsonObject
from quintet.files.tables import read_table_file


def add_splits(
    table: FeatureTable,
    splits: Mapping[str, str | os.PathLike[str]] | str | os.PathLike[str],
    columns: Mapping[str, str] | None = None,
) -> FeatureTable:
    """The table with its column `split` filled from lists of ids. Clips in none of the lists are "unused".

    Args:
        table: any feature table.
        splits: `{"train": file, "test": file, …}`, each a CSV or parquet file that lists ids, or one file
            with the columns id and split. Ids are compared as they are, and where the lists lack one, in one
            Unicode form and without the suffix of an audio file. If the table has no labels or groups, the
            columns `label` and `group` of these files are used.
        columns: `label` or `group` → the column of these files that holds it, if its name is another.

    Raises:
        AlignmentError: no listed clip is in the table.
        SplitLeakError: a clip is listed in two parts.
    """
    listed, notes = _read_lists(splits, columns or {})
    ids = pd.Index(table.frame["id"].astype("str"), dtype=object)
    found = _find_listed(ids, listed["split"])
    if (found < 0).all():
        raise AlignmentError(
            f"The clips of a split must be in the table. None of {len(listed)} is: "
            f"the split says {listed.index[0]!r}, the table {ids[0] if len(ids) else 'nothing'!r}."
        )
    by_row = listed.reset_index(drop=True).reindex(found).set_axis(table.frame.index, axis=0)
    unknown = listed.index.delete(np.unique(found[found >= 0]))
    frame, metadata = table.frame.copy(), dict(table.metadata)
    if frame["split"].notna().any():
        notes.append("The column 'split' is not used: lists of clips were given for it.")
    frame["split"] = by_row["split"].astype("str").fillna("unused")
    if "label" in by_row and frame["label"].isna().all():
        notes += _fill_labels(frame, metadata, by_row["label"])
    if "group" in by_row and not table.grouped:
        notes += group_notes(by_row["group"].dropna())
        frame["group"] = group_column(by_row["group"]).fillna(frame["group"].astype("str"))
        metadata["grouped"] = True
    if len(unknown):
        examples = ", ".join(unknown[:5])
        notes.append(f"{len(unknown)} of {len(listed)} clips of the split are not in the table: {examples}")
    if notes:
        metadata["notes"] = [*metadata.get("notes", []), *notes]
    return FeatureTable(frame, metadata)


def _find_listed(ids: pd.Index, parts: pd.Series) -> NDArray[np.int64]:
    """Position of each id in the lists, `(n,)`; -1 if it is not listed.

    Args:
        ids: of the table.
        parts: listed id → part. An id that is equal to one of the table stands for no other.

    Raises:
        SplitLeakError: a clip of the table is listed in two parts, in two spellings.
    """
    found = np.asarray(parts.index.get_indexer(ids), np.int64)
    for spelling in SPELLINGS:
        rows = np.flatnonzero(found < 0)
        free = np.setdiff1d(np.arange(len(parts)), found)
        wanted, keys = spell_ids(ids[rows], spelling), spell_ids(parts.index[free], spelling)
        is_wanted = keys.isin(wanted)
        _require_one_part(pd.Series(parts.to_numpy()[free][is_wanted], index=keys[is_wanted]))
        is_first = ~keys.duplicated()
        found[rows] = np.append(free[is_first], -1)[keys[is_first].get_indexer(wanted)]
    return found


def _require_one_part(parts: pd.Series) -> None:
    """Refuse ids that are listed in two parts."""
    counts = parts.groupby(level=0).nunique()
    both = tuple(map(str, counts.index[counts > 1]))
    if both:
        raise SplitLeakError(
            f"A clip must be in one part only. {len(both)} are in two, for example {both[0]!r}.", both
        )


def _fill_labels(frame: pd.DataFrame, metadata: JsonObject, written: pd.Series) -> list[str]:
    """Fill the labels of a table from the lists, in place. Notes about the labels."""
    repaired, notes = repair_labels(written.astype(object).where(written.notna(), None).tolist())
    written = pd.Series(repaired, index=written.index, dtype="str")
    present = written.dropna()
    frame["label"] = written.map(label_name, na_action="ignore").astype("str")
    metadata["multilabel"] = bool(frame["label"].dropna().map(is_label_set).any())
    return notes + label_notes(present, frame["id"][present.index])


def _read_lists(
    splits: Mapping[str, str | os.PathLike[str]] | str | os.PathLike[str], columns: Mapping[str, str]
) -> tuple[pd.DataFrame, list[str]]:
    """The columns split, label and group of all listed clips, indexed by their ids, and notes."""
    notes: list[str] = []
    if isinstance(splits, Mapping):
        if not splits:
            raise ConfigError(
                "At least one part must be named, as in {'train': file, 'test': file}. Received none."
            )
        lists = [_read_list(Path(path), columns, notes).assign(split=part) for part, path in splits.items()]
        listed = pd.concat(lists, ignore_index=True)
    else:
        listed = _read_list(Path(splits), columns, notes)
        if "split" not in listed.columns:
            raise DatasetError(
                f"One file of splits must have a column 'split'. '{splits}' has none. Add it, or give one "
                "file per part: train=a.csv, test=b.csv."
            )
    _require_one_part(listed.set_index("id")["split"])
    return listed.drop_duplicates("id").set_index("id"), notes


def _read_list(path: Path, columns: Mapping[str, str], notes: list[str]) -> pd.DataFrame:
    """A list of clips: the column `id`, and split, label and group if the file has them.

    Args:
        path: the file.
        columns: `label` or `group` → the column that holds it.
        notes: how the files were read. Those of this file are added.
    """
    content = read_table_file(path, rest_in_last=True)
    notes += content.notes
    frame = content.frame
    for name, theirs in columns.items():
        if theirs not in frame.columns:
            raise unknown_name(f"column with the {name}", theirs, list(frame.columns))
        frame[name] = frame[theirs]
    splits = [name for name in frame.columns if name.endswith(f"{LEVEL_MARK}split")]
    if "split" not in frame.columns and len(splits) == 1:  # names of several levels, as in FMA
        frame["split"] = frame[splits[0]]
    by_lower_case = {name.lower(): name for name in reversed(frame.columns)}
    column = next((by_lower_case[name] for name in LIST_ID_COLUMNS if name in by_lower_case), None)
    if column is None:
        raise DatasetError(
            f"A list of clips must have one of the columns {', '.join(LIST_ID_COLUMNS)}. "
            f"{path} has: {', '.join(map(repr, frame.columns))}."
        )
    known = [name for name in ("split", "label", "group") if name in frame.columns]
    listed = frame[known].apply(text_column).assign(id=text_column(frame[column]))
    listed = listed[listed["id"].notna()]
    if listed.empty:
        raise DatasetError(f"A list of clips must name one or more. {path} names none in '{column}'.")
    return listed
