"""GTZAN (Tzanetakis & Cook 2002): 1,000 excerpts of 30 s, ten genres.

On disk, as it is handed round: `genres/blues/blues.00000.au`, or `genres_original/blues/blues.00000.wav` (also inside `Data/`).
`jazz.00054` is broken in the common copy: the decoder refuses it, and it becomes a row of the failure ledger like any other.

Its faults are those that Sturm (2013, "The GTZAN dataset: its contents, its faults, …") describes. Kept here: which excerpts are of the
same recording, 81 more than there are recordings: same performer and title in his index of 2012, or published features that are equal to
the digit (14 pairs). They share a group. Lists laid beside the audio (in the folder, or in `splits/` below it) are read as well:

| source | lists | split |
|---|---|---|
| `gtzan@filtered:FOLDER` | `filtered_train.csv` or `train_filtered.txt`, likewise valid and test | fault-filtered (Kereliuk, Sturm & Larsen 2015) |
| `gtzan@artist1:FOLDER`, 2, 3 | `artist_fold1_train.csv, artist_fold1_test.csv`, 2, 3 | by artist (Foleis & Tavares 2020) |
| `gtzan:FOLDER` | any | the fault-filtered one where its lists are, none otherwise |

A `.csv` has a column `track` (`blues.00000`), a `.txt` one track per line (`blues/blues.00000.wav`), as the repository dnn-mgr has them in its
folder gtzan/; the lists by artist are those of gtzan_sturm_filter_3folds_stratified. Under a named split, tracks that are in no list are
`unused`. Who plays stands in the column `group` of the lists by artist (any `artist*.csv`), or where there are none in Sturm's own
`GTZANindex.txt` (`blues.00000.wav ::: performer ::: title`). With either the manifest is grouped by artist, under every
split, also where a list has two excerpts of a recording under two artists. The fault-filtered split itself has two artists on both sides
(disco.00049 and 73 in train, 69 in test; hiphop.00078, which is 76, in train, 51 and 62 in test): there an artist is one group per part,
and `ignored` says so.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd

from quintet.datasets.folder import audio_files
from quintet.datasets.manifest import Manifest, build_manifest
from quintet.errors import DatasetError, unknown_name

GENRES = ("blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "reggae", "rock")
SPLITS = {"filtered": ("filtered", ("train", "valid", "test"))} | {
    f"artist{k}": (f"artist_fold{k}", ("train", "test")) for k in (1, 2, 3)
}
PLACES = ("", "genres", "genres_original", "Data/genres_original")
_SAME = {  # genre → recordings, each the numbers of its excerpts; another genre stands in full
    "blues": "24 28",
    "classical": "0 1 2, 42 53, 44 48, 51 80",
    "country": "8 51, 46 47",
    "disco": "38 78, 50 51 70, 55 60 89, 66 69, 71 74, 98 99",
    "hiphop": "1 42, 2 32, 20 36, 39 45, 46 65, 47 67, 48 68, 49 69, 50 72, 76 78",
    "jazz": "33 51, 34 53, 35 55, 36 58, 37 60, 38 62, 39 65, 40 67, 42 68, 43 69, 44 70, 45 71, 46 72",
    "metal": "4 13, 34 94, 40 61, 41 62, 42 63, 43 64, 44 65, 45 66, 58 rock.00016",
    "pop": "10 14, 15 21 22 37, 16 17, 30 31, 45 46, 47 48 51 80, 52 54 57 60, 56 59, 67 71, 68 73, 75 82, 87 90, 88 89, 93 94",
    "reggae": "3 54, 5 56, 7 59, 8 57, 10 60, 13 58, 33 44, 41 69, 73 74, 75 91 92, 80 81 82",
}
INDEX, UNKNOWN = "GTZANindex.txt", frozenset({"", "?"})


def _repetitions() -> dict[str, str]:
    """Every later excerpt of a recording → its first."""
    found: dict[str, str] = {}
    for genre, recordings in _SAME.items():
        for recording in recordings.split(", "):
            first, *others = (
                number if "." in number else f"{genre}.{int(number):05d}" for number in recording.split()
            )
            found |= dict.fromkeys(others, first)
    return found


REPETITIONS = _repetitions()


def load(folder: Path | None, variant: str | None = None) -> Manifest:
    """The manifest of a GTZAN folder; ids are track names without their ending (`blues.00000`).

    Args:
        folder: where the genres are, and the lists.
        variant: the named split: `filtered`, `artist1`, `artist2` or `artist3`.

    Raises:
        DatasetError: if no folder is named, genres are missing from it, or the lists of the split are.
    """
    if folder is None:
        raise DatasetError(
            "GTZAN is read from a folder that you have. Name it: gtzan:/path/to/folder (with genres/blues/blues.00000.au and so on)."
        )
    place = max(
        (folder / place for place in PLACES),
        key=lambda path: sum((path / genre).is_dir() for genre in GENRES),
    )
    missing = [genre for genre in GENRES if not (place / genre).is_dir()]
    if missing:
        raise DatasetError(
            f"GTZAN must have a folder for each of ten genres. In '{place}' these are missing: {', '.join(missing)}."
        )
    files = [path for genre in GENRES for path in audio_files(place / genre)]
    rows = pd.DataFrame(
        {"path": [str(path.absolute()) for path in files], "label": [path.parent.name for path in files]}
    )
    rows["id"] = [path.stem for path in files]
    parts, artists = _parts(folder, variant), _artists(folder)
    rows["split"] = rows["id"].map(lambda track: parts.get(track, "unused" if variant else None))
    rows["group"] = _groups(rows["id"].tolist(), artists)
    divided = _divided(rows)
    rows.loc[rows["group"].isin(divided), "group"] += " (" + rows["split"].fillna("unused") + ")"
    notes = [f"the published split has {group} on both sides: one group per part" for group in divided]
    manifest = build_manifest(
        rows, name=f"gtzan@{variant}" if variant else "gtzan", root=place, ignored=notes
    )
    return replace(manifest, grouped=bool(artists))


def _groups(tracks: list[str], artists: dict[str, str]) -> list[str]:
    """The group of every track: its artist; that of another excerpt of its recording where the lists leave it out; or its recording."""
    recordings = [REPETITIONS.get(track, track) for track in tracks]
    of_recording = {
        recording: artists[track]
        for track, recording in zip(tracks, recordings, strict=True)
        if track in artists
    }
    return [
        artists.get(track) or of_recording.get(recording, recording)
        for track, recording in zip(tracks, recordings, strict=True)
    ]


def _divided(rows: pd.DataFrame) -> list[str]:
    """Groups that the split itself parts."""
    sides = rows[rows["split"].isin(["train", "valid", "test"])].groupby("group")["split"].nunique()
    return sorted(sides.index[sides > 1])


def _lists(folder: Path, pattern: str) -> list[Path]:
    return sorted([*folder.glob(pattern), *folder.glob(f"splits/{pattern}")])


def _tracks(path: Path, *columns: str) -> pd.DataFrame:
    """A list of tracks, or the error that names its missing column."""
    table = pd.read_csv(path, dtype="str")
    lacking = [column for column in ("track", *columns) if column not in table]
    if lacking:
        raise DatasetError(
            f"A GTZAN list must have the columns {', '.join(('track', *columns))}. '{path}' lacks {', '.join(lacking)}."
        )
    return table.assign(track=table["track"].map(_track))


def _artists(folder: Path) -> dict[str, str]:
    """Track → artist, from every `artist*.csv`; where there are none, from Sturm's index."""
    found: dict[str, str] = {}
    for path in _lists(folder, "artist*.csv"):
        table = _tracks(path, "group")
        found |= {
            track: f"artist {group}" for track, group in zip(table["track"], table["group"], strict=True)
        }
    return found or {
        track: artist for path in _lists(folder, INDEX) for track, artist in _indexed(path).items()
    }


