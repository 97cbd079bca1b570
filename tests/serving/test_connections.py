"""Connections of the service: their number and their time, and requests that are no HTTP."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import Any

import pytest

from quintet.serving.gate import Gate
from quintet.serving.server import HttpServer
from tests.serving.running import in_thread

pytest.importorskip("uvicorn")

from quintet.serving import connections
from quintet.serving.connections import Server

HEAD = b"POST /x HTTP/1.1\r\nHost: localhost\r\n"
HEALTH = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Answers `/health` at once, and anything else after its body."""
    more = scope["path"] != "/health"
    while more:
        message = await receive()
        more = message["type"] == "http.request" and message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@contextmanager
def running(most: int | None = None) -> Iterator[HttpServer]:
    """A server of the application, in a thread."""
    server = HttpServer("127.0.0.1", 0)
    server.set_application(Gate(application))
    assert server._server is not None
    if most is not None:
        server._server._connections.most = most
    with in_thread(server):
        yield server


def connect(server: HttpServer, beginning: bytes = b"") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=20)
    connection.sendall(beginning)
    return connection


def read(connection: socket.socket) -> bytes:
    """All that comes until the connection is closed."""
    parts = []
    with suppress(ConnectionError):
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def health(server: HttpServer) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.request("GET", "/health")
    try:
        return connection.getresponse().status
    finally:
        connection.close()


def wait_until_busy(server: HttpServer, n: int) -> None:
    """Wait until so many connections are open, and each has a request."""
    assert server._server is not None
    found = server._server._connections
    deadline = time.monotonic() + 20
    while found.n_open < n or found.idle:
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize(
    ("first", "then", "status"),
    [
        (b"", b"", b""),
        (b"", HEAD, b"HTTP/1.1 408"),
        (HEALTH, HEAD, b"HTTP/1.1 408"),
        (b"POST /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n", b"x", b""),
    ],
)
def test_a_connection_that_begins_no_request_is_closed(
    monkeypatch: pytest.MonkeyPatch, first: bytes, then: bytes, status: bytes
) -> None:
    monkeypatch.setattr(connections, "HEADERS_S", 1.0)
    with running() as server, connect(server, first) as connection:
        answer = b""
        while first and not answer.endswith(b"\r\n\r\nok"):
            answer += connection.recv(4096)
        connection.sendall(then)
        answer = read(connection)
    assert answer.startswith(status)
    assert (answer == b"") == (status == b"")


def test_a_request_under_way_has_no_time_limit_of_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEADERS_S", 0.3)
    with running() as server, connect(server, HEAD + b"Content-Length: 4\r\n\r\n") as connection:
        for _ in range(4):
            time.sleep(0.2)
            connection.sendall(b"x")
        assert connection.recv(12) == b"HTTP/1.1 200"


def test_beyond_the_bound_the_longest_idle_connection_is_closed() -> None:
    with running(most=3) as server, ExitStack() as stack:
        busy = stack.enter_context(connect(server, HEAD + b"Content-Length: 1\r\n\r\n"))
        wait_until_busy(server, 1)
        idle = [stack.enter_context(connect(server, HEAD * (k % 2))) for k in range(9)]
        assert health(server) == 200
        assert [read(connection) for connection in idle[:-1]] == [b""] * 8
        busy.sendall(b"x")
        assert busy.recv(12) == b"HTTP/1.1 200"


def test_if_every_connection_has_a_request_a_further_one_is_refused() -> None:
    with running(most=2) as server, ExitStack() as stack:
        busy = [stack.enter_context(connect(server, HEAD + b"Content-Length: 1\r\n\r\n")) for _ in range(2)]
        wait_until_busy(server, 2)
        answer = read(stack.enter_context(connect(server)))
        assert answer.startswith(b"HTTP/1.1 503")
        assert b"retry-after: 1" in answer
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["detail"].startswith("At most 2 connections")
        for connection in busy:
            connection.sendall(b"x")
            assert connection.recv(12) == b"HTTP/1.1 200"


@pytest.mark.parametrize(
    "request_",
    [
        b"\x16\x03\x01" + bytes(100),
        HEAD + b"Content-Length: 99999999999999999999999\r\n\r\n",
        HEAD + b"Content-Length: -5\r\n\r\nabc",
        HEAD + b"Host: localhost\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\nabc\r\n0\r\n\r\n",
        HEAD + b"X: " + b"a" * 66_000,
        HEALTH + b"nonsense\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused_in_json(request_: bytes) -> None:
    with running() as server, connect(server, request_) as connection:
        answer = read(connection)
    head, _, body = answer.rpartition(b"\r\n\r\n")
    assert b"HTTP/1.1 400 Bad Request\r\n" in head
    assert b"content-type: application/json" in head
    assert b"x-content-type-options: nosniff" in head
    assert json.loads(body)["detail"].startswith("A request must be HTTP/1.1")


def test_connections_that_the_system_refuses_are_a_line_and_make_room(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """asyncio calls the handler up to 512 times a second then."""
    with running() as server:
        assert isinstance(server._server, Server)
        with connect(server, HEAD) as idle:
            while not server._server._connections.idle:
                time.sleep(0.005)
            loop = next(iter(server._server._connections.idle)).loop
            context = {"message": "socket.accept() out of system resource", "exception": OSError(24, "Full")}
            for _ in range(99):
                loop.call_soon_threadsafe(loop.call_exception_handler, context)
            assert read(idle) == b""
            assert health(server) == 200
    assert [record.getMessage() for record in caplog.records] == [
        "The service must be able to open files. The system has refused it 1 times ([Errno 24] Full): "
        "raise the limit (`ulimit -n`)."
    ]
    assert "Traceback" not in capfd.readouterr().err


def test_other_errors_of_the_loop_are_shown(caplog: pytest.LogCaptureFixture) -> None:
    with running() as server, closing(asyncio.new_event_loop()) as loop:
        assert server._server is not None
        server._server.report(loop, {"message": "another error"})
    assert "another error" in caplog.text


@pytest.mark.parametrize(
    ("limits", "most", "raised"),
    [
        ((1024, 1024), 512, None),
        ((1024, 3000), 1500, (3000, 3000)),
        ((1024, -1), 2048, (8192, -1)),
        ((100_000, 100_000), 2048, None),
        ((-1, -1), 2048, None),
        ((10, 10), 8, None),
    ],
)
def test_the_bound_is_half_of_the_files_of_the_process(
    monkeypatch: pytest.MonkeyPatch, limits: tuple[int, int], most: int, raised: tuple[int, int] | None
) -> None:
    resource = pytest.importorskip("resource")
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda which: limits)
    monkeypatch.setattr(resource, "setrlimit", lambda which, wanted: asked.append(wanted))
    assert connections.most_connections() == most
    assert asked == ([raised] if raised else [])
