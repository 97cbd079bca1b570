"""Published weights of music in our networks: small ones that the tests make, and the real ones if any."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from quintet.audio.clip import Clip
from quintet.classifiers.networks import music_weights
from quintet.classifiers.networks.keras_types import KerasModel
from quintet.classifiers.networks.music_weights import FRONT_END, MUSICNN, VGG, fill_network
from quintet.classifiers.networks.registry import base_variables, build_network
from quintet.classifiers.registry import make_member, require_weights
from quintet.classifiers.spectrogram.classifier import SpectrogramClassifier
from quintet.embeddings import musicnn
from quintet.embeddings.front_end import clip_windows
from quintet.embeddings.golden import golden_clip
from quintet.embeddings.library import installed_networks, network_content, open_network
from quintet.embeddings.musicnn_graph import Checkpoint, musicnn_graph, read_graph, vgg_graph
from quintet.errors import ArtefactError, ConfigError
from quintet.features.engine.analysis import make_analysis
from quintet.features.parameters import FeatureParameters, LogMelParameters
from quintet.features.storage.spectrograms import SpectrogramStore, SpectrogramWriter
from quintet.features.storage.table import META_COLUMNS, FeatureTable
from quintet.pipeline.preflight import check_members
from quintet.pipeline.recipe import load_recipe, shipped_recipes
from quintet.training.settings import TrainSettings
from quintet.training.train import TrainOptions, train
from tests.embeddings.conftest import UNITS, install_network, library, musicnn_arrays, vgg_arrays
from tests.embeddings.test_contract import contract
from tests.embeddings.test_musicnn_graph import run, sigmoid

__all__ = ["library"]  # a fixture

N_TAGS = 50
SMALL = {"musicnn": {"filters": 8, "units": UNITS}, "musicnn_vgg": {"filters": 4}}
KIND = {"musicnn": MUSICNN, "musicnn_vgg": VGG}
HAS_WEIGHTS = "QUINTET_WEIGHTS_DIR" in os.environ and bool(installed_networks())


def checkpoint(name: str) -> Checkpoint:
    """A small checkpoint whose layers have the sizes of `SMALL`."""
    if name == "musicnn_vgg":
        return Checkpoint(vgg_arrays())
    return Checkpoint(musicnn_arrays(filters=8, small=2, middle=64))


def graph(name: str) -> bytes:
    return vgg_graph(checkpoint(name)) if name == "musicnn_vgg" else musicnn_graph(checkpoint(name))


def network(name: str, n_outputs: int, **settings: object) -> KerasModel:
    return build_network(
        name, (96, 187), n_outputs, multilabel=False, seed=0, precision="float32", settings=settings
    )


def clips(n: int = 6) -> tuple[list[NDArray[np.float32]], NDArray[np.int64]]:
    rng = np.random.default_rng(0)
    return [rng.uniform(0, 3, size=(96, 200)).astype(np.float32) for _ in range(n)], np.arange(n) % 2


@pytest.fixture
def small_networks(library: Path) -> Path:
    """Small networks in the library under the names of the published ones."""
    install_network("musicnn_msd", graph("musicnn"))
    install_network("vgg_msd", graph("musicnn_vgg"))
    return library


@pytest.mark.parametrize("name", SMALL)
def test_a_converted_network_is_read_back(name: str) -> None:
    found = read_graph(graph(name)).arrays
    expected = checkpoint(name).arrays
    assert set(found) == set(expected)
    for key, values in expected.items():
        np.testing.assert_array_equal(found[key], values, err_msg=key)


def test_a_file_without_the_arrays_of_the_checkpoint_is_refused() -> None:
    import onnx

    model = onnx.load_model_from_string(graph("musicnn"))
    own = [tensor for tensor in model.graph.initializer if "/" not in tensor.name]
    del model.graph.initializer[:]
    model.graph.initializer.extend(own)
    assert run(model.SerializeToString(), np.zeros((1, 187, 96)))["tags"].shape == (1, N_TAGS)
    with pytest.raises(ArtefactError, match="quintet weights fetch musicnn"):
        read_graph(model.SerializeToString())


@pytest.mark.parametrize("name", SMALL)
def test_the_network_gives_the_tags_of_the_published_one(name: str) -> None:
    model = network(name, N_TAGS, weights="random", **SMALL[name])
    fill_network(model, checkpoint(name), KIND[name], with_head=True)
    patches = np.random.default_rng(1).uniform(0, 3, (2, 187, 96))
    logits = np.asarray(model.predict_on_batch(patches.transpose(0, 2, 1).astype(np.float32)))
    expected = run(graph(name), patches)["tags"]
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(sigmoid(logits), expected, atol=2e-5)


@pytest.mark.skipif(not HAS_WEIGHTS, reason="needs QUINTET_WEIGHTS_DIR with the weights of musicnn")
@pytest.mark.parametrize("collection", music_weights.COLLECTIONS)
@pytest.mark.parametrize("name", SMALL)
def test_published_weights_give_the_published_tags(name: str, collection: str) -> None:
    published = open_network(f"{KIND[name]}_{collection}")
    windows = clip_windows(golden_clip(16000), published.contract, 3)
    model = network(name, N_TAGS, weights=collection)
    found = read_graph(network_content(f"{KIND[name]}_{collection}"))
    fill_network(model, found, KIND[name], with_head=True)
    logits = np.asarray(model.predict_on_batch(windows.transpose(0, 2, 1)))
    expected = published.run_windows(windows)["tags"]
    np.testing.assert_allclose(sigmoid(logits), expected, atol=1e-4)


def test_stored_spectrograms_are_what_the_weights_read() -> None:
    samples = golden_clip(16000)
    parameters = FeatureParameters(sample_rate=16000, log_mel=FRONT_END)
    stored = make_analysis(Clip(samples, 16000, "golden"), parameters).log_mel(FRONT_END)
    form = contract(input=musicnn.FRONT_END, sample_rate=16000)
    windows = clip_windows(samples, form, 1)
    first = (stored.shape[1] - 187) // 2
    np.testing.assert_allclose(stored[:, first : first + 187].T, windows[0], atol=1e-5)


@pytest.mark.usefixtures("small_networks")
@pytest.mark.parametrize("name", [pytest.param("musicnn", marks=pytest.mark.slow), "musicnn_vgg"])
def test_a_frozen_base_keeps_the_published_weights(name: str) -> None:
    X, y = clips()
    member = make_member(name, weights="msd", frozen=True, epochs=1, **SMALL[name]).fit(X, y)
    assert isinstance(member, SpectrogramClassifier)
    assert not member.mean_.any()
    assert (member.std_ == 1).all()
    fitted, published = member.fitted_network(), network(name, 2, weights="msd", **SMALL[name])
    for layer in published.layers:
        if not layer.get_weights():
            continue
        pairs = zip(layer.get_weights(), fitted.get_layer(layer.name).get_weights(), strict=True)
        for before, after in pairs:
            is_equal = np.array_equal(before, after)
            assert is_equal == (layer.name != "logits"), layer.name
    assert len(fitted.trainable_variables) == 2
    assert np.shape(fitted.get_layer("logits").get_weights()[0]) == (8, 2)


def test_all_layers_but_the_last_are_the_base() -> None:
    for name in SMALL:
        model = network(name, 3, weights="random", **SMALL[name])
        own = [variable.path for variable in model.get_layer("logits").trainable_variables]
        base = {variable.path for variable in base_variables(model)}
        assert [v.path for v in model.trainable_variables if v.path not in base] == own


@pytest.mark.slow
@pytest.mark.usefixtures("small_networks")
def test_the_published_base_learns_at_its_own_rate() -> None:
    X, y = clips(4)
    settings = {"epochs": 1, "validation_share": 0.0, "learning_rate": 1e-3}
    member = make_member("musicnn_vgg", weights="msd", **settings, **SMALL["musicnn_vgg"]).fit(X, y)
    assert isinstance(member, SpectrogramClassifier)
    start, end = network("musicnn_vgg", 2, weights="msd", **SMALL["musicnn_vgg"]), member.fitted_network()

    def moved(layer: str) -> float:
        pairs = zip(start.get_layer(layer).get_weights(), end.get_layer(layer).get_weights(), strict=True)
        return max(float(np.abs(before - after).max()) for before, after in list(pairs)[:1])

    assert moved("conv5") == pytest.approx(1e-4, rel=0.05)  # Adam's first step is its rate
    assert moved("logits") == pytest.approx(1e-3, rel=0.05)


def test_spectrograms_of_another_front_end_are_refused(tmp_path: Path) -> None:
    X, y = clips()
    member = make_member("musicnn_vgg")
    assert isinstance(member, SpectrogramClassifier)
    with pytest.raises(ConfigError, match=r"nothing below 0.*-79\.9"):
        member.fit([clip - 80 for clip in X], y)
    with pytest.raises(ConfigError, match="64 bands"):
        member.fit([clip[:64] for clip in X], y)
    with SpectrogramWriter(tmp_path / "store", LogMelParameters()) as writer:
        for number, clip in enumerate(X):
            writer.add(str(number), clip)
    stored = SpectrogramStore(tmp_path / "store").take([str(number) for number in range(len(X))])
    with pytest.raises(ConfigError, match=r"sample_rate = 16000.*Received.*sample_rate 22050.*\"db\""):
        member.fit(stored, y)
    for change in ({"n_fft": 1024}, {"hop_length": 512}, {"fmax": 7000.0}, {"pre_emphasis": 0.9}):
        with pytest.raises(ConfigError, match=f"Received {next(iter(change))} "):
            member.require_spectrograms(FRONT_END.model_copy(update=change))
    for same in ({"fmax": 8000.0}, {"floor_db": -60.0}):
        member.require_spectrograms(FRONT_END.model_copy(update=same))
    other = make_member("musicnn_vgg", weights="random")
    assert isinstance(other, SpectrogramClassifier)
    other.require_spectrograms(LogMelParameters())


def test_a_recipe_with_another_front_end_is_refused_before_it_runs() -> None:
    recipe = load_recipe(shipped_recipes()["bahuleyan2018_music"], data="demo")
    check_members(recipe)
    assert recipe.spectrogram is not None
    loud = recipe.spectrogram.model_copy(update={"compression": "db"})
    with pytest.raises(ConfigError, match=r"\[train\.settings\.musicnn_vgg.*compression \"db\""):
        check_members(recipe.model_copy(update={"spectrogram": loud}))


@pytest.mark.usefixtures("small_networks")
def test_training_refuses_spectrograms_of_another_front_end_before_the_first_fit(tmp_path: Path) -> None:
    ids = [f"c{i:02d}" for i in range(24)]
    with SpectrogramWriter(tmp_path / "store", LogMelParameters()) as writer:
        for id in ids:
            writer.add(id, np.full((96, 20), -40, np.float32))
    frame = pd.DataFrame({name: pd.Series([None] * 24, dtype="object") for name in META_COLUMNS})
    frame = frame.assign(id=ids, status="ok", label=["a", "b"] * 12, group=ids, tempo=np.float32(1))
    settings = TrainSettings(
        members=("logistic_regression", "musicnn_vgg"), settings={"musicnn_vgg": {"filters": 4}}, folds=2
    )
    options = TrainOptions(spectrograms=tmp_path / "store")
    table = FeatureTable(frame, {"parameter_hash": "0", "grouped": True})
    with pytest.raises(ConfigError, match="sample_rate = 16000"):
        train(table, tmp_path / "model", settings=settings, options=options)
    assert not (tmp_path / "model" / "config.json").exists()


def test_weights_that_cannot_be_had_are_refused_before_any_work(library: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="quintet weights fetch musicnn"):
        require_weights(make_member("musicnn_vgg"))
    require_weights(make_member("musicnn"))
    install_network("vgg_msd", graph("musicnn_vgg"))
    with pytest.raises(ConfigError, match=r"filters of 'musicnn_vgg' must be 4 .* Received 8"):
        require_weights(make_member("musicnn_vgg", filters=8))
    require_weights(make_member("musicnn_vgg", filters=4))
    with pytest.raises(ArtefactError, match="Did you mean 'mtt'"):
        require_weights(make_member("musicnn_vgg", weights="mmt"))
    other = tmp_path / "other.onnx"
    other.write_bytes(graph("musicnn"))
    with pytest.raises(ArtefactError, match="another network"):
        require_weights(make_member("musicnn_vgg", weights=str(other)))
    file = library / "vgg_msd" / "model.onnx"
    file.write_bytes(file.read_bytes() + b"\0")
    with pytest.raises(ArtefactError, match="as it was added"):
        require_weights(make_member("musicnn_vgg"))
