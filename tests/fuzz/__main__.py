"""Fuzz the readers of strangers' files: `python -m tests.fuzz --minutes 60 --target model_folders`.

Each try is made by its own number (`--start`), which is written to `last.txt` before it, so that a try that
kills the process can be made again with `--start NUMBER --count 1`. A try that raises, takes too long, makes
a process grow beyond 1.5 GB or writes outside of the scratch folder is a finding: its folder is kept. Several
runs with other numbers add up in the folder of the findings.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import numpy as np

from quintet.audio.isolation.processes import may_fork
from tests.fuzz.scratch import REPORT, OutsideError, confine
from tests.fuzz.target import TARGETS, Target
from tests.fuzz.watch import watch

MEGABYTES = 1500
ADDRESS_SPACE = 8 << 30
"""Bytes that the process may reserve: a try that asks for more raises, and the machine survives."""
NOTE_S = 30
"""Seconds between two notes of what was done."""


def memory_mb() -> float:
    """Largest memory so far of this process or of a worker process that has ended, MB."""
    peaks = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return max(peaks) / (1e6 if sys.platform == "darwin" else 1e3)


@dataclass
class Fuzzing:
    """Tries of a target, and what came of them.

    Args:
        target: the target.
        output: folder of the findings and of the counts.
        scratch: folder in which everything else is written.
        start: number of the first try.
    """

    target: Target
    output: Path
    scratch: Path
    start: int
    tries: int = 0
    outcomes: collections.Counter[str] = field(default_factory=collections.Counter)

    def run(self, *, count: int, minutes: float) -> int:
        """Run tries until the count or the time is used up; print what came of them; return the findings."""
        seeds = self.scratch / "seeds"
        seeds.mkdir()
        run = self.target.load(seeds)
        watch(self._log)
        confine(self.scratch, self.output)
        end = noted = time.monotonic()
        end += 60 * minutes
        while self.tries < count and time.monotonic() < end:
            number = self.start + self.tries
            (self.output / "last.txt").write_text(f"{self.target.name} {number}")
            folder = self.scratch / f"{self.target.name}-{number}"
            folder.mkdir()
            found = self._try(run, number, folder)
            self.outcomes += found
            self.tries += 1
            if any(outcome.startswith("FINDING") for outcome in found):
                kept = self.output / folder.name
                shutil.copytree(folder, kept, symlinks=True, dirs_exist_ok=True)
            shutil.rmtree(folder, ignore_errors=True)
            if time.monotonic() > noted + NOTE_S:
                self._note()
                noted = time.monotonic()
        self._note()
        print(f"all runs: {json.dumps(totals(self.output, self.target.name))}", flush=True)
        return sum(n for outcome, n in self.outcomes.items() if outcome.startswith("FINDING"))

    def _try(self, run: object, number: int, folder: Path) -> collections.Counter[str]:
        assert callable(run)
        before = memory_mb()
        signal.signal(signal.SIGALRM, _too_long)
        signal.alarm(self.target.seconds)
        try:
            found = collections.Counter(run(np.random.default_rng(number), folder))
        except (Exception, OutsideError) as error:  # noqa: BLE001  every exception is a finding
            signal.alarm(0)
            found = collections.Counter([f"FINDING {type(error).__name__}"])
            print(f"try {number}: {traceback.format_exc()}", flush=True)
        signal.alarm(0)
        if memory_mb() > MEGABYTES and memory_mb() > before + 50:
            found["FINDING memory"] += 1
        outside = self.scratch / REPORT
        if outside.exists():
            found["FINDING outside"] += 1
            print(f"try {number}: {outside.read_text()}", flush=True)
            outside.unlink()
        return found

    @property
    def _log(self) -> Path:
        return self.output / f"{self.target.name}-{self.start}.watch.jsonl"

    def _note(self) -> None:
        """Write the counts down, and print them."""
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        watched = [json.loads(line) for line in lines]
        counts = {
            "target": self.target.name,
            "start": self.start,
            "tries": self.tries,
            "outcomes": dict(sorted(self.outcomes.items())),
            "sees_workers": may_fork(),  # the peak of a worker counts if this process forks it
            "peak_mb": round(max([memory_mb(), *(line["peak_mb"] for line in watched)])),
            "longest": max(watched, key=lambda line: line["seconds"], default=None),
        }
        place = self.output / f"{self.target.name}-{self.start}.json"
        place.with_suffix(".new").write_text(json.dumps(counts))
        place.with_suffix(".new").replace(place)
        print(json.dumps(counts), flush=True)


def totals(output: Path, target: str) -> dict[str, object]:
    """Sums of the counts of all runs of a target, with the largest peak and the longest file."""
    runs = [json.loads(path.read_text()) for path in output.glob(f"{target}-*.json")]
    outcomes: collections.Counter[str] = collections.Counter()
    for run in runs:
        outcomes.update(run["outcomes"])
    return {
        "runs": len(runs),
        "tries": sum(run["tries"] for run in runs),
        "outcomes": dict(sorted(outcomes.items())),
        "peak_mb": max((run["peak_mb"] for run in runs), default=0),
        "longest_s": max((run["longest"]["seconds"] for run in runs if run["longest"]), default=0),
    }


def _too_long(signal_number: int, frame: FrameType | None) -> None:
    raise TimeoutError("a try took too long")


def main() -> int:
    """Fuzz the targets that the command line names, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=5.0, help="time for each target")
    parser.add_argument("--target", choices=[target.name for target in TARGETS], action="append")
    parser.add_argument("--start", type=int, default=0, help="number of the first try")
    parser.add_argument("--count", type=int, default=1_000_000_000, help="number of tries of each target")
    parser.add_argument("--output", type=Path, default=Path("fuzz-findings"), help="folder of the findings")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, resource.getrlimit(resource.RLIMIT_AS)[1]))
    output = arguments.output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    findings = 0
    for target in TARGETS:
        if arguments.target is None or target.name in arguments.target:
            findings += _apart(target, output, arguments)
    return 1 if findings else 0


def _apart(target: Target, output: Path, arguments: argparse.Namespace) -> int:
    """Fuzz a target in a forked process, whose death counts as a finding, and remove its scratch folder."""
    scratch = Path(tempfile.mkdtemp(prefix="quintet-fuzz-")).resolve()
    process = os.fork()
    if not process:
        tempfile.tempdir = os.environ["TMPDIR"] = str(scratch)
        os.environ["QUINTET_CACHE_DIR"] = str(output / "cache")
        os.environ["MPLCONFIGDIR"] = str(output / "cache" / "matplotlib")
        os.chdir(scratch)
        fuzzing = Fuzzing(target, output, scratch, arguments.start)
        found = 1
        try:
            found = int(fuzzing.run(count=arguments.count, minutes=arguments.minutes) > 0)
        except BaseException:  # noqa: BLE001  this process ends here
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(found)
    _, status = os.waitpid(process, 0)
    shutil.rmtree(scratch, ignore_errors=True)
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        print(
            f"{target.name}: FINDING signal {-code} in the try that {output / 'last.txt'} names", flush=True
        )
    return abs(code)


if __name__ == "__main__":
    sys.exit(main())
