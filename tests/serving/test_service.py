"""The service: its answers are those of the commands, and no request harms another."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import re
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import numpy as np
import pytest
from typer.testing import CliRunner

from quintet.audio.isolation.pool import WorkerPool
from quintet.cli import app as command_line
from quintet.errors import ArtefactError, ConfigError, MachineError, MissingExtraError
from quintet.serving import app as serving_app
from quintet.serving.desks import ExplanationDesk, Question, _keep_warm
from quintet.serving.faults import Refusal
from quintet.serving.gate import Admission, Gate, Observer
from quintet.serving.pages import docs_page
from quintet.serving.serve_settings import ServeSettings
from quintet.serving.server import ModelServer
from quintet.serving.uploads import Upload
from tests.serving.running import in_thread
from tests.tones import train_on_tones, write_tone

sys.path.insert(0, str(Path(__file__).parent))
import hostile_decoders

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

SETTINGS = ServeSettings(port=0, queue=8, megabytes=0.2, seconds=0.7)
BOUNDARY = "frontier"


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight clips of two classes, a model of them, and new recordings."""
    root = tmp_path_factory.mktemp("music")
    members = ("logistic_regression", "random_forest")
    train_on_tones(root, members, {"random_forest": {"n_estimators": 4}})
    write_tone(root / "new.wav", 3)
    write_tone(root / "long.wav", 5, seconds=2.9)
    cut = write_tone(root / "cut.wav", 9)
    cut.write_bytes(cut.read_bytes()[:-2000])
    write_tone(root / "crash.wav", 1, rate=hostile_decoders.CRASH_RATE)
    write_tone(root / "hang.wav", 1, rate=hostile_decoders.HANG_RATE)
    write_tone(root / "bomb.wav", 1, rate=hostile_decoders.BOMB_RATE)
    (root / "words.mp3").write_text("this is not audio, " * 99)
    return root


@contextmanager
def running(
    music: Path, settings: ServeSettings = SETTINGS, observer: Observer | None = None
) -> Iterator[ModelServer]:
    """A server in a thread."""
    with in_thread(ModelServer(music / "model", settings, observer)) as server:
        yield server


@pytest.fixture(scope="module")
def server(music: Path) -> Iterator[ModelServer]:
    with running(music) as server:
        yield server


def send(
    server: ModelServer, path: str, body: bytes | None = None, *, method: str = "POST", **headers: str
) -> tuple[int, dict[str, str], str]:
    """Status, headers and text of a response. In names of headers, `_` stands for `-`."""
    host, port = server.url.removeprefix("http://").rsplit(":", 1)
    connection = http.client.HTTPConnection(host, int(port), timeout=30)
    try:
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, fields, encode_chunked="Transfer_Encoding" in headers)
        response = connection.getresponse()
        found = {name.lower(): value for name, value in response.getheaders()}
        return response.status, found, response.read().decode()
    finally:
        connection.close()


