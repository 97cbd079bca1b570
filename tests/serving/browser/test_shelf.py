"""What the page asks about a library, and who may ask."""

from __future__ import annotations

import asyncio
import errno
import json
import subprocess
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import HTTPCookieProcessor, Request, build_opener, urlopen

import numpy as np
import pyarrow as pa
import pytest

from quintet.errors import ArtefactError, ConfigError
from quintet.files.locks import HeldOutputError
from quintet.library.corrections import CORRECTIONS_FILE, add_correction, read_corrections
from quintet.library.store import Library
from quintet.library.tags import plan_file
from quintet.library.tags.plan import Plan, PlanOptions
from quintet.library.tags.plan_file import PlanFile, PlanRow, write_plan
from quintet.library.tags.tag_file import open_tags
from quintet.serving import desks
from quintet.serving.browser import shelf as shelves
from quintet.serving.browser import song_map
from quintet.serving.browser.page_server import PageServer
from quintet.serving.browser.routes import make_page_app
from quintet.serving.browser.shelf import Shelf
from quintet.serving.browser.token_gate import TokenGate
from quintet.serving.gate import Gate

from .made_library import make_library, unpack

TOKEN = "secret"
HOST = {"host": "127.0.0.1:9"}
KEY = {**HOST, "cookie": f"quintet_library_9={TOKEN}"}


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    make_library(tmp_path, 24, with_sound=True)
    return Shelf(tmp_path / "my.library")


