"""How much memory `quintet extract` takes: many clips against few, and one long recording. See README.md in this folder.

python -m benchmarks.memory [--clips 1000 10000] [--hours 3] [--formats wav flac mp3]
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import soundfile

from benchmarks.music import FORMATS, RATE, REAL_MUSIC, recording
from benchmarks.peak import peak_mb

CLIP_S = 0.25
COMMAND = """
import atexit, sys
from benchmarks.peak import peak_mb
atexit.register(lambda: print("peak of the main process:", peak_mb(), file=sys.stderr))
from quintet.cli import main
main()
"""


def main() -> None:
    """Measures in processes of their own, and prints."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.memory", description="Peak memory of `quintet extract` with spectrograms."
    )
    parser.add_argument(
        "--clips",
        nargs="*",
        type=int,
        default=[1000, 10000],
        help="numbers of clips of a quarter of a second",
    )
    parser.add_argument("--hours", nargs="*", type=float, default=[3.0], help="lengths of one recording")
    parser.add_argument(
        "--formats", nargs="+", choices=FORMATS, default=["wav", "flac", "mp3"], help="of the long recording"
    )
    parser.add_argument("--source", type=Path, default=REAL_MUSIC, help="a folder of recordings")
    options = parser.parse_args()
    results = []
    for result in measured(options.source, clips=options.clips, hours=options.hours, formats=options.formats):
        show(result)
        results.append(result)
    show_targets(results)


def measured(
    source: Path | None, *, clips: list[int], hours: list[float], formats: list[str]
) -> Iterator[dict[str, Any]]:
    """One extraction after the other: what, megabytes of the main process and of the largest worker."""
    with tempfile.TemporaryDirectory() as place:
        for count in clips:
            yield _extraction(_clips(count, Path(place), source), f"{count} clips of {CLIP_S} s")
        for length in hours:
            for name in formats:
                yield _extraction(
                    _long(length, name, Path(place), source), f"{length:g} h of {name} in one file"
                )


def show(result: dict[str, Any]) -> None:
    """One line."""
    print(
        f"{result['what']}: main process {result['main_mb']:.0f} MB, worker {result['worker_mb']:.0f} MB, {result['seconds']:.0f} s",
        flush=True,
    )


def show_targets(results: list[dict[str, Any]]) -> None:
    """What the issue wants: the same for many clips as for few (±5 %), and less than 600 MB for a long recording; of every process."""
    many = [result for result in results if "clips" in result["what"]]
    for kind in ("main", "worker"):
        name = "main process" if kind == "main" else "worker"
        if len(many) > 1:
            growth = many[-1][f"{kind}_mb"] / many[0][f"{kind}_mb"] - 1
            print(
                f"{_met(abs(growth) <= 0.05)}  {name}, {many[-1]['what']} against {many[0]['what']}: {growth:+.1%} (wanted within 5 %)"
            )
        for result in results:
            if result not in many:
                print(
                    f"{_met(result[f'{kind}_mb'] < 600)}  {name}, {result['what']}: {result[f'{kind}_mb']:.0f} MB (wanted < 600)",
                    flush=True,
                )


def _met(yes: bool) -> str:
    return "met    " if yes else "NOT MET"


def _extraction(source: Path, what: str) -> dict[str, Any]:
    output = source.with_name(f"{source.name}-output")
    arguments = [
        "extract",
        str(source),
        "-o",
        str(output / "features.parquet"),
        "--spectrograms",
        str(output / "spectrograms"),
    ]
    began, worker = time.monotonic(), 0.0
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, *arguments], stdout=said, stderr=said, text=True
        )
        while process.poll() is None:
            worker = max([worker, *(_peak_or_zero(child) for child in _descendants(process.pid))])
            time.sleep(0.1)
        said.seek(0)
        text = said.read()
    if process.returncode:
        raise RuntimeError(f"quintet extract must succeed. It said: {text}")
    shutil.rmtree(source)
    return {
        "what": what,
        "main_mb": float(text.rsplit("process:", 1)[1].split()[0]),
        "worker_mb": worker,
        "seconds": time.monotonic() - began,
    }


def _descendants(process: int) -> list[int]:
    """The processes that a process has started, and theirs; none where there is no /proc."""
    children = Path(f"/proc/{process}/task/{process}/children")
    try:
        found = [int(number) for number in children.read_text().split()]
    except OSError:
        found = [
            int(stat.parent.name) for stat in Path("/proc").glob("[0-9]*/stat") if _parent(stat) == process
        ]
    return found + [deeper for child in found for deeper in _descendants(child)]


def _parent(stat: Path) -> int:
    try:
        return int(stat.read_text().rsplit(")", 1)[1].split()[1])
    except OSError:
        return -1


def _peak_or_zero(process: int) -> float:
    try:
        return peak_mb(process)
    except (OSError, StopIteration):  # it has just ended
        return 0.0


def _clips(count: int, place: Path, source: Path | None) -> Path:
    folder = place / f"{count}-clips"
    samples = recording(source, seconds=120.0)[:, 0]
    length = round(CLIP_S * RATE)
    (folder / "music").mkdir(parents=True)
    for number in range(count):
        begin = number * 12_961 % (len(samples) - length)
        soundfile.write(folder / "music" / f"{number:06d}.wav", samples[begin : begin + length], RATE)
    return folder


def _long(hours: float, name: str, place: Path, source: Path | None) -> Path:
    folder = place / f"{hours:g}-hours-{name.replace(' ', '-')}"
    suffix, format, subtype, channels = FORMATS[name]
    piece = recording(source, seconds=600.0)[:, :channels]
    (folder / "music").mkdir(parents=True)
    with soundfile.SoundFile(
        folder / "music" / f"long{suffix}", "w", RATE, channels, format=format, subtype=subtype
    ) as file:
        for minute in range(round(hours * 60)):
            begin = minute % 10 * 60 * RATE
            file.write(piece[begin : begin + 60 * RATE])
    return folder


if __name__ == "__main__":
    main()
