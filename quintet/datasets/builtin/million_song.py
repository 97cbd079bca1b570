"""The Million Song Dataset (Bertin-Mahieux et al. 2011, ISMIR) with tagtraum's genres (Schreiber 2015, ISMIR), on previews of your own.

The dataset has no audio. On disk, in one folder: at least one of tagtraum's annotations, `msd_tagtraum_cd1.cls`, `…cd2.cls`,
`…cd2c.cls` (comments begin with #; then tab-separated: track id, genre, and where sources disagree a second genre); where you have it,
`unique_tracks.txt` of the dataset's additional files (`TRACK<SEP>SONG<SEP>artist<SEP>title`); and previews named for track ids, below
the folder at any depth: flat (`TRAXLZU12903D05F94.mp3`) or nested as the dataset nests (`A/X/L/TRAXLZU12903D05F94.mp3`).

| source | annotations | label |
|---|---|---|
| `million_song@cd2c:FOLDER` | CD2C: those tracks of CD2 on which its sources agree | one genre |
| `million_song@cd2:FOLDER` | CD2 | a set of one or two genres |
| `million_song@cd1:FOLDER` | CD1: the majority of three sources, and the minority where there is one | a set of one or two genres |
| `million_song:FOLDER` | the first of cd2c, cd2, cd1 that is there | |

Groups are artists where `unique_tracks.txt` is there; a track that it does not have is a group of its own. Every annotated track is a
row; those without a preview have the problem `no preview`.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from quintet.datasets.folder import audio_files
from quintet.datasets.labels import LABEL_SEPARATOR
from quintet.datasets.manifest import Manifest, build_manifest
from quintet.errors import DatasetError, unknown_name

ANNOTATIONS = ("cd2c", "cd2", "cd1")  # the first that is there is read
SEPARATOR = "<SEP>"


def load(folder: Path | None, variant: str | None = None) -> Manifest:
    """The manifest of a folder with tagtraum's genres and previews; ids are track ids.

    Args:
        folder: where the annotations and the previews are.
        variant: which annotations: `cd1`, `cd2` or `cd2c`.

    Raises:
        DatasetError: if no folder is named, the annotations are missing or are none, or no preview is named for a track.
    """
    if folder is None:
        raise DatasetError(
            "Previews of the Million Song Dataset are read from a folder that you have. Name it: million_song:/path/to/folder."
        )
    path = _annotations(folder, variant)
    rows = _genres(path)
    previews = {file.stem: file for file in reversed(audio_files(folder)) if file.suffix != ".cls"}
    found = [previews.get(track) for track in rows["id"]]
    if not any(found):
        raise DatasetError(
            f"Previews must be named for their track ids ('{nested_path(rows['id'][0])}'). '{folder}' has {len(previews)} audio files, "
            f"none for the {len(rows)} tracks of {path.name}."
        )
    rows["path"] = [
        str(file) if file else nested_path(track) for file, track in zip(found, rows["id"], strict=True)
    ]
    rows["problem"] = [None if file else "no preview" for file in found]
    artists = _artists(folder / "unique_tracks.txt")
    rows["group"] = rows["id"].map(artists)
    strange = len(previews.keys() - set(rows["id"]))
    notes = [f"{strange} audio files that are no annotated track"] if strange else []
    return build_manifest(rows, name=path.stem, root=folder, ignored=notes)


def nested_path(track: str) -> str:
    """Where the dataset's own nesting puts a track: by the third, fourth and fifth letter of its id.

    Example:
        >>> nested_path("TRAXLZU12903D05F94")
        'A/X/L/TRAXLZU12903D05F94.mp3'
    """
    return f"{'/'.join(track[2:5])}/{track}.mp3"


def _annotations(folder: Path, variant: str | None) -> Path:
    if variant not in (None, *ANNOTATIONS):
        raise unknown_name("variant of million_song", str(variant), ANNOTATIONS)
    wanted = [f"msd_tagtraum_{name}.cls" for name in ([variant] if variant else ANNOTATIONS)]
    here = next((folder / name for name in wanted if (folder / name).is_file()), None)
    if here is None:
        raise DatasetError(
            f"Genres of the Million Song Dataset must come from tagtraum's annotations. '{folder}' has no {' or '.join(wanted)}: "
            "unpack one there (the page 'Genre annotations for the Million Song Dataset' at tagtraum has them)."
        )
    return here


def _genres(path: Path) -> pd.DataFrame:
    """The columns id and label: the genres of a track, the first one first."""
    lines = [
        line.rstrip("\r\n").split("\t")
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.strip() and not line.startswith("#")
    ]
    odd = next((line for line in lines if len(line) < 2), None)
    if odd or not lines:
        received = f"a line '{odd[0]}'" if odd else "no lines"
        raise DatasetError(
            f"tagtraum's annotations must have a track id, a tab and a genre in each line. '{path}' has {received}."
        )
    return pd.DataFrame(
        {
            "id": [line[0] for line in lines],
            "label": [LABEL_SEPARATOR.join(filter(None, line[1:3])) for line in lines],
        }
    )


def _artists(path: Path) -> dict[str, str]:
    """Track → artist, empty without the list."""
    if not path.is_file():
        return {}
    fields = (line.split(SEPARATOR) for line in path.read_text(encoding="utf-8").splitlines() if line)
    return {field[0]: f"artist {field[2]}" for field in fields if len(field) >= 3 and field[2].strip()}
