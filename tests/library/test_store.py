"""A library on disk: its tables, its features, its lock, and what is refused."""

from __future__ import annotations

import json
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from threadpoolctl import threadpool_limits

from quintet.errors import ArtefactError, MachineError
from quintet.files import machine
from quintet.library import feature_parts, store
from quintet.library.corrections import read_corrections
from quintet.library.feature_parts import FeatureParts
from quintet.library.playlists.space import SongSpace
from quintet.library.schema import SONGS, TABLES
from quintet.library.store import FACTS_FILE, Library
from quintet.library.vectors import Space, learn_space
from quintet.serving.browser.shelf import Shelf

NAMES = ("a.x.mean", "b.y.std")


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library.create(tmp_path / "my.library")


def parts_of(folder: Path, parameter_hash: str = "0" * 16) -> FeatureParts:
    return FeatureParts(folder / "features", NAMES, parameter_hash)


def test_tables_come_back_with_their_types(library: Library) -> None:
    songs = pa.table(
        {
            "id": ["a", "b"],
            "status": ["ok", "gone"],
            "tempo": [120, None],
            "root": ["/m"] * 2,
            "path": ["x", "y"],
        }
    )
    with library.writing():
        library.write("songs", songs)
    read = Library.open(library.folder)
    assert read.table("songs").schema == SONGS
    assert read.songs()["id"].tolist() == ["a"]
    assert read.songs(gone=True)["id"].tolist() == ["a", "b"]
    assert read.path_of(read.songs().iloc[0].to_dict()) == Path("/m/x")
    assert pd.read_parquet(library.folder / "songs.parquet")["tempo"].tolist()[0] == 120.0


def test_database_holds_the_tables(library: Library) -> None:
    duckdb = pytest.importorskip("duckdb")
    place = {"root": ["/m"], "path": ["x"]}
    library.write("songs", pa.table({"id": ["a"], **place, "status": ["ok"], "tempo": [120.0]}))
    library.write("tags", pa.table({"id": ["a", "a"], "field": ["genre"] * 2, "value": ["rock", "live"]}))
    library.write_database()
    with duckdb.connect(str(library.folder / "library.duckdb"), read_only=True) as connection:
        assert {name for (name,) in connection.execute("SHOW TABLES").fetchall()} == set(TABLES)
        found = connection.execute("SELECT tempo, count(*) FROM songs JOIN tags USING (id) GROUP BY 1")
        assert found.fetchall() == [(120.0, 2)]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no limit on the size of files")
def test_a_full_disk_under_the_database_is_a_fault_of_the_machine(library: Library) -> None:
    pytest.importorskip("duckdb")
    resource = pytest.importorskip("resource")
    library.write_database()
    before = (library.folder / "library.duckdb").read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    for room in (5_000, 40_000):
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
        try:
            with pytest.raises(MachineError, match="The database of a library"):
                library.write_database()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (library.folder / "library.duckdb").read_bytes() == before
    assert [path.name for path in library.folder.glob(".*")] == []


@pytest.mark.parametrize(("free", "expected"), [(1 << 20, MachineError), (64 << 30, ArtefactError)])
def test_a_table_is_not_blamed_for_too_little_memory(
    library: Library, monkeypatch: pytest.MonkeyPatch, free: int, expected: type[Exception]
) -> None:
    """`ulimit -v` ended `library retrain` with the advice to remove the features."""
    library.write("songs", pa.table({"id": ["a"], "root": ["/m"], "path": ["x"], "status": ["ok"]}))

    def read(*_: object) -> None:
        raise pa.lib.ArrowMemoryError("ZSTD_DCtx create failed")

    monkeypatch.setattr(store, "read_parquet", read)
    monkeypatch.setattr(machine, "_free_memory", lambda: free)
    with pytest.raises((MachineError, ArtefactError)) as caught:
        library.table("songs")
    assert caught.type is expected


