"""Files whose names are not UTF-8, have blanks at their ends or control characters: done like others."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

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
