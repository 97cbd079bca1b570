"""vgg_small: a small VGG-like network, trained from scratch on log-mel patches.

It is the default network, also without a GPU. Simonyan and Zisserman, Very deep convolutional networks (ICLR
2015): blocks of 3 × 3 convolutions, each followed by a pooling that halves the picture, while the number of
filters doubles. The network is so small that it learns from a hundred clips in seconds on one core.
"""

from __future__ import annotations

import keras
from keras import layers

from quintet.classifiers.networks.backend import layer_seed
from quintet.classifiers.networks.normalization import BatchNormalization
from quintet.classifiers.networks.picture_filters import Conv2D


def build(
    input_shape: tuple[int, int],
    n_outputs: int,
    *,
    multilabel: bool = False,
    filters: int = 16,
    blocks: int = 4,
    dropout: float = 0.5,
) -> keras.Model:
    """Build vgg_small.

    Patches → frames averaged in pairs → `blocks` × (convolution, batch norm, pooling, ReLU) → mean and
    maximum over time → logits. The rest of the frequency axis is not pooled, because the classes differ in
    how high they sound.

    Args:
        input_shape: (n_mels, frames) of a patch; at least `2 ** blocks` bands and twice as many frames.
        n_outputs: number of classes or tags.
        multilabel: has no effect, because the network ends in logits either way.
        filters: number of filters of the first block; each further block has twice as many, up to 8 times.
        blocks: number of blocks.
        dropout: share of the embedding that is dropped in training.
    """
    n_mels, frames = input_shape
    if n_mels < 2**blocks or frames < 2 ** (blocks + 1):
        raise ValueError(f"A patch must have at least {2**blocks} bands and {2 ** (blocks + 1)} frames.")
    patches = keras.Input((n_mels, frames), name="patches")
    x = layers.Reshape((n_mels, frames, 1), name="picture")(patches)
    x = layers.AveragePooling2D((1, 2), name="pairs_of_frames")(x)
    for block in range(1, blocks + 1):
        x = _block(x, filters * min(2 ** (block - 1), 8), is_last=block == blocks, name=f"block{block}")
    steps = x.shape[2]
    mean = layers.AveragePooling2D((1, steps), name="mean")(x)
    peak = layers.MaxPooling2D((1, steps), name="peak")(x)
    x = layers.Concatenate(name="summary")([mean, peak])
    x = layers.Flatten(name="embedding")(x)
    x = layers.Dropout(dropout, seed=layer_seed(), name="dropout")(x)
    logits = layers.Dense(n_outputs, dtype="float32", name="logits")(x)
    return keras.Model(patches, logits, name="vgg_small")


def _block(x: keras.KerasTensor, width: int, *, is_last: bool, name: str) -> keras.KerasTensor:
    """Convolution 3 × 3 with `width` filters, batch norm, ReLU and pooling by 2.

    The last block has them as layers of their own: Grad-CAM reads its full map.
    """
    convolution = Conv2D(
        width, 3, padding="same", use_bias=False, kernel_initializer="he_normal", name=f"{name}_conv"
    )
    x = convolution(x)
    x = BatchNormalization(is_pooled=not is_last, momentum=0.9, name=f"{name}_norm")(x)
    if not is_last:
        return x
    x = layers.ReLU(name=f"{name}_relu")(x)
    return layers.MaxPooling2D(2, name=f"{name}_pool")(x)
