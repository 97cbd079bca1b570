"""Runs of `library tags` that are killed, and the journals that they leave."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path


def journals(folder: Path) -> list[Path]:
    """Journals of runs of the plan, in their order."""
    found = folder.glob("plan.journal-*.jsonl")
    return sorted(
        (path for path in found if ".undo-" not in path.name), key=lambda p: int(p.stem.split("-")[-1])
    )


def every_journal(folder: Path) -> list[Path]:
    """Journals of runs and of their undoing."""
    return sorted(folder.glob("plan.journal-*.jsonl"))


def lines_of(paths: list[Path]) -> list[dict[str, object]]:
    """The whole lines of journals."""
    found = []
    for path in paths:
        found += [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]
    return found


def n_done(paths: list[Path]) -> int:
    """Number of files that are finished by journals."""
    return sum(line.get("event") == "done" for line in lines_of(paths))


def run_and_kill(
    words: list[str], rng: random.Random, folder: Path, *, jobs: int = 1, most_done: int = 0, within_s: float
) -> bool:
    """Run the command, and kill it some time after it has begun a journal. Whether it was killed.

    Args:
        words: after `quintet library tags`.
        rng: draws the moment.
        folder: folder of the journals.
        jobs: worker processes.
        most_done: the journal has a random number of finished files, at most this, before the last seconds.
        within_s: the kill comes at a random moment of so many seconds.
    """
    before = set(every_journal(folder))
    process = subprocess.Popen(
        [sys.executable, "-m", "quintet", "library", "tags", *words, "--jobs", str(jobs), "-q"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    n_done = rng.randint(0, most_done)
    while process.poll() is None and not _has_done(set(every_journal(folder)) - before, n_done):
        time.sleep(0.002)
    time.sleep(rng.uniform(0, within_s))
    process.send_signal(signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


def _has_done(new: set[Path], n_done: int) -> bool:
    return bool(new) and sum(path.read_bytes().count(b'"event": "done"') for path in new) >= n_done
