"""A small network on spectrogram pictures. Folmer 2021: two convolutions (batch norm, ReLU, pooling) and two dense layers, dropout 0.2.

The numbers of filters and units are not published; these keep it small.
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
    size: int = 224,
    filters: int = 32,
    units: int = 128,
) -> keras.Model:
    """`size`: of the square picture, a multiple of 16. `filters`: of the first convolution; the second has twice as many."""
    patches = keras.Input(input_shape, name="patches")
    x = Picture(size, preprocessing="imagenet", order="rgb", name="picture")(patches)
    for block, width in ((1, filters), (2, 2 * filters)):
        x = layers.Conv2D(
            width,
            3,
            padding="same",
            use_bias=False,
            kernel_initializer="he_normal",
            name=f"block{block}_conv",
        )(x)
        x = layers.BatchNormalization(momentum=0.9, name=f"block{block}_norm")(x)
        x = layers.ReLU(name=f"block{block}_relu")(x)
        x = layers.MaxPooling2D(4, name=f"block{block}_pool")(x)
    x = layers.Flatten(name="flat")(x)
    x = layers.Dense(units, activation="relu", name="embedding")(x)
    x = layers.Dropout(0.2, seed=layer_seed(), name="dropout")(x)
    return keras.Model(patches, layers.Dense(n_outputs, dtype="float32", name="logits")(x), name="folmer_cnn")
