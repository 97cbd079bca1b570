"""CPU time of `library scan` over that of `extract` with the same features: digest, tags, tempo, key, energy.

python -m benchmarks.scan [--songs 12] [--seconds 240] [--rounds 5] [--source FOLDER]

Both are commands with one worker process, start and tables included. They follow one another in every round,
the other one first in every second round, over all songs and over a third of them: the difference is what a
further song costs, which decides how long a large library takes. CPU time is that of all processes, user and
system.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.isolation import adopt_orphans, children_cpu_s
from benchmarks.music import REAL_MUSIC, recording, write_recording

TARGET = 1.1
COMMANDS = {
    "scan": ("library", "scan", "MUSIC", "-o", "OUT.library", "--embeddings", "none"),
    "extract": ("extract", "MUSIC", "-o", "OUT.parquet"),
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scan", description="CPU of scan over extract."
    )
    parser.add_argument("--songs", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=240.0, help="of each song")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--source", type=Path, default=REAL_MUSIC, help="folder of recordings")
    options = parser.parse_args()
    adopt_orphans()
    with tempfile.TemporaryDirectory() as place:
        sizes = {options.songs: Path(place, "all"), options.songs // 3: Path(place, "third")}
        for number in range(options.songs):
            samples = recording(options.source, seconds=options.seconds, seed=number)
            path = write_recording(samples, Path(place), "stereo mp3")
            for n_songs, folder in sizes.items():
                if number < n_songs:
                    target = folder / ("low", "high")[number % 2] / f"{number}.mp3"
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(path, target)
        show(measure(sizes, Path(place), options.rounds))


def measure(sizes: dict[int, Path], place: Path, rounds: int) -> dict[str, dict[int, np.ndarray]]:
    """CPU seconds: command → number of songs → shape `(rounds,)`."""
    seconds = {name: {n_songs: np.zeros(rounds) for n_songs in sizes} for name in COMMANDS}
    for number in range(-1, rounds):  # what is done once for a machine does not count
        for n_songs, music in sizes.items():
            for name in list(COMMANDS) if number % 2 else list(reversed(COMMANDS)):
                cpu_s = _run(COMMANDS[name], music, place)
                if number >= 0:
                    seconds[name][n_songs][number] = cpu_s
    return seconds


def show(seconds: dict[str, dict[int, np.ndarray]]) -> None:
    """Print the ratios of whole commands and of a further song."""
    most, least = max(seconds["scan"]), min(seconds["scan"])
    whole = {name: of_size[most] for name, of_size in seconds.items()}
    song = {name: (of_size[most] - of_size[least]) / (most - least) for name, of_size in seconds.items()}
    print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")
    for what, cpu_s in ((f"{most} songs, whole commands", whole), ("a further song", song)):
        low, middle, high = np.percentile(cpu_s["scan"] / cpu_s["extract"], [25, 50, 75])
        verdict = "met" if middle <= TARGET else "NOT MET"
        print(
            f"{what}: scan {np.median(cpu_s['scan']):.3f} s, extract {np.median(cpu_s['extract']):.3f} s, "
            f"ratio {middle:.3f} (quartiles {low:.3f}-{high:.3f}, n {len(cpu_s['scan'])}); "
            f"target {TARGET:g}: {verdict}"
        )


def _run(words: tuple[str, ...], music: Path, place: Path) -> float:
    """CPU seconds of a command with a new output."""
    output = place / "out"
    for path in place.glob("out.*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    filled = [word.replace("MUSIC", str(music)).replace("OUT", str(output)) for word in words]
    return children_cpu_s([sys.executable, "-m", "quintet", *filled, "--jobs", "1", "-q"])


if __name__ == "__main__":
    main()
