"""The published networks, where their weights are: golden values of the README of musicnn.

`QUINTET_WEIGHTS_DIR` names the library (after `quintet weights fetch musicnn`), `QUINTET_MUSICNN_CLIPS` the
folder `audio` of github.com/jordipons/musicnn.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import soundfile
from typer.testing import CliRunner

import quintet
from quintet.audio.resample import resample, to_mono
from quintet.classifiers.networks.backend import load_keras
from quintet.classifiers.networks.music_weights import MUSICNN, fill_network
from quintet.cli import app
from quintet.embeddings import musicnn
from quintet.embeddings.checkpoints import read_checkpoint
from quintet.embeddings.front_end import clip_windows
from quintet.embeddings.golden import check_golden, golden_clip
from quintet.embeddings.library import installed_networks, open_network
from quintet.embeddings.musicnn_graph import Checkpoint, musicnn_graph
from quintet.errors import ArtefactError
from quintet.features.storage.read import read_feature_table
from tests.embeddings.conftest import musicnn_arrays

JORAM, TRWJ = "joram-moments_of_clarity-08-solipsism-59-88.mp3", "TRWJAZW128F42760DD_test.mp3"
PUBLISHED = {
    ("musicnn_mtt", JORAM): {
        "techno": 0.59,
        "electronic": 0.54,
        "synth": 0.41,
        "fast": 0.27,
        "beat": 0.22,
        "drums": 0.12,
    },
    ("musicnn_msd", JORAM): {"electronic": 0.30, "instrumental": 0.15, "ambient": 0.14, "chillout": 0.13},
    ("musicnn_mtt", TRWJ): {"guitar": 0.53, "piano": 0.26, "fast": 0.19},
    ("musicnn_msd", TRWJ): {"blues": 0.34, "rock": 0.16, "folk": 0.13},
}
HAS_WEIGHTS = "QUINTET_WEIGHTS_DIR" in os.environ and bool(installed_networks())


@pytest.mark.skipif(not HAS_WEIGHTS, reason="needs QUINTET_WEIGHTS_DIR with the weights of musicnn")
@pytest.mark.skipif("QUINTET_MUSICNN_CLIPS" not in os.environ, reason="needs QUINTET_MUSICNN_CLIPS")
@pytest.mark.parametrize(("name", "clip"), PUBLISHED)
def test_published_tags_of_two_clips(name: str, clip: str) -> None:
    # as the published code decodes: the delay of the encoder stays, which `load_clip` takes away
    decoded, rate = soundfile.read(Path(os.environ["QUINTET_MUSICNN_CLIPS"]) / clip, dtype="float32")
    samples = resample(to_mono(decoded), orig_sr=rate, target_sr=16000)
    network = open_network(name)
    means = network.run(samples, windows="all")["tags"].mean(axis=0)
    tags = network.contract.tag_output.tags  # type: ignore[union-attr]
    best = [tags[i] for i in np.argsort(-means)]
    expected = PUBLISHED[name, clip]
    assert best[: len(expected)] == list(expected)
    for tag, value in expected.items():
        assert means[tags.index(tag)] == pytest.approx(value, abs=0.005)


@pytest.mark.skipif(not HAS_WEIGHTS, reason="needs QUINTET_WEIGHTS_DIR with the weights of musicnn")
@pytest.mark.skipif("QUINTET_MUSICNN_CLIPS" not in os.environ, reason="needs QUINTET_MUSICNN_CLIPS")
@pytest.mark.parametrize("windows", ["10", "all"])
def test_tag_names_the_two_clips(windows: str) -> None:
    """Without the delay of the encoder the windows begin elsewhere, which moves activations by up to .022."""
    files = [str(Path(os.environ["QUINTET_MUSICNN_CLIPS"]) / clip) for clip in (JORAM, TRWJ)]
    result = CliRunner().invoke(app, ["tag", *files, "--windows", windows, "--format", "json", "--top", "6"])
    assert result.exit_code == 0, result.output
    rows = pd.DataFrame(json.loads(result.stdout)["tags"])
    for (name, clip), expected in PUBLISHED.items():
        own = rows[rows["path"].str.endswith(clip) & (rows["network"] == name)]
        assert list(own["tag"][: len(expected)]) == list(expected)
        received = own["activation"].to_numpy()[: len(expected)]
        np.testing.assert_allclose(received, list(expected.values()), atol=0.025)


@pytest.mark.skipif(not HAS_WEIGHTS, reason="needs QUINTET_WEIGHTS_DIR with the weights of musicnn")
@pytest.mark.parametrize("name", musicnn.NETWORKS)
def test_the_synthetic_clip_has_its_golden_values(name: str) -> None:
    assert check_golden(open_network(name), Path()) < 1e-4


def test_a_tensorflow_checkpoint_is_read_without_its_optimizer(tmp_path: Path) -> None:
    load_keras()
    import tensorflow as tf

    arrays = {f"model/{name}": array for name, array in musicnn_arrays().items()}
    extra = {"model/conv2d/kernel/Adam": np.ones(3, np.float32), "beta1_power": np.float32(0.9)}
    save_checkpoint(tf, tmp_path, arrays | extra)
    checkpoint = read_checkpoint(tmp_path)
    assert checkpoint.prefix == "model/"
    assert set(checkpoint.arrays) == set(arrays)
    assert musicnn_graph(checkpoint) == musicnn_graph(Checkpoint(musicnn_arrays()))


def save_checkpoint(tf: object, folder: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write arrays in the form of TensorFlow 1, with the empty name that musicnn gave its files."""
    names, values = list(arrays), list(arrays.values())
    prefix = str(folder / "m")
    tf.raw_ops.SaveV2(  # type: ignore[attr-defined]
        prefix=prefix, tensor_names=names, shape_and_slices=[""] * len(names), tensors=values
    )
    for part in (".index", ".data-00000-of-00001"):
        (folder / f"m{part}").rename(folder / part)


