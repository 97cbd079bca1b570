"""GTZAN (Tzanetakis & Cook 2002): 1,000 excerpts of 30 s, ten genres.

On disk, as it is handed round: `genres/blues/blues.00000.au`, or `genres_original/blues/blues.00000.wav` (also inside `Data/`).
`jazz.00054` is broken in the common copy: the decoder refuses it, and it becomes a row of the failure ledger like any other.

Its faults are those that Sturm (2013, "The GTZAN dataset: its contents, its faults, …") describes. Kept here: the recordings that
stand there twice, as far as their published features are equal to the digit. Each pair shares a group. Lists laid beside the
audio (in the folder, or in `splits/` below it) are read as well, each with a column `track` (`blues.00000`):

| source | lists | split |
|---|---|---|
| `gtzan@filtered:FOLDER` | `filtered_train.csv, filtered_valid.csv, filtered_test.csv` | fault-filtered (Kereliuk, Sturm & Larsen 2015: dnn-mgr) |
| `gtzan@artist1:FOLDER`, 2, 3 | `artist_fold1_train.csv, artist_fold1_test.csv`, 2, 3 | by artist (Foleis & Tavares 2020) |
| `gtzan:FOLDER` | any | the fault-filtered one where its lists are, none otherwise |

The lists are published as the repositories dnn-mgr and gtzan_sturm_filter_3folds_stratified. Under a named split, tracks that are in
no list are `unused`. The lists by artist (any `artist*.csv`) have a column `group`: who plays. With them the manifest is grouped by
artist, under every split. The fault-filtered split itself has two artists on both sides (disco.00049 and 73 in train, 69 in test;
hiphop.00078, which is 76, in train, 51 and 62 in test): there an artist is one group per part, and `ignored` says so.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd

from quintet.datasets.folder import audio_files
from quintet.datasets.manifest import Manifest, build_manifest
from quintet.errors import DatasetError, unknown_name

GENRES = ("blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "reggae", "rock")
SPLITS = {"filtered": ("filtered", ("train", "valid", "test"))} | {f"artist{k}": (f"artist_fold{k}", ("train", "test")) for k in (1, 2, 3)}
PLACES = ("", "genres", "genres_original", "Data/genres_original")
_SAME = (
    "disco.00098 disco.00099, hiphop.00039 hiphop.00045, hiphop.00076 hiphop.00078, metal.00034 metal.00094, metal.00040 metal.00061, "
    "metal.00041 metal.00062, metal.00042 metal.00063, metal.00043 metal.00064, metal.00044 metal.00065, metal.00045 metal.00066, "
    "pop.00054 pop.00060, pop.00067 pop.00071, reggae.00081 reggae.00082, metal.00058 rock.00016"
)
REPETITIONS = {later: earlier for earlier, later in (pair.split() for pair in _SAME.split(", "))}  # the later name → the earlier


def load(folder: Path | None, variant: str | None = None) -> Manifest:
    """The manifest of a GTZAN folder; ids are track names without their ending (`blues.00000`).

    Args:
        folder: where the genres are, and the lists.
        variant: the named split: `filtered`, `artist1`, `artist2` or `artist3`.

    Raises:
        DatasetError: if no folder is named, genres are missing from it, or the lists of the split are.
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
    parts, artists = _parts(folder, variant), _artists(folder)
    rows["split"] = rows["id"].map(lambda track: parts.get(track, "unused" if variant else None))
    first = rows["id"].map(lambda track: REPETITIONS.get(track, track))
    rows["group"] = first.map(lambda track: artists.get(track, track))
    divided = _divided(rows) if artists else []
    rows.loc[rows["group"].isin(divided), "group"] += " (" + rows["split"].fillna("unused") + ")"
    notes = [f"the published split has {artist} on both sides: one group per part" for artist in divided]
    manifest = build_manifest(rows, name=f"gtzan@{variant}" if variant else "gtzan", root=place, ignored=notes)
    return replace(manifest, grouped=bool(artists))


def _divided(rows: pd.DataFrame) -> list[str]:
    """Groups that the split itself parts."""
    sides = rows[rows["split"].isin(["train", "valid", "test"])].groupby("group")["split"].nunique()
    return sorted(sides.index[sides > 1])


def _lists(folder: Path, pattern: str) -> list[Path]:
    return sorted([*folder.glob(pattern), *folder.glob(f"splits/{pattern}")])


def _tracks(path: Path, *columns: str) -> pd.DataFrame:
    """A list of tracks, or the error that names its missing column. `blues.00000.wav` is `blues.00000`."""
    table = pd.read_csv(path, dtype="str")
    lacking = [column for column in ("track", *columns) if column not in table]
    if lacking:
        raise DatasetError(f"A GTZAN list must have the columns {', '.join(('track', *columns))}. '{path}' lacks {', '.join(lacking)}.")
    return table.assign(track=table["track"].str.removesuffix(".wav").str.removesuffix(".au"))


def _artists(folder: Path) -> dict[str, str]:
    """Track → artist from every `artist*.csv`."""
    found: dict[str, str] = {}
    for path in _lists(folder, "artist*.csv"):
        table = _tracks(path, "group")
        found |= {track: f"artist {group}" for track, group in zip(table["track"], table["group"], strict=True)}
    return found


def _parts(folder: Path, variant: str | None) -> dict[str, str]:
    """Track → part of a named split; without a name, of the fault-filtered one as far as its lists are there."""
    if variant not in (None, *SPLITS):
        raise unknown_name("variant of gtzan", str(variant), SPLITS)
    stem, parts = SPLITS[variant or "filtered"]
    lists = {part: _lists(folder, f"{stem}_{part}.csv") for part in parts}
    lacking = [f"{stem}_{part}.csv" for part, paths in lists.items() if not paths]
    if variant and lacking:
        raise DatasetError(
            f"The split gtzan@{variant} must have its lists beside the audio. '{folder}' (and its folder splits/) lacks {', '.join(lacking)}: "
            "tables with a column track; quintet.datasets.gtzan says who published them."
        )
    return {track: part for part, paths in lists.items() for path in paths for track in _tracks(path)["track"]}
