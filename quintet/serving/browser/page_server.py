"""The server of the page of a library, until a signal stops it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from quintet.library.facts import read_facts
from quintet.serving.browser.routes import make_page_app
from quintet.serving.browser.token_gate import TokenGate, new_token
from quintet.serving.gate import Gate
from quintet.serving.server import HttpServer

if TYPE_CHECKING:
    from quintet.serving.browser.shelf import Shelf

HOST = "127.0.0.1"
ALL_ADDRESSES = ("0.0.0.0", "::")
"""Hosts that stand for all addresses of a machine, of which a browser on it opens `HOST`."""
LEAVE_S = 5.0
"""Longest time to wait for a thread in C++, which an end of Python in its midst would abort."""


class PageServer(HttpServer):
    """The page of a library at a port of this machine. No other machine reaches it, unless `host` says so.

    The page itself is answered at once. The library is read meanwhile, and questions about songs wait for it.

    Args:
        folder: the library.
        port: 0 takes a free one.
        token: the secret of the address; None makes one.
        host: address of this machine; "0.0.0.0" is all of them.

    Raises:
        MissingExtraError: the extra `library` is not installed.
        MachineError: the port is in use.
        ArtefactError: the folder is no library.
    """

    def __init__(self, folder: Path, port: int = 0, token: str | None = None, *, host: str = HOST) -> None:
        read_facts(folder)
        super().__init__(host, port)
        with ExitStack() as undo:
            undo.callback(self.close)
            self.folder, self.host = folder, host
            self.token = new_token() if token is None else token
            self._shelf: Shelf | None = None
            self._fault: Exception | None = None
            self._reading = threading.Lock()
            gated = TokenGate(make_page_app(lambda: self.shelf), self.token, self.port)
            self.set_application(Gate(gated))
            undo.pop_all()

    @property
    def shelf(self) -> Shelf:
        """The open library, which is read at the first access.

        Raises:
            ArtefactError: a table of it is damaged.
        """
        with self._reading:
            if self._shelf is None:
                from quintet.serving.browser.shelf import (
                    Shelf,  # with Arrow, which the page itself does not need
                )

                self._shelf = Shelf(self.folder)
            return self._shelf

    @property
    def address(self) -> str:
        """The address to open, with the token."""
        url = f"http://{HOST}:{self.port}" if self.host in ALL_ADDRESSES else self.url
        return f"{url}/?token={self.token}"

    def run(self) -> None:
        """Answer until `stop`, SIGINT or SIGTERM. Meanwhile the library is read and its map is drawn.

        Raises:
            ArtefactError: a table of the library is damaged.
        """
        threading.Thread(target=self._prepare, name="read-library", daemon=True).start()
        try:
            super().run()
        finally:
            with self._reading:
                shelf = self._shelf
            if shelf is not None:
                shelf.close()
            if shelf is not None and self._fault is None:
                shelf.is_prepared.wait(LEAVE_S)
        if self._fault is not None:
            raise self._fault

    def _prepare(self) -> None:
        """Read the library, and prepare what its page asks for. If it cannot be read, the server ends."""
        try:
            shelf = self.shelf
            shelf.view.prepare()
        except Exception as error:  # noqa: BLE001  `run` raises it
            self._fault = error
            self.stop()
        else:
            shelf.warm_up()


def open_page(folder: Path, port: int, ready: Callable[[PageServer], object], *, host: str = HOST) -> None:
    """Serve the page of a library until a signal stops it.

    Args:
        folder: the library.
        port: 0 takes a free one.
        ready: called when the port is open.
        host: as in `PageServer`.

    Raises:
        QuintetError: as `PageServer`.
    """
    server = PageServer(folder, port, host=host)
    ready(server)
    server.run()
