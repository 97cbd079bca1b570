"""folmer_cnn: two convolutions and two dense layers on spectrogram pictures. Folmer 2021.

Batch norm, ReLU and pooling follow each convolution. The dropout is 0.2. The paper does not state the numbers
of filters and units; these keep the network small.
"""

from __future__ import annotations

import keras
from keras import layers

from quintet.classifiers.networks.backend import layer_seed
from quintet.classifiers.networks.images import Picture
from quintet.classifiers.networks.normalization import BatchNormalization


def build(
    input_shape: tuple[int, int],
    n_outputs: int,
    *,
    multilabel: bool = False,
    size: int = 224,
    filters: int = 32,
    units: int = 128,
) -> keras.Model:
    """Build folmer_cnn.

    Args:
        input_shape: (n_mels, frames) of a patch.
        n_outputs: number of classes or tags.
        multilabel: has no effect, because the network ends in logits either way.
        size: side of the square picture, in pixels; a multiple of 16.
        filters: number of filters of the first convolution; the second has twice as many.
        units: number of units of the first dense layer.
    """
    patches = keras.Input(input_shape, name="patches")
    x = Picture(size, preprocessing="imagenet", order="rgb", name="picture")(patches)
    x = _block(x, filters, name="block1")
    x = _block(x, 2 * filters, name="block2")
    x = layers.Flatten(name="flat")(x)
    x = layers.Dense(units, activation="relu", name="embedding")(x)
    x = layers.Dropout(0.2, seed=layer_seed(), name="dropout")(x)
    logits = layers.Dense(n_outputs, dtype="float32", name="logits")(x)
    return keras.Model(patches, logits, name="folmer_cnn")


def _block(x: keras.KerasTensor, width: int, *, name: str) -> keras.KerasTensor:
    """Convolution 3 × 3 with `width` filters, batch norm, ReLU and pooling by 4."""
    convolution = layers.Conv2D(
        width, 3, padding="same", use_bias=False, kernel_initializer="he_normal", name=f"{name}_conv"
    )
    x = convolution(x)
    x = BatchNormalization(momentum=0.9, name=f"{name}_norm")(x)
    x = layers.ReLU(name=f"{name}_relu")(x)
    return layers.MaxPooling2D(4, name=f"{name}_pool")(x)
