"""pons2017: musically motivated convolutions.

Pons et al., End-to-end learning for music audio tagging at scale (2017/18), §3.2. Front end, on the same
input: timbral filters of 86 and 38 bands, and temporal filters on the mean over frequency. Back end: three
convolutions over 7 frames × all features, the last two residual, with one pooling over time; then maximum and
mean over time, dense 500.
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

TIMBRAL = ((7, 86, 16), (3, 86, 32), (1, 86, 64), (7, 38, 16), (3, 38, 32), (1, 38, 64))
"""Frames, bands and number of filters of each timbral layer."""

TEMPORAL = ((165, 16), (128, 32), (64, 64), (32, 128))
"""Frames and number of filters of each temporal layer."""


def build(
    input_shape: tuple[int, int],
    n_outputs: int,
    *,
    multilabel: bool = False,
    filters: int = 512,
    units: int = 500,
) -> keras.Model:
    """Build pons2017.

    Args:
        input_shape: (n_mels, frames) of a patch; at least 86 bands. The paper has 96 bands and 15 s.
        n_outputs: number of classes or tags.
        multilabel: has no effect.
        filters: number of filters of each convolution of the back end.
        units: number of units of the dense layer.
    """
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
