"""Predictions of songs in a library are those of `quintet predict`, from stored features and from audio."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import soundfile

from quintet import workflow
from quintet.datasets.genre_map import GenreMap
from quintet.inference.drift.new_files import drift_json
from quintet.inference.predict import predict_files
from quintet.library.scanning.drift import note_drift
from quintet.library.scanning.predict_songs import _Book, open_model, predict_songs
from quintet.library.scanning.scan import ScanOptions, scan
from quintet.library.store import Library
from quintet.library.training_table import tagged_songs, write_training_table

RATE = 22050


def write_music(folder: Path) -> None:
    """Twelve artists with four songs of low or of high tones; every fourth has no genre."""
    mutagen = pytest.importorskip("mutagen")
    for artist in range(12):
        for song in range(4):
            rng = np.random.default_rng(10 * artist + song)
            seconds = 4.0 if song == 3 else 1.0 + 0.1 * song
            pitch = (220 if artist % 2 else 1760) * rng.uniform(0.8, 1.2)
            tone = np.sin(2 * np.pi * pitch * np.arange(int(seconds * RATE)) / RATE)
            path = folder / f"{artist}/{song}.flac"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, 0.3 * tone + 0.05 * rng.normal(size=len(tone)), RATE)
            file = mutagen.File(path)
            file["artist"] = f"Artist {artist}"
            if song:
                file["genre"] = "Low" if artist % 2 else "High"
            file.save()


@pytest.mark.slow
def test_from_tags_to_predictions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_music(tmp_path / "music")
    library = Library.create(tmp_path / "my.library")
    with library.writing():
        scan(library, tmp_path / "music", ScanOptions(embeddings=()))
    tagged = tagged_songs(library, "genre", GenreMap(least=1))
    assert {name: songs for name, (songs, _) in tagged.counts().items()} == {"high": 18, "low": 18}
    assert write_training_table(library, tagged, tmp_path / "table.parquet") == 36
    workflow.train(
        tmp_path / "table.parquet",
        tmp_path / "model",
        members=["logistic_regression", "random_forest"],
    )
    model = open_model(tmp_path / "model", 0.9)
    with library.writing():
        assert predict_songs(library, model) == 48
    assert len(library.query.select("verdict_low is not null")) == 48
    with library.writing():
        assert predict_songs(library, model) == 0
    songs = library.songs().set_index("path").sort_index()
    files = [tmp_path / "music" / path for path in songs.index]
    expected = predict_files(tmp_path / "model", files, confidence=0.9).frame
    assert songs["verdict"].tolist() == expected["verdict"].tolist()
    np.testing.assert_allclose(songs["verdict_probability"], expected["confidence"], atol=1e-6)
    np.testing.assert_allclose(songs["out_of_class"], expected["out_of_class"], atol=1e-6)
    assert songs["verdict_set"].tolist() == expected["set"].tolist()
    verdicts = library.verdicts().set_index(["id", "label"])
    assert len(verdicts) == 96
    by_condition = library.query.select("verdict_low > .5").column("path").to_pylist()
    assert sorted(by_condition) == sorted(songs.index[expected["probability.low"] > 0.5])
    unlabelled = songs[[path.endswith("/0.flac") for path in songs.index]]
    truth = ["low" if int(path.split("/")[0]) % 2 else "high" for path in unlabelled.index]
    assert (unlabelled["verdict"] == truth).mean() > 0.8
    other = open_model(tmp_path / "model", 0.8)
    with library.writing():
        assert predict_songs(library, other) == 48
    assert note_drift(library, other) is None  # twelve artists are too few
    assert "drift" not in Library.open(library.folder).facts.model
    monkeypatch.setattr("quintet.inference.drift.two_sample.LEAST_GROUPS", 5)
    drift = note_drift(library, other)
    assert drift is not None
    assert drift.n_new == len(unlabelled)  # the other songs are clips of the training
    kept = Library.open(library.folder).facts.model["drift"]
    assert kept == {**drift_json(drift), "sentence": library.facts.drift_words or None}
    monkeypatch.setattr("quintet.inference.drift.two_sample.MOST_QUERIES", 11)
    drift = note_drift(library, other)
    assert drift is not None
    assert drift.n_new == len(unlabelled)  # also if only some of them are looked at
    with library.writing():
        assert predict_songs(library, model) == 48
    assert "drift" not in Library.open(library.folder).facts.model  # it was another model's


def test_conditions_know_the_predictions_that_were_just_written(tmp_path: Path) -> None:
    library = Library.create(tmp_path / "my.library")
    songs = {"id": ["x", "y"], "root": ["/m"] * 2, "path": ["1.mp3", "2.mp3"], "status": ["ok"] * 2}
    library.write("songs", pa.table(songs))
    book = _Book(library, SimpleNamespace(digest="model"))
    columns = {"file": ["x", "y"], "probability.low": [0.9, 0.2], "probability.high": [0.1, 0.8]}
    result = SimpleNamespace(classes=["low", "high"], frame=pd.DataFrame(columns))
    book.note([{"id": "x"}, {"id": "y"}], result)
    with library.writing():
        book.write()
    assert library.table("activations").select(["id", "verdict_low"]).to_pylist() == [
        {"id": "x", "verdict_low": pytest.approx(0.9)},
        {"id": "y", "verdict_low": pytest.approx(0.2)},
    ]


def test_copies_count_once_in_a_training_table(tmp_path: Path) -> None:
    library = Library.create(tmp_path / "my.library")
    library.facts.feature_names, library.facts.parameter_hash = ["a.b.mean"], "0" * 16
    songs = {
        "id": ["x", "y", "z"],
        "root": ["/m"] * 3,
        "path": ["1.mp3", "2.mp3", "3.mp3"],
        "status": ["ok"] * 3,
        "audio_digest": ["d", "d", "e"],
        "copy_of": [None, "x", None],
    }
    library.write("songs", pa.table(songs))
    tags = {"id": ["x", "y", "z"], "field": ["genre"] * 3, "position": [0] * 3, "value": ["a", "a", "b;a"]}
    library.write("tags", pa.table(tags))
    library.feature_parts.add(["d", "e"], np.array([[1], [2]], np.float32))
    tagged = tagged_songs(library, "genre", GenreMap(least=1))
    assert tagged.counts() == {"a": (2, 1), "b": (1, 1)}
    assert write_training_table(library, tagged, tmp_path / "t.parquet") == 2
    table = pd.read_parquet(tmp_path / "t.parquet")
    assert table["label"].tolist() == ["a", "b;a"]
    assert table["a.b.mean"].tolist() == [1, 2]