def test_too_little_memory_is_no_fault_of_a_condition(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    duckdb = pytest.importorskip("duckdb")

    class Connection:
        def execute(self, _: str) -> None:
            raise duckdb.OutOfMemoryException("bad allocation")

    query = library.query
    monkeypatch.setattr(query, "_open", Connection)
    with pytest.raises(MemoryError, match="bad allocation"):
        query.select(order_by="tempo")


def test_activations_of_two_families_stay_apart(library: Library) -> None:
    library.write_activations("mood_", pa.table({"id": ["a", "b"], "mood_happy": [0.1, 0.2]}))
    library.write_activations("verdict_", pa.table({"id": ["b", "c"], "verdict_rock": [0.3, 0.4]}))
    library.write_activations("mood_", pa.table({"id": ["a"], "mood_sad": [0.5]}))
    frame = library.table("activations").to_pandas().set_index("id")
    assert sorted(frame.columns) == ["mood_sad", "verdict_rock"]
    assert frame["verdict_rock"].dropna().to_dict() == {"b": 0.3, "c": 0.4}
    assert frame["mood_sad"].dropna().to_dict() == {"a": 0.5}


def test_the_order_of_activations_is_that_of_their_ids(library: Library) -> None:
    """A join of Arrow with several threads has any order."""
    ids = [f"{k:05d}" for k in range(1000)]
    table = pa.table({"id": ids[::-1], "mood_happy": np.zeros(len(ids), np.float32)})
    library.write_activations("mood_", table)
    library.write_activations("verdict_", table.rename_columns(["id", "verdict_rock"]))
    assert library.table("activations").column("id").to_pylist() == ids


def test_the_vector_of_a_song_does_not_depend_on_the_others() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(40, 1500)).astype(np.float32)
    names, scale = tuple(f"a{k}" for k in range(1500)), np.ones(1500)
    space = Space(names, np.zeros(1500), scale, rng.normal(size=(1500, 64)), 40)
    some = [space.project(values[k : k + 7]) for k in range(0, 40, 7)]
    assert np.array_equal(space.project(values), np.concatenate(some))


def test_the_space_does_not_depend_on_the_number_of_threads() -> None:
    values = np.random.default_rng(0).normal(size=(300, 250)).astype(np.float32)
    spaces = []
    for n_threads in (1, 2):
        with threadpool_limits(limits=n_threads, user_api="blas"):
            spaces.append(learn_space([f"a{k}" for k in range(250)], values, 300))
    assert np.array_equal(spaces[0].components, spaces[1].components)


def test_one_writer(library: Library) -> None:
    with (
        library.writing(),
        pytest.raises(ArtefactError, match="this command"),
        Library.open(library.folder).writing(),
    ):
        pass


