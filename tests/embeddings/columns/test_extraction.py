"""Columns of pretrained networks in the same pass as the hand-made ones: values, resuming, ways to a row."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from typer.testing import CliRunner

import quintet
from quintet.audio.decode import ClipSource, load_clip
from quintet.audio.reading import recording as recordings
from quintet.audio.reading.segments import Whole
from quintet.cli import app
from quintet.commands.terminal.listing import records
from quintet.embeddings.columns import embedder
from quintet.embeddings.columns.networks import find_embedder, with_embeddings
from quintet.embeddings.library import install, open_network, remove_network
from quintet.embeddings.musicnn_graph import Checkpoint, musicnn_graph
from quintet.embeddings.tagging import TagChoice
from quintet.errors import ArtefactError, ConfigError
from quintet.features.columns import feature_names
from quintet.features.engine import streaming
from quintet.features.extraction import extract as extraction
from quintet.features.extraction import worker
from quintet.features.extraction.segments import FileTask, describe_file
from quintet.features.extraction.worker import ClipTask, Job, Row, describe_clip
from quintet.features.parameters import FeatureParameters
from quintet.features.storage.read import read_feature_table
from quintet.pipeline.preflight import check_recipe
from quintet.pipeline.recipe import load_recipe
from quintet.pipeline.reporter import NullReporter
from quintet.pipeline.runner import describe_clips
from tests.embeddings.conftest import install_network, musicnn_arrays
from tests.embeddings.test_contract import contract
from tests.embeddings.test_library import terms

HAND_MADE = FeatureParameters(feature_set="bahuleyan2018", families=("temporal",))
BOTH = ("musicnn_msd", "musicnn_mtt")
FORMS = {"a": ("wav", 44100, 2, 9.0), "b": ("flac", 22050, 1, 4.0), "c": ("wav", 8000, 1, 1.0)}


@pytest.fixture
def music(tmp_path: Path) -> Path:
    """Clips of several rates, channels and lengths; one is shorter than a window."""
    rng = np.random.default_rng(0)
    for k, (name, (kind, rate, channels, seconds)) in enumerate(FORMS.items()):
        t = np.arange(int(seconds * rate)) / rate
        sound = (
            0.3 * np.sin(2 * np.pi * (220 + 100 * t) * t)[:, None] + rng.normal(size=(len(t), channels)) / 20
        )
        file = tmp_path / "music" / ("rock", "jazz")[k % 2] / f"{name}.{kind}"
        file.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(file, sound, rate)
    return tmp_path / "music"


def files_of(music: Path) -> list[Path]:
    return sorted(path for path in music.rglob("*") if path.is_file())


def job_of(*names: str, windows: int = 3) -> Job:
    parameters = with_embeddings(HAND_MADE, names, windows)
    return Job(parameters, embedder=find_embedder(parameters))


def row_of(file: Path, job: Job, start_s: float = 0.0, end_s: float | None = None) -> Row:
    row = describe_clip(ClipTask(0, ClipSource(str(file), start_s, end_s)), job)
    assert not row.failed, row.facts
    return row


def test_columns_are_the_tags_of_tag_and_the_pooled_outputs(
    networks: Path, music: Path, tmp_path: Path
) -> None:
    quintet.extract(music, tmp_path / "f.parquet", parameters=HAND_MADE, embeddings=BOTH, windows=4, n_jobs=1)
    table = read_feature_table(tmp_path / "f.parquet")
    tags = quintet.tag(files_of(music), BOTH, choice=TagChoice(top=None, windows=4)).frame
    assert len(tags) == 3 * 2 * 50
    for row in tags.itertuples():
        id = str(Path(row.path).relative_to(music))
        column = f"tags_{row.network.removeprefix('musicnn_')}.{row.tag}.mean"
        assert table.features.loc[id, column] == pytest.approx(row.activation, abs=2e-6), (id, column)
    for network in BOTH:
        samples = load_clip(music / "rock/a.wav", sample_rate=16000).clip.samples
        outputs = open_network(network).run(samples, windows=4)["embedding"].astype(np.float64)
        assert outputs.shape == (4, 8)
        for statistic, values in (("mean", outputs.mean(axis=0)), ("std", outputs.std(axis=0))):
            columns = [f"embedding_{network}.{number}.{statistic}" for number in range(1, 9)]
            np.testing.assert_allclose(table.features.loc["rock/a.wav", columns], values, atol=2e-5)


def test_hand_made_columns_stay_as_they_are(networks: Path, music: Path, tmp_path: Path) -> None:
    for name, chosen in (("plain", ()), ("both", BOTH)):
        windows = 2 if chosen else None
        quintet.extract(
            music,
            tmp_path / f"{name}.parquet",
            parameters=HAND_MADE,
            embeddings=chosen,
            windows=windows,
            n_jobs=0,
        )
    plain, both = (read_feature_table(tmp_path / f"{name}.parquet") for name in ("plain", "both"))
    names = list(plain.feature_names)
    pd.testing.assert_frame_equal(plain.features, both.features[names], check_exact=True)
    assert both.feature_names == feature_names(with_embeddings(HAND_MADE, BOTH, 2))
    assert len(both.feature_names) == len(names) + 2 * 2 * (50 + 8)


def test_a_clip_is_decoded_once(networks: Path, music: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Path] = []

    def count(source: Path, window: object) -> object:
        opened.append(source)
        return original(source, window)

    original: Callable[[Path, object], object] = recordings.open_native  # type: ignore[assignment]
    monkeypatch.setattr(recordings, "open_native", count)
    row_of(music / "rock/a.wav", job_of(*BOTH))
    assert opened == [music / "rock/a.wav"]


def test_a_long_recording_is_read_in_the_same_two_sweeps(
    networks: Path, music: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, file = job_of(*BOTH), music / "rock/a.wav"
    expected = [row_of(file, job).values, row_of(file, job, 1.0, 8.5).values]
    sweeps: list[Path] = []
    original: Callable[[Path, object], object] = recordings.open_native  # type: ignore[assignment]
    monkeypatch.setattr(
        recordings, "open_native", lambda source, window: sweeps.append(source) or original(source, window)
    )
    monkeypatch.setattr(worker, "should_stream", lambda *_, **__: True)
    monkeypatch.setattr(streaming, "STRETCH", 16 * 512)
    received = [row_of(file, job).values, row_of(file, job, 1.0, 8.5).values]
    assert len(sweeps) == 2 * 2, "two sweeps for each clip"
    n_hand_made = len(feature_names(HAND_MADE))
    for one, other in zip(expected, received, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)
        np.testing.assert_array_equal(one[n_hand_made:], other[n_hand_made:])
    short = music / "rock/c.wav"
    monkeypatch.undo()
    expected_short = row_of(short, job).values
    monkeypatch.setattr(worker, "should_stream", lambda *_, **__: True)
    np.testing.assert_allclose(row_of(short, job).values, expected_short, rtol=1e-6)


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("clip_end", ["zero", "repeat"])
def test_the_end_of_a_clip_is_the_same_in_columns_and_in_tags(clip_end: str) -> None:
    content = musicnn_graph(Checkpoint(musicnn_arrays()))
    install(content, contract(**(terms(content) | {"id": "mine", "clip_end": clip_end, "golden": None})))
    samples = np.random.default_rng(0).normal(size=8 * 16000).astype(np.float32) / 9
    found = find_embedder(with_embeddings(HAND_MADE, ["mine"], "all"))
    assert found is not None
    outputs = open_network("mine").run(samples, windows="all")["tags"]
    assert len(outputs) == 5, "four whole windows and the end"
    np.testing.assert_allclose(found.embed(samples, 16000)[:50], outputs.mean(axis=0), atol=1e-6)


def test_a_network_with_long_windows_does_not_stream(networks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_embedder(job_of("musicnn_msd").parameters).can_stream  # type: ignore[union-attr]
    monkeypatch.setattr(embedder, "LONGEST_WINDOW_S", 2.0)
    assert not find_embedder(job_of("musicnn_msd").parameters).can_stream  # type: ignore[union-attr]


def test_segments_of_predict_are_clips_with_these_windows(networks: Path, music: Path) -> None:
    job, file = job_of("musicnn_msd"), music / "rock/a.wav"
    items = [
        item for item in describe_file(FileTask("a", str(file), 4.0), job) if not isinstance(item, Whole)
    ]
    assert [tuple(window) for window, _ in items] == [(0.0, 4.0), (4.0, 8.0)]
    for window, row in items:
        np.testing.assert_array_equal(row.values, row_of(file, job, *window).values)


def test_an_interrupted_extraction_goes_on_to_the_same_bytes(
    networks: Path, music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extraction, "CHUNK_CLIPS", 1)
    monkeypatch.setattr(extraction, "FLUSH_ROWS", 1)

    def run(name: str, windows: int = 3, **options: object) -> extraction.ExtractionSummary:
        options = {"n_jobs": 0, **options}
        return quintet.extract(
            music, tmp_path / name, parameters=HAND_MADE, embeddings="musicnn_msd", windows=windows, **options
        )

    def interrupt(progress: extraction.Progress) -> None:
        if progress.done == 2:
            raise KeyboardInterrupt

    run("whole.parquet", n_jobs=1)
    with pytest.raises(KeyboardInterrupt):
        run("f.parquet", progress=interrupt)
    assert run("f.parquet").n_reused == 2
    assert (tmp_path / "f.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    assert run("f.parquet").n_reused == 3
    again = run("f.parquet", windows=4)
    assert (again.n_reused, again.n_ok) == (0, 3)
    assert "Other parameters" in again.notes[0]


def test_rows_of_another_network_are_not_reused(networks: Path, music: Path, tmp_path: Path) -> None:
    output = tmp_path / "f.parquet"

    def run() -> extraction.ExtractionSummary:
        return quintet.extract(
            music, output, parameters=HAND_MADE, embeddings="musicnn_msd", windows=1, n_jobs=0
        )

    run()
    before = read_feature_table(output).parameter_hash
    install_network("musicnn_msd", musicnn_graph(Checkpoint(musicnn_arrays(seed=1))))
    assert run().n_reused == 0
    assert read_feature_table(output).parameter_hash != before


def test_a_table_keeps_the_provenance_of_its_networks(networks: Path, music: Path, tmp_path: Path) -> None:
    quintet.extract(music, tmp_path / "f.parquet", parameters=HAND_MADE, embeddings=BOTH, windows=1, n_jobs=0)
    table = read_feature_table(tmp_path / "f.parquet")
    assert table.parameters is not None
    for network in table.parameters.embeddings:
        assert network.contract == open_network(network.network).contract.hash
        assert (network.licence, network.source) == ("ISC", "here")
    assert "onnxruntime" in table.metadata["versions"]


def test_networks_that_are_not_there_are_refused_before_the_work(networks: Path, music: Path) -> None:
    parameters = with_embeddings(HAND_MADE, BOTH)
    install_network("musicnn_mtt", musicnn_graph(Checkpoint(musicnn_arrays(seed=1))), "mtt")
    with pytest.raises(ArtefactError, match=r"musicnn_mtt.*contract"):
        find_embedder(parameters)
    remove_network("musicnn_mtt")
    with pytest.raises(ConfigError, match="quintet weights fetch musicnn"):
        find_embedder(parameters)
    with pytest.raises(ConfigError, match="musicnn_msd"):
        with_embeddings(HAND_MADE, ["musicnn_mds"])
    with pytest.raises(ConfigError, match="named once"):
        with_embeddings(HAND_MADE, ["musicnn_msd", "musicnn_msd"])
    with pytest.raises(ConfigError, match="without a network"):
        with_embeddings(HAND_MADE, [], 4)


def test_a_network_that_changes_during_a_run_ends_it(networks: Path, music: Path) -> None:
    job = job_of("musicnn_msd")
    install_network("musicnn_msd", musicnn_graph(Checkpoint(musicnn_arrays(seed=2))))
    embedder._open.cache_clear()
    with pytest.raises(ArtefactError, match="must not change during a run"):
        describe_clip(ClipTask(0, ClipSource(str(music / "rock/a.wav"))), job)


def test_a_clip_too_short_for_a_network_is_a_row_of_the_ledger(
    networks: Path, music: Path, tmp_path: Path
) -> None:
    soundfile.write(music / "rock/tiny.wav", np.sin(np.arange(4200) / 9), 44100)  # .095 s
    summary = quintet.extract(
        music, tmp_path / "f.parquet", parameters=HAND_MADE, embeddings="musicnn_msd", windows=1, n_jobs=0
    )
    assert summary.n_ok == 3
    (failure,) = summary.failures.to_dict("records")
    assert (failure["id"], failure["stage"], failure["error"]) == ("rock/tiny.wav", "check", "TooShortError")
    assert "musicnn_msd" in failure["reason"]


def test_the_command(networks: Path, music: Path, tmp_path: Path) -> None:
    words = ["extract", str(music), "-o", str(tmp_path / "f.parquet"), "-f", "bahuleyan2018", "--json"]
    result = CliRunner().invoke(app, [*words, "--embeddings", ",".join(BOTH), "--windows", "2"])
    assert result.exit_code == 0, result.output
    received = json.load(io.StringIO(result.stdout))
    assert (received["n_ok"], received["n_features"]) == (3, 97 + 2 * 2 * 58)
    assert CliRunner().invoke(app, [*words, "--embeddings", "nobody"]).exit_code != 0
    assert CliRunner().invoke(app, [*words, "--windows", "3"]).exit_code != 0
    assert CliRunner().invoke(app, [*words, "--embeddings", "musicnn_msd", "--windows", "-1"]).exit_code == 2


def test_columns_of_the_library_are_listed_in_words(networks: Path) -> None:
    rows = {row["column"]: row for row in records("columns")}
    row = rows["tags_msd.sad.mean"]
    assert (row["words"], row["unit"], row["family"]) == ("tag sad, average", "1", "tags_msd")
    assert row["sets"] == ["musicnn_msd"]
    assert sum(row["family"].startswith(("tags_", "embedding_")) for row in rows.values()) == 2 * 2 * 58


BLOCKED = """
import sys
sys.modules["onnx"] = sys.modules["onnxruntime"] = None
import quintet
from quintet.errors import MissingExtraError
from quintet.features.parameters import FeatureParameters
small = FeatureParameters(feature_set="bahuleyan2018", families=("temporal",))
assert quintet.extract(sys.argv[1], sys.argv[2], parameters=small, n_jobs=0).n_ok == 3
try:
    quintet.extract(sys.argv[1], sys.argv[2], parameters=small, n_jobs=0, embeddings="musicnn_msd")
