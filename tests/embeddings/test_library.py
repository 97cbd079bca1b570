"""The library of weights: adding, checking, and what is refused."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quintet.embeddings import musicnn
from quintet.embeddings.golden import golden_clip, mean_outputs
from quintet.embeddings.library import (
    add_network,
    check_network,
    find_network,
    install,
    installed_networks,
    open_network,
    remove_network,
)
from quintet.embeddings.musicnn_graph import Checkpoint, musicnn_graph
from quintet.embeddings.network import Network, open_session
from quintet.embeddings.onnx_graph import GraphBuilder
from quintet.errors import ArtefactError, ConfigError
from tests.embeddings.conftest import musicnn_arrays
from tests.embeddings.test_contract import LOG_MEL, contract


def terms(content: bytes, **changes: Any) -> dict[str, Any]:
    """The contract of a small musicnn, as a table."""
    outputs = [{"name": "tags", "dimension": 50}, {"name": "embedding", "dimension": 8}]
    digest = hashlib.sha256(content).hexdigest()
    return contract(
        **({"sha256": digest, "input_name": "log_mel", "outputs": outputs} | changes)
    ).model_dump()


def small(tmp_path: Path, **changes: Any) -> tuple[Path, Path]:
    """A small musicnn and its contract with right golden values, as files."""
    content = musicnn_graph(Checkpoint(musicnn_arrays()))
    right = Network(content, contract(**_plain(terms(content))))
    golden = {"output": "tags", "values": mean_outputs(right, golden_clip(16000))["tags"].tolist()}
    (tmp_path / "m.onnx").write_bytes(content)
    table = terms(content) | {"golden": golden} | changes
    (tmp_path / "m.json").write_text(json.dumps(table))
    return tmp_path / "m.onnx", tmp_path / "m.json"


def _plain(table: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in table.items() if value is not None}


def test_a_network_is_added_checked_opened_and_removed(library: Path, tmp_path: Path) -> None:
    entry = add_network(*small(tmp_path), name="first")
    assert list(installed_networks()) == ["first"]
    difference = check_network("first")
    assert difference is not None
    assert difference < 1e-6
    windows = open_network("first").run(golden_clip(16000), windows=4)
    assert windows["tags"].shape == (4, 50)
    assert windows["embedding"].shape == (4, 8)
    assert [path.name for path in library.iterdir()] == ["first"], "nothing temporary is left"
    (entry.folder / "model.onnx").write_bytes(b"other")
    with pytest.raises(ArtefactError, match="as it was added"):
        open_network("first")
    remove_network("first")
    assert installed_networks() == {}


def test_a_folder_with_other_files_is_neither_replaced_nor_removed(library: Path, tmp_path: Path) -> None:
    (library / "first").mkdir(parents=True)
    (library / "first" / "diary.txt").write_text("mine")
    files = small(tmp_path)
    with pytest.raises(ArtefactError, match=r"diary\.txt"):
        add_network(*files, name="first")
    add_network(*files, name="second")
    add_network(*files, name="second")
    (library / "second" / "diary.txt").write_text("mine")
    for act in (lambda: add_network(*files, name="second"), lambda: remove_network("second")):
        with pytest.raises(ArtefactError, match=r"diary\.txt"):
            act()
    (library / "third").symlink_to(library / "second", target_is_directory=True)
    with pytest.raises(ArtefactError, match="a link"):
        add_network(*files, name="third")
    assert sorted(path.parent.name for path in library.glob("*/diary.txt")) == ["first", "second", "third"]
    assert installed_networks()["second"].contract.id == "second"


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"sample_rate": 22050}, "golden"),  # wrong rate: only the golden clip can tell
        ({"input": LOG_MEL | {"mel_scale": "htk"}}, "golden"),
        ({"input": LOG_MEL | {"compression": "ln"}}, "golden"),
        ({"input": LOG_MEL | {"power": 1}}, "golden"),
        ({"input": LOG_MEL | {"n_mels": 64}}, "96"),
        ({"input": LOG_MEL | {"layout": "mel_time"}}, "96"),
        ({"input": LOG_MEL | {"channel_axis": "last"}}, "96"),
        ({"input_name": "melspectrogram"}, "log_mel"),
        ({"outputs": [{"name": "moods", "dimension": 50}], "golden": None}, "moods"),
        ({"outputs": [{"name": "tags", "dimension": 40}], "golden": None}, "40"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], named: str, tmp_path: Path) -> None:
    with pytest.raises((ArtefactError, ConfigError), match=named):
        add_network(*small(tmp_path, **changes))
    assert installed_networks() == {}


@pytest.mark.usefixtures("library")
def test_other_weights_are_caught_by_the_golden_clip(tmp_path: Path) -> None:
    model, terms_file = small(tmp_path)
    other = musicnn_graph(Checkpoint(musicnn_arrays(seed=1)))
    model.write_bytes(other)
    with pytest.raises(ConfigError, match="SHA-256"):
        add_network(model, terms_file)
    table = json.loads(terms_file.read_text()) | {"sha256": hashlib.sha256(other).hexdigest()}
    terms_file.write_text(json.dumps(table))
    with pytest.raises(ArtefactError, match="golden"):
        add_network(model, terms_file)


def test_arrays_in_other_files_are_refused(tmp_path: Path) -> None:
    import onnx

    secret = tmp_path / "secret"
    secret.write_bytes(np.ones(3, np.float32).tobytes())
    builder = GraphBuilder("x", ("batch", 3))
    total = builder.add("Add", "x", builder.constant(np.ones(3, np.float32)))
    model = onnx.load_model_from_string(builder.finish({"y": (total, ("batch", 3))}))
    tensor = model.graph.initializer[0]
    onnx.external_data_helper.set_external_data(tensor, location=str(secret))
    tensor.ClearField("raw_data")
    with pytest.raises(ArtefactError, match="another file"):
        open_session(model.SerializeToString())


@pytest.mark.parametrize("content", [b"", b"no model", b"\x08\x08" * 50])
def test_bytes_that_are_no_model_are_refused(content: bytes) -> None:
    with pytest.raises(ArtefactError, match="ONNX"):
        open_session(content)


def test_a_network_with_a_fixed_batch_runs_in_batches() -> None:
    builder = GraphBuilder("x", (4, 10))
    doubled = builder.add("Mul", "x", builder.constant(np.float32([2.0])))
    content = builder.finish({"y": (doubled, (4, 10))})
    form = {"kind": "waveform", "samples": 10, "hop_samples": 10}
    fixed = Network(
        content, contract(input=form, input_name="x", outputs=[{"name": "y", "dimension": 10}], shortest_s=0)
    )
    samples = np.arange(70, dtype=np.float32)
    values = fixed.run(samples, windows="all")["y"]
    np.testing.assert_array_equal(values, 2 * samples.reshape(7, 10))


def test_l2_makes_windows_of_length_1() -> None:
    builder = GraphBuilder("x", ("batch", 10))
    content = builder.finish({"y": (builder.add("Identity", "x"), ("batch", 10))})
    form = {"kind": "waveform", "samples": 10, "hop_samples": 10}
    outputs = [{"name": "y", "dimension": 10, "l2": True}]
    network = Network(content, contract(input=form, input_name="x", outputs=outputs, shortest_s=0))
    values = network.run(np.arange(1, 41, dtype=np.float32), windows="all")["y"]
    np.testing.assert_allclose((values**2).sum(axis=1), 1, rtol=1e-5)


def test_an_unknown_network_says_how_to_fetch(library: Path) -> None:
    with pytest.raises(ConfigError, match="weights fetch musicnn"):
        find_network("musicnn_msd")
    content = musicnn_graph(Checkpoint(musicnn_arrays()))
    install(content, contract(**_plain(terms(content))))
    with pytest.raises(ConfigError, match="mine"):
        find_network("minne")
    (library / "mine" / "contract.json").write_text("[" * 100_000)
    with pytest.raises(ArtefactError, match=r"contract\.json"):
        installed_networks()


def test_another_wheel_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "musicnn-0.1.0-py3-none-any.whl", "w") as archive:
        archive.writestr("musicnn/MTT_vgg/.index", b"")
    with pytest.raises(ArtefactError, match=musicnn.WHEEL_SHA256):
        musicnn.fetch_musicnn(tmp_path / "musicnn-0.1.0-py3-none-any.whl")
    with pytest.raises(ArtefactError, match="LICENSE"):
        musicnn.convert_wheel(tmp_path / "musicnn-0.1.0-py3-none-any.whl", tmp_path / "scratch")
    with pytest.raises(ArtefactError, match=r"nowhere\.whl"):
        musicnn.fetch_musicnn(tmp_path / "nowhere.whl")
