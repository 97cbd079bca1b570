"""The key of the page: a token that the command prints in the address, and a cookie that takes its place."""

from __future__ import annotations

import json
import secrets
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from quintet.serving.gate import Application, Message, Receive, Send

TOKEN_BYTES = 24
COOKIE = "quintet_library"


class TokenGate:
    """The application behind a token.

    The first request brings the token in the address and gets a cookie, which no other site can use and no
    script can read. A program sends `Authorization: Bearer TOKEN`.

    Args:
        application: what answers.
        token: the secret.
        port: of the server; the cookies of two servers of this machine have different names.
    """

    def __init__(self, application: Application, token: str, port: int) -> None:
        self._application, self._token = application, token
        self._cookie = f"{COOKIE}_{port}"

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """One request (ASGI)."""
        if scope["type"] != "http":
            return
        headers = {bytes(name).decode("latin-1").lower(): bytes(value) for name, value in scope["headers"]}
        if scope["path"] == "/" and scope["method"] == "GET":
            given = parse_qs(bytes(scope.get("query_string", b"")).decode("latin-1")).get("token", [""])[0]
            if self._is_token(given):
                await _send(send, 303, b"", self._welcome())
                return
        if self._is_token(self._cookie_of(headers)) or self._is_token(_bearer(headers)):
            await self._application(scope, receive, send)
            return
        reason = (
            "A request must bring the token. This one does not: open the address that the command printed."
        )
        content_type = (b"content-type", b"application/json")
        await _send(send, 401, json.dumps({"detail": reason}).encode(), [content_type])

    def _welcome(self) -> list[tuple[bytes, bytes]]:
        cookie = f"{self._cookie}={self._token}; HttpOnly; SameSite=Strict; Path=/"
        return [(b"location", b"/"), (b"set-cookie", cookie.encode())]

    def _cookie_of(self, headers: dict[str, bytes]) -> str:
        cookies: SimpleCookie = SimpleCookie()
        try:
            cookies.load(headers.get("cookie", b"").decode("latin-1"))
        except CookieError:
            return ""
        found = cookies.get(self._cookie)
        return "" if found is None else found.value

    def _is_token(self, text: str) -> bool:
        return secrets.compare_digest(text.encode(), self._token.encode())


def new_token() -> str:
    """A token that nobody can guess."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def _bearer(headers: dict[str, bytes]) -> str:
    kind, _, token = headers.get("authorization", b"").decode("latin-1").partition(" ")
    return token if kind.lower() == "bearer" else ""


async def _send(send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})
