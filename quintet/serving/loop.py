"""The event loop of a server: connections that the system refuses, and the end of requests.

Only `server.HttpServer` imports this module, for uvicorn is part of an extra.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from types import FrameType
from typing import Any

import uvicorn

from quintet.serving.connections import Connections

ACCEPT = "socket.accept()"
"""Beginning of the messages of asyncio about connections that cannot be accepted."""
QUIET_S = 60.0
"""Seconds between two lines about refused connections."""


class Server(uvicorn.Server):
    """The server of uvicorn.

    Args:
        config: of uvicorn.
        connections: its connections.
    """

    def __init__(self, config: uvicorn.Config, connections: Connections) -> None:
        super().__init__(config)
        self._connections = connections
        self._n_refused, self._said_at = 0, -QUIET_S
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept connections."""
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(self.report)
        await super().startup(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The reaction to a signal: the second Ctrl-C ends the server at once."""
        super().handle_exit(sig, frame)
        if self.force_exit:
            self.end()

    def end(self) -> None:
        """Accept nothing more, and refuse what was begun. Any thread may call it."""
        self.should_exit = self.force_exit = True
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._cancel_requests)

    def _cancel_requests(self) -> None:
        for task in list(self.server_state.tasks):
            task.cancel()

    def report(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """What the loop does with an error that nothing awaits.

        A connection that the system refuses, because too many files are open, makes room by the end of an
        idle one. A line from time to time counts them.

        Args:
            loop: the loop.
            context: the error, as asyncio gives it.
        """
        if not str(context.get("message", "")).startswith(ACCEPT):
            loop.default_exception_handler(context)
            return
        self._connections.make_room()
        self._n_refused += 1
        if time.monotonic() - self._said_at >= QUIET_S:
            logging.getLogger("quintet.serving").error(
                "The service must be able to open files. The system has refused it %s times (%s): "
                "raise the limit (`ulimit -n`).",
                f"{self._n_refused:,}",
                context.get("exception"),
            )
            self._n_refused, self._said_at = 0, time.monotonic()
