"""Artists in the tags of files: said where groups are not given, read in a worker."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from quintet.auditing.run import audit
from quintet.datasets.grouping import named_groups_note
from quintet.datasets.source import load_source
from quintet.features.parameters import FeatureParameters
from quintet.features.storage.read import read_feature_table
from quintet.training.data import gather
from quintet.training.notes import run_notes
from quintet.training.settings import TrainSettings
from quintet.workflow import extract

mutagen = pytest.importorskip("mutagen")


def tagged(path: Path, number: int, **tags: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.random.default_rng(number).normal(size=4096) / 10, 8000)
    file = mutagen.File(path)
    if file.tags is None:
        file.add_tags()
    for name, value in tags.items():
        file[name] = value if path.suffix == ".flac" else mutagen.id3.TPE1(encoding=3, text=value)
    file.save()
    return str(path)


@pytest.fixture
def songs(tmp_path: Path) -> Path:
    """Twelve songs of two classes by six artists, and a file that is no audio."""
    for number in range(12):
        style = ("jazz", "rock")[number % 2]
        tagged(tmp_path / f"music/{style}/{number:02}.flac", number, artist=f"Artist {number // 2}")
    (tmp_path / "music/rock/broken.flac").write_text("no audio")
    return tmp_path / "music"


def test_most_files_must_name_different_artists(tmp_path: Path) -> None:
    named = [tagged(tmp_path / f"{k}.flac", k, artist=f"artist {k // 2}") for k in range(4)]
    other = [tagged(tmp_path / f"other {k}.flac", k, album=f"album {k}") for k in range(5)]
    assert "4 of 4 files name an artist (2 artists)" in named_groups_note(named, n_jobs=0)
    assert "4 of 6 files name an artist (2 artists): once the" in named_groups_note(
        named + other[:2], n_jobs=0
    )
    assert "5 of 9 files name an album (5 albums)" in named_groups_note(named + other, n_jobs=0)
    assert named_groups_note(named[:2] + other[:1], n_jobs=0) == ""  # two of three, but one artist
    assert named_groups_note([], n_jobs=0) == ""


def test_tags_of_wav_files_are_groups_too(tmp_path: Path) -> None:
    for number in range(4):
        tagged(tmp_path / f"rock/{number}.wav", number, TPE1=f"Artist {number // 2}")
    groups = load_source(tmp_path, group_by="tag:artist").frame["group"]
    assert groups.tolist() == ["Artist 0", "Artist 0", "Artist 1", "Artist 1"]


@pytest.mark.slow
def test_extraction_training_and_audit_say_that_tags_name_artists(songs: Path, tmp_path: Path) -> None:
    parameters = FeatureParameters(feature_set="bahuleyan2018", families=("temporal",))
    said = "12 of 13 files name an artist (6 artists)"
    output, settings = (
        tmp_path / "features.parquet",
        TrainSettings(members=("svm",), folds=2, protocol="group"),
    )
    for _ in range(2):  # described, then reused
        summary = extract(songs, output, parameters=parameters, n_jobs=0)
        assert said in " ".join(summary.notes)
        assert said in " ".join(run_notes(gather(read_feature_table(output), settings), settings))
    assert said in " ".join(audit(output, fingerprints=False).notes)
    assert said in " ".join(audit(songs, fingerprints=False).notes)
    extract(load_source(songs, group_by="tag:artist"), output, parameters=parameters, n_jobs=0)
    table = read_feature_table(output)
    assert table.grouped
    assert "name an artist" not in " ".join(
        [*run_notes(gather(table, settings), settings), *audit(output, fingerprints=False).notes]
    )
