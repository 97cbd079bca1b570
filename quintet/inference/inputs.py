"""Inputs of prediction: files and folders as a list, segments as a manifest, and tables that do not fit."""

from __future__ import annotations

import glob
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from quintet.audio.reading.segments import Window
from quintet.datasets.folder import list_audio
from quintet.errors import AlignmentError, DatasetError
from quintet.files.display.file_names import name_text
from quintet.files.paths import expand_home

if TYPE_CHECKING:
    from quintet.datasets.manifest import Manifest
    from quintet.features.storage.table import FeatureTable
    from quintet.files.json_types import JsonObject

MOST_DIFFERENCES = 4  # in a message

WITHOUT_PARAMETERS = (
    "Rows must be made as those of the training, with parameters that say so. This table states none: "
    "give the parquet file that `quintet extract` has written, or the audio files."
)


class SegmentRow(NamedTuple):
    """A row of the manifest. `start` and `end` are seconds, NaN for the whole file."""

    id: str
    path: str
    group: str
    start: float
    end: float


class FoundFiles(NamedTuple):
    """Files to predict.

    Args:
        files: the files, each once, in the order given.
        notes: what was left out of folders, one sentence each.
    """

    files: list[Path]
    notes: tuple[str, ...]


def expand_files(files: Sequence[str | Path]) -> FoundFiles:
    """Files, folders and globs as files.

    A folder becomes its audio files, a glob the files that it matches, both sorted. A path that does not
    exist, or a glob without a match, stays in the list and becomes a reported failure. A folder without audio
    files gets a note.

    Args:
        files: paths of files, paths of folders, and globs.

    Raises:
        DatasetError: if there are no files.
    """
    paths: dict[Path, None] = {}
    notes: list[str] = []
    for name in map(str, files):
        path = expand_home(name)
        if not path.is_dir():
            paths.update(dict.fromkeys(_expand_name(name)))
            continue
        listing = list_audio(path)
        paths.update(dict.fromkeys(path / below for below in listing.paths))
        notes += [f"{name_text(note)}." for note in listing.notes]
        if not listing.paths:
            notes.append(f"A folder without audio files is left out: '{name_text(name)}'.")
    if not paths:
        names = ", ".join(map(str, files))
        raise DatasetError(
            " ".join([f"There must be at least one audio file. Found none in: {names}.", *notes])
        )
    return FoundFiles(list(paths), tuple(notes))


def _expand_name(name: str) -> list[Path]:
    path = expand_home(name)
    if path.exists() or not glob.has_magic(name):
        return [path]
    matches = [Path(match) for match in sorted(glob.glob(name, recursive=True))]
    return [match for match in matches if match.is_file()] or [path]


def segment_row(file: Path, window: Window) -> SegmentRow:
    """The manifest row of a window of a file. Its group is the file."""
    name, path = name_text(file), name_text(file.absolute())
    start, end = window
    if math.isnan(end):
        return SegmentRow(name, path, group=name, start=math.nan, end=math.nan)
    id = f"{name}#t={start:g},{end:g}"
    return SegmentRow(id, path, group=name, start=start, end=end)


def segment_manifest(rows: Sequence[SegmentRow]) -> Manifest:
    """The manifest of these rows, without labels."""
    import pandas as pd

    from quintet.datasets.manifest import COLUMNS, Manifest

    frame = pd.DataFrame(rows, columns=list(SegmentRow._fields))
    for column in ("label", "split", "problem"):
        frame[column] = pd.Series(pd.NA, index=frame.index, dtype="string")
    return Manifest(
        frame=frame[list(COLUMNS)], name="prediction", root=Path(), multilabel=False, grouped=True
    )


def refuse_columns(bundle: JsonObject, table: FeatureTable) -> NoReturn:
    """Refuse a table whose columns are not made as those of the training.

    Args:
        bundle: facts of the model.
        table: the table.

    Raises:
        AlignmentError: always, with what helps.
    """
    given, received = bundle["feature_parameters"], table.metadata.get("parameters")
    if given is None:
        raise AlignmentError(
            "Rows must have the columns of the training. This model was trained on a table from elsewhere, "
            "and this table was made by `quintet extract`: give rows of the other program, or train again."
        )
    if received is None:
        raise AlignmentError(WITHOUT_PARAMETERS)
    raise AlignmentError(
        f"A table must be made with the parameters of the model ({bundle['feature_hash']}). "
        f"Received {table.parameter_hash}{_differences(given, received)}: extract it again."
    )


def _differences(expected: object, received: object) -> str:
    """Feature parameters that differ, in brackets; empty if one side is unknown."""
    if not isinstance(expected, Mapping) or not isinstance(received, Mapping):
        return ""
    texts = []
    for name, value in expected.items():
        other = received.get(name)
        if other != value:
            texts.append(f"{name} {_setting_text(other)} instead of {_setting_text(value)}")
    shown = "; ".join(texts[:MOST_DIFFERENCES])
    return f" ({shown})" if shown else ""


def _setting_text(value: object) -> str:
    """A setting in few words; of pretrained networks their names, contracts and windows."""
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        return "none" if value is None else str(value)
    return ", ".join(
        f"{entry.get('network')} (contract {entry.get('contract')}, windows {entry.get('windows')})"
        for entry in value
    )
