"""Recordings that are described for prediction have the numbers of an extraction, in memory or in a store."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

import quintet
from quintet.errors import ConfigError
from quintet.features.extraction.segments import FileTask, describe_file
from quintet.features.extraction.worker import Job
from quintet.features.storage.read import read_feature_table
from quintet.features.storage.spectrograms import SpectrogramStore
from quintet.inference.predict import predict_files, predict_table
from quintet.inference.track import predict_track
from quintet.model_folder.load import load_model
from quintet.training.settings import TrainSettings

RATE = 22050


def write_tone(path: Path, frequency: float, seed: int, *, length_s: float = 1.5) -> Path:
    rng = np.random.default_rng(seed)
    t = np.arange(int(length_s * RATE)) / RATE
    wave = 0.2 * np.sin(2 * np.pi * frequency * t) + 0.02 * rng.normal(size=t.size)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wave.astype(np.float32), RATE)
    return path


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes, and a model with a table member and a network."""
    root = tmp_path_factory.mktemp("music")
    for label, base in (("flute", 900.0), ("tuba", 90.0)):
        for i in range(6):
            write_tone(root / "data" / label / f"artist{i}_{label}.wav", base * (1 + 0.03 * i), i)
    manifest = quintet.load_source(root / "data")
    parameters = quintet.FeatureParameters(feature_set="bahuleyan2018")
    quintet.extract(
        manifest, root / "f.parquet", parameters=parameters, spectrograms=root / "spectrograms", n_jobs=0
    )
    network = {"epochs": 1, "patch_frames": 64, "settings": {"filters": 4, "blocks": 2}}
    settings = TrainSettings(
        members=("logistic_regression", "vgg_small"),
        settings={"vgg_small": network},
        folds=2,
        rules=("mean",),
        rule="mean",
        resamples=0,
    )
    quintet.train(root / "f.parquet", root / "model", settings=settings, spectrograms=root / "spectrograms")
    write_tone(root / "long.wav", 850, 40, length_s=4.5)
    (root / "notes.mp3").write_text("this is not audio")
    return root


def test_predictions_of_files_do_not_depend_on_the_way(music: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [music / "long.wav", music / "notes.mp3"]
    in_memory = predict_files(music / "model", files)
    monkeypatch.setattr("quintet.inference.describe.FILES_AT_A_TIME", 1)
    one_by_one = predict_files(music / "model", files, n_jobs=2)
    assert len(in_memory.segments) == 3
    assert len(in_memory.failures) == 1
    for name in ("frame", "segments", "failures"):
        pd.testing.assert_frame_equal(getattr(in_memory, name), getattr(one_by_one, name), check_exact=True)


@pytest.mark.parametrize("segment_s", [1e-300, 0.09, -1.0, float("nan")])
def test_a_segment_is_no_shorter_than_an_analysis_frame(music: Path, segment_s: float) -> None:
    with pytest.raises(ConfigError, match=r"analysis frame of the model \(0\.093 s\)"):
        predict_files(music / "model", music / "long.wav", segment_s=segment_s)
    with pytest.raises(ConfigError, match="choose a longer one, or 0"):
        predict_track(load_model(music / "model"), music / "long.wav", segment_s=segment_s)


def test_a_recording_whose_header_promises_too_many_windows_is_a_failure(
    music: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quintet.features.extraction.segments.probe_duration_s", lambda path: 1e15)
    parameters = quintet.FeatureParameters(feature_set="bahuleyan2018")
    task = FileTask("long.wav", str(music / "long.wav"), 301.0)
    ((window, row),) = describe_file(task, Job(parameters))
    assert window.is_whole_file
    assert "at most 100,000 segments" in str(row.facts["reason"])


def test_segments_are_predicted_as_clips_of_a_manifest(music: Path) -> None:
    """The segments that `predict` cuts have the features of windows that a manifest lists."""
    ensemble = load_model(music / "model")
    predicted = predict_files(ensemble, [music / "long.wav"]).segments
    lines = [
        "path,label,start,end",
        *(f"long.wav,tuba,{row.start},{row.end}" for row in predicted.itertuples()),
    ]
    (music / "windows.csv").write_text("\n".join(lines))
    manifest, table = quintet.load_source(music / "windows.csv"), music / "windows.parquet"
    parameters = quintet.FeatureParameters(feature_set="bahuleyan2018")
    quintet.extract(manifest, table, parameters=parameters, spectrograms=music / "windows", n_jobs=0)
    rows = read_feature_table(table)
    expected = predict_table(ensemble, rows, spectrograms=SpectrogramStore(music / "windows")).segments
    columns = [name for name in predicted if name.startswith("probability.")]
    assert len(predicted) == 3
    np.testing.assert_array_equal(predicted[columns], expected[columns])


def test_a_truncated_file_is_predicted_from_its_sound_and_marked(music: Path, tmp_path: Path) -> None:
    whole = next((music / "data" / "tuba").glob("*.wav"))
    content = whole.read_bytes()
    n_bytes = 44 + 2 * ((round(0.6 * len(content)) - 44) // 2)
    cut, left = tmp_path / "cut.wav", tmp_path / "left.wav"
    cut.write_bytes(content[:n_bytes])
    samples, rate = soundfile.read(whole, frames=(n_bytes - 44) // 2, dtype="int16")
    soundfile.write(left, samples, rate, subtype="PCM_16")
    result = predict_files(music / "model", [cut, left])
    assert result.failures.empty
    assert result.truncated["file"].tolist() == [str(cut)]
    probabilities = result.frame.set_index("file").filter(like="probability.")
    np.testing.assert_array_equal(probabilities.loc[str(cut)], probabilities.loc[str(left)])
    seconds = result.frame.set_index("file")[["duration_s", "missing_s"]]
    assert seconds.loc[str(left), "missing_s"] == 0
    assert seconds.loc[str(cut)].sum() == pytest.approx(soundfile.info(whole).duration, abs=0.01)
    assert len(predict_files(music / "model", [cut], strict=True).failures) == 1


def test_seconds_of_a_file_do_not_count_overlapping_segments_twice(music: Path) -> None:
    result = predict_files(music / "model", [music / "long.wav"], segment_s=1.7)
    assert result.frame["segments"].iloc[0] == 3
    assert result.frame["duration_s"].iloc[0] == pytest.approx(4.5)
