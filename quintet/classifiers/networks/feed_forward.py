"""feed_forward: baseline of dense layers on the flattened picture, 216 · 216 · 3 → 512 → 32 → logits.

Bahuleyan 2018, §4.1.
"""

from __future__ import annotations

import keras
from keras import layers

from quintet.classifiers.networks.backend import layer_seed
from quintet.classifiers.networks.images import Picture


def build(
    input_shape: tuple[int, int],
    n_outputs: int,
    *,
    multilabel: bool = False,
    preprocessing: str = "paper",
    size: int = 216,
    dropout: float = 0.3,
) -> keras.Model:
    """Build feed_forward.

    Args:
        input_shape: (n_mels, frames) of a patch.
        n_outputs: number of classes or tags.
        multilabel: has no effect, because the network ends in logits either way.
        preprocessing: `"paper"` (colours in 0 … 1) or `"imagenet"`. No layer is pretrained, so the two differ
            in scale only.
        size: side of the square picture, in pixels.
        dropout: share of the first dense layer that is dropped in training.
    """
    patches = keras.Input(input_shape, name="patches")
    x = Picture(size, preprocessing=preprocessing, order="rgb", name="picture")(patches)
    x = layers.Flatten(name="flat")(x)
    x = layers.Dense(512, activation="relu", name="dense1")(x)
    x = layers.Dropout(dropout, seed=layer_seed(), name="dropout")(x)
    x = layers.Dense(32, activation="relu", name="embedding")(x)
    logits = layers.Dense(n_outputs, dtype="float32", name="logits")(x)
    return keras.Model(patches, logits, name="feed_forward")
