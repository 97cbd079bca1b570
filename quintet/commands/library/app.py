"""The group of commands `library`."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from quintet.commands.terminal.late_commands import LateCommands

COMMANDS = {
    "scan": "library.scan",
    "tags": "library.tag_plan",
    "genres": "library.genres",
    "songs": "library.songs",
    "similar": "library.similar",
    "playlist": "library.playlist",
    "retrain": "library.retrain",
    "watch": "library.watch",
    "open": "library.open_page",
}
"""Command → its module in `quintet.commands`, in the order of the help."""


class LibraryCommands(TyperGroup):
    """The commands of a library: one reads the module and the options of itself, and of no other."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = LateCommands(COMMANDS)


app = typer.Typer(
    cls=LibraryCommands,
    help="The music that you own: a scan, similar songs, playlists, and genres for its tags, with a plan "
    "first and a way back.",
    no_args_is_help=True,
    epilog="Begin with: quintet library scan MUSIC -o my.library",
)


@app.callback()
def _group() -> None:
    pass
