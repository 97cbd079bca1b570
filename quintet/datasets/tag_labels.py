"""A folder of music whose labels are in its tags: a source without class folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import pandas as pd

from quintet.audio.isolation.calls import map_isolated
from quintet.datasets.folder import list_audio
from quintet.datasets.found_tags import FileTags, FoundTag, read_tags
from quintet.datasets.genre_map import GenreMap
from quintet.datasets.labels import LABEL_SEPARATOR, join_labels
from quintet.datasets.manifest import Manifest, build_manifest
from quintet.errors import DatasetError, unknown_name
from quintet.files.display.file_names import name_text
from quintet.files.paths import expand_home

PREFIX = "tag:"
FIELDS = ("genre", "mood", "grouping", "composer")
"""Fields whose values may be labels."""
COMPILATIONS = frozenset(("various artists", "various", "va", "verschiedene interpreten", "divers"))
"""Album artists that are none: the artists of the songs are the groups there."""


def label_field(label_by: str) -> str:
    """The field of a `--label-by` text.

    Args:
        label_by: such as `tag:genre`.

    Raises:
        ConfigError: it names no field that may be a label.

    Example:
        >>> label_field("tag:genre")
        'genre'
    """
    field = label_by.removeprefix(PREFIX)
    if not label_by.startswith(PREFIX) or field not in FIELDS:
        raise unknown_name("place of the labels", label_by, [PREFIX + name for name in FIELDS])
    return field


def song_group(tags: Sequence[FoundTag], path: str) -> str:
    """The group of a song: its album artist, or its artist, or else its folder.

    Songs of one artist sound alike, so that they must not lie on both sides of a split. On compilations the
    album artist is none.

    Args:
        tags: of the song.
        path: posix path in the source.

    Example:
        >>> song_group([FoundTag("albumartist", 0, "VA", ""), FoundTag("artist", 0, "A", "")], "x/1.mp3")
        'artist: a'
    """
    values = {tag.field: tag.value.casefold().strip() for tag in reversed(tags)}
    album_artist = values.get("albumartist", "")
    if album_artist and album_artist not in COMPILATIONS:
        return f"artist: {album_artist}"
    if values.get("artist"):
        return f"artist: {values['artist']}"
    return f"folder: {PurePosixPath(path).parent}"


def tag_values(tags: Sequence[FoundTag], field: str) -> list[str]:
    """Values of a field, in order."""
    return [tag.value for tag in tags if tag.field == field]


def read_tagged_folder(
    folder: Path | str, label_by: str, genres: GenreMap | None = None, *, n_jobs: int = 1
) -> Manifest:
    """Manifest of the songs below a folder that have a label in their tags.

    Songs without one are left out and counted in a note. Several values are a set, `rock;live`. Files are
    read in worker processes.

    Args:
        folder: the folder, of any depth.
        label_by: `tag:genre`, `tag:mood`, `tag:grouping` or `tag:composer`.
        genres: which values are used, and under which names. Default: all with at least 10 songs.
        n_jobs: worker processes; -1 is one per processor.

    Raises:
        DatasetError: the folder has no audio, or no song has a label.
        ConfigError: the field may be no label.
        MissingExtraError: mutagen is not installed.
    """
    field = label_field(label_by)
    genres = genres or GenreMap()
    top = expand_home(folder).absolute()
    if not top.is_dir():
        raise DatasetError(
            f"A source of tagged songs must be a folder. '{folder}' does not exist or is a file."
        )
    listing = list_audio(top)
    calls = ((str(top / path),) for path in listing.paths)
    found = [_tags_of(result) for result in map_isolated(read_tags, calls, n_workers=n_jobs)]
    labels, notes = genres.labels([tag_values(tags, field) for tags in found])
    rows = [
        (name_text(path), join_labels(_plain(names)), song_group(tags, path))
        for path, tags, names in zip(listing.paths, found, labels, strict=True)
        if names
    ]
    if not rows:
        raise DatasetError(
            f"At least one song must have a {field} in its tags that is used. "
            f"None of the {len(listing.paths)} files below '{folder}' has. {'. '.join(notes)}"
        )
    frame = pd.DataFrame(rows, columns=["path", "label", "group"])
    return build_manifest(
        frame, name=name_text(top.name), root=top, ignored=[*listing.notes, *notes], accidental_share=0.0
    )


def _tags_of(result: FileTags | Exception) -> list[FoundTag]:
    """Tags of a file; none if the worker was lost over it, since the extraction will say why."""
    if isinstance(result, ImportError):
        raise result
    return [] if isinstance(result, Exception) else result.tags


def _plain(names: Sequence[str]) -> list[str]:
    return [name.replace(LABEL_SEPARATOR, ",") for name in names]
