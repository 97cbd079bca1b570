"""Files whose names are not UTF-8, have blanks at their ends or control characters: done like others."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from quintet.features.storage.read import read_feature_table
from quintet.features.storage.table import write_feature_table
from quintet.files.atomic import replace_output
from quintet.files.paths import OPEN_FILES, text_name
from tests.e2e.odd_tables import Ending, run_command

NAMES = (b"caf\xe9", b" lead", b"new\nline", b"cr\rx", b"esc\x1b[31m", rb"\xe9", b"<b>", b"a;b", b"q'\",")
LABELS = (b"roc\xe9k", b" jazz ")


def make_music(root: Path) -> Path:
    """Two classes of nine tones in noise."""
    rng, time = np.random.default_rng(0), np.arange(11025) / 22050
    for k, label in enumerate(LABELS):
        folder = os.path.join(os.fsencode(root), b"music", label)
        os.makedirs(folder)
        for i, name in enumerate(NAMES):
            tone = np.sin(2 * np.pi * (200 + 900 * k + 10 * i) * time) + 0.1 * rng.normal(size=time.size)
            soundfile.write(root / "plain.wav", 0.3 * tone, 22050)
            os.rename(os.fsencode(root / "plain.wav"), os.path.join(folder, name + b".wav"))
    return root / "music"


def run(*words: object) -> Ending:
    ending = run_command(*map(str, words))
    assert ending.code == 0, ending.err
    assert "\x1b" not in ending.err
    return ending


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="names of files are bytes on POSIX only")
def test_every_command_takes_every_name(tmp_path: Path) -> None:
    music, table, model = make_music(tmp_path), tmp_path / "f.parquet", tmp_path / "model"
    run("extract", music, "-o", table, "--features", "bahuleyan2018", "--jobs", "0")
    extracted = pd.read_parquet(table)
    assert len(extracted) == len(LABELS) * len(NAMES)
    assert (extracted["status"] == "ok").all()
    run("audit", music, "--groups-to", tmp_path / "groups.csv", "--jobs", "0")
    quick = ("--members", "logistic_regression", "--resamples", "5")
    run("train", table, "-o", model, *quick, "--groups", tmp_path / "groups.csv")
    assert set(pd.read_parquet(model / "features.parquet")["id"]) == set(extracted["id"])
    run("report", model, "-o", tmp_path / "report")
    for suffix in ("csv", "parquet", "json"):
        file = tmp_path / f"p.{suffix}"
        run("predict", model, music, "-o", file, "--jobs", "0")
        rows = pd.read_csv(file) if suffix == "csv" else getattr(pd, f"read_{suffix}")(file)
        assert set(rows["file"]) == set(extracted["path"])
        assert (rows["status"] == "ok").all()
    song = music / os.fsdecode(LABELS[0]) / os.fsdecode(NAMES[0] + b".wav")
    run("explain", model, song, "-o", tmp_path / "explanation", "--jobs", "0")
    page = (tmp_path / "explanation" / "index.html").read_text(encoding="utf-8")
    assert "caf\\xe9.wav" in page
    run("evaluate", model / "verdict" / "test.parquet", "--resamples", "5")


@pytest.mark.slow
@pytest.mark.skipif(not os.path.isdir(OPEN_FILES), reason="other systems have no second name for a file")
def test_every_table_and_folder_may_have_any_name(tmp_path: Path) -> None:
    place = tmp_path / "caf\udce9"
    place.mkdir()
    table, model = place / "t\udce9.csv", place / "m\udce9"
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(40, 3)), columns=["a", "b", "c"])
    frame["a"] += [2, 0] * 20
    frame.assign(id=[f"c{k}" for k in range(40)], label=["x", "y"] * 20).to_csv(table, index=False)
    quick = ("--members", "logistic_regression,random_forest,svm,xgboost", "--resamples", "5")
    trees = ("--set", "random_forest.n_estimators=4", "--set", "xgboost.n_estimators=3")
    done = run("train", table, "-o", model, *quick, *trees, "--json")
    assert json.loads(done.out)["model"].endswith(r"caf\xe9/m\xe9")
    run("predict", model, "--table", table, "-o", place / "p\udce9.parquet")
    with text_name(place / "p\udce9.parquet") as file:
        assert (pd.read_parquet(file)["verdict"].iloc[:6].to_numpy() == ["x", "y"] * 3).mean() > 0.6
    oof = (model / "verdict" / "oof.parquet", model / "predictions" / "oof" / "svm.parquet")
    run("evaluate", *oof, "--resamples", "5")
    run("report", model, "-o", place / "r\udce9")
    assert (place / "r\udce9" / "index.html").read_text(encoding="utf-8").rstrip().endswith("</html>")
    run("audit", table, "--groups-to", place / "g\udce9.csv")
    run("train", table, "-o", model, "--members", "logistic_regression", "--resamples", "0", "--overwrite")


@pytest.mark.skipif(not os.path.isdir(OPEN_FILES), reason="other systems have no second name for a file")
def test_a_parquet_table_may_have_any_name(tmp_path: Path) -> None:
    place = tmp_path / "caf\udce9" / "t\udce9.parquet"
    frame = pd.DataFrame({"id": ["a", "b"], "label": ["x", "y"], "f": [1.0, 2.5]})
    with replace_output(place) as file:
        frame.to_parquet(file, index=False)
    assert list(place.parent.iterdir()) == [place]
    assert read_feature_table(place).features["f"].tolist() == [1.0, 2.5]
    write_feature_table(read_feature_table(place), place)
    assert read_feature_table(place).metadata["dataset"] == r"t\xe9"
