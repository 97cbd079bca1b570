"""Peak memory of `quintet extract`: for few clips, for many, and for one long recording. See README.md.

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
    """Measure in separate processes, and print."""
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
        "--formats", nargs="+", choices=FORMATS, default=["wav", "flac", "mp3"], help="of long recordings"
    )
    parser.add_argument("--source", type=Path, default=REAL_MUSIC, help="a folder of recordings")
    options = parser.parse_args()
    results = []
    for result in measure(options.source, clips=options.clips, hours=options.hours, formats=options.formats):
        show(result)
        results.append(result)
    show_targets(results)


def measure(
    source: Path | None, *, clips: list[int], hours: list[float], formats: list[str]
) -> Iterator[dict[str, Any]]:
    """Run one extraction after the other; give peak MB of the main process and of the largest worker."""
    with tempfile.TemporaryDirectory() as place:
        for count in clips:
            yield _extraction(_clips(count, Path(place), source), f"{count} clips of {CLIP_S} s")
        for length in hours:
            for name in formats:
                yield _extraction(
                    _long(length, name, Path(place), source), f"{length:g} h of {name} in one file"
                )


def show(result: dict[str, Any]) -> None:
    """Print one result."""
    main_mb, worker_mb = result["main_mb"], result["worker_mb"]
    print(
        f"{result['what']}: main process {main_mb:.0f} MB, worker {worker_mb:.0f} MB, "
        f"{result['seconds']:.0f} s",
        flush=True,
    )


def show_targets(results: list[dict[str, Any]]) -> None:
    """Print whether every process meets the targets.

    The memory for many clips is that for few clips within 5 %. A long recording takes less than 600 MB.
    """
    many = [result for result in results if "clips" in result["what"]]
    for kind in ("main", "worker"):
        name = "main process" if kind == "main" else "worker"
        if len(many) > 1:
            growth = many[-1][f"{kind}_mb"] / many[0][f"{kind}_mb"] - 1
            compared = f"{many[-1]['what']} against {many[0]['what']}"
            print(f"{_met(abs(growth) <= 0.05)}  {name}, {compared}: {growth:+.1%} (target: within 5 %)")
        for result in results:
            if result not in many:
                mb = result[f"{kind}_mb"]
                print(f"{_met(mb < 600)}  {name}, {result['what']}: {mb:.0f} MB (target < 600)", flush=True)


def _met(yes: bool) -> str:
    return "met    " if yes else "NOT MET"


def _extraction(source: Path, what: str) -> dict[str, Any]:
    output = source.with_name(f"{source.name}-output")
    arguments = ["extract", str(source), "-o", str(output / "features.parquet")]
    arguments += ["--spectrograms", str(output / "spectrograms")]
    command = [sys.executable, "-c", COMMAND, *arguments]
    began, worker = time.monotonic(), 0.0
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, text=True)
        while process.poll() is None:
            worker = max([worker, *(_peak_or_zero(child) for child in _descendants(process.pid))])
            time.sleep(0.1)
        log.seek(0)
        text = log.read()
    if process.returncode:
        raise RuntimeError(f"quintet extract must succeed. Its output: {text}")
    shutil.rmtree(source)
    return {
        "what": what,
        "main_mb": float(text.rsplit("process:", 1)[1].split()[0]),
        "worker_mb": worker,
        "seconds": time.monotonic() - began,
    }


def _descendants(process: int) -> list[int]:
    """Child processes of a process, and their descendants; empty if there is no /proc."""
    listing = Path(f"/proc/{process}/task/{process}/children")
    try:
        children = [int(number) for number in listing.read_text().split()]
    except OSError:
        stats = Path("/proc").glob("[0-9]*/stat")
        children = [int(stat.parent.name) for stat in stats if _parent(stat) == process]
    return children + [deeper for child in children for deeper in _descendants(child)]


def _parent(stat: Path) -> int:
    try:
        return int(stat.read_text().rsplit(")", 1)[1].split()[1])
    except OSError:
        return -1


def _peak_or_zero(process: int) -> float:
    try:
        return peak_mb(process)
    except (OSError, StopIteration):  # the process has just ended
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
    path = folder / "music" / f"long{suffix}"
    with soundfile.SoundFile(path, "w", RATE, channels, format=format, subtype=subtype) as file:
        for minute in range(round(hours * 60)):
            begin = minute % 10 * 60 * RATE
            file.write(piece[begin : begin + 60 * RATE])
    return folder


if __name__ == "__main__":
    main()
