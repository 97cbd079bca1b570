"""How fast features are made: ratios against librosa and against the floor. See README.md in this folder.

python -m benchmarks.features [--formats wav flac "stereo mp3"] [--seconds 30] [--rounds 5] [--source FOLDER] [--json FILE] [--compare FILE]
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

from benchmarks.contenders import all_contenders  # noqa: E402
from benchmarks.music import FORMATS, REAL_MUSIC, recording, written  # noqa: E402
from benchmarks.timing import Timings, interleaved  # noqa: E402

LONG_S = 60.0  # recordings above it are left to the faster contenders
SLOW = ("definitions", "naive librosa, with tempo", "openSMILE eGeMAPS (other descriptors)")
TARGETS = {  # (contender, reference, format) → what the ratio must be, for clips of 30 s
    ("naive librosa", "ours", "wav"): (">=", 25.0),
    ("naive librosa", "ours", "flac"): (">=", 12.0),
    ("naive librosa", "ours", "stereo mp3"): (">=", 9.5),
    ("naive librosa, with tempo", "ours, with tempo", "wav"): (">=", 20.0),
    ("ours", "floor", "wav"): ("<=", 0.75),
    ("ours", "floor", "flac"): ("<=", 0.95),
    ("ours", "floor", "stereo mp3"): ("<=", 0.95),
    ("ours, full set", "ours, with tempo", "wav"): ("<=", 2.0),
    ("essentia (other descriptors)", "ours", "wav"): (">=", 6.0),
}


def main(arguments: list[str] | None = None) -> None:
    """Measures, prints the tables, writes the JSON."""
    options = _options(arguments)
    print(
        f"CPU time of one thread, medians of {options.rounds} interleaved rounds; ms per second of sound [ratio to the floor].\n"
    )
    cases = [(name, seconds, options.rounds) for seconds in options.seconds for name in options.formats]
    result = {
        "machine": machine(),
        "source": source_name(options.source),
        "cases": measured(options.source, cases),
    }
    if options.compare:
        compare(json.loads(options.compare.read_text()), result)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result, indent=1) + "\n")
        print(f"Written: {options.json}")


def measured(source: Path | None, cases: list[tuple[str, float, int]]) -> list[dict[str, Any]]:
    """Every contender on each case (format, seconds, rounds); prints each when it is done."""
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for name, seconds, rounds in cases:
            path = written(recording(source, seconds=seconds), Path(folder), name)
            contenders: dict[str, Callable[[], object]] = {
                who: partial(what, path) for who, what in all_contenders().items()
            }
            if seconds > LONG_S:
                contenders = {who: run for who, run in contenders.items() if who not in SLOW}
            results.append(case(interleaved(contenders, rounds=rounds), name, seconds) | {"rounds": rounds})
            show(results[-1])
    return results


def source_name(source: Path | None) -> str:
    """What the recordings are, without a path of this machine."""
    return "recordings" if source else "demo corpus"


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.features", description="Speed of the features, as ratios."
    )
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=["wav", "flac", "stereo mp3"])
    parser.add_argument("--seconds", nargs="+", type=float, default=[30.0], help="lengths of the recordings")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--source", type=Path, default=REAL_MUSIC, help="a folder of recordings; without one, the demo corpus"
    )
    parser.add_argument("--json", type=Path, default=Path(__file__).parent / "results" / "features.json")
    parser.add_argument("--compare", type=Path, help="a JSON of an earlier run")
    return parser.parse_args(arguments)


def case(timings: Timings, format: str, seconds: float) -> dict[str, Any]:
    """One table: ms per second of sound, and the ratios (with quartiles over the rounds) against the floor and against ours."""
    names = list(timings.seconds)
    return {
        "format": format,
        "seconds": seconds,
        "ms_per_second": {name: timings.median(name) * 1000 / seconds for name in names},
        "over_floor": {name: timings.ratio(name, "floor") for name in names},
        "over_ours": {
            name: timings.ratio(name, "ours, with tempo" if name.endswith(("tempo", "full set")) else "ours")
            for name in names
        },
    }


def show(result: dict[str, Any]) -> None:
    """One case as a table (Markdown), and the targets that concern it."""
    print(
        f"### {result['format']}, {result['seconds']:g} s\n\n| | ms per second | over the floor | over ours |\n|---|---|---|---|"
    )
    for name, time in result["ms_per_second"].items():
        print(
            f"| {name} | {time:.3f} | {_spread(result['over_floor'][name])} | {_spread(result['over_ours'][name])} |"
        )
    print()
    for (contender, reference, format), (relation, target) in TARGETS.items():
        if format == result["format"] and result["seconds"] == 30 and contender in result["ms_per_second"]:
            ratio = result["over_floor" if reference == "floor" else "over_ours"][contender][0]
            met = ratio >= target if relation == ">=" else ratio <= target
            print(
                f"{'met    ' if met else 'NOT MET'}  {contender} / {reference}: {ratio:.2f} (wanted {relation} {target:g})"
            )
    print(flush=True)


def _spread(ratio: tuple[float, float, float]) -> str:
    return f"{ratio[0]:.2f} ({ratio[1]:.2f}-{ratio[2]:.2f})"


def compare(before: dict[str, Any], now: dict[str, Any]) -> None:
    """How the ratios to the floor have moved since an earlier run."""
    earlier = {(case["format"], case["seconds"]): case for case in before["cases"]}
    print("Ratio to the floor, then and now:")
    for case in now["cases"]:
        old = earlier.get((case["format"], case["seconds"]))
        for name in ("ours", "ours, with tempo", "ours, full set") if old else ():
            print(
                f"  {case['format']}, {case['seconds']:g} s, {name}: {old['over_floor'][name][0]:.2f} → {case['over_floor'][name][0]:.2f}"
            )


def machine() -> dict[str, str]:
    """What the figures were measured on."""
    packages = ("quintet", "librosa", "numpy", "scipy", "numba", "soundfile", "soxr")
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "processor": _processor(),
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
