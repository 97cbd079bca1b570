"""How much memory an extraction takes: many clips against few, and one long recording. See README.md in this folder.

python -m benchmarks.memory [--clips 1000 10000] [--hours 3]
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

RATE = 44100
EXTRACTION = """
import sys
from pathlib import Path
from benchmarks.memory import peak_mb
from quintet.datasets import load_source
from quintet.features.extraction import extract
from quintet.features.parameters import FeatureParameters
source, output = map(Path, sys.argv[1:3])
summary = extract(load_source(str(source)), output / "features.parquet", parameters=FeatureParameters(), spectrograms=output / "spectrograms")
print(peak_mb(), summary.n_ok, summary.n_failed)
"""


def peak_mb() -> float:
    """The most memory that this process ever held."""
    status = Path("/proc/self/status")
    if status.exists():  # what getrusage answers begins with the memory of the parent
        return next(int(line.split()[1]) / 1024 for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def main() -> None:
    """Measures in processes of their own, and prints."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description="Peak memory of extractions: full set and log-mel, one job.")
    parser.add_argument("--clips", nargs="*", type=int, default=[1000, 10000], help="numbers of clips of a quarter of a second")
    parser.add_argument("--hours", nargs="*", type=float, default=[3.0], help="lengths of one recording")
    options = parser.parse_args()
    for count in options.clips:
        print(f"{count} clips: {_measured(partial(_clips, count))}", flush=True)
    for hours in options.hours:
        print(f"{hours:g} h in one file: {_measured(partial(_long, hours))}", flush=True)


def _measured(write: Callable[[Path], None]) -> str:
    with tempfile.TemporaryDirectory() as place:
        source, output = Path(place) / "source", Path(place) / "output"
        (source / "music").mkdir(parents=True)
        output.mkdir()
        write(source / "music")
        done = subprocess.run([sys.executable, "-c", EXTRACTION, str(source), str(output)], capture_output=True, text=True, check=True)
    peak, ok, failed = done.stdout.split()[-3:]
    return f"{float(peak):.0f} MB at the peak, {ok} described, {failed} failed"


def _noise(seconds: float, seed: int) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    sound = 0.1 * rng.standard_normal(round(seconds * RATE))
    sound += 0.3 * np.sin(0.05 * np.arange(len(sound)) * rng.uniform(0.5, 2))
    return np.asarray(sound, np.float32)


def _clips(count: int, folder: Path) -> None:
    for number in range(count):
        soundfile.write(folder / f"{number:06d}.wav", _noise(0.25, number), RATE)


def _long(hours: float, folder: Path) -> None:
    with soundfile.SoundFile(folder / "long.wav", "w", RATE, 1, subtype="PCM_16") as file:
        for minute in range(round(hours * 60)):
            file.write(_noise(60.0, minute))


if __name__ == "__main__":
    main()
