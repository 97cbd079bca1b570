"""`make bench`: speed and memory of extraction, commands, service and training, in one run.

python -m benchmarks [--quick] [--source FOLDER] [--json FILE] [--table FILE] [--compare FILE]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import commands, extraction, features, memory, serving, startup, training_growth
from benchmarks.music import REAL_MUSIC

RESULTS = Path(__file__).parent / "results"
CASES = [  # format, seconds, rounds
    ("wav", 3.0, 9),
    ("wav", 30.0, 5),
    ("flac", 30.0, 5),
    ("mp3", 30.0, 5),
    ("stereo mp3", 30.0, 5),
    ("wav", 300.0, 2),
]
QUICK_CASES = [("wav", 30.0, 3), ("stereo mp3", 30.0, 3)]


def main(arguments: list[str] | None = None) -> None:
    """Measure, print, and write the JSON and the table."""
    options = _options(arguments)
    quick = options.quick
    print(
        "CPU time of one thread, medians of interleaved rounds; "
        "ms per second of sound [ratio to the floor].\n"
    )
    result: dict[str, Any] = {
        "machine": features.machine(),
        "source": features.source_name(options.source),
        "quick": quick,
    }
    result["cases"] = features.measure(options.source, QUICK_CASES if quick else CASES)
    result["extraction"] = extraction.measure(
        options.source, clips=96 if quick else 240, rounds=1 if quick else 3
    )
    extraction.show(result["extraction"])
    result["startup"] = startup.measure(options.source, rounds=2 if quick else 5)
    startup.show(result["startup"])
    with tempfile.TemporaryDirectory() as folder:
        run = commands.demo_run(Path(folder) / "run")
        result["commands"] = commands.measure(run, rounds=1 if quick else 3)
        commands.show(result["commands"])
        if sys.platform == "linux":
            rounds, requests = (10, 0) if quick else (50, 2_000)
            result["service"] = serving.measure(run, options.source, rounds=rounds, requests=requests)
            serving.show(result["service"])
    result["training"] = training_growth.measure([1_000] if quick else [1_000, 3_000, 10_000])
    clips = [100, 1000] if quick else [1000, 10000]
    hours = [0.5] if quick else [3.0]
    formats = ["wav"] if quick else ["wav", "flac", "mp3"]
    result["memory"] = []
    for line in memory.measure(options.source, clips=clips, hours=hours, formats=formats):
        result["memory"].append(line)
        memory.show(line)
    memory.show_targets(result["memory"])
    if options.compare:
        features.compare(json.loads(options.compare.read_text()), result)
    for path, text in ((options.json, json.dumps(result, indent=1)), (options.table, table(result))):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
        print(f"Written: {path}")


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Speed and memory, side by side with librosa."
    )
    parser.add_argument(
        "--quick", action="store_true", help="a few minutes instead of twenty, with few cases and clips"
    )
    parser.add_argument(
        "--source", type=Path, default=REAL_MUSIC, help="folder of recordings; default: the demo corpus"
    )
    parser.add_argument("--json", type=Path, default=RESULTS / "bench.json")
    parser.add_argument("--table", type=Path, default=RESULTS / "bench.md")
    parser.add_argument("--compare", type=Path, help="JSON of an earlier run")
    return parser.parse_args(arguments)


def table(result: dict[str, Any]) -> str:
    """The results in Markdown: a table of ms per second of sound (times ours), then a list of the rest.

    Example:
        >>> case = {"format": "wav", "seconds": 30.0, "ms_per_second": {"ours": 0.5, "floor": 0.75}}
        >>> print(table({"cases": [case | {"over_ours": {"ours": (1.0, 1.0, 1.0), "floor": (1.5, 1.4,
        1.6)}}]})) | ms per second of sound (times ours) | wav, 30 s |
        |---|---|
        | ours | 0.50 |
        | floor | 0.75 (1.5×) |
    """
    cases = result["cases"]
    headings = " | ".join(f"{case['format']}, {case['seconds']:g} s" for case in cases)
    lines = [f"| ms per second of sound (times ours) | {headings} |", "|---" * (len(cases) + 1) + "|"]
    names = dict.fromkeys(name for case in cases for name in case["ms_per_second"])
    lines += [f"| {name} | " + " | ".join(_cell(case, name) for case in cases) + " |" for name in names]
    if "extraction" in result:
        whole, begin = result["extraction"], result["startup"]
        lines += [
            "",
            "- End to end (parquet and spectrograms written, start-up excluded): "
            f"{_ratio(whole['end_to_end'])} times the engine alone.",
            f"- Two workers: {_ratio(whole['two_workers'])} times one.",
            f"- Import {begin['import_s']:.2f} s of CPU; "
            f"first clip {begin['first_over_tenth']:.1f} times the tenth; "
            f"an empty cache costs {begin['compile_s']:.1f} s once "
            f"({begin['compilations']} compilation by two processes).",
        ]
        lines += [
            f"- {line['case']}: {sorted(line['cpu_s'])[len(line['cpu_s']) // 2]:.2f} s of CPU, "
            f"{line['peak_mb']:.0f} MB (start included)."
            for line in result.get("commands", [])
        ]
        if "service" in result:
            answers = sorted(result["service"]["requests_ms"])
            lines.append(f"- The service answers a 10 s mp3 in {answers[len(answers) // 2]:.0f} ms.")
        lines += [
            f"- A fit of {line['member']} on {line['rows']:,} rows of 518 columns in 16 classes: "
            f"{line['seconds']:.1f} s of CPU, {line['peak_mb']:.0f} MB."
            for line in result.get("training", [])
        ]
        lines += [
            f"- Peak memory, {line['what']}: {line['main_mb']:.0f} MB, worker {line['worker_mb']:.0f} MB."
            for line in result["memory"]
        ]
    return "\n".join(lines)


def _cell(case: dict[str, Any], name: str) -> str:
    if name not in case["ms_per_second"]:
        return ""
    time, times_ours = case["ms_per_second"][name], case["over_ours"][name][0]
    return f"{time:.2f}" + ("" if abs(times_ours - 1) < 1e-9 else f" ({times_ours:.1f}×)")


def _ratio(spread: tuple[float, float, float]) -> str:
    return f"{spread[0]:.2f} ({spread[1]:.2f}-{spread[2]:.2f})"


if __name__ == "__main__":
    main()
