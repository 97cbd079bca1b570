"""Addresses of clips: schemes, private computers and sizes, against servers on this machine."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from quintet.errors import ConfigError, DecodeError
from quintet.files.internet import web
from quintet.files.internet.addresses import (
    PRIVATE_VARIABLE,
    SCHEMES_VARIABLE,
    SIZE_VARIABLE,
    address_fault,
    is_public,
    most_bytes,
    require_public_host,
)
from quintet.files.internet.remote import local_copy, remote_facts

CONTENT = b"RIFF" + bytes(3000)


class Answers(BaseHTTPRequestHandler):
    """A server that answers by the path: well, with lies, or not at all."""

    asked: list[str]

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.asked.append(f"{self.command} {self.path}")
        match self.path.partition("?")[0]:
            case "/good%20one.wav":
                self._send(200, {"Content-Length": str(len(CONTENT)), "ETag": '"v1"'}, CONTENT)
            case "/short.wav":
                self._send(200, {"Content-Length": str(len(CONTENT) * 2)}, CONTENT)
            case "/large.wav":
                self._send(200, {"Content-Length": str(10**12)}, b"")
            case "/endless.wav":
                self._send(200, {}, bytes(3_000_000))
            case "/to-file":
                self._send(302, {"Location": "file:///etc/passwd"}, b"")
            case "/to-ftp":
                self._send(302, {"Location": "ftp://127.0.0.1/a.wav"}, b"")
            case "/round":
                self._send(302, {"Location": "/round"}, b"")
            case "/moved":
                self._send(301, {"Location": "/good%20one.wav"}, b"")
            case "/hangs-up":
                pass
            case _:
                self._send(404, {}, b"")
        self.close_connection = True

    def _send(self, code: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    Answers.asked = []
    monkeypatch.setattr(web, "_silent_until", {})
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as here:
        thread = threading.Thread(target=here.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{here.server_address[1]}"
        here.shutdown()
        thread.join()


@pytest.fixture
def opened(server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The server, with private addresses allowed."""
    monkeypatch.setenv(PRIVATE_VARIABLE, "1")
    return server


def fetch(url: str) -> bytes:
    with local_copy(url) as path:
        return Path(path).read_bytes()


@pytest.mark.parametrize("path", ["/good%20one.wav", "/good one.wav", "/moved", "/good%20one.wav?key=a b"])
def test_a_file_on_the_web_is_fetched(opened: str, path: str) -> None:
    assert fetch(opened + path) == CONTENT


def test_facts_are_size_and_version(opened: str) -> None:
    facts = remote_facts(opened + "/good%20one.wav")
    assert facts["source_size"] == len(CONTENT)
    assert facts["source_mtime_ns"] > 0
    assert all(request.startswith("HEAD") for request in Answers.asked)
    assert remote_facts(opened + "/nowhere.wav") == {}


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/nowhere.wav", "does not. Check the address"),
        ("/short.wav", "ended after 3004 of 6008 bytes"),
        ("/large.wav", "1,000,000 MB"),
        ("/endless.wav", "is larger"),
        ("/to-file", "not allowed"),
        ("/to-ftp", "leads to ftp://"),
        ("/round", "must be reachable"),
        ("/hangs-up", "must be reachable"),
    ],
)
def test_a_server_that_lies_costs_the_clip(
    opened: str, path: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SIZE_VARIABLE, "2")
    with pytest.raises(DecodeError) as fault:
        fetch(opened + path)
    assert words in str(fault.value)
    assert "GET" in " ".join(Answers.asked)


def test_this_computer_is_not_asked_without_permission(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Attack B9: an address in a manifest reached the services of the own network."""
    port = server.rpartition(":")[2]
    for host in ("127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"):
        assert remote_facts(f"http://{host}:{port}/good%20one.wav") == {}
        with pytest.raises(DecodeError, match="must be"):
            fetch(f"http://{host}:{port}/good%20one.wav")
    assert Answers.asked == []
    monkeypatch.setenv(SCHEMES_VARIABLE, "ftp,sftp")
    assert address_fault("ftp://127.0.0.1/a.wav") is None
    for url in ("ftp://127.0.0.1:2121/a.wav", "sftp://localhost/a.wav", "ftp:///a.wav"):
        with pytest.raises(DecodeError):
            require_public_host(url)


@pytest.mark.parametrize(
    "number",
    [
        *("0.0.0.0", "10.1.2.3", "100.64.0.1", "127.8.8.8", "169.254.169.254", "172.16.0.1", "192.168.0.1"),
        *("224.0.0.1", "255.255.255.255", "::", "::1", "fe80::1%eth0", "fd00::1", "ff02::1"),
        *("::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:7f00:1::"),
    ],
)
def test_numbers_of_the_own_network_are_not_public(number: str) -> None:
    assert not is_public(number)


@pytest.mark.parametrize("number", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_numbers_of_the_internet_are_public(number: str) -> None:
    assert is_public(number)


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://example.org/a.wav", "foo://x/y.wav", "sftp://x/y.wav", "github://a:b@main/y", "data://x"),
        *(
            "zip://a.wav::file:///etc/passwd",
            "s3://a/b.zip::memory://x",
            "simplecache://a::http://10.0.0.1/x",
        ),
        "file:///etc/passwd::zip://x",
    ],
)
def test_schemes_are_an_allow_list_and_chains_are_refused(url: str) -> None:
    assert address_fault(url) is not None
    assert remote_facts(url) == {}
    with pytest.raises(DecodeError):
        fetch(url)


def test_an_address_of_a_file_is_the_file_itself(tmp_path: Path) -> None:
    file = tmp_path / "a b.wav"
    file.write_bytes(CONTENT)
    for url in (file.as_uri(), f"file://{file}"):
        with local_copy(url) as path:
            assert path == str(file)
        assert remote_facts(url)["source_size"] == len(CONTENT)
    for url in ("file:///dev/zero", tmp_path.as_uri(), "file:///nowhere.wav"):
        with pytest.raises(DecodeError), local_copy(url):
            pass


def test_a_size_that_is_no_number_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SIZE_VARIABLE, "1.5")
    assert most_bytes() == 1_500_000
    for text in ("", "many", "0", "-1", "nan"):
        monkeypatch.setenv(SIZE_VARIABLE, text)
        with pytest.raises(ConfigError):
            most_bytes()
