"""A feature table of the songs that carry a genre: what `quintet train` learns the owner's genres from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from quintet.datasets.found_tags import FoundTag
from quintet.datasets.genre_map import GenreMap
from quintet.datasets.groups import group_name, group_notes
from quintet.datasets.labels import LABEL_SEPARATOR, join_labels
from quintet.datasets.tag_labels import song_group, tag_values
from quintet.errors import DatasetError
from quintet.features.storage.table import META_COLUMNS, FeatureTable, library_versions, write_feature_table
from quintet.library.store import Library


@dataclass(frozen=True)
class TaggedSongs:
    """Songs of a library with the labels of their tags.

    Args:
        songs: rows of `songs`, one per sound, those without a label included.
        labels: their labels; empty for a song that is left out.
        groups: album artist, artist or folder of each.
        notes: what was left out.
    """

    songs: pd.DataFrame
    labels: list[tuple[str, ...]]
    groups: list[str]
    notes: list[str]

    def counts(self) -> dict[str, tuple[int, int]]:
        """Label → songs, groups; the most frequent first."""
        n_songs: Counter[str] = Counter()
        groups: dict[str, set[str]] = {}
        for names, group in zip(self.labels, self.groups, strict=True):
            for name in names:
                n_songs[name] += 1
                groups.setdefault(name, set()).add(group)
        ordered = sorted(n_songs.items(), key=lambda item: (-item[1], item[0]))
        return {name: (count, len(groups[name])) for name, count in ordered}


def tagged_songs(
    library: Library, field: str, genres: GenreMap, corrections: Mapping[str, str] | None = None
) -> TaggedSongs:
    """Songs of a library with labels from a field of their tags. Copies of a song count once.

    Args:
        library: the library.
        field: `genre`, `mood`, ….
        genres: which values are used, and under which names.
        corrections: digest of a sound → the label that its owner has given it, in place of its tags.
    """
    corrected = corrections or {}
    songs = library.songs()
    songs = songs[songs["copy_of"].isna()].reset_index(drop=True)
    tags: dict[str, list[FoundTag]] = {}
    table = library.table("tags")
    columns = [table.column(name).to_pylist() for name in ("id", "field", "position", "value", "source")]
    for id, *values in zip(*columns, strict=True):
        tags.setdefault(id, []).append(FoundTag(*values))
    found = [tags.get(id, []) for id in songs["id"]]
    values = [
        [corrected[sound]] if sound in corrected else tag_values(of_song, field)
        for sound, of_song in zip(songs["audio_digest"], found, strict=True)
    ]
    labels, notes = genres.labels(values)
    groups = [song_group(of_song, path) for of_song, path in zip(found, songs["path"], strict=True)]
    return TaggedSongs(songs, labels, groups, notes)


def write_training_table(library: Library, tagged: TaggedSongs, path: Path) -> int:
    """Write the training table of songs, as `quintet extract` would.

    Args:
        library: the library.
        tagged: its songs with their labels.
        path: a parquet file.

    Returns:
        Number of songs in the table.

    Raises:
        DatasetError: no song has a label.
    """
    table = training_table(library, tagged)
    write_feature_table(table, path)
    return len(table.frame)


def training_table(library: Library, tagged: TaggedSongs) -> FeatureTable:
    """The features of the songs that have a label.

    Args:
        library: the library.
        tagged: its songs with their labels.

    Raises:
        DatasetError: no song has a label.
    """
    has_label = np.array([bool(names) for names in tagged.labels])
    if not has_label.any():
        raise DatasetError(
            "A training table must have songs with labels. No song of the library has one that is used. "
            f"{'. '.join(tagged.notes)}."
        )
    songs = tagged.songs[has_label].reset_index(drop=True)
    digests = songs["audio_digest"].tolist()
    names = library.facts.feature_names
    values = library.feature_parts.read(digests, names)
    labels = [_label(found) for found in tagged.labels if found]
    written = [group for group, used in zip(tagged.groups, has_label, strict=True) if used]
    groups = list(map(group_name, written))
    meta = pd.DataFrame(
        {
            "id": songs["path"].where(~songs["path"].duplicated(), songs["id"]),
            "path": songs["root"] + "/" + songs["path"],
            "label": labels,
            "group": groups,
            "status": songs["status"],
            "reason": songs["reason"],
            "duration_s": songs["seconds"],
            "native_sample_rate": songs["sample_rate"].astype("Int64"),
            "native_channels": songs["channels"].astype("Int64"),
            "audio_digest": songs["audio_digest"],
            "parameter_hash": library.facts.parameter_hash,
            "source_size": songs["size"],
            "source_mtime_ns": songs["mtime_ns"],
            "missing_s": songs["missing_s"],
        }
    ).reindex(columns=list(META_COLUMNS))
    features = pd.DataFrame(values, columns=names)
    metadata = {
        "parameters": library.facts.parameters,
        "parameter_hash": library.facts.parameter_hash,
        "versions": library_versions(),
        "dataset": library.folder.name,
        "grouped": True,
        "multilabel": any(len(found) > 1 for found in tagged.labels),
        "notes": [*tagged.notes, *group_notes(written)],
    }
    return FeatureTable(pd.concat([meta, features], axis=1), metadata)


def _label(names: tuple[str, ...]) -> str:
    """Label text of a song."""
    return join_labels(name.replace(LABEL_SEPARATOR, ",") for name in names)
