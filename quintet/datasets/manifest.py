"""Manifest of a source: one row per clip.

Every source (a folder, a table, a built-in dataset) becomes a manifest. Only `build_manifest` makes ids,
fills in groups and gives a reason for every row that cannot be used. A bad row never raises an exception and
is never dropped: it keeps its place with a `problem`, and the extraction records it in the failure ledger.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quintet.datasets.groups import group_name, group_notes, missing_groups_note
from quintet.datasets.labels import (
    ACCIDENTAL_SHARE,
    is_label_set,
    label_name,
    label_notes,
    label_set,
    label_text,
    repair_labels,
)
from quintet.errors import DatasetError
from quintet.files.delimited.numbers import parse_numbers
from quintet.files.display.file_names import name_text, text_path
from quintet.files.internet.addresses import address_fault
from quintet.files.internet.remote import is_remote

COLUMNS = ("id", "path", "label", "group", "start", "end", "split", "problem")


@dataclass(frozen=True, slots=True, eq=False)
class Manifest:
    """Clips of one source, in a fixed order.

    Args:
        frame: exactly the columns `id, path, label, group, start, end, split, problem`. `id` is unique.
            `path` is absolute, as `name_text` writes it. `label` is `"rock"`, or
            `"rock;live"` for a set, or NA. `start` and `end` are seconds or NaN. `problem` is the reason why
            a row cannot be used, or NA.
        name: name of the source in reports.
        root: folder that ids are relative to.
        multilabel: whether any label of a usable row is a set.
        grouped: whether the group of any usable row is known. If not, every file is its own group.
        ignored: descriptions of columns or files that were found and not used.
    """

    frame: pd.DataFrame
    name: str
    root: Path
    multilabel: bool
    grouped: bool
    ignored: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        columns = tuple(self.frame.columns)
        if columns != COLUMNS:
            raise DatasetError(
                f"A manifest must have the columns {', '.join(COLUMNS)}. "
                f"Received {', '.join(map(str, columns))}."
            )
        repeated = self.frame.loc[self.frame["id"].duplicated(), "id"]
        if len(repeated):
            raise DatasetError(
                f"Ids must be unique in a manifest. '{repeated.iloc[0]}' stands there more than once."
            )

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def usable(self) -> pd.DataFrame:
        """Rows without a problem."""
        return self.frame[self.frame["problem"].isna()]

    @property
    def classes(self) -> tuple[str, ...]:
        """Single labels of the usable rows, sorted. A label set counts as its single labels."""
        labels = self.usable["label"].unique()
        single_labels = set(chain.from_iterable(map(label_set, labels)))
        return tuple(sorted(single_labels))


def clip_id(path: str, root: Path, start: float = np.nan, end: float = np.nan) -> str:
    """Id of a clip: its posix path relative to `root`, followed by the window if there is one.

    Args:
        path: absolute path as `name_text` writes it, or URL. A path outside `root` and a URL are not
            made relative.
        root: folder of the source.
        start: start of the window, seconds; NaN without one.
        end: end of the window, seconds; NaN without one.

    Example:
        >>> clip_id("/music/rock/a.wav", Path("/music"))
        'rock/a.wav'
        >>> clip_id("/music/rock/a.wav", Path("/music"), 30.0)
        'rock/a.wav#t=30.0,'
    """
    name = path if is_remote(path) else _relative_to(name_text(root), path)
    if np.isnan(start) and np.isnan(end):
        return name
    first = 0.0 if np.isnan(start) else round(float(start), 3)
    last = "" if np.isnan(end) else round(float(end), 3)
    return f"{name}#t={first},{last}"


def _relative_to(root: str, path: str) -> str:
    """Posix path relative to `root`; the path itself if it is not below `root` or is on another drive."""
    on_same_drive = os.path.splitdrive(path)[0] == os.path.splitdrive(root)[0]
    relative = os.path.relpath(path, root) if on_same_drive else path
    name = path if relative.startswith("..") else relative
    return name.replace(os.sep, "/")


def build_manifest(
    rows: pd.DataFrame,
    *,
    name: str,
    root: Path,
    ignored: Sequence[str] = (),
    accidental_share: float = ACCIDENTAL_SHARE,
) -> Manifest:
    """Build the manifest of a listing: make ids, fill in groups, find problems.

    Args:
        rows: a column `path` (relative to `root` or absolute), and if known `label, group, start, end, split,
            id`. Any value may be missing. A column `problem` with problems that the listing found is kept.
        name: name of the source.
        root: folder that relative paths start from.
        ignored: descriptions of what was found and not used.
        accidental_share: share of labels up to which sets may be an accident, and are announced.

    Returns:
        One row per row of `rows`, in the same order. If a file and window (or an id) occurs again, its later
        row has a `problem` and an id that ends in `#2`, `#3`, …. The group of a row without a group is its
        own id, or its file if several windows of the file are listed: windows of one recording stay in one
        group.

    Raises:
        DatasetError: if there are no rows.
    """
    if rows.empty:
        raise DatasetError(f"A source must list at least one clip. '{name}' ({root}) has none.")
    root = root.absolute()
    paths = _absolute_paths(rows, root)
    written, number_notes = repair_labels(_label_texts(rows))
    labels = [label_name(label) or None if label else None for label in written]
    windows = _Windows.read(rows)
    files = [clip_id(path, root) if path else f"row {row + 1}" for row, path in enumerate(paths)]
    names = _name_clips(files, paths, windows, root)
    ids = [given or made for given, made in zip(_texts(rows, "id"), names, strict=True)]
    problems = _find_problems(_texts(rows, "problem"), paths, labels, windows)
    unique_ids = _mark_repetitions(problems, ids, names, labels)
    known_groups = _texts(rows, "group")
    usable = [row for row, problem in enumerate(problems) if problem is None]
    usable_labels = [written[row] or "" for row in usable]
    usable_ids = [ids[row] for row in usable]
    n_missing = sum(known_groups[row] is None for row in usable)
    notes = number_notes + missing_groups_note(n_missing, len(usable))
    written_groups = map(label_text, _column(rows, "group")[usable])
    notes += group_notes(group for group in written_groups if group is not None)
    notes += label_notes(usable_labels, usable_ids, accidental_share=accidental_share)
    texts = {
        "id": unique_ids,
        "path": paths,
        "label": labels,
        "group": _fill_groups(known_groups, files, ids),
        "split": _texts(rows, "split"),
        "problem": problems,
    }
    columns = {column: pd.Series(values, dtype="str") for column, values in texts.items()}
    frame = pd.DataFrame({**columns, "start": windows.start, "end": windows.end})
    return Manifest(
        frame=frame[list(COLUMNS)],
        name=name_text(name),
        root=root,
        multilabel=any(is_label_set(labels[row] or "") for row in usable),
        grouped=any(known_groups[row] for row in usable),
        ignored=(*map(name_text, ignored), *notes),
    )


@dataclass(frozen=True, slots=True)
class _Windows:
    """Windows of all rows.

    Args:
        start: seconds, NaN if missing or not a number, shape `(n,)`.
        end: likewise.
        unreadable: whether `start` or `end` is given and is not a finite number, shape `(n,)`.
    """

    start: NDArray[np.float64]
    end: NDArray[np.float64]
    unreadable: NDArray[np.bool_]

    @classmethod
    def read(cls, rows: pd.DataFrame) -> _Windows:
        start, bad_start = _seconds(rows, "start")
        end, bad_end = _seconds(rows, "end")
        return cls(start, end, bad_start | bad_end)

    def problem(self, row: int) -> str | None:
        """Why the window of a row cannot be used, or None."""
        start, end = self.start[row], self.end[row]
        if self.unreadable[row]:
            return "window is not a number: start and end are seconds"
        if start < 0 or end <= np.nan_to_num(start):
            return f"window is empty: start {start:g} s, end {end:g} s"
        return None


def _seconds(rows: pd.DataFrame, column: str) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Numbers in a column (NaN if missing or unreadable), and which given cells are not finite numbers."""
    cells = _column(rows, column)
    seconds = parse_numbers(cells).to_numpy()
    is_empty_text = cells.astype("str").str.strip() == ""
    is_given = ~(cells.isna() | is_empty_text).to_numpy()
    return seconds, is_given & ~np.isfinite(seconds)


