"""External feature tables: tables of any program, whose columns get roles."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from quintet.datasets.cells import text_column
from quintet.datasets.groups import group_notes, missing_groups_note
from quintet.datasets.labels import is_label_set, label_name, label_notes, label_set, repair_labels
from quintet.errors import AlignmentError, ConfigError, DatasetError
from quintet.features.storage.column_notes import constant_notes, rounding_notes
from quintet.features.storage.column_roles import (
    AssignedColumns,
    Roles,
    assign_columns,
    counts_rows,
    group_column,
    left_out_note,
    quote_names,
    require_columns,
    shorten,
)
from quintet.features.storage.table import META_COLUMNS, META_TYPES, FeatureTable, is_usable, names_hash
from quintet.files.delimited.numbers import has_decimal_commas
from quintet.files.display.file_names import name_text
from quintet.files.json_types import JsonObject
from quintet.files.tables import TableContent, is_nameless, read_table_file

SUFFIXES = (".csv", ".tsv", ".parquet", ".pq")
LABEL_MISSING = "The label is missing."
NUMBER_MISSING = "Every feature must be a finite number."
NUMBER_BEYOND = "Every feature must be a number between -3.4e38 and 3.4e38, the limits of float32."
NO_COLUMNS = (
    "A feature table must have at least one column of numbers. Received none besides ids, labels and groups."
)
OTHER_ROLES = (
    " Give them a role (--id-column, --label-column, --group-column) or leave them out (--ignore-column; in "
    "Python exclude)."
)


def read_external_table(path: Path, roles: Roles) -> FeatureTable:
    """Feature table from a CSV or parquet file of any program (see `foreign_table`).

    Raises:
        ArtefactError: the file cannot be read.
        DatasetError: as for `foreign_table`.
    """
    return foreign_table(read_table_file(path, text=roles.text_columns), roles, name=name_text(path.stem))


def find_external_table(path: Path) -> FeatureTable | None:
    """The feature table in a file; None if the file is something else, for example a manifest.

    A file is a feature table if it has ids and no column `path`.

    Raises:
        ArtefactError: the file cannot be read.
        DatasetError: as for `foreign_table`.
    """
    content = _table_content(path)
    return None if content is None else foreign_table(content, Roles(), name=name_text(path.stem))


def is_external_table(path: Path) -> bool:
    """Whether a file is a feature table of another program (see `find_external_table`).

    Raises:
        ArtefactError: the file cannot be read.
    """
    return _table_content(path) is not None


def _table_content(path: Path) -> TableContent | None:
    """Content of a file that has ids and no column `path`; None for any other file."""
    if path.suffix.lower() not in SUFFIXES or not path.is_file():
        return None
    content = read_table_file(path, text=Roles().text_columns)
    has_ids = "id" in content.frame.columns or bool(content.index)
    return content if has_ids and "path" not in content.frame.columns else None


def foreign_table(table: pd.DataFrame | TableContent, roles: Roles, *, name: str) -> FeatureTable:
    """Feature table from the columns of an external table.

    A row with a missing number or label gets the status "failed" and a reason. `parameters` is None;
    `parameter_hash` is the hash of the column names, so tables can only be joined if they have the same
    columns. `metadata["notes"]` says which columns are no features, and which spellings were joined.
    `metadata["table_roles"]` holds the roles.

    Args:
        table: the external table.
        roles: roles of its columns.
        name: name of the dataset.

    Raises:
        ConfigError: two options contradict each other.
        DatasetError: a named column is missing, an id is repeated, or a column without a role does not hold
            numbers.
        AlignmentError: a column of `roles.features` is missing.

    Example:
        >>> frame = pd.DataFrame({"file": ["rock.1.wav", "jazz.1.wav"], "tempo": [120, 90]})
        >>> foreign_table(frame, Roles(id="file", label_from=r"^([^.]+)"), name="x").meta["label"].tolist()
        ['rock', 'jazz']
    """
    content = table if isinstance(table, TableContent) else _as_content(table)
    columns = assign_columns(content, roles)
    frame = content.frame
    ids = _unique_ids(frame[columns.id], columns.id)
    written = _written_labels(frame, columns, ids, roles)
    repaired, number_notes = repair_labels(written.astype(object).where(written.notna(), None).tolist())
    written = pd.Series(repaired, index=written.index, dtype="str")
    labels = written.map(label_name, na_action="ignore").astype("str")
    groups = group_column(frame[columns.group]) if columns.group else ids
    features, feature_notes = _features(content, columns, roles)
    meta = _meta_frame(ids, labels, groups)
    meta["split"] = text_column(frame["split"]) if "split" in frame.columns else _no_texts(frame.index)
    if "path" in frame.columns and "path" not in features and columns.id != "path":
        meta["path"] = text_column(frame["path"]).fillna(ids)
    labelled = roles.features is None and (columns.label is not None or roles.label_from is not None)
    fail_rows(meta, features, labelled=labelled)
    usable = is_usable(meta)
    present = written[usable].dropna()
    notes = [*content.notes, *columns.notes, *feature_notes]
    if roles.features is None:
        n_missing = int(groups[usable].isna().sum())
        notes += missing_groups_note(n_missing, int(usable.sum()))
        notes += group_notes(text_column(frame[columns.group])[usable].dropna()) if columns.group else []
        notes += number_notes + label_notes(present, ids[present.index])
    metadata: JsonObject = {
        "parameters": None,
        "parameter_hash": names_hash(list(features.columns)),
        "dataset": name,
        "multilabel": bool(labels.dropna().map(is_label_set).any()),
        "grouped": columns.group is not None and bool(groups[usable].notna().any()),
        "versions": {},
        "table_roles": Roles(
            columns.id, columns.label, columns.group, roles.label_from, roles.exclude
        ).to_json(),
    }
    if notes:
        metadata["notes"] = notes
    meta["parameter_hash"] = metadata["parameter_hash"]
    return FeatureTable(pd.concat([meta[list(META_COLUMNS)], features], axis=1), metadata)


def _as_content(frame: pd.DataFrame) -> TableContent:
    names = [str(name) for name in frame.columns]
    return TableContent(frame.set_axis(names, axis=1))


def _unique_ids(column: pd.Series, name: str) -> pd.Series:
    ids = text_column(column)
    if ids.isna().any() or ids.duplicated().any():
        n_missing, n_repeated = int(ids.isna().sum()), int(ids.duplicated().sum())
        raise DatasetError(
            "The ids of a feature table must be present and differ. "
            f"In {name!r} {n_missing} are missing, {n_repeated} repeated."
        )
    return ids


def _no_texts(index: pd.Index) -> pd.Series:
    return pd.Series(pd.NA, index=index, dtype="str")


def _written_labels(frame: pd.DataFrame, columns: AssignedColumns, ids: pd.Series, roles: Roles) -> pd.Series:
    """Labels as they are written; NA if missing or blank."""
    if columns.label is None:
        return _extract_labels(ids, roles.label_from)
    labels = text_column(frame[columns.label])
    is_blank = [isinstance(label, str) and not label_set(label) for label in labels]
    return labels.mask(np.array(is_blank, dtype=bool))


def _extract_labels(ids: pd.Series, pattern: str | None) -> pd.Series:
    if pattern is None:
        return _no_texts(ids.index)
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
    labels = ids.str.extract(compiled, expand=True).iloc[:, 0].astype("str")
    if labels.isna().all() and len(labels):
        raise ConfigError(
            f"label_from must match the ids. {pattern!r} matches none of {len(labels)}, "
            f"for example not {ids.iloc[0]!r}."
        )
    return labels


def _features(
    content: TableContent, columns: AssignedColumns, roles: Roles
) -> tuple[pd.DataFrame, list[str]]:
    """The columns of features as float32, and notes about the columns that are none."""
    frame = content.frame
    with_roles = {columns.id, columns.label, columns.group, *columns.displaced, "split", *roles.exclude}
    if "path" in frame.columns and not pd.api.types.is_numeric_dtype(frame["path"]):
        with_roles.add("path")
    others = [name for name in frame.columns if name not in with_roles]
    if roles.features is not None:
        return _named_features(frame, others, roles.features)
    require_columns(roles.exclude, [name for name in frame.columns if name not in columns.with_roles])
    notes = [left_out_note(roles.exclude)] if roles.exclude else []
    if set(META_COLUMNS) <= set(frame.columns):  # a table of ours in a format that does not say so
        others = [name for name in others if name not in META_TYPES]
        notes.append(
            "Columns that state facts of the clips, as `quintet extract` writes them, are no features."
        )
    counting = [name for name in others if counts_rows(frame[name], name, content.index)]
    empty = [name for name in others if name not in counting and frame[name].isna().all() and len(frame)]
    for names, reason in ((counting, "have no name or only count the rows"), (empty, "hold no values")):
        if names:
            notes.append(f"No features, because they {reason}: {quote_names(names)}.")
    chosen = [name for name in others if name not in counting and name not in empty]
    if not chosen:
        raise DatasetError(" ".join([NO_COLUMNS, *notes]))
    features = _require_numbers(frame[chosen], OTHER_ROLES)
    notes += rounding_notes(frame[chosen])
    if not set(META_COLUMNS) <= set(frame.columns):
        notes += constant_notes(frame[chosen])
    new_names = {name: _feature_name(name) for name in chosen if name in META_TYPES}
    if new_names:
        pairs = ", ".join(f"{old} → {new}" for old, new in new_names.items())
        notes.append(f"Features with the name of a fact of a clip get another name: {pairs}.")
        taken = set(new_names.values()) & set(chosen)
        if taken:
            raise DatasetError(
                f"Features must have names of their own. {quote_names(sorted(taken))} is taken: rename it."
            )
    return features.rename(columns=new_names), notes


def _named_features(
    frame: pd.DataFrame, others: Sequence[str], wanted: Sequence[str]
) -> tuple[pd.DataFrame, list[str]]:
    """The features of a model in its order, and a note about columns that it does not use."""
    new_names = {name: _feature_name(name) if name in META_TYPES else name for name in others}
    by_feature = {feature: name for name, feature in new_names.items()}
    missing = [feature for feature in wanted if feature not in by_feature]
    if missing:
        raise AlignmentError(
            f"A table must have the {len(wanted)} columns of the training. "
            f"{len(missing)} {'is' if len(missing) == 1 else 'are'} missing: {quote_names(missing)}."
        )
    used = [by_feature[feature] for feature in wanted]
    features = _require_numbers(frame[used], "").set_axis(list(wanted), axis=1)
    extra = [name for name in others if name not in set(used) and not is_nameless(name)]
    if not extra:
        return features, []
    return features, [f"Columns that the model does not use are left out: {quote_names(extra)}."]


def _feature_name(column: str) -> str:
    """Name of a feature whose column is named like a fact of a clip."""
    return f"column.{column}"


def _require_numbers(frame: pd.DataFrame, way_out: str) -> pd.DataFrame:
    """The columns as float32 features.

    Args:
        frame: the columns.
        way_out: what may be done about columns that hold no numbers.
    """
    text: list[str] = []
    truths = [name for name in frame.columns if _is_truth(frame[name])]
    frame = frame.assign(**{name: frame[name].astype(np.float32) for name in truths})
    for name in frame.columns:
        column = frame[name]
        if not (pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column)):
            if column.isna().all():
                continue
            text.append(name)
    if text:
        examples = [f"{shorten(name)} ({_first_text(frame[name])})" for name in text[:8]]
        if len(text) > 8:
            examples.append(f"… ({len(text)} in all)")
        comma = any(has_decimal_commas(frame[name]) for name in text)
        hint = "A decimal comma needs semicolons or tabs between the columns. " if comma else ""
        raise DatasetError(
            f"A column of features must hold numbers. These do not: {', '.join(examples)}. {hint}"
            f"Leave the cell empty where a number is missing.{way_out}"
        )
    if frame.columns.empty:
        raise DatasetError(NO_COLUMNS)
    empty = [name for name in frame.columns if _is_empty_text(frame[name])]
    with np.errstate(over="ignore"):  # a number beyond float32 becomes infinite, and its row fails
        return frame.assign(**dict.fromkeys(empty, np.nan)).astype(np.float32)


def _is_truth(column: pd.Series) -> bool:
    """Whether a column holds truth values and missing cells, which pandas keeps as objects."""
    return column.dtype == object and pd.api.types.infer_dtype(column, skipna=True) == "boolean"


def _is_empty_text(column: pd.Series) -> bool:
    return not pd.api.types.is_numeric_dtype(column) and bool(column.isna().all())


def _first_text(column: pd.Series) -> str:
    """The first cell that is no number, and how many such cells there are beside numbers."""
    cells = column.dropna()
    texts = cells[pd.to_numeric(cells.astype("str"), errors="coerce").isna()]
    example = repr(str((texts if len(texts) else cells).iloc[0])[:30])
    if 0 < len(texts) < len(cells):
        return f"{example}: {len(texts)} of {len(cells)} cells are no numbers"
    return example


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


def fail_rows(meta: pd.DataFrame, features: pd.DataFrame, *, labelled: bool) -> None:
    """Mark rows as failed that lack a number or a needed label, or have a number beyond float32.

    Args:
        meta: facts of the rows. It is changed.
        features: their features.
        labelled: whether every row must have a label.
    """
    values = features.to_numpy()
    missing, beyond = np.isnan(values), np.isinf(values)
    for row in np.flatnonzero((missing | beyond).any(axis=1)).tolist():
        rule, bad = (NUMBER_MISSING, missing) if missing[row].any() else (NUMBER_BEYOND, beyond)
        names = features.columns[bad[row]]
        examples = ", ".join(names[:3]) + ("…" if len(names) > 3 else "")
        reason = f"{rule} {len(names)} {'is' if len(names) == 1 else 'are'} not: {examples}."
        _fail(meta, row, "check", "NonFiniteError", reason)
    if labelled:
        for row in np.flatnonzero(meta["label"].isna()).tolist():
            _fail(meta, row, "manifest", "DatasetError", LABEL_MISSING)


def _fail(meta: pd.DataFrame, row: int, stage: str, error: str, reason: str) -> None:
    meta.loc[meta.index[row], ["status", "stage", "error", "reason"]] = ["failed", stage, error, reason]
