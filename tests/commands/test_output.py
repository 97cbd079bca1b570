"""Output that scripts can trust: formats, failed files, whole names, quietness, places of outputs."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner, Result

import quintet
from quintet import cli
from quintet.errors import ArtefactError, ConfigError
from quintet.inference.answers import file_failures
from quintet.inference.clips import as_files
from quintet.inference.predict import PredictionResult
from quintet.training.settings import TrainSettings

LONG_NAME = "a name of a class that is much longer than a column of a terminal"
LONG_FILE = "/".join(["a folder with a long name"] * 8) + "/song.wav"


def make_result(
    *, sets: list[str] | None = None, classes: tuple[str, ...] = (LONG_NAME, "jazz")
) -> PredictionResult:
    """Three predicted files (one is truncated, one lacks a segment), and a file that failed twice."""
    frame = pd.DataFrame({"file": [LONG_FILE, "cut.wav", "part.wav"]})
    frame["verdict"] = [classes[0], classes[1], classes[0]]
    frame["confidence"] = [0.9, 0.8, 0.7]
    frame["segments"] = np.array([1, 2, 1], dtype=object)
    if sets is not None:
        frame["set"] = sets
    frame[f"probability.{classes[0]}"] = [0.9, 0.2, 0.7]
    frame[f"probability.{classes[1]}"] = [0.1, 0.8, 0.3]
    failures = pd.DataFrame(
        [
            ("part.wav", "check", "Every sample is zero."),
            ("bad.wav", "decode", "It is text, not audio."),
            ("bad.wav", "decode", "It is text, again."),
        ],
        columns=["file", "stage", "reason"],
    )
    truncated = pd.DataFrame({"file": ["cut.wav"], "reason": ["It ends early."]})
    return PredictionResult(frame, pd.DataFrame(), failures, truncated, classes, ("A note.",))


@pytest.fixture
def result(monkeypatch: pytest.MonkeyPatch) -> PredictionResult:
    """The result that `predict` prints in this test, without a model."""
    made = make_result(sets=[f"{LONG_NAME};jazz", "", "jazz"])
    monkeypatch.setattr("quintet.inference.predict.predict_files", lambda *_, **__: made)
    return made


def predict(*words: object) -> Result:
    return CliRunner().invoke(cli.app, ["predict", "model", "song.wav", *map(str, words)])


def test_the_suffix_of_the_output_is_the_format(result: PredictionResult, tmp_path: Path) -> None:
    for suffix in (".csv", ".json", ".parquet", ".txt"):
        assert predict("-o", tmp_path / f"x{suffix}").exit_code == 1, "a file failed"
    tables = (
        pd.read_csv(tmp_path / "x.csv"),
        pd.DataFrame(json.loads((tmp_path / "x.json").read_text())),
        pd.read_parquet(tmp_path / "x.parquet"),
    )
    for table in tables:
        assert table["file"].tolist() == [LONG_FILE, "cut.wav", "part.wav", "bad.wav"]
        assert table["verdict"].iloc[0] == LONG_NAME
    text = (tmp_path / "x.txt").read_text()
    assert LONG_NAME in text
    assert LONG_FILE in text


@pytest.mark.parametrize(
    "words",
    [
        ("-o", "x.csv", "--format", "json"),
        ("-o", "x.parquet", "--format", "table"),
        ("-o", "x.xlsx"),
        ("--format", "parquet"),
        ("--format", "xml"),
    ],
)
def test_a_format_that_contradicts_the_suffix_is_wrong_usage(
    result: PredictionResult, words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert predict(*words).exit_code == 2
    assert not list(tmp_path.iterdir())


def test_a_format_decides_where_the_suffix_does_not(result: PredictionResult, tmp_path: Path) -> None:
    predict("-o", tmp_path / "x.data", "--format", "csv")
    assert len(pd.read_csv(tmp_path / "x.data")) == 4


def test_standard_output_has_whole_names_and_results_only(result: PredictionResult) -> None:
    printed = predict()
    assert LONG_NAME in printed.stdout
    assert LONG_FILE in printed.stdout
    assert "…" not in printed.stdout
    assert "A note." not in printed.stdout
    assert "A note." in printed.stderr
    assert "It ends early." in printed.stderr
    rows = json.loads(predict("--format", "json").stdout)
    assert len(rows) == 4


def test_quiet_prints_results_and_errors_only(result: PredictionResult) -> None:
    printed = predict("-q")
    assert [line.partition(":")[0] for line in printed.stderr.splitlines()] == ["✗ part.wav", "✗ bad.wav"]


def test_no_table_is_printed_where_every_file_is_refused(
    result: PredictionResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = replace(result, frame=result.frame[:0])
    monkeypatch.setattr("quintet.inference.predict.predict_files", lambda *_, **__: refused)
    printed = predict()
    assert (printed.exit_code, printed.stdout) == (1, "")
    assert "✗ bad.wav" in printed.stderr


def test_names_for_a_spreadsheet_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_result(classes=("=1+1|x", "jazz"))
    monkeypatch.setattr("quintet.inference.predict.predict_files", lambda *_, **__: made)
    plain, safe = predict("--format", "csv"), predict("--format", "csv", "--for-spreadsheets")
    n_formulas = 3  # two predictions, and the second part of no column name
    assert plain.stdout.count("=1+1|x") == safe.stdout.count("=1+1|x") == n_formulas
    assert plain.stdout.count("'=1+1|x") == 0
    assert safe.stdout.count("'=1+1|x") == 2
    assert "formulas: 2." in plain.stderr
    assert "formulas" not in safe.stderr
    assert predict("--format", "json", "--for-spreadsheets").exit_code == 2


@pytest.mark.parametrize("format_", ["csv", "json"])
def test_a_failed_file_is_one_row_with_stage_and_reason(
    result: PredictionResult, format_: str, tmp_path: Path
) -> None:
    file = tmp_path / f"x.{format_}"
    predict("-o", file)
    table = pd.read_csv(file) if format_ == "csv" else pd.DataFrame(json.loads(file.read_text()))
    rows = table.set_index("file")
    assert rows["status"].tolist() == ["ok", "truncated", "incomplete", "failed"]
    assert rows.loc["bad.wav", "stage"] == "decode"
    assert "(2 of 2 segments)" in rows.loc["bad.wav", "reason"]
    assert "(1 of 2 segments)" in rows.loc["part.wav", "reason"]
    assert rows.loc["cut.wav", "reason"] == "It ends early."
    assert pd.isna(rows.loc["bad.wav", "verdict"])
    assert len(file_failures(result)) == 2


def test_an_empty_set_differs_from_no_set(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = make_result(sets=["None", "", "None;jazz"], classes=("None", "jazz"))
    monkeypatch.setattr("quintet.inference.predict.predict_files", lambda *_, **__: asked)
    rows = json.loads(predict("--format", "json").stdout)
    assert [row["set"] for row in rows] == [["None"], [], ["None", "jazz"], None]
    lines = [line.split(",") for line in predict("--format", "csv").stdout.splitlines()]
    sizes = [line[lines[0].index("set_size")] for line in lines[1:]]
    assert sizes == ["1", "0", "2", ""]
    monkeypatch.setattr("quintet.inference.predict.predict_files", lambda *_, **__: make_result())
    assert "set" not in json.loads(predict("--format", "json").stdout)[0]


def test_names_of_files_are_the_same_in_every_format(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    names = ["caf\\xe9.wav", " cut.wav", "pa\rrt.wav", "bad.wav"]
    odd = make_result()
    odd.frame["file"] = names[:3]
    monkeypatch.setattr("quintet.inference.predict.predict_files", lambda *_, **__: odd)
    for format_ in ("csv", "parquet", "json"):
        predict("-o", tmp_path / f"x.{format_}")
    assert pd.read_csv(tmp_path / "x.csv")["file"].tolist()[:3] == names[:3]
    assert pd.read_parquet(tmp_path / "x.parquet")["file"].tolist()[:3] == names[:3]
    assert [row["file"] for row in json.loads((tmp_path / "x.json").read_text())][:3] == names[:3]


def refuse_work(*_: object, **__: object) -> None:
    raise AssertionError("the work began")


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every kind of work fails, so that a refusal must come before it.

    The modules are imported first, because a module that is imported later would keep the failing functions.
    """
    for module in (
        *("auditing.run", "pipeline.explain_track", "pipeline.recipe_search", "pipeline.runner"),
        "datasets.builtin.audioset_download",
    ):
        importlib.import_module(f"quintet.{module}")
    for name in (
        "quintet.inference.predict.predict_files",
        "quintet.datasets.source.load_source",
        "quintet.workflow.report",
        "quintet.workflow.explain",
        "quintet.ensemble.fuse_files.fuse",
        "quintet.auditing.run.audit",
        "quintet.commands.terminal.options.TableColumns.read",
        "quintet.pipeline.recipe.load_recipe",
        "quintet.datasets.builtin.audioset_download.retrieve",
    ):
        monkeypatch.setattr(name, refuse_work)


