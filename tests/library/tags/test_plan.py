"""Proposals from a library: which songs get one, and what is counted instead."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from quintet import cli
from quintet.errors import ConfigError
from quintet.library.corrections import add_correction
from quintet.library.store import Library
from quintet.library.tags import plan as planning
from quintet.library.tags.plan import PlanOptions, make_plan
from quintet.library.tags.tag_file import open_tags

from .songs import add_tags, make_song

CASES = {  # verdict, probability, set
    "sure": ("rock", 0.9, "rock"),
    "unsure": ("rock", 0.4, "rock"),
    "several": ("rock", 0.9, "rock;jazz"),
    "none": ("rock", 0.9, ""),
    "unasked": ("rock", 0.9, None),
    "unknown": (None, None, None),
    "filled": ("Rock", 0.8, "Rock"),
    "other": ("jazz", 0.7, "jazz"),
    "lost": ("jazz", 0.7, "jazz"),
}


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Library:
    def map_here(function, calls, *, n_workers):
        for arguments in calls:
            try:
                yield function(*arguments)
            except Exception as error:  # noqa: BLE001  as the pool does
                yield error

    monkeypatch.setattr(planning, "map_isolated", map_here)
    music = tmp_path / "music"
    music.mkdir()
    for name in CASES:
        if name != "lost":
            add_tags(make_song(music / f"{name}.wav", seconds=0.05))
    for name, genres in (("filled", ["Rock"]), ("other", ["Blues", "Rock"])):
        tags = open_tags(music / f"{name}.wav")
        tags.put("genre", tags.encode("genre", genres, None))
        tags.save()
    library = Library.create(tmp_path / "my.library")
    verdicts, probabilities, sets = zip(*CASES.values(), strict=True)
    songs = {
        "id": list(CASES),
        "root": [str(music)] * len(CASES),
        "path": [f"{name}.wav" for name in CASES],
        "status": ["ok"] * len(CASES),
        "verdict": verdicts,
        "verdict_probability": probabilities,
        "verdict_set": sets,
        "tempo": [120.4] * len(CASES),
        "tempo_confidence": [0.9, 0.1, *[None] * 7],
        "key": ["A minor"] * len(CASES),
        "key_confidence": [0.9, *[0.0] * 8],
    }
    library.write("songs", pa.table(songs))
    moods = {"id": ["sure", "none"], "mood_happy": [0.6, 0.1], "mood_laid_back": [0.8, 0.2]}
    library.write("activations", pa.table(moods))
    return library


def rows(library: Library, **options: object) -> dict[str, tuple[str, tuple[str, ...]]]:
    plan = make_plan(library, PlanOptions(**options))
    return {row.file.stem: (row.now, row.values) for row in plan.rows}


def test_genres_have_the_spelling_of_the_owner(library: Library) -> None:
    """A model knows genres by keys in small letters; most of the tags say Hip-Hop."""
    values = ["Rock", "ROCK", "Rock", "rock", "Rock;Live", "Hip-Hop"]
    rows_of_tags = {"id": ["a"] * 6, "field": ["genre"] * 6, "position": [0] * 6, "value": values}
    library.write("tags", pa.table(rows_of_tags))
    assert rows(library)["sure"] == ("", ("Rock",))
    songs = library.table("songs")
    for name in ("verdict", "verdict_set"):
        place = songs.column_names.index(name)
        songs = songs.set_column(place, name, pa.array(["hip hop"] * len(CASES)))
    library.write("songs", songs)
    assert rows(library)["sure"] == ("", ("Hip-Hop",))


def test_only_sure_songs_with_one_genre_are_filled(library: Library) -> None:
    plan = make_plan(library)
    assert [(row.file.stem, row.now, row.values, row.confidence) for row in plan.rows] == [
        ("sure", "", ("rock",), 0.9)
    ]
    assert plan.left_out == {
        "genre": {
            planning.UNSURE: 1,
            planning.SEVERAL: 1,
            planning.NONE: 1,
            planning.UNASKED: 1,
            planning.UNKNOWN: 1,
            planning.FILLED: 2,
        }
    }
    assert [Path(refusal.file).stem for refusal in plan.refusals] == ["lost"]
    assert plan.n_songs == len(plan.rows) + len(plan.refusals) + sum(plan.left_out["genre"].values())


@pytest.mark.parametrize(
    ("confidence", "several", "proposed", "suggested"),
    [(0.9, 8, 2, "0.7"), (0.9, 2, 2, ""), (0.7, 8, 0, "0.5"), (0.6, 8, 0, ""), (None, 8, 0, "")],
)
def test_large_sets_are_told_with_what_makes_them_smaller(
    library: Library, confidence: float | None, several: int, proposed: int, suggested: str
) -> None:
    library.facts.model = {"confidence": confidence}
    advice = planning.smaller_sets(library, proposed, several)
    assert f"--confidence {suggested} " in advice if suggested else advice == ""


def test_append_and_replace(library: Library) -> None:
    assert rows(library, mode="append") == {
        "sure": ("", ("rock",)),
        "other": ("Blues; Rock", ("Blues", "Rock", "jazz")),
    }
    assert rows(library, mode="replace")["other"] == ("Blues; Rock", ("jazz",))
    assert "filled" not in rows(library, mode="append", min_confidence=0.0)
    assert set(rows(library, min_confidence=0.95)) == set()


def test_mood_tempo_and_key_are_proposed_when_asked_for(library: Library) -> None:
    assert rows(library, fields=("mood",)) == {"sure": ("", ("laid back", "happy"))}
    assert rows(library, fields=("bpm",)) == {}  # each song has a tempo of its own in its tag
    assert rows(library, fields=("bpm",), mode="replace") == {"sure": ("97", ("120",))}
    tags = open_tags(library.path_of({"root": str(library.folder.parent / "music"), "path": "sure.wav"}))
    tags.put("key", ())
    tags.save()
    assert rows(library, fields=("key",)) == {"sure": ("", ("Am",))}


def test_label_sets_are_several_values(library: Library) -> None:
    library.facts.model = {"multilabel": True}
    cells = [("sure", "live", 0.6, True), ("sure", "rock", 0.8, True), ("sure", "jazz", 0.9, False)]
    cells += [("none", "jazz", 0.2, False)]
    ids, labels, probabilities, in_set = zip(*cells, strict=True)
    table = {"id": ids, "label": labels, "probability": probabilities, "in_set": in_set}
    library.write("verdicts", pa.table(table))
    plan = make_plan(library)
    assert [(row.values, row.confidence) for row in plan.rows] == [(("rock", "live"), 0.6)]
    assert plan.left_out["genre"] == {planning.UNKNOWN: len(CASES) - 2, planning.NONE: 1}


def test_a_correction_needs_no_prediction(library: Library) -> None:
    songs = library.table("songs")
    sounds = pa.array([f"xxh3:{name}" for name in CASES])
    place = songs.column_names.index("audio_digest")
    library.write("songs", songs.set_column(place, "audio_digest", sounds))
    for name, label in (("unknown", "folk;live"), ("several", "rock"), ("filled", "jazz")):
        add_correction(library.folder, f"xxh3:{name}", label)
    add_correction(library.folder, "xxh3:sure", "metal")
    plan = make_plan(library)
    assert [(row.file.stem, row.values, row.confidence, row.source) for row in plan.rows] == [
        ("sure", ("metal",), 1.0, "correction"),
        ("several", ("rock",), 1.0, "correction"),
        ("unknown", ("folk", "live"), 1.0, "correction"),
    ]


@pytest.mark.parametrize("options", [{"fields": ("colour",)}, {"mode": "x"}, {"min_confidence": 2.0}])
def test_wrong_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        PlanOptions(**options)


def test_the_command_plans_writes_and_takes_back(library: Library, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("quintet.library.tags.writing.map_isolated", planning.map_isolated)
    plan = tmp_path / "plan.csv"

    def run(*words: str | Path, code: int = 0) -> dict[str, object]:
        result = CliRunner().invoke(cli.app, ["library", "tags", *map(str, words), "--json"])
        assert result.exit_code == code, result.output
        return json.loads(result.stdout) if code < 2 else {}

    made = run("--plan", plan, library.folder, "--append")
    assert (made["proposals"], made["songs"]) == (2, len(CASES))
    written = run("--apply", plan, "--keep-times")
    assert (written["files"], written["left"]) == (2, [])
    assert open_tags(tmp_path / "music" / "other.wav").state("genre").text == "Blues; Rock; jazz"
    (tmp_path / "music" / "sure.wav").unlink()
    back = run("--undo", written["journal"], code=1)
    assert back["files"] == 1
    assert [Path(row["file"]).stem for row in back["left"]] == ["sure"]
    assert open_tags(tmp_path / "music" / "other.wav").state("genre").text == "Blues; Rock"
    run("--plan", plan, code=2)
    run("--plan", plan, "--apply", plan, library.folder, code=2)
    again = run("--apply", plan, library.folder, code=1)
    assert [Path(row["file"]).stem for row in again["left"]] == ["sure"]
    run("--plan", plan, library.folder, "--fill", "--append", code=2)


def test_a_song_that_has_a_genre_is_counted_as_filled_whatever_the_model_says(library: Library) -> None:
    tags = {"id": ["several", "none", "unsure"], "field": ["genre", "mood", "genre"], "position": [0, 0, 0]}
    library.write("tags", pa.table(tags | {"value": ["Folk", "calm", "Folk"], "source": ["TCON"] * 3}))
    left_out = make_plan(library).left_out["genre"]
    assert left_out[planning.FILLED] == 4
    assert (planning.SEVERAL in left_out, planning.UNSURE in left_out) == (False, False)
    assert left_out[planning.NONE] == 1
    assert make_plan(library, PlanOptions(mode="append")).left_out["genre"][planning.SEVERAL] == 1
