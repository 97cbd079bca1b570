"""Million Song Dataset (Bertin-Mahieux et al. 2011, ISMIR) with tagtraum's genres (Schreiber 2015, ISMIR).

The dataset has no audio; you provide previews. Layout on disk, in one folder:

- at least one of tagtraum's annotations, `msd_tagtraum_cd1.cls`, `…cd2.cls`, `…cd2c.cls`. Comments begin with
  #. Each line has, tab-separated, the track id, a genre, and if its sources disagree a second genre;
- optionally `unique_tracks.txt` of the dataset's additional files (`TRACK<SEP>SONG<SEP>artist<SEP>title`);
- previews named for track ids, below the folder at any depth: flat (`TRAXLZU12903D05F94.mp3`) or nested as
  the dataset nests (`A/X/L/TRAXLZU12903D05F94.mp3`).

| source | annotations | label |
|---|---|---|
| `million_song@cd2c:FOLDER` | CD2C: the tracks of CD2 on which its sources agree | one genre |
| `million_song@cd2:FOLDER` | CD2 | a set of one or two genres |
| `million_song@cd1:FOLDER` | CD1: majority and minority (if any) of three sources | a set likewise |
| `million_song:FOLDER` | the first of cd2c, cd2, cd1 that is present | |

Groups are artists if `unique_tracks.txt` is present. A track that it does not list is a group of its own.
Every annotated track is a row; a track without a preview has the problem `no preview`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from quintet.datasets.folder import list_audio
from quintet.datasets.labels import join_labels
from quintet.datasets.manifest import Manifest, build_manifest
from quintet.errors import DatasetError, unknown_name
from quintet.files.display.file_names import name_text
from quintet.files.text import read_text

ANNOTATIONS = ("cd2c", "cd2", "cd1")  # the first that is present is read
SEPARATOR = "<SEP>"


def load(folder: Path | None, variant: str | None = None) -> Manifest:
    """Manifest of a folder with tagtraum's genres and previews. Ids are track ids.

    Args:
        folder: contains the annotations and the previews.
        variant: which annotations: `cd1`, `cd2` or `cd2c`. None: the first of `ANNOTATIONS` that is present.

    Raises:
        DatasetError: if no folder is named, the annotations are missing or damaged, or no preview is named
            for a track.
        ConfigError: if the variant is unknown.
    """
    if folder is None:
        raise DatasetError(
            "Previews of the Million Song Dataset are read from a folder that you have. "
            "Name it: million_song:/path/to/folder."
        )
    path = _annotations(folder, variant)
    rows = _genres(path)
    listing = list_audio(folder)
    previews = _previews(folder / name for name in listing.paths)
    files = [previews.get(track) for track in rows["id"]]
    if not any(files):
        raise DatasetError(
            f"Previews must be named for their track ids ('{nested_path(rows['id'][0])}'). "
            f"'{folder}' has {len(previews)} audio files, none for the {len(rows)} tracks of {path.name}."
        )
    rows["path"] = [
        str(file) if file else nested_path(track) for file, track in zip(files, rows["id"], strict=True)
    ]
    rows["problem"] = [None if file else "no preview" for file in files]
    rows["group"] = rows["id"].map(_artists(folder / "unique_tracks.txt"))
    n_others = len(previews.keys() - set(rows["id"]))
    notes = [f"{n_others} audio files that are no annotated track"] if n_others else []
    return build_manifest(rows, name=name_text(path.stem), root=folder, ignored=[*notes, *listing.notes])


def nested_path(track: str) -> str:
    """Path of a track in the dataset's own nesting: folders are the third, fourth and fifth letter of its id.

    Example:
        >>> nested_path("TRAXLZU12903D05F94")
        'A/X/L/TRAXLZU12903D05F94.mp3'
    """
    return f"{'/'.join(track[2:5])}/{track}.mp3"


def _previews(files: Iterable[Path]) -> dict[str, Path]:
    """Track id → audio file. Of several files for one id, the first in the order of paths."""
    previews: dict[str, Path] = {}
    for file in files:
        if file.suffix != ".cls":
            previews.setdefault(file.stem, file)
    return previews


def _annotations(folder: Path, variant: str | None) -> Path:
    if variant not in (None, *ANNOTATIONS):
        raise unknown_name("variant of million_song", str(variant), ANNOTATIONS)
    names = [f"msd_tagtraum_{name}.cls" for name in ([variant] if variant else ANNOTATIONS)]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise DatasetError(
        "Genres of the Million Song Dataset must come from tagtraum's annotations. "
        f"'{folder}' has no {' or '.join(names)}: unpack one there "
        "(the page 'Genre annotations for the Million Song Dataset' at tagtraum has them)."
    )


def _genres(path: Path) -> pd.DataFrame:
    """Columns id and label; in a label the first genre of a track comes first."""
    ids, labels = [], []
    for line in read_text(path).splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        track, *genres = line.rstrip("\r\n").split("\t")
        if not genres:
            raise _damaged(path, f"a line '{track}'")
        ids.append(track)
        labels.append(join_labels(filter(None, genres[:2])))
    if not ids:
        raise _damaged(path, "no lines")
    return pd.DataFrame({"id": ids, "label": labels})


def _damaged(path: Path, content: str) -> DatasetError:
    return DatasetError(
        "tagtraum's annotations must have a track id, a tab and a genre in each line. "
        f"'{path}' has {content}."
    )


def _artists(path: Path) -> dict[str, str]:
    """Track id → artist; empty if the list is missing."""
    if not path.is_file():
        return {}
    artists: dict[str, str] = {}
    for line in read_text(path).splitlines():
        fields = line.split(SEPARATOR)
        if len(fields) >= 3 and fields[2].strip():
            artists[fields[0]] = f"artist {fields[2]}"
    return artists
