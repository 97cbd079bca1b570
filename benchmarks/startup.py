"""Start-up time: import of the extractor, the first clip, and compilation with an empty cache. See README.md.

python -m benchmarks.startup [--rounds 5] [--source FOLDER]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.music import REAL_MUSIC, recording, write_recording

IMPORT = """
import time
import quintet.features.extraction.preload, quintet.features.extraction.worker
print(time.process_time())
"""
CLIPS = """
import sys, time
from quintet.audio.decode import load_clip
from quintet.features.describe import describe
from quintet.features.engine.warm_up import load_if_compiled
from quintet.features.parameters import FeatureParameters
load_if_compiled()
parameters = FeatureParameters(feature_set="bahuleyan2018")
for _ in range(10):
    began = time.process_time()
    describe(load_clip(sys.argv[1], sample_rate=22050).clip, parameters, log_mel=True)
    print(time.process_time() - began)
"""
TARGETS = {"import_s": 0.6, "first_over_tenth": 2.0, "compile_s": 10.0, "compilations": 1}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.startup", description="Import, first clip, first compilation."
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--source", type=Path, default=REAL_MUSIC, help="folder of recordings; default: the demo corpus"
    )
    options = parser.parse_args()
    show(measure(options.source, rounds=options.rounds))


def measure(source: Path | None, *, rounds: int) -> dict[str, Any]:
    """Times of the start.

    `import_s`: CPU seconds of the import. `first_over_tenth`: time of the first clip over that of the tenth.
    `compile_s`: additional wall seconds until two processes with an empty cache have described ten clips.
    `compilations`: number of these processes that compiled.
    """
    with tempfile.TemporaryDirectory() as place:
        path = str(write_recording(recording(source, seconds=30.0), Path(place), "wav"))
        _output(CLIPS, path)  # the cache is warm from here on
        imports = [float(_output(IMPORT)[0]) for _ in range(rounds)]
        clips = np.array([[float(line) for line in _output(CLIPS, path)] for _ in range(rounds)])
        cold = dict(os.environ, QUINTET_CACHE_DIR=str(Path(place) / "cache"))
        began = time.monotonic()
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        both = [subprocess.Popen([sys.executable, "-c", CLIPS, path], env=cold, **pipes) for _ in range(2)]
        messages = [process.communicate()[1] for process in both]
        compile_s = time.monotonic() - began
        began = time.monotonic()
        _output(CLIPS, path)
        warm_s = time.monotonic() - began
    return {
        "rounds": rounds,
        "import_s": float(np.median(imports)),
        "first_over_tenth": float(np.median(clips[:, 0] / clips[:, 9])),
        "compile_s": compile_s - warm_s,
        "compilations": sum("compiling" in text for text in messages),
    }


def show(result: dict[str, Any]) -> None:
    """Print the results, and whether they meet the targets."""
    titles = {
        "import_s": "CPU seconds to import the extractor",
        "first_over_tenth": "first clip / tenth",
        "compile_s": "seconds that an empty cache costs two processes that start together",
        "compilations": "compilations in these two processes",
    }
    for name, title in titles.items():
        value, target = result[name], TARGETS[name]
        met = "met    " if value <= target else "NOT MET"
        print(f"{met}  {title}: {value:.2f} (target <= {target:g})", flush=True)


def _output(script: str, *arguments: str) -> list[str]:
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


if __name__ == "__main__":
    main()
