"""MagnaTagATune (Law, West, Mandel, Bay & Downie 2009, ISMIR): 25,863 clips of 29 s with 188 tags.

The tags were collected by a game. Layout on disk: `annotations_final.csv` (tab-separated: clip_id, a column
of 0 and 1 per tag, mp3_path), `clip_info_final.csv` (tab-separated: clip_id, track_number, title, artist,
album, url, segmentStart, segmentEnd, original_url, mp3_path), and the audio in sixteen folders,
`f/american_bach_soloists-…-30-59.mp3`, directly beside the tables or in `mp3/` or `audio/`. Both tables and
the three parts of the archive come from the MagnaTagATune page of the Music Informatics Research Group, City,
University of London.

The label of a clip is the set of its tags among the 50 most frequent tags of the whole table. A clip without
any of them is a row with a problem. The standard split goes by folder: 0 to b is train, c is valid, d to f is
test. The folders were assigned by album, so no album is on both sides; some artists are.

| source | group | split |
|---|---|---|
| `magnatagatune:FOLDER` | the album | standard |
| `magnatagatune@track:FOLDER` | the original track that the clip was cut from | standard |
| `magnatagatune@artist:FOLDER` | the artist | none, because the standard split divides artists |

Three files of the archive are empty. The decoder refuses them, and they become rows of the failure ledger.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from quintet.datasets.builtin.published_tables import read_columns
from quintet.datasets.labels import join_labels
from quintet.datasets.manifest import Manifest, build_manifest
from quintet.errors import DatasetError, unknown_name

N_TAGS = 50
FOLDERS = "0123456789abcdef"
PARTS = {"train": "0123456789ab", "valid": "c", "test": "def"}
PLACES = ("", "mp3", "audio")
GROUPS = {"album": ("url",), "track": ("url", "track_number"), "artist": ("artist",)}
_PART_OF_FOLDER = {folder: part for part, folders in PARTS.items() for folder in folders}
_PAGE = (
    "Get it from the MagnaTagATune page of the Music Informatics Research Group (City, University of London)."
)


def load(folder: Path | None, variant: str | None = None, *, n_tags: int = N_TAGS) -> Manifest:
    """Manifest of a MagnaTagATune folder. Ids are the clip ids of its tables.

    Args:
        folder: contains the two tables.
        variant: what a group is: `album` (also None), `track` or `artist`.
        n_tags: number of tags to keep, the most frequent first (among equally frequent ones the first in the
            table).

    Raises:
        DatasetError: if no folder is named, or a table, a column of it or all of the audio is missing.
        ConfigError: if the variant is unknown.
    """
    if folder is None:
        raise DatasetError(
            "MagnaTagATune is read from a folder that you have. "
            f"Name it: magnatagatune:/path/to/folder. {_PAGE}"
        )
    if variant not in (None, *GROUPS):
        raise unknown_name("variant of magnatagatune", str(variant), GROUPS)
    place = _audio_place(folder)
    annotations = _read_table(folder, "annotations_final.csv", ("clip_id", "mp3_path"))
    paths = annotations["mp3_path"].fillna("")
    prefix = f"{place}/" if place else ""
    rows = pd.DataFrame({"id": annotations["clip_id"], "path": prefix + paths})
    rows.loc[paths == "", "path"] = None
    rows["label"] = _labels(annotations.drop(columns=["clip_id", "mp3_path"]), n_tags)
    no_problem = pd.Series(None, index=rows.index, dtype="str")
    rows["problem"] = no_problem.mask(rows["label"].isna(), f"none of the {n_tags} most frequent tags")
    rows["group"] = annotations["clip_id"].map(_groups(folder, GROUPS[variant or "album"]))
    if variant != "artist":
        rows["split"] = paths.str.partition("/")[0].map(_PART_OF_FOLDER)
    return build_manifest(rows, name="magnatagatune", root=folder)


def _audio_place(folder: Path) -> str:
    """Sub-folder that contains the folders 0 to f: one of `PLACES`."""
    for place in PLACES:
        if any((folder / place / name).is_dir() for name in FOLDERS):
            return place
    raise DatasetError(
        f"MagnaTagATune must have audio in folders named 0 to f. '{folder}' has none, directly or in "
        f"{' or '.join(PLACES[1:])}/: join mp3.zip.001 to .003 into one archive and unpack it there. {_PAGE}"
    )


def top_tags(counts: pd.Series, n_tags: int) -> list[str]:
    """Most frequent tags, in falling order of frequency; equally frequent ones in the order of `counts`.

    Args:
        counts: number of clips per tag, indexed by tag.
        n_tags: number of tags to return.

    Example:
        >>> top_tags(pd.Series({"harp": 2, "guitar": 9, "flute": 2}), 2)
        ['guitar', 'harp']
    """
    falling = counts.sort_values(ascending=False, kind="stable")
    return [str(tag) for tag in falling.index[:n_tags]]


def _labels(tags: pd.DataFrame, n_tags: int) -> pd.Series:
    """Label set of every clip from its kept tags; None if it has none of them."""
    is_given = tags == "1"
    kept = is_given[top_tags(is_given.sum(), n_tags)]
    names = kept.columns.to_numpy()
    labels = [join_labels(names[row]) or None for row in kept.to_numpy()]
    return pd.Series(labels, index=tags.index, dtype="str")


def _groups(folder: Path, columns: tuple[str, ...]) -> dict[str, str]:
    """Clip id → group. `url`, the page of an album at Magnatune, identifies the album."""
    info = _read_table(folder, "clip_info_final.csv", ("clip_id", *columns)).dropna(subset=list(columns))
    groups = info[columns[0]]
    for column in columns[1:]:
        groups = groups + " track " + info[column]
    return dict(zip(info["clip_id"], groups.str.strip(), strict=True))


def _read_table(folder: Path, name: str, needed: tuple[str, ...]) -> pd.DataFrame:
    path = folder / name
    if not path.is_file():
        raise DatasetError(f"MagnaTagATune must have its tables. '{path}' does not exist. {_PAGE}")
    return read_columns(path, needed, table="A table of MagnaTagATune")
