"""The server: from a model folder to a port, until a signal stops it."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from quintet.errors import MachineError, MissingExtraError
from quintet.serving.gate import Application, Gate, Observer

if TYPE_CHECKING:
    from quintet.serving.connections import Server
    from quintet.serving.serve_settings import ServeSettings

BACKLOG = 512
"""Connections that the system holds until they are accepted."""


class HttpServer:
    """An application at a port. A subclass gives it with `set_application`.

    Args:
        host: address of this machine.
        port: 0 takes a free one.

    Raises:
        MissingExtraError: the extra `serve` is not installed.
        MachineError: the port is in use, or the address is not of this machine.
    """

    def __init__(self, host: str, port: int) -> None:
        try:
            import uvicorn
        except ImportError as error:
            raise MissingExtraError("The service", "serve") from error
        self._uvicorn = uvicorn
        self._socket = _open_socket(host, port)
        self._server: Server | None = None

    def set_application(self, application: Application) -> None:
        """Give the application, before `run`.

        Args:
            application: an ASGI application.
        """
        from quintet.serving.connections import Connection, Connections, Server, most_connections

        connections = Connections(most_connections())
        config = self._uvicorn.Config(
            application,
            http=partial(Connection, connections),  # type: ignore[arg-type]  # uvicorn only calls it
            ws="none",
            lifespan="off",
            loop="asyncio",
            log_config=None,
            log_level="error",
            access_log=False,
            server_header=False,
            backlog=BACKLOG,
        )
        self._server = Server(config, connections)

    @property
    def port(self) -> int:
        """Port of the service."""
        return int(self._socket.getsockname()[1])

    @property
    def url(self) -> str:
        """Address of the service."""
        host, port = self._socket.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def run(self) -> None:
        """Answer until `stop`, SIGINT or SIGTERM. What was begun is answered.

        Raises:
            KeyboardInterrupt: `end`, or a second SIGINT. What was begun is refused.
        """
        assert self._server is not None  # set_application comes first
        try:
            with _signals_stop_quietly():
                self._server.run(sockets=[self._socket])
        finally:
            self.close()
        if self._server.force_exit:
            interrupt = KeyboardInterrupt()
            interrupt.add_note("The service ended at once: requests that were under way have no result.")
            raise interrupt

    def stop(self) -> None:
        """Accept nothing more, answer what was begun, and let `run` return. Any thread may call it."""
        if self._server is not None:
            self._server.should_exit = True

    def end(self) -> None:
        """Accept nothing more, refuse what was begun, and let `run` end. Any thread may call it."""
        if self._server is not None:
            self._server.end()

    def close(self) -> None:
        """Close the port."""
        self._socket.close()


class ModelServer(HttpServer):
    """A service at a port.

    Args:
        folder: the model folder.
        settings: address, bounds and default options.
        observer: receives each response.

    Raises:
        MissingExtraError: the extra `serve` is not installed.
        MachineError: the port is in use, or the address is not of this machine.
        QuintetError: the folder holds no model for audio.
    """

    def __init__(self, folder: Path, settings: ServeSettings, observer: Observer | None = None) -> None:
        from quintet.serving.app import make_app  # the page of a library needs no model
        from quintet.serving.service import Service

        super().__init__(settings.host, settings.port)
        with ExitStack() as undo:
            undo.callback(self.close)
            self.service = Service(folder, settings)
            undo.callback(self.service.close)
            self.set_application(Gate(make_app(self.service), settings.host_names, observer))
            undo.pop_all()

    def run(self) -> None:
        """Answer until `stop`, SIGINT or SIGTERM. What was begun is answered, then the workers end.

        Raises:
            KeyboardInterrupt: `end`, or a second SIGINT. What was begun is refused, and the workers die.
        """
        try:
            super().run()
            self.service.close()
        except KeyboardInterrupt:
            self.service.stop()
            raise
        except BaseException:
            self.service.close()
            raise


def _open_socket(host: str, port: int) -> socket.socket:
    """A socket at an address, which takes connections.

    Raises:
        MachineError: the port is in use, or the address is not of this machine.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise MachineError(
            f"The address of the service must be of this machine, and its port free. {host}:{port} is not "
            f"({error.strerror or error}): choose another --host or --port."
        ) from None


@contextmanager
def _signals_stop_quietly() -> Iterator[None]:
    """Let SIGINT and SIGTERM end nothing but the server, which sends them once more when it has stopped."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _ignore) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """The reaction to a signal that has had its effect."""


ReadyCallback = Callable[[ModelServer], object]


def serve(
    folder: Path,
    settings: ServeSettings,
    *,
    ready: ReadyCallback | None = None,
    observer: Observer | None = None,
) -> None:
    """Serve a model until a signal stops it.

    Args:
        folder: the model folder.
        settings: address, bounds and default options.
        ready: called when the port is open.
        observer: receives each response.

    Raises:
        QuintetError: as `ModelServer`.
    """
    server = ModelServer(folder, settings, observer)
    if ready is not None:
        ready(server)
    server.run()
