"""The manifest: who is in the data, one row per clip.

Every source (a folder, a table, a built-in dataset) ends here. `build_manifest` is the one place where ids are made,
groups are filled in, and rows that cannot be used are told why. A bad row is never an exception and never a silence: it
keeps its place with a `problem`, and the extraction files it in the ledger of failures.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from quintet.datasets.groups import group_name
from quintet.datasets.labels import LABEL_SEPARATOR, label_set
from quintet.errors import DatasetError
from quintet.files.remote import is_remote

COLUMNS = ("id", "path", "label", "group", "start", "end", "split", "problem")


@dataclass(frozen=True, slots=True, eq=False)
class Manifest:
    """The clips of one source, in a fixed order.

    Args:
        frame: exactly the columns `id, path, label, group, start, end, split, problem`. `id` is unique; `path` is
            absolute; `label` is `"rock"`, or `"rock;live"` for a set, or NA; `start` and `end` are seconds or NaN;
            `problem` says why a row cannot be used, or is NA.
        name: what to call the source in reports.
        root: the folder that ids are relative to.
        multilabel: whether any label is a set.
        grouped: whether groups are known. If not, every file is its own group.
        ignored: columns or files that were seen and not used, in words.
    """

    frame: pd.DataFrame
    name: str
    root: Path
    multilabel: bool
    grouped: bool
    ignored: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if tuple(self.frame.columns) != COLUMNS:
            raise DatasetError(
                f"A manifest must have the columns {', '.join(COLUMNS)}. Received {', '.join(map(str, self.frame.columns))}."
            )
        if not self.frame["id"].is_unique:
            twice = self.frame.loc[self.frame["id"].duplicated(), "id"].iloc[0]
            raise DatasetError(f"Ids must be unique in a manifest. '{twice}' stands there more than once.")

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def usable(self) -> pd.DataFrame:
        """The rows without a problem."""
        return self.frame[self.frame["problem"].isna()]

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels (single ones, also where labels are sets) of the usable rows, sorted."""
        return tuple(sorted({tag for label in self.usable["label"].unique() for tag in label_set(label)}))


def clip_id(path: str, root: Path, start: float = np.nan, end: float = np.nan) -> str:
    """The name of a clip: its posix path relative to `root`, plus the window if there is one.

    Example:
        >>> clip_id("/music/rock/a.wav", Path("/music"))
        'rock/a.wav'
        >>> clip_id("/music/rock/a.wav", Path("/music"), 30.0)
        'rock/a.wav#t=30.0,'
    """
    relative = (
        os.path.relpath(path, root) if os.path.splitdrive(path)[0] == os.path.splitdrive(root)[0] else path
    )
    name = path if is_remote(path) else (path if relative.startswith("..") else relative).replace(os.sep, "/")
    if np.isnan(start) and np.isnan(end):
        return name
    return f"{name}#t={0.0 if np.isnan(start) else round(float(start), 3)},{'' if np.isnan(end) else round(float(end), 3)}"


def build_manifest(rows: pd.DataFrame, *, name: str, root: Path, ignored: Sequence[str] = ()) -> Manifest:
    """The manifest of a listing: ids made, groups filled in, problems named.

    Args:
        rows: a column `path` (relative to `root` or absolute), and where known `label, group, start, end, split, id`; any of them
            may be missing in a row. A column `problem` with what the listing found itself is kept.
        name: what to call the source.
        root: the folder that relative paths start from.
        ignored: what was seen and not used.

    Returns:
        One row per row of `rows`, in the same order. A file and window (or an id) that stands there again keeps its row with
        a `problem` and an id ending in `#2`, `#3`, …. A row without a group gets its own id as group, or its file's
        where several windows of one file are listed: windows of one recording never part.

    Raises:
        DatasetError: if there are no rows at all.
    """
    if rows.empty:
        raise DatasetError(f"A source must list at least one clip. '{name}' ({root}) has none.")
    root = root.absolute()
    texts = {column: _texts(rows, column) for column in ("path", "label", "group", "split", "id", "problem")}
    windows = {
        column: pd.to_numeric(_column(rows, column), errors="coerce").astype("float64")
        for column in ("start", "end")
    }
    paths = [_absolute(path, root) for path in texts.pop("path")]
    files = [clip_id(path, root) if path else f"row {row + 1}" for row, path in enumerate(paths)]
    windowed = windows["start"].notna() | windows["end"].notna()
    names = list(files)
    for row in np.flatnonzero(windowed & np.fromiter(map(bool, paths), bool, len(paths))):
        names[row] = clip_id(paths[row], root, windows["start"][row], windows["end"][row])
    ids = [given or made for given, made in zip(texts["id"], names, strict=True)]
    labels = [LABEL_SEPARATOR.join(label_set(label)) if label else None for label in texts["label"]]
    problems = _problems(
        texts["problem"], paths, labels, windows, _column(rows, "start"), _column(rows, "end")
    )
    unique_ids = _mark_repetitions(problems, ids, names, labels)
    several = pd.Series(files).duplicated(keep=False)
    known = [group_name(group) if group else None for group in texts["group"]]
    groups = [
        group or (file if shared else id)
        for group, file, shared, id in zip(known, files, several, ids, strict=True)
    ]
    written = {
        "id": unique_ids,
        "path": paths,
        "label": labels,
        "group": groups,
        "split": texts["split"],
        "problem": problems,
    }
    frame = pd.DataFrame(
        {**{column: pd.Series(values, dtype="str") for column, values in written.items()}, **windows}
    )
    return Manifest(
        frame=frame[list(COLUMNS)],
        name=name,
        root=root,
        multilabel=any(LABEL_SEPARATOR in label for label in labels if label),
        grouped=any(texts["group"]),
        ignored=tuple(ignored),
    )