@pytest.mark.parametrize("damage", ["missing", "schema", "songs"])
def test_refuses_what_is_no_library(library: Library, damage: str) -> None:
    if damage == "missing":
        (library.folder / "library.json").unlink()
    elif damage == "schema":
        (library.folder / "library.json").write_text(json.dumps({"schema_version": 99}))
    else:
        (library.folder / "songs.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(ArtefactError, match=r"my\.library"):
        Library.open(library.folder).songs()


@pytest.mark.parametrize(
    ("file", "column", "values"),
    [
        ("songs", "id", None),
        ("songs", "tempo", ["fast"]),
        ("songs", "path", [[1]]),
        ("activations", "mood_happy", ["very"]),
        ("vectors", "v01", ["east"]),
        ("vectors", "v01", [np.nan]),
        ("features/part-0000000000000000-000001", "a.x.mean", ["loud"]),
        ("features/part-0000000000000000-000001", "a.x.mean", None),
        ("features/part-0000000000000000-000001", "audio_digest", ["other"]),
        ("features-index", "part", [None]),
    ],
)
def test_tables_that_quintet_does_not_write_are_refused(
    library: Library, file: str, column: str, values: list[object] | None
) -> None:
    """Columns of another type, with gaps, or missing: one sentence, and no other error."""
    library.facts.feature_names, library.facts.parameter_hash = list(NAMES), "0" * 16
    song = {
        "id": ["a"],
        "root": ["/m"],
        "path": ["x"],
        "status": ["ok"],
        "audio_digest": ["d"],
        "tempo": [9.0],
    }
    library.write("songs", pa.table(song))
    library.write("activations", pa.table({"id": ["a"], "mood_happy": [0.5]}))
    library.feature_parts.add(["d"], np.ones((1, 2), np.float32))
    pq.write_table(
        pa.table({"audio_digest": ["d"], "v00": [0.6], "v01": [0.8]}), library.folder / "vectors.parquet"
    )
    path = library.folder / f"{file}.parquet"
    table = pq.read_table(path)
    place = table.column_names.index(column)
    table = table.drop([column]) if values is None else table.set_column(place, column, pa.array(values))
    pq.write_table(table, path)

    def read_all() -> None:
        library.query.select("tempo > 1")
        library.features(["a"])
        SongSpace(library)

    with pytest.raises(ArtefactError, match=path.name):
        read_all()


@pytest.mark.parametrize(
    "change",
    [
        {"parameter_hash": "../../x"},
        {"parameter_hash": 5},
        {"roots": "/music"},
        {"feature_names": [1]},
        {"model": []},
        {"model": {"classes": 5}},
        {"model": {"path": 5}},
        {"roots": ["music"]},
        {"roots": ["/\0"]},
        {"roots": ["/\ud800"]},
        {"parameters": 1},
        {"model": {"drift": "unlike"}},
    ],
)
def test_refuses_facts_of_other_types(library: Library, change: dict[str, object]) -> None:
    file = library.folder / "library.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(ArtefactError, match=next(iter(change))):
        Library.open(library.folder)


@pytest.mark.parametrize(
    "name", ["features", "plans", "corrections.jsonl", "playlists.json", "songs.parquet"]
)
def test_a_library_holds_no_links(library: Library, tmp_path: Path, name: str) -> None:
    """Else a scan would remove parts of another library, and a correction would be added to any file."""
    (library.folder / name).symlink_to(tmp_path)
    with pytest.raises(ArtefactError, match="is a link"):
        Library.open(library.folder)


@pytest.mark.parametrize("name", ["songs.parquet", "corrections.jsonl", "library.duckdb", "watch.json"])
def test_a_folder_in_the_place_of_a_file_is_refused(library: Library, name: str) -> None:
    (library.folder / name).mkdir()
    with pytest.raises(ArtefactError, match=r"is a folder: remove it\.$"):
        Library.open(library.folder)


def test_a_folder_in_the_place_of_a_part_is_passed_over(tmp_path: Path) -> None:
    parts = parts_of(tmp_path)
    parts.add(["old"], np.zeros((1, 2), np.float32))
    (part,) = parts.files()
    part.unlink()
    part.mkdir()
    parts.add(["new"], np.ones((1, 2), np.float32))
    assert parts.digests() == {"new"}


def test_a_part_of_the_features_is_no_link(library: Library, tmp_path: Path) -> None:
    parts = parts_of(library.folder)
    parts.add(["sound"], np.ones((1, 2), np.float32))
    (part,) = parts.files()
    part.rename(tmp_path / "outside.parquet")
    part.symlink_to(tmp_path / "outside.parquet")
    assert parts.files() == []
    assert np.isnan(parts.read(["sound"])).all()


@pytest.mark.parametrize("name", ["library.json", "corrections.jsonl", "playlists.json"])
@pytest.mark.parametrize("kind", ["pipe", "hole"])
def test_a_file_of_a_library_is_an_ordinary_one_of_a_bounded_size(
    library: Library, name: str, kind: str
) -> None:
    """A pipe is not waited for, and a file with a hole of a terabyte is not read."""
    file = library.folder / name
    file.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(file)
    else:
        file.touch()
        os.truncate(file, 1 << 40)

    def read() -> tuple[dict[str, str], object]:
        shelf = Shelf(library.folder)
        return read_corrections(library.folder), shelf.playlists()

    tracemalloc.start()
    try:
        if kind == "hole" or name == FACTS_FILE:
            with pytest.raises(ArtefactError):
                read()
        else:
            assert read() == ({}, {})
        assert tracemalloc.get_traced_memory()[1] < 1 << 25
    finally:
        tracemalloc.stop()


def test_the_reason_for_a_damaged_table_is_one_line(library: Library) -> None:
    """Arrow quotes bytes of the footer, and ends its message with a line break."""
    library.write("tags", TABLES["tags"].empty_table())
    path = library.folder / "tags.parquet"
    data = bytearray(path.read_bytes())
    data[-8 - int.from_bytes(data[-8:-4], "little")] = 0x1F
    path.write_bytes(data)
    with pytest.raises(ArtefactError, match="parquet files") as caught:
        library.tags()
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("time", [-(1 << 62), 253_402_300_800_000_000])
def test_times_that_python_does_not_have_are_refused(library: Library, time: int) -> None:
    place = {"root": ["/m"], "path": ["x"]}
    songs = pa.table(
        {"id": ["a"], **place, "status": ["ok"], "added": pa.array([time], SONGS.field("added").type)}
    )
    library.write("songs", songs)
    with pytest.raises(ArtefactError, match="9999"):
        library.songs()


def test_corrections_that_quintet_does_not_write_are_left_out(library: Library) -> None:
    lines = [
        b"[" * 100_000,
        b'{"sound": 1, "label": "\\u001b[2J"}',
        b'{"sound": "b", "label": "rock"}',
        b"\xff",
    ]
    lines += [json.dumps({"sound": "c", "label": "x" * 201}).encode(), b"null", b'"sound"', b"1" * 5000]
    (library.folder / "corrections.jsonl").write_bytes(b"\n".join(lines))
    assert read_corrections(library.folder) == {"b": "rock"}


@pytest.mark.parametrize("path", ["a\0.mp3", "../x.mp3", "/etc/passwd", "a/../../x.mp3"])
def test_songs_lie_in_their_root(library: Library, path: str) -> None:
    with pytest.raises(ArtefactError, match="leads out"):
        library.path_of({"root": "/music", "path": path})


def test_refuses_a_folder_with_other_files(tmp_path: Path) -> None:
    (tmp_path / "song.mp3").write_bytes(b"x")
    with pytest.raises(ArtefactError, match="other files"):
        Library.open_or_create(tmp_path)


def test_newest_features_win_and_small_parts_are_joined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_parts, "MOST_SMALL", 4)
    parts = parts_of(tmp_path)
    for k in range(6):
        parts.add([f"d{k}", "again"], np.full((2, 2), k, np.float32))
    assert len(parts.files()) == 3  # four were joined to one
    assert parts_of(tmp_path).index() == parts.index()
    parts.index_file.unlink()
    assert {digest: parts.read([digest])[0, 0] for digest in parts.digests()}["again"] == 5
    assert parts.digests() == {"again", *(f"d{k}" for k in range(6))}
    assert parts.read(["d1", "again", "nobody", "d5", "d1"])[:, 0].tolist()[:2] == [1, 5]
    assert np.isnan(parts.read(["nobody"])).all()
    assert parts.read(["d3", "d0"], ["b.y.std"]).tolist() == [[3], [0]]
    assert len(pd.read_parquet(tmp_path / "features")) == 9


def test_parts_of_other_parameters_are_left_out(tmp_path: Path) -> None:
    parts_of(tmp_path, "1" * 16).add(["old"], np.zeros((1, 2), np.float32))
    parts = parts_of(tmp_path)
    parts.add(["new"], np.ones((1, 2), np.float32))
    assert parts.digests() == {"new"}
    parts.remove_others()
    assert len(list((tmp_path / "features").iterdir())) == 1


def test_features_of_songs(library: Library) -> None:
    library.facts.feature_names, library.facts.parameter_hash = list(NAMES), "0" * 16
    places = {"root": ["/m"] * 2, "path": ["x", "y"]}
    library.write(
        "songs", pa.table({"id": ["a", "b"], **places, "audio_digest": ["d", "e"], "status": ["ok", "ok"]})
    )
    library.feature_parts.add(["e"], np.array([[1, 2]], np.float32))
    frame = library.features(["b", "a"])
    assert frame.loc["b"].tolist() == [1, 2]
    assert frame.loc["a"].isna().all()
    with pytest.raises(ArtefactError, match="'nobody'"):
        library.features(["nobody"])
