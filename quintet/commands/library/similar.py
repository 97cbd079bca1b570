"""Command `library similar`: songs that sound like others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from quintet.commands.library.shown import PlaylistFile, show_songs
from quintet.commands.terminal.options import Json, Quiet

EXAMPLE = "Example: quintet library similar my.library 'so what' -n 20 --where 'tempo < 110' -o similar.m3u8"


def similar(
    library: Annotated[Path, typer.Argument(help="Library made by `quintet library scan`.")],
    songs: Annotated[
        list[str], typer.Argument(help="Songs: a file, an id, or words of artist, title and path.")
    ],
    number: Annotated[int, typer.Option("--number", "-n", min=1, help="How many songs.")] = 10,
    per_artist: Annotated[int, typer.Option(min=0, help="Most songs of one artist; 0: any number.")] = 2,
    where: Annotated[
        str | None, typer.Option(help="Condition in SQL: 'tempo between 110 and 130 and year > 1990'.")
    ] = None,
    output: PlaylistFile = None,
    absolute: Annotated[bool, typer.Option("--absolute", help="Absolute paths in an .m3u8.")] = False,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Songs that sound most like these: no song twice, and no other encodings of it."""
    from quintet.library.playlists.space import SongSpace
    from quintet.library.store import Library

    opened = Library.open(library)
    space = SongSpace(opened)
    ids = [space.find(song) for song in songs]
    among = None if where is None else opened.query.select(where).column("id").to_pylist()
    found = space.nearest(ids, n=number, per_artist=per_artist or None, among=among)
    rows = space.songs.take([space.position[song.id] for song in found]).to_pylist()
    rows = [row | {"similarity": song.similarity} for row, song in zip(rows, found, strict=True)]
    show_songs(rows, output=output, absolute=absolute, json_=json_, quiet=quiet)
