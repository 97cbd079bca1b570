"""Layers of `pons2017` and `musicnn`: tall filters for timbre, long filters for rhythm.

Pons et al. 2016-2019 call such filters musically motivated.
"""

from __future__ import annotations

from keras import KerasTensor, layers, ops

from quintet.classifiers.networks.backend import layer_seed
from quintet.classifiers.networks.normalization import BatchNormalization


def time_first(patches: KerasTensor) -> KerasTensor:
    """Patches `(batch, n_mels, frames)` as `(batch, frames, n_mels, 1)`, normalised over the batch."""
    x = layers.Permute((2, 1), name="time_first")(patches)
    x = layers.Reshape((*x.shape[1:], 1), name="picture")(x)
    return BatchNormalization(momentum=0.9, name="input_norm")(x)


def timbral_filters(x: KerasTensor, filters: int, *, frames: int, bands: int) -> KerasTensor:
    """Timbral filters that slide over time and frequency, then the maximum over frequency.

    The output has shape `(batch, time, filters)`. The time axis is padded and keeps its length. The maximum
    makes the output nearly independent of pitch.

    Args:
        x: `(batch, frames, n_mels, 1)`.
        filters: number of filters.
        frames: length of a filter, odd.
        bands: height of a filter.
    """
    name = f"timbral_{frames}x{bands}"
    x = layers.ZeroPadding2D(((frames // 2, frames // 2), (0, 0)), name=f"{name}_pad")(x)
    x = layers.Conv2D(filters, (frames, bands), activation="relu", name=name)(x)
    x = BatchNormalization(momentum=0.9, name=f"{name}_norm")(x)
    x = layers.MaxPooling2D((1, x.shape[2]), name=f"{name}_peak")(x)
    return layers.Reshape((x.shape[1], filters), name=f"{name}_out")(x)


def temporal_filters(envelope: KerasTensor, filters: int, *, frames: int) -> KerasTensor:
    """Temporal filters, `frames` long, on an envelope.

    The envelope has shape `(batch, time, channels)`, the output `(batch, time, filters)`.
    """
    name = f"temporal_{frames}"
    x = layers.Conv1D(filters, frames, padding="same", activation="relu", name=name)(envelope)
    return BatchNormalization(momentum=0.9, name=f"{name}_norm")(x)


def convolution(x: KerasTensor, filters: int, *, name: str, residual: bool) -> KerasTensor:
    """Convolution over 7 frames and all features, ReLU, batch norm: `(batch, time, filters)`.

    With `residual` the input is added to the result, so it must have `filters` features.
    """
    y = layers.Conv1D(filters, 7, padding="same", activation="relu", name=name)(x)
    y = BatchNormalization(momentum=0.9, name=f"{name}_norm")(y)
    if not residual:
        return y
    return layers.Add(name=f"{name}_residual")([x, y])


def summary(x: KerasTensor) -> KerasTensor:
    """Maximum and mean over time: `(batch, 2 · features)`."""
    peak = layers.GlobalMaxPooling1D(name="peak")(x)
    mean = layers.GlobalAveragePooling1D(name="mean")(x)
    return layers.Concatenate(name="summary")([peak, mean])


def dense_end(x: KerasTensor, n_outputs: int, *, units: int, marker: str | None = None) -> KerasTensor:
    """Last layers: dropout 0.5, dense (ReLU), batch norm, dropout 0.5, logits.

    A layer called `marker`, which changes nothing, stands before the last dropout.
    """
    x = layers.Dropout(0.5, seed=layer_seed(), name="dropout1")(x)
    x = layers.Dense(units, activation="relu", name="dense")(x)
    x = BatchNormalization(momentum=0.9, name="embedding")(x)
    if marker is not None:
        x = layers.Identity(name=marker)(x)
    x = layers.Dropout(0.5, seed=layer_seed(), name="dropout2")(x)
    return layers.Dense(n_outputs, dtype="float32", name="logits")(x)


class BandMean(layers.Layer):  # type: ignore[misc]
    """Mean over frequency of `(batch, frames, n_mels, 1)`: the envelope `(batch, frames, 1)`."""

    def call(self, x: KerasTensor) -> KerasTensor:
        """Envelope of a batch."""
        return ops.mean(x, axis=2)
