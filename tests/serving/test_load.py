"""The service as a process: signals, deaths of workers, many clients at once, and what it imports."""

from __future__ import annotations

import contextlib
import http.client
import importlib.metadata
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tones import train_on_tones, write_tone

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")]

ROOT = Path(__file__).parents[2]
COMMAND = "from quintet.cli import main; main()"
MODULES = """
import json, sys, threading, urllib.request
from pathlib import Path
from quintet.serving.serve_settings import ServeSettings
from quintet.serving.server import ModelServer
import hostile_decoders

server = ModelServer(Path(sys.argv[1]), ServeSettings(port=0))
thread = threading.Thread(target=server.run)
thread.start()
urllib.request.urlopen(server.url + "/predict", Path(sys.argv[2]).read_bytes()).read()
main = hostile_decoders.loaded_modules()
pool = server.service.predictions._pools[0]
pool.submit(hostile_decoders.loaded_modules)
worker = pool.events()[0].value
server.stop()
thread.join()
print(json.dumps([main, worker]))
"""
FITTING = {"tensorflow", "keras", "sklearn", "xgboost", "pandas", "pyarrow", "shap", "matplotlib"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("music")
    train_on_tones(root)
    return root / "model"


class Running:
    """`quintet serve` as a process."""

    def __init__(self, model: Path, folder: Path, *options: str) -> None:
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        words = ["serve", str(model), "--port", "0", "--json", "-q", "--jobs", "2", *options]
        environment = {**os.environ, "TMPDIR": str(self.temporary), "PYTHONPATH": os.pathsep.join(sys.path)}
        self.process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        assert self.process.stdout is not None
        lines = []
        while not lines or lines[-1] != "}\n":
            lines.append(self.process.stdout.readline())
            assert lines[-1], self.process.communicate()[1]
        self.port = int(json.loads("".join(lines))["url"].rsplit(":", 1)[1])

    def send(self, path: str, body: bytes | None = None) -> tuple[int, dict[str, object]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            connection.request("GET" if body is None else "POST", path, body)
            response = connection.getresponse()
            content = response.read()
            is_page = response.getheader("content-type", "").startswith("text/html")
            return response.status, {"page": content.decode()} if is_page else json.loads(content)
        finally:
            connection.close()

    def children(self) -> list[int]:
        """Process ids of the workers."""
        return children_of(self.process.pid)


@pytest.fixture
def running(model: Path, tmp_path: Path) -> Iterator[Running]:
    running = Running(model, tmp_path)
    try:
        yield running
    finally:
        running.process.kill()
        running.process.communicate()


def send_all(
    running: Running, bodies: dict[str, bytes], path: str = "/predict"
) -> dict[str, tuple[int, object]]:
    """Send several requests at once."""
    answers: dict[str, tuple[int, object]] = {}

    def ask(name: str) -> None:
        status, answer = running.send(f"{path}?name={name}", bodies[name])
        answers[name] = (status, answer)

    threads = [threading.Thread(target=ask, args=(name,)) for name in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def test_fifty_clients_at_once_have_their_own_answers(running: Running, tmp_path: Path) -> None:
    bodies = {f"{k}.wav": write_tone(tmp_path / f"{k}.wav", k).read_bytes() for k in range(50)}
    together = send_all(running, bodies)
    assert {status for status, _ in together.values()} == {200}
    for name, (_, answer) in together.items():
        status, alone = running.send(f"/predict?name={name}", bodies[name])
        (row,), (expected,) = answer["files"], alone["files"]  # type: ignore[index, misc]
        assert status == 200
        assert row["file"] == name
        for key, value in expected.items():
            assert row[key] == (pytest.approx(value, abs=1e-9) if isinstance(value, float) else value)
    assert list(running.temporary.glob("quintet-serve-*/*")) == []


def test_a_worker_that_is_killed_costs_its_own_request(running: Running, tmp_path: Path) -> None:
    """The worker dies twice over the same recording, for it is tried once more; the next one is answered."""
    long = write_tone(tmp_path / "long.wav", 1, seconds=3000.0).read_bytes()
    short = write_tone(tmp_path / "short.wav", 2).read_bytes()
    first = set(running.children())
    answers: dict[str, tuple[int, object]] = {}
    thread = threading.Thread(target=lambda: answers.update(send_all(running, {"long": long})))
    thread.start()
    killed: set[int] = set()
    while thread.is_alive():
        for number in workers_of(running):
            is_at_work = cpu_s(number) > 0.05 and holds_upload(number)
            if is_at_work and number not in killed:
                os.kill(number, signal.SIGKILL)
                killed.add(number)
        time.sleep(0.005)
    assert len(killed) == 2
    assert len(first) >= 2
    status, answer = answers["long"]
    assert status == 422
    assert "worker process died" in answer["detail"]  # type: ignore[index]
    assert running.send("/predict", short)[0] == 200


def children_of(number: int) -> list[int]:
    """Process ids of the children that the threads of a process have started."""
    found = []
    for place in Path(f"/proc/{number}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [int(child) for child in place.read_text().split()]
    return found


def workers_of(running: Running) -> list[int]:
    """Process ids of all descendants."""
    found = running.children()
    for number in found:
        found += children_of(number)
    return found


def cpu_s(number: int) -> float:
    """CPU seconds of a process."""
    try:
        fields = Path(f"/proc/{number}/stat").read_text().rsplit(") ", 1)[1].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def holds_upload(number: int) -> bool:
    """Whether a process has an upload open."""
    try:
        links = [os.readlink(path) for path in Path(f"/proc/{number}/fd").iterdir()]
    except OSError:
        return False
    return any("quintet-serve-" in link for link in links)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_service_when_it_has_answered(
    running: Running, tmp_path: Path, number: signal.Signals
) -> None:
    bodies = {f"{k}.wav": write_tone(tmp_path / f"{k}.wav", k, seconds=60.0).read_bytes() for k in range(8)}
    answers: dict[str, tuple[int, object]] = {}
    thread = threading.Thread(target=lambda: answers.update(send_all(running, bodies)))
    thread.start()
    while running.send("/health")[1]["under_way"] != len(bodies):
        time.sleep(0.002)
    running.process.send_signal(number)
    thread.join()
    assert {status for status, _ in answers.values()} == {200}
    assert len(answers) == len(bodies)
    assert running.process.wait(20) == 0
    with pytest.raises(ConnectionError):
        running.send("/health")
    assert [path for path in running.temporary.rglob("*") if path.is_file()] == []


def test_a_second_interrupt_ends_the_service_at_once(running: Running, tmp_path: Path) -> None:
    long = write_tone(tmp_path / "long.wav", 1, seconds=3000.0).read_bytes()
    answers: dict[str, tuple[int, object]] = {}
    thread = threading.Thread(target=lambda: answers.update(send_all(running, {"a": long, "b": long})))
    thread.start()
    while not any(holds_upload(number) for number in workers_of(running)):
        time.sleep(0.005)
    workers = workers_of(running)
    running.process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    running.process.send_signal(signal.SIGINT)
    assert running.process.wait(20) == 130
    thread.join()
    assert {status for status, _ in answers.values()} == {503}
    error = running.process.stderr.read()  # type: ignore[union-attr]
    assert error.splitlines() == [
        "The service ended at once: requests that were under way have no result.",
        "Interrupted. No unfinished output is left.",
    ]
    assert not [number for number in workers if holds_upload(number)]
    assert list(running.temporary.glob("quintet-serve-*")) == []


def test_the_service_imports_what_its_image_has(model: Path, tmp_path: Path) -> None:
    file = write_tone(tmp_path / "a.wav", 1)
    paths = [str(ROOT), str(Path(__file__).parent), *sys.path]
    done = subprocess.run(
        [sys.executable, "-c", MODULES, str(model), str(file)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=True,
    )
    main, worker = map(set, json.loads(done.stdout))
    assert {"fastapi", "uvicorn", "quintet", "numpy"} <= main
    assert (main | worker) & FITTING == set()
    distributions = importlib.metadata.packages_distributions()
    used = {
        module: {name.lower().replace("_", "-") for name in distributions.get(module, ())}
        for module in main | worker
    }
    image = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / "docker/requirements.lock").read_text(), re.MULTILINE))
    own = {"quintet-music", "quintet", "setuptools"}  # setuptools: its hook in every Python process
    assert used["fastapi"]
    # several distributions share a namespace, such as `opentelemetry`: one of them is enough
    assert {module for module, names in used.items() if names and not names & (own | image)} == set()


def test_an_explanation_is_the_page_of_explain(running: Running, tmp_path: Path) -> None:
    sound = write_tone(tmp_path / "a.wav", 1, seconds=1.5).read_bytes()
    status, answer = running.send("/explain?name=%3Cb%3Esong.wav", sound)
    page = str(answer["page"])
    assert status == 200
    assert "&lt;b&gt;song.wav" in page
    assert "<b>song" not in page
    assert "data:audio/" in page
    assert "numbers/" not in page
    status, answer = running.send("/explain", b"no sound at all")
    assert status == 422
    assert str(running.temporary) not in str(answer["detail"])
    assert list(running.temporary.glob("quintet-serve-*/*")) == []
