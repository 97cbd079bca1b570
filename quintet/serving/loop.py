"""The event loop of a server: connections that the system refuses.

Only `server.HttpServer` imports this module, for uvicorn is part of an extra.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
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

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept connections."""
        asyncio.get_running_loop().set_exception_handler(self.report)
        await super().startup(sockets)

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
