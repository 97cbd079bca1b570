"""The cache directory: where the platform keeps it, and what overrides it."""

from __future__ import annotations

from pathlib import Path

import pytest

from quintet.files.cache import cache_directory
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
