"""CPU time that the columns of pretrained networks add to the extraction of a track. See README.md.

python -m benchmarks.embeddings [--networks musicnn_msd] [--seconds 240] [--rounds 7] [--source FOLDER]

A track (mp3, 44.1 kHz, stereo) is decoded and described with the hand-made columns alone and with those of
each choice of networks, in turn, in one process with one thread. The networks must be in the library
(`quintet weights fetch musicnn`). Printed are the medians over the rounds, and the differences within rounds
with their quartiles. The target of the project is 0.35 s for `musicnn_msd` and a track of four minutes.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.music import REAL_MUSIC, recording, write_recording
from benchmarks.timing import interleaved
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


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", nargs="+", default=[TARGET_NETWORK], help="choices, each with commas")
    parser.add_argument("--seconds", type=float, default=240.0)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--source", type=Path, default=REAL_MUSIC)
    options = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as folder:
        samples = recording(options.source, seconds=options.seconds)
        file = write_recording(samples, Path(folder), "stereo mp3")
        timings = interleaved(contenders(file, options.networks), rounds=options.rounds)
    print(f"{PLAIN}: {timings.median(PLAIN):.3f} s")
    for choice in options.networks:
        extra = timings.seconds[choice] - timings.seconds[PLAIN]
        low, middle, high = np.percentile(extra, [25, 50, 75])
        goal = f", target {TARGET_S} s" if choice == TARGET_NETWORK else ""
        print(f"+ {choice}: {middle:.3f} s more ({low:.3f} – {high:.3f}{goal})")


if __name__ == "__main__":
    main()
