"""CPU time that the columns of pretrained networks add to the extraction of a track. See README.md.

python -m benchmarks.embeddings [--networks musicnn_msd] [--seconds 240] [--rounds 7] [--source FOLDER]
[--command]

A track (mp3, 44.1 kHz, stereo) is decoded and described with the hand-made columns alone and with those of
each choice of networks, in turn, in one process with one thread. The networks must be in the library
(`quintet weights fetch musicnn`). Printed are the medians over the rounds, and the differences within rounds
with their quartiles. The target of the project is 0.35 s for `musicnn_msd` and a track of four minutes. With
`--command`, the whole command `quintet extract` of this one track is measured as well, with its worker: the
start of ONNX Runtime, once per process, is in its figure.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.commands import spend
from benchmarks.music import REAL_MUSIC, recording, write_recording
from benchmarks.timing import Timings, interleaved
from quintet.audio.decode import ClipSource
from quintet.embeddings.columns.networks import find_embedder, with_embeddings
from quintet.errors import QuintetError
from quintet.features.extraction.worker import ClipTask, Job, describe_clip
from quintet.features.parameters import FeatureParameters

TARGET_S, TARGET_NETWORK = 0.35, "musicnn_msd"
PLAIN = "hand-made columns alone"


def describe_file(file: Path, job: Job) -> None:
    """Describe a file, or stop with the reason."""
    row = describe_clip(ClipTask(0, ClipSource(str(file))), job)
    if row.failed:
        raise QuintetError(str(row.facts["reason"]))


def contenders(file: Path, choices: Sequence[str]) -> dict[str, Callable[[], object]]:
    """The extraction of a file without networks, and with each choice of them."""
    plain = FeatureParameters()
    jobs = {PLAIN: Job(plain)}
    for choice in choices:
        parameters = with_embeddings(plain, choice.split(","))
        jobs[choice] = Job(parameters, embedder=find_embedder(parameters))
    return {name: partial(describe_file, file, job) for name, job in jobs.items()}


def command_times(folder: Path, choices: Sequence[str], *, rounds: int) -> Timings:
    """CPU seconds of `quintet extract` of a folder with all its processes, for each choice and for none."""
    seconds: dict[str, list[float]] = {name: [] for name in (PLAIN, *choices)}
    for number in range(rounds):
        for name, spent in seconds.items():
            chosen = [] if name == PLAIN else ["--embeddings", name]
            output = folder.parent / f"table-{number}-{len(spent)}-{name}.parquet"
            spent.append(spend(["extract", str(folder), "-o", str(output), "-q", *chosen])[0])
    return Timings({name: np.array(spent) for name, spent in seconds.items()})


def show(title: str, timings: Timings, choices: Sequence[str]) -> None:
    """Print the median without networks, and what each choice adds within rounds."""
    print(f"{title}, {PLAIN}: {timings.median(PLAIN):.3f} s")
    for choice in choices:
        extra = timings.seconds[choice] - timings.seconds[PLAIN]
        low, middle, high = np.percentile(extra, [25, 50, 75])
        goal = f", target {TARGET_S} s" if choice == TARGET_NETWORK else ""
        print(f"+ {choice}: {middle:.3f} s more ({low:.3f} – {high:.3f}{goal})")


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", nargs="+", default=[TARGET_NETWORK], help="choices, each with commas")
    parser.add_argument("--seconds", type=float, default=240.0)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--source", type=Path, default=REAL_MUSIC)
    parser.add_argument("--command", action="store_true", help="also measure the whole command")
    options = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as folder:
        samples = recording(options.source, seconds=options.seconds)
        music = Path(folder) / "music" / "track"
        music.mkdir(parents=True)
        file = write_recording(samples, music, "stereo mp3")
        timings = interleaved(contenders(file, options.networks), rounds=options.rounds)
        show("one more track", timings, options.networks)
        if options.command:
            whole = command_times(music.parent, options.networks, rounds=options.rounds)
            show("quintet extract of this track", whole, options.networks)


if __name__ == "__main__":
    main()
