"""Command `library open`: the page of a library in the browser."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from quintet.commands.terminal.options import Json, Quiet

EXAMPLE = "Example: quintet library open my.library"
ADDRESS_BYTES = 1 << 30
"""Address space that the page of a small library uses: libraries, stacks of threads, and the map."""


def open_(
    library: Annotated[Path, typer.Argument(help="Library made by `quintet library scan`.")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 0,
    host: Annotated[
        str,
        typer.Option(
            help="Address to listen at; 0.0.0.0 in a container. Whoever has the token can hear the music "
            "and write tags."
        ),
    ] = "127.0.0.1",
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page in the default browser.")
    ] = True,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Open a library in the browser: map, lists, search, player, similar songs, tags, playlists.

    The page is served from 127.0.0.1 (or --host) and needs the token in its address. Nothing is loaded from
    elsewhere. Ctrl-C ends it.
    """
    from quintet.commands.terminal.console import print_message, write_data
    from quintet.commands.terminal.faults import FOLDER_GONE, is_folder_gone
    from quintet.errors import MachineError
    from quintet.files.json_text import json_text
    from quintet.files.machine import require_address_space
    from quintet.serving.browser.page_server import PageServer, open_page

    def show_address(server: PageServer) -> None:
        if json_:
            write_data(json_text({"command": "library open", "library": library, "url": server.address}))
            sys.stdout.flush()
        print_message(f"{library} is open at {server.address}   Ctrl-C ends it.", quiet=quiet)
        if browser:
            import webbrowser

            webbrowser.open(server.address)

    if is_folder_gone():  # no process of the page starts there
        raise MachineError(FOLDER_GONE)
    require_address_space(ADDRESS_BYTES, "The page of a library")
    open_page(library, port, show_address, host=host)
    print_message("Closed.", quiet=quiet)
