"""musicnn: network for log-mel patches with timbral and temporal filters, in the smaller published size.

Pons and Serra, musicnn: pre-trained convolutional neural networks for music audio tagging (2019).

Front end: all filters read the patch side by side, and their outputs are joined. There are two kinds of
timbral filters, 204 of each: 7 frames long, and as high as 0.4 or 0.7 of the bands (38 or 67 of 96 bands).
There are three kinds of temporal filters, 51 of each: 128, 64 or 32 frames long and one band high, followed
by the maximum over the bands.

Mid end: three convolutions of 64 filters. The second and the third are residual (their input is added to
their output). The outputs of all three are joined with that of the front end.

Back end: maximum and mean over time, a dense layer of 200 units, and the logits.
"""

from __future__ import annotations

import keras
from keras import layers

from quintet.classifiers.networks.music_weights import MUSICNN, base_marker, start_network
from quintet.classifiers.networks.musically_motivated import (
    convolution,
    dense_end,
    summary,
    timbral_filters,
    time_first,
)
from quintet.classifiers.networks.normalization import BatchNormalization


def build(
    input_shape: tuple[int, int],
    n_outputs: int,
    *,
    multilabel: bool = False,
    weights: str = "random",
    frozen: bool = False,
    filters: int = 204,
    units: int = 200,
) -> keras.Model:
    """Build musicnn.

    Args:
        input_shape: (n_mels, frames) of a patch; published with 96 bands and 187 frames (3 s).
        n_outputs: number of classes or tags.
        multilabel: has no effect, because the network ends in logits either way.
        weights: `"random"`, `"msd"` or `"mtt"` of the library, or a path, see
            `music_weights.read_music_weights`. The logits always start from random weights.
        frozen: only the logits learn, from the output of the base, which is kept per patch.
        filters: number of timbral filters of each kind. Each kind of temporal filters has a quarter of it.
        units: number of units of the dense layer.
    """
    n_mels = input_shape[0]
    patches = keras.Input(input_shape, name="patches")
    x = time_first(patches)
    views = [timbral_filters(x, filters, frames=7, bands=int(share * n_mels)) for share in (0.4, 0.7)]
    views += [_temporal_filters(x, filters // 4, frames=frames) for frames in (128, 64, 32)]
    front = layers.Concatenate(name="front_end")(views)
    first = convolution(front, 64, name="conv1", residual=False)
    second = convolution(first, 64, name="conv2", residual=True)
    third = convolution(second, 64, name="conv3", residual=True)
    x = layers.Concatenate(name="mid_end")([front, first, second, third])
    x = BatchNormalization(momentum=0.9, name="summary_norm")(summary(x))
    logits = dense_end(x, n_outputs, units=units, marker=base_marker(frozen))
    model = keras.Model(patches, logits, name="musicnn")
    return start_network(model, MUSICNN, weights=weights, frozen=frozen)


def _temporal_filters(x: keras.KerasTensor, filters: int, *, frames: int) -> keras.KerasTensor:
    """Temporal filters, `frames` long and one band high, then the maximum over the bands.

    The output has shape `(batch, time, filters)`.
    """
    name = f"temporal_{frames}"
    x = layers.Conv2D(filters, (frames, 1), padding="same", activation="relu", name=name)(x)
    x = BatchNormalization(momentum=0.9, name=f"{name}_norm")(x)
    x = layers.MaxPooling2D((1, x.shape[2]), name=f"{name}_peak")(x)
    return layers.Reshape((x.shape[1], filters), name=f"{name}_out")(x)
