"""lachmish_mel and lachmish_mfcc: networks on 10 s of mel bands, or of MFCC. Lachmish 2016.

Three 4 × 4 convolutions (149, 73 and 35 filters) with pooling 4, 2 and 2, then dense 8192. The numbers of
filters are the numbers of steps that 599 frames leave after each pooling. The published network read raw
power and started from weights with σ = 1; this one reads standardised decibels and starts as Glorot and
Bengio recommend.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import layers, ops
from scipy.fft import dct

from quintet.classifiers.networks.backend import layer_seed

FILTERS = (149, 73, 35)
POOLS = (4, 2, 2)


class Cepstrum(layers.Layer):  # type: ignore[misc]
    """First coefficients of the orthonormal DCT-II over the bands.

    `(batch, n_mels, frames)` → `(batch, n_mfcc, frames)`.

    Args:
        n_mfcc: number of coefficients.
        name: name of the layer.
    """

    def __init__(self, n_mfcc: int, name: str | None = None) -> None:
        super().__init__(name=name)
        self.n_mfcc = n_mfcc

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Compute the matrix of the transform, `(n_mels, n_mfcc)`. It does not learn and is not stored."""
        n_mels = int(input_shape[1] or 0)
        matrix = dct(np.eye(n_mels), type=2, norm="ortho", axis=1)
        self.matrix = matrix[:, : self.n_mfcc].astype("float32")

    def call(self, patches: keras.KerasTensor) -> keras.KerasTensor:
        """Coefficients of a batch of patches."""
        return ops.einsum("bmt,mk->bkt", patches, ops.cast(self.matrix, patches.dtype))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """`(batch, n_mfcc, frames)`."""
        return (input_shape[0], self.n_mfcc, input_shape[2])


def build_mel(
    input_shape: tuple[int, int], n_outputs: int, *, multilabel: bool = False, units: int = 8192
) -> keras.Model:
    """Build lachmish_mel. The first pooling divides both axes by four, the others by two.

    Args:
        input_shape: (n_mels, frames) of a patch; published with (128, 599).
        n_outputs: number of classes or tags.
        multilabel: has no effect, because the network ends in logits either way.
        units: number of units of the dense layer.
    """
    patches = keras.Input(input_shape, name="patches")
    return _network(patches, patches, n_outputs, pool_bands=True, units=units, name="lachmish_mel")


def build_mfcc(
    input_shape: tuple[int, int],
    n_outputs: int,
    *,
    multilabel: bool = False,
    units: int = 8192,
    n_mfcc: int = 13,
) -> keras.Model:
    """Build lachmish_mfcc: the same network on MFCC, which a layer computes from the mel bands.

    13 coefficients are too few to be pooled, so only the time axis is pooled. Use it with `standard="global"`
    or `"none"`: if the bands were standardised one by one first, the transform would not give MFCC.

    Args:
        input_shape: (n_mels, frames) of a patch.
        n_outputs: number of classes or tags.
        multilabel: has no effect, because the network ends in logits either way.
        units: number of units of the dense layer.
        n_mfcc: number of coefficients.
    """
    patches = keras.Input(input_shape, name="patches")
    x = Cepstrum(n_mfcc, name="mfcc")(patches)
    x = layers.BatchNormalization(axis=1, center=False, scale=False, momentum=0.9, name="mfcc_norm")(x)
    return _network(patches, x, n_outputs, pool_bands=False, units=units, name="lachmish_mfcc")


def _network(
    patches: keras.KerasTensor,
    x: keras.KerasTensor,
    n_outputs: int,
    *,
    pool_bands: bool,
    units: int,
    name: str,
) -> keras.Model:
    x = layers.Permute((2, 1), name="time_first")(x)
    x = layers.Reshape((*x.shape[1:], 1), name="picture")(x)
    for block, (filters, pool) in enumerate(zip(FILTERS, POOLS, strict=True), start=1):
        x = layers.Conv2D(filters, 4, activation="relu", name=f"conv{block}")(x)
        x = layers.MaxPooling2D((pool, pool if pool_bands else 1), name=f"pool{block}")(x)
        x = layers.Dropout(0.25, seed=layer_seed(), name=f"dropout{block}")(x)
    x = layers.Flatten(name="flat")(x)
    x = layers.Dense(units, activation="relu", name="embedding")(x)
    x = layers.Dropout(0.25, seed=layer_seed(), name="dropout")(x)
    logits = layers.Dense(n_outputs, dtype="float32", name="logits")(x)
    return keras.Model(patches, logits, name=name)
