"""A small network in the manner of VGG, trained from scratch on log-mel patches: the default where there is no GPU.

Simonyan and Zisserman, Very deep convolutional networks (ICLR 2015): blocks of 3 × 3 convolutions, each followed by a pooling that
halves the picture, the number of filters doubling. Small enough to learn from a hundred clips in seconds on one core.
"""

from __future__ import annotations

import keras
from keras import layers

from quintet.classifiers.networks.backend import layer_seed


def build(
    input_shape: tuple[int, int],
    n_outputs: int,
    *,
    multilabel: bool = False,
    filters: int = 16,
    blocks: int = 4,
    dropout: float = 0.5,
) -> keras.Model:
    """Patches → frames averaged in pairs → `blocks` × (convolution, batch norm, ReLU, pooling) → mean and maximum over time → logits.

    What is left of the frequency axis is not pooled: how high something sounds is a good part of what it is.

    Parameters:
        input_shape: (n_mels, frames) of a patch, each at least 2 ** blocks (frames twice that).
        n_outputs: classes or tags. multilabel: changes nothing here: the network ends in logits either way.
        filters: of the first block; each further block has twice as many, at most 8 times.
        dropout: share of the embedding that is dropped while training.
    """
    n_mels, frames = input_shape
    if n_mels < 2**blocks or frames < 2 ** (blocks + 1):
        raise ValueError(f"A patch must have at least {2**blocks} bands and {2 ** (blocks + 1)} frames.")
    patches = keras.Input((n_mels, frames), name="patches")
    x = layers.Reshape((n_mels, frames, 1), name="picture")(patches)
    x = layers.AveragePooling2D((1, 2), name="pairs_of_frames")(x)
    for block in range(1, blocks + 1):
        width = filters * min(2 ** (block - 1), 8)
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
        x = layers.MaxPooling2D(2, name=f"block{block}_pool")(x)
    steps = x.shape[2]
    mean, peak = (
        layers.AveragePooling2D((1, steps), name="mean")(x),
        layers.MaxPooling2D((1, steps), name="peak")(x),
    )
    x = layers.Flatten(name="embedding")(layers.Concatenate(name="summary")([mean, peak]))
    x = layers.Dropout(dropout, seed=layer_seed(), name="dropout")(x)
    return keras.Model(patches, layers.Dense(n_outputs, dtype="float32", name="logits")(x), name="vgg_small")
