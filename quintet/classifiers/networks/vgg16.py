"""VGG-16 on spectrogram pictures, with ImageNet weights.

The base is frozen (transfer) or trained further (fine-tune). Bahuleyan, Music genre classification using
machine learning techniques (2018), §4.1; Simonyan and Zisserman (2015), configuration D. 216 × 216 × 3 → 13
convolutions in five blocks → flatten (6 · 6 · 512) → dense 512 (ReLU, L2 1e-3, dropout 0.3) → logits. With 7
classes 9,441,287 weights learn in transfer, and 24,155,975 in fine-tuning.
"""

from __future__ import annotations

import keras
from keras import layers
from keras.src.applications.vgg16 import WEIGHTS_PATH_NO_TOP as WEIGHTS_URL

from quintet.classifiers.networks.backend import layer_seed
from quintet.classifiers.networks.images import Picture, pretrained_base


def build_transfer(
    input_shape: tuple[int, int],
    n_outputs: int,
    *,
    multilabel: bool = False,
    weights: str = "imagenet",
    preprocessing: str = "imagenet",
    size: int = 216,
) -> keras.Model:
    """Build vgg16_transfer: the base is frozen and its output is kept per patch; the dense layers learn.

    Args:
        input_shape: (n_mels, frames) of a patch.
        n_outputs: number of classes or tags.
        multilabel: has no effect, because the network ends in logits either way.
        weights: `"imagenet"`, `"random"`, or the path of a weights file of the base.
        preprocessing: `"imagenet"` or `"paper"`, see `Picture`.
        size: side of the square picture, in pixels.
    """
    base = pretrained_base(keras.applications.VGG16, size=size, weights=weights, url=WEIGHTS_URL, name="base")
    base.trainable = False
    patches = keras.Input(input_shape, name="patches")
    picture = Picture(size, preprocessing=preprocessing, order="bgr", name="picture")(patches)
    x = base(picture, training=False)
    x = layers.Flatten(name="kept")(x)
    return keras.Model(patches, _dense_end(x, n_outputs), name="vgg16_transfer")


def build_fine_tune(
    input_shape: tuple[int, int],
    n_outputs: int,
    *,
    multilabel: bool = False,
    weights: str = "imagenet",
    preprocessing: str = "imagenet",
    size: int = 216,
) -> keras.Model:
    """Build vgg16_fine_tune: all layers learn. Set `base_rate` below 1 for a lower learning rate in the base.

    Args:
        input_shape: (n_mels, frames) of a patch.
        n_outputs: number of classes or tags.
        multilabel: has no effect, because the network ends in logits either way.
        weights: `"imagenet"`, `"random"`, or the path of a weights file of the base.
        preprocessing: `"imagenet"` or `"paper"`, see `Picture`.
        size: side of the square picture, in pixels.
    """
    base = pretrained_base(keras.applications.VGG16, size=size, weights=weights, url=WEIGHTS_URL, name="base")
    patches = keras.Input(input_shape, name="patches")
    picture = Picture(size, preprocessing=preprocessing, order="bgr", name="picture")(patches)
    x = layers.Flatten(name="flat")(base(picture))
    return keras.Model(patches, _dense_end(x, n_outputs), name="vgg16_fine_tune")


def _dense_end(x: keras.KerasTensor, n_outputs: int) -> keras.KerasTensor:
    penalty = keras.regularizers.L2(1e-3)
    x = layers.Dense(512, activation="relu", kernel_regularizer=penalty, name="embedding")(x)
    x = layers.Dropout(0.3, seed=layer_seed(), name="dropout")(x)
    return layers.Dense(n_outputs, dtype="float32", name="logits")(x)
