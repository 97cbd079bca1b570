"""Reader of web addresses (`https://`, `http://`), with the standard library.

Each connection is made to an address that was checked, also after a redirection: a name that answers with
another address the second time leads nowhere else. No proxy is used.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import time
import urllib.request
from http.client import HTTPMessage, HTTPResponse
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError
from urllib.parse import quote, urlsplit, urlunsplit

from quintet.errors import DecodeError
from quintet.files.internet.addresses import WEB_SCHEMES, most_bytes, public_addresses, too_large, url_scheme

ANSWER_S = 20.0
"""Seconds that a server may take to answer, and to send more."""
LONGEST_S = 1800.0
"""Seconds that a whole file may take."""
SILENCE_S = 60.0
"""Seconds for which a server that did not answer is not asked for facts again."""
BLOCK_BYTES = 1 << 20
_UNQUOTED = "/:=&?~+!$,;'@()*[]%"


_silent_until: dict[str, float] = {}


def web_facts(url: str) -> dict[str, object]:
    """Size and version of a file: `size` in bytes and `ETag`, where the server states them.

    Raises:
        DecodeError: the computer is none that may be asked.
        OSError, HTTPException: the server does not answer, or refuses.
    """
    host = urlsplit(url).netloc
    if time.monotonic() < _silent_until.get(host, 0.0):
        raise TimeoutError(f"{host} did not answer before")
    try:
        with _open(url, method="HEAD") as answer:
            length, tag = answer.headers["Content-Length"], answer.headers["ETag"]
    except HTTPError:
        raise
    except OSError:
        _silent_until[host] = time.monotonic() + SILENCE_S
        raise
    facts: dict[str, object] = {"ETag": tag or answer.headers["Last-Modified"]}
    if length is not None and length.isdecimal():
        facts["size"] = int(length)
    return facts


def download(url: str, target: Path) -> None:
    """Write the file at a web address to `target`.

    Raises:
        DecodeError: the file is too large or ends early, or the computer is none that may be asked.
        OSError, HTTPException: the server does not answer, or refuses.
    """
    largest, began = most_bytes(), time.monotonic()
    with _open(url, method="GET") as answer, target.open("wb") as file:
        length = answer.headers["Content-Length"]
        stated = int(length) if length is not None and length.isdecimal() else None
        if stated is not None and stated > largest:
            raise too_large(url, stated)
        received = 0
        while block := answer.read(BLOCK_BYTES):
            received += len(block)
            if received > largest:
                raise too_large(url)
            if time.monotonic() - began > LONGEST_S:
                raise DecodeError(f"A file at an address may take {LONGEST_S:g} s. {url} takes longer.")
            file.write(block)
        if stated is not None and received < stated:
            raise DecodeError(f"A file must arrive whole. {url} ended after {received} of {stated} bytes.")


def _open(url: str, *, method: str) -> HTTPResponse:
    request = urllib.request.Request(_ascii_url(url), method=method, headers={"User-Agent": "quintet"})
    answer: HTTPResponse = _opener().open(request, timeout=ANSWER_S)
    return answer


def _ascii_url(url: str) -> str:
    """A URL as HTTP has it: other characters as escapes, and no fragment."""
    parts = urlsplit(url)
    host = parts.netloc.encode("idna").decode() if not parts.netloc.isascii() else parts.netloc
    return urlunsplit(
        (parts.scheme, host, quote(parts.path, safe=_UNQUOTED), quote(parts.query, safe=_UNQUOTED), "")
    )


class _Connection(http.client.HTTPConnection):
    """Connection to an address that was checked."""

    def connect(self) -> None:
        self.sock = _connect(self.host, self.port, self.timeout)


class _SecureConnection(_Connection):
    """The same over TLS; the certificate must be that of the name."""

    default_port = http.client.HTTPS_PORT

    def connect(self) -> None:
        super().connect()
        self.sock = ssl.create_default_context().wrap_socket(self.sock, server_hostname=self.host)


def _connect(host: str, port: int, timeout: float | None) -> socket.socket:
    failure: OSError | None = None
    for family, address in public_addresses(host, port):
        connection = socket.socket(family, socket.SOCK_STREAM)
        connection.settimeout(timeout)
        try:
            connection.connect(address)
        except OSError as error:
            connection.close()
            failure = error
        else:
            return connection
    assert failure is not None
    raise failure


class _Handler(urllib.request.AbstractHTTPHandler):
    """Opens both web schemes with the connections above."""

    def http_open(self, request: urllib.request.Request) -> HTTPResponse:
        """Open an address of the scheme http."""
        return self.do_open(_Connection, request)

    def https_open(self, request: urllib.request.Request) -> HTTPResponse:
        """Open an address of the scheme https."""
        return self.do_open(_SecureConnection, request)

    http_request = urllib.request.AbstractHTTPHandler.do_request_
    https_request = urllib.request.AbstractHTTPHandler.do_request_


class _Redirections(urllib.request.HTTPRedirectHandler):
    """Follows a redirection to a web address, and never from https to http."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        """The request that follows."""
        before, after = url_scheme(req.full_url), url_scheme(newurl)
        if after not in WEB_SCHEMES or (before == "https" and after != "https"):
            fp.close()
            raise DecodeError(f"A redirection must lead to a web address. {req.full_url} leads to {newurl}.")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> Any:
    opener = urllib.request.OpenerDirector()
    for handler in (
        _Handler(),
        _Redirections(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener
