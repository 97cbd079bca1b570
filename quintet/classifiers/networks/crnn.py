"""Convolutions, then a recurrent network over time. Lavanya et al. 2021: four 2-D blocks and a two-layer GRU; after Choi et al. 2017."""

from __future__ import annotations

import keras
from keras import layers

from quintet.classifiers.networks.backend import layer_seed

POOLS = ((2, 2), (3, 2), (4, 2), (4, 2))  # (bands, frames): 96 bands become one, 16 frames become one step


def build(
    input_shape: tuple[int, int],
    n_outputs: int,
    *,
    multilabel: bool = False,
    filters: int = 32,
    units: int = 32,
    dropout: float = 0.3,
) -> keras.Model:
    """`input_shape`: (96 or more bands, 16 or more frames). `filters`: of the first block, twice as many in the others. `units`: of a GRU."""
    patches = keras.Input(input_shape, name="patches")
    x = layers.Reshape((*input_shape, 1), name="picture")(patches)
    for block, pool in enumerate(POOLS, start=1):
        width = filters if block == 1 else 2 * filters
        x = layers.Conv2D(width, 3, padding="same", use_bias=False, name=f"block{block}_conv")(x)
        x = layers.BatchNormalization(momentum=0.9, name=f"block{block}_norm")(x)
        x = layers.Activation("elu", name=f"block{block}_elu")(x)
        x = layers.MaxPooling2D(pool, name=f"block{block}_pool")(x)
    x = layers.Permute((2, 1, 3), name="time_first")(x)
    x = layers.Reshape((x.shape[1], x.shape[2] * x.shape[3]), name="steps")(x)
    x = layers.GRU(units, return_sequences=True, name="gru1")(x)
    x = layers.GRU(units, name="embedding")(x)
    x = layers.Dropout(dropout, seed=layer_seed(), name="dropout")(x)
    return keras.Model(patches, layers.Dense(n_outputs, dtype="float32", name="logits")(x), name="crnn")