except MissingExtraError as error:
    assert "embeddings" in str(error), error
    sys.exit(7)
"""


@pytest.mark.slow
def test_without_the_extra_all_else_works(networks: Path, music: Path, tmp_path: Path) -> None:
    words = [sys.executable, "-c", BLOCKED, str(music), str(tmp_path / "f.parquet")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 7, done.stderr


RECIPE = """
name = "mine"
[data]
source = "{music}"
[features]
set = "bahuleyan2018"
families = ["temporal"]
embeddings = ["{network}"]
windows = 1
[train]
members = ["logistic_regression"]
protocol = "random"
test_size = 0
folds = 2
"""


def test_a_recipe_names_networks(networks: Path, music: Path, tmp_path: Path) -> None:
    soundfile.write(music / "jazz/d.wav", np.sin(np.arange(40000) / 9), 16000)
    (tmp_path / "mine.toml").write_text(RECIPE.format(music=music, network="musicnn_mtt"))
    recipe = load_recipe(tmp_path / "mine.toml")
    describe_clips(recipe, tmp_path / "out", None, reporter=NullReporter(), n_jobs=1)
    table = read_feature_table(tmp_path / "out" / "features.parquet")
    assert {"tags_mtt.guitar.mean", "embedding_musicnn_mtt.8.std"} <= set(table.feature_names)
    assert table.parameters is not None
    assert table.parameters.embeddings[0].windows == 1
    (tmp_path / "mine.toml").write_text(RECIPE.format(music=music, network="nobody"))
    with pytest.raises(ConfigError, match="nobody"):
        check_recipe(load_recipe(tmp_path / "mine.toml"))
