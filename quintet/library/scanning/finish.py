"""The end of a scan: what is derived from features and tables, for questions, similar songs and SQL."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from quintet.embeddings.vocabulary import tag_group
from quintet.features.embedding_columns import split_column
from quintet.library.query import column_name
from quintet.library.schema import TABLES
from quintet.library.store import DATABASE_FILE, Library
from quintet.library.vectors import VECTORS_FILE, update_vectors

FAMILIES = ("genre_", "mood_", "instrument_", "voice_", "era_", "character_", "other_")
"""First letters of the columns of tags: `mood_happy`."""


def finish_scan(library: Library, *, changed: bool = True) -> None:
    """Bring activations, vectors and the database up to date. The caller holds the lock.

    Args:
        library: the library, whose tables and features are complete.
        changed: whether tables have changed. If not, only what is missing or older than them is made (of a
            scan that was interrupted).
    """
    if not changed and _is_complete(library):
        return
    write_tag_activations(library)
    update_vectors(library)
    library.write_database()


def _is_complete(library: Library) -> bool:
    """Whether all files are there, and the database, which is written last, is not older than the tables."""
    database = library.folder / DATABASE_FILE
    if not (database.is_file() and (library.folder / VECTORS_FILE).is_file()):
        return False
    times = [path.stat().st_mtime_ns for path in library.folder.glob("*.parquet") if path.stem in TABLES]
    return all(time <= database.stat().st_mtime_ns for time in times)


def tag_columns(feature_names: list[str]) -> dict[str, list[str]]:
    """Column of `activations` → the features whose mean it is: a tag that several networks know is one
    column.

    Args:
        feature_names: names of features.

    Example:
        >>> tag_columns(["tags_msd.happy.mean", "tags_msd.happy.std", "tags_mtt.piano.mean"])
        {'mood_happy': ['tags_msd.happy.mean'], 'instrument_piano': ['tags_mtt.piano.mean']}
    """
    columns: dict[str, list[str]] = {}
    for name in feature_names:
        part = split_column(name)
        if part is not None and part.is_tag and part.statistic != "std":
            column = f"{tag_group(part.quantity)}_{column_name(part.quantity)}"
            columns.setdefault(column, []).append(name)
    return columns


def write_tag_activations(library: Library) -> None:
    """Write the columns of the tags of pretrained networks, such as `mood_happy`.

    Args:
        library: the library.
    """
    columns = tag_columns(library.facts.feature_names)
    present = library.table("activations").column_names
    old = [name for name in present if name.startswith(FAMILIES)]
    if not columns and not old:
        return
    songs = library.table("songs")
    names = sorted({name for sources in columns.values() for name in sources})
    values = library.feature_parts.read(songs.column("audio_digest").to_pylist(), names)
    place = {name: k for k, name in enumerate(names)}
    table: dict[str, object] = {"id": songs.column("id")}
    for column, sources in columns.items():
        mean: NDArray[np.float32] = values[:, [place[name] for name in sources]].mean(axis=1)
        table[column] = pa.array(mean, pa.float32())
    library.write_activations(FAMILIES, pa.table(table))
