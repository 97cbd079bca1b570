"""DenseNet-121 with ImageNet weights, fine-tuned on spectrogram pictures. Huang et al. 2017; Folmer 2021."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import keras
from keras import layers
from keras.src.applications.densenet import DENSENET121_WEIGHT_PATH_NO_TOP as WEIGHTS_URL
from keras.src.applications.densenet import DenseNet

from quintet.classifiers.networks.backend import layer_seed
from quintet.classifiers.networks.images import Picture, pretrained_base
from quintet.errors import ConfigError

BLOCKS = (6, 12, 24, 16)  # how many layers each dense block has: 121 with all that lies between


def build(
    input_shape: tuple[int, int],
    n_outputs: int,
    *,
    multilabel: bool = False,
    weights: str = "imagenet",
    size: int = 224,
    dropout: float = 0.2,
    blocks: Sequence[int] = BLOCKS,
) -> keras.Model:
    """The base (7,037,504 weights, 6,953,856 of them learn), mean over the picture, logits. `weights`: "imagenet", "random" or a path.

    Other `blocks` make a smaller or larger network of the same kind, for which there are no ImageNet weights.
    """
    if weights == "imagenet" and tuple(blocks) != BLOCKS:
        raise ConfigError(
            f'ImageNet weights are for blocks of {list(BLOCKS)} layers. Received {list(blocks)}. Leave them out, or weights="random".'
        )
    base = pretrained_base(
        partial(DenseNet, list(blocks)), size=size, weights=weights, url=WEIGHTS_URL, name="base"
    )
    for layer in base.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = 0.9  # published 0.99 forgets its beginning over hundreds of steps, more than a small collection has
    patches = keras.Input(input_shape, name="patches")
    x = base(Picture(size, preprocessing="imagenet", order="rgb", name="picture")(patches))
    x = layers.GlobalAveragePooling2D(name="embedding")(x)
    x = layers.Dropout(dropout, seed=layer_seed(), name="dropout")(x)
    return keras.Model(
        patches, layers.Dense(n_outputs, dtype="float32", name="logits")(x), name="densenet121"
    )
