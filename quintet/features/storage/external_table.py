"""External feature tables: the roles of their columns, and lists of clips that assign parts of a split."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from quintet.datasets.groups import group_name
from quintet.datasets.labels import is_label_set
from quintet.errors import AlignmentError, ArtefactError, ConfigError, DatasetError, SplitLeakError
from quintet.features.storage.table import META_COLUMNS, FeatureTable, names_hash
from quintet.files.json_types import JsonObject

_AUDIO_SUFFIX = re.compile(
    r"\.(wav|wave|flac|mp3|ogg|oga|opus|au|snd|aif|aiff|aifc|m4a|mp4|aac|wma|webm|mka)$", re.IGNORECASE
)
_LIST_ID_COLUMNS = ("id", "clip_id", "track", "track_id", "file_name", "filename", "path")


@dataclass(frozen=True)
class Roles:
    """Roles of the columns of an external table.

    Args:
        id: column with the clip ids; None takes "id".
        label: column with the labels; None takes "label" if the table has it.
        group: column with the groups; None takes "group" if the table has it.
        label_from: regular expression whose first group, searched in the id, is the label.
        exclude: columns that are no features.
    """

    id: str | None = None
    label: str | None = None
    group: str | None = None
    label_from: str | None = None
    exclude: tuple[str, ...] = ()


def read_any(path: Path) -> pd.DataFrame:
    """Read a CSV (`.csv`, `.tsv`) or parquet file.

    Raises:
        ArtefactError: the file cannot be read.
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
    """Refuse options that only apply to external tables.

    Args:
        **given: option → value; None if it was not given.

    Raises:
        ConfigError: any of them was given.
    """
    names = [name for name, value in given.items() if value is not None]
    if names:
        raise ConfigError(
            f"The columns of a table that Quintet wrote are fixed: {', '.join(names)} must not be given. "
            "Leave it out."
        )


def foreign_table(frame: pd.DataFrame, roles: Roles, *, name: str) -> FeatureTable:
    """Feature table from the columns of an external table.

    A row with a missing number or label gets the status "failed" and a reason. `parameters` is None;
    `parameter_hash` is the hash of the column names, so tables can only be joined if they have the same
    columns.

    Args:
        frame: the external table.
        roles: roles of its columns.
        name: name of the dataset.

    Raises:
        DatasetError: a named column is missing, an id is repeated, or a column without a role does not hold
            numbers.

    Example:
        >>> frame = pd.DataFrame({"file": ["rock.1.wav", "jazz.1.wav"], "tempo": [120, 90]})
        >>> foreign_table(frame, Roles(id="file", label_from=r"^([^.]+)"), name="x").meta["label"].tolist()
        ['rock', 'jazz']
    """
    id_column = _find_id_column(frame, roles)
    label_column = _find_column(frame, roles.label, "label")
    group_column = _find_column(frame, roles.group, "group")
    ids = frame[id_column].astype("str")
    if ids.isna().any() or ids.duplicated().any():
        n_missing, n_repeated = int(ids.isna().sum()), int(ids.duplicated().sum())
        raise DatasetError(
            "The ids of a feature table must be present and differ. "
            f"In {id_column!r} {n_missing} are missing, {n_repeated} repeated."
        )
    labels = frame[label_column].astype("str") if label_column else _extract_labels(ids, roles.label_from)
    groups = _group_names(frame[group_column]) if group_column else ids
    with_roles = {id_column, label_column, group_column, "split", *roles.exclude}
    features = _require_numbers(frame[[column for column in frame.columns if column not in with_roles]])
    meta = _meta_frame(ids, labels, groups)
    no_split = pd.Series(pd.NA, index=frame.index, dtype="str")
    meta["split"] = frame["split"].astype("str") if "split" in frame.columns else no_split
    _fail_rows(meta, features, labelled=label_column is not None or roles.label_from is not None)
    metadata: JsonObject = {
        "parameters": None,
        "parameter_hash": names_hash(list(features.columns)),
        "dataset": name,
        "multilabel": bool(labels.dropna().map(is_label_set).any()),
        "grouped": group_column is not None,
        "versions": {},
    }
    meta["parameter_hash"] = metadata["parameter_hash"]
    return FeatureTable(pd.concat([meta[list(META_COLUMNS)], features], axis=1), metadata)


def _find_id_column(frame: pd.DataFrame, roles: Roles) -> str:
    column = _find_column(frame, roles.id, "id")
    if column is None:
        text = [str(name) for name in frame.columns if not pd.api.types.is_numeric_dtype(frame[name])]
        raise DatasetError(
            "A feature table must have a column that names its clips. There is no 'id'; "
            f"the text columns are: {', '.join(text) or 'none'}. Name one as id_column."
        )
    return column


def _find_column(frame: pd.DataFrame, named: str | None, default: str) -> str | None:
    """The named column, or the default column if the table has it."""
    if named is None:
        return default if default in frame.columns else None
    if named not in frame.columns:
        first_columns = ", ".join(map(str, frame.columns[:8]))
        raise DatasetError(
            f"The {default} column must be in the table. There is no {named!r}; "
            f"its first columns are: {first_columns}."
        )
    return named


def _extract_labels(ids: pd.Series, pattern: str | None) -> pd.Series:
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


