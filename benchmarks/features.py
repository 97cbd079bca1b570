"""Speed of the features, as ratios to librosa and to the floor. See README.md in this folder.

python -m benchmarks.features [--formats wav flac "stereo mp3"] [--seconds 30] [--rounds 5] [--source FOLDER]
                              [--json FILE] [--compare FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")  # before NumPy is imported: one thread, so that CPU time is time

import quintet  # noqa: E402
from benchmarks.contenders import all_contenders  # noqa: E402
from benchmarks.music import FORMATS, REAL_MUSIC, recording, write_recording  # noqa: E402
from benchmarks.timing import Timings, interleaved  # noqa: E402

LONG_S = 60.0  # longer recordings are not given to the slow contenders
SLOW = ("definitions", "naive librosa, with tempo", "openSMILE eGeMAPS (other descriptors)")
TARGETS = {  # (contender, reference, format) → target of the ratio, for clips of 30 s
    ("naive librosa", "ours", "wav"): (">=", 25.0),
    ("naive librosa", "ours", "flac"): (">=", 12.0),
    ("naive librosa", "ours", "stereo mp3"): (">=", 9.5),
    ("naive librosa, with tempo", "ours, with tempo", "wav"): (">=", 20.0),
    ("ours", "floor", "wav"): ("<=", 0.75),
    ("ours", "floor", "flac"): ("<=", 0.75),
    ("ours", "floor", "stereo mp3"): ("<=", 0.95),
    ("ours, default set", "ours, with tempo", "wav"): ("<=", 2.0),
    ("essentia (other descriptors)", "ours", "wav"): (">=", 6.0),
}


def main(arguments: list[str] | None = None) -> None:
    """Measure, print the tables, and write the JSON."""
    options = _options(arguments)
    print(
        f"CPU time of one thread, medians of {options.rounds} interleaved rounds; "
        "ms per second of sound [ratio to the floor].\n"
    )
    cases = [(name, seconds, options.rounds) for seconds in options.seconds for name in options.formats]
    result = {
        "machine": machine(),
        "source": source_name(options.source),
        "cases": measure(options.source, cases),
    }
    if options.compare:
        compare(json.loads(options.compare.read_text()), result)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result, indent=1) + "\n")
        print(f"Written: {options.json}")


def measure(source: Path | None, cases: list[tuple[str, float, int]]) -> list[dict[str, Any]]:
    """Time every contender on each case (format, seconds, rounds), and print each case."""
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for name, seconds, rounds in cases:
            path = write_recording(recording(source, seconds=seconds), Path(folder), name)
            runs: dict[str, Callable[[], object]] = {
                contender: partial(function, path)
                for contender, function in all_contenders().items()
                if seconds <= LONG_S or contender not in SLOW
            }
            results.append(case(interleaved(runs, rounds=rounds), name, seconds) | {"rounds": rounds})
            show(results[-1])
    return results


def source_name(source: Path | None) -> str:
    """Kind of the recordings, without a path of this machine."""
    return "recordings" if source else "demo corpus"


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.features", description="Speed of the features, as ratios."
    )
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=["wav", "flac", "stereo mp3"])
    parser.add_argument("--seconds", nargs="+", type=float, default=[30.0], help="lengths of the recordings")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--source", type=Path, default=REAL_MUSIC, help="folder of recordings; default: the demo corpus"
    )
    parser.add_argument("--json", type=Path, default=Path(__file__).parent / "results" / "features.json")
    parser.add_argument("--compare", type=Path, help="JSON of an earlier run")
    return parser.parse_args(arguments)


def case(timings: Timings, format: str, seconds: float) -> dict[str, Any]:
    """ms per second of sound, and ratios to the floor and to ours, with quartiles over the rounds."""
    names = list(timings.seconds)
    return {
        "format": format,
        "seconds": seconds,
        "ms_per_second": {name: timings.median(name) * 1000 / seconds for name in names},
        "over_floor": {name: timings.ratio(name, "floor") for name in names},
        "over_ours": {
            name: timings.ratio(name, "ours, with tempo" if name.endswith(("tempo", " set")) else "ours")
            for name in names
        },
    }


def show(result: dict[str, Any]) -> None:
    """Print one case as a table in Markdown, with its targets."""
    print(f"### {result['format']}, {result['seconds']:g} s\n")
    print("| | ms per second | over the floor | over ours |\n|---|---|---|---|")
    for name, time in result["ms_per_second"].items():
        over_floor, over_ours = _spread(result["over_floor"][name]), _spread(result["over_ours"][name])
        print(f"| {name} | {time:.3f} | {over_floor} | {over_ours} |")
    print()
    for (contender, reference, format), (relation, target) in TARGETS.items():
        if format == result["format"] and result["seconds"] == 30 and contender in result["ms_per_second"]:
            ratio = result["over_floor" if reference == "floor" else "over_ours"][contender][0]
            met = ratio >= target if relation == ">=" else ratio <= target
            verdict = "met    " if met else "NOT MET"
            print(f"{verdict}  {contender} / {reference}: {ratio:.2f} (target {relation} {target:g})")
    print(flush=True)


def _spread(ratio: tuple[float, float, float]) -> str:
    return f"{ratio[0]:.2f} ({ratio[1]:.2f}-{ratio[2]:.2f})"


def compare(before: dict[str, Any], now: dict[str, Any]) -> None:
    """Print the ratios to the floor of an earlier run and of this one."""
    earlier = {(case["format"], case["seconds"]): case for case in before["cases"]}
    print("Ratio to the floor, then and now:")
    for case in now["cases"]:
        old = earlier.get((case["format"], case["seconds"]))
        if old is None:
            continue
        for name in ("ours", "ours, with tempo", "ours, full set", "ours, default set"):
            if name not in old["over_floor"]:  # an older version did not measure it
                continue
            then, today = old["over_floor"][name][0], case["over_floor"][name][0]
            print(f"  {case['format']}, {case['seconds']:g} s, {name}: {then:.2f} → {today:.2f}")


def machine() -> dict[str, str]:
    """Versions, platform and processor of the measurement."""
    packages = ("librosa", "numpy", "scipy", "numba", "soundfile", "soxr")
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "processor": _processor(),
        "quintet": quintet.__version__,
        **{name: version(name) for name in packages},
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
        platform.processor(),
    )


if __name__ == "__main__":
    main()
