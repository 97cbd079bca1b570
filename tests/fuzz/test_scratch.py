"""The fuzzer writes in its own folder only."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.fuzz import model_folders

ROOT = Path(__file__).parents[2]
ATTEMPTS = {
    "file": "(outside / 'a').write_bytes(b'')",
    "link to a file": "(inside / 'link').write_bytes(b'')",
    "relative path": "(inside / '..' / 'outside' / 'a').write_bytes(b'')",
    "descriptor": "os.close(os.open(outside / 'a', os.O_CREAT | os.O_WRONLY))",
    "folder": "(outside / 'a').mkdir()",
    "removal": "(outside / 'kept').unlink()",
    "rename": "(inside / 'mine').rename(outside / 'kept')",
    "hard link": "os.link(inside / 'mine', outside / 'a')",
    "fork": "child = os.fork(); child or os._exit((outside / 'a').write_bytes(b'')); os.waitpid(child, 0)",
}
SCRIPT = """
import os, sys
from pathlib import Path
from tests.fuzz.scratch import confine
inside, outside = Path(sys.argv[1]), Path(sys.argv[2])
confine(inside)
(inside / "own").write_bytes(b"own")
(inside / "own").rename(inside / "renamed")
for attempt in sys.argv[3:]:
    try:
        exec(attempt)
    except BaseException as error:
        assert type(error).__name__ == "OutsideError", error
"""


def test_nothing_outside_of_the_scratch_folder_changes(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    for folder in (inside, outside):
        folder.mkdir()
    (outside / "kept").write_bytes(b"kept")
    (inside / "mine").write_bytes(b"mine")
    (inside / "link").symlink_to(outside / "kept")
    script = [sys.executable, "-c", SCRIPT, str(inside), str(outside), *ATTEMPTS.values()]
    subprocess.run(script, check=True, cwd=ROOT, timeout=60)
    assert {path.name: path.read_bytes() for path in outside.iterdir()} == {"kept": b"kept"}
    assert len((inside / "outside.txt").read_text().splitlines()) == len(ATTEMPTS)
    assert (inside / "renamed").read_bytes() == b"own"


def test_a_mutation_of_a_folder_writes_through_no_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every name of a folder is a link to a file outside, also those that a mutation adds."""
    kept = tmp_path / "kept"
    kept.write_bytes(b'{"kept": 1}')
    monkeypatch.setattr(model_folders, "MUTATIONS", {".json": lambda data, rng: b"mutated"})
    for number in range(20):
        folder, rng = tmp_path / str(number), np.random.default_rng(number)
        folder.mkdir()
        for name in ("bundle.json", "config.json", "fusion.json", "more.json", "more.npz", "é.parquet"):
            (folder / name).symlink_to(kept)
        for _ in range(6):
            model_folders._mutate_folder(folder, rng)
        assert kept.read_bytes() == b'{"kept": 1}'
