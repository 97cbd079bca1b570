"""Questions about songs: what a condition selects, and that it can do nothing else."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from quintet.errors import ArtefactError, ConfigError, MachineError, MissingExtraError
from quintet.library import query as queries
from quintet.library import stored
from quintet.library.query import FUNCTIONS, SongQuery

SONGS = pa.table(
    {
        "id": ["a", "b", "c", "d"],
        "genre": ["rock", "jazz;live", None, "it's"],
        "tempo": [90.0, 120.0, 128.0, None],
        "year": pa.array([1990, 2001, None, 2020], pa.int64()),
    }
)
NUMBERS = pa.table({"id": ["d", "b", "a"], "mood_happy": pa.array([0.9, 0.6, 0.1], pa.float32())})


@pytest.fixture(scope="module")
def query() -> SongQuery:
    return SongQuery(SONGS, NUMBERS)


def ids(table: pa.Table) -> list[str]:
    return table.column("id").to_pylist()


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("tempo between 110 and 130", ["b", "c"]),
        ("mood_happy > .5 and (tempo > 100 or tempo is null)", ["b", "d"]),
        ("MOOD_HAPPY < .5", ["a"]),
        ("genre = 'it''s'", ["d"]),
        ("genre like '%live%' or lower(genre) in ('rock')", ["a", "b"]),
        ("not (tempo > 100)", ["a"]),
        ("case when year is null then false else year >= 2001 end", ["b", "d"]),
        ("tempo / 2 + 5 = 50", ["a"]),
        ("genre = 'rock' -- a remark", ["a"]),
        ("coalesce(tempo, 0) < 100", ["a", "d"]),
    ],
)
def test_select(query: SongQuery, where: str, expected: list[str]) -> None:
    assert ids(query.select(where)) == expected


def test_order_and_limit(query: SongQuery) -> None:
    assert ids(query.select(order_by="-tempo")) == ["c", "b", "a", "d"]
    assert ids(query.select("tempo > 0", order_by="mood_happy", limit=2)) == ["a", "b"]


@pytest.mark.parametrize(
    "attack",
    [
        "",
        "1=1); DROP TABLE songs; --",
        "true) UNION SELECT 1 FROM songs WHERE (true",
        "true) ORDER BY (SELECT 1",
        "true) LIMIT (1",
        "true); COPY songs TO '/tmp/x.csv'; SELECT (1",
        "exists (select 1 from read_text('/etc/passwd'))",
        "id in (select content from read_text('/etc/passwd'))",
        "(select count(*) from 'x.parquet') > 0",
        "id = getenv('HOME')",
        "length(repeat('a', 1000000000)) > 0",
        "id = current_setting('memory_limit')",
        "row_number() over () > 1",
        "id = ?",
        "id = $1",
        "columns(*) is null",
        "list_transform([1], lambda x: x) is null",
        "true) GROUP BY (id",
        "true) QUALIFY (true",
        "songs.* is null",
        "nextval('x') > 1",
        "position > 1",
        "a.id = 'x'",
        "pragma_version() is null",
        "sha256(id) = 'x'",
        "main.lower(id) = 'x'",
        "count(*) > 1",
        "cast(year as varchar) = '2020'",
        "genre = 'x' collate nocase",
        "(" * 3000,
        "id = '\0'",
    ],
)
def test_refuses_all_but_one_expression(query: SongQuery, attack: str) -> None:
    with pytest.raises(ConfigError):
        query.select(attack)
    assert ids(query.select()) == ["a", "b", "c", "d"]


def test_unknown_column_names_the_nearest(query: SongQuery) -> None:
    with pytest.raises(ConfigError, match="mood_happy"):
        query.select("mood_hapy > 1")
    with pytest.raises(ConfigError, match="tempo"):
        query.select(order_by="tempi")


def test_connection_reads_no_files_even_without_the_check(query: SongQuery) -> None:
    import duckdb

    connection = query._open()
    for statement in (
        "SELECT * FROM read_text('/etc/hostname')",
        "SELECT * FROM '/etc/hostname'",
        "COPY (SELECT 1) TO '/tmp/quintet-attack.csv'",
        "ATTACH '/tmp/quintet-attack.db'",
        "SET enable_external_access = true",
        "INSTALL httpfs",
    ):
        with pytest.raises(duckdb.Error):
            connection.execute(statement).fetchall()


def test_no_function_reads_files_or_settings() -> None:
    assert not {name for name in FUNCTIONS if "read" in name or "setting" in name or "env" in name}


@pytest.mark.skipif(os.name == "nt", reason="Windows deletes no current folder")
def test_a_question_in_a_deleted_folder_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(MachineError, match="does not start here"):
        SongQuery(SONGS, NUMBERS).select("tempo > 100")
    monkeypatch.chdir(tmp_path)
    assert ids(SongQuery(SONGS, NUMBERS).select("tempo > 100")) == ["b", "c"]


def test_too_little_memory_is_no_missing_library_and_no_damaged_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fault = pa.ArrowException("Failed to launch worker thread")
    monkeypatch.setitem(sys.modules, "duckdb", None)
    for is_short, missing, damaged in (
        (False, MissingExtraError, ArtefactError),
        (True, MemoryError, MachineError),
    ):
        for module in (queries, stored):
            monkeypatch.setattr(module, "is_memory_short", lambda is_short=is_short: is_short)
        with pytest.raises(missing):
            queries.import_duckdb()
        with pytest.raises(damaged):
            raise stored.damaged(Path("songs.parquet"), fault, "Scan again.")


def test_a_question_that_does_not_fit_into_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise duckdb.OutOfMemoryException("Out of Memory Error: Allocation failure")

    monkeypatch.setattr(duckdb, "connect", fail)
    with pytest.raises(MemoryError, match="Allocation failure"):
        SongQuery(SONGS, NUMBERS).select("tempo > 100")
