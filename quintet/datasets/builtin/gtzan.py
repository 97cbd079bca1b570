"""GTZAN (Tzanetakis & Cook 2002): 1,000 excerpts of 30 s in ten genres.

Layout on disk, as it is distributed: `genres/blues/blues.00000.au`, or
`genres_original/blues/blues.00000.wav` (also inside `Data/`, and one folder below). `jazz.00054` is broken in
the common copy: the decoder refuses it, and it becomes a row of the failure ledger.

Sturm (2013, "The GTZAN dataset: its contents, its faults, …") describes the faults of the dataset. This file
lists which excerpts are of the same recording (81 more excerpts than recordings): they have the same
performer and title in his index of 2012, or published features that are equal to the digit (14 pairs). They
share a group. Lists beside the audio (in the folder, or in `splits/` below it) are read as well:

| source | lists | split |
|---|---|---|
| `gtzan@filtered:FOLDER` | `filtered_train.csv` or `train_filtered.txt`, valid, test | fault-filtered (1) |
| `gtzan@artist1:FOLDER`, 2, 3 | `artist_fold1_train.csv, artist_fold1_test.csv`, 2, 3 | by artist (2) |
| `gtzan:FOLDER` | any | the fault-filtered one if its lists are present, otherwise none |

(1) Kereliuk, Sturm & Larsen 2015. (2) Foleis & Tavares 2020.

A `.csv` has a column `track` (`blues.00000`). A `.txt` has one track per line (`blues/blues.00000.wav`), as
in the folder gtzan/ of the repository dnn-mgr. The lists by artist are those of
gtzan_sturm_filter_3folds_stratified. Under a named split, tracks that are in no list are `unused`.

The artist is the column `group` of the lists by artist (any `artist*.csv`). If there are none, it is the
performer in Sturm's own `GTZANindex.txt` (`blues.00000.wav ::: performer ::: title`). With either, the
manifest is grouped by artist under every split, also if a list has two excerpts of a recording under two
artists. The fault-filtered split itself has two artists on both sides (disco.00049 and 73 in train, 69 in
test; hiphop.00078, which is 76, in train, 51 and 62 in test). There an artist is one group per part, and
`ignored` reports it.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pandas as pd

from quintet.datasets.builtin.published_tables import read_columns
from quintet.datasets.folder import list_audio
from quintet.datasets.manifest import Manifest, build_manifest
from quintet.errors import DatasetError, unknown_name
from quintet.files.text import read_text

GENRES = ("blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "reggae", "rock")
SPLITS = {  # variant → beginning of the names of its lists, and its parts
    "filtered": ("filtered", ("train", "valid", "test")),
    "artist1": ("artist_fold1", ("train", "test")),
    "artist2": ("artist_fold2", ("train", "test")),
    "artist3": ("artist_fold3", ("train", "test")),
}
PLACES = ("", "genres", "genres_original", "Data/genres_original")
INDEX = "GTZANindex.txt"
UNKNOWN = frozenset({"", "?"})
_TRACK = re.compile(r"\w+\.\d+")
_SAME = {  # genre → recordings, each with the numbers of its excerpts; one is of another genre
    "blues": "24 28",
    "classical": "0 1 2, 42 53, 44 48, 51 80",
    "country": "8 51, 46 47",
    "disco": "38 78, 50 51 70, 55 60 89, 66 69, 71 74, 98 99",
    "hiphop": "1 42, 2 32, 20 36, 39 45, 46 65, 47 67, 48 68, 49 69, 50 72, 76 78",
    "jazz": "33 51, 34 53, 35 55, 36 58, 37 60, 38 62, 39 65, 40 67, 42 68, 43 69, 44 70, 45 71, 46 72",
    "metal": "4 13, 34 94, 40 61, 41 62, 42 63, 43 64, 44 65, 45 66, 58 rock.00016",
    "pop": (
        "10 14, 15 21 22 37, 16 17, 30 31, 45 46, 47 48 51 80, 52 54 57 60, 56 59, 67 71, 68 73, 75 82, "
        "87 90, 88 89, 93 94"
    ),
    "reggae": "3 54, 5 56, 7 59, 8 57, 10 60, 13 58, 33 44, 41 69, 73 74, 75 91 92, 80 81 82",
}


def _repetitions() -> dict[str, str]:
    """Every later excerpt of a recording → its first excerpt."""
    first_of: dict[str, str] = {}
    for genre, recordings in _SAME.items():
        for recording in recordings.split(", "):
            first, *others = [_full_name(genre, number) for number in recording.split()]
            first_of |= dict.fromkeys(others, first)
    return first_of


def _full_name(genre: str, number: str) -> str:
    return number if "." in number else f"{genre}.{int(number):05d}"


REPETITIONS = _repetitions()


def load(folder: Path | None, variant: str | None = None) -> Manifest:
    """Manifest of a GTZAN folder. Ids are track names without their extension (`blues.00000`).

    Args:
        folder: contains the genres and the lists.
        variant: the named split: `filtered`, `artist1`, `artist2` or `artist3`.

    Raises:
        DatasetError: if no folder is named, or genres or the lists of the split are missing.
        ConfigError: if the variant is unknown.
    """
    if folder is None:
        raise DatasetError(
            "GTZAN is read from a folder that you have. "
            "Name it: gtzan:/path/to/folder (with genres/blues/blues.00000.au and so on)."
        )
    place = _audio_place(folder)
    listings = {genre: list_audio(place / genre, within=place) for genre in GENRES}
    rows = _list_tracks(place, {genre: listings[genre].paths for genre in GENRES})
    part_of, artist_of = _parts(folder, variant), _artists(folder)
    not_listed = "unused" if variant else None
    rows["split"] = rows["id"].map(lambda track: part_of.get(track, not_listed))
    rows["group"] = _groups(rows["id"].tolist(), artist_of)
    divided = _divided_groups(rows)
    rows.loc[rows["group"].isin(divided), "group"] += " (" + rows["split"].fillna("unused") + ")"
    left_out = [note for listing in listings.values() for note in listing.notes]
    notes = [f"the published split has {group} on both sides: one group per part" for group in divided]
    notes += _absent_note(part_of.keys() - set(rows["id"]))
    name = f"gtzan@{variant}" if variant else "gtzan"
    manifest = build_manifest(rows, name=name, root=place, ignored=[*notes, *left_out])
    return replace(manifest, grouped=bool(artist_of))


def _audio_place(folder: Path) -> Path:
    """The one of `PLACES`, here or one folder below, that contains most genres; it must contain all."""

    def n_genres(place: Path) -> int:
        return sum((place / genre).is_dir() for genre in GENRES)

    places = [folder / name for name in PLACES]
    places += [inner / name for inner in sorted(folder.glob("*/")) for name in PLACES[1:]]
    place = max(places, key=n_genres)
    missing = [genre for genre in GENRES if not (place / genre).is_dir()]
    if missing:
        raise DatasetError(
            "GTZAN must have a folder for each of ten genres. "
            f"In '{place}' these are missing: {', '.join(missing)}."
        )
    return place


def _list_tracks(place: Path, names: dict[str, list[str]]) -> pd.DataFrame:
    """Columns path, label and id of every audio file, from genre → paths in its folder."""
    tracks = [(genre, Path(name)) for genre in names for name in names[genre]]
    return pd.DataFrame(
        {
            "path": [str((place / genre / name).absolute()) for genre, name in tracks],
            "label": [genre for genre, _ in tracks],
            "id": [name.stem for _, name in tracks],
        }
    )


def _absent_note(tracks: set[str]) -> list[str]:
    """A note about tracks of the lists that have no file."""
    plural = "s" if len(tracks) > 1 else ""
    return [f"{len(tracks)} listed track{plural} without a file, such as '{min(tracks)}'"] if tracks else []


def _groups(tracks: list[str], artist_of: dict[str, str]) -> list[str]:
    """Group of every track: its artist, or that of another excerpt of its recording, or its recording."""
    recordings = [REPETITIONS.get(track, track) for track in tracks]
    artist_of_recording: dict[str, str] = {}
    for track, recording in zip(tracks, recordings, strict=True):
        if track in artist_of:
            artist_of_recording[recording] = artist_of[track]
    groups = []
    for track, recording in zip(tracks, recordings, strict=True):
        artist = artist_of.get(track) or artist_of_recording.get(recording)
        groups.append(recording if artist is None else artist)
    return groups


def _divided_groups(rows: pd.DataFrame) -> list[str]:
    """Groups that the split itself divides."""
    used = rows[rows["split"].isin(["train", "valid", "test"])]
    n_parts = used.groupby("group")["split"].nunique()
    return sorted(n_parts.index[n_parts > 1])


def _find_lists(folder: Path, pattern: str) -> list[Path]:
    return sorted([*folder.glob(pattern), *folder.glob(f"splits/{pattern}")])


def _read_csv_list(path: Path, *columns: str) -> pd.DataFrame:
    """A list of tracks with these columns besides `track`."""
    table = read_columns(path, ("track", *columns), table="A GTZAN list").dropna(subset="track")
    return table.assign(track=table["track"].map(_track))


def _artists(folder: Path) -> dict[str, str]:
    """Track → artist, from every `artist*.csv`, or if these have none from Sturm's index."""
    artist_of: dict[str, str] = {}
    for path in _find_lists(folder, "artist*.csv"):
        table = _read_csv_list(path, "group")
        for track, group in zip(table["track"], table["group"], strict=True):
            artist_of[track] = f"artist {group}"
    if not artist_of:
        for path in _find_lists(folder, INDEX):
            artist_of |= _read_index(path)
    return artist_of


