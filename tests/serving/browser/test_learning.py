"""Trainings that the page starts: one at a time, with progress, only by whoever has the token."""

from __future__ import annotations

import errno
import json
import os
import threading
import time
from collections.abc import Callable
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from quintet.errors import ConfigError, MachineError
from quintet.library.store import Library
from quintet.serving.browser import learning
from quintet.serving.browser.learning import LearningDesk
from quintet.serving.browser.shelf import Shelf

from .made_library import make_library
from .test_shelf import HOST, KEY, ask

Work = Callable[..., None]


class ThreadProcess:
    """A thread in the place of a process."""

    def __init__(self, target: Work, connection: Connection, *arguments: str) -> None:
        self.own = Connection(os.dup(connection.fileno()))
        self.is_killed = False
        self.thread = threading.Thread(target=target, args=(self.own, *arguments), daemon=True)
        self.thread.start()

    def join(self) -> None:
        self.thread.join(10)

    def kill(self) -> None:
        self.is_killed = True
        self.own.close()


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    make_library(tmp_path, 12)
    monkeypatch.setattr(learning, "start_process", ThreadProcess)
    return Shelf(tmp_path / "my.library")


def phase(desk: LearningDesk) -> str:
    """The phase when nothing runs any more."""
    for _ in range(400):
        if desk.state()["phase"] != "running":
            break
        time.sleep(0.01)
    return str(desk.state()["phase"])


def finish(connection: Connection, folder: str, model: str) -> None:
    connection.send({"step": "Judging", "done": 1, "total": 2})
    connection.send({"result": {"words": ["It helped."], "model": model}})
    connection.close()


def test_progress_outcome_and_use(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()

    def wait_and_finish(connection: Connection, folder: str, model: str) -> None:
        connection.send({"step": "Training: svm", "done": 3, "total": 0})
        go_on.wait(10)
        finish(connection, folder, model)

    monkeypatch.setattr(learning, "retrain_for_page", wait_and_finish)
    monkeypatch.setattr(learning, "use_for_page", finish)
    desk = shelf.learning
    with pytest.raises(ConfigError, match="trained before it is used"):
        desk.use()
    assert desk.begin()["phase"] == "running"
    with pytest.raises(ConfigError, match="One does"):
        desk.begin()
    with pytest.raises(ConfigError, match="One does"):
        desk.use()
    while desk.state()["done"] != 3:
        time.sleep(0.01)
    go_on.set()
    assert phase(desk) == "done"
    assert desk.state()["result"]["words"] == ["It helped."]
    before = shelf.view
    desk.use()
    assert phase(desk) == "used"
    assert shelf.view is not before


def test_a_training_is_stopped_and_leaves_nothing(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    def begin_a_model(connection: Connection, folder: str, model: str) -> None:
        Path(model).mkdir()
        Path(model, "half").write_text("x")
        (Path(model).parent / f".{Path(model).name}.lock").touch()
        connection.send({"step": "Training: svm", "done": 1, "total": 0})

    monkeypatch.setattr(learning, "retrain_for_page", begin_a_model)
    desk, path = shelf.learning, "/api/retrain/stop"
    assert ask(shelf, path, body={})[0] == 400  # nothing runs
    desk.begin()
    while desk.state()["done"] != 1:
        time.sleep(0.01)
    for headers in (HOST, {**KEY, "origin": "http://evil.example"}):
        assert ask(shelf, path, headers, {})[0] in (401, 403)
    assert ask(shelf, path)[0] == 405
    assert desk.state()["can_stop"]
    assert ask(shelf, path, body={})[0] == 200
    assert phase(desk) == "stopped"
    assert list((shelf.folder / learning.MODELS_FOLDER).iterdir()) == []
    with pytest.raises(ConfigError, match="trained before"):
        desk.use()
    monkeypatch.setattr(learning, "retrain_for_page", finish)
    monkeypatch.setattr(learning, "use_for_page", begin_a_model)
    desk.begin()
    assert phase(desk) == "done"
    desk.use()
    while desk.state()["done"] != 1:
        time.sleep(0.01)
    assert ask(shelf, path, body={})[0] == 400  # predictions are written
    assert desk._process is not None
    desk._process.kill()
    assert phase(desk) == "failed"
    assert (shelf.folder / learning.MODELS_FOLDER / "model-1" / "half").exists()


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        ({"reason": "A genre map must be a TOML file."}, "TOML"),
        (None, "memory of the machine"),
    ],
)
def test_a_training_that_fails_says_why(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, sent: dict | None, reason: str
) -> None:
    def fail(connection: Connection, folder: str, model: str) -> None:
        if sent is not None:
            connection.send(sent)
        connection.close()

    monkeypatch.setattr(learning, "retrain_for_page", fail)
    shelf.learning.begin()
    assert phase(shelf.learning) == "failed"
    assert reason in shelf.learning.state()["reason"]
    shelf.learning.begin()  # another one may start