def _column(rows: pd.DataFrame, column: str) -> pd.Series:
    """A column of the listing with a plain index; all NaN if the column is absent."""
    if column in rows:
        return rows[column].reset_index(drop=True)
    return pd.Series(np.nan, index=range(len(rows)))


def _texts(rows: pd.DataFrame, column: str) -> list[str | None]:
    """A column as stripped strings; None if missing or blank."""
    texts = map(label_text, _column(rows, column))
    return [text.strip() or None if text else None for text in texts]


def _label_texts(rows: pd.DataFrame) -> list[str | None]:
    """Labels as they are written; a list of labels becomes a label set. None if missing or blank."""
    values = _column(rows, "label")
    return [label_text(value) for value in values]


def _absolute_paths(rows: pd.DataFrame, root: Path) -> list[str]:
    """Absolute path of each row as text. Blanks around it are part of the name if such a file exists."""
    folder = name_text(root)
    cells = _column(rows, "path")
    paths = []
    for cell, stripped in zip(cells, _texts(rows, "path"), strict=True):
        path = _absolute(stripped, folder) if stripped else ""
        if stripped and stripped != cell:
            written = _absolute(label_text(cell) or stripped, folder)
            path = written if os.path.exists(text_path(written)) else path
        paths.append(path)
    return paths


