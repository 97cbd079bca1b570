"""Budgets of commands: CPU seconds and peak memory of whole processes, start included. See README.md.

python -m benchmarks.commands [--rounds 3] [--run FOLDER] [--table]

The model has the five default members. FOLDER is the output of `quintet run recipes/demo.toml`; without it,
one is made (two minutes).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

DEMO = Path(__file__).parents[1] / "recipes" / "demo.toml"
MANY = 100


@dataclass(frozen=True)
class Case:
    """A command with its budget.

    Args:
        name: what it does.
        words: its arguments; RUN stands for the run, CLIP for a clip that the model does not know, MANY for a
            folder of a hundred such clips, OUT for a new folder.
        cpu_s: CPU seconds of the process and its workers.
        peak_mb: largest resident memory of one of these processes, MB; None: no budget.
    """

    name: str
    words: tuple[str, ...]
    cpu_s: float
    peak_mb: float | None = None


CASES = (
    Case("`quintet --help`", ("--help",), 0.4),
    Case("`predict`, one clip of 4.5 s", ("predict", "RUN/model", "CLIP"), 0.8, 200),
    Case("`predict`, a hundred clips", ("predict", "RUN/model", "MANY"), 3.0),
    Case("`explain`", ("explain", "RUN/model", "CLIP", "-o", "OUT/explain"), 5.0),
    Case("`report`, 120 clips", ("report", "RUN/model", "-o", "OUT/report"), 10.0),
)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.commands", description="Budgets of commands.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--run", type=Path, help="output of `quintet run recipes/demo.toml`")
    parser.add_argument("--table", action="store_true", help="print the table of the README")
    options = parser.parse_args()
    lines = measure(options.run, rounds=options.rounds)
    show(lines)
    if options.table:
        print(table(lines))


def measure(run: Path | None, *, rounds: int) -> list[dict[str, Any]]:
    """Per case: name, budgets, CPU seconds of each round, largest peak memory in MB."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        run = run or demo_run(folder / "run")
        clip = sorted((run / "held_out").glob("*.flac"))[0]
        (folder / "many").mkdir()
        for k in range(MANY):
            (folder / "many" / f"{k:03d}.flac").write_bytes(clip.read_bytes())
        lines = []
        for case in CASES:
            spent = []
            for k in range(rounds):
                places = {"RUN": run, "CLIP": clip, "MANY": folder / "many", "OUT": folder / f"out{k}"}
                words = list(case.words)
                for name, path in places.items():
                    words = [word.replace(name, str(path)) for word in words]
                spent.append(spend(words))
            lines.append(
                {
                    "case": case.name,
                    "budget_s": case.cpu_s,
                    "budget_mb": case.peak_mb,
                    "cpu_s": [seconds for seconds, _ in spent],
                    "peak_mb": max(megabytes for _, megabytes in spent),
                }
            )
        return lines


def demo_run(folder: Path) -> Path:
    """The output of `quintet run recipes/demo.toml` in a new folder."""
    spend(["run", str(DEMO), "-o", str(folder), "-q"])
    return folder


def show(lines: Sequence[dict[str, Any]]) -> None:
    """Print each case, and whether it keeps its budget."""
    for line in lines:
        seconds, budget_mb = float(np.median(line["cpu_s"])), line["budget_mb"]
        kept = seconds <= line["budget_s"] and (budget_mb is None or line["peak_mb"] <= budget_mb)
        memory = "" if budget_mb is None else f" (budget {budget_mb:g})"
        print(
            f"{'met    ' if kept else 'NOT MET'}  {line['case']}: {seconds:.2f} s of CPU "
            f"({min(line['cpu_s']):.2f}-{max(line['cpu_s']):.2f}; budget {line['budget_s']:g}), "
            f"{line['peak_mb']:.0f} MB{memory}",
            flush=True,
        )


def table(lines: Sequence[dict[str, Any]]) -> str:
    """The measurements as a Markdown table, with the load of the machine at the end of them."""
    rows = ["| command | CPU, s (smallest – largest) | budget, s | peak memory, MB |", "|---|---|---|---|"]
    for line in lines:
        seconds = line["cpu_s"]
        spread = f"{np.median(seconds):.2f} ({min(seconds):.2f} – {max(seconds):.2f})"
        memory = f"{line['peak_mb']:.0f}" + (f" (budget {line['budget_mb']:g})" if line["budget_mb"] else "")
        rows.append(f"| {line['case']} | {spread} | {line['budget_s']:g} | {memory} |")
    load = os.getloadavg()[1] if hasattr(os, "getloadavg") else float("nan")
    return "\n".join([*rows, "", f"Load of the machine: {load:.1f} on {os.cpu_count()} cores."])


def spend(words: Sequence[str]) -> tuple[float, float]:
    """CPU seconds of a command with all its processes, and the peak memory of the largest of them in MB."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "quintet", *words],
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env=environment,
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            raise RuntimeError(f"quintet {' '.join(words)} failed: {errors.read().decode(errors='replace')}")
    peak = usage.ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)
    return usage.ru_utime + usage.ru_stime, peak


if __name__ == "__main__":
    main()
