"""musicnn_vgg: the VGG for log-mel patches whose trained weights are published with musicnn.

Pons and Serra, musicnn: pre-trained convolutional neural networks for music audio tagging (2019), file
`models.py`; after Simonyan and Zisserman (2015). Five times: convolution 3 × 3, ReLU, batch norm, pooling,
dropout; then the logits. With 96 bands, 187 frames and 50 tags it has 605,748 parameters.
"""

from __future__ import annotations

import keras
from keras import layers

from quintet.classifiers.networks.backend import layer_seed
from quintet.classifiers.networks.music_weights import VGG, base_marker, start_network
from quintet.classifiers.networks.musically_motivated import time_first
from quintet.classifiers.networks.normalization import BatchNormalization

POOLS = (((4, 1), 2), ((2, 2), 2), ((2, 2), 2), ((2, 2), 2), ((4, 4), 4))
"""Size (frames, bands) and stride of the pooling of each block."""


def build(
    input_shape: tuple[int, int],
    n_outputs: int,
    *,
    multilabel: bool = False,
    weights: str = "msd",
    frozen: bool = False,
    filters: int = 128,
) -> keras.Model:
    """Build musicnn_vgg.

    Args:
        input_shape: (n_mels, frames) of a patch; published with 96 bands and 187 frames (3 s).
        n_outputs: number of classes or tags.
        multilabel: has no effect, because the network ends in logits either way.
        weights: `"msd"` or `"mtt"` of the library, `"random"`, or a path, see
            `music_weights.read_music_weights`. The logits always start from random weights.
        frozen: only the logits learn, from the output of the base, which is kept per patch.
        filters: number of filters of each convolution.
    """
    patches = keras.Input(input_shape, name="patches")
    x = time_first(patches)
    for number, (size, stride) in enumerate(POOLS, start=1):
        name = f"conv{number}"
        x = layers.Conv2D(filters, 3, padding="same", activation="relu", name=name)(x)
        x = BatchNormalization(momentum=0.9, name=f"norm{number}")(x)
        x = layers.MaxPooling2D(size, strides=stride, name=f"pool{number}")(x)
        if number < len(POOLS):
            x = layers.Dropout(0.25, seed=layer_seed(), name=f"dropout{number}")(x)
    x = layers.Flatten(name="embedding")(x)
    x = layers.Identity(name=base_marker(frozen))(x)
    x = layers.Dropout(0.5, seed=layer_seed(), name=f"dropout{len(POOLS)}")(x)
    logits = layers.Dense(n_outputs, dtype="float32", name="logits")(x)
    model = keras.Model(patches, logits, name="musicnn_vgg")
    return start_network(model, VGG, weights=weights, frozen=frozen)


def build_transfer(
    input_shape: tuple[int, int],
    n_outputs: int,
    *,
    multilabel: bool = False,
    weights: str = "msd",
    filters: int = 128,
) -> keras.Model:
    """Build musicnn_vgg_transfer: musicnn_vgg with a frozen base.

    Args:
        input_shape: as in `build`.
        n_outputs: number of classes or tags.
        multilabel: has no effect.
        weights: as in `build`.
        filters: number of filters of each convolution.
    """
    return build(input_shape, n_outputs, weights=weights, frozen=True, filters=filters)