def form(content: bytes, name: str | None) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a form with one file."""
    label = "" if name is None else f'; filename="{name}"'
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"{label}\r\n\r\n'
    body = head.encode() + content + f"\r\n--{BOUNDARY}--\r\n".encode()
    return body, {"Content_Type": f"multipart/form-data; boundary={BOUNDARY}"}


def command_json(music: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    """What `quintet predict --json` prints."""
    monkeypatch.chdir(music)
    done = CliRunner().invoke(command_line, ["predict", "model", *arguments, "--json", "-q"])
    assert done.stdout.startswith("{"), done.output
    return done.stdout


@pytest.mark.parametrize(
    ("file", "query", "options"),
    [
        ("new.wav", "", []),
        ("new.wav", "&confidence=0.7", ["--confidence", "0.7"]),
        ("long.wav", "&segment=0.5&confidence=0.5", ["--segment", "0.5", "--confidence", "0.5"]),
        ("cut.wav", "", []),
        ("data/low/0.wav", "", []),
    ],
)
def test_the_answer_is_what_predict_prints(
    music: Path,
    server: ModelServer,
    monkeypatch: pytest.MonkeyPatch,
    file: str,
    query: str,
    options: list[str],
) -> None:
    sound = (music / file).read_bytes()
    status, headers, text = send(server, f"/predict?name=NAME{query}", sound)
    expected = command_json(music, monkeypatch, file, *options)
    assert status == 200
    assert headers["content-type"] == "application/json"
    assert "access-control-allow-origin" not in headers
    place = str(music / file)
    expected = expected.replace(json.dumps(place)[1:-1], "NAME").replace(file, "NAME")
    assert text == expected
    assert list(server.service.upload_folder.iterdir()) == []
    body, content_type = form(sound, None if query else "NAME")
    assert (
        send(server, f"/predict?{'name=NAME' if query else ''}{query}", body, **content_type)[2] == expected
    )


def test_a_recording_that_cannot_be_read_is_422_with_the_row_of_predict(
    music: Path, server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, _, text = send(server, "/predict?name=words.mp3", (music / "words.mp3").read_bytes())
    answer = json.loads(text)
    reason = answer.pop("detail")
    expected = json.loads(command_json(music, monkeypatch, "words.mp3"))
    assert status == 422
    row, wanted = answer["files"][0], expected["files"][0]
    assert row.pop("reason") == reason == wanted.pop("reason").replace(f"{music}/", "")
    assert answer == expected
    status, _, text = send(server, "/predict?strict=true&name=cut", (music / "cut.wav").read_bytes())
    assert (status, json.loads(text)["files"][0]["status"]) == (422, "failed")


def test_a_crash_a_hang_or_a_bomb_of_the_decoder_costs_its_own_request(
    music: Path, server: ModelServer
) -> None:
    model = server.service.predictions._model
    assert model is not None
    hostile = tuple(replace(job, load=hostile_decoders.load) for job in model.jobs)
    server.service.predictions._model = replace(model, jobs=hostile)  # type: ignore[arg-type]
    try:
        answers: dict[str, tuple[int, dict[str, Any]]] = {}

        def ask(name: str) -> None:
            content = (music / f"{name}.wav").read_bytes()
            status, _, text = send(server, f"/predict?segment=0&name={name}", content)
            answers[name] = status, json.loads(text)

        threads = [threading.Thread(target=ask, args=(name,)) for name in ("crash", "hang", "bomb", "new")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        server.service.predictions._model = model
    statuses = {name: status for name, (status, _) in answers.items()}
    assert statuses == {"crash": 422, "hang": 422, "bomb": 422, "new": 200}
    assert "worker process died" in answers["crash"][1]["detail"]
    assert "longer than 0.7 s" in answers["hang"][1]["detail"]
    assert "memory" in answers["bomb"][1]["detail"]
    assert [answers[name][1]["files"][0]["stage"] for name in ("crash", "hang")] == ["worker", "worker"]


def test_an_end_at_once_refuses_what_was_begun_and_ends_the_workers(music: Path) -> None:
    server = ModelServer(music / "model", replace(SETTINGS, seconds=60.0))
    ends: list[BaseException] = []

    def run() -> None:
        try:
            server.run()
        except KeyboardInterrupt as interrupt:
            ends.append(interrupt)

    desk, model = server.service.predictions, server.service.model
    hostile = tuple(replace(job, load=hostile_decoders.load) for job in model.jobs)
    desk._model = replace(model, jobs=hostile)  # type: ignore[arg-type]
    thread = threading.Thread(target=run)
    thread.start()
    answers: list[tuple[int, dict[str, str], str]] = []
    content = (music / "hang.wav").read_bytes()  # its worker sleeps for a minute

    def ask() -> None:
        answers.append(send(server, "/predict?segment=0", content))

    clients = [threading.Thread(target=ask) for _ in range(3)]
    for client in clients:
        client.start()
    wait_until(lambda: server.service.admission.n_under_way == 3 and desk._waiting.qsize() == 2)
    (process,) = [worker.process for worker in desk._pools[0]._workers]
    began = time.monotonic()
    server.end()
    for one in (*clients, thread):
        one.join(30)
        assert not one.is_alive()
    assert time.monotonic() - began < 20
    assert [status for status, _, _ in answers] == [503] * 3
    assert {json.loads(text)["detail"].partition(":")[0] for _, _, text in answers} == {
        "The service must go on to answer. It was ended before"
    }
    assert ends[0].__notes__ == ["The service ended at once: requests that were under way have no result."]
    wait_until(lambda: not process.is_alive())
    assert not any(worker.is_alive() for worker in desk._threads)
    assert not server.service.upload_folder.exists()


@pytest.mark.parametrize(
    ("path", "body", "headers", "status"),
    [
        ("/predict", b"", {}, 400),
        ("/predict?confidence=2", b"RIFF", {}, 400),
        ("/predict?segment=-1", b"RIFF", {}, 400),
        ("/predict?segment=1e-300", b"RIFF", {}, 400),
        ("/explain?segment=1e-300", b"RIFF", {}, 400),
        ("/predict?confidence=2", b"x" * 10, {"Host": "evil.example"}, 421),
        ("/predict", b"RIFF", {"Origin": "http://evil.example"}, 403),
        ("/predict", b"RIFF", {"Origin": "null"}, 403),
        ("/explain", b"RIFF", {"Sec_Fetch_Site": "cross-site"}, 403),
        ("/predict", b"x" * 200_001, {}, 413),
        ("/explain", b"x" * 200_001, {}, 413),
        ("/nowhere", b"", {}, 404),
        ("/predict", form(b"", "a.wav")[0], form(b"", "a.wav")[1], 400),
        ("/predict", b"--frontier", form(b"", "a.wav")[1], 400),
        ("/predict", b"no form", form(b"", "a.wav")[1], 400),
        ("/predict", form(b"RIFF", "a.wav")[0][:-6], form(b"", "a.wav")[1], 400),
        ("/predict", form(b"RIFF", None)[0].replace(b'"file"', b'"text"'), form(b"", "a.wav")[1], 400),
        ("/predict", form(b"RIFF", "a")[0][:-4] + form(b"RIFF", "b")[0][10:], form(b"", "")[1], 400),
        ("/predict", b"RIFF", {"Content_Type": "multipart/form-data"}, 400),
    ],
)
def test_what_cannot_be_answered_has_a_status_and_a_sentence(
    server: ModelServer, path: str, body: bytes, headers: dict[str, str], status: int
) -> None:
    received, found, text = send(server, path, body, **headers)
    assert received == status
    assert json.loads(text)["detail"].endswith((".", "docs."))
    assert found["content-security-policy"].startswith("default-src 'none'")
    assert list(server.service.upload_folder.iterdir()) == []
    assert server.service.admission.n_under_way == 0


def test_a_body_without_stated_length_is_cut_off(server: ModelServer) -> None:
    chunks = (b"x" * 50_000 for _ in range(5))
    status, _, _ = send(server, "/predict", chunks, Transfer_Encoding="chunked")  # type: ignore[arg-type]
    assert status == 413
    assert list(server.service.upload_folder.iterdir()) == []


@contextmanager
def begun(
    server: ModelServer, length: int, beginning: bytes, host: str = "localhost"
) -> Iterator[socket.socket]:
    """A connection with a request to predict, whose body has begun."""
    address, port = server.url.removeprefix("http://").rsplit(":", 1)
    with socket.create_connection((address, int(port)), timeout=10) as connection:
        head = f"POST /predict HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n"
        connection.sendall(head.encode() + beginning)
        yield connection


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


@pytest.mark.parametrize(("bound", "reason"), [("SILENCE_S", "may pause"), ("UPLOAD_S", "may take")])
def test_a_slow_body_is_cut_off(
    server: ModelServer, monkeypatch: pytest.MonkeyPatch, bound: str, reason: str
) -> None:
    monkeypatch.setattr(f"quintet.serving.uploads.{bound}", 0.05)
    with begun(server, 9, b"RIFF") as slow:
        if bound == "UPLOAD_S":
            wait_until(lambda: list(server.service.upload_folder.iterdir()))
            time.sleep(0.1)
            slow.sendall(b"more")
        response = b""
        while b"}" not in response:
            part = slow.recv(4096)
            assert part
            response += part
    assert response.startswith(b"HTTP/1.1 408")
    assert reason.encode() in response
    assert list(server.service.upload_folder.iterdir()) == []


def test_a_client_that_leaves_within_its_body_is_no_fault_of_the_service(music: Path) -> None:
    statuses: list[int] = []
    with running(music, observer=lambda method, path, status, seconds: statuses.append(status)) as server:
        with begun(server, 9, b"RIFF"):
            wait_until(lambda: server.service.admission.n_under_way)
        wait_until(lambda: statuses)
        assert list(server.service.upload_folder.iterdir()) == []
    assert statuses == [499]


def test_no_fault_names_the_file_of_an_upload(server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(upload: Upload, _options: object) -> Future[Any]:
        answer: Future[Any] = Future()
        answer.set_exception(MachineError(f"There must be room for {upload.path}."))
        return answer

    monkeypatch.setattr(server.service, "ask", ask)
    status, _, text = send(server, "/predict?name=song.mp3", b"sound")
    assert (status, json.loads(text)["detail"]) == (503, "There must be room for song.mp3.")
    assert list(server.service.upload_folder.iterdir()) == []


def test_names_of_uploads_are_shown_and_never_paths(music: Path, server: ModelServer) -> None:
    sound = (music / "new.wav").read_bytes()
    names = {
        "../../etc/<b>.wav": "<b>.wav",
        "C:\\music\\song.wav": "song.wav",
        "..": "recording",
        "\u202egnp.wav": "\\u202egnp.wav",
    }
    for name, shown in names.items():
        body, content_type = form(sound, name)
        answer = json.loads(send(server, "/predict", body, **content_type)[2])
        assert answer["files"][0]["file"] == shown
    assert json.loads(send(server, "/predict", sound)[2])["files"][0]["file"] == "recording"


def test_more_requests_than_the_queue_holds_are_refused_with_a_time(music: Path) -> None:
    sound = (music / "new.wav").read_bytes()
    with running(music, replace(SETTINGS, queue=1)) as server:
        with begun(server, len(sound), sound[:100], host="x") as slow:
            assert slow.recv(12) == b"HTTP/1.1 421"  # a wrong name holds no place
        with begun(server, len(sound), sound[:100]) as slow:
            wait_until(lambda: server.service.admission.n_under_way)
            status, headers, text = send(server, "/predict", sound)
            assert (status, int(headers["retry-after"])) == (503, 1)
            assert "At most 1 requests" in json.loads(text)["detail"]
            assert send(server, "/health", method="GET")[0] == 200
            server.stop()  # what was begun is answered
            slow.sendall(sound[100:])
            assert slow.recv(12) == b"HTTP/1.1 200"
    assert not server.service.upload_folder.exists()


def test_a_client_that_goes_away_is_not_worked_for() -> None:
    future: Future[int] = Future()

    async def gone() -> dict[str, str]:
        return {"type": "http.disconnect"}

    with pytest.raises(Refusal):
        asyncio.run(asyncio.wait_for(serving_app._result(future, gone), 5))
    assert future.cancelled()


def test_what_waits_is_predicted_together_and_a_fault_costs_one(server: ModelServer, music: Path) -> None:
    desk, model = server.service.predictions, server.service.model
    sizes: list[int] = []
    entered, may_go = threading.Event(), threading.Event()

    class Slow:
        def describe(self, *arguments: Any, **options: Any) -> Any:
            return model.describe(*arguments, **options)

        def predict(self, described: Any) -> Any:
            entered.set()
            may_go.wait(20)
            sizes.append(len(described))
            if any(task.name == "bad" for task, _ in described):
                raise ValueError("a fault of the model")
            return model.predict(described)

    desk._model = Slow()  # type: ignore[assignment]
    try:
        files = {"first": "new.wav", "a": "data/low/0.wav", "bad": "new.wav", "b": "long.wav"}
        questions = [Question(model.task(name, str(music / file), 0.6)) for name, file in files.items()]
        desk.ask(questions[0])
        assert entered.wait(20)
        for question in questions[1:]:
            desk.ask(question)
        wait_until(lambda: desk._described.qsize() == 3)
        may_go.set()
        kinds = [type(question.answer.exception(20)) for question in questions]
    finally:
        desk._model = model
    assert kinds == [type(None), type(None), ValueError, type(None)]
    assert sizes == [1, 3, 1, 1, 1]
    described = [(question.task, model.describe(question.task, desk._pools[0])) for question in questions]
    for together, recording in zip(model.predict(described), described, strict=True):
        (alone,) = model.predict([recording])
        assert len(together.rows) == len(alone.rows) == len(alone.probabilities)
        np.testing.assert_allclose(together.probabilities, alone.probabilities, atol=1e-12)
        np.testing.assert_allclose(together.distances, alone.distances, atol=1e-12)


def test_an_idle_worker_stays_and_one_that_is_gone_is_replaced() -> None:
    def worker(pool: WorkerPool) -> object:
        pool.submit(os.getpid)
        (event,) = pool.events()
        return event.value

    with WorkerPool(1) as pool:
        first = worker(pool)
        _keep_warm(pool)
        assert worker(pool) == first
        os.kill(first, signal.SIGKILL)  # type: ignore[arg-type]
        _keep_warm(pool)
        assert pool.n_under_way == 0
        assert worker(pool) not in (first, os.getpid())


def test_the_page_of_an_explanation_has_its_policy_as_a_header(
    server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str, float | None]] = []

    def ask(path: str, name: str, segment_s: float | None) -> Future[str]:
        asked.append((Path(path).read_text(), name, segment_s))
        answer: Future[str] = Future()
        policy = "default-src &#39;none&#39;; script-src &#39;sha256-x&#39;"
        answer.set_result(f'<meta http-equiv="Content-Security-Policy" content="{policy}">')
        return answer

    monkeypatch.setattr(server.service.explanations, "ask", ask)
    status, headers, _ = send(server, "/explain?name=a/b.wav&segment=2", b"sound")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert headers["content-security-policy"] == (
        "default-src 'none'; script-src 'sha256-x'; frame-ancestors 'none'"
    )
    assert asked == [("sound", "b.wav", 2.0)]
    assert list(server.service.upload_folder.iterdir()) == []


@pytest.mark.parametrize("change", ["deleted", "replaced", "deleted within"])
def test_a_model_folder_that_is_another_one_now_has_no_explanations(
    music: Path, tmp_path: Path, change: str
) -> None:
    folder, sound = tmp_path / "model", (music / "new.wav").read_bytes()
    shutil.copytree(music / "model", folder)
    with running(tmp_path) as server:
        if change == "replaced":
            (folder / "bundle.json").write_text("{}")
        elif change == "deleted":
            shutil.rmtree(folder)
        else:  # after the first look
            pool = server.service.explanations._pool
            pool.submit = lambda *_: WorkerPool.submit(pool, shutil.rmtree, folder / "x")  # type: ignore[assignment]
            look = server.service.explanations._require_folder
            looks = iter((lambda: None, lambda: (shutil.rmtree(folder), look())))
            server.service.explanations._require_folder = lambda: next(looks)()  # type: ignore[assignment]
        status, _, text = send(server, "/explain", sound)
        assert (status, json.loads(text)["detail"]) == (
            500,
            "The model folder must be the one that the service has loaded. It was replaced or deleted "
            "meanwhile: start the service again.",
        )
        assert send(server, "/predict", sound)[0] == 200


@pytest.mark.parametrize(("clip_mb", "bound_mb"), [("500", 2000), ("0", 0)])
def test_an_explanation_may_take_four_times_the_memory_of_a_clip(
    music: Path, monkeypatch: pytest.MonkeyPatch, clip_mb: str, bound_mb: float
) -> None:
    monkeypatch.setenv("QUINTET_CLIP_MEMORY_MB", clip_mb)
    assert ExplanationDesk(music / "model")._pool.bounds.memory_mb == bound_mb


def test_the_description_is_complete_and_loads_nothing_from_elsewhere(server: ModelServer) -> None:
    description = json.loads(send(server, "/openapi.json", method="GET")[2])
    assert sorted(description["paths"]) == ["/explain", "/health", "/predict"]
    post = description["paths"]["/predict"]["post"]
    assert {entry["name"] for entry in post["parameters"]} == {"name", "confidence", "segment", "strict"}
    assert set(post["requestBody"]["content"]) == {"application/octet-stream", "multipart/form-data"}
    assert {"200", "413", "422", "503"} <= set(post["responses"])
    status, headers, page = send(server, "/docs", method="GET")
    assert status == 200
    assert "<script" not in page
    assert not re.search(r"(?:src|href)=[\"']?(?:https?:)?//", page)
    assert "script-src" not in headers["content-security-policy"]
    assert headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")
    assert "/predict?confidence=0.9" in page
    assert "&lt;x&gt;" in docs_page({"info": {"title": "<x>"}, "paths": {}})
    assert send(server, "/", method="GET")[1]["location"] == "/docs"
    statuses = [send(server, path, method="HEAD")[0] for path in ("/", "/docs", "/openapi.json", "/predict")]
    assert statuses == [307, 200, 200, 405]
    assert send(server, "/health", method="OPTIONS")[0] == 405


def test_health_names_the_model(server: ModelServer) -> None:
    _, headers, text = send(server, "/health", method="GET")
    assert send(server, "/health", method="HEAD") == (200, headers | {"date": ANY}, "")
    health = json.loads(text)
    assert health["status"] == "ok"
    assert (health["model"], health["frozen"], health["queue"]) == ("model", True, 8)
    assert (health["classes"], health["members"]) == (
        ["high", "low"],
        ["logistic_regression", "random_forest"],
    )


@pytest.mark.parametrize(
    ("host", "is_fine"),
    [
        ("127.0.0.1:8000", True),
        ("[::1]:8000", True),
        ("LOCALHOST", True),
        ("music.example", True),
        ("evil.example", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("", False),
        ("localhost,evil.example", False),
        ("evil@localhost", False),
        ("localhost:x", False),
        ("localhost/evil", False),
    ],
)
def test_the_host_is_a_number_or_a_known_name(host: str, is_fine: bool) -> None:
    gate = Gate(None, ("Music.example",))  # type: ignore[arg-type]
    if is_fine:
        gate.check("GET", {"host": host})
        gate.check("POST", {"host": host, "origin": f"http://{host.lower()}"})
        return
    with pytest.raises(Refusal) as refused:
        gate.check("GET", {"host": host})
    assert refused.value.status == 421


def test_the_time_to_wait_grows_with_the_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("quintet.serving.gate.time.monotonic", lambda: clock[0])
    admission = Admission(3, n_workers=1)
    for _ in range(60):
        with admission.enter():
            clock[0] += 4.0
    with admission.enter(), admission.enter(), admission.enter():
        with pytest.raises(Refusal) as refused, admission.enter():
            pass
        assert refused.value.retry_after_s == 12
    assert admission.n_under_way == 0


def test_settings_that_cannot_be_served_are_refused(music: Path) -> None:
    with pytest.raises(ConfigError, match="queue must be"):
        ServeSettings(queue=0)
    with pytest.raises(ConfigError, match="between 0 and 1"):
        ModelServer(music / "model", replace(SETTINGS, confidence=2.0))
    with pytest.raises(ConfigError, match="as long as an analysis frame"):
        ModelServer(music / "model", replace(SETTINGS, segment_s=1e-300))
    with pytest.raises(MachineError, match="port free"):
        ModelServer(music / "model", replace(SETTINGS, host="192.0.2.1"))
    with pytest.raises(ArtefactError, match="finished model"):
        ModelServer(music / "data", SETTINGS)


@pytest.mark.parametrize("library", ["fastapi", "uvicorn"])
def test_without_the_extra_a_sentence_says_what_to_install(
    music: Path, monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    before = {thread.name for thread in threading.enumerate()}
    with pytest.raises(MissingExtraError, match=r"quintet-music\[serve\]"):
        ModelServer(music / "model", SETTINGS)
    assert {thread.name for thread in threading.enumerate()} <= before
