"""The README's table of commands has the cases and budgets of the benchmark that fills it."""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks.commands import CASES, table

README = Path(__file__).parents[1] / "README.md"


def test_the_readme_has_the_rows_of_the_benchmark() -> None:
    measured = [
        {"case": case.name, "cpu_s": [1.0], "budget_s": case.cpu_s, "budget_mb": case.peak_mb, "peak_mb": 1.0}
        for case in CASES
    ]
    rows = table(measured).split("\n\n")[0].splitlines()
    pattern = "\n".join(
        re.escape(row).replace("1\\.00", r"[\d.]+").replace("\\ 1\\ ", r" \d+ ") for row in rows
    )
    assert re.search(pattern, README.read_text(encoding="utf-8"))
