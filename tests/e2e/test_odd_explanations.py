"""Explanations of one track by models of odd corpora: a tag on every clip, six clips, one varying column."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from quintet.features.storage.read import read_feature_table
from quintet.features.storage.table import FeatureTable, write_feature_table
from tests.e2e.test_odd_names import NAMES, make_music, run


def odd_corpora(table: FeatureTable) -> dict[str, FeatureTable]:
    """Tables of the same clips that are odd in one way."""
    frame = table.frame
    alike = frame.assign(**dict.fromkeys(table.feature_names[1:], np.float32(1)))
    half = np.arange(len(frame)) % 2 == 0
    tags = {**table.metadata, "multilabel": True}
    only_in_test = frame.assign(
        label=frame["label"].where(half, frame["label"] + ";new"), split=np.where(half, "train", "test")
    )
    return {
        "tag on every clip": FeatureTable(frame.assign(label="always;" + frame["label"]), tags),
        "tag in the test part only": FeatureTable(only_in_test, tags),
        "six clips": replace(table, frame=frame.groupby("label").head(3).reset_index(drop=True)),
        "one column varies": replace(table, frame=alike),
    }


@pytest.mark.slow
def test_models_of_odd_corpora_explain_a_track(tmp_path: Path) -> None:
    music, extracted = make_music(tmp_path), tmp_path / "f.parquet"
    run("extract", music, "-o", extracted, "--features", "bahuleyan2018", "--jobs", "0")
    song = next(path for path in music.rglob("*.wav") if path.name.startswith(" lead"))
    corpora = odd_corpora(read_feature_table(extracted))
    for k, table in enumerate(corpora.values()):
        file, model = tmp_path / f"{k}.parquet", tmp_path / f"model{k}"
        write_feature_table(table, file)
        members = ("--members", "logistic_regression,xgboost", "--set", "xgboost.n_estimators=5")
        run("train", file, "-o", model, *members, "--resamples", "5")
        run("explain", model, song, "-o", tmp_path / f"page{k}", "--jobs", "0")
        page = (tmp_path / f"page{k}" / "index.html").read_text(encoding="utf-8")
        assert page.rstrip().endswith("</html>")
    assert len(corpora) == 4
    assert len(list(music.rglob("*.wav"))) == 2 * len(NAMES)
