"""The cache directory: where the platform keeps it, and what overrides it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from quintet.errors import ArtefactError
from quintet.files.cache import cache_directory, make_private, require_unplanted
from quintet.files.internet.remote import workplace


def test_the_environment_overrides_the_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUINTET_CACHE_DIR", str(tmp_path))
    assert cache_directory() == tmp_path


def test_without_it_the_directory_is_named_after_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("QUINTET_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert "quintet" in cache_directory().parts[-2:]
    assert cache_directory().is_relative_to(Path.home())


def test_tables_of_two_addresses_are_written_at_two_places(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("QUINTET_CACHE_DIR", str(tmp_path))
    first, second = workplace("s3://a/features.parquet"), workplace("s3://b/features.parquet")
    assert first != second
    assert first.name == second.name == "features.parquet"
    assert first.is_relative_to(tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="owners and modes of files")
def test_unfinished_work_of_another_user_in_a_shared_place_is_not_taken_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared, mine = tmp_path / "shared", tmp_path / "mine"
    for folder in (shared, mine):
        (folder / "f.parquet.parts").mkdir(parents=True)
    shared.chmod(0o1777)
    require_unplanted(shared / "f.parquet.parts")
    require_unplanted(shared / "absent.parts")
    (shared / "link.parts").symlink_to(mine, target_is_directory=True)
    with pytest.raises(ArtefactError, match="must be yours"):
        require_unplanted(shared / "link.parts")
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    require_unplanted(mine / "f.parquet.parts")  # colleagues may go on with each other's work
    with pytest.raises(ArtefactError, match="must be yours"):
        require_unplanted(shared / "f.parquet.parts")


@pytest.mark.skipif(os.name == "nt", reason="modes of files")
def test_a_private_folder_is_made_with_all_folders_above_it(tmp_path: Path) -> None:
    make_private(tmp_path / "a" / "b")
    make_private(tmp_path / "a" / "b")
    assert {(tmp_path / name).stat().st_mode & 0o777 for name in ("a", "a/b")} == {0o700}
