"""Recordings of a stress test with their labels: files, or the held-out clips of the training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from quintet.audio.decode import ClipSource
from quintet.errors import DatasetError
from quintet.files.display.file_names import name_text, text_path
from quintet.inference.inputs import expand_files
from quintet.model_folder.folder import OpenFolder

if TYPE_CHECKING:
    import pandas as pd

    from quintet.ensemble.classifier import EnsembleClassifier
    from quintet.frozen.ensemble import FrozenEnsemble

    AnyEnsemble = FrozenEnsemble | EnsembleClassifier


@dataclass(frozen=True)
class Labelled:
    """Recordings to disturb.

    Args:
        sources: where they are.
        labels: label of each, as the training writes it; None where it is unknown.
        groups: group of each; a recording without a known group is its own.
        notes: what these recordings cannot tell, one sentence each.
        trained: positions of the files of clips of the training part.
    """

    sources: list[ClipSource]
    labels: list[str | None]
    groups: list[str]
    notes: tuple[str, ...] = ()
    trained: frozenset[int] = frozenset()


def find_recordings(model: AnyEnsemble, files: Sequence[str | Path]) -> Labelled:
    """The recordings of a stress test.

    Args:
        model: a model from a folder.
        files: files, folders and globs. None: the held-out clips of the training that are on this machine.

    Raises:
        DatasetError: there is no recording.
    """
    return _named(model, files) if files else _held_out(model)


def _named(model: AnyEnsemble, files: Sequence[str | Path]) -> Labelled:
    found = expand_files(files)
    names = set(model.class_names_)
    labels = [file.parent.name if file.parent.name in names else None for file in found.files]
    notes = list(found.notes)
    n_known = sum(label is not None for label in labels)
    if not n_known:
        notes.append(
            "No file lies in a folder that has the name of a class: the labels are not known, so there is no "
            "accuracy and no calibration."
        )
    elif n_known < len(labels):
        notes.append(
            f"{n_known} of {len(labels)} files lie in a folder that has the name of a class. "
            "Accuracy and calibration are those of these files."
        )
    paths = _training_paths(model)
    trained = frozenset(k for k, file in enumerate(found.files) if name_text(file.absolute()) in paths)
    sources = [ClipSource(text_path(str(file.absolute())), id=name_text(file)) for file in found.files]
    return Labelled(sources, labels, [name_text(file) for file in found.files], tuple(notes), trained)


def _held_out(model: AnyEnsemble) -> Labelled:
    table = _clips(model)
    rows = table[table["part"] == "test"]
    here = rows[[Path(text_path(str(path))).is_file() for path in rows["path"]]]
    if here.empty:
        raise DatasetError(
            "A stress test without files takes the held-out clips of the training. "
            + (f"There were {len(rows)}, but none of their files is here" if len(rows) else "There were none")
            + ": name files."
        )
    notes = []
    if len(here) < len(rows):
        notes.append(f"{len(rows) - len(here)} of {len(rows)} held-out clips are not on this machine.")
    sources = [
        ClipSource.from_row(str(row["id"]), str(row["path"]), float(row["start"]), float(row["end"]))
        for row in here.to_dict("records")
    ]
    labels = [str(label) if isinstance(label, str) else None for label in here["label"]]
    return Labelled(sources, labels, here["group"].astype(str).tolist(), tuple(notes))


def _training_paths(model: AnyEnsemble) -> set[str]:
    table = _clips(model)
    return set(table.loc[(table["part"] == "train") & table["start"].isna(), "path"].astype(str))


def _clips(model: AnyEnsemble) -> pd.DataFrame:
    """Clips of the training run: `id, path, start, end, label, group, part`."""
    import pandas as pd

    columns = ["id", "path", "start", "end"]
    if model.files_ is None:
        return pd.DataFrame(columns=[*columns, "label", "group", "part"])
    folder = OpenFolder(model.bundle_, model.files_)
    clips = folder.read_frame("features.parquet", columns)
    split = folder.read_frame("split.parquet")[["id", "label", "group", "part"]]
    table = clips.merge(split, on="id")
    return table.assign(start=table["start"].astype(float), end=table["end"].astype(float))
