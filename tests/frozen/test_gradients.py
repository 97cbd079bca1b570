"""Gradients, feature maps and embeddings of frozen networks are those of Keras."""

from __future__ import annotations

import numpy as np
import pytest

from quintet.classifiers.networks.backend import load_keras
from quintet.classifiers.networks.gradients import KerasHalves
from quintet.classifiers.networks.steps import network_steps
from quintet.classifiers.spectrogram.fitting import forward
from quintet.files.json_types import JsonObject
from quintet.frozen.gradients import FrozenHalves
from quintet.frozen.network import Network, Step
from tests.frozen.test_network import SLOW, SMALL, build

WITHOUT_KERAS = {
    "vgg_small",
    "folmer_cnn",
    "lachmish_mel",
    "lachmish_mfcc",
    "musicnn",
    "musicnn_vgg",
    "musicnn_vgg_transfer",
    "pons2017",
}


def require_equal(name: str, shape: tuple[int, int], settings: JsonObject) -> bool:
    """Compare the halves, and the embedding. Returns whether there are halves without Keras."""
    model = build(name, shape, settings)
    weights = {str(k): values for k, values in enumerate(model.get_weights())}
    network = Network([Step.from_json(step) for step in network_steps(model, weights)], weights, shape, 5)
    patches = np.random.default_rng(2).normal(size=(3, *shape)).astype(np.float32)
    last = load_keras().Model(model.input, model.get_layer("embedding").output)
    embedded = forward(last, patches, batch_size=2).reshape(3, -1)
    assert np.abs(network.embedding(patches).reshape(3, -1) - embedded).max() < 1e-5 * np.abs(embedded).max()
    received = FrozenHalves.cut(network)
    if received is None:
        return False
    expected = KerasHalves.cut(model, 2)
    assert expected is not None
    features = expected.features(patches)
    assert np.abs(received.features(patches) - features).max() < 1e-5 * np.abs(features).max()
    for column in (0, 3):
        slopes = expected.slopes(features, column)
        assert np.abs(slopes).max() > 0
        close = np.abs(received.slopes(features, column) - slopes)
        assert close.max() < 1e-5 * np.abs(slopes).max()
    return True


@pytest.mark.parametrize("name", SMALL)
def test_gradients_are_those_of_keras(name: str) -> None:
    assert require_equal(name, *SMALL[name]) is (name in WITHOUT_KERAS)


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_gradients_of_the_other_networks_are_those_of_keras(name: str) -> None:
    assert require_equal(name, *SLOW[name]) is (name in WITHOUT_KERAS)