def _read_index(path: Path) -> dict[str, str]:
    """Track → performer in Sturm's index, without unknown performers."""
    artist_of: dict[str, str] = {}
    n_lines = 0
    for line in read_text(path).splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        n_lines += 1
        track, *fields = [field.strip() for field in line.split(":::")]
        if not fields:
            raise _damaged_index(path)
        if fields[0] not in UNKNOWN:
            artist_of[_track(track)] = f"artist {fields[0]}"
    if not n_lines:
        raise _damaged_index(path)
    return artist_of


def _damaged_index(path: Path) -> DatasetError:
    return DatasetError(
        "Sturm's index of GTZAN must have lines such as 'blues.00000.wav ::: performer ::: title'. "
        f"'{path}' has others."
    )


def _parts(folder: Path, variant: str | None) -> dict[str, str]:
    """Track → part of a named split; without a name, of the fault-filtered split (lists may be missing)."""
    if variant not in (None, *SPLITS):
        raise unknown_name("variant of gtzan", str(variant), SPLITS)
    stem, parts = SPLITS[variant or "filtered"]
    lists = {}
    for part in parts:
        csv_lists = _find_lists(folder, f"{stem}_{part}.csv")
        lists[part] = csv_lists + _find_lists(folder, f"{part}_{stem}.txt")
    missing = [f"{stem}_{part}.csv" for part, paths in lists.items() if not paths]
    if variant and missing:
        raise DatasetError(
            f"The split gtzan@{variant} must have its lists beside the audio. "
            f"'{folder}' (and its folder splits/) lacks {', '.join(missing)}: "
            "tables with a column track; quintet.datasets.builtin.gtzan says who published them."
        )
    part_of: dict[str, str] = {}
    for part, paths in lists.items():
        for path in paths:
            part_of |= dict.fromkeys(_listed_tracks(path), part)
    return part_of


def _listed_tracks(path: Path) -> list[str]:
    """Tracks of a list, `.csv` or `.txt`."""
    if path.suffix == ".csv":
        return _require_tracks(path, _read_csv_list(path)["track"].tolist())
    lines = read_text(path).splitlines()
    tracks = [_track(line.strip()) for line in lines if line.strip()]
    return _require_tracks(path, tracks)


def _require_tracks(path: Path, tracks: list[str]) -> list[str]:
    """The tracks of a list, all of which must be of one of the genres."""
    for track in tracks:
        if track.partition(".")[0] not in GENRES:
            raise DatasetError(
                "A list of GTZAN must have one track per line (blues/blues.00000.wav). "
                f"'{path}' has '{track}'."
            )
    return tracks


def _track(name: str) -> str:
    """`blues/blues.00000.wav` is `blues.00000`, whatever the extension."""
    file = name.replace("\\", "/").rpartition("/")[2]
    match = _TRACK.match(file)
    return match[0] if match else file
