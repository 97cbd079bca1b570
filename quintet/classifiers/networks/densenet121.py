"""densenet121: DenseNet-121 with ImageNet weights, fine-tuned on spectrogram pictures.

Huang et al. 2017; Folmer 2021.
"""

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

BLOCKS = (6, 12, 24, 16)
"""Number of layers of each dense block. With the layers between the blocks they make 121."""


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
    """Build densenet121: base, mean over the picture, logits.

    The base has 7,037,504 weights, of which 6,953,856 learn.

    Args:
        input_shape: (n_mels, frames) of a patch.
        n_outputs: number of classes or tags.
        multilabel: has no effect, because the network ends in logits either way.
        weights: `"imagenet"`, `"random"`, or the path of a weights file of the base.
        size: side of the square picture, in pixels.
        dropout: share of the embedding that is dropped in training.
        blocks: number of layers of each dense block. Other numbers make a smaller or larger network of the
            same kind, for which there are no ImageNet weights.

    Raises:
        ConfigError: for ImageNet weights with other blocks.
    """
    if weights == "imagenet" and tuple(blocks) != BLOCKS:
        raise ConfigError(
            f"ImageNet weights are for blocks of {list(BLOCKS)} layers. Received {list(blocks)}. "
            'Leave them out, or set weights="random".'
        )
    application = partial(DenseNet, list(blocks))
    base = pretrained_base(application, size=size, weights=weights, url=WEIGHTS_URL, name="base")
    for layer in base.layers:
        if isinstance(layer, layers.BatchNormalization):
            # With the published 0.99 the initial statistics need hundreds of steps to fade, more than a small
            # collection has.
            layer.momentum = 0.9
    patches = keras.Input(input_shape, name="patches")
    x = base(Picture(size, preprocessing="imagenet", order="rgb", name="picture")(patches))
    x = layers.GlobalAveragePooling2D(name="embedding")(x)
    x = layers.Dropout(dropout, seed=layer_seed(), name="dropout")(x)
    logits = layers.Dense(n_outputs, dtype="float32", name="logits")(x)
    return keras.Model(patches, logits, name="densenet121")
