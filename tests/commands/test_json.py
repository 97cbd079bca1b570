"""`--json` of every command: one JSON object with what the command did, and nothing else on the output."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
import typer.main
from typer.testing import CliRunner, Result

from quintet import cli
from quintet.files.json_text import json_text, json_value

ROOT = Path(__file__).parents[2]
COMMANDS = typer.main.get_command(cli.app).commands  # type: ignore[attr-defined]
FAST = ("-m", "logistic_regression", "--rules", "mean", "--resamples", "0", "--folds", "2")
RECIPE = """
name = "mine"
[data]
source = "{music}"
[features]
set = "bahuleyan2018"
families = ["temporal"]
[train]
members = ["logistic_regression"]
rules = ["mean"]
folds = 2
resamples = 0
[predict]
files = ["{music}/rock/0.wav", "{music}/rock/torn.wav"]
"""


def call(*words: object, code: int = 0) -> Result:
    done = CliRunner().invoke(cli.app, [str(word) for word in words])
    if not isinstance(done.exception, SystemExit | None):
        raise done.exception
    assert done.exit_code == code, done.output
    return done


def read(*words: object, code: int = 0) -> dict[str, Any]:
    """The object of a command: standard output is nothing else."""
    done = call(*words, "--json", code=code)
    content = json.loads(done.stdout, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert isinstance(content, dict)
    assert content["command"] == words[0]
    return content


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six clips of noise of each of two classes, and a file that is no audio."""
    folder = tmp_path_factory.mktemp("music")
    rng = np.random.default_rng(0)
    for name, level in (("rock", 0.5), ("jazz", 0.05)):
        (folder / name).mkdir()
        for k in range(6):
            sound = level * rng.uniform(0.5, 1) * rng.normal(size=8000)
            soundfile.write(folder / name / f"{k}.wav", np.clip(sound, -1, 1), 8000)
    (folder / "rock" / "torn.wav").write_text("no audio")
    return folder


@pytest.fixture(scope="module")
def run(music: Path) -> dict[str, Any]:
    """Result of a recipe with one member, one of whose files to predict cannot be read."""
    (music.parent / "recipe.toml").write_text(RECIPE.format(music=music.as_posix()))
    return read("run", music.parent / "recipe.toml", "-o", music.parent / "run", "-j", 0, "-q", code=1)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"id": [f"c{i}" for i in range(36)], "label": ["a", "b"] * 18})
    frame["x"] = rng.normal(size=36) + 2 * (frame["label"] == "a")
    frame.loc[3, "x"] = np.nan
    frame.to_csv(tmp_path / "t.csv", index=False)
    return tmp_path / "t.csv"


def test_every_command_has_the_option_and_stands_in_the_docs() -> None:
    text = (ROOT / "docs" / "main-job.md").read_text(encoding="utf-8")
    section = text[text.index("## Output for scripts") : text.index("## Exit codes")]
    documented = set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))
    for name, command in COMMANDS.items():
        for part in getattr(command, "commands", {"": command}).values():
            assert "--json" in [option for p in part.params for option in p.opts], (name, part.name)
        assert name in documented
    assert documented == set(COMMANDS)


def documented_keys(command: str) -> set[str]:
    text = (ROOT / "docs" / "main-job.md").read_text(encoding="utf-8")
    row = re.search(rf"^\| `{command}` \| (.*) \|$", text, re.MULTILINE)
    assert row is not None
    return set(re.findall(r"`(\w+)`", row[1]))


def test_extract(music: Path, tmp_path: Path) -> None:
    """Also a class whose only clip is empty."""
    folder = shutil.copytree(music, tmp_path / "music")
    (folder / "techno").mkdir()
    (folder / "techno" / "empty.wav").write_bytes(b"")
    words = ("extract", folder, "-o", tmp_path / "f.parquet", "--families", "temporal", "-j", 0)
    content = read(*words)
    assert set(content) == documented_keys("extract") | {"command"}
    assert (content["n"], content["n_ok"], content["n_failed"]) == (14, 12, 2)
    assert content["classes"] == {"jazz": 6, "rock": 6, "techno": 0}
    assert sorted(row["id"] for row in content["failures"]) == ["rock/torn.wav", "techno/empty.wav"]
    assert all(row["stage"] and row["reason"] for row in content["failures"])
    assert "jazz 6, rock 6, techno 0" in call(*words).stderr
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "rock").mkdir()
    (tmp_path / "bad" / "rock" / "a.wav").write_text("no audio")
    failed = CliRunner().invoke(
        cli.app, ["extract", str(tmp_path / "bad"), "-o", str(tmp_path / "g.parquet"), "-j", "0", "--json"]
    )
    assert failed.exit_code == 1
    assert json.loads(failed.stdout)["n_ok"] == 0


