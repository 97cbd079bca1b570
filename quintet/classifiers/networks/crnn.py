"""crnn: four 2-D convolution blocks, then a two-layer GRU over time.

Lavanya et al. 2021, after Choi et al. 2017.
"""

from __future__ import annotations

import keras
from keras import layers

from quintet.classifiers.networks.backend import layer_seed
from quintet.classifiers.networks.normalization import BatchNormalization

POOLS = ((2, 2), (3, 2), (4, 2), (4, 2))
"""(bands, frames) per block: 96 bands become one, 16 frames become one step."""


def build(
    input_shape: tuple[int, int],
    n_outputs: int,
    *,
    multilabel: bool = False,
    filters: int = 32,
    units: int = 32,
    dropout: float = 0.3,
) -> keras.Model:
    """Build crnn.

    Args:
        input_shape: (n_mels, frames) of a patch; at least 96 bands and 16 frames.
        n_outputs: number of classes or tags.
        multilabel: has no effect, because the network ends in logits either way.
        filters: number of filters of the first block; the others have twice as many.
        units: number of units of each GRU layer.
        dropout: share of the embedding that is dropped in training.
    """
    patches = keras.Input(input_shape, name="patches")
    x = layers.Reshape((*input_shape, 1), name="picture")(patches)
    for block, pool in enumerate(POOLS, start=1):
        width = filters if block == 1 else 2 * filters
        x = layers.Conv2D(width, 3, padding="same", use_bias=False, name=f"block{block}_conv")(x)
        x = BatchNormalization(momentum=0.9, name=f"block{block}_norm")(x)
        x = layers.Activation("elu", name=f"block{block}_elu")(x)
        x = layers.MaxPooling2D(pool, name=f"block{block}_pool")(x)
    x = layers.Permute((2, 1, 3), name="time_first")(x)
    x = layers.Reshape((x.shape[1], x.shape[2] * x.shape[3]), name="steps")(x)
    x = layers.GRU(units, return_sequences=True, name="gru1")(x)
    x = layers.GRU(units, name="embedding")(x)
    x = layers.Dropout(dropout, seed=layer_seed(), name="dropout")(x)
    logits = layers.Dense(n_outputs, dtype="float32", name="logits")(x)
    return keras.Model(patches, logits, name="crnn")
