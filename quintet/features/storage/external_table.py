"""Feature tables that others made: which column is what, and which clip belongs to which part."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from quintet.datasets.groups import group_name
from quintet.datasets.labels import is_label_set
from quintet.errors import AlignmentError, ArtefactError, ConfigError, DatasetError, SplitLeakError
from quintet.features.storage.table import META_COLUMNS, FeatureTable, names_hash

_AUDIO_SUFFIX = re.compile(
    r"\.(wav|wave|flac|mp3|ogg|oga|opus|au|snd|aif|aiff|aifc|m4a|mp4|aac|wma|webm|mka)$", re.IGNORECASE
)
_ID_NAMES = ("id", "clip_id", "track", "track_id", "file_name", "filename", "path")


@dataclass(frozen=True)
class Roles:
    """Which column of a table from elsewhere is what.

    Args:
        id: the column that names the clip; "id" where it is not said.
        label: the column of the labels; "label" where it is not said and there is one.
        group: the column of the groups; "group" where it is not said and there is one.
        label_from: a regular expression whose first group, searched in the id, is the label.
        exclude: columns that are no features.
    """

    id: str | None = None
    label: str | None = None
    group: str | None = None
    label_from: str | None = None
    exclude: tuple[str, ...] = ()


def read_any(path: Path) -> pd.DataFrame:
    """A CSV (`.csv`, `.tsv`) or parquet file as it is; ids such as `007` stay text where the column is text.

    Raises:
        ArtefactError: if it cannot be read as such.
    """
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            return pd.read_parquet(path)
        return pd.read_csv(path, sep="\t" if path.suffix.lower() == ".tsv" else ",")
    except (ValueError, OSError, pa.ArrowInvalid) as error:
        raise ArtefactError(
            f"A table must be readable as CSV or parquet. {path} is not ({error})."
        ) from error


def refuse_roles(**given: str | None) -> None:
    """Refuse options that only make sense for a table from elsewhere.

    Raises:
        ConfigError: if any of them is given.
    """
    named = [name for name, value in given.items() if value is not None]
    if named:
        raise ConfigError(
            f"A table that Quintet wrote knows its columns: {', '.join(named)} must not be given. Leave it out."
        )


def foreign_table(frame: pd.DataFrame, roles: Roles, *, name: str) -> FeatureTable:
    """A feature table of somebody else's columns.

    A row with a missing number or label has status "failed" and says which. `parameters` are unknown (None); `parameter_hash` is the
    hash of the column names, so that only tables of the same columns can be joined.

    Raises:
        DatasetError: if a named column is missing, an id comes twice, or a column without a role does not hold numbers.

    Example:
        >>> frame = pd.DataFrame({"file": ["rock.1.wav", "jazz.1.wav"], "tempo": [120, 90]})
        >>> foreign_table(frame, Roles(id="file", label_from=r"^([^.]+)"), name="x").meta["label"].tolist()
        ['rock', 'jazz']
    """
    id_column = _id_column(frame, roles)
    label_column, group_column = _column(frame, roles.label, "label"), _column(frame, roles.group, "group")
    ids = frame[id_column].astype("str")
    if ids.isna().any() or ids.duplicated().any():
        missing, repeated = int(ids.isna().sum()), int(ids.duplicated().sum())
        raise DatasetError(
            f"The ids of a feature table must be present and differ. In {id_column!r} {missing} are missing, {repeated} repeated."
        )
    labels = frame[label_column].astype("str") if label_column else _labels_from(ids, roles.label_from)
    features = _numbers(
        frame.drop(
            columns=[
                c
                for c in (id_column, label_column, group_column, "split", *roles.exclude)
                if c in frame.columns
            ]
        )
    )
    meta = _meta(ids, labels, _group_names(frame[group_column]) if group_column else ids)
    meta["split"] = (
        frame["split"].astype("str")
        if "split" in frame.columns
        else pd.Series(pd.NA, index=frame.index, dtype="str")
    )
    _fail_rows(meta, features, labelled=label_column is not None or roles.label_from is not None)
    metadata: dict[str, Any] = {
        "parameters": None,
        "parameter_hash": names_hash(list(features.columns)),
        "dataset": name,
        "multilabel": bool(labels.dropna().map(is_label_set).any()),
        "grouped": group_column is not None,
        "versions": {},
    }
    meta["parameter_hash"] = metadata["parameter_hash"]
    return FeatureTable(pd.concat([meta[list(META_COLUMNS)], features], axis=1), metadata)


def _id_column(frame: pd.DataFrame, roles: Roles) -> str:
    found = _column(frame, roles.id, "id")
    if found is None:
        text = [str(column) for column in frame.columns if not pd.api.types.is_numeric_dtype(frame[column])]
        raise DatasetError(
            "A feature table must have a column that names its clips. There is no 'id'; "
            f"the text columns are: {', '.join(text) or 'none'}. Name one as id_column."
        )
    return found


def _column(frame: pd.DataFrame, named: str | None, usual: str) -> str | None:
    if named is None:
        return usual if usual in frame.columns else None
    if named not in frame.columns:
        raise DatasetError(
            f"The {usual} column must be in the table. There is no {named!r}; its first columns are: {', '.join(map(str, frame.columns[:8]))}."
        )
    return named


def _labels_from(ids: pd.Series, pattern: str | None) -> pd.Series:
    if pattern is None:
        return pd.Series(pd.NA, index=ids.index, dtype="str")
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ConfigError(
            f"label_from must be a regular expression. Received {pattern!r}: {error}."
        ) from error
    if compiled.groups < 1:
        raise ConfigError(
            f"label_from must have a group that is the label, as in '^([^.]+)'. Received {pattern!r}."
        )
    return ids.str.extract(compiled, expand=True).iloc[:, 0].astype("str")


def _numbers(frame: pd.DataFrame) -> pd.DataFrame:
    text = [
        str(column)
        for column in frame.columns
        if not (pd.api.types.is_numeric_dtype(frame[column]) or pd.api.types.is_bool_dtype(frame[column]))
    ]
    if text:
        raise DatasetError(
            f"A column without a role must hold numbers. These do not: {', '.join(text[:8])}. "
            "Name them as id_column, label_column or group_column, or leave them out with exclude."
        )
    if frame.columns.empty:
        raise DatasetError(
            "A feature table must have at least one column of numbers. Received none besides ids, labels and groups."
        )
    return frame.astype(np.float32).rename(columns=str)


def _meta(ids: pd.Series, labels: pd.Series, groups: pd.Series) -> pd.DataFrame:
    meta = pd.DataFrame(
        {"id": ids, "path": ids, "label": labels, "group": groups.fillna(ids), "status": "ok"}
    )
    text, whole, real = (
        ("reason", "stage", "error", "audio_digest"),
        ("native_sample_rate", "native_channels", "source_size", "source_mtime_ns"),
        ("duration_s", "start", "end"),
    )
    meta[list(text)] = pd.DataFrame({c: pd.Series(pd.NA, index=ids.index, dtype="str") for c in text})
    meta[list(whole)] = pd.DataFrame({c: pd.Series(pd.NA, index=ids.index, dtype="Int64") for c in whole})
    meta[list(real)] = np.nan
    return meta


def _group_names(column: pd.Series) -> pd.Series:
    """Groups by their names; NA where a cell is empty or blank."""
    names = column.map(group_name, na_action="ignore").astype("str")
    return names.mask(names == "")


def _fail_rows(meta: pd.DataFrame, features: pd.DataFrame, *, labelled: bool) -> None:
    bad = ~np.isfinite(features.to_numpy())
    for row in np.flatnonzero(bad.any(axis=1)).tolist():
        names = features.columns[bad[row]]
        _fail(
            meta,
            row,
            "check",
            "NonFiniteError",
            f"Every feature must be a finite number. {len(names)} are not: {', '.join(names[:3])}{'…' if len(names) > 3 else ''}.",
        )
    if labelled:
        for row in np.flatnonzero(meta["label"].isna()).tolist():
            _fail(meta, row, "manifest", "DatasetError", "The label is missing.")


def _fail(meta: pd.DataFrame, row: int, stage: str, error: str, reason: str) -> None:
    meta.loc[meta.index[row], ["status", "stage", "error", "reason"]] = ["failed", stage, error, reason]


def clip_key(text: str) -> str:
    """An id without the suffix of an audio file, so that `blues.00000.wav` and `blues.00000` meet.

    Example:
        >>> clip_key("blues.00000.wav"), clip_key("blues.00000")
        ('blues.00000', 'blues.00000')
    """
    return _AUDIO_SUFFIX.sub("", text)


def add_splits(
    table: FeatureTable, splits: Mapping[str, str | os.PathLike[str]] | str | os.PathLike[str]
) -> FeatureTable:
    """The table with its column `split` filled from lists of ids; clips in none of them are "unused".

    Args:
        table: any feature table.
        splits: `{"train": file, "test": file, …}`, each a CSV or parquet file that lists ids, or one file with the columns id and
            split. Ids are compared without the suffix of an audio file. Columns `group` and `label` in these files fill what the table does not know.

    Raises:
        AlignmentError: if no listed clip is in the table.
        SplitLeakError: if one clip is listed in two parts.
    """
    listed = _listed(splits)
    keys = table.frame["id"].astype("str").map(clip_key)
    unknown = listed.index.difference(pd.Index(keys))
    if len(unknown) == len(listed):
        raise AlignmentError(
            f"The clips of a split must be in the table. None of {len(listed)} is: the split says {listed.index[0]!r}, the table {keys.iloc[0]!r}."
        )
    found = listed.reindex(keys).set_axis(table.frame.index, axis=0)
    frame = table.frame.copy()
    frame["split"] = found["split"].astype("str").fillna("unused")
    metadata = dict(table.metadata)
    if "label" in found and frame["label"].isna().all():
        frame["label"] = found["label"].astype("str")
    if "group" in found and not table.grouped:
        frame["group"], metadata["grouped"] = (
            _group_names(found["group"]).fillna(frame["group"].astype("str")),
            True,
        )
    if len(unknown):
        metadata["notes"] = [
            *metadata.get("notes", []),
            f"{len(unknown)} of {len(listed)} clips of the split are not in the table: {', '.join(unknown[:5])}",
        ]
    return FeatureTable(frame, metadata)


def _listed(splits: Mapping[str, str | os.PathLike[str]] | str | os.PathLike[str]) -> pd.DataFrame:
    """The columns split, label and group of all listed clips, indexed by key."""
    if isinstance(splits, Mapping):
        if not splits:
            raise ConfigError(
                "At least one part must be named, as in {'train': file, 'test': file}. Received none."
            )
        listed = pd.concat(
            [_list_of(Path(path)).assign(split=part) for part, path in splits.items()], ignore_index=True
        )
    else:
        listed = _list_of(Path(splits))
        if "split" not in listed.columns:
            raise DatasetError(
                f"One file of splits must have a column 'split'. {splits} has: {', '.join(listed.columns)}."
            )
    parts = listed.groupby("key")["split"].nunique()
    if (parts > 1).any():
        both = tuple(parts.index[parts > 1])
        raise SplitLeakError(
            f"A clip must be in one part only. {len(both)} are in two, for example {both[0]!r}.", both
        )
    return listed.drop_duplicates("key").set_index("key")


def _list_of(path: Path) -> pd.DataFrame:
    frame = read_any(path)
    column = next((name for name in _ID_NAMES if name in frame.columns), None)
    if column is None:
        raise DatasetError(
            f"A list of clips must have one of the columns {', '.join(_ID_NAMES)}. {path} has: {', '.join(map(str, frame.columns))}."
        )
    kept = [name for name in ("split", "label", "group") if name in frame.columns]
    return frame[kept].astype("str").assign(key=frame[column].astype("str").map(clip_key))