def test_train_and_predict(table: Path, tmp_path: Path) -> None:
    content = read("train", table, "-o", tmp_path / "m", *FAST)
    assert set(content) == documented_keys("train") | {"command"}
    assert content["classes"] == ["a", "b"]
    assert content["n"] == {"train": 28, "test": 7, "unused": 0}
    assert [row["id"] for row in content["failures"]] == ["c3"]
    assert content["scores"]["oof"]["mean"]["scores"]["accuracy"]["value"] > 0.7
    assert any("left out" in note for note in content["notes"])

    content = read("predict", tmp_path / "m", "--table", table, "--confidence", 0.9, code=1)
    assert set(content) == documented_keys("predict") | {"command"}
    assert (content["n"], content["n_failed"]) == (36, 1)
    by_file = {row["file"]: row for row in content["files"]}
    assert by_file["c3"]["status"] == "failed"
    assert by_file["c3"]["set"] is None
    assert isinstance(by_file["c4"]["set"], list)
    words = ("predict", tmp_path / "m", "--table", table, "-o", tmp_path / "p.csv")
    assert read(*words, code=1)["output"] == str(tmp_path / "p.csv")
    assert len(pd.read_csv(tmp_path / "p.csv")) == 36
    call("predict", tmp_path / "m", "--table", table, "--json", "--format", "csv", code=2)


@pytest.mark.slow
def test_tune(table: Path, tmp_path: Path) -> None:
    words = ("tune", table, "-o", tmp_path / "s", "-m", "logistic_regression", "--trials", 1, "--folds", 2)
    content = read(*words)
    assert set(content) == documented_keys("tune") | {"command"}
    assert Path(content["best"]).is_file()
    assert list(content["members"]) == ["logistic_regression"]
    assert any("left out" in note for note in content["notes"])


@pytest.mark.slow
def test_run(run: dict[str, Any]) -> None:
    assert set(run) == documented_keys("run") | {"command"}
    assert run["extraction"]["classes"] == {"jazz": 6, "rock": 6}
    assert run["training"]["n_failed"] == 1
    assert Path(run["report"]).is_file()
    assert [row["status"] for row in run["predictions"]["files"]] == ["ok", "failed"]
    assert run["predictions"]["files"][1]["stage"] == "decode"


@pytest.mark.slow
def test_report_and_explain(run: dict[str, Any], music: Path, tmp_path: Path) -> None:
    model = run["training"]["model"]
    content = read("report", model, "-o", tmp_path / "report")
    assert set(content) == documented_keys("report") | {"command"}
    assert Path(content["page"]).is_file()
    assert Path(content["numbers"]).is_dir()
    content = read("explain", model, music / "rock" / "0.wav", "-o", tmp_path / "page")
    assert set(content) == documented_keys("explain") | {"command"}
    assert Path(content["page"]).is_file()


def test_report_says_where_the_page_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The same as above in a moment, without the pages."""
    page = tmp_path / "out" / "index.html"
    (tmp_path / "out" / "numbers").mkdir(parents=True)
    answer = dict.fromkeys(documented_keys("explain") - {"file", "page", "numbers"}, 1)
    (tmp_path / "out" / "numbers" / "answer.json").write_text(json.dumps(answer), encoding="utf-8")
    for name in ("report", "explain"):
        monkeypatch.setattr(f"quintet.workflow.{name}", lambda *_, **__: page)
    for words in (("report", "m"), ("explain", "m", "a.wav")):
        content = read(*words, "-o", tmp_path / "out")
        assert set(content) == documented_keys(words[0]) | {"command"}
        assert content["page"] == str(page)


def test_fetch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from quintet.datasets.builtin.audioset_download import Retrieval

    result = Retrieval(5, 3, 1, 1, 0, tmp_path / "gone.csv")
    monkeypatch.setattr("quintet.datasets.builtin.audioset_download.retrieve", lambda *_, **__: result)
    content = read("fetch", "audioset", tmp_path)
    assert set(content) == documented_keys("fetch") | {"command"}
    assert (content["n_requested"], content["new"], content["ledger"]) == (5, 1, None)


def test_numbers_that_json_does_not_have_are_null() -> None:
    content = {
        "a": float("nan"),
        "b": np.float32("inf"),
        "c": pd.NA,
        "d": np.int8(3),
        "e": Path("x"),
        "f": (1,),
        "g": Path("caf\udce9"),
        "h": "model/caf\udce9",
    }
    expected = {"a": None, "b": None, "c": None, "d": 3, "e": "x", "f": [1]}
    assert json_value(content) == {**expected, "g": r"caf\xe9", "h": r"model/caf\xe9"}
    assert json.loads(json_text({"name": "\udcff"})) == {"name": r"\xff"}


def test_what_could_not_be_used_makes_the_exit_code_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The object is printed all the same."""
    from quintet.datasets.builtin.audioset_download import Retrieval

    result = Retrieval(5, 3, 1, 1, 2, tmp_path / "gone.csv")
    monkeypatch.setattr("quintet.datasets.builtin.audioset_download.retrieve", lambda *_, **__: result)
    assert read("fetch", "audioset", tmp_path, code=1)["failed"] == 2
    (tmp_path / "music" / "rock").mkdir(parents=True)
    (tmp_path / "music" / "rock" / "a.wav").write_text("no audio")
    audit = CliRunner().invoke(cli.app, ["audit", str(tmp_path / "music"), "--json", "-q"])
    assert audit.exit_code == 1
    assert [row["id"] for row in json.loads(audit.stdout)["problems"]] == ["rock/a.wav"]
