"""Fuzz the readers of strangers' files: `python -m tests.fuzz --minutes 60 --target model_folders`.

Each try is made by its own number (`--start`), which is written to `last.txt` before it, so that a try that
kills the process can be made again with `--start NUMBER --count 1`. A try that raises, takes longer than 60 s
or makes the process grow beyond 1.5 GB is a finding: its folder is kept.
"""

from __future__ import annotations

import argparse
import collections
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path
from types import FrameType

import numpy as np

from tests.fuzz.target import TARGETS, Target

SECONDS = 60
MEGABYTES = 1500
ADDRESS_SPACE = 8 << 30
"""Bytes that the process may reserve: a try that asks for more raises, and the machine survives."""


def memory_mb() -> float:
    """Largest memory of this process so far, MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)


def fuzz(target: Target, output: Path, *, start: int, count: int, minutes: float) -> int:
    """Run tries until the count or the time is used up; print what came of them, and return the findings."""
    output.mkdir(parents=True, exist_ok=True)
    run = target.load(Path(tempfile.mkdtemp(prefix="quintet-seeds-")))
    outcomes: collections.Counter[str] = collections.Counter()
    findings, end = 0, time.monotonic() + 60 * minutes
    signal.signal(signal.SIGALRM, _too_long)
    number = start
    while number < start + count and time.monotonic() < end:
        (output / "last.txt").write_text(str(number))
        folder = Path(tempfile.mkdtemp(prefix="quintet-fuzz-"))
        signal.alarm(SECONDS)
        before = memory_mb()
        try:
            outcome = run(np.random.default_rng(number), folder)
        except Exception as error:  # noqa: BLE001 - every exception is a finding
            signal.alarm(0)
            outcome = f"FINDING {type(error).__name__}"
            trace = traceback.format_exc()
            print(f"try {number}: {trace}", flush=True)
        signal.alarm(0)
        if memory_mb() > MEGABYTES and memory_mb() > before + 50:
            outcome = f"FINDING memory {memory_mb():.0f} MB"
            print(f"try {number}: {outcome}", flush=True)
        outcomes[outcome] += 1
        if outcome.startswith("FINDING"):
            findings += 1
            shutil.copytree(folder, output / f"{target.name}-{number}", symlinks=True, dirs_exist_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        number += 1
        if number % 500 == 0:
            print(
                f"{target.name}: {number - start} tries, {dict(outcomes)}, {memory_mb():.0f} MB", flush=True
            )
    print(f"{target.name}: {number - start} tries, {dict(outcomes)}, {memory_mb():.0f} MB", flush=True)
    return findings


def _too_long(signal_number: int, frame: FrameType | None) -> None:
    raise TimeoutError(f"a try took more than {SECONDS} s")


def main() -> int:
    """Fuzz the targets that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=5.0, help="time for each target")
    parser.add_argument("--target", choices=[target.name for target in TARGETS], action="append")
    parser.add_argument("--start", type=int, default=0, help="number of the first try")
    parser.add_argument("--count", type=int, default=1_000_000_000, help="number of tries of each target")
    parser.add_argument("--output", type=Path, default=Path("fuzz-findings"), help="folder of the findings")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, resource.getrlimit(resource.RLIMIT_AS)[1]))
    findings = 0
    for target in TARGETS:
        if arguments.target is None or target.name in arguments.target:
            findings += fuzz(
                target,
                arguments.output,
                start=arguments.start,
                count=arguments.count,
                minutes=arguments.minutes,
            )
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
