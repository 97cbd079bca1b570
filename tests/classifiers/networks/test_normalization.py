"""The fused batch normalisation equals Keras' layer: outputs, gradients, moving statistics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from quintet.classifiers.networks.backend import backend_name, load_keras

keras = load_keras()
from quintet.classifiers.networks.normalization import BatchNormalization  # noqa: E402

pytestmark = pytest.mark.skipif(backend_name() != "tensorflow", reason="the fused operation is TensorFlow's")


def layers(shape: tuple[int, ...], **options: Any) -> tuple[Any, Any]:
    """Keras' layer and ours, with equal weights that are not the initial ones."""
    rng = np.random.default_rng(0)
    pair = (
        keras.layers.BatchNormalization(momentum=0.9, **options),
        BatchNormalization(momentum=0.9, **options),
    )
    for layer in pair:
        layer.build(shape)
    weights = [rng.uniform(0.5, 1.5, size=weight.shape) for weight in pair[0].get_weights()]
    for layer in pair:
        layer.set_weights(weights)
    return pair


def training_step(layer: Any, x: Any, direction: Any) -> list[np.ndarray]:
    """Output, gradients for the input and the weights, and the weights after the step."""
    import tensorflow as tf

    with tf.GradientTape() as tape:
        x = tf.constant(x)
        tape.watch(x)
        y = layer(x, training=True)
        loss = tf.reduce_sum(y * direction)
    variables = [variable.value for variable in layer.trainable_variables]
    gradients = tape.gradient(loss, [x, *variables])
    return [np.asarray(value) for value in (y, *gradients, *layer.get_weights())]


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