def _require_numbers(frame: pd.DataFrame) -> pd.DataFrame:
    """The columns as float32 features."""
    text: list[str] = []
    for name in frame.columns:
        column = frame[name]
        if not (pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column)):
            text.append(str(name))
    if text:
        raise DatasetError(
            f"A column without a role must hold numbers. These do not: {', '.join(text[:8])}. "
            "Name them as id_column, label_column or group_column, or leave them out with exclude."
        )
    if frame.columns.empty:
        raise DatasetError(
            "A feature table must have at least one column of numbers. "
            "Received none besides ids, labels and groups."
        )
    return frame.astype(np.float32).rename(columns=str)


def _meta_frame(ids: pd.Series, labels: pd.Series, groups: pd.Series) -> pd.DataFrame:
    """The columns META_COLUMNS (without `split`); facts of the audio are missing."""
    meta = pd.DataFrame(
        {"id": ids, "path": ids, "label": labels, "group": groups.fillna(ids), "status": "ok"}
    )
    for name in ("reason", "stage", "error", "audio_digest"):
        meta[name] = pd.Series(pd.NA, index=ids.index, dtype="str")
    for name in ("native_sample_rate", "native_channels", "source_size", "source_mtime_ns"):
        meta[name] = pd.Series(pd.NA, index=ids.index, dtype="Int64")
    for name in ("duration_s", "start", "end", "missing_s"):
        meta[name] = np.nan
    return meta


def _group_names(column: pd.Series) -> pd.Series:
    """Names of groups; NA if a cell is empty or blank."""
    names = column.map(group_name, na_action="ignore").astype("str")
    return names.mask(names == "")


def _fail_rows(meta: pd.DataFrame, features: pd.DataFrame, *, labelled: bool) -> None:
    bad = ~np.isfinite(features.to_numpy())
    for row in np.flatnonzero(bad.any(axis=1)).tolist():
        names = features.columns[bad[row]]
        examples = ", ".join(names[:3]) + ("…" if len(names) > 3 else "")
        reason = f"Every feature must be a finite number. {len(names)} are not: {examples}."
        _fail(meta, row, "check", "NonFiniteError", reason)
    if labelled:
        for row in np.flatnonzero(meta["label"].isna()).tolist():
            _fail(meta, row, "manifest", "DatasetError", "The label is missing.")


def _fail(meta: pd.DataFrame, row: int, stage: str, error: str, reason: str) -> None:
    meta.loc[meta.index[row], ["status", "stage", "error", "reason"]] = ["failed", stage, error, reason]


def clip_key(text: str) -> str:
    """An id without the suffix of an audio file, so that `blues.00000.wav` and `blues.00000` are equal.

    Example:
        >>> clip_key("blues.00000.wav"), clip_key("blues.00000")
        ('blues.00000', 'blues.00000')
    """
    return _AUDIO_SUFFIX.sub("", text)


def add_splits(
    table: FeatureTable, splits: Mapping[str, str | os.PathLike[str]] | str | os.PathLike[str]
) -> FeatureTable:
    """The table with its column `split` filled from lists of ids. Clips in none of the lists are "unused".

    Args:
        table: any feature table.
        splits: `{"train": file, "test": file, …}`, each a CSV or parquet file that lists ids, or one file
            with the columns id and split. Ids are compared without the suffix of an audio file. If the table
            has no labels or groups, the columns `label` and `group` of these files are used.

    Raises:
        AlignmentError: no listed clip is in the table.
        SplitLeakError: a clip is listed in two parts.
    """
    listed = _read_lists(splits)
    keys = table.frame["id"].astype("str").map(clip_key)
    unknown = listed.index.difference(pd.Index(keys))
    if len(unknown) == len(listed):
        raise AlignmentError(
            f"The clips of a split must be in the table. None of {len(listed)} is: "
            f"the split says {listed.index[0]!r}, the table {keys.iloc[0]!r}."
        )
    by_row = listed.reindex(keys).set_axis(table.frame.index, axis=0)
    frame = table.frame.copy()
    frame["split"] = by_row["split"].astype("str").fillna("unused")
    metadata = dict(table.metadata)
    if "label" in by_row and frame["label"].isna().all():
        frame["label"] = by_row["label"].astype("str")
    if "group" in by_row and not table.grouped:
        frame["group"] = _group_names(by_row["group"]).fillna(frame["group"].astype("str"))
        metadata["grouped"] = True
    if len(unknown):
        examples = ", ".join(unknown[:5])
        note = f"{len(unknown)} of {len(listed)} clips of the split are not in the table: {examples}"
        metadata["notes"] = [*metadata.get("notes", []), note]
    return FeatureTable(frame, metadata)


def _read_lists(splits: Mapping[str, str | os.PathLike[str]] | str | os.PathLike[str]) -> pd.DataFrame:
    """The columns split, label and group of all listed clips, indexed by their keys."""
    if isinstance(splits, Mapping):
        if not splits:
            raise ConfigError(
                "At least one part must be named, as in {'train': file, 'test': file}. Received none."
            )
        lists = [_read_list(Path(path)).assign(split=part) for part, path in splits.items()]
        listed = pd.concat(lists, ignore_index=True)
    else:
        listed = _read_list(Path(splits))
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


def _read_list(path: Path) -> pd.DataFrame:
    """A list of clips: the column `key`, and split, label and group if the file has them."""
    frame = read_any(path)
    column = next((name for name in _LIST_ID_COLUMNS if name in frame.columns), None)
    if column is None:
        raise DatasetError(
            f"A list of clips must have one of the columns {', '.join(_LIST_ID_COLUMNS)}. "
            f"{path} has: {', '.join(map(str, frame.columns))}."
        )
    columns = [name for name in ("split", "label", "group") if name in frame.columns]
    return frame[columns].astype("str").assign(key=frame[column].astype("str").map(clip_key))
