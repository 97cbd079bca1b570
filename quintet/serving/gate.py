"""What every request passes before anything is read: who asks, by which name, and how many ask already."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from quintet.serving.faults import BUSY, FORBIDDEN, MISDIRECTED, Refusal

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]
Observer = Callable[[str, str, int, float], object]
"""Receives method, path, status and seconds of each response."""

LONGEST_WAIT_S = 60
ENDED = "The service must go on to answer. It was ended before: send the request again when it has started."
SMOOTHING = 0.1
"""Weight of the newest request in the mean time of a request."""
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
SAFE_HEADERS = {
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
"""Headers of every response that does not set them itself."""


class Admission:
    """The number of requests that are under way, and its bound.

    Args:
        most: the bound.
        n_workers: requests that are carried out at the same time.
    """

    def __init__(self, most: int, n_workers: int = 1) -> None:
        self.most, self._n_workers = most, n_workers
        self.n_under_way = 0
        self._mean_s = 0.0

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Count a request until the block ends.

        Raises:
            Refusal: there are as many as the bound. It says when to try again.
        """
        if self.n_under_way >= self.most:
            wait_s = self.n_under_way * self._mean_s / self._n_workers
            raise Refusal(
                BUSY,
                f"At most {self.most} requests may be under way. There are as many: try again later.",
                min(LONGEST_WAIT_S, max(1, round(wait_s))),
            )
        self.n_under_way += 1
        began = time.monotonic()
        try:
            yield
        finally:
            n, self.n_under_way = self.n_under_way, self.n_under_way - 1
            own_s = (time.monotonic() - began) * self._n_workers / n  # without the others that it waited for
            self._mean_s += SMOOTHING * (own_s - self._mean_s)


class Gate:
    """The application behind checks of the sender, with safe headers in front of every response.

    Args:
        application: what answers.
        host_names: names of the service, besides localhost and numbers.
        observer: receives each response.
    """

    def __init__(
        self, application: Application, host_names: tuple[str, ...] = (), observer: Observer | None = None
    ) -> None:
        self._application, self._observer = application, observer
        self._host_names = frozenset(name.lower() for name in ("localhost", *host_names))

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """One request (ASGI)."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        began = time.monotonic()
        has_begun = False

        async def send_safely(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                message["headers"] = add_safe_headers(message.get("headers", ()))
                if self._observer is not None:
                    path = str(scope["path"])
                    self._observer(scope["method"], path, message["status"], time.monotonic() - began)
            await send(message)

        try:
            self.check(scope["method"], _text_headers(scope["headers"]))
        except Refusal as refused:
            await _refuse(refused, send_safely)
            return
        try:
            await self._application(scope, receive, send_safely)
        except asyncio.CancelledError:  # the server ends at once: nothing else cancels a request
            if not has_begun:
                await _refuse(Refusal(BUSY, ENDED), send_safely)

    def check(self, method: str, headers: dict[str, str]) -> None:
        """Refuse a request for another host, and one that the page of another host makes a browser send.

        A page of somebody else can give its own name the number 127.0.0.1, and then reach this service under
        that name (DNS rebinding). Under a number or localhost, the service is another host for that page.

        Args:
            method: of HTTP.
            headers: name in small letters → value.

        Raises:
            Refusal: the request is one of these.
        """
        host = headers.get("host", "")
        name = _host_name(host)
        if name is None or not (name in self._host_names or _is_number(name)):
            raise Refusal(
                MISDIRECTED,
                "The Host of a request must be a number, localhost, or a name that the service knows. "
                "This one is none: use 127.0.0.1, or start the service with --allow-host.",
            )
        if method in SAFE_METHODS:
            return
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        is_same = origin is None or urlsplit(origin).netloc.lower() == host.lower()
        if not is_same or (site is not None and site not in ("same-origin", "none")):
            raise Refusal(
                FORBIDDEN,
                "A request from a page must come from a page of this service. "
                "This one comes from another: send it from a program.",
            )


def _text_headers(headers: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers by name. One that is sent twice has both values, which no check accepts."""
    found: dict[str, str] = {}
    for raw_name, raw_value in headers:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        found[name] = f"{found[name]},{value}" if name in found else value
    return found


def _host_name(host: str) -> str | None:
    """The name in a Host header, in small letters; None if it has no such form.

    Example:
        >>> _host_name("LocalHost:8000"), _host_name("[::1]:8000"), _host_name("a@b")
        ('localhost', '::1', None)
    """
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port  # a port that is no number raises
    except ValueError:
        return None
    is_plain = parts.netloc == host and parts.username is None and parts.password is None
    return parts.hostname if is_plain else None


def _is_number(name: str) -> bool:
    """Whether a host is the number of an interface."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def add_safe_headers(headers: Any) -> list[tuple[bytes, bytes]]:
    """Headers of a response with the safe ones that it lacks.

    Args:
        headers: pairs of name and value.
    """
    present = [(bytes(name), bytes(value)) for name, value in headers]
    names = {name.decode("latin-1").lower() for name, _ in present}
    missing = [(name, value) for name, value in SAFE_HEADERS.items() if name not in names]
    return present + [(name.encode(), value.encode()) for name, value in missing]


def refusal_response(refused: Refusal) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Headers and body of a refusal.

    Args:
        refused: the refusal.
    """
    body = json.dumps({"detail": refused.reason}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers += [(name.lower().encode(), value.encode()) for name, value in refused.headers.items()]
    return headers, body


async def _refuse(refused: Refusal, send: Send) -> None:
    """Send a refusal."""
    headers, body = refusal_response(refused)
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
