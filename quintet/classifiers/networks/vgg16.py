"""VGG-16 on spectrogram pictures: the convolutional base with ImageNet weights, frozen (transfer) or trained on (fine-tune).

Bahuleyan, Music genre classification using machine learning techniques (2018), §4.1; Simonyan and Zisserman (2015), configuration D.
216 × 216 × 3 → 13 convolutions in five blocks → flatten (6 · 6 · 512) → dense 512 (ReLU, L2 1e-3, dropout 0.3) → logits.
With 7 classes 9,441,287 weights learn in transfer and 24,155,975 in fine-tuning.
"""

from __future__ import annotations

from typing import Any

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
    """The frozen base, its output kept per patch; the dense part learns. `weights`: "imagenet", "random" or a path."""
    base = pretrained_base(keras.applications.VGG16, size=size, weights=weights, url=WEIGHTS_URL, name="base")
    base.trainable = False
    patches = keras.Input(input_shape, name="patches")
    x = base(Picture(size, preprocessing=preprocessing, order="bgr", name="picture")(patches), training=False)
    x = layers.Flatten(name="kept")(x)
    return keras.Model(patches, _dense(x, n_outputs), name="vgg16_transfer")


def build_fine_tune(
    input_shape: tuple[int, int],
    n_outputs: int,
    *,
    multilabel: bool = False,
    weights: str = "imagenet",
    preprocessing: str = "imagenet",
    size: int = 216,
) -> keras.Model:
    """The same network, all of it learning; give `base_rate` < 1 for a lower rate in the base."""
    base = pretrained_base(keras.applications.VGG16, size=size, weights=weights, url=WEIGHTS_URL, name="base")
    patches = keras.Input(input_shape, name="patches")
    x = base(Picture(size, preprocessing=preprocessing, order="bgr", name="picture")(patches))
    x = layers.Flatten(name="flat")(x)
    return keras.Model(patches, _dense(x, n_outputs), name="vgg16_fine_tune")


def _dense(x: Any, n_outputs: int) -> Any:
    x = layers.Dense(
        512, activation="relu", kernel_regularizer=keras.regularizers.L2(1e-3), name="embedding"
    )(x)
    x = layers.Dropout(0.3, seed=layer_seed(), name="dropout")(x)
    return layers.Dense(n_outputs, dtype="float32", name="logits")(x)
