"""Frozen networks give the numbers of Keras, and a stranger's steps take no memory and reach nothing."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest

from quintet.classifiers.networks.registry import NETWORKS, build_network
from quintet.classifiers.networks.steps import UnknownLayerError, network_steps
from quintet.classifiers.spectrogram.fitting import forward
from quintet.classifiers.spectrogram.patches import BandStatistics
from quintet.classifiers.spectrogram.settings import PatchSettings
from quintet.export.networks import CONVERSIONS, network_model
from quintet.files.json_types import JsonObject
from quintet.frozen.members import FrozenNetwork
from quintet.frozen.network import OPERATIONS, Network, Step
from quintet.frozen.scorers import softmax

SMALL: dict[str, tuple[tuple[int, int], JsonObject]] = {
    "vgg_small": ((32, 64), {"filters": 4}),
    "folmer_cnn": ((24, 40), {"size": 32, "filters": 4, "units": 8}),
    "crnn": ((96, 16), {"filters": 2, "units": 4}),
    "lachmish_mfcc": ((24, 70), {"units": 8}),
}
SLOW: dict[str, tuple[tuple[int, int], JsonObject]] = {
    "feed_forward": ((24, 40), {"size": 16}),
    "musicnn": ((24, 40), {"filters": 8, "units": 8}),
    "musicnn_vgg": ((64, 80), {"filters": 4}),
    "musicnn_vgg_transfer": ((64, 150), {"filters": 4}),
    "pons2017": ((90, 40), {"filters": 8, "units": 8}),
    "densenet121": ((24, 40), {"size": 32, "blocks": [2, 1, 1, 1], "weights": "random"}),
    "lachmish_mel": ((64, 70), {"units": 8}),
    "vgg16_transfer": ((24, 40), {"size": 32, "weights": "random"}),
    "vgg16_fine_tune": ((24, 40), {"size": 32, "weights": "random"}),
}


def build(name: str, shape: tuple[int, int], settings: JsonObject) -> Any:
    """A network with random weights, statistics included."""
    model: Any = build_network(
        name, shape, 5, multilabel=False, seed=0, precision="float32", settings=settings, pretrained=False
    )
    rng = np.random.default_rng(1)
    weights = [
        values * rng.uniform(0.5, 1.5, values.shape)
        if values.ndim > 1
        else np.abs(values) + rng.uniform(0.1, 0.4, values.shape)
        for values in model.get_weights()
    ]
    model.set_weights([values.astype(np.float32) for values in weights])
    return model


def require_equal(name: str, shape: tuple[int, int], settings: JsonObject) -> None:
    model = build(name, shape, settings)
    weights = {str(k): values for k, values in enumerate(model.get_weights())}
    steps = [Step.from_json(step) for step in network_steps(model, weights)]
    steps = [Step.from_json(step.to_json()) for step in steps]
    patches = np.random.default_rng(2).normal(size=(3, *shape)).astype(np.float32)
    expected = forward(model, patches, batch_size=2)
    received = Network(steps, weights, shape, 5).logits(patches)
    scale = max(1.0, float(np.abs(expected).max()))
    assert np.abs(received - expected).max() < 1e-5 * scale
    assert np.ptp(expected, axis=0).min() > 1e-4, "the patches must differ"
    require_the_same_in_onnx(steps, weights, patches, received)


def require_the_same_in_onnx(
    steps: list[Step], weights: dict[str, Any], patches: np.ndarray, logits: np.ndarray
) -> None:
    """`quintet export` writes the network as an ONNX model with the same probabilities."""
    runtime = pytest.importorskip("onnxruntime")
    shape = patches.shape[1:]
    statistics = BandStatistics(
        np.full((shape[0], 1), 0.5, np.float32), np.full((shape[0], 1), 2.0, np.float32)
    )
    network = Network(steps, weights, shape, 5)
    member = FrozenNetwork(network, statistics, PatchSettings(shape[1]), "average", None, multilabel=False)
    content = network_model(member, 5).SerializeToString()
    session = runtime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (received,) = session.run(None, {"patches": patches * statistics.std + statistics.mean})
    np.testing.assert_allclose(received, softmax(logits), rtol=0, atol=2e-5)


@pytest.mark.parametrize("name", SMALL)
def test_the_steps_of_a_network_give_its_logits(name: str) -> None:
    require_equal(name, *SMALL[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_the_steps_of_the_other_networks_give_their_logits(name: str) -> None:
    require_equal(name, *SLOW[name])


def test_every_operation_has_a_form_in_onnx() -> None:
    assert set(CONVERSIONS) == set(OPERATIONS)


def test_every_network_has_a_test() -> None:
    assert {*SMALL, *SLOW} == set(NETWORKS)


def test_a_layer_without_a_step_is_named() -> None:
    model = build("vgg_small", *SMALL["vgg_small"])
    model.get_layer("block1_conv").dilation_rate = (2, 2)
    with pytest.raises(UnknownLayerError, match="block1_conv"):
        network_steps(model, {str(k): values for k, values in enumerate(model.get_weights())})


def step(operation: str, inputs: list[int], weights: list[str] | None = None, **numbers: Any) -> Step:
    content = {"operation": operation, "inputs": inputs, "weights": weights or [], "numbers": numbers}
    return Step.from_json(content)


FLAT = [step("flatten", [0]), step("dense", [1], ["kernel"], activation="linear")]
KERNEL = np.ones((6, 2), np.float32)
BAD_STEPS = {
    "no_steps": [],
    "a_later_output": [step("flatten", [1]), FLAT[1]],
    "a_negative_output": [step("flatten", [-1]), FLAT[1]],
    "other_outputs": [step("flatten", [0])],
    "huge_padding": [
        step("reshape", [0], shape=[2, 3, 1]),
        step("pad", [1], padding=[[10**7, 0], [10**7, 0]]),
        step("reduce", [2], axes=[1, 2], mean=True),
    ],
    "a_huge_number": [
        step("reshape", [0], shape=[2, 3, 1]),
        step("pad", [1], padding=[[10**15, 0], [0, 0]]),
        step("flatten", [2]),
    ],
    "a_huge_picture": [step("picture", [0], size=10**6, colours="rgb"), step("flatten", [1]), FLAT[1]],
    "a_shape_of_another_size": [step("reshape", [0], shape=[7]), FLAT[1]],
    "rows_as_columns": [step("concatenate", [0, 0], axis=0), *FLAT],
    "an_unknown_activation": [FLAT[0], step("dense", [1], ["kernel"], activation="__import__")],
    "too_many_steps": [step("activation", [0], activation="linear")] * 3000,
}


def test_good_steps_are_not_refused() -> None:
    assert Network(FLAT, {"kernel": KERNEL}, (2, 3), 2).logits(np.ones((1, 2, 3), np.float32)).tolist() == [
        [6, 6]
    ]


@pytest.mark.parametrize("name", BAD_STEPS)
def test_steps_that_quintet_does_not_write_are_refused(name: str) -> None:
    with pytest.raises((ValueError, TypeError, IndexError)):
        Network(BAD_STEPS[name], {"kernel": KERNEL}, (2, 3), 2)


@pytest.mark.parametrize(("padding", "is_refused"), [(1, False), (10**7, True)])
def test_a_huge_output_between_good_steps_is_refused(padding: int, is_refused: bool) -> None:
    steps = [
        step("reshape", [0], shape=[2, 3, 1]),
        step("pad", [1], padding=[[padding, 0], [padding, 0]]),
        step("reduce", [2], axes=[1, 2], mean=True),
        step("dense", [3], ["kernel"], activation="linear"),
    ]
    with pytest.raises(ValueError, match="shape") if is_refused else contextlib.nullcontext():
        Network(steps, {"kernel": np.ones((1, 2), np.float32)}, (2, 3), 2)


LONG = [
    step("reshape", [0], shape=[1, 6, 1]),
    step("pad", [1], padding=[[0, 0], [0, 8_000_000 - 6]]),
]
SERIES = [*LONG, step("reshape", [2], shape=[8_000_000, 1])]
GATES = ["gates", "recurrent", "bias"]
COSTLY = {
    "rows_of_a_convolution": (
        "a convolution",
        [*LONG, step("convolution", [2], ["wide"], strides=[1, 1], padding="valid", activation="linear")],
    ),
    "zeros_around_a_picture": (
        "memory",
        [
            step("reshape", [0], shape=[2, 3, 1]),
            step("pad", [1], padding=[[0, 0], [0, 100_000]]),
            step("convolution", [2], ["high"], strides=[9_000, 9_000], padding="same", activation="linear"),
        ],
    ),
    "time_steps": ("time steps", [*SERIES, step("gru", [3], GATES, sequences=False)]),
    "many_gates": (
        "memory",
        [
            step("flatten", [0]),
            step("reshape", [1], shape=[6, 1]),
            step("concatenate", [2] * 900, axis=1),
            step("concatenate", [3] * 18, axis=1),
            step("gru", [4], ["many_gates", "many_recurrent", "many_bias"], sequences=False),
        ],
    ),
    "places_of_a_pooling": (
        "pooling",
        [*LONG, step("pool", [2], size=[1, 100_000], strides=[1, 1], mean=True)],
    ),
    "sums": ("multiplications", [*LONG, step("add", [2] * 900), *(step("add", [3] * 900),) * 2]),
    "outputs_at_a_time": (
        "memory",
        [*LONG, *(step("pad", [1], padding=[[0, 0], [0, 8_000_000]]),) * 20, step("add", [*range(2, 23)])],
    ),
    "all_outputs": (
        "memory",
        [*LONG, *(step("activation", [k], activation="linear") for k in range(2, 90))],
    ),
    "a_matrix_of_a_picture": (
        "picture",
        [
            step("reshape", [0], shape=[2, 3, 1]),
            step("pad", [1], padding=[[0, 0], [0, 100_000]]),
            step("reshape", [2], shape=[2, 100_003]),
            step("picture", [3], size=4096, colours="rgb"),
        ],
    ),
    "coefficients": (
        "bands",
        [
            step("reshape", [0], shape=[2, 3, 1]),
            step("pad", [1], padding=[[20_000, 0], [0, 0]]),
            step("reshape", [2], shape=[20_002, 3]),
            step("cepstrum", [3], coefficients=20_002),
        ],
    ),
    "a_long_shape": ("settings", [step("reshape", [0], shape=[1] * 30 + [6])]),
    "a_mean_over_patches": ("patches", [step("reduce", [0], axes=[0], mean=True)]),
    "a_kernel_per_patch": ("axes", [FLAT[0], step("dense", [1], ["wide"], activation="linear")]),
}


@pytest.mark.parametrize("name", COSTLY)
def test_steps_that_take_gigabytes_or_minutes_are_refused_before_they_are_tried(name: str) -> None:
    said, steps = COSTLY[name]
    weights = {
        "wide": np.zeros((1, 6_000, 1, 1), np.float32),
        "high": np.zeros((9_000, 1, 1, 1), np.float32),
        "gates": np.zeros((1, 3), np.float32),
        "recurrent": np.zeros((1, 3), np.float32),
        "bias": np.zeros((2, 3), np.float32),
        "many_gates": np.zeros((1, 900), np.float32),
        "many_recurrent": np.zeros((300, 900), np.float32),
        "many_bias": np.zeros((2, 900), np.float32),
    }
    with pytest.raises(ValueError, match=said):
        Network(steps, weights, (2, 3), 2)


def test_a_step_with_more_inputs_than_any_of_ours_is_refused() -> None:
    with pytest.raises(ValueError, match="reads more than"):
        step("add", [0] * 2_000)


def test_weights_that_are_missing_or_no_numbers_are_refused() -> None:
    with pytest.raises(KeyError):
        Network(FLAT, {}, (2, 3), 2)
    with pytest.raises(ValueError, match="finite"):
        Network(FLAT, {"kernel": np.full((6, 2), np.nan, np.float32)}, (2, 3), 2)


@pytest.mark.parametrize(
    "change",
    [{"operation": "eval"}, {"inputs": ["0"]}, {"weights": [1]}, {"numbers": []}],
    ids=["operation", "inputs", "weights", "numbers"],
)
def test_a_step_of_another_kind_is_refused(change: JsonObject) -> None:
    with pytest.raises(ValueError, match=r"operation|step"):
        Step.from_json({**FLAT[1].to_json(), **change})


def test_equal_patches_are_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = [Step("flatten", (0,)), Step("dense", (1,), ("kernel",), {"activation": "linear"})]
    network = Network(steps, {"kernel": np.eye(6, 2, dtype=np.float32)}, (2, 3), 2)
    patches = np.random.default_rng(0).normal(size=(3, 2, 3)).astype(np.float32)[[2, 0, 2, 1, 0]]
    computed = []
    run = Network._run
    monkeypatch.setattr(
        Network, "_run", lambda self, part, **k: computed.append(len(part)) or run(self, part)
    )
    received = network.logits(patches)
    assert sum(computed) == 3
    np.testing.assert_allclose(received, patches.reshape(5, 6)[:, :2], rtol=1e-6)
