"""Files that are whole or absent."""

from __future__ import annotations

from pathlib import Path

import pytest

from quintet.errors import ArtefactError
from quintet.files.atomic import atomic_replace, exclusive_lock


def test_who_reads_the_old_file_never_sees_the_new_one_in_it(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "file"
    with atomic_replace(target) as temporary:
        temporary.write_text("old")
    with target.open() as reader:
        with atomic_replace(target) as temporary:
            temporary.write_text("new")
            assert target.read_text() == "old"
        assert reader.read() == "old"
    assert target.read_text() == "new"
    assert [path.name for path in target.parent.iterdir()] == ["file"]


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    def fail_halfway() -> None:
        with atomic_replace(tmp_path / "file") as temporary:
            temporary.write_text("half")
            raise ZeroDivisionError

    (tmp_path / "file").write_text("old")
    with pytest.raises(ZeroDivisionError):
        fail_halfway()
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("file", "old")]


def test_a_lock_ends_with_its_block(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    for _ in range(2):
        with (
            exclusive_lock(tmp_path / "lock", what="x"),
            pytest.raises(ArtefactError, match="may write y"),
            exclusive_lock(tmp_path / "lock", what="y"),
        ):
            pass
