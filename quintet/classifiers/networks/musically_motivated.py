"""Musically motivated filters: tall ones for timbre, long ones for rhythm. Pons et al. 2016-2019; shared by `pons2017` and `musicnn`."""

from __future__ import annotations

from typing import Any

from keras import layers, ops

from quintet.classifiers.networks.backend import layer_seed


def time_first(patches: Any) -> Any:
    """Patches (batch, n_mels, frames) → (batch, frames, n_mels, 1), normalised over the batch."""
    x = layers.Permute((2, 1), name="time_first")(patches)
    x = layers.Reshape((*x.shape[1:], 1), name="picture")(x)
    return layers.BatchNormalization(momentum=0.9, name="input_norm")(x)


def timbral_filters(x: Any, filters: int, *, frames: int, bands: int) -> Any:
    """`filters` of `frames` × `bands`, sliding over time and frequency, each at its strongest frequency: (batch, time, filters).

    The time axis is padded so that it keeps its length; the pooling over frequency makes the filter blind to pitch.
    """
    name = f"timbral_{frames}x{bands}"
    x = layers.ZeroPadding2D(((frames // 2, frames // 2), (0, 0)), name=f"{name}_pad")(x)
    x = layers.Conv2D(filters, (frames, bands), activation="relu", name=name)(x)
    x = layers.BatchNormalization(momentum=0.9, name=f"{name}_norm")(x)
    x = layers.MaxPooling2D((1, x.shape[2]), name=f"{name}_peak")(x)
    return layers.Reshape((x.shape[1], filters), name=f"{name}_out")(x)


def temporal_filters(envelope: Any, filters: int, *, frames: int) -> Any:
    """`filters` of `frames` × 1 on an envelope (batch, time, channels): (batch, time, filters)."""
    name = f"temporal_{frames}"
    x = layers.Conv1D(filters, frames, padding="same", activation="relu", name=name)(envelope)
    return layers.BatchNormalization(momentum=0.9, name=f"{name}_norm")(x)


def convolution(x: Any, filters: int, *, name: str, residual: bool) -> Any:
    """7 frames × all features, ReLU, batch norm; with `residual` the input is added: (batch, time, filters)."""
    y = layers.Conv1D(filters, 7, padding="same", activation="relu", name=name)(x)
    y = layers.BatchNormalization(momentum=0.9, name=f"{name}_norm")(y)
    return layers.Add(name=f"{name}_residual")([x, y]) if residual else y


def summary(x: Any) -> Any:
    """Peak and mean over time: (batch, 2 · features)."""
    return layers.Concatenate(name="summary")(
        [layers.GlobalMaxPooling1D(name="peak")(x), layers.GlobalAveragePooling1D(name="mean")(x)]
    )


def dense_end(x: Any, n_outputs: int, *, units: int) -> Any:
    """Dropout 0.5, dense, batch norm, dropout 0.5, logits."""
    x = layers.Dropout(0.5, seed=layer_seed(), name="dropout1")(x)
    x = layers.Dense(units, activation="relu", name="dense")(x)
    x = layers.BatchNormalization(momentum=0.9, name="embedding")(x)
    x = layers.Dropout(0.5, seed=layer_seed(), name="dropout2")(x)
    return layers.Dense(n_outputs, dtype="float32", name="logits")(x)


class BandMean(layers.Layer):  # type: ignore[misc]
    """The mean over frequency of (batch, frames, n_mels, 1): the envelope (batch, frames, 1)."""

    def call(self, x: Any) -> Any:
        """The envelope."""
        return ops.mean(x, axis=2)
