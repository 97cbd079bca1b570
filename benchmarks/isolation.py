"""CPU time of isolation: worker processes that may die, over the same work in one process. See README.md.

python -m benchmarks.isolation [--part extract] [--rounds 7] [--clips 10000] [--source FOLDER] [--core N]

*One clip*: `quintet predict MODEL CLIP` as a command, with and without worker processes, in turn. *Many*:
`extract` of many short clips with one worker process and in the process itself (`n_jobs=0`), in turn. CPU
time (user and system) is that of all processes of a run. Both kinds of a round follow one another, the other
one first in every second round, and are compared with each other. Where other work comes and goes, CPU time
does too (half as much again for the same work): `--together` runs both kinds of a round at the same time.
The cores of a shared machine may differ by more than what is measured here (the same work took .06 s and
.12 s): `--core N` keeps all processes of all runs on one. Both options together resolve a hundredth (six
rounds: quartiles 1.025 and 1.028), one of them alone or none does not. Printed are the median of the ratios
of the rounds, their quartiles, and their smallest and largest. Linux only.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from benchmarks.music import RATE, REAL_MUSIC, recording

Scripts = dict[str, tuple[str, ...]]
"""With or without worker processes → a script and its arguments."""
CLIP_S, SHORT_S = 30.0, 3.0
SOURCES = 24
"""Different recordings among the clips; the others are links to them."""
TARGETS = {"predict": 1.15, "extract": 1.03}
PREDICT = """
import sys
from collections import deque
from quintet.audio.isolation import calls
from quintet.audio.isolation.bounds import Bounds
from quintet.audio.isolation.pool import Event

class InProcess:
    # the interface of WorkerPool, without processes
    def __init__(self, n_workers=1, bounds=Bounds()):
        self.n_workers, self.bounds, self.found, self.n = n_workers, bounds, deque(), 0
    n_under_way = property(lambda self: len(self.found))
    def submit(self, function, *arguments, set_up=None):
        set_up and set_up()
        self.n += 1
        result = function(*arguments)
        if hasattr(result, "__next__"):
            self.found += [Event(self.n, "item", item) for item in result]
            result = None
        self.found.append(Event(self.n, "done", result))
        return self.n
    def events(self):
        events = list(self.found)
        self.found.clear()
        return events
    def warm_up(self, set_up): pass
    def keep(self, n_workers): pass
    def stop(self): pass

if sys.argv.pop(1) == "without":
    calls.WorkerPool = InProcess
from quintet.cli import main
main()
"""
EXTRACT = """
import sys
from quintet import FeatureParameters, extract, load_source
parameters = FeatureParameters(feature_set="bahuleyan2018")
extract(load_source(sys.argv[2]), sys.argv[3], parameters=parameters, n_jobs=int(sys.argv[1]))
"""
TRAIN = """
import sys
from quintet import FeatureParameters, TrainSettings, extract, load_source, train
parameters = FeatureParameters(feature_set="bahuleyan2018")
extract(load_source(sys.argv[1]), sys.argv[2] + ".parquet", parameters=parameters)
settings = TrainSettings(members=("logistic_regression", "random_forest", "xgboost"), folds=2, resamples=0)
train(sys.argv[2] + ".parquet", sys.argv[2], settings=settings)
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.isolation", description="CPU time with worker processes over without."
    )
    parser.add_argument("--part", choices=list(TARGETS), action="append", help="default: both")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--clips", type=int, default=10000, help="clips of 3 s for `extract`")
    parser.add_argument("--source", type=Path, default=REAL_MUSIC, help="folder of recordings")
    parser.add_argument("--together", action="store_true", help="both kinds of a round at the same time")
    parser.add_argument("--core", type=int, help="keep all processes on this core")
    options = parser.parse_args()
    if options.core is not None:
        os.sched_setaffinity(0, {options.core})
    adopt_orphans()
    measures = {
        "predict": partial(measure_predict, together=options.together),
        "extract": partial(measure_extract, together=options.together, clips=options.clips),
    }
    with tempfile.TemporaryDirectory() as place:
        for name in options.part or measures:
            show(name, measures[name](Path(place), options.source, rounds=options.rounds))