def _absolute(path: str, root: str) -> str:
    """Absolute path of an entry. Backslashes in a manifest from Windows are accepted on every system.

    So is the other Unicode form of an accent: macOS writes names of files with accents of their own (NFD).
    """
    if is_remote(path):
        return path
    full = os.path.normpath(os.path.join(root, path))  # `root / path` would intern every name for ever
    if "\\" in path and not os.path.exists(text_path(full)):
        if os.path.exists(full):  # the name of the file itself, not its text
            return name_text(full)
        full = os.path.normpath(os.path.join(root, path.replace("\\", "/")))
    if not full.isascii() and not os.path.exists(text_path(full)):
        others = (unicodedata.normalize(form, full) for form in ("NFC", "NFD"))
        full = next((other for other in others if os.path.exists(text_path(other))), full)
    return full


def _name_clips(files: Sequence[str], paths: Sequence[str], windows: _Windows, root: Path) -> list[str]:
    """Name of each row's file and window; the names of files are shared with `files` to save memory."""
    names = list(files)
    has_window = ~np.isnan(windows.start) | ~np.isnan(windows.end)
    for row in np.flatnonzero(has_window).tolist():
        if paths[row]:
            names[row] = clip_id(paths[row], root, windows.start[row], windows.end[row])
    return names


def _fill_groups(known: Sequence[str | None], files: Sequence[str], ids: Sequence[str]) -> list[str]:
    """Group of each row: the known one, or the file if several rows are of this file, or the id."""
    several = pd.Series(files).duplicated(keep=False)
    groups = []
    for group, file, shares_file, id in zip(known, files, several, ids, strict=True):
        name = group_name(group) if group else None
        groups.append(name or (file if shares_file else id))
    return groups


def _find_problems(
    known: Sequence[str | None], paths: Sequence[str], labels: Sequence[str | None], windows: _Windows
) -> list[str | None]:
    """Why each row cannot be used, or None: the first reason that applies."""
    problems: list[str | None] = []
    for row, (problem, path, label) in enumerate(zip(known, paths, labels, strict=True)):
        if problem:
            problems.append(problem)
        elif not path:
            problems.append("path missing")
        elif not label:
            problems.append("label missing")
        else:
            problems.append(windows.problem(row) or _file_problem(path))
    return problems


def _file_problem(path: str) -> str | None:
    """Why a path is no usable file, or None. A remote file is fetched later; its address is checked here."""
    if is_remote(path):
        return address_fault(path)
    file = text_path(path)
    if os.path.isfile(file):
        return None
    if os.path.isdir(file):
        return "this is a folder: a row names one audio file"
    return "not a regular file (a device, or a pipe)" if os.path.exists(file) else "file not found"


def _mark_repetitions(
    problems: list[str | None], ids: Sequence[str], names: Sequence[str], labels: Sequence[str | None]
) -> list[str]:
    """Make ids unique, and give a problem to later rows of the same id, or of the same file and window."""
    nothing_repeats = len(set(ids)) == len(ids) and len(set(names)) == len(names)
    if nothing_repeats:  # the usual case, without the memory of the dictionaries below
        return list(ids)
    first_of_name: dict[str, int] = {}
    first_of_id: dict[str, int] = {}
    taken: set[str] = set()
    unique: list[str] = []
    for row, (id, name) in enumerate(zip(ids, names, strict=True)):
        earlier = first_of_name.get(name, first_of_id.get(id))
        if earlier is not None:
            other = labels[earlier] != labels[row]
            difference = f" (there as '{labels[earlier]}', here as '{labels[row]}')" if other else ""
            problems[row] = f"listed twice: row {earlier + 1} is used{difference}"
        first_of_name.setdefault(name, row)
        first_of_id.setdefault(id, row)
        candidate, k = id, 2
        while candidate in taken:
            candidate, k = f"{id}#{k}", k + 1
        taken.add(candidate)
        unique.append(candidate)
    return unique
