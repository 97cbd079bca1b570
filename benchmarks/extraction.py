"""Time of a whole extraction over the time of the engine alone, and the gain of a second worker.

python -m benchmarks.extraction [--clips 240] [--rounds 3] [--source FOLDER]

The engine alone is `describe(load_clip(…))` over the same clips. An extraction is `extract` with
spectrograms, from the arrival of the first rows (start-up is excluded) until the table is written. Both are
bound to one processor, so that the other work of an extraction counts too (worker to main process,
spectrogram store, parts, parquet). The comparison of one and two workers uses two processors. See README.md
in this folder.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile

from benchmarks.music import RATE, REAL_MUSIC, recording

if TYPE_CHECKING:
    from quintet.features.parameters import FeatureParameters

DISTINCT, SECONDS = 24, 30.0
KINDS = {
    "engine": (0, 1),
    "one worker, one processor": (1, 1),
    "one worker": (1, 2),
    "two workers": (2, 2),
}  # name → jobs, processors


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.extraction",
        description="Extraction end to end over the engine alone; two workers over one.",
    )
    parser.add_argument("--clips", type=int, default=240, help="clips of 30 s")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--source", type=Path, default=REAL_MUSIC, help="folder of recordings; default: the demo corpus"
    )
    parser.add_argument("--run", nargs=3, metavar=("FOLDER", "JOBS", "PROCESSORS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        folder, jobs, processors = options.run
        print(json.dumps(_seconds_per_clip(Path(folder), int(jobs), int(processors))))
    else:
        show(measure(options.source, clips=options.clips, rounds=options.rounds))


def measure(source: Path | None, *, clips: int, rounds: int) -> dict[str, Any]:
    """Milliseconds per clip of every kind (medians), and the ratios with their range over the rounds."""
    seconds: dict[str, list[float]] = {name: [] for name in KINDS}
    with tempfile.TemporaryDirectory() as place:
        folder = _corpus(Path(place), source, clips)
        for _ in range(rounds):
            for name, (jobs, processors) in KINDS.items():
                seconds[name].append(_measure_in_new_process(folder, jobs, processors))
    times = {name: np.array(values) for name, values in seconds.items()}
    return {
        "clips": clips,
        "rounds": rounds,
        "ms_per_clip": {name: float(np.median(values)) * 1000 for name, values in times.items()},
        "end_to_end": _spread(times["one worker, one processor"] / times["engine"]),
        "two_workers": _spread(times["one worker"] / times["two workers"]),
    }


def show(result: dict[str, Any]) -> None:
    """Print the results, and whether they meet the targets."""
    for name, time_ms in result["ms_per_clip"].items():
        print(f"{name}: {time_ms:.2f} ms per clip of {SECONDS:g} s")
    for name, title, met in (
        ("end_to_end", "end to end / engine alone (target <= 1.15)", result["end_to_end"][0] <= 1.15),
        ("two_workers", "two workers / one (target >= 1.8)", result["two_workers"][0] >= 1.8),
    ):
        middle, low, high = result[name]
        print(f"{'met    ' if met else 'NOT MET'}  {title}: {middle:.2f} ({low:.2f}-{high:.2f})", flush=True)


def _spread(ratios: np.ndarray[Any, np.dtype[np.float64]]) -> tuple[float, float, float]:
    return float(np.median(ratios)), float(ratios.min()), float(ratios.max())


def _corpus(place: Path, source: Path | None, clips: int) -> Path:
    """Make a folder of clips. `DISTINCT` of them are files; the others are hard links to them."""
    folder = place / "source" / "music"
    folder.mkdir(parents=True)
    for number in range(clips):
        path, first = folder / f"{number:05d}.wav", folder / f"{number % DISTINCT:05d}.wav"
        if number < DISTINCT:
            soundfile.write(
                path, recording(source, seconds=SECONDS, seed=number)[:, :1], RATE, subtype="PCM_16"
            )
        else:
            os.link(first, path)
    return folder.parent


def _measure_in_new_process(folder: Path, jobs: int, processors: int) -> float:
    arguments = ["--run", str(folder), str(jobs), str(processors)]
    command = [sys.executable, "-m", "benchmarks.extraction", *arguments]
    process = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(json.loads(process.stdout))


def _seconds_per_clip(folder: Path, jobs: int, processors: int) -> float:
    from quintet.features.parameters import FeatureParameters

    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:processors])
    parameters = FeatureParameters(feature_set="bahuleyan2018")
    return _time_extraction(folder, jobs, parameters) if jobs else _time_engine(folder, parameters)


def _time_engine(folder: Path, parameters: FeatureParameters) -> float:
    """Seconds per clip of the engine alone, without the first five clips."""
    from quintet.audio.decode import load_clip
    from quintet.features.describe import describe

    paths = sorted(folder.rglob("*.wav"))
    for number, path in enumerate(paths):
        if number == 5:
            began = time.perf_counter()
        describe(load_clip(path, sample_rate=parameters.sample_rate).clip, parameters, log_mel=True)
    return (time.perf_counter() - began) / (len(paths) - 5)


def _time_extraction(folder: Path, jobs: int, parameters: FeatureParameters) -> float:
    """Seconds per clip of an extraction, without those that were done when the first rows arrived."""
    from quintet.datasets.source import load_source
    from quintet.features.extraction.chunks import Progress
    from quintet.workflow import extract

    seen: list[tuple[int, float]] = []

    def watch(progress: Progress) -> None:
        if progress.done:
            seen.append((progress.done, time.perf_counter()))

    with tempfile.TemporaryDirectory(dir=folder.parent) as output:
        extract(
            load_source(str(folder)),
            Path(output) / "features.parquet",
            parameters=parameters,
            spectrograms=Path(output) / "spectrograms",
            n_jobs=jobs,
            progress=watch,
        )
        ended = time.perf_counter()
    done, began = seen[0]
    return (ended - began) / (seen[-1][0] - done)


if __name__ == "__main__":
    main()
