"""DenseNet-121 with ImageNet weights, fine-tuned on spectrogram pictures. Huang et al. 2017; Folmer 2021."""

from __future__ import annotations

import keras
from keras import layers
from keras.src.applications.densenet import DENSENET121_WEIGHT_PATH_NO_TOP as WEIGHTS_URL

from quintet.classifiers.networks.backend import layer_seed
from quintet.classifiers.networks.images import Picture, pretrained


def build(
    input_shape: tuple[int, int], n_outputs: int, *, multilabel: bool = False, weights: str = "imagenet", size: int = 224, dropout: float = 0.2
) -> keras.Model:
    """The base (7,037,504 weights, 6,953,856 of them learn), mean over the picture, logits. `weights`: "imagenet", "random" or a path."""
    base = pretrained(keras.applications.DenseNet121, size=size, weights=weights, url=WEIGHTS_URL, name="base")
    for layer in base.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = 0.9  # published 0.99 forgets its beginning over hundreds of steps, more than a small collection has
    patches = keras.Input(input_shape, name="patches")
    x = base(Picture(size, preprocessing="imagenet", order="rgb", name="picture")(patches))
    x = layers.GlobalAveragePooling2D(name="embedding")(x)
    x = layers.Dropout(dropout, seed=layer_seed(), name="dropout")(x)
    return keras.Model(patches, layers.Dense(n_outputs, dtype="float32", name="logits")(x), name="densenet121")
