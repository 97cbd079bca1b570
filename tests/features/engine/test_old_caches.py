"""Cache folders of kernels that nothing uses go, and nothing else."""

from __future__ import annotations

import os
import time
from pathlib import Path

from quintet.features.engine.old_caches import DAY_S, KEPT_FOLDERS, note_use, remove_old_folders


def folder(place: Path, k: int, days: float, *, complete: bool = True) -> Path:
    made = place / f"kernels-{k:016x}"
    made.mkdir()
    marked = made / "complete" if complete else made
    if complete:
        marked.touch()
    used = time.time() - days * DAY_S
    os.utime(marked, (used, used))
    return made


def test_folders_that_are_not_used_are_removed(tmp_path: Path) -> None:
    current = folder(tmp_path, 0, 0)
    recent = folder(tmp_path, 1, 29)
    old, interrupted = folder(tmp_path, 2, 31), folder(tmp_path, 3, 31, complete=False)
    (tmp_path / "demo").mkdir()
    (tmp_path / "kernels-notes").mkdir()
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "kernels-00000000000000ff").symlink_to(outside, target_is_directory=True)
    assert remove_old_folders(current) == sorted([old.name, interrupted.name])
    assert current.is_dir()
    assert recent.is_dir()
    assert len(list(tmp_path.iterdir())) == 6


def test_beyond_the_latest_those_of_today_stay(tmp_path: Path) -> None:
    current = folder(tmp_path, 0, 0)
    for k in range(1, KEPT_FOLDERS + 3):
        folder(tmp_path, k, k + 0.5)
    removed = remove_old_folders(current)
    assert removed == [f"kernels-{k:016x}" for k in range(KEPT_FOLDERS, KEPT_FOLDERS + 3)]
    for k in range(20, 20 + KEPT_FOLDERS):
        folder(tmp_path, k, 0.5)
    assert not any(int(name[-16:], 16) >= 20 for name in remove_old_folders(current))


def test_a_use_is_noted_once_a_day(tmp_path: Path) -> None:
    used, fresh = folder(tmp_path, 1, 2), folder(tmp_path, 2, 0.5)
    before = (fresh / "complete").stat().st_mtime
    note_use(used)
    note_use(fresh)
    note_use(tmp_path / "absent")
    assert time.time() - (used / "complete").stat().st_mtime < 60
    assert (fresh / "complete").stat().st_mtime == before
