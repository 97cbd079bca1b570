"""Mutated libraries: each answers every question, or is refused in one sentence."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa

from quintet.datasets.genre_map import GenreMap
from quintet.errors import QuintetError
from quintet.features.storage.read import read_feature_table
from quintet.library.corrections import add_correction
from quintet.library.playlists.build import PlaylistSettings, build_playlist
from quintet.library.playlists.space import SongSpace
from quintet.library.playlists.write import SUFFIXES, write_playlist
from quintet.library.retraining.retrain import RetrainOptions, retrain
from quintet.library.scanning import scan as scanning
from quintet.library.scanning.finish import finish_scan
from quintet.library.scanning.scan import ScanOptions
from quintet.library.scanning.watching import Watcher, WatchSettings
from quintet.library.store import Library
from quintet.library.tags.plan import PlanOptions, make_plan
from quintet.library.tags.plan_file import PlanFile, write_plan
from quintet.library.training_table import tagged_songs, write_training_table
from quintet.serving.browser.shelf import PLANS_FOLDER, Shelf
from tests.fuzz.library.tags import in_this_process, mutate_lines
from tests.fuzz.model_folders import BROKEN_SEED, put, refusal
from tests.fuzz.mutations import choose, mutate_bytes, mutate_json, mutate_parquet
from tests.fuzz.tables import check_features, keep_metadata
from tests.fuzz.target import Runner
from tests.library.tags.songs import add_tags, make_song

Rng = np.random.Generator
LINKS = ("/proc/self/environ", "/dev/zero", "/dev/full", "songs.parquet", "..", "/etc/passwd")
LARGE = 2 << 30
"""Bytes of a file with a hole."""
N_SONGS = 6
TRAININGS = int(os.environ.get("QUINTET_FUZZ_TRAININGS", "25"))
"""One try in so many trains a model, which takes a second."""


def prepare(seeds: Path) -> Runner:
    """A library of six songs with predictions, moods, corrections, playlists, and a journal."""
    with in_this_process():
        seed = make_seed(seeds)
    readers = (read_tables, ask, near, learn, plan, page, rescan, watch)

    def run(rng: Rng, folder: Path) -> Counter[str]:
        target = folder / "my.library"
        shutil.copytree(seed, target)
        for _ in range(int(choose(rng, (1, 1, 1, 2, 3)))):
            spoil(target, rng)
        reader: Callable[[Path, Path], str] = choose(rng, readers)
        if rng.integers(TRAININGS) == 0:
            reader = again
        try:
            with in_this_process():
                return Counter([reader(target, seeds / "music")])
        except QuintetError as error:
            return Counter([refusal(error)])

    return run


def make_seed(seeds: Path) -> Path:
    """The library that is mutated."""
    music = seeds / "music"
    music.mkdir()
    for k in range(N_SONGS):
        add_tags(make_song(music / f"{k}.{('wav', 'flac', 'mp3')[k % 3]}", seed=k))
    (music / "empty.wav").write_bytes(b"")
    library = Library.create(seeds / "my.library")
    with library.writing():
        scanning.scan(library, music, ScanOptions(embeddings=()))
        songs = library.table("songs").to_pandas()
        ids = songs["id"].tolist()
        songs["verdict"], songs["verdict_probability"], songs["verdict_set"] = "rock", 0.9, "rock"
        songs["artist"], songs["genre"] = [f"artist {k}" for k in range(len(ids))], "Rock;Live"
        library.write("songs", _table(songs))
        rows = [{"id": id, "label": name, "probability": 0.5, "in_set": True} for id in ids for name in "ab"]
        library.write("verdicts", _table(rows))
        library.write("tags", _tags(ids))
        library.facts.model = {"path": str(seeds / "model"), "classes": ["a", "b"], "multilabel": False}
        library.write_facts()
        finish_scan(library)
    sounds = songs["audio_digest"].tolist()
    for sound in sounds[:3]:
        add_correction(library.folder, sound, "jazz")
    shelf = Shelf(library.folder)
    shelf.keep_playlists({"mine": ids[:2]})
    (library.folder / PLANS_FOLDER).mkdir()
    watch(library.folder, music)
    make_song(music / "late.wav", seed=N_SONGS)
    moods = _table([{"id": id, "mood_happy": 0.7} for id in ids], np.float32)
    library.write_activations("mood_", moods)
    return library.folder


def _tags(ids: list[str]) -> pa.Table:
    """An artist for each song, and the genre rock."""
    fields = {"artist": "artist {}", "genre": "rock"}
    rows = [
        {"id": id, "field": field, "position": 0, "value": value.format(k), "source": "TAG"}
        for k, id in enumerate(ids)
        for field, value in fields.items()
    ]
    return pa.Table.from_pylist(rows)


def _table(content: object, kind: type | None = None) -> object:
    import pandas as pd

    frame = pd.DataFrame(content)
    if kind is not None:
        frame = frame.astype({name: kind for name in frame.columns if name != "id"})
    return pa.Table.from_pandas(frame, preserve_index=False)


def spoil(folder: Path, rng: Rng) -> None:
    """Change one file of a library: its content, or what it is."""
    files = sorted(path for path in folder.rglob("*") if not path.is_dir() or path.is_symlink())
    path, kind = choose(rng, files), int(rng.integers(30))
    if kind == 0:
        path.unlink()
    elif kind == 1:
        path.unlink()
        path.symlink_to(choose(rng, LINKS))
    elif kind == 2:
        path.unlink()
        os.mkfifo(path)
    elif kind == 3:
        path.unlink()
        path.touch()
        os.truncate(path, LARGE)
    elif kind == 4:
        path.unlink()
        path.mkdir()
    elif path.is_file() and not path.is_symlink() and path.stat().st_size < LARGE:
        put(path, forge(path, rng))


def forge(path: Path, rng: Rng) -> bytes:
    """The content of a file, mutated as its suffix suggests."""
    data = path.read_bytes()
    try:
        if path.suffix == ".json":
            return mutate_json(data, rng)
        if path.suffix == ".jsonl":
            return mutate_lines(data, rng)
        if path.suffix == ".parquet":
            return keep_metadata(data, mutate_parquet(data, rng))
    except BROKEN_SEED:
        pass
    return mutate_bytes(data, rng)


def read_tables(folder: Path, music: Path) -> str:
    """All tables and the features."""
    library = Library.open(folder)
    songs = library.songs(gone=True)
    for frame in (library.tags(), library.verdicts(), library.failures()):
        frame.to_csv()
    found = library.features(songs["id"].tolist()[:3])
    if list(found.columns) != library.facts.feature_names:
        raise AssertionError("other features than the library names")
    return "tables"


def ask(folder: Path, music: Path) -> str:
    """Conditions of SQL."""
    query = Library.open(folder).query
    query.select("tempo > 0 or tempo is null", order_by="-energy")
    query.select("mood_happy > .5 and lower(path) like '%wav'")
    return "asked"


def near(folder: Path, music: Path) -> str:
    """Near songs and playlists."""
    library = Library.open(folder)
    space = SongSpace(library)
    for song in space.nearest(space.ids[:1], n=3):
        if not np.isfinite(song.similarity):
            raise AssertionError(f"no similarity: {song}")
    for energy in (None, "arc"):
        ids = build_playlist(library, PlaylistSettings(length=3, energy=energy), space)
        rows = space.songs.take([space.position[id] for id in ids]).to_pylist()
        for suffix in SUFFIXES:
            write_playlist(folder.with_name(f"list{suffix}"), rows)
    json.loads(folder.with_name("list.json").read_bytes())
    return "near"


def learn(folder: Path, music: Path) -> str:
    """A training table of genres."""
    library, output = Library.open(folder), folder.with_name("table.parquet")
    tagged = tagged_songs(library, "genre", GenreMap(least=1))
    tagged.counts()
    write_training_table(library, tagged, output)
    check_features(read_feature_table(output))
    return "learnt"


def plan(folder: Path, music: Path) -> str:
    """A plan of tags, written and read."""
    found = make_plan(Library.open(folder), PlanOptions(("genre", "mood", "bpm", "key"), "append"))
    write_plan(found.rows, folder.with_name("plan.csv"))
    read = PlanFile.read(folder.with_name("plan.csv"))
    if len(read.rows) + len(read.refusals) + read.n_blank < len({(r.file, r.field) for r in found.rows}):
        raise AssertionError(f"rows are lost: {found.rows} {read}")
    return "planned"


def page(folder: Path, music: Path) -> str:
    """What the page of a library asks."""
    shelf = Shelf(folder)
    answers: list[object] = [shelf.state(), shelf.genres(), shelf.journals()]
    for data in (shelf.columns(), shelf.texts(), shelf.view.map_bytes()):
        assert isinstance(data, bytes)
    for id in shelf.view.ids[:2]:
        answers.append(shelf.details(id))
        shelf.sound_path(id)
        answers.append(shelf.correct(id, "jazz"))
        answers.append(shelf.similar(id, 3, 1))
    answers.append(shelf.playlists())
    shelf.export("mine", shelf.view.ids)
    json.dumps(answers, allow_nan=False)
    return "page"


def watch(folder: Path, music: Path) -> str:
    """Two looks of a watcher, which add a new song to a plan that somebody has edited."""
    target = folder.with_name("watched.csv")
    watcher = Watcher(folder, WatchSettings(0.0, 1, target, PlanOptions(("genre", "bpm"), "append", 0.0)))
    for found in (watcher.look(), watcher.look()):
        if any(root == str(music) and of.n_songs < N_SONGS for root, of in found.summaries.items()):
            raise AssertionError(f"songs are lost: {found}")
        json.dumps(found.to_json(), allow_nan=False)
        if target.exists():
            PlanFile.read(target)
    return "watched"


def again(folder: Path, music: Path) -> str:
    """A model of the genres with the corrections, and whether they helped."""
    options = RetrainOptions(genres=GenreMap(least=1), members=("logistic_regression",))
    result = retrain(Library.open(folder), folder.with_name("model"), options)
    json.dumps(result.to_json(), allow_nan=False)
    return "retrained"


def rescan(folder: Path, music: Path) -> str:
    """A scan of the music into the library."""
    library = Library.open(folder)
    with library.writing():
        summary = scanning.scan(library, music, ScanOptions(embeddings=()))
        finish_scan(library)
    if summary.n_songs < N_SONGS:
        raise AssertionError(f"songs are lost: {summary}")
    return "scanned"
