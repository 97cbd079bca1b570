"""Recordings that are cut short: described as far as they go, marked, and refused only if asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from quintet.datasets.source import load_source
from quintet.features.extraction.in_memory import collect_rows, describe_clips
from quintet.features.extraction.worker import Job
from quintet.features.parameters import FeatureParameters
from quintet.features.storage.read import read_feature_table
from quintet.features.storage.spectrograms import SpectrogramStore
from quintet.workflow import extract

PARAMETERS = FeatureParameters(feature_set="bahuleyan2018", families=("temporal", "spectral"))
RATE = 22050
SECONDS, KEPT = 4.0, 0.6


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A complete recording, the same recording cut at 60 %, and a recording of just the remaining sound."""
    folder = tmp_path / "corpus"
    (folder / "rock").mkdir(parents=True)
    samples = 0.3 * np.random.default_rng(0).standard_normal(round(SECONDS * RATE)).clip(-3, 3)
    soundfile.write(folder / "rock" / "whole.wav", samples, RATE, subtype="PCM_16")
    content = (folder / "rock" / "whole.wav").read_bytes()
    n_left = (round(KEPT * len(content)) - 44) // 2
    (folder / "rock" / "cut.wav").write_bytes(content[: 44 + 2 * n_left])
    left, _ = soundfile.read(folder / "rock" / "whole.wav", frames=n_left, dtype="int16")
    soundfile.write(folder / "rock" / "left.wav", left, RATE, subtype="PCM_16")
    return folder


def test_a_truncated_recording_has_the_features_of_the_sound_that_is_there(
    corpus: Path, tmp_path: Path
) -> None:
    output = tmp_path / "f.parquet"
    summary = extract(
        load_source(corpus), output, parameters=PARAMETERS, spectrograms=tmp_path / "s", n_jobs=0
    )
    table = read_feature_table(output)
    row = table.meta.loc["rock/cut.wav"]
    assert (row["status"], summary.n_ok, summary.n_failed) == ("truncated", 3, 0)
    assert row["duration_s"] == pytest.approx(KEPT * SECONDS, abs=0.01)
    assert row["missing_s"] == pytest.approx((1 - KEPT) * SECONDS, abs=0.01)
    assert summary.truncated["id"].tolist() == ["rock/cut.wav"]
    assert table.failures.empty
    np.testing.assert_array_equal(table.features.loc["rock/cut.wav"], table.features.loc["rock/left.wav"])
    store = SpectrogramStore(tmp_path / "s")
    np.testing.assert_array_equal(store["rock/cut.wav"], store["rock/left.wav"])
    assert table.meta.loc["rock/whole.wav", ["status", "missing_s"]].tolist() == ["ok", 0.0]


def test_strict_counts_it_as_failed_and_a_later_run_can_go_back(corpus: Path, tmp_path: Path) -> None:
    output, manifest = tmp_path / "f.parquet", load_source(corpus)
    assert extract(manifest, output, parameters=PARAMETERS, n_jobs=0).n_failed == 0
    strict = extract(manifest, output, parameters=PARAMETERS, n_jobs=0, strict=True)
    assert (strict.n_failed, strict.n_reused) == (1, 2)
    assert "40% is missing" in strict.failures["reason"].iloc[0]
    again = extract(manifest, output, parameters=PARAMETERS, n_jobs=0, retry_failed=True)
    assert (again.n_failed, len(again.truncated)) == (0, 1)


def test_a_second_run_reuses_the_row(corpus: Path, tmp_path: Path) -> None:
    output, manifest = tmp_path / "f.parquet", load_source(corpus)
    extract(manifest, output, parameters=PARAMETERS, n_jobs=0)
    before = output.read_bytes()
    assert extract(manifest, output, parameters=PARAMETERS, n_jobs=0).n_reused == 3
    assert output.read_bytes() == before


def test_a_table_of_an_earlier_version_is_read_but_not_reused(corpus: Path, tmp_path: Path) -> None:
    """It may hold rows of half a recording: earlier versions believed the lengths that headers state."""
    output, manifest = tmp_path / "f.parquet", load_source(corpus)
    extract(manifest, output, parameters=PARAMETERS, n_jobs=0)
    pq.write_table(pq.read_table(output).drop_columns(["missing_s"]), output)
    assert read_feature_table(output).meta["missing_s"].isna().all()
    summary = extract(manifest, output, parameters=PARAMETERS, n_jobs=0)
    assert summary.n_reused == 0
    assert "until their data end" in summary.notes[0]
    assert "missing_s" in pq.read_schema(output).names


def test_in_memory_it_is_the_same(corpus: Path, tmp_path: Path) -> None:
    manifest = load_source(corpus)
    extract(manifest, tmp_path / "f.parquet", parameters=PARAMETERS, n_jobs=0)
    there = read_feature_table(tmp_path / "f.parquet").frame
    here = collect_rows(manifest, PARAMETERS, describe_clips(manifest, Job(PARAMETERS))).table.frame
    assert here[["status", "reason", "missing_s"]].equals(there[["status", "reason", "missing_s"]])
