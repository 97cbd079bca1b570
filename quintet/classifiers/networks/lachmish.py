"""A network on 10 s of mel bands, or of MFCC. Lachmish 2016: three 4 × 4 convolutions (149, 73, 35 filters), pooling 4, 2, 2, dense 8192.

The numbers of filters are the numbers of steps that 599 frames leave after each pooling. As published it read raw power and began
with weights of σ = 1; here it reads standardised decibels and begins as Glorot and Bengio say.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops
from scipy.fft import dct

from quintet.classifiers.networks.backend import layer_seed

FILTERS, POOLS = (149, 73, 35), (4, 2, 2)


class Cepstrum(layers.Layer):  # type: ignore[misc]
    """The first `n_mfcc` coefficients of the orthonormal DCT-II over the bands of (batch, n_mels, frames): (batch, n_mfcc, frames)."""

    def __init__(self, n_mfcc: int, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.n_mfcc = n_mfcc

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """The matrix of the transform, (n_mels, n_mfcc): never learnt, never stored."""
        self.matrix = dct(np.eye(int(input_shape[1] or 0)), type=2, norm="ortho", axis=1)[
            :, : self.n_mfcc
        ].astype("float32")

    def call(self, patches: Any) -> Any:
        """The coefficients of a batch of patches."""
        return ops.einsum("bmt,mk->bkt", patches, ops.cast(self.matrix, patches.dtype))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """(batch, n_mfcc, frames)."""
        return (input_shape[0], self.n_mfcc, input_shape[2])


def build_mel(
    input_shape: tuple[int, int], n_outputs: int, *, multilabel: bool = False, units: int = 8192
) -> keras.Model:
    """`input_shape`: published (128, 599). Each pooling halves (first: quarters) both axes."""
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
    """The same on 13 MFCC, made here from the mel bands; 13 coefficients are too few to be pooled, so only time is.

    Give `standard="global"` or `"none"`: standardising band by band first would give another transform than MFCC.
    """
    patches = keras.Input(input_shape, name="patches")
    x = Cepstrum(n_mfcc, name="mfcc")(patches)
    x = layers.BatchNormalization(axis=1, center=False, scale=False, momentum=0.9, name="mfcc_norm")(x)
    return _network(patches, x, n_outputs, pool_bands=False, units=units, name="lachmish_mfcc")


def _network(patches: Any, x: Any, n_outputs: int, *, pool_bands: bool, units: int, name: str) -> keras.Model:
    x = layers.Permute((2, 1), name="time_first")(x)
    x = layers.Reshape((*x.shape[1:], 1), name="picture")(x)
    for block, (filters, pool) in enumerate(zip(FILTERS, POOLS, strict=True), start=1):
        x = layers.Conv2D(filters, 4, activation="relu", name=f"conv{block}")(x)
        x = layers.MaxPooling2D((pool, pool if pool_bands else 1), name=f"pool{block}")(x)
        x = layers.Dropout(0.25, seed=layer_seed(), name=f"dropout{block}")(x)
    x = layers.Flatten(name="flat")(x)
    x = layers.Dense(units, activation="relu", name="embedding")(x)
    x = layers.Dropout(0.25, seed=layer_seed(), name="dropout")(x)
    return keras.Model(patches, layers.Dense(n_outputs, dtype="float32", name="logits")(x), name=name)
