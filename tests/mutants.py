"""One-line sabotages, each of which must turn a named test red: `make mutants`.

A row is (file, what stands there, what to put instead, the test that must fail). The file is put back whatever happens.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

MUTANTS: tuple[tuple[str, str, str, str], ...] = ()


def survives(file: str, before: str, after: str, test: str) -> bool:
    """Whether the named test still passes with the sabotage in place."""
    path = ROOT / file
    original = path.read_text(encoding="utf-8")
    if original.count(before) != 1:
        raise SystemExit(f"{file}: the line to sabotage must stand there once, found {original.count(before)} times: {before!r}")
    try:
        path.write_text(original.replace(before, after), encoding="utf-8")
        done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *test.split()], cwd=ROOT, capture_output=True)
    finally:
        path.write_text(original, encoding="utf-8")
    return done.returncode == 0


def main() -> None:
    """Run all of them; exit 1 if any survives."""
    alive = 0
    for file, before, after, test in MUTANTS:
        lives = survives(file, before, after, test)
        alive += lives
        print(f"{'SURVIVED' if lives else 'killed  '}  {file}: {before.strip()[:60]} → {after.strip()[:60]}   [{test}]", flush=True)
    print(f"{len(MUTANTS) - alive} of {len(MUTANTS)} sabotages turned their test red")
    raise SystemExit(1 if alive else 0)


if __name__ == "__main__":
    main()
