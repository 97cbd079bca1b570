"""The compiled filters of the first convolution equal Keras' layer: outputs and gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from quintet.classifiers.networks.backend import backend_name, load_keras

keras = load_keras()
from quintet.classifiers.networks.picture_filters import Conv2D  # noqa: E402

pytestmark = pytest.mark.skipif(backend_name() != "tensorflow", reason="only TensorFlow uses the loops")
PLAIN: dict[str, Any] = {"filters": 16, "kernel_size": 3, "padding": "same", "use_bias": False}


def layers(shape: tuple[int, ...], **options: Any) -> tuple[Any, Any]:
    """Keras' layer and ours, with equal weights."""
    pair = keras.layers.Conv2D(**options), Conv2D(**options)
    for layer in pair:
        layer.build(shape)
    pair[1].set_weights(pair[0].get_weights())
    return pair


def step(layer: Any, x: Any, direction: Any) -> list[np.ndarray]:
    """Output, and gradients for the input and the weights."""
    import tensorflow as tf

    @tf.function  # type: ignore[untyped-decorator]
    def traced(x: Any) -> list[Any]:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
            loss = tf.reduce_sum(y * direction)
        weights = [variable.value for variable in layer.trainable_variables]
        return [y, *tape.gradient(loss, [x, *weights])]

    return [np.asarray(value) for value in traced(tf.constant(x))]


@pytest.mark.parametrize("shape", [(3, 6, 5, 1), (1, 1, 2, 1), (2, 4, 4, 3)])
@pytest.mark.parametrize("options", [{}, {"filters": 12}, {"use_bias": True, "activation": "relu"}])
def test_a_step_is_that_of_keras(shape: tuple[int, ...], options: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(3.0, 2.0, size=shape).astype(np.float32)
    theirs, ours = layers(shape, **PLAIN | options)
    direction = rng.normal(size=theirs(x).shape).astype(np.float32)
    for expected, received in zip(step(theirs, x, direction), step(ours, x, direction), strict=True):
        np.testing.assert_allclose(received, expected, rtol=1e-5, atol=1e-5)


def test_the_loops_are_used_for_pictures_with_one_channel_alone() -> None:
    import tensorflow as tf

    for channels, is_used in ((1, True), (3, False)):
        x = tf.zeros((2, 4, 4, channels))
        _, ours = layers(x.shape, **PLAIN)
        graph = tf.function(ours).get_concrete_function(x).graph
        kinds = {operation.type for operation in graph.get_operations()}
        assert ("PyFuncStateless" in kinds) == is_used