def _column(rows: pd.DataFrame, column: str) -> pd.Series:
    """A column of the listing with a plain index, all NaN where it is absent."""
    return (
        rows[column].reset_index(drop=True) if column in rows else pd.Series(np.nan, index=range(len(rows)))
    )


def _texts(rows: pd.DataFrame, column: str) -> list[str | None]:
    """A column as stripped strings; None where missing or blank."""
    values = _column(rows, column)
    return [
        None if missing else (str(value).strip() or None)
        for value, missing in zip(values, values.isna(), strict=True)
    ]


def _absolute(path: str | None, root: Path) -> str:
    """The absolute path of an entry. Backslashes of a manifest written on Windows are understood everywhere."""
    if path is None:
        return ""
    if is_remote(path):
        return path
    full = os.path.normpath(os.path.join(root, path))  # `root / path` would intern every name for ever
    if "\\" in path and not os.path.exists(full):
        full = os.path.normpath(os.path.join(root, path.replace("\\", "/")))
    return full


def _problems(
    known: Sequence[str | None],
    paths: Sequence[str],
    labels: Sequence[str | None],
    windows: dict[str, pd.Series],
    *written: pd.Series,
) -> list[str | None]:
    """Why each row cannot be used, or None: the first reason that applies."""
    starts, ends = windows["start"].to_numpy(), windows["end"].to_numpy()
    unreadable = np.zeros(len(paths), bool)
    for numbers, column in zip((starts, ends), written, strict=True):
        blank = column.isna().to_numpy() | (column.astype("str").str.strip() == "").to_numpy()
        unreadable |= ~blank & ~np.isfinite(numbers)
    found: list[str | None] = []
    for row, (path, label) in enumerate(zip(paths, labels, strict=True)):
        if known[row]:
            found.append(known[row])
        elif not path:
            found.append("path missing")
        elif not label:
            found.append("label missing")
        elif unreadable[row]:
            found.append("window is not a number: start and end are seconds")
        elif starts[row] < 0 or ends[row] <= np.nan_to_num(starts[row]):
            found.append(f"window is empty: start {starts[row]:g} s, end {ends[row]:g} s")
        elif not is_remote(path) and not os.path.isfile(
            path
        ):  # what lies elsewhere is looked for when it is fetched
            found.append(_why_no_file(path))
        else:
            found.append(None)
    return found


def _why_no_file(path: str) -> str:
    if os.path.isdir(path):
        return "this is a folder: a row names one audio file"
    return "not a regular file (a device, or a pipe)" if os.path.exists(path) else "file not found"


def _mark_repetitions(
    problems: list[str | None], ids: Sequence[str], names: Sequence[str], labels: Sequence[str | None]
) -> list[str]:
    """Ids made unique; the second and later rows of one id, or of one file and window, get a problem."""
    if len(set(ids)) == len(ids) and len(set(names)) == len(
        names
    ):  # as a rule, and without the memory of what follows
        return list(ids)
    first_of_name: dict[str, int] = {}
    first_of_id: dict[str, int] = {}
    taken: set[str] = set()
    unique: list[str] = []
    for row, (id, name) in enumerate(zip(ids, names, strict=True)):
        earlier = first_of_name.get(name, first_of_id.get(id))
        if earlier is not None:
            as_what = (
                f" (there as '{labels[earlier]}', here as '{labels[row]}')"
                if labels[earlier] != labels[row]
                else ""
            )
            problems[row] = f"listed twice: row {earlier + 1} is used{as_what}"
        first_of_name.setdefault(name, row)
        first_of_id.setdefault(id, row)
        candidate, k = id, 2
        while candidate in taken:
            candidate, k = f"{id}#{k}", k + 1
        taken.add(candidate)
        unique.append(candidate)
    return unique
