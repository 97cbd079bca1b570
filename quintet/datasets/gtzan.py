"""GTZAN (Tzanetakis & Cook 2002): 1,000 excerpts of 30 s, ten genres.

On disk, as it is handed round: `genres/blues/blues.00000.au`, or `genres_original/blues/blues.00000.wav` (also inside `Data/`).
`jazz.00054` is broken in the common copy: it becomes a row of the failure ledger.

Its faults are those that Sturm (2013, "The GTZAN dataset: its contents, its faults, …") describes. Kept here: the recordings that
stand there twice, as far as their published features are equal to the digit. Each pair shares a group. Lists laid beside the
audio (in the folder, or in `splits/` below it) are read as well, each with a column `track` (`blues.00000`):

- `filtered_train.csv, filtered_valid.csv, filtered_test.csv`: the fault-filtered split (Kereliuk, Sturm & Larsen 2015);
- any `artist*.csv` with a column `group`: who plays. With these the manifest is grouped.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from quintet.datasets.folder import audio_files
from quintet.datasets.manifest import Manifest, build_manifest
from quintet.errors import DatasetError

GENRES = ("blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "reggae", "rock")
PLACES = ("", "genres", "genres_original", "Data/genres_original")
_SAME = (
    "disco.00098 disco.00099, hiphop.00039 hiphop.00045, hiphop.00076 hiphop.00078, metal.00034 metal.00094, metal.00040 metal.00061, "
    "metal.00041 metal.00062, metal.00042 metal.00063, metal.00043 metal.00064, metal.00044 metal.00065, metal.00045 metal.00066, "
    "pop.00054 pop.00060, pop.00067 pop.00071, reggae.00081 reggae.00082, metal.00058 rock.00016"
)
REPETITIONS = {later: earlier for earlier, later in (pair.split() for pair in _SAME.split(", "))}  # the later name → the earlier


def load(folder: Path | None) -> Manifest:
    """The manifest of a GTZAN folder; ids are track names without their ending (`blues.00000`).

    Raises:
        DatasetError: if no folder is named, or genres are missing from it.
    """
    if folder is None:
        raise DatasetError("GTZAN is read from a folder that you have. Name it: gtzan:/path/to/folder (with genres/blues/blues.00000.au and so on).")
    place = max((folder / place for place in PLACES), key=lambda path: sum((path / genre).is_dir() for genre in GENRES))
    missing = [genre for genre in GENRES if not (place / genre).is_dir()]
    if missing:
        raise DatasetError(f"GTZAN must have a folder for each of ten genres. In '{place}' these are missing: {', '.join(missing)}.")
    files = [path for genre in GENRES for path in audio_files(place / genre)]
    rows = pd.DataFrame({"path": [str(path.absolute()) for path in files], "label": [path.parent.name for path in files]})
    rows["id"] = [path.stem for path in files]
    artists = _artists(folder)
    first = rows["id"].map(lambda track: REPETITIONS.get(track, track))
    rows["group"] = first.map(lambda track: artists.get(track, track)) if artists else first
    rows["split"] = rows["id"].map(_filtered(folder))
    manifest = build_manifest(rows, name="gtzan", root=place)
    return Manifest(manifest.frame, "gtzan", manifest.root, multilabel=False, grouped=bool(artists))


def _lists(folder: Path, pattern: str) -> list[Path]:
    return sorted([*folder.glob(pattern), *folder.glob(f"splits/{pattern}")])


def _tracks(path: Path, *columns: str) -> pd.DataFrame:
    """A list of tracks, or the error that names its missing column."""
    table = pd.read_csv(path, dtype="str")
    lacking = [column for column in ("track", *columns) if column not in table]
    if lacking:
        raise DatasetError(f"A GTZAN list must have the columns {', '.join(('track', *columns))}. '{path}' lacks {', '.join(lacking)}.")
    return table


def _artists(folder: Path) -> dict[str, str]:
    """Track → artist from every `artist*.csv`."""
    found: dict[str, str] = {}
    for path in _lists(folder, "artist*.csv"):
        table = _tracks(path, "group")
        found |= {track: f"artist {group}" for track, group in zip(table["track"], table["group"], strict=True)}
    return found


def _filtered(folder: Path) -> dict[str, str]:
    """Track → part of the fault-filtered split."""
    return {track: part for part in ("train", "valid", "test") for path in _lists(folder, f"filtered_{part}.csv") for track in _tracks(path)["track"]}
