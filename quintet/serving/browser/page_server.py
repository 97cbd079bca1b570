"""The server of the page of a library, until a signal stops it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from importlib import import_module
from pathlib import Path

from quintet.serving.browser.routes import make_page_app
from quintet.serving.browser.shelf import Shelf
from quintet.serving.browser.token_gate import TokenGate, new_token
from quintet.serving.gate import Gate
from quintet.serving.server import HttpServer

HOST = "127.0.0.1"
ALL_ADDRESSES = ("0.0.0.0", "::")
"""Hosts that stand for all addresses of a machine, of which a browser on it opens `HOST`."""
LEAVE_S = 5.0
"""Longest time to wait for a thread in C++, which an end of Python in its midst would abort."""


class PageServer(HttpServer):
    """The page of a library at a port of this machine. No other machine reaches it, unless `host` says so.

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
        with ExitStack() as undo:
            pool = undo.enter_context(ThreadPoolExecutor(1, "read-library"))
            reading = pool.submit(Shelf, folder)  # Arrow reads it while Python imports the server
            super().__init__(host, port)
            undo.callback(self.close)
            self.host = host
            _import_starlette()
            self.shelf = reading.result()
            self.token = new_token() if token is None else token
            gated = TokenGate(make_page_app(self.shelf), self.token, self.port)
            self.set_application(Gate(gated))
            undo.pop_all()

    @property
    def address(self) -> str:
        """The address to open, with the token."""
        url = f"http://{HOST}:{self.port}" if self.host in ALL_ADDRESSES else self.url
        return f"{url}/?token={self.token}"

    def run(self) -> None:
        """Answer until `stop`, SIGINT or SIGTERM. The map is drawn meanwhile."""
        threading.Thread(target=self.shelf.warm_up, name="warm-up", daemon=True).start()
        try:
            super().run()
        finally:
            self.shelf.close()
            self.shelf.is_prepared.wait(LEAVE_S)


def _import_starlette() -> None:
    """Import what the routes need while the library is read. They say so themselves if it is missing."""
    with suppress(ImportError):
        for name in ("applications", "responses", "routing"):
            import_module(f"starlette.{name}")


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
