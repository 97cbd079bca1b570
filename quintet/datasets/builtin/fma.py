"""FMA, the Free Music Archive dataset (Defferrard et al. 2017, ISMIR): subsets small, medium, large, full.

Layout on disk: `fma_metadata/tracks.csv` (two header rows, then a row that names the index), and the audio in
`fma_small/000/000002.mp3` (or medium, large, full). A file name is the track number in six digits; its folder
is the first three of them. The official split and the artist come from the table. Each subset contains the
smaller ones. `fma:FOLDER` is the largest subset whose audio is present. `fma@small:FOLDER` (or medium, large,
full) selects a subset, which is read from its own folder or from that of a larger one. Tracks whose file is
missing are rows with a problem.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from quintet.datasets.manifest import Manifest, build_manifest
from quintet.errors import DatasetError, unknown_name
from quintet.files.text import open_text

SUBSETS = ("small", "medium", "large", "full")  # each contains those before it
NEEDED = {
    "label": ("track", "genre_top"),
    "group": ("artist", "id"),
    "split": ("set", "split"),
    "subset": ("set", "subset"),
}


def load(folder: Path | None, variant: str | None = None) -> Manifest:
    """Manifest of an FMA folder.

    The label is the top genre, the group is the artist, and the split is the official one. Tracks of the
    large and the full subset without a top genre get the problem `label missing`.

    Args:
        folder: contains `fma_metadata/` and the audio.
        variant: the subset. None: the largest whose audio is present.

    Raises:
        DatasetError: if no folder is named, or its metadata or audio are missing.
        ConfigError: if the variant is unknown.
    """
    if folder is None:
        raise DatasetError(
            "FMA is read from a folder that you have. Name it: "
            "fma:/path/to/folder (with fma_metadata/tracks.csv and fma_small/)."
        )
    if variant not in (None, *SUBSETS):
        raise unknown_name("variant of fma", str(variant), SUBSETS)
    table = folder / "fma_metadata" / "tracks.csv"
    if not table.is_file():
        raise DatasetError(
            f"FMA must have its metadata. '{table}' does not exist: unpack fma_metadata.zip beside the audio."
        )
    audio, subset = _choose_subset(folder, variant)
    tracks = _tracks(table)
    contained = SUBSETS[: SUBSETS.index(subset) + 1]
    chosen = tracks[tracks["subset"].isin(contained)]
    numbers = [f"{track:06d}" for track in chosen.index]
    rows = chosen.drop(columns="subset").reset_index(drop=True)
    rows["path"] = [f"{audio}/{number[:3]}/{number}.mp3" for number in numbers]
    rows["id"] = numbers
    return build_manifest(rows, name=f"fma_{subset}", root=folder)


def _choose_subset(folder: Path, variant: str | None) -> tuple[str, str]:
    """Name of the audio folder to read, and the subset: the wanted one, or the largest that is present."""
    sufficient = SUBSETS[SUBSETS.index(variant) :] if variant else SUBSETS
    present = [subset for subset in sufficient if (folder / f"fma_{subset}").is_dir()]
    if not present:
        raise DatasetError(
            f"FMA must have audio. '{folder}' has none of fma_{', fma_'.join(sufficient)}: "
            "unpack one of the archives there."
        )
    if variant:
        return f"fma_{present[0]}", variant
    return f"fma_{present[-1]}", present[-1]


def _tracks(path: Path) -> pd.DataFrame:
    """The four needed columns under our names, indexed by track number."""
    try:
        with open_text(path) as file:
            table = pd.read_csv(file, header=[0, 1], index_col=0, low_memory=False)
        table.index = table.index.astype(int)
    except ValueError as error:  # those of pandas, too
        raise DatasetError(f"The metadata of FMA must be tracks.csv. '{path}' is not: {error}.") from error
    missing = [".".join(column) for column in NEEDED.values() if column not in table.columns]
    if missing:
        raise DatasetError(
            f"The metadata of FMA must have the columns of tracks.csv. '{path}' lacks {', '.join(missing)}."
        )
    return pd.DataFrame({ours: table[theirs] for ours, theirs in NEEDED.items()})
