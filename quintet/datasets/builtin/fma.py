"""FMA, the Free Music Archive dataset (Defferrard et al. 2017, ISMIR): small, medium, large, full.

On disk: `fma_metadata/tracks.csv` (two header rows, then a row that names the index) and the audio in `fma_small/000/000002.mp3` (or
medium, large, full): the track number in six digits, in a folder of its first three. The official split and the artist come from the
table. Each subset contains the smaller ones: `fma:FOLDER` is the largest whose audio is there, `fma@small:FOLDER` (or medium, large, full)
a chosen one, read from its own folder or that of a larger one. Tracks whose file is missing are rows with a reason.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from quintet.datasets.manifest import Manifest, build_manifest
from quintet.errors import DatasetError, unknown_name

SUBSETS = ("small", "medium", "large", "full")  # each contains those before it
NEEDED = {
    "label": ("track", "genre_top"),
    "group": ("artist", "id"),
    "split": ("set", "split"),
    "subset": ("set", "subset"),
}


def load(folder: Path | None, variant: str | None = None) -> Manifest:
    """The manifest of an FMA folder: label is the top genre, group the artist, split the official one.

    Tracks of the large and the full subset without a top genre get the problem `label missing`.

    Args:
        folder: with `fma_metadata/` and the audio.
        variant: the subset; None is the largest whose audio is there.

    Raises:
        DatasetError: if no folder is named, or its metadata or audio are missing.
    """
    if folder is None:
        raise DatasetError(
            "FMA is read from a folder that you have. Name it: fma:/path/to/folder (with fma_metadata/tracks.csv and fma_small/)."
        )
    if variant not in (None, *SUBSETS):
        raise unknown_name("variant of fma", str(variant), SUBSETS)
    table = folder / "fma_metadata" / "tracks.csv"
    if not table.is_file():
        raise DatasetError(
            f"FMA must have its metadata. '{table}' does not exist: unpack fma_metadata.zip beside the audio."
        )
    enough = SUBSETS[SUBSETS.index(variant) :] if variant else SUBSETS
    here = [subset for subset in enough if (folder / f"fma_{subset}").is_dir()]
    if not here:
        raise DatasetError(
            f"FMA must have audio. '{folder}' has none of fma_{', fma_'.join(enough)}: unpack one of the archives there."
        )
    audio, subset = (f"fma_{here[0]}", variant) if variant else (f"fma_{here[-1]}", here[-1])
    tracks = _tracks(table)
    chosen = tracks[tracks["subset"].isin(SUBSETS[: SUBSETS.index(subset) + 1])]
    numbers = [f"{int(track):06d}" for track in chosen.index]
    rows = chosen.drop(columns="subset").reset_index(drop=True)
    rows["path"] = [f"{audio}/{number[:3]}/{number}.mp3" for number in numbers]
    rows["id"] = numbers
    return build_manifest(rows, name=f"fma_{subset}", root=folder)


def _tracks(path: Path) -> pd.DataFrame:
    """The four columns that are needed, under our names, indexed by track number."""
    table = pd.read_csv(path, header=[0, 1], index_col=0, low_memory=False)
    lacking = [".".join(column) for column in NEEDED.values() if column not in table.columns]
    if lacking:
        raise DatasetError(
            f"The metadata of FMA must have the columns of tracks.csv. '{path}' lacks {', '.join(lacking)}."
        )
    return pd.DataFrame({ours: table[theirs] for ours, theirs in NEEDED.items()})