def measure_predict(
    place: Path, source: Path | None, *, rounds: int, together: bool
) -> dict[str, list[float]]:
    """CPU seconds of the prediction of one clip of 30 s."""
    for number in range(12):
        path = place / "music" / ("low", "high")[number % 2] / f"{number}.wav"
        _write(path, recording(source, seconds=CLIP_S, seed=number))
    clip, model = place / "music" / "low" / "0.wav", place / "model"
    _cpu_s(TRAIN, str(place / "music"), str(model))
    arguments = ("predict", str(model), str(clip), "-q")
    scripts: Scripts = {name: (PREDICT, name, *arguments) for name in ("with", "without")}
    _run_rounds(scripts, rounds=1)  # what is done once for a machine does not count
    return _run_rounds(scripts, rounds, together=together)


def measure_extract(
    place: Path, source: Path | None, *, clips: int, rounds: int, together: bool
) -> dict[str, list[float]]:
    """CPU seconds of the extraction of many clips of 3 s."""
    scripts: dict[str, Scripts] = {}
    outputs = [place / "with.parquet", place / "without.parquet"]
    for size, n_clips in (("few", SOURCES), ("many", clips)):
        for number in range(n_clips):
            path = place / size / "music" / f"{number:05d}.wav"
            if number < SOURCES:
                _write(path, recording(source, seconds=SHORT_S, seed=number))
            else:
                os.link(path.with_name(f"{number % SOURCES:05d}.wav"), path)
        jobs = {"with": "1", "without": "0"}
        scripts[size] = {
            name: (EXTRACT, jobs[name], str(place / size), str(place / f"{name}.parquet")) for name in jobs
        }
    _run_rounds(scripts["few"], rounds=1, outputs=outputs)
    return _run_rounds(scripts["many"], rounds, outputs=outputs, together=together)


def show(name: str, seconds: dict[str, list[float]]) -> None:
    """Print the ratio, and whether it meets the target."""
    ratios = np.array(seconds["with"]) / np.array(seconds["without"])
    least, low, middle, high, most = np.percentile(ratios, [0, 25, 50, 75, 100])
    met = "met    " if middle <= TARGETS[name] else "NOT MET"
    medians = {kind: float(np.median(values)) for kind, values in seconds.items()}
    print(
        f"{met}  {name}: {middle:.3f} (quartiles {low:.3f}-{high:.3f}, all {least:.3f}-{most:.3f}) times the "
        f"CPU in {len(ratios)} rounds (target <= {TARGETS[name]}); "
        f"{medians['with']:.2f} s with, {medians['without']:.2f} s without",
        flush=True,
    )


def _run_rounds(
    scripts: Scripts, rounds: int, outputs: Sequence[Path] = (), *, together: bool = False
) -> dict[str, list[float]]:
    """CPU seconds of every script in every round."""
    seconds: dict[str, list[float]] = {name: [] for name in scripts}
    for number in range(rounds):
        for output in outputs:
            output.unlink(missing_ok=True)
        names = list(scripts) if number % 2 else list(reversed(scripts))
        if together:
            running = {name: _start(*scripts[name]) for name in names}
            spent_s = {name: _end(process) for name, process in running.items()}
        else:
            spent_s = {name: _cpu_s(*scripts[name]) for name in names}
        for name, cpu_s in spent_s.items():
            seconds[name].append(cpu_s)
        if rounds > 1:
            spent = ", ".join(f"{spent_s[name]:.2f} s {name}" for name in scripts)
            print(f"  round {number + 1}: {spent}", flush=True)
    return seconds


def _start(script: str, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", script, *arguments], stdout=subprocess.DEVNULL)


def _end(process: subprocess.Popen[bytes]) -> float:
    """CPU seconds of a process that was started and of the processes that it waited for."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args)
    return usage.ru_utime + usage.ru_stime


def _write(path: Path, samples: np.ndarray[Any, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples[:, :1], RATE, subtype="PCM_16")


def _cpu_s(script: str, *arguments: str) -> float:
    """CPU seconds of a script and of all processes that it starts."""
    return children_cpu_s([sys.executable, "-c", script, *arguments])


def children_cpu_s(command: Sequence[str]) -> float:
    """CPU seconds of a command and of all processes that it starts, after `adopt_orphans`."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    try:
        while True:  # servers of worker processes that are still ending
            os.wait()
    except ChildProcessError:
        pass
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def adopt_orphans() -> None:
    """Make this process the parent of processes whose parent ends, so that their time counts."""
    pr_set_child_subreaper = 36
    ctypes.CDLL(None).prctl(pr_set_child_subreaper, 1, 0, 0, 0)


if __name__ == "__main__":
    main()
