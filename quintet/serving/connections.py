"""The connections of a server: their number, their time, requests that are no HTTP, and the end of all.

Only `server.HttpServer` imports this module, for uvicorn is part of an extra.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
import time
from contextlib import suppress
from types import FrameType
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol

from quintet.serving.faults import BAD_REQUEST, BUSY, TIMEOUT, Refusal
from quintet.serving.gate import add_safe_headers, refusal_response

HEADERS_S = 30.0
"""Longest time from the start of a connection, or from the first byte of a later request, until the headers
of the request are there, seconds. A connection that is kept without a request is closed earlier."""
MOST_CONNECTIONS, LEAST_CONNECTIONS = 2048, 8
MOST_ON_WINDOWS = 256
WANTED_FILES = 4 * MOST_CONNECTIONS

ACCEPT = "socket.accept()"
"""Beginning of the messages of asyncio about connections that cannot be accepted."""
QUIET_S = 60.0
"""Seconds between two lines about refused connections."""

UNREADABLE = (
    "A request must be HTTP/1.1: one Host, one length that is a number, chunks with their lengths, and "
    "headers of 64 kB at most. This one is not: send it with a usual program, such as curl."
)
TOO_SLOW = "The headers of a request may take {seconds:g} s. These took longer: send the request again."
TOO_MANY = "At most {most} connections may be open. There are as many: try again later."


class Connections:
    """The connections of a server, and their bound.

    Args:
        most: the bound.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.n_open = 0
        self.idle: dict[Connection, None] = {}
        """Those without a request that is under way, the longest one first."""

    def make_room(self) -> bool:
        """Close the connection that has been idle for the longest, and say if there was one."""
        longest = next(iter(self.idle), None)
        if longest is None:
            return False
        del self.idle[longest]
        longest.transport.abort()
        return True


class Connection(H11Protocol):
    """One connection.

    Args:
        connections: all of the server.
        settings: what uvicorn gives.
    """

    def __init__(self, connections: Connections, **settings: Any) -> None:
        super().__init__(**settings)
        self._all = connections
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's
        """A client has come. If there are too many, the one that is idle for the longest has to go."""
        super().connection_made(transport)
        self._all.n_open += 1
        if self._all.n_open > self._all.most and not self._all.make_room():
            self._refuse(Refusal(BUSY, TOO_MANY.format(most=self._all.most), 1))
        self._note(waits=True)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed."""
        self._all.n_open -= 1
        self._all.idle.pop(self, None)
        self._stop_clock()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """The client has sent something."""
        super().data_received(data)
        self._note(waits=True)

    def on_response_complete(self) -> None:
        """A response has been given to the system. uvicorn keeps the connection for a few seconds."""
        super().on_response_complete()
        self._note(waits=False)

    def send_400_response(self, msg: str) -> None:
        """Refuse what h11 cannot read."""
        self._refuse(Refusal(BAD_REQUEST, UNREADABLE))

    def _note(self, *, waits: bool) -> None:
        """Note whether a request is under way.

        Args:
            waits: whether the time until the next one begins, if none is.
        """
        if self.cycle is not None and not self.cycle.response_complete:
            self._all.idle.pop(self, None)
            self._stop_clock()
            return
        self._all.idle.setdefault(self)
        if waits and self._deadline is None:
            self._deadline = self.loop.call_later(HEADERS_S, self._end_waiting)

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _end_waiting(self) -> None:
        """The reaction to headers that are too slow: a refusal if some have come."""
        has_begun = bool(self.conn.trailing_data[0])
        if has_begun and not self.transport.is_closing():
            self._refuse(Refusal(TIMEOUT, TOO_SLOW.format(seconds=HEADERS_S)))
        else:
            self.transport.abort()

    def _refuse(self, refused: Refusal) -> None:
        """Send a refusal, unless a response has begun, and close the connection."""
        if self.cycle is not None:  # the work on its request has no client any more
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            headers, body = refusal_response(refused)
            head = h11.Response(
                status_code=refused.status,
                headers=[*add_safe_headers(headers), (b"connection", b"close")],
                reason=STATUS_PHRASES[refused.status],
            )
            for event in (head, h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event))
        self.transport.close()


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


def most_connections() -> int:
    """The bound on connections: half of the files that this process may open, for an upload needs one, too.

    The limit of the system on open files is raised first, as far as it lets us.
    """
    if sys.platform == "win32":
        return MOST_ON_WINDOWS
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return MOST_CONNECTIONS
    wanted = WANTED_FILES if hard == resource.RLIM_INFINITY else min(WANTED_FILES, hard)
    if soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    return max(LEAST_CONNECTIONS, min(MOST_CONNECTIONS, soft // 2))
