"""The service: time of an answer, fifty clients at once, memory over ten thousand requests. See README.md.

python -m benchmarks.serving [--run FOLDER] [--rounds 50] [--requests 10000] [--source FOLDER]

FOLDER is the output of `quintet run recipes/demo.toml` (five members, one a network); without it, one is made
(two minutes). The recording is an mp3 of 10 s, stereo, 44.1 kHz. *One after another*: the time of a request,
connection included, beside that of `quintet predict --json` of the same file, in turn. *At once*: fifty
clients, each with one request. *Memory*: the proportional memory (PSS) of the service and its workers after a
tenth of the requests and after all of them; four clients at a time send recordings of 2 s. Linux only.

The time of an answer means something on a machine without other work only; the commands beside it show
whether there was any (a prediction takes .8 s or less).
"""

from __future__ import annotations

import argparse
import http.client
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.commands import demo_run, spend
from benchmarks.music import REAL_MUSIC, recording, write_recording

SECONDS, SHORT = 10.0, 2.0
CLIENTS, AT_A_TIME = 50, 4
COMMANDS = 5
"""Runs of `quintet predict`."""
TARGETS = {"median_ms": 60.0, "errors": 0, "growth_mb": 10.0}


@dataclass(frozen=True)
class Running:
    """A service as a process.

    Args:
        number: its process id.
        port: its port.
    """

    number: int
    port: int

    def ask(self, sound: bytes) -> int:
        """Send a recording, read the answer, and return its status."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        try:
            connection.request("POST", "/predict?name=clip.mp3", sound)
            response = connection.getresponse()
            response.read()
            return response.status
        finally:
            connection.close()

    def memory_mb(self) -> float:
        """Proportional memory of the service and all its descendants, MB."""
        numbers, n_bytes = [self.number], 0
        for number in numbers:
            try:
                text = Path(f"/proc/{number}/smaps_rollup").read_text()
                tasks = list(Path(f"/proc/{number}/task").glob("*/children"))
                numbers += [int(child) for task in tasks for child in task.read_text().split()]
            except OSError:  # it has ended
                continue
            n_bytes += 1024 * int(text.split("\nPss:")[1].split()[0])
        return n_bytes / 2**20


@contextmanager
def running(model: Path) -> Iterator[Running]:
    """`quintet serve` until the block ends."""
    words = [sys.executable, "-m", "quintet", "serve", str(model), "--port", "0", "--json", "-q"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        lines = [process.stdout.readline()]
        while lines[-1] not in ("}\n", ""):
            lines.append(process.stdout.readline())
        yield Running(process.pid, int(json.loads("".join(lines))["url"].rsplit(":", 1)[1]))
    finally:
        process.terminate()
        process.communicate()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description="Times of the service.")
    parser.add_argument("--run", type=Path, help="output of `quintet run recipes/demo.toml`")
    parser.add_argument("--rounds", type=int, default=50, help="requests one after another")
    parser.add_argument("--requests", type=int, default=10000, help="requests of the measure of memory")
    parser.add_argument("--source", type=Path, default=REAL_MUSIC, help="folder of recordings")
    options = parser.parse_args()
    show(measure(options.run, options.source, rounds=options.rounds, requests=options.requests))


def measure(run: Path | None, source: Path | None, *, rounds: int, requests: int) -> dict[str, Any]:
    """Milliseconds of requests and of commands, statuses of clients at once, memory."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        run = run or demo_run(folder / "run")
        path = write_recording(recording(source, seconds=SECONDS), folder, "stereo mp3")
        sound = path.read_bytes()
        words = ["predict", str(run / "model"), str(path), "--json", "-q"]
        with running(run / "model") as service:
            service.ask(sound)  # the kernels are loaded from here on
            commands_ms, requests_ms = [], []
            for k in range(max(rounds, COMMANDS)):
                if k < COMMANDS:
                    commands_ms.append(_milliseconds(lambda: spend(words)))
                requests_ms.append(_milliseconds(lambda: service.ask(sound)))
            began = time.perf_counter()
            statuses = _many(service, sound, CLIENTS, CLIENTS)
            together_s = time.perf_counter() - began
            result = {
                "commands_ms": commands_ms,
                "requests_ms": requests_ms,
                "statuses": statuses,
                "together_s": together_s,
                "memory_mb": [],
                "requests": requests,
            }
            if requests:
                sound = write_recording(recording(source, seconds=SHORT), folder, "stereo mp3").read_bytes()
                for n in (requests // 10, requests - requests // 10):
                    result["statuses"] = statuses = [*statuses, *_many(service, sound, n, AT_A_TIME)]
                    result["memory_mb"].append(service.memory_mb())
        return result


def _milliseconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - began)


def _many(service: Running, sound: bytes, n: int, n_clients: int) -> list[int]:
    """Statuses of n requests by some clients, each of which sends one after another."""
    statuses: list[int] = []
    numbers = iter(range(n))
    lock = threading.Lock()

    def client() -> None:
        while True:
            with lock:
                if next(numbers, None) is None:
                    return
            try:
                status = service.ask(sound)
            except OSError:
                status = 0
            statuses.append(status)

    threads = [threading.Thread(target=client) for _ in range(n_clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return statuses


def show(result: dict[str, Any]) -> None:
    """Print the results, and whether they meet the targets."""
    low, middle, high = np.percentile(result["requests_ms"], [25, 50, 75])
    commands_ms = float(np.median(result["commands_ms"]))
    _print(
        middle <= TARGETS["median_ms"],
        f"a {SECONDS:g} s mp3: {middle:.0f} ms at the median (quartiles {low:.0f}-{high:.0f}, "
        f"target <= {TARGETS['median_ms']:g}); quintet predict takes {commands_ms:.0f} ms for the same file",
    )
    errors = sum(status != 200 for status in result["statuses"])
    _print(
        errors <= TARGETS["errors"],
        f"{errors} errors in {len(result['statuses'])} requests; {CLIENTS} clients at once are answered "
        f"in {result['together_s']:.2f} s",
    )
    if result["memory_mb"]:
        first, last = result["memory_mb"]
        _print(
            last - first <= TARGETS["growth_mb"],
            f"memory after a tenth of {result['requests']} requests {first:.0f} MB, after all {last:.0f} MB "
            f"(target: growth <= {TARGETS['growth_mb']:g})",
        )


def _print(met: bool, text: str) -> None:
    print(f"{'met    ' if met else 'NOT MET'}  {text}", flush=True)


if __name__ == "__main__":
    main()
