"""What a whole extraction costs beside the engine alone, and what a second worker brings. See README.md in this folder.

python -m benchmarks.extraction [--clips 240] [--rounds 3] [--source FOLDER]

The engine alone is `describe(load_clip(…))` over the same clips. An extraction is `extract` with spectrograms, from the moment when the first rows
have come in (start-up is excluded) until the table is written. Both are bound to one processor, so that everything that an extraction does beside
describing (worker to main process, spectrogram store, parts, parquet) counts; for the second worker both processors may be used.
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
from typing import Any

import numpy as np
import soundfile

from benchmarks.music import RATE, REAL_MUSIC, recording

DISTINCT, SECONDS = 24, 30.0
KINDS = {
    "engine": (0, 1),
    "one worker, one processor": (1, 1),
    "one worker": (1, 2),
    "two workers": (2, 2),
}  # name → jobs, processors


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.extraction",
        description="End to end against the engine; two workers against one.",
    )
    parser.add_argument("--clips", type=int, default=240, help="clips of 30 s")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--source", type=Path, default=REAL_MUSIC, help="a folder of recordings; without one, the demo corpus"
    )
    parser.add_argument("--run", nargs=3, metavar=("FOLDER", "JOBS", "PROCESSORS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        folder, jobs, processors = options.run
        print(json.dumps(_seconds_per_clip(Path(folder), int(jobs), int(processors))))
    else:
        show(measured(options.source, clips=options.clips, rounds=options.rounds))


def measured(source: Path | None, *, clips: int, rounds: int) -> dict[str, Any]:
    """Milliseconds per clip of every kind (medians), and the ratios with their spread over the rounds."""
    seconds: dict[str, list[float]] = {name: [] for name in KINDS}
    with tempfile.TemporaryDirectory() as place:
        folder = _corpus(Path(place), source, clips)
        for _ in range(rounds):
            for name, (jobs, processors) in KINDS.items():
                seconds[name].append(_in_a_process_of_its_own(folder, jobs, processors))
    times = {name: np.array(values) for name, values in seconds.items()}
    return {
        "clips": clips,
        "rounds": rounds,
        "ms_per_clip": {name: float(np.median(values)) * 1000 for name, values in times.items()},
        "end_to_end": _spread(times["one worker, one processor"] / times["engine"]),
        "two_workers": _spread(times["one worker"] / times["two workers"]),
    }


def show(result: dict[str, Any]) -> None:
    """The figures, and whether they are what is wanted."""
    for name, time_ms in result["ms_per_clip"].items():
        print(f"{name}: {time_ms:.2f} ms per clip of {SECONDS:g} s")
    for name, words, met in (
        ("end_to_end", "end to end / engine alone (wanted <= 1.15)", result["end_to_end"][0] <= 1.15),
        ("two_workers", "two workers / one (wanted >= 1.8)", result["two_workers"][0] >= 1.8),
    ):
        middle, low, high = result[name]
        print(f"{'met    ' if met else 'NOT MET'}  {words}: {middle:.2f} ({low:.2f}-{high:.2f})", flush=True)


def _spread(ratios: np.ndarray[Any, np.dtype[np.float64]]) -> tuple[float, float, float]:
    return float(np.median(ratios)), float(ratios.min()), float(ratios.max())


def _corpus(place: Path, source: Path | None, clips: int) -> Path:
    """Clips of real music; each recording is there several times, as links."""
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


def _in_a_process_of_its_own(folder: Path, jobs: int, processors: int) -> float:
    command = [
        sys.executable,
        "-m",
        "benchmarks.extraction",
        "--run",
        str(folder),
        str(jobs),
        str(processors),
    ]
    return float(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))


def _seconds_per_clip(folder: Path, jobs: int, processors: int) -> float:
    from quintet.features.parameters import FeatureParameters

    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:processors])
    parameters = FeatureParameters(feature_set="bahuleyan2018")
    return _extracted(folder, jobs, parameters) if jobs else _described(folder, parameters)


def _described(folder: Path, parameters: Any) -> float:
    from quintet.audio.decode import load_clip
    from quintet.features.describe import describe

    paths = sorted(folder.rglob("*.wav"))
    for number, path in enumerate(paths):
        if number == 5:
            began = time.perf_counter()
        describe(load_clip(path, sample_rate=parameters.sample_rate).clip, parameters, log_mel=True)
    return (time.perf_counter() - began) / (len(paths) - 5)


def _extracted(folder: Path, jobs: int, parameters: Any) -> float:
    from quintet.datasets.source import load_source
    from quintet.features.extraction.extract import Progress, extract

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