FILE_OUTPUTS = [
    ["predict", "model", "song.wav", "-o", "TARGET.csv"],
    ["extract", "music", "-o", "TARGET.parquet"],
    ["extract", "music", "-o", "x.parquet", "--published-names", "TARGET.csv", "-f", "bahuleyan2018"],
    ["fuse", "a.csv", "-o", "TARGET.csv"],
    ["audit", "music", "--groups-to", "TARGET.csv"],
]
FOLDER_OUTPUTS = [
    ["report", "model", "-o", "TARGET"],
    ["explain", "model", "song.wav", "-o", "TARGET"],
    ["train", "f.parquet", "-o", "TARGET"],
    ["tune", "f.parquet", "-o", "TARGET"],
    ["run", "demo", "-o", "TARGET"],
    ["extract", "music", "-o", "x.parquet", "--spectrograms", "TARGET"],
    ["fetch", "audioset", "TARGET"],
]


def aim(words: list[str], target: Path) -> list[str]:
    return [word.replace("TARGET", str(target)) for word in words]


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize("words", FILE_OUTPUTS)
def test_a_folder_in_the_place_of_a_file_is_refused_before_the_work(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for suffix in (".csv", ".parquet"):
        (tmp_path / f"there{suffix}").mkdir()
    refused = CliRunner().invoke(cli.app, aim(words, tmp_path / "there"))
    assert isinstance(refused.exception, ArtefactError), refused.exception
    assert "is a folder" in str(refused.exception)


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize("words", FOLDER_OUTPUTS)
def test_a_file_in_the_place_of_a_folder_is_refused_before_the_work(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").write_text("mine")
    refused = CliRunner().invoke(cli.app, aim(words, tmp_path / "there"))
    assert isinstance(refused.exception, ArtefactError), refused.exception
    assert (tmp_path / "there").read_text() == "mine"


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize("words", [*FILE_OUTPUTS, *FOLDER_OUTPUTS])
def test_a_place_below_a_file_is_refused_before_the_work(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that cannot be made stands for every place that cannot be written, for root too."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    refused = CliRunner().invoke(cli.app, aim(words, tmp_path / "file" / "there"))
    assert isinstance(refused.exception, ArtefactError), refused.exception
    assert "Choose another place" in str(refused.exception)


@pytest.mark.usefixtures("no_work")
@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_protected_folder_is_refused_before_the_work(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    refused = CliRunner().invoke(cli.app, ["predict", "m", "a.wav", "-o", str(tmp_path / "x.csv")])
    tmp_path.chmod(0o700)
    assert isinstance(refused.exception, ArtefactError)


@pytest.mark.usefixtures("no_work")
@pytest.mark.skipif(os.name == "nt", reason="names of files are bytes on POSIX only")
@pytest.mark.parametrize("words", [["predict", "m", "a.wav", "-o", "TARGET.parquet"], *FOLDER_OUTPUTS])
def test_an_output_whose_name_is_no_text_is_refused_where_it_has_no_other_name(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("quintet.commands.terminal.destinations.OPEN_FILES", str(tmp_path / "none"))
    refused = CliRunner().invoke(cli.app, aim(words, tmp_path / "caf\udce9" / "there"))
    assert isinstance(refused.exception, ArtefactError), refused.exception
    assert "caf\\xe9/there" in str(refused.exception)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="names of files are bytes on POSIX only")
@pytest.mark.usefixtures("result")
def test_predictions_may_have_a_name_that_is_no_text(tmp_path: Path) -> None:
    for suffix in (".csv", ".json", ".txt"):
        predict("-o", tmp_path / f"caf\udce9{suffix}")
        assert os.path.getsize(os.fsencode(tmp_path) + b"/caf\xe9" + suffix.encode()) > 100


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A disk of 256 KiB in memory. It is not in pytest's folders, which pytest could not remove with it."""
    place = Path(tempfile.mkdtemp(prefix="quintet-disk-"))
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        place.rmdir()
        pytest.skip("only root can mount a disk")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)
    place.rmdir()


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize("words", [*FILE_OUTPUTS, *FOLDER_OUTPUTS])
def test_a_full_or_protected_disk_is_refused_before_the_work(
    words: list[str], small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (small_disk / "full").write_bytes(bytes(255 * 1024))
    refused = CliRunner().invoke(cli.app, aim(words, small_disk / "there"))
    assert isinstance(refused.exception, ArtefactError), refused.exception
    assert "No space left" in str(refused.exception)
    (small_disk / "full").unlink()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    refused = CliRunner().invoke(cli.app, aim(words, small_disk / "there"))
    assert isinstance(refused.exception, ArtefactError), refused.exception
    assert "Read-only" in str(refused.exception)
    assert list(small_disk.iterdir()) == []


@pytest.mark.parametrize("format_", ["csv", "parquet", "json", "txt"])
def test_predictions_for_a_disk_that_is_full_by_now_are_kept(
    format_: str, small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    output = small_disk / f"x.{format_}"
    output.write_text("of yesterday")

    def fill_the_disk(*_: object, **__: object) -> PredictionResult:
        (small_disk / "full").write_bytes(bytes(os.statvfs(small_disk).f_bavail * 4096))
        return make_result()

    monkeypatch.setattr("quintet.inference.predict.predict_files", fill_the_disk)
    ended = CliRunner().invoke(cli.app, ["predict", "model", "a.wav", "-o", str(output)])
    assert isinstance(ended.exception, ArtefactError), ended.exception
    assert output.read_text() == "of yesterday"
    (kept,) = tmp_path.glob("quintet-*/x.*")
    assert str(kept) in str(ended.exception)
    monkeypatch.setattr("quintet.inference.predict.predict_files", lambda *_, **__: make_result())
    predict("-o", tmp_path / f"usual.{format_}")
    assert kept.read_bytes() == (tmp_path / f"usual.{format_}").read_bytes()


def test_a_link_in_the_place_of_an_output_is_replaced(result: PredictionResult, tmp_path: Path) -> None:
    """Attack C5: the file that the link leads to was overwritten."""
    (tmp_path / "victim.txt").write_text("precious")
    (tmp_path / "x.csv").symlink_to(tmp_path / "victim.txt")
    predict("-o", tmp_path / "x.csv")
    assert (tmp_path / "victim.txt").read_text() == "precious"
    assert not (tmp_path / "x.csv").is_symlink()
    assert len(pd.read_csv(tmp_path / "x.csv")) == 4


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize(
    "words",
    [
        ("report", "model", "-o"),
        ("explain", "model", "a.wav", "-o"),
        ("train", "t.csv", "-o"),
        ("tune", "t.csv", "-o"),
        ("extract", "music", "-o", "f.parquet", "--spectrograms"),
    ],
)
def test_an_output_folder_that_is_a_link_is_refused(words: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there", target_is_directory=True)
    refused = CliRunner().invoke(cli.app, [*words, str(tmp_path / "link")])
    assert isinstance(refused.exception, ArtefactError)
    assert "is a link" in str(refused.exception)
    assert list((tmp_path / "there").iterdir()) == []


def test_a_missing_folder_is_made(result: PredictionResult, tmp_path: Path) -> None:
    predict("-o", tmp_path / "new" / "folder" / "x.csv")
    assert len(pd.read_csv(tmp_path / "new" / "folder" / "x.csv")) == 4


@pytest.fixture(scope="module")
def table_and_model(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A small table and a model of it, whose class has a long name."""
    folder = tmp_path_factory.mktemp("small")
    rng = np.random.default_rng(0)
    labels = [LONG_NAME, "jazz"] * 12
    frame = pd.DataFrame({"id": [f"{LONG_FILE}{i}" for i in range(24)], "label": labels})
    frame["x"] = rng.normal(size=24) + (frame["label"] == "jazz")
    frame.to_csv(folder / "t.csv", index=False)
    settings = TrainSettings(members=("logistic_regression",), folds=2, resamples=0)
    quintet.train(folder / "t.csv", folder / "model", settings=settings)
    return folder / "t.csv", folder / "model"


def test_every_row_of_a_table_is_a_row_of_the_output(
    table_and_model: tuple[Path, Path], tmp_path: Path
) -> None:
    table, model = table_and_model
    words = [
        "predict",
        str(model),
        "--table",
        str(table),
        "-o",
        str(tmp_path / "x.csv"),
        "--confidence",
        "0.9",
    ]
    done = CliRunner().invoke(cli.app, words)
    assert (done.exit_code, done.stdout) == (0, "")
    rows = pd.read_csv(tmp_path / "x.csv")
    assert rows["file"].tolist() == pd.read_csv(table)["id"].tolist()
    assert set(rows["status"]) == {"ok"}
    assert rows["set_size"].between(0, 2).all()


def test_training_prints_scores_on_standard_output_and_messages_elsewhere(
    table_and_model: tuple[Path, Path], tmp_path: Path
) -> None:
    table, _ = table_and_model
    words = ["train", str(table), "-o", str(tmp_path / "m"), "-m", "logistic_regression", "--resamples", "0"]
    done = CliRunner().invoke(cli.app, words)
    assert done.exit_code == 0
    assert "accuracy" in done.stdout
    assert "Model →" not in done.stdout
    assert "Model →" in done.stderr
    quiet = CliRunner().invoke(cli.app, [*words, "--overwrite", "-q"])
    assert quiet.stderr == ""
    assert quiet.stdout == done.stdout


def test_one_path_is_one_path() -> None:
    taken: list[object] = []
    for files in ("song.wav", Path("song.wav"), ["a.wav", Path("b.wav")], np.array(["a.wav"]), ("*.wav",)):
        with as_files(files) as given:
            taken.append(given.paths)
    assert taken == [["song.wav"], [Path("song.wav")], ["a.wav", Path("b.wav")], ["a.wav"], ["*.wav"]]


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        (np.zeros(4), "soundfile"),
        (np.zeros((2, 4)), "soundfile"),
        ([np.zeros(4)], "soundfile"),
        (b"RIFF", "bytes"),
        (None, "NoneType"),
        (4, "path"),
        ({"a.wav": 1}, "dict"),
    ],
)
def test_what_is_no_path_gets_a_sentence(wrong: object, word: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=word):
        quintet.predict("model", wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="path"):
        quintet.explain("model", wrong, tmp_path)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="path"):
        quintet.extract(wrong, tmp_path / "f.parquet")  # type: ignore[arg-type]


def test_an_open_file_gets_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"")
    with (tmp_path / "a.wav").open("rb") as file, pytest.raises(ConfigError, match="open file"):
        quintet.predict("model", file)  # type: ignore[arg-type]


def test_quiet_silences_the_notices_of_all_processes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from quintet.files.notices import QUIET_VARIABLE, announce

    monkeypatch.delenv(QUIET_VARIABLE, raising=False)
    made = make_result()
    inherited: list[str | None] = []

    def work(*_: object, **__: object) -> object:
        announce("working")
        inherited.append(os.environ.get(QUIET_VARIABLE))
        return made

    monkeypatch.setattr("quintet.inference.predict.predict_files", work)
    assert "working" in predict().stderr
    assert "working" not in predict("-q").stderr
    assert inherited == [None, "option"], "a worker process inherits it"
    assert "working" in predict().stderr


def test_no_tag_differs_from_no_prediction(monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_result()
    made.frame["verdict"] = ["jazz", "", f"{LONG_NAME};jazz"]
    sets = replace(made, multilabel=True)
    monkeypatch.setattr("quintet.inference.predict.predict_files", lambda *_, **__: sets)
    rows = json.loads(predict("--format", "json").stdout)
    assert [row["verdict_size"] for row in rows] == [1, 0, 2, None]
    assert [row["verdict"] for row in rows][1::2] == ["", None]
