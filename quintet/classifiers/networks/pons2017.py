"""pons2017: network for log-mel patches whose filters have shapes chosen for music.

Pons et al., End-to-end learning for music audio tagging at scale (ISMIR 2018, preprint 2017), §3.2.

Front end: all filters read the patch side by side, and their outputs are joined. Timbral filters are 86 or 38
bands high and at most 7 frames long. Temporal filters are 32 to 165 frames long and read the envelope, which
is the mean of the patch over frequency.

Back end: three convolutions, each over 7 frames and all features. The second and the third are residual
(their input is added to their output). A pooling by two over time stands between those two. Then follow the
maximum and the mean over time, a dense layer of 500 units, and the logits.
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
        input_shape: (n_mels, frames) of a patch; at least 86 bands, the height of the largest filter. The
            paper has 96 bands and 15 s.
        n_outputs: number of classes or tags.
        multilabel: has no effect, because the network ends in logits either way.
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