def test_a_training_on_a_full_disk_says_where_to_make_room(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> Library:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(learning.Library, "open", fail)
    ours, theirs = Pipe(duplex=False)
    learning.retrain_for_page(theirs, str(shelf.folder), "model")
    assert "make room where the library" in ours.recv()["reason"]


def test_a_training_whose_process_does_not_start_can_be_tried_again(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise MachineError("A worker process must start. The system refuses it.")

    monkeypatch.setattr(learning, "start_process", refuse)
    for _ in range(2):
        with pytest.raises(MachineError, match="must start"):
            shelf.learning.begin()
        assert shelf.learning.state() == {"phase": "none"}


def test_models_that_the_library_does_not_use_are_removed(shelf: Shelf, tmp_path: Path) -> None:
    place = shelf.folder / learning.MODELS_FOLDER
    for name in ("model-1", "model-2", "model-x", "mine"):
        (place / name).mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (place / "model-3").symlink_to(tmp_path / "elsewhere")
    library = shelf.view.library
    library.facts.model = {"path": str((place / "model-2").absolute()), "classes": []}
    library.write_facts()
    assert shelf.learning._new_model().name == "model-4"
    assert not (place / "model-1").exists()
    assert (place / "model-2").exists()
    assert (place / "mine").exists()
    assert (tmp_path / "elsewhere").exists()


def test_nobody_else_starts_a_training(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the token, under another name, from another page, with another method or a body without end."""
    go_on = threading.Event()

    def wait_and_finish(connection: Connection, folder: str, model: str) -> None:
        go_on.wait(10)
        finish(connection, folder, model)

    monkeypatch.setattr(learning, "retrain_for_page", wait_and_finish)
    for path in ("/api/retrain", "/api/retrain/use"):
        assert ask(shelf, path, HOST, {})[0] == 401
        assert ask(shelf, path, {**HOST, "authorization": "Bearer wrong"}, {})[0] == 401
        assert ask(shelf, path, {**KEY, "host": "evil.example"}, {})[0] == 421
        assert ask(shelf, path, {**KEY, "origin": "http://evil.example"}, {})[0] == 403
        assert ask(shelf, path, {**KEY, "sec-fetch-site": "cross-site"}, {})[0] == 403
        assert ask(shelf, path, body={"x": "x" * (5 << 20)})[0] == 413
        assert ask(shelf, path, body=[])[0] == 400
    assert ask(shelf, "/api/retrain/use")[0] == 405
    for path in ("/api/retrain/../songs", "/api/retrain/%2e%2e/x", "/api/retrain/use/model-1"):
        assert ask(shelf, path, body={})[0] == 404
    assert shelf.learning.state() == {"phase": "none"}
    assert not (shelf.folder / learning.MODELS_FOLDER).exists()
    status, _, data = ask(shelf, "/api/retrain", body={"model": "/etc", "folder": "/"})
    assert (status, json.loads(data)["phase"]) == (200, "running")
    go_on.set()
    assert phase(shelf.learning) == "done"
    model = Path(shelf.learning.state()["result"]["model"])
    assert model.parent == (shelf.folder / learning.MODELS_FOLDER).absolute()


def test_no_endpoint_of_columns_answers_without_the_token(shelf: Shelf) -> None:
    for path in ("/api/songs", "/api/texts", "/api/map", "/api/retrain", "/api/state"):
        assert ask(shelf, path, HOST)[0] == 401
        assert ask(shelf, path, {**KEY, "host": "evil.example"})[0] == 421
        assert ask(shelf, path)[0] == 200
