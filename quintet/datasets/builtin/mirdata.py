"""What mirdata reads (Bittner et al. 2019, ISMIR): the loaders of an optional library, as sources.

`mirdata:NAME:FOLDER` is mirdata's dataset NAME (`gtzan_genre`, `medley_solos_db`, …) on its audio in FOLDER; without a folder it is where
mirdata keeps its data. Downloading stays mirdata's own business (`mirdata.initialize(NAME).download()`), as do its licences
(`mirdata.initialize(NAME).license()`).

Every track that mirdata lists is a row. Its label is the first of `LABELS` that any track has: a text, or several for a set;
`mirdata@ATTRIBUTE:NAME:FOLDER` names another attribute of the tracks (`mirdata@instrument:medley_solos_db:FOLDER`). Groups are the first
of `GROUPS` that any track has, the split is `split` or `subset` where it says train, validation and test.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from quintet.datasets.labels import LABEL_SEPARATOR
from quintet.datasets.manifest import Manifest, build_manifest
from quintet.datasets.splits.protocols import PART_NAMES
from quintet.errors import ConfigError, DatasetError, MissingExtraError, unknown_name

PATHS = ("audio_path", "audio_mix_path", "audio_mono_path", "audio_path_mono", "mix_path")
LABELS = ("genre", "genres", "label", "tags", "style", "instrument", "class_label")
GROUPS = ("artist", "artist_id", "artist_name", "player_id", "singer_id", "drummer", "song_id")
SPLITS = ("split", "subset")


def load(source: Path | None, variant: str | None = None) -> Manifest:
    """The manifest of one of mirdata's datasets; ids are its track ids.

    Args:
        source: `NAME` or `NAME:FOLDER`.
        variant: the attribute of the tracks that is the label; None looks for one of `LABELS`.

    Raises:
        ConfigError: if no dataset is named, or mirdata has none of this name.
        MissingExtraError: if mirdata is not installed.
        DatasetError: if mirdata finds no index or metadata in the folder, or no track has audio, or the label.
    """
    name, _, folder = source.as_posix().partition(":") if source is not None else ("", "", "")
    if not name:
        raise ConfigError(
            "A dataset of mirdata must be named. Write mirdata:NAME:/path/to/folder, for example mirdata:gtzan_genre:/data/gtzan."
        )
    try:
        mirdata = importlib.import_module("mirdata")
    except ImportError as error:
        raise MissingExtraError("Reading datasets through mirdata", "datasets") from error
    known = list(mirdata.list_datasets())
    if name not in known:
        raise unknown_name("dataset of mirdata", name, known)
    dataset = mirdata.initialize(name, data_home=folder or None)
    try:
        tracks: Mapping[str, Any] = dataset.load_tracks()
        rows = _rows(tracks, label=variant)
    except AttributeError as error:  # which is what mirdata raises for a dataset of nothing but multitracks
        raise DatasetError(
            f"A source must have tracks. mirdata lists none for '{name}': {error}. Name another dataset."
        ) from error
    except FileNotFoundError as error:
        raise DatasetError(
            f"mirdata must find '{name}' in its folder. '{dataset.data_home}' lacks something: {error} "
            f"Get it with mirdata.initialize('{name}').download()."
        ) from error
    if not rows["path"].notna().any():
        raise DatasetError(
            f"A source must have audio. mirdata gives no path for any of {len(rows)} tracks of '{name}' ({', '.join(PATHS)})."
        )
    if not rows["label"].notna().any():
        found = ", ".join(sorted(_texts_of(next(iter(tracks.values()))))) or "none"
        raise DatasetError(
            f"A source must have labels. No track of '{name}' has {variant or ', '.join(LABELS)}. Name another attribute "
            f"(mirdata@ATTRIBUTE:{name}); those with text: {found}."
        )
    return build_manifest(rows, name=name, root=Path(dataset.data_home))


def _rows(tracks: Mapping[str, Any], *, label: str | None) -> pd.DataFrame:
    """A listing as `build_manifest` takes it."""
    listed = list(tracks.values())
    rows = pd.DataFrame({"id": list(tracks), "path": _first(listed, PATHS, each=True)}, dtype="str")
    rows["label"] = _first(listed, (label,) if label else LABELS)
    rows["group"] = _first(listed, GROUPS)
    rows["split"] = [part if part and part.lower() in PART_NAMES else None for part in _first(listed, SPLITS)]
    return rows


def _first(tracks: list[Any], attributes: Iterable[str], *, each: bool = False) -> list[str | None]:
    """The values of the first attribute that any track has; with `each`, of the first that the track itself has."""
    columns = ([_text(getattr(track, attribute, None)) for track in tracks] for attribute in attributes)
    if each:
        return [next((text for text in texts if text), None) for texts in zip(*columns, strict=True)]
    return next((column for column in columns if any(column)), [None] * len(tracks))


def _text(value: object) -> str | None:
    """A text, a number or a path as text, several as a set; None for whatever else an attribute may be."""
    if isinstance(value, str | int | Path) and not isinstance(value, bool):
        return str(value).strip() or None
    if isinstance(value, list | tuple | set) and all(isinstance(item, str) for item in value):
        items = sorted(value) if isinstance(value, set) else value
        return LABEL_SEPARATOR.join(items) or None
    return None


def _texts_of(track: object) -> list[str]:
    """The names of a track's attributes that are texts and no paths."""
    plain = {
        name: value
        for name, value in vars(track).items()
        if not name.startswith("_") and not name.endswith("_path")
    }
    return [name for name, value in plain.items() if name != "track_id" and _text(value)]
