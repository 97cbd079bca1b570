"""MagnaTagATune (Law, West, Mandel, Bay & Downie 2009, ISMIR): 25,863 clips of 29 s, 188 tags given by players of a game.

On disk: `annotations_final.csv` (tab-separated: clip_id, a column of 0 and 1 per tag, mp3_path), `clip_info_final.csv` (tab-separated:
clip_id, track_number, title, artist, album, url, segmentStart, segmentEnd, original_url, mp3_path) and the audio in sixteen folders,
`f/american_bach_soloists-…-30-59.mp3`, directly beside the tables or in `mp3/` or `audio/`. Both tables and the three parts of the archive
come from the MagnaTagATune page of the Music Informatics Research Group, City, University of London.

A clip's label is the set of those of its tags that are among the 50 most frequent of the whole table; a clip with none of them is a
row with a problem. The standard split goes by folder: 0 to b is train, c valid, d to f test. The folder was drawn from the album, so
that no album stands on both sides; artists do.

| source | group | split |
|---|---|---|
| `magnatagatune:FOLDER` | the album | standard |
| `magnatagatune@track:FOLDER` | the original track that the clip was cut from | standard |
| `magnatagatune@artist:FOLDER` | the artist | none: the standard one parts artists |

Three files of the archive have no bytes at all: the decoder refuses them, and they are rows of the failure ledger.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from quintet.datasets.labels import LABEL_SEPARATOR
from quintet.datasets.manifest import Manifest, build_manifest
from quintet.errors import DatasetError, unknown_name

N_TAGS = 50
FOLDERS = "0123456789abcdef"
PARTS = {"train": "0123456789ab", "valid": "c", "test": "def"}
PLACES = ("", "mp3", "audio")
GROUPS = {"album": ("url",), "track": ("url", "track_number"), "artist": ("artist",)}
_PAGE = (
    "Get it from the MagnaTagATune page of the Music Informatics Research Group (City, University of London)."
)


def load(folder: Path | None, variant: str | None = None, *, n_tags: int = N_TAGS) -> Manifest:
    """The manifest of a MagnaTagATune folder; ids are the clip ids of its tables.

    Args:
        folder: where the two tables are.
        variant: what never parts: `album` (also None), `track` or `artist`.
        n_tags: how many of the tags are kept, the most frequent first (of equally frequent ones the first in the table).

    Raises:
        DatasetError: if no folder is named, or a table, a column of it or all of the audio is missing.
    """
    if folder is None:
        raise DatasetError(
            f"MagnaTagATune is read from a folder that you have. Name it: magnatagatune:/path/to/folder. {_PAGE}"
        )
    if variant not in (None, *GROUPS):
        raise unknown_name("variant of magnatagatune", str(variant), GROUPS)
    place = next((p for p in PLACES if any((folder / p / shard).is_dir() for shard in FOLDERS)), None)
    if place is None:
        raise DatasetError(
            f"MagnaTagATune must have audio in folders named 0 to f. '{folder}' has none, directly or in {' or '.join(PLACES[1:])}/: "
            f"join mp3.zip.001 to .003 into one archive and unpack it there. {_PAGE}"
        )
    annotations = _table(folder, "annotations_final.csv", ("clip_id", "mp3_path"))
    paths = annotations["mp3_path"].fillna("")
    rows = pd.DataFrame({"id": annotations["clip_id"], "path": (f"{place}/" if place else "") + paths})
    rows.loc[paths == "", "path"] = None
    rows["label"] = _labels(annotations.drop(columns=["clip_id", "mp3_path"]), n_tags)
    rows["problem"] = pd.Series(None, index=rows.index, dtype="str").mask(
        rows["label"].isna(), f"none of the {n_tags} most frequent tags"
    )
    rows["group"] = annotations["clip_id"].map(_groups(folder, GROUPS[variant or "album"]))
    if variant != "artist":
        rows["split"] = paths.str.partition("/")[0].map(
            {shard: part for part, shards in PARTS.items() for shard in shards}
        )
    return build_manifest(rows, name="magnatagatune", root=folder)


def top_tags(counts: pd.Series, n_tags: int) -> list[str]:
    """The most frequent tags, the most frequent first; of equally frequent ones the first of `counts`.

    Example:
        >>> top_tags(pd.Series({"harp": 2, "guitar": 9, "flute": 2}), 2)
        ['guitar', 'harp']
    """
    return [str(tag) for tag in counts.sort_values(ascending=False, kind="stable").index[:n_tags]]


def _labels(tags: pd.DataFrame, n_tags: int) -> pd.Series:
    """The kept tags of every clip as a label set, None where there is none."""
    given = tags == "1"
    kept = given[top_tags(given.sum(), n_tags)]
    names = kept.columns.to_numpy()
    return pd.Series(
        [LABEL_SEPARATOR.join(names[row]) or None for row in kept.to_numpy()], index=tags.index, dtype="str"
    )


def _groups(folder: Path, columns: tuple[str, ...]) -> dict[str, str]:
    """Clip → what it comes from; the page of an album at Magnatune (`url`) names it."""
    info = _table(folder, "clip_info_final.csv", ("clip_id", *columns)).dropna(subset=list(columns))
    joined = info[columns[0]]
    for column in columns[1:]:
        joined = joined + " track " + info[column]
    return dict(zip(info["clip_id"], joined.str.strip(), strict=True))


def _table(folder: Path, name: str, needed: tuple[str, ...]) -> pd.DataFrame:
    path = folder / name
    if not path.is_file():
        raise DatasetError(f"MagnaTagATune must have its tables. '{path}' does not exist. {_PAGE}")
    table = pd.read_csv(path, sep="\t", dtype="str")
    lacking = [column for column in needed if column not in table]
    if lacking:
        raise DatasetError(
            f"A table of MagnaTagATune must have its own columns, tab-separated. '{path}' lacks {', '.join(lacking)}."
        )
    return table
