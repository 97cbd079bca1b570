"""Servers of the tests in threads of their own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from quintet.serving.server import HttpServer

Served = TypeVar("Served", bound=HttpServer)


@contextmanager
def in_thread(server: Served) -> Iterator[Served]:
    """The server while it runs. It must end within 20 s."""
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join(20)
        assert not thread.is_alive()
