"""Musically motivated convolutions for tagging at scale. Pons et al., End-to-end learning for music audio tagging at scale (2017/18), §3.2.

Front end, on the same input: timbral filters of 86 and 38 bands, temporal filters on the frequency-averaged envelope. Back end: three
convolutions over 7 frames × all features, the last two with a residual connection, one pooling over time, peak and mean, dense 500.
"""

from __future__ import annotations

import keras
from keras import layers

from quintet.classifiers.networks.musically_motivated import (
    BandMean,
    convolution,
    dense_end,
    summary,
    temporal_filters,
    timbral_filters,
    time_first,
)

TIMBRAL = (
    (7, 86, 16),
    (3, 86, 32),
    (1, 86, 64),
    (7, 38, 16),
    (3, 38, 32),
    (1, 38, 64),
)  # frames, bands, filters
TEMPORAL = ((165, 16), (128, 32), (64, 64), (32, 128))  # frames, filters


def build(
    input_shape: tuple[int, int],
    n_outputs: int,
    *,
    multilabel: bool = False,
    filters: int = 512,
    units: int = 500,
) -> keras.Model:
    """`input_shape`: (at least 86 bands, frames); the paper has 96 and 15 s. `filters`: of the back end. `units`: of its dense layer."""
    patches = keras.Input(input_shape, name="patches")
    x = time_first(patches)
    envelope = BandMean(name="envelope")(x)
    views = [timbral_filters(x, n, frames=frames, bands=bands) for frames, bands, n in TIMBRAL]
    views += [temporal_filters(envelope, n, frames=frames) for frames, n in TEMPORAL]
    x = layers.Concatenate(name="front_end")(views)
    x = convolution(x, filters, name="conv1", residual=False)
    x = convolution(x, filters, name="conv2", residual=True)
    x = layers.MaxPooling1D(2, name="pool")(x)
    x = convolution(x, filters, name="conv3", residual=True)
    return keras.Model(patches, dense_end(summary(x), n_outputs, units=units), name="pons2017")