def downloaded(requirement: str, folder: Path) -> Path:
    """A wheel from the registry that pip is configured for; the test is skipped if there is none."""
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), requirement]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip(f"pip cannot download {requirement}")
    return next(folder.glob("*.whl"))


NOTES = "StatefulPartitionedCall:1"
FOREIGN = """
id = "basic-pitch"
version = "0.4.0"
licence = "Apache-2.0"
source = "package basic-pitch"
sample_rate = {sample_rate}
input_name = "serving_default_input_2:0"
[input]
kind = "waveform"
samples = 43844
hop_samples = 43844
channel_axis = "last"
[[outputs]]
name = "{notes}"
dimension = 15136
[golden]
output = "{notes}"
values = {values}
tolerance = 0.001
"""


@pytest.mark.slow
@pytest.mark.usefixtures("library")
def test_a_foreign_model_of_the_registry_is_added_checked_and_gives_columns(tmp_path: Path) -> None:
    """basic-pitch: a waveform of 43,844 samples at 22,050 Hz to notes of 172 frames × 88 keys."""
    with zipfile.ZipFile(downloaded("basic-pitch==0.4.0", tmp_path)) as wheel:
        (tmp_path / "nmp.onnx").write_bytes(wheel.read("basic_pitch/saved_models/icassp_2022/nmp.onnx"))
    session = onnxruntime.InferenceSession(tmp_path / "nmp.onnx", providers=["CPUExecutionProvider"])
    clip = golden_clip(22050)
    windows = clip[: len(clip) // 43844 * 43844].reshape(-1, 43844, 1)
    values = session.run([NOTES], {"serving_default_input_2:0": windows})[0].mean(axis=0).ravel()
    terms, add = tmp_path / "c.toml", ["weights", "add", str(tmp_path / "nmp.onnx"), "--contract"]
    terms.write_text(FOREIGN.format(sample_rate=16000, notes=NOTES, values=values.tolist()))
    wrong = CliRunner().invoke(app, [*add, str(terms)])
    assert isinstance(wrong.exception, ArtefactError)
    assert "golden" in str(wrong.exception)
    terms.write_text(FOREIGN.format(sample_rate=22050, notes=NOTES, values=values.tolist()))
    for words in ([*add, str(terms)], ["weights", "check", "basic-pitch"]):
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, result.output + str(result.exception)
    t = np.arange(5 * 44100) / 44100
    (tmp_path / "music" / "a").mkdir(parents=True)
    soundfile.write(tmp_path / "music" / "a" / "tone.wav", 0.3 * np.sin(2 * np.pi * 440 * t), 44100)
    quintet.extract(tmp_path / "music", tmp_path / "f.parquet", embeddings="basic-pitch", n_jobs=0)
    columns = read_feature_table(tmp_path / "f.parquet").features.filter(regex=r"^embedding_.*\.mean$")
    notes = columns.to_numpy().reshape(172, 88).mean(axis=0)
    assert notes.argmax() == 48  # A4, the 49th key of a piano


@pytest.mark.slow
@pytest.mark.usefixtures("library")
def test_the_wheel_is_fetched_converted_and_equal_to_keras(tmp_path: Path) -> None:
    """The network of this package with the numbers of MSD_musicnn gives the published probabilities."""
    wheel = downloaded("musicnn==0.1.0", tmp_path)
    assert [entry.contract.id for entry in musicnn.fetch_musicnn(wheel)] == list(musicnn.NETWORKS)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "wheel")
    checkpoint = read_checkpoint(tmp_path / "wheel" / "musicnn" / "MSD_musicnn")
    load_keras()
    from quintet.classifiers.networks.musicnn import build

    model = fill_network(build((96, 187), 50), checkpoint, MUSICNN, with_head=True)
    network = open_network("musicnn_msd")
    patches = clip_windows(golden_clip(16000), network.contract, 3)
    logits = model.predict(patches.transpose(0, 2, 1), verbose=0)
    expected = 1 / (1 + np.exp(-logits))
    values = network.run(golden_clip(16000), windows=3)["tags"]
    np.testing.assert_allclose(values, expected, atol=2e-6)
