"""The fused batch normalisation equals Keras' layer: outputs, gradients, moving statistics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from quintet.classifiers.networks.backend import backend_name, load_keras

keras = load_keras()
from quintet.classifiers.networks import compiled_operations  # noqa: E402
from quintet.classifiers.networks.normalization import BatchNormalization  # noqa: E402
from quintet.classifiers.networks.normalized_pooling import pool, pool_back  # noqa: E402

pytestmark = pytest.mark.skipif(backend_name() != "tensorflow", reason="the fused operation is TensorFlow's")


def layers(shape: tuple[int, ...], *, is_pooled: bool = False, **options: Any) -> tuple[Any, Any]:
    """Keras' layer and ours, with equal weights that are not the initial ones."""
    rng = np.random.default_rng(0)
    pair = (
        keras.layers.BatchNormalization(momentum=0.9, **options),
        BatchNormalization(momentum=0.9, is_pooled=is_pooled, **options),
    )
    for layer in pair:
        layer.build(shape)
    weights = [rng.uniform(0.5, 1.5, size=weight.shape) for weight in pair[0].get_weights()]
    for layer in pair:
        layer.set_weights(weights)
    return pair


def rectified_peaks(y: Any) -> Any:
    return keras.ops.relu(keras.ops.max_pool(y, 2))


def training_step(
    layer: Any, x: Any, direction: Any, after: Callable[[Any], Any] = lambda y: y, *, training: bool = True
) -> list[np.ndarray]:
    """Output, gradients for the input and the weights, and the weights after the step."""
    import tensorflow as tf

    @tf.function  # type: ignore[untyped-decorator]
    def traced(x: Any) -> list[Any]:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = after(layer(x, training=training))
            loss = tf.reduce_sum(y * direction)
        variables = [variable.value for variable in layer.trainable_variables]
        return [y, *tape.gradient(loss, [x, *variables])]

    values = traced(tf.constant(x))
    return [np.asarray(value) for value in (*values, *layer.get_weights())]


@pytest.mark.parametrize("shape", [(4, 5, 6, 3), (4, 7, 3), (16, 3), (1, 2, 1, 3)])
@pytest.mark.parametrize("options", [{}, {"scale": False, "center": False}])
def test_a_training_step_is_that_of_keras(shape: tuple[int, ...], options: dict[str, bool]) -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(3.0, 2.0, size=shape).astype(np.float32)
    direction = rng.normal(size=shape).astype(np.float32)
    theirs, ours = layers(shape, **options)
    for expected, received in zip(
        training_step(theirs, x, direction), training_step(ours, x, direction), strict=True
    ):
        np.testing.assert_allclose(received, expected, rtol=1e-4, atol=1e-4)


def test_a_prediction_is_that_of_keras() -> None:
    x = np.random.default_rng(2).normal(size=(4, 5, 6, 3)).astype(np.float32)
    theirs, ours = layers(x.shape)
    np.testing.assert_array_equal(ours(x), theirs(x))
    assert [w.name for w in ours.weights] == [w.name for w in theirs.weights]


def test_the_fused_operation_is_used() -> None:
    import tensorflow as tf

    _, ours = layers((4, 5, 6, 3))
    x = tf.zeros((4, 5, 6, 3))
    graph = tf.function(lambda inputs: ours(inputs, training=True)).get_concrete_function(x).graph
    assert "FusedBatchNormV3" in {operation.type for operation in graph.get_operations()}


@pytest.mark.parametrize("shape", [(3, 6, 4, 8), (2, 2, 8, 16), (2, 5, 4, 8), (2, 4, 4, 3)])
def test_a_pooled_step_is_that_of_three_layers_of_keras(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(3)
    x = np.rint(rng.normal(3.0, 2.0, size=shape)).astype(np.float32)  # with several peaks in some windows
    theirs, ours = layers(shape, is_pooled=True)
    gamma, beta, *moving = theirs.get_weights()
    gamma[::2] *= -1.0
    for layer in (theirs, ours):
        layer.set_weights([gamma, beta - 1.0, *moving])
    direction = rng.normal(size=(shape[0], shape[1] // 2, shape[2] // 2, shape[3])).astype(np.float32)
    received = training_step(ours, x, direction)
    assert 0 < (received[0] == 0).mean() < 1
    for expected, value in zip(training_step(theirs, x, direction, rectified_peaks), received, strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-4)


def test_a_pooled_prediction_and_its_gradients_are_those_of_keras() -> None:
    rng = np.random.default_rng(2)
    x = np.rint(rng.normal(size=(4, 6, 6, 8), scale=3.0)).astype(np.float32)
    theirs, ours = layers(x.shape, is_pooled=True)
    gamma, beta, *moving = theirs.get_weights()
    gamma[::2] *= -1.0
    for layer in (theirs, ours):
        layer.set_weights([gamma, beta - 1.0, *moving])
    direction = rng.normal(size=(4, 3, 3, 8)).astype(np.float32)
    expected = training_step(theirs, x, direction, rectified_peaks, training=False)
    received = training_step(ours, x, direction, training=False)
    assert 0 < (received[0] == 0).mean() < 1
    for theirs_value, value in zip(expected, received, strict=True):
        np.testing.assert_allclose(value, theirs_value, rtol=1e-5, atol=1e-5)
    assert ours.compute_output_shape((None, 6, 7, 8)) == (None, 3, 3, 8)


def test_the_numbers_do_not_depend_on_the_number_of_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    maps, weights = rng.normal(size=(5, 6, 4, 16)).astype(np.float32), np.ones((2, 16), np.float32)
    slopes = rng.normal(size=(5, 3, 2, 16)).astype(np.float32)
    steps = []
    for n_processors in (1, 2, 5):
        monkeypatch.setattr(compiled_operations, "PART_BYTES", 1)
        monkeypatch.setattr(compiled_operations, "job_count", lambda _, n=n_processors: n)
        outputs, *moments = pool(maps, *weights, epsilon=0.1)
        steps.append(
            [outputs, *moments, *pool_back(maps, moments[0], slopes, *weights, *moments[1:], epsilon=0.1)]
        )
    for other in steps[1:]:
        for expected, received in zip(steps[0], other, strict=True):
            np.testing.assert_array_equal(received, expected)


def test_a_map_that_is_not_a_number_does_not_become_one() -> None:
    x = np.full((2, 4, 4, 8), np.nan, np.float32)
    _, ours = layers(x.shape, is_pooled=True)
    assert np.isnan(training_step(ours, x, 1.0)[0]).all()


@pytest.mark.parametrize("is_training", [True, False])
def test_the_kernels_are_used(is_training: bool) -> None:
    import tensorflow as tf

    _, ours = layers((4, 6, 6, 8), is_pooled=True)
    x = tf.zeros((4, 6, 6, 8))
    graph = tf.function(lambda inputs: ours(inputs, training=is_training)).get_concrete_function(x).graph
    assert "PyFuncStateless" in {operation.type for operation in graph.get_operations()}
