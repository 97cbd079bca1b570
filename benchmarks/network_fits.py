"""`quintet train` with one network, now and before, side by side: CPU and elapsed seconds. See README.md.

python -m benchmarks.network_fits --before FOLDER [--source clips.csv] [--member vgg_small] [--rounds 3]
                                  [--set vgg_small.epochs=5] [--folds 5]

FOLDER is a work tree of an earlier state (`git worktree add FOLDER COMMIT`). Each state extracts the same
clips with its own code, which is not measured, and then trains the network alone. The states run in turn, the
other one first in every second round. CPU is user and system time of a whole command, start included. Printed
are the medians, and the median, the smallest and the largest ratio of a round. Linux and macOS only.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

HERE = Path(__file__).parents[1]
EXTRACT = """
import sys
from quintet import FeatureParameters, extract, load_source
parameters = FeatureParameters(feature_set="bahuleyan2018")
extract(load_source(sys.argv[1]), sys.argv[2], parameters=parameters, spectrograms=sys.argv[3], n_jobs=0)
"""
"""In one process: an earlier state may need a library for its workers that is not here any more."""
INSTALLED = "Metadata-Version: 2.1\nName: quintet\nVersion: 0\n"
"""An earlier state asks which version of it is installed."""


class Spent(NamedTuple):
    """CPU and elapsed seconds of a command."""

    cpu: float
    elapsed: float


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.network_fits", description="Training of a network, now over before."
    )
    parser.add_argument("--before", type=Path, required=True, help="work tree of an earlier state")
    parser.add_argument(
        "--source", default="demo", help="clips: a manifest or a folder; default: the demo corpus"
    )
    parser.add_argument("--member", default="vgg_small")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--set", nargs="*", default=[], help="settings of the member: vgg_small.epochs=5")
    options = parser.parse_args()
    settings = [word for setting in options.set for word in ("--set", setting)]
    words = ("-m", options.member, "--folds", str(options.folds), *settings)
    source = Path(options.source)
    source_name = str(source.resolve()) if source.exists() else options.source
    rounds = measure(options.before, source_name, words, rounds=options.rounds)
    print(f"\n{options.member} on {options.source}, {options.rounds} rounds")
    for name in Spent._fields:
        show(name, np.array([[getattr(spent, name) for spent in pair] for pair in rounds]))


def measure(before: Path, source: str, words: Sequence[str], *, rounds: int) -> list[tuple[Spent, Spent]]:
    """What `quintet train` with these words takes: per round the state before, and this one."""
    with tempfile.TemporaryDirectory() as place:
        trees = {"before": before.resolve(), "now": HERE}
        metadata = Path(place) / "quintet-0.dist-info" / "METADATA"
        metadata.parent.mkdir()
        metadata.write_text(INSTALLED)
        stores = {name: _extract(tree, source, Path(place) / name) for name, tree in trees.items()}
        results = []
        for number in range(rounds):
            spent = {}
            for name in ("before", "now") if number % 2 == 0 else ("now", "before"):
                model = ("-o", str(Path(place) / f"{name}{number}"), "-q")
                spent[name] = spend(
                    trees[name], Path(place), ("-m", "quintet", "train", *stores[name], *model, *words)
                )
                print(f"round {number + 1}, {name}: {spent[name]}", flush=True)
            results.append((spent["before"], spent["now"]))
    return results


def _extract(tree: Path, source: str, folder: Path) -> tuple[str, str, str]:
    """Extract the clips with the code of a work tree; the words that name its table and its spectrograms."""
    folder.mkdir()
    table, stored = str(folder / "table.parquet"), ("--spectrograms", str(folder / "spectrograms"))
    spend(tree, folder.parent, ("-c", EXTRACT, source, table, stored[1]))
    return table, *stored


def spend(tree: Path, place: Path, words: Sequence[str]) -> Spent:
    """Seconds of Python with these words, the code of a work tree and the metadata in a place, with all its
    processes."""
    path = os.pathsep.join((str(tree), str(place)))
    environment = {**os.environ, "PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3"}
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, *words], env=environment, cwd=tree)
    _, status, usage = os.wait4(process.pid, 0)
    elapsed = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args)
    return Spent(usage.ru_utime + usage.ru_stime, elapsed)


def show(name: str, seconds: np.ndarray) -> None:
    """Print the medians of both states `(rounds, 2)`, and their ratio."""
    before, now = np.median(seconds, axis=0)
    ratios = seconds[:, 1] / seconds[:, 0]
    print(
        f"{name:<8} before {before:7.1f} s   now {now:7.1f} s   "
        f"now / before {np.median(ratios):.2f} ({ratios.min():.2f} - {ratios.max():.2f})"
    )


if __name__ == "__main__":
    main()
