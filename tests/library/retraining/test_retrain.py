"""From corrections to a new model whose predictions the library keeps."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from quintet import cli
from quintet.datasets.genre_map import GenreMap
from quintet.library.corrections import add_correction
from quintet.library.retraining.lessons import read_lessons
from quintet.library.scanning.scan import ScanOptions, scan
from quintet.library.store import Library
from quintet.library.training_table import training_table
from tests.library.test_predict_songs import write_music

ROCK, JAZZ = "Rock", "Jazz"


def made_library(folder: Path) -> Library:
    """Sixteen sounds of eight artists, half rock and half jazz, and a copy; one has no features."""
    library = Library.create(folder / "my.library")
    library.facts.feature_names, library.facts.parameter_hash = ["a.b.mean"], "0" * 16
    n = 17
    songs = {
        "id": [f"{k:016x}" for k in range(n)],
        "root": ["/m"] * n,
        "path": [f"{k % 8}/{k}.mp3" for k in range(n)],
        "status": ["ok"] * n,
        "audio_digest": [f"s{k % 16}" for k in range(n)],
        "copy_of": [None] * 16 + [f"{0:016x}"],
    }
    library.write("songs", pa.table(songs))
    tags = [(id, "genre", ROCK if k % 2 else JAZZ) for k, id in enumerate(songs["id"]) if k != 5]
    tags += [(id, "artist", f"artist {k % 8}") for k, id in enumerate(songs["id"])]
    columns = dict(zip(("id", "field", "value"), map(list, zip(*tags, strict=True)), strict=True))
    library.write("tags", pa.table({**columns, "position": [0] * len(tags)}))
    library.feature_parts.add([f"s{k}" for k in range(15)], np.arange(15, dtype=np.float32)[:, None])
    return library


def test_lessons_have_each_song_once_with_two_labels(tmp_path: Path) -> None:
    library = made_library(tmp_path)
    add_correction(library.folder, "s0", "rock")  # was jazz; holds for its copy, too
    add_correction(library.folder, "s1", "Rock")  # is rock already
    add_correction(library.folder, "s5", "jazz")  # had no genre
    add_correction(library.folder, "s15", "jazz")  # has no features
    add_correction(library.folder, "gone", "jazz")
    lessons = read_lessons(library, "genre", GenreMap(least=2))
    assert len(lessons.after.labels) == 15
    assert np.flatnonzero(lessons.changed).tolist() == [0, 5]
    assert lessons.n_corrections == 3
    assert (lessons.before.labels[0], lessons.after.labels[0]) == (("jazz",), ("rock",))
    assert (lessons.before.labels[5], lessons.after.labels[5]) == ((), ("jazz",))
    table = training_table(library, lessons.after)
    assert table.meta.loc["0/0.mp3", "label"] == "rock"
    assert len(table.meta) == 15


def test_a_genre_of_two_artists_is_left_out_with_a_note(tmp_path: Path) -> None:
    library = made_library(tmp_path)
    for sound in ("s2", "s3", "s10"):
        add_correction(library.folder, sound, "folk")
    lessons = read_lessons(library, "genre", GenreMap(least=1))
    assert lessons.after.labels[2] == ()
    assert lessons.notes[-1] == "Genres of fewer than 3 artists are left out: folk (2)"


@pytest.mark.slow
def test_corrections_become_a_model_and_its_predictions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_music(tmp_path / "music")
    library = Library.create(tmp_path / "my.library")
    with library.writing():
        scan(library, tmp_path / "music", ScanOptions(embeddings=()))
    songs = library.songs().set_index("path")
    for artist in (0, 2):
        add_correction(library.folder, str(songs.loc[f"{artist}/0.flac", "audio_digest"]), "High")

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["quintet", "library", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        text = capsys.readouterr()
        return int(ended.value.code or 0), text.out, text.err

    model = str(tmp_path / "model")
    folder = str(library.folder)
    words = ("retrain", folder, "-o", model, "-m", "logistic_regression", "-q")
    code, out, err = call(*words, "--use", "--json")
    assert code == 0, err
    answer = json.loads(out)
    assert (answer["corrections"], answer["changed"], answer["n_predicted"]) == (2, 2, 48)
    assert answer["songs"] == 38
    assert answer["judgement"]["n"] == 38
    assert answer["judgement"]["n_groups"] == 12
    kept = library.songs().set_index("path")
    assert kept.loc["3/0.flac", "verdict"] == "low"
    assert library.query.select("verdict_low > .5").num_rows > 12
    assert Library.open(library.folder).facts.model["score"].startswith("2 classes")
    code, _, err = call(*words)
    assert code == 1
    assert "--overwrite" in err
    code, _, err = call("tags", "--plan", str(tmp_path / "plan.csv"), folder, "--jobs", "1")
    assert code == 0
    assert "Model: 2 classes" in err.splitlines()[0]
