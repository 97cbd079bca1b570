"""Datasets of the library mirdata (Bittner et al. 2019, ISMIR), an optional dependency.

`mirdata:NAME:FOLDER` is mirdata's dataset NAME (`gtzan_genre`, `medley_solos_db`, …) with its audio in
FOLDER. Without a folder, mirdata's own data folder is used. mirdata itself downloads the data
(`mirdata.initialize(NAME).download()`) and states the licence (`mirdata.initialize(NAME).license()`).

Every track that mirdata lists is a row. Its label is the first attribute of `LABELS` that any track has: a
text, or several texts for a set. `mirdata@ATTRIBUTE:NAME:FOLDER` names another attribute
(`mirdata@instrument:medley_solos_db:FOLDER`). The group is the first attribute of `GROUPS` that any track
has. The split is `split` or `subset`, if its value is train, validation or test.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol

import pandas as pd

from quintet.datasets.labels import join_labels
from quintet.datasets.manifest import Manifest, build_manifest
from quintet.datasets.splits.protocols import PART_NAMES
from quintet.errors import ConfigError, DatasetError, MissingExtraError, unknown_name

PATHS = ("audio_path", "audio_mix_path", "audio_mono_path", "audio_path_mono", "mix_path")
LABELS = ("genre", "genres", "label", "tags", "style", "instrument", "class_label")
GROUPS = ("artist", "artist_id", "artist_name", "player_id", "singer_id", "drummer", "song_id")
SPLITS = ("split", "subset")


class MirdataDataset(Protocol):
    """The part of `mirdata.core.Dataset` that is used here."""

    data_home: str

    def load_tracks(self) -> Mapping[str, object]:
        """Track id → track."""


def load(source: Path | None, variant: str | None = None) -> Manifest:
    """Manifest of one of mirdata's datasets. Ids are its track ids.

    Args:
        source: `NAME` or `NAME:FOLDER`.
        variant: attribute of the tracks that is the label. None: the first of `LABELS` that any track has.

    Raises:
        ConfigError: if no dataset is named, or mirdata has none of this name.
        MissingExtraError: if mirdata is not installed.
        DatasetError: if mirdata finds no index or metadata in the folder, or no track has audio, or no track
            has the label.
    """
    name, _, folder = source.as_posix().partition(":") if source is not None else ("", "", "")
    if not name:
        raise ConfigError(
            "A dataset of mirdata must be named. "
            "Write mirdata:NAME:/path/to/folder, for example mirdata:gtzan_genre:/data/gtzan."
        )
    dataset = _open_dataset(name, folder or None)
    tracks, rows = _list_tracks(dataset, name, label=variant)
    if not rows["path"].notna().any():
        raise DatasetError(
            f"A source must have audio. mirdata gives no path for any of {len(rows)} tracks of '{name}' "
            f"({', '.join(PATHS)})."
        )
    if not rows["label"].notna().any():
        raise _no_labels(tracks, name, variant)
    return build_manifest(rows, name=name, root=Path(dataset.data_home))


def _open_dataset(name: str, folder: str | None) -> MirdataDataset:
    try:
        mirdata = importlib.import_module("mirdata")
    except ImportError as error:
        raise MissingExtraError("Reading datasets through mirdata", "datasets") from error
    names = list(mirdata.list_datasets())
    if name not in names:
        raise unknown_name("dataset of mirdata", name, names)
    dataset: MirdataDataset = mirdata.initialize(name, data_home=folder)
    return dataset


def _list_tracks(
    dataset: MirdataDataset, name: str, *, label: str | None
) -> tuple[Mapping[str, object], pd.DataFrame]:
    """Tracks by id, and their listing for `build_manifest`. Both may read files of the dataset."""
    try:
        tracks = dataset.load_tracks()
        return tracks, _rows(tracks, label=label)
    except AttributeError as error:  # mirdata raises it for a dataset that has multitracks only
        raise DatasetError(
            f"A source must have tracks. mirdata lists none for '{name}': {error}. Name another dataset."
        ) from error
    except FileNotFoundError as error:
        raise DatasetError(
            f"mirdata must find '{name}' in its folder. '{dataset.data_home}' lacks something: {error} "
            f"Get it with mirdata.initialize('{name}').download()."
        ) from error


def _no_labels(tracks: Mapping[str, object], name: str, variant: str | None) -> DatasetError:
    first_track = next(iter(tracks.values()))
    with_text = ", ".join(sorted(_text_attributes(first_track))) or "none"
    return DatasetError(
        f"A source must have labels. No track of '{name}' has {variant or ', '.join(LABELS)}. "
        f"Name another attribute (mirdata@ATTRIBUTE:{name}); those with text: {with_text}."
    )


def _rows(tracks: Mapping[str, object], *, label: str | None) -> pd.DataFrame:
    objects = list(tracks.values())
    rows = pd.DataFrame({"id": list(tracks), "path": _first_of_each(objects, PATHS)}, dtype="str")
    rows["label"] = _first_column(objects, (label,) if label else LABELS)
    rows["group"] = _first_column(objects, GROUPS)
    parts = _first_column(objects, SPLITS)
    rows["split"] = [part if part and part.lower() in PART_NAMES else None for part in parts]
    return rows


def _first_column(tracks: list[object], attributes: Iterable[str]) -> list[str | None]:
    """Values of the first attribute that any track has, one per track."""
    for attribute in attributes:
        column = [_text(getattr(track, attribute, None)) for track in tracks]
        if any(column):
            return column
    return [None] * len(tracks)


def _first_of_each(tracks: list[object], attributes: Iterable[str]) -> list[str | None]:
    """For each track the value of the first attribute that it has."""
    values: list[str | None] = [None] * len(tracks)
    for attribute in attributes:
        for row, track in enumerate(tracks):
            values[row] = values[row] or _text(getattr(track, attribute, None))
    return values


def _text(value: object) -> str | None:
    """A text, a number or a path as text; several texts as a label set; None for any other value."""
    if isinstance(value, str | int | Path) and not isinstance(value, bool):
        return str(value).strip() or None
    if isinstance(value, list | tuple | set) and all(isinstance(item, str) for item in value):
        items = sorted(value) if isinstance(value, set) else value
        return join_labels(items) or None
    return None


def _text_attributes(track: object) -> list[str]:
    """Names of the attributes of a track that are texts and not paths."""
    names = []
    for name, value in vars(track).items():
        is_plain = not name.startswith("_") and not name.endswith("_path") and name != "track_id"
        if is_plain and _text(value):
            names.append(name)
    return names
