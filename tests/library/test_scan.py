"""Scan of a folder: what becomes of new, moved, tagged, copied, changed, broken and missing files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from quintet.features.parameters import FeatureParameters
from quintet.library.scanning import scan as scan_module
from quintet.library.scanning.changes import Changes
from quintet.library.scanning.examine import Examined
from quintet.library.scanning.finish import finish_scan
from quintet.library.scanning.listing import FoundFile
from quintet.library.scanning.scan import ScanOptions, scan
from quintet.library.scanning.summary import ScanSummary
from quintet.library.store import Library

RATE = 22050
OPTIONS = ScanOptions(embeddings=())


def write_song(path: Path, seed: int, seconds: float = 0.5) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    tone = np.sin(2 * np.pi * (220 + 40 * seed) * np.arange(int(seconds * RATE)) / RATE)
    soundfile.write(path, (0.3 * tone + 0.02 * rng.normal(size=len(tone))).astype(np.float32), RATE)
    return path


def write_tags(path: Path, **tags: str | list[str]) -> None:
    mutagen = pytest.importorskip("mutagen")
    file = mutagen.File(path)
    for name, value in tags.items():
        file[name] = value
    file.save()


def counts(summary: ScanSummary) -> dict[str, int]:
    names = ("new", "changed", "moved", "back", "unchanged", "gone", "failed")
    return {name: getattr(summary, name) for name in names if getattr(summary, name)}


def scan_all(library: Library, folder: Path, options: ScanOptions = OPTIONS) -> ScanSummary:
    with library.writing():
        return scan(library, folder, options)


def ids_by_path(library: Library) -> dict[str, str]:
    songs = library.songs()
    return dict(zip(songs["path"], songs["id"], strict=True))


@pytest.fixture
def music(tmp_path: Path) -> Path:
    folder = tmp_path / "music"
    for k, name in enumerate(("a/1.flac", "a/2.flac", "b/3.flac", "b/4.flac")):
        write_song(folder / name, k)
    tags = {"title": "One", "artist": "Nobody", "genre": ["Rock", "Live"], "date": "1994-05-01", "bpm": "128"}
    write_tags(folder / "a/1.flac", **tags)
    return folder


def test_life_of_a_library(music: Path, tmp_path: Path) -> None:
    library = Library.create(tmp_path / "my.library")
    assert counts(scan_all(library, music)) == {"new": 4}
    assert counts(scan_all(library, music)) == {"unchanged": 4}
    first = ids_by_path(library)
    song = library.songs().set_index("path").loc["a/1.flac"]
    assert (song["genre"], song["year"], song["format"]) == ("Rock;Live", 1994, "flac")
    assert (song["tempo"], song["tempo_source"], song["key_source"]) == (128.0, "tag", "sound")  # too short
    assert library.features([first["a/2.flac"]]).notna().all(axis=None)

    outside = write_song(tmp_path / "outside.flac", 9)
    (music / "b/link.flac").symlink_to(outside)
    (music / "b/broken.flac").write_bytes(b"fLaC nothing")
    (music / "b/\x1b[2Jodd\n.flac").write_bytes(b"")
    (music / "c").mkdir()
    os.rename(music / "a/2.flac", music / "c/moved.flac")
    shutil.copy(music / "b/3.flac", music / "c/copy.flac")
    write_tags(music / "a/1.flac", genre=["Jazz"])
    os.rename(music / "b/4.flac", music / "c/moved and tagged.flac")
    write_tags(music / "c/moved and tagged.flac", title="Four")
    summary = scan_all(library, music)
    assert counts(summary) == {"new": 1, "changed": 1, "moved": 2, "unchanged": 1, "failed": 2}
    assert any("lead out" in note for note in summary.notes)
    assert any("Tags" in note and "2 files" in note for note in summary.notes)
    second = ids_by_path(library)
    assert second["c/moved.flac"] == first["a/2.flac"]
    assert second["a/1.flac"] == first["a/1.flac"]
    assert second["c/moved and tagged.flac"] == first["b/4.flac"]
    songs = library.songs().set_index("path")
    assert songs.loc["c/copy.flac", "copy_of"] == first["b/3.flac"]
    assert songs.loc["a/1.flac", "genre"] == "Jazz"
    tags = library.tags()
    assert tags[(tags["id"] == first["a/1.flac"]) & (tags["field"] == "genre")]["value"].tolist() == ["Jazz"]
    assert set(library.failures()["path"]) == {"b/broken.flac", "b/\x1b[2Jodd\n.flac"}

    (music / "a/1.flac").unlink()
    write_song(music / "b/3.flac", 30)
    (music / "b/broken.flac").unlink()
    summary = scan_all(library, music)
    assert counts(summary) == {"changed": 1, "unchanged": 3, "gone": 2, "failed": 1}
    assert ids_by_path(library)["b/3.flac"] != first["b/3.flac"]  # another sound is another song
    write_song(music / "a/1.flac", 0)
    write_tags(music / "a/1.flac", title="One again")
    assert counts(scan_all(library, music))["changed"] == 1  # recognised by its sound
    assert ids_by_path(library)["a/1.flac"] == first["a/1.flac"]


@pytest.mark.slow
def test_columns_that_quintet_does_not_know_stay(music: Path, tmp_path: Path) -> None:
    """Tables of a stranger, or of a later version."""
    library = Library.create(tmp_path / "my.library")
    scan_all(library, music)
    for name in ("songs", "tags", "failures"):
        table = library.table(name)
        library.write(name, table.append_column("mine", [list(range(table.num_rows))]))
    write_song(music / "c/5.flac", 5)
    (music / "c/bad.flac").write_bytes(b"no flac")
    summary = scan_all(Library.open(library.folder), music)
    assert (summary.new, summary.failed) == (1, 1)
    songs = Library.open(library.folder).songs()
    assert sorted(songs["mine"].dropna()) == [0, 1, 2, 3]


@pytest.mark.slow
def test_library_inside_the_music_is_no_music(music: Path) -> None:
    library = Library.create(music / "b/my.library")
    assert counts(scan_all(library, music)) == {"new": 4}
    finish_scan(library)
    written = (library.folder / "library.duckdb").stat().st_mtime_ns
    assert counts(scan_all(library, music)) == {"unchanged": 4}
    finish_scan(library, changed=False)
    assert (library.folder / "library.duckdb").stat().st_mtime_ns == written
    (library.folder / "vectors.parquet").unlink()
    finish_scan(library, changed=False)
    assert (library.folder / "vectors.parquet").is_file()


@pytest.mark.slow
def test_killed_scans_continue_to_the_same_library(tmp_path: Path) -> None:
    """A scan that is killed again and again ends in the library of a scan in peace."""
    for k in range(24):
        write_song(tmp_path / f"music/{k % 5}/{k}.flac", k, 3.0)
    words = [sys.executable, "-m", "quintet", "library", "scan", "music", "--embeddings", "none", "-o"]
    subprocess.run([*words, "whole.library"], cwd=tmp_path, check=True, capture_output=True)
    rng = np.random.default_rng(0)
    code = None
    n_kills = 0
    while code != 0:
        process = subprocess.Popen([*words, "killed.library"], cwd=tmp_path, stderr=subprocess.DEVNULL)
        try:
            code = process.wait(timeout=float(rng.uniform(0.8, 3.0)) + n_kills / 4)
        except subprocess.TimeoutExpired:
            n_kills += 1
            process.kill()
            process.wait()
    assert n_kills > 0
    whole, killed = (Library.open(tmp_path / name) for name in ("whole.library", "killed.library"))
    names = ["id", "path", "audio_digest", "key", "energy"]
    assert whole.songs()[names].equals(killed.songs()[names])
    ids = whole.songs()["id"].tolist()
    assert whole.features(ids).equals(killed.features(ids))


@pytest.mark.slow
def test_swapped_names(music: Path, tmp_path: Path) -> None:
    library = Library.create(tmp_path / "my.library")
    scan_all(library, music)
    first = ids_by_path(library)
    os.rename(music / "a/2.flac", music / "x.flac")
    os.rename(music / "b/3.flac", music / "a/2.flac")
    os.rename(music / "x.flac", music / "b/3.flac")
    scan_all(library, music)
    second = ids_by_path(library)
    assert (second["a/2.flac"], second["b/3.flac"]) == (first["b/3.flac"], first["a/2.flac"])


def test_interrupted_scan_continues(music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = Library.create(tmp_path / "my.library")
    take = Changes.take
    taken: list[str] = []

    def stop_at_third(self: Changes, file: FoundFile, examined: Examined) -> None:
        if len(taken) == 2:
            raise KeyboardInterrupt
        taken.append(file.path)
        take(self, file, examined)

    with monkeypatch.context() as patch:
        patch.setattr(Changes, "take", stop_at_third)
        with pytest.raises(KeyboardInterrupt):
            scan_all(library, music)
    assert ids_by_path(Library.open(library.folder)).keys() == set(taken)
    assert counts(scan_all(library, music)) == {"new": 2, "unchanged": 2}
    whole = Library.create(tmp_path / "whole.library")
    scan_all(whole, music)
    assert ids_by_path(whole) == ids_by_path(library)


@pytest.mark.slow
def test_roots_inside_each_other_list_every_song_once(music: Path, tmp_path: Path) -> None:
    library = Library.create(tmp_path / "my.library")
    scan_all(library, music / "a")
    inner = ids_by_path(library)
    assert counts(scan_all(library, music)) == {"new": 2, "unchanged": 2}
    assert counts(scan_all(library, music / "b")) == {"unchanged": 2}
    assert library.facts.roots == [str(music)]
    assert ids_by_path(library)["a/1.flac"] == inner["1.flac"]
    os.rename(music / "b", tmp_path / "a drive that is not mounted")
    (music / "b").mkdir()
    assert counts(scan_all(library, music / "b")) == {"gone": 2}
    assert len(library.songs()) == 2  # the rest of the root stays
    (music / "b").rmdir()
    os.rename(tmp_path / "a drive that is not mounted", music / "b")
    assert counts(scan_all(library, music)) == {"back": 2, "unchanged": 2}
    assert set(library.songs()["status"]) == {"ok"}


@pytest.mark.slow
def test_finish_gives_vectors_and_a_database(music: Path, tmp_path: Path) -> None:
    library = Library.create(tmp_path / "my.library")
    scan_all(library, music)
    finish_scan(library)
    from quintet.library.vectors import read_vectors

    digests, vectors = read_vectors(library.folder)
    assert set(digests) == set(library.songs()["audio_digest"])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    assert (library.folder / "library.duckdb").stat().st_size > 0


@pytest.mark.slow
def test_tables_are_written_while_it_scans(
    music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan_module, "FLUSH_S", 0.0)
    monkeypatch.setattr(scan_module, "WRITING_SHARE", 1e9)
    seen: list[int] = []
    library = Library.create(tmp_path / "my.library")
    options = ScanOptions(
        embeddings=(), progress=lambda state: seen.append(len(Library.open(library.folder).songs()))
    )
    scan_all(library, music, options)
    assert seen == [0, 0, 1, 2, 3]


def test_a_library_keeps_its_feature_set_if_networks_are_added(tmp_path: Path) -> None:
    library = Library.create(tmp_path / "my.library")
    paper = FeatureParameters(feature_set="bahuleyan2018")
    library.facts.parameters = paper.model_dump(mode="json")
    library.facts.parameter_hash = paper.hash
    job, notes = scan_module._prepare_job(library, ScanOptions(embeddings=()))
    assert (job.parameters, notes) == (paper, [])
    library.facts.parameters = None
    assert scan_module._prepare_job(library, ScanOptions(embeddings=()))[0].parameters == FeatureParameters()
