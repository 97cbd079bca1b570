"""Sources through mirdata, with a false module that has the documented functions and attributes."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from quintet.datasets.source import load_source
from quintet.errors import ConfigError, DatasetError, MissingExtraError


class Track:
    def __init__(self, track_id, **attributes):
        self.track_id = track_id
        self._index = "private"
        self.__dict__ |= attributes

    @property
    def audio(self):
        raise AssertionError("listing must not decode")


class Dataset:
    def __init__(self, tracks, data_home):
        self.tracks, self.data_home = tracks, data_home

    def load_tracks(self):
        if isinstance(self.tracks, Exception):
            raise self.tracks
        return {track.track_id: track for track in self.tracks}


@pytest.fixture
def mirdata(tmp_path, monkeypatch):
    """A module `mirdata` with some datasets, and two files of audio."""
    for name in ("a.wav", "b.wav"):
        (tmp_path / name).write_bytes(b"")
    path = {name: str(tmp_path / f"{name}.wav") for name in "abc"}
    tracks = {
        "gtzan_genre": [
            Track(f"rock.{name}", audio_path=path[name], genre="hip-hop" if name == "a" else "rock")
            for name in "abc"
        ],
        "solos": [
            Track(
                "1",
                audio_path=path["a"],
                instrument="flute",
                tempo=3.5,
                song_id=7,
                subset="training",
                mood="calm",
            ),
            Track(
                "2",
                audio_path=None,
                audio_mix_path=path["b"],
                instrument="piano",
                song_id=7,
                subset="test",
                mood="wild",
            ),
        ],
        "tagged": [
            Track("x", audio_path=path["a"], tags=["slow", "harp"], genre=None, split="fold9"),
            Track("y", audio_path=path["b"], tags=[]),
        ],
        "mute": [Track("x", audio_path=None, genre="rock")],
        "bare": [Track("x", audio_path=path["a"], composer="Bach", beats_path="b.txt", beats=object())],
        "absent": FileNotFoundError("Metadata not found. Did you run .download()?"),
        "multitracks": AttributeError("This dataset does not have tracks"),
    }
    module = ModuleType("mirdata")
    module.list_datasets = lambda: list(tracks)
    module.calls = []

    def initialize(name, data_home=None):
        module.calls.append((name, data_home))
        return Dataset(tracks[name], data_home or str(tmp_path))

    module.initialize = initialize
    monkeypatch.setitem(sys.modules, "mirdata", module)
    return module


def test_tracks_genres_and_missing_audio(mirdata, tmp_path):
    manifest = load_source(f"mirdata:gtzan_genre:{tmp_path}")
    assert mirdata.calls == [("gtzan_genre", str(tmp_path))]
    assert (manifest.name, manifest.root, manifest.multilabel, manifest.grouped) == (
        "gtzan_genre",
        tmp_path,
        False,
        False,
    )
    assert manifest.frame["id"].tolist() == ["rock.a", "rock.b", "rock.c"]
    assert manifest.frame["label"].tolist() == ["hip-hop", "rock", "rock"]
    assert manifest.frame["path"].tolist() == [str(tmp_path / f"{name}.wav") for name in "abc"]
    assert manifest.frame["problem"].fillna("").tolist() == ["", "", "file not found"]
    assert manifest.frame["split"].isna().all()


def test_the_default_folder_is_that_of_mirdata(mirdata, tmp_path):
    assert load_source("mirdata:gtzan_genre").root == tmp_path
    assert mirdata.calls == [("gtzan_genre", None)]


def test_groups_split_and_other_paths(mirdata):
    manifest = load_source("mirdata:solos")
    assert manifest.frame[["label", "group", "split"]].values.tolist() == [
        ["flute", "7", "training"],
        ["piano", "7", "test"],
    ]
    assert (manifest.grouped, len(manifest.usable)) == (True, 2)


def test_another_attribute_is_the_label(mirdata):
    assert load_source("mirdata@mood:solos").classes == ("calm", "wild")


def test_several_texts_are_a_set_and_an_unknown_split_is_none(mirdata):
    frame = load_source("mirdata:tagged").frame
    assert frame["label"].fillna("").tolist() == ["slow;harp", ""]
    assert frame["problem"].fillna("").tolist() == ["", "label missing"]
    assert frame["split"].isna().all()


def test_errors_name_what_is_missing(mirdata, monkeypatch):
    with pytest.raises(ConfigError, match="mirdata:NAME:"):
        load_source("mirdata")
    with pytest.raises(ConfigError, match="Did you mean 'gtzan_genre'"):
        load_source("mirdata:gtzan")
    with pytest.raises(DatasetError, match=r"Did you run .*initialize\('absent'\)\.download"):
        load_source("mirdata:absent")
    with pytest.raises(DatasetError, match="no path for any of 1 tracks of 'mute'"):
        load_source("mirdata:mute")
    with pytest.raises(DatasetError, match=r"has genre, genres.*those with text: composer\."):
        load_source("mirdata:bare")
    with pytest.raises(DatasetError, match=r"has nothing\. Name another"):
        load_source("mirdata@nothing:solos")
    monkeypatch.setitem(sys.modules, "mirdata", None)
    with pytest.raises(MissingExtraError, match=r"quintet-music\[datasets\]' && pip install --no-deps"):
        load_source("mirdata:solos")


def test_a_dataset_without_tracks_is_an_error(mirdata):
    with pytest.raises(
        DatasetError,
        match=r"mirdata lists none for 'multitracks': This dataset does not have tracks\. Name another",
    ):
        load_source("mirdata:multitracks")
