"""Command `library playlist`: songs by condition, likeness, path or energy, as a playlist."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from quintet.commands.library.shown import PlaylistFile, show_songs
from quintet.commands.terminal.options import Json, Quiet

EXAMPLE = (
    "Example: quintet library playlist my.library --where 'mood_happy > .5 and tempo between 110 and 130' "
    "--energy arc -o party.m3u8"
)


def playlist(
    library: Annotated[Path, typer.Argument(help="Library made by `quintet library scan`.")],
    where: Annotated[
        str | None, typer.Option(help="Condition in SQL over the columns of the songs (docs/library.md).")
    ] = None,
    like: Annotated[
        list[str] | None, typer.Option(help="Near these songs: a file, an id, or words. Repeatable.")
    ] = None,
    from_: Annotated[str | None, typer.Option("--from", help="First song of a path; give --to too.")] = None,
    to: Annotated[str | None, typer.Option(help="Last song of a path.")] = None,
    energy: Annotated[
        str | None, typer.Option(help="Energy curve: rise, fall, arc, valley, flat, or numbers: 0.2,0.9,0.4.")
    ] = None,
    number: Annotated[int, typer.Option("--number", "-n", min=1, help="How many songs.")] = 25,
    per_artist: Annotated[int, typer.Option(min=0, help="Most songs of one artist; 0: any number.")] = 2,
    seed: Annotated[int, typer.Option(min=0, help="Of the draw, if nothing else decides the order.")] = 0,
    output: PlaylistFile = None,
    absolute: Annotated[bool, typer.Option("--absolute", help="Absolute paths in an .m3u8.")] = False,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """A playlist: by condition, near some songs, from one song to another, or along an energy curve."""
    from quintet.library.playlists.build import PlaylistSettings, build_playlist
    from quintet.library.playlists.space import SongSpace
    from quintet.library.store import Library

    opened = Library.open(library)
    space = SongSpace(opened)
    settings = PlaylistSettings(
        length=number,
        where=where,
        like=tuple(space.find(song) for song in like or ()),
        start=None if from_ is None else space.find(from_),
        end=None if to is None else space.find(to),
        energy=energy,
        per_artist=per_artist or None,
        seed=seed,
    )
    ids = build_playlist(opened, settings, space)
    rows = space.songs.take([space.position[id] for id in ids]).to_pylist()
    show_songs(rows, output=output, absolute=absolute, json_=json_, quiet=quiet)
    if len(ids) < number:
        from quintet.commands.terminal.console import print_message

        print_message(f"{len(ids)} songs, not {number}: there are no more that fit.", quiet=quiet)
