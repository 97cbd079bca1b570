"""The plugin of beets, in a real beets (`pip install beets` in an environment of its own is enough)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from quintet.library.store import Library
from quintet.library.tags.plan import Proposal
from quintet.library.tags.tag_file import open_tags

from .tags.songs import add_tags, make_song

pytestmark = pytest.mark.slow
pytest.importorskip("beets")
ROOT = Path(__file__).parents[2]
SHOWN = "$path|$genres|$bpm|$initial_key"


class Beets:
    """A beets with a configuration and a database of its own."""

    def __init__(self, place: Path, library: Path) -> None:
        self.place = place
        (place / "config.yaml").write_text(
            f"directory: {place}\nplugins: quintet\n"
            "import: {copy: no, move: no, write: no, autotag: no, quiet: yes}\n"
            f"quintet: {{library: '{library}', min_confidence: 0.5}}\n"
        )

    def __call__(self, *words: str, answer: str = "", code: int = 0) -> str:
        paths = os.pathsep.join([str(ROOT), *filter(None, sys.path)])
        result = subprocess.run(
            [sys.executable, "-m", "beets", *words],
            env={**os.environ, "BEETSDIR": str(self.place), "PYTHONPATH": paths},
            input=answer,
            capture_output=True,
            text=True,
        )
        assert result.returncode == code, result.stderr
        return result.stdout + result.stderr

    def rows(self) -> dict[str, tuple[str, ...]]:
        """Name of a file → genres, tempo and key in the database."""
        lines = [line.split("|") for line in self("ls", "-f", SHOWN).splitlines()]
        return {Path(line[0]).stem: tuple(line[1:]) for line in lines}


@pytest.fixture
def beets(tmp_path: Path) -> Beets:
    """Three songs: one without values, one with all of them, one that the library does not know."""
    music = tmp_path / "music"
    music.mkdir()
    names = ("empty", "full", "unknown")
    for k, name in enumerate(names):
        make_song(music / f"{name}.flac", seconds=0.3, seed=k)
    add_tags(music / "full.flac")
    tags = open_tags(music / "full.flac")
    tags.put("genre", tags.encode("genre", ["Folk"], None))
    tags.save()
    library = Library.create(tmp_path / "my.library")
    known = {"id": ["1", "2"], "root": [str(music)] * 2, "path": ["empty.flac", "full.flac"]}
    verdicts = {"verdict": ["rock"] * 2, "verdict_probability": [0.9] * 2, "verdict_set": ["rock"] * 2}
    sound = {
        "tempo": [121.6] * 2,
        "tempo_confidence": [0.8] * 2,
        "key": ["A minor"] * 2,
        "key_confidence": [0.6] * 2,
    }
    library.write("songs", pa.table(known | {"status": ["ok"] * 2} | verdicts | sound))
    (tmp_path / "beets").mkdir()
    run = Beets(tmp_path / "beets", library.folder)
    run("import", "-A", "-C", "-q", str(music))
    return run


def test_only_empty_fields_are_filled_and_the_files_on_request(beets: Beets) -> None:
    before = beets.rows()
    assert before["empty"] == ("", "0", "")
    shown = beets("quintet", "--pretend")
    assert "genres: (empty) → rock" in shown
    assert "2 of 3 items get new values; 1 have no proposal." in shown
    assert beets.rows() == before
    beets("quintet", answer="n\n")
    assert beets.rows() == before
    beets("quintet", "--yes", "--nowrite")
    after = beets.rows()
    assert after == before | {"empty": ("rock", "122", "Am"), "full": ("Folk", "97", "Am")}
    song = beets.place.parent / "music/empty.flac"
    assert open_tags(song).state("genre").values == ()
    beets("quintet", "--force", "--yes", "--write", "--fields", "genre")
    assert open_tags(song.with_name("full.flac")).state("genre").values == ("rock",)
    assert beets.rows()["full"][1] == before["full"][1]


def test_mistakes_are_one_line(beets: Beets) -> None:
    assert "Received 'tempo'" in beets("quintet", "-p", "-F", "tempo", code=1)
    assert "`quintet library scan`" in beets("quintet", "-p", "-l", "/nowhere", code=1)


def test_values_of_a_proposal() -> None:
    from beets.library import Item

    sys.path.insert(0, str(ROOT))
    from beetsplug.quintet import new_values

    found = {"genre": Proposal(("rock", "live"), 0.9, "model"), "bpm": Proposal(("98",), 0.9, "tempo")}
    assert new_values(Item(), found, force=False) == {"genres": ["rock", "live"], "bpm": 98}
    assert new_values(Item(bpm=97, genres=["x"]), found, force=False) == {}
    assert new_values(Item(bpm=98, genres=["x"]), found, force=True) == {"genres": ["rock", "live"]}