def _indexed(path: Path) -> dict[str, str]:
    """Track → performer, of the index, as far as known."""
    lines = (
        line
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines()
        if line.strip() and not line.startswith("#")
    )
    fields = [[field.strip() for field in line.split(":::")] for line in lines]
    if not fields or any(len(field) < 2 for field in fields):
        raise DatasetError(
            f"Sturm's index of GTZAN must have lines such as 'blues.00000.wav ::: performer ::: title'. '{path}' has others."
        )
    return {
        _track(track): f"artist {performer}" for track, performer, *_ in fields if performer not in UNKNOWN
    }


def _parts(folder: Path, variant: str | None) -> dict[str, str]:
    """Track → part of a named split; without a name, of the fault-filtered one as far as its lists are there."""
    if variant not in (None, *SPLITS):
        raise unknown_name("variant of gtzan", str(variant), SPLITS)
    stem, parts = SPLITS[variant or "filtered"]
    lists = {
        part: [*_lists(folder, f"{stem}_{part}.csv"), *_lists(folder, f"{part}_{stem}.txt")] for part in parts
    }
    lacking = [f"{stem}_{part}.csv" for part, paths in lists.items() if not paths]
    if variant and lacking:
        raise DatasetError(
            f"The split gtzan@{variant} must have its lists beside the audio. '{folder}' (and its folder splits/) lacks {', '.join(lacking)}: "
            "tables with a column track; quintet.datasets.builtin.gtzan says who published them."
        )
    return {track: part for part, paths in lists.items() for path in paths for track in _listed(path)}


def _listed(path: Path) -> list[str]:
    """The tracks of a list, `.csv` or `.txt`."""
    if path.suffix == ".csv":
        return _tracks(path)["track"].tolist()
    tracks = [_track(line.strip()) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    if strange := next((track for track in tracks if track.partition(".")[0] not in GENRES), None):
        raise DatasetError(
            f"A list of GTZAN must have one track per line (blues/blues.00000.wav). '{path}' has '{strange}'."
        )
    return tracks


def _track(name: str) -> str:
    """`blues/blues.00000.wav` is `blues.00000`."""
    return name.rpartition("/")[2].removesuffix(".wav").removesuffix(".au")
