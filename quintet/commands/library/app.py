"""The group of commands `library`."""

from __future__ import annotations

import typer

from quintet.commands.library import (
    genres,
    open_page,
    playlist,
    retrain,
    scan,
    similar,
    songs,
    tag_plan,
    watch,
)

app = typer.Typer(
    help="The music that you own: a scan, similar songs, playlists, and genres for its tags, with a plan "
    "first and a way back.",
    no_args_is_help=True,
    epilog="Begin with: quintet library scan MUSIC -o my.library",
)
app.command("scan", epilog=scan.EXAMPLE)(scan.scan)
app.command("tags", epilog=tag_plan.EXAMPLE)(tag_plan.tags)
app.command("genres", epilog=genres.EXAMPLE)(genres.genres)
app.command("songs", epilog=songs.EXAMPLE)(songs.songs)
app.command("similar", epilog=similar.EXAMPLE)(similar.similar)
app.command("playlist", epilog=playlist.EXAMPLE)(playlist.playlist)
app.command("retrain", epilog=retrain.EXAMPLE)(retrain.retrain)
app.command("watch", epilog=watch.EXAMPLE)(watch.watch)
app.command("open", epilog=open_page.EXAMPLE)(open_page.open_)
