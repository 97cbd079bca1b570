"""Labels from tags: the genre map, the groups, and what is left out."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from quintet.datasets.found_tags import FoundTag
from quintet.datasets.genre_map import GenreMap, write_template
from quintet.datasets.tag_labels import label_field, read_tagged_folder, song_group
from quintet.errors import ConfigError, DatasetError

MAP = """
only = ["Rock", "metal", "Hip-Hop"]
never = ["other"]
least = 1

[map]
metal = ["viking metal", "Black-Metal"]
rock = ["prog", "metalcore"]
"viking metal" = ["folk metal"]
"""


def read_map(folder: Path, text: str) -> GenreMap:
    (folder / "genres.toml").write_text(text)
    return GenreMap.read(folder / "genres.toml")


def test_map_joins_names_and_keeps_what_is_wanted(tmp_path: Path) -> None:
    genres = read_map(tmp_path, MAP)
    assert genres.genres(["Viking Metal", "black_metal"]) == ("metal",)
    assert genres.genres(["folk metal; PROG / Other"]) == ("metal", "rock")
    assert genres.genres(["polka", "OTHER"]) == ()
    assert genres.genres(["hip hop"]) == ("hip hop",)
    assert GenreMap().genres(["Rock", " rock "]) == ("rock",)


def test_a_genre_of_two_spellings_is_one(tmp_path: Path) -> None:
    """The first spelling counts, whatever the order of sets is in this process."""
    spellings = ["hip hop", "Hip-Hop", "HIP_HOP", "Hip Hop", "hip-hop"]
    lines = [f'"{name}" = ["rap {k}"]' for k, name in enumerate(spellings)]
    genres = read_map(tmp_path, "\n".join(["[map]", *lines]))
    assert genres.genres([*(f"rap {k}" for k in range(5)), "Hip-Hop"]) == ("hip hop",)


def test_a_long_way_from_name_to_name_is_found_in_linear_time(tmp_path: Path) -> None:
    n = 5000
    lines = [f'"{k + 1}" = ["{k}"]' for k in range(n)]
    started = time.perf_counter()
    genres = read_map(tmp_path, "\n".join(["[map]", *lines]))
    assert genres.genres(["0", "1"]) == (str(n),)
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize(
    ("several", "label"), [("sets", ("rock", "live")), ("first", ("rock",)), ("none", ())]
)
def test_songs_with_several_genres(tmp_path: Path, several: str, label: tuple[str, ...]) -> None:
    genres = read_map(tmp_path, f'several = "{several}"\nleast = 1')
    assert genres.labels([["Rock", "Live"], ["Rock"]])[0] == [label, ("rock",)]


def test_what_is_left_out_is_counted() -> None:
    labels, notes = GenreMap(least=2, never=frozenset(["x"])).labels([["a"], ["a"], ["b"], [], ["x"]])
    assert labels == [("a",), ("a",), (), (), ()]
    assert [note.split(": ")[-1] for note in notes] == ["1 of 5", "2 of 5", "b (1)"]


@pytest.mark.parametrize(
    "text",
    [
        "[map",
        'onyl = ["rock"]',
        'only = "rock"',
        'several = "all"',
        "least = 0",
        "least = true",
        "map = 3",
        "[map]\nmetal = [1]",
        '[map]\nmetal = ["doom"]\nrock = ["Doom"]',
        '[map]\na = ["b"]\nb = ["a"]',
        '[map]\na = ["b"]\nb = ["c"]\nc = ["a"]',
    ],
)
def test_refuses_a_wrong_map(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError):
        read_map(tmp_path, text)


def test_template_is_a_map_and_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "genres.toml"
    write_template(path, {"rock": 12, 'evil"\n[map]': 1})
    assert GenreMap.read(path).names == {}
    assert "12  rock" in path.read_text()
    with pytest.raises(ConfigError, match="exists"):
        write_template(path, {})


@pytest.mark.parametrize(
    ("tags", "group"),
    [
        ({"albumartist": "Miles Davis", "artist": "Miles Davis feat. X"}, "artist: miles davis"),
        ({"albumartist": "Various Artists", "artist": "X"}, "artist: x"),
        ({"artist": "X"}, "artist: x"),
        ({}, "folder: album"),
        ({"albumartist": "VA"}, "folder: album"),
    ],
)
def test_groups(tags: dict[str, str], group: str) -> None:
    found = [FoundTag(field, 0, value, field) for field, value in tags.items()]
    assert song_group(found, "album/1.mp3") == group


def test_fields() -> None:
    assert label_field("tag:mood") == "mood"
    for wrong in ("genre", "tag:comment", "tag:"):
        with pytest.raises(ConfigError):
            label_field(wrong)


def test_folder_of_tagged_songs(tmp_path: Path) -> None:
    mutagen = pytest.importorskip("mutagen")
    noise = (0.1 * np.random.default_rng(0).normal(size=8000)).astype(np.float32)
    for name, genre in (
        ("a/1.flac", ["Rock", "Live"]),
        ("a/2.flac", ["rock"]),
        ("b/deep/3.flac", []),
        ("4.flac", ["x"]),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(tmp_path / name, noise, 8000)
        file = mutagen.File(tmp_path / name)
        file["genre"] = genre
        file["artist"] = "Somebody"
        file.save()
    (tmp_path / "broken.mp3").write_bytes(b"\0")
    manifest = read_tagged_folder(tmp_path, "tag:genre", GenreMap(least=1, never=frozenset(["x"])))
    frame = manifest.frame
    assert dict(zip(frame["id"], frame["label"], strict=True)) == {
        "a/1.flac": "rock;live",
        "a/2.flac": "rock",
    }
    assert set(frame["group"]) == {"artist: somebody"}
    assert manifest.multilabel
    assert manifest.grouped
    assert any("2 of 5" in note for note in manifest.ignored)
    with pytest.raises(DatasetError, match="At least one song"):
        read_tagged_folder(tmp_path, "tag:mood")