def ask(
    shelf: Shelf, path: str, headers: dict[str, str] | None = None, body: object = None
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of one request through both gates."""
    gate = Gate(TokenGate(make_page_app(lambda: shelf), TOKEN, 9))
    sent: list[dict] = []
    place, _, query = path.partition("?")
    scope = {
        "type": "http",
        "method": "GET" if body is None else "POST",
        "path": place,
        "raw_path": place.encode(),
        "query_string": query.encode(),
        "headers": [
            (name.encode(), value.encode()) for name, value in (KEY if headers is None else headers).items()
        ],
        "scheme": "http",
        "server": ("127.0.0.1", 9),
        "client": ("127.0.0.1", 1),
        "http_version": "1.1",
        "root_path": "",
    }

    waiting = [b"" if body is None else json.dumps(body).encode()]

    async def receive() -> dict:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        await asyncio.Event().wait()  # the client stays
        raise AssertionError

    async def send(message: dict) -> None:
        sent.append(message)

    asyncio.run(gate(scope, receive, send))
    found = {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], found, b"".join(message.get("body", b"") for message in sent[1:])


def test_only_who_has_the_token_gets_an_answer(shelf: Shelf) -> None:
    assert ask(shelf, "/api/songs", HOST)[0] == 401
    assert ask(shelf, "/", HOST)[0] == 401
    assert ask(shelf, "/?token=wrong", HOST)[0] == 401
    assert ask(shelf, "/api/songs", {**HOST, "cookie": "quintet_library_8=secret"})[0] == 401
    status, headers, _ = ask(shelf, f"/?token={TOKEN}", HOST)
    assert (status, headers["location"]) == (303, "/")
    assert "HttpOnly" in headers["set-cookie"]
    assert "SameSite=Strict" in headers["set-cookie"]
    assert ask(shelf, "/api/songs", {**HOST, "authorization": f"Bearer {TOKEN}"})[0] == 200
    assert ask(shelf, "/api/songs", {**KEY, "host": "evil.example"})[0] == 421
    other = {**KEY, "origin": "http://evil.example"}
    assert ask(shelf, "/api/corrections", other, {"id": shelf.view.ids[0], "label": "x"})[0] == 403
    assert read_corrections(shelf.folder) == {}


def test_the_page_says_that_the_songs_are_unlike_the_training(shelf: Shelf) -> None:
    def answer() -> str:
        shelf.reload()
        return json.loads(ask(shelf, "/api/state")[2])["drift"]

    assert answer() == ""
    library = Library.open(shelf.folder)
    assert library.facts.model is not None
    for sentence, shown in ((None, ""), ("The songs are unlike.\x1b[2J", "The songs are unlike."), (7, "7")):
        library.facts.model["drift"] = {"unlike": sentence is not None, "sentence": sentence}
        library.write_facts()
        assert answer().startswith(shown)
        assert "\x1b" not in answer()
    library.facts.model = None
    library.write_facts()
    assert answer() == ""


def test_no_route_answers_a_stranger(shelf: Shelf) -> None:
    """Neither without the token, nor with it under another name; no page of another host or port changes or
    reads anything with it."""
    routes = [
        (route.path.replace("{id}", shelf.view.ids[0]).replace("{name}", "main.js"), method)
        for route in make_page_app(lambda: shelf).routes
        for method in route.methods
    ]
    assert {("/api/plan/apply", "POST"), ("/api/songs", "GET")} <= set(routes)
    for path, method in routes:
        body = None if method in ("GET", "HEAD") else {}
        assert ask(shelf, path, HOST, body)[0] == 401, path
        assert ask(shelf, path, {**HOST, "authorization": f"Bearer {TOKEN}x"}, body)[0] == 401, path
        assert ask(shelf, path, {**KEY, "host": "evil.example:9"}, body)[0] == 421, path
        for origin in ("http://evil.example", "http://127.0.0.1:8", "null") if body is not None else ():
            assert ask(shelf, path, {**KEY, "origin": origin}, body)[0] == 403, path
    status, headers, _ = ask(shelf, "/api/songs", {**KEY, "origin": "http://127.0.0.1:8"})
    assert (status, headers["cross-origin-resource-policy"]) == (200, "same-origin")
    assert headers["x-content-type-options"] == "nosniff"
    assert not any(name.startswith("access-control") for name in headers)


def test_the_page_loads_nothing_from_elsewhere(shelf: Shelf) -> None:
    status, headers, page = ask(shelf, "/")
    assert status == 200
    assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
    assert b"http" not in page.replace(b"http-equiv", b"")
    assert ask(shelf, "/page/main.js")[1]["content-type"].startswith("text/javascript")
    for name in ("../routes.py", "%2e%2e/routes.py", "routes.py", ".."):
        assert ask(shelf, f"/page/{name}")[0] == 404


def test_songs_and_the_map(shelf: Shelf) -> None:
    content, texts = (unpack(ask(shelf, path)[2]) for path in ("/api/songs", "/api/texts"))
    assert content["n"] == 24
    assert texts["names"]["artist"][texts["artist"][5]] == "Artist 2"
    assert content["names"]["genre"][content["genre"][0]] == shelf.view.songs.column("genre")[0].as_py()
    assert content["genre"][1] == -1
    titles = texts["title"].tobytes().decode().split("\n")
    assert len(titles) == 24
    assert titles[3] == "<img src=x onerror=alert(1)>\\x1b[2J"
    assert texts["id"].tobytes().decode().split("\n") == shelf.view.ids
    moods = shelf.view.library.table("activations").select(["mood_happy", "mood_calm"]).to_pandas()
    named = [content["names"]["mood"][code] for code in content["mood"]]
    assert named == moods.idxmax(axis=1).str.removeprefix("mood_").tolist()
    first = unpack(ask(shelf, "/api/map")[2])
    assert not first["drawn"]
    assert len(first["x"]) == 24
    assert first["x"].min() == 0
    assert first["x"].max() == 65_534
    rows = json.loads(ask(shelf, "/api/where?condition=tempo%3E120")[2])["rows"]
    tempo = shelf.view.songs.column("tempo").to_pylist()
    assert rows == [row for row, value in enumerate(tempo) if value > 120]
    np.testing.assert_allclose(content["tempo"], tempo, rtol=1e-6)
    assert ask(shelf, "/api/where?condition=read_csv('x')")[0] == 400
    details = json.loads(ask(shelf, f"/api/songs/{shelf.view.ids[3]}")[2])
    assert details["path"].endswith("song 3.wav")
    assert ask(shelf, "/api/songs/zzz")[0] == 404
    genres = json.loads(ask(shelf, "/api/state")[2])["genres"]
    assert len({genre.casefold() for genre in genres}) == len(genres) == 10
    assert set(content["names"]["genre"]) <= set(genres)  # as in the tags
    assert ask(shelf, f"/api/songs/{shelf.view.ids[3]}/similar?n=0")[0] == 400


def test_columns_of_songs_that_lack_everything(tmp_path: Path) -> None:
    library = make_library(tmp_path, 5)
    songs = library.table("songs")
    bare = songs.select(["id", "root", "path", "status"]).slice(0, 4)
    library.write("songs", pa.concat_tables([bare, songs.slice(4)], promote_options="default"))
    (library.folder / "activations.parquet").unlink()
    content, texts, points = map(
        unpack,
        (
            Shelf(library.folder).columns(),
            Shelf(library.folder).texts(),
            Shelf(library.folder).view.map_bytes(),
        ),
    )
    assert content["tempo"][:4].tolist() == [-1] * 4
    assert content["tempo"][4] > 0
    assert content["genre"][:4].tolist() == content["mood"][:4].tolist() == [-1] * 4
    assert texts["title"].tobytes() == b"\n\n\n\nSong 4"
    assert points["x"][:4].tolist() == [65_535] * 4
    assert points["x"][4] != 65_535


@pytest.mark.slow
def test_a_page_opens_without_the_libraries_that_it_needs_later(tmp_path: Path) -> None:
    make_library(tmp_path, 5)
    code = (
        "import sys\nfrom pathlib import Path\nfrom quintet.serving.browser.page_server import PageServer\n"
        f"server = PageServer(Path({str(tmp_path / 'my.library')!r}))\n"
        "print([name for name in ('numpy', 'pyarrow', 'fastapi') if name in sys.modules])\n"
        "shelf = server.shelf\nshelf.state(), shelf.genres(), shelf.columns(), shelf.texts()\n"
        "print([name for name in ('pandas', 'fastapi', 'sklearn', 'scipy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[]", "[]"]


def test_the_page_is_answered_while_its_library_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_library(tmp_path, 5)
    is_asked, may_read, read = threading.Event(), threading.Event(), Shelf

    def read_late(folder: Path) -> Shelf:
        assert may_read.wait(20)
        return read(folder)

    monkeypatch.setattr(shelves, "Shelf", read_late)
    server = PageServer(tmp_path / "my.library")

    def get(path: str) -> bytes:
        request = Request(server.url + path, headers={"Authorization": f"Bearer {server.token}"})
        with urlopen(request, timeout=20) as answer:
            content: bytes = answer.read()
        return content

    def ask_for_songs() -> int:
        is_asked.set()
        return int(json.loads(get("/api/state"))["n"])

    with ThreadPoolExecutor(2) as pool:
        running = pool.submit(server.run)
        asked = pool.submit(ask_for_songs)
        assert is_asked.wait(20)
        assert b"<html" in get("/")
        assert not asked.done()
        may_read.set()
        assert asked.result(20) == 5
        server.stop()
        running.result(20)


def test_a_server_ends_if_its_library_is_damaged(tmp_path: Path) -> None:
    make_library(tmp_path, 5)
    for name in ("vectors", "songs"):
        (tmp_path / "my.library" / f"{name}.parquet").write_bytes(b"PAR1")
        with pytest.raises(ArtefactError, match=f"{name}.parquet"):
            PageServer(tmp_path / "my.library").run()


def test_similar_songs_are_near_and_of_several_artists(shelf: Shelf) -> None:
    view = shelf.view
    rows = [row["row"] for row in shelf.similar(view.ids[0], 50, 2)]
    assert 0 not in rows
    artists = [view.songs.column("artist")[row].as_py() for row in rows]
    assert max(map(artists.count, artists)) == 2
    best = int(np.argsort(-(view.vectors @ view.vectors[0]))[1])
    assert rows[0] == best


def test_sound_stays_in_the_folders_of_the_library(shelf: Shelf, tmp_path: Path) -> None:
    status, headers, data = ask(shelf, f"/api/songs/{shelf.view.ids[1]}/sound")
    assert (status, headers["content-type"]) == (200, "audio/wav")
    assert data[:4] == b"RIFF"
    ranged = ask(shelf, f"/api/songs/{shelf.view.ids[1]}/sound", {**KEY, "range": "bytes=0-3"})
    assert (ranged[0], ranged[2]) == (206, b"RIFF")
    song = tmp_path / "music" / "artist 2" / "song 2.wav"
    secret = tmp_path / "secret.wav"
    song.rename(secret)
    song.symlink_to(secret)
    for kind in ("sound", "waveform"):
        assert ask(shelf, f"/api/songs/{shelf.view.ids[2]}/{kind}")[0] == 404
    song.unlink()
    assert ask(shelf, f"/api/songs/{shelf.view.ids[2]}/sound")[0] == 404


def test_corrections_are_kept_by_sound(shelf: Shelf) -> None:
    id = shelf.view.ids[4]
    assert ask(shelf, "/api/corrections", body={"id": id, "label": " Folk  Metal "})[0] == 200
    assert unpack(Shelf(shelf.folder).columns())["corrected"] == {"4": "Folk Metal"}
    path = shelf.folder / CORRECTIONS_FILE
    path.write_bytes(path.read_bytes() + b'{"sound": "xx')  # killed
    add_correction(shelf.folder, "xxh3:1", "jazz")
    assert len(read_corrections(shelf.folder)) == 2
    add_correction(shelf.folder, "xxh3:1", "")
    assert len(read_corrections(shelf.folder)) == 1
    assert ask(shelf, "/api/corrections", body={"id": id, "label": "a\x00b"})[0] == 400


def test_playlists_are_kept_and_exported(shelf: Shelf) -> None:
    ids = [shelf.view.ids[k] for k in (3, 1)]
    assert ask(shelf, "/api/playlists", body={"Evening": ids})[0] == 200
    assert json.loads(ask(shelf, "/api/playlists")[2]) == {"Evening": ids}
    lines = (
        ask(shelf, "/api/playlists/export", body={"name": "Evening", "ids": [*ids, "zzz"]})[2]
        .decode()
        .splitlines()
    )
    assert lines[:2] == ["#EXTM3U", "#PLAYLIST:Evening"]
    assert lines[3].endswith("song 3.wav")
    assert Path(lines[5]).is_file()
    assert len(lines) == 6
    for wrong in ({"a": "b"}, {"a": [1]}, {"": []}):
        assert ask(shelf, "/api/playlists", body=wrong)[0] == 400
    for wrong in ({"name": "a", "ids": 5}, {"name": "a", "ids": [1]}, {"ids": ids}):
        assert ask(shelf, "/api/playlists/export", body=wrong)[0] == 400


def test_accepted_tags_are_written_and_taken_back(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    def map_here(function, calls, *, n_workers):
        for arguments in calls:
            yield function(*arguments)

    monkeypatch.setattr("quintet.library.tags.plan.map_isolated", map_here)
    monkeypatch.setattr("quintet.library.tags.writing.map_isolated", map_here)
    plan = shelf.plan(PlanOptions())
    assert plan["rows"]
    with pytest.raises(ConfigError):
        shelf.apply([len(plan["rows"])])
    chosen = plan["rows"][1]
    done = shelf.apply([1])
    assert (done["fields"], done["left"]) == (1, [])
    assert open_tags(Path(chosen["file"])).state("genre").text == chosen["proposed"]
    assert open_tags(Path(plan["rows"][0]["file"])).state("genre").text == ""
    with pytest.raises(ConfigError):
        shelf.apply([0])  # the plan was carried out
    with pytest.raises(ConfigError):
        shelf.undo("../plan.jsonl")
    assert shelf.undo(shelf.journals()[0])["fields"] == 1
    assert open_tags(Path(chosen["file"])).state("genre").text == ""


def test_two_pages_of_a_library_write_two_plans(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second page chooses its name before the first has written its rows."""
    other = Shelf(shelf.folder)
    for page, title in ((shelf, "one"), (other, "two")):
        row = PlanRow(shelf.folder.parent / f"{title}.mp3", "genre", "", (title,))
        page._plan = Plan((row,), (), {}, 1)

    def write_second_first(rows: list[PlanRow], path: Path) -> None:
        if rows[0].values == ("one",):
            other.apply([0])
        write_plan(rows, path)

    monkeypatch.setattr(plan_file, "write_plan", write_second_first)
    shelf.apply([0])
    plans = sorted((shelf.folder / shelves.PLANS_FOLDER).glob("*.csv"))
    assert [PlanFile.read(plan).rows[0].values for plan in plans] == [("one",), ("two",)]


def test_an_explanation_is_asked_before_its_desk_is_closed(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library is read anew at the moment at which a page asks."""

    class Desk:
        def __init__(self, folder: Path) -> None:
            self.is_open = False

        def open(self) -> None:
            self.is_open = True

        def ask(self, path: str, name: str, segment_s: float | None) -> Future[str]:
            thread = threading.Thread(target=shelf.reload, daemon=True)
            thread.start()
            thread.join(0.2)
            assert self.is_open
            return Future()

        def close(self) -> None:
            self.is_open = False

    monkeypatch.setattr(desks, "ExplanationDesk", Desk)
    (shelf.folder / "bundle.json").touch()
    shelf.view.library.facts.model = {"path": str(shelf.folder)}
    shelf.explain(shelf.view.ids[0])


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 507, "make room where the library"),
        (OSError(errno.EROFS, "Read-only file system"), 403, "Read-only file system"),
        (PermissionError(errno.EACCES, "Permission denied"), 403, "change the permissions"),
        (HeldOutputError("An output must be written by one command at a time."), 503, "one command"),
        (ArtefactError("A song must be in the library."), 404, "in the library"),
    ],
)
def test_a_refusal_says_what_to_do(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, said: str
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(shelves, "add_correction", fail)
    found = ask(shelf, "/api/corrections", body={"id": shelf.view.ids[0], "label": "jazz"})
    assert found[0] == status
    assert said in json.loads(found[2])["detail"]


def test_a_genre_without_a_model_is_not_explained(shelf: Shelf) -> None:
    with pytest.raises(ArtefactError, match="--model"):
        shelf.explain(shelf.view.ids[0])


def test_maps_keep_neighbours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    centres = np.eye(3, 8)
    kinds = np.repeat(np.arange(3), 20)
    vectors = (centres[kinds] + 0.05 * rng.normal(size=(60, 8))).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    monkeypatch.setattr(song_map, "LANDMARKS", 30)
    points = song_map.embed(vectors)
    distances = np.linalg.norm(points[:, None] - points[None], axis=2) + 9 * np.eye(60)
    assert (kinds[distances.argmin(axis=1)] == kinds).mean() > 0.95
    assert points.min() == 0
    assert points.max() == 1
    digests = [str(k) for k in range(60)]
    monkeypatch.setattr(song_map, "call_isolated", lambda function, vectors: points)
    song_map.make_map(tmp_path, digests, vectors)
    assert np.array_equal(song_map.read_map(tmp_path, digests), points)
    assert song_map.read_map(tmp_path, digests[::-1]) is None
    assert shelves.MOST_SIMILAR == 50


@pytest.mark.slow
def test_a_server_of_all_addresses_asks_for_the_token_too(tmp_path: Path) -> None:
    server = PageServer(Library.create(tmp_path / "my.library").folder, host="0.0.0.0")
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        with_cookies = build_opener(HTTPCookieProcessor())
        assert server.address.startswith(f"http://127.0.0.1:{server.port}/?token=")
        with with_cookies.open(server.address) as answer:
            assert answer.status == 200
        for request in (
            server.address.split("?")[0],
            Request(server.address, headers={"Host": "evil.example"}),
        ):
            with pytest.raises(HTTPError) as refused:
                build_opener().open(request)
            refused.value.close()
            assert refused.value.code in (401, 403, 421)
    finally:
        server.stop()
        thread.join(20)
