"""Published weights of musicnn and of its VGG: what they read, where they are, and which layer gets what.

The networks were trained on the tags of the Million Song Dataset (`"msd"`) or of MagnaTagATune (`"mtt"`).
Their weights are in the user's library (`quintet weights fetch musicnn`).

Pons and Serra, musicnn: pre-trained convolutional neural networks for music audio tagging (2019).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from quintet.errors import ArtefactError, ConfigError
from quintet.features.parameters import LogMelParameters

if TYPE_CHECKING:
    from quintet.classifiers.networks.keras_types import Arrays, KerasModel
    from quintet.embeddings.musicnn_graph import Checkpoint

COLLECTIONS = {"msd": "the Million Song Dataset", "mtt": "MagnaTagATune"}
"""Values of `weights` that name a network of the library, and the music that it was trained on."""
RANDOM = "random"
MUSICNN, VGG = "musicnn", "vgg"
"""The two kinds of networks; `musicnn_msd` and `vgg_msd` are names in the library."""
KINDS = {"musicnn": MUSICNN, "musicnn_vgg": VGG, "musicnn_vgg_transfer": VGG}
"""Networks of the registry that can have these weights."""
FRONT_END = LogMelParameters(sample_rate=16000, n_fft=512, hop_length=256, n_mels=96, compression="log")
"""Spectrograms that the weights read."""
FREE = ("floor_db",)
"""Settings of spectrograms that change nothing with this compression."""

VIEWS = ("timbral_7x38", "timbral_7x67", "temporal_128", "temporal_64", "temporal_32")
"""Filters of musicnn on 96 bands."""
MIDDLE = ("conv1", "conv2", "conv3")
BLOCKS = 5
KERNELS: Mapping[str, Mapping[str, tuple[int, ...]]] = {
    MUSICNN: {
        "conv2d": (7, 38, 1),
        "conv2d_1": (7, 67, 1),
        "conv2d_2": (128, 1, 1),
        "conv2d_3": (64, 1, 1),
        "conv2d_4": (32, 1, 1),
    },
    VGG: {"1CNN": (3, 3, 1)},
}
"""Kind → layer of the checkpoint → shape of a filter of its kernel."""


def require_music_weights(network: str, settings: Mapping[str, object], weights: str) -> None:
    """Refuse weights that are not there, or that do not fit the settings of the network.

    Args:
        network: key of `KINDS`.
        settings: arguments of its `build`.
        weights: as in `read_music_weights`; `"random"` always passes.

    Raises:
        ConfigError: the library has no such network, or `filters` or `units` are not those of the weights.
        ArtefactError: a file or folder does not exist, has changed, or holds another network.
    """
    if weights == RANDOM:
        return
    kind = KINDS[network]
    checkpoint = read_music_weights(weights, kind)
    first = "conv2d" if kind == MUSICNN else "1CNN"
    sizes = {"filters": len(checkpoint.weights(first)[1])}
    if kind == MUSICNN:
        sizes["units"] = len(checkpoint.weights("dense")[1])
    for name, size in sizes.items():
        if settings.get(name, size) != size:
            raise ConfigError(
                f"{name} of '{network}' must be {size} with weights = {weights!r}. "
                f'Received {settings[name]!r}: leave it out, or set weights = "random".'
            )


def require_front_end(network: str, received: LogMelParameters) -> None:
    """Refuse spectrograms that published weights cannot read.

    Args:
        network: name for the message.
        received: settings of the spectrograms.

    Raises:
        ConfigError: with the settings that differ and those that are needed.
    """
    names = [name for name in LogMelParameters.model_fields if name not in FREE]
    wanted = {name: getattr(FRONT_END, name) for name in names}
    found = {name: getattr(received, name) for name in names}
    if received.fmax == FRONT_END.sample_rate / 2:
        found["fmax"] = None
    others = [f"{name} {_toml(found[name])}" for name in names if wanted[name] != found[name]]
    if others:
        needed = ("sample_rate", "n_fft", "hop_length", "n_mels", "compression")
        listed = ", ".join(f"{name} = {_toml(wanted[name])}" for name in needed)
        raise ConfigError(
            f"Spectrograms for published weights of '{network}' must be those of their training: {listed}. "
            f"Received {', '.join(others)}. Write these settings under [spectrogram] of a recipe (as in "
            'bahuleyan2018_music), or set weights = "random".'
        )


def require_log_values(network: str, lowest: float, n_mels: int) -> None:
    """Refuse arrays that cannot be `log10(1e4 · power + 1)` in 96 bands. Arrays carry no settings.

    Args:
        network: name for the message.
        lowest: lowest value of a spectrogram.
        n_mels: number of bands.

    Raises:
        ConfigError: decibels, or another number of bands.
    """
    if n_mels != FRONT_END.n_mels or lowest < 0:
        raise ConfigError(
            f"Spectrograms for published weights of '{network}' must hold log10(1e4 · power + 1) in "
            f"{FRONT_END.n_mels} bands, so nothing below 0. Received {n_mels} bands and the value "
            f"{lowest:g}: compute them with LogMelParameters(sample_rate=16000, n_fft=512, hop_length=256, "
            'compression="log").'
        )


def read_music_weights(weights: str, kind: str) -> Checkpoint:
    """The arrays of a published network.

    Args:
        weights: `"msd"` or `"mtt"` (of the library), an ONNX file as the library keeps it, or a folder with
            the checkpoint of the package musicnn.
        kind: `MUSICNN` or `VGG`.

    Raises:
        ConfigError: the library has no such network.
        ArtefactError: a file or folder does not exist, has changed, or holds another network.
    """
    # slow to import, and a network without these weights does not need them
    from quintet.embeddings.checkpoints import INDEX, read_checkpoint
    from quintet.embeddings.library import network_content
    from quintet.embeddings.musicnn_graph import read_graph
    from quintet.embeddings.network import read_model

    path = Path(weights)
    if weights in COLLECTIONS:
        checkpoint = read_graph(network_content(f"{kind}_{weights}"))
    elif path.is_dir() and any(path.glob(f"*{INDEX}")):
        checkpoint = read_checkpoint(path)
    elif path.is_file():
        checkpoint = read_graph(read_model(path))
    else:
        names = (*COLLECTIONS, RANDOM)
        nearest = difflib.get_close_matches(weights, names, n=1)
        hint = f" Did you mean '{nearest[0]}'?" if nearest else ""
        raise ArtefactError(
            'weights must be "msd", "mtt", "random", an ONNX file of the library or a folder with a '
            f"checkpoint of musicnn. Received {weights!r}, where there is no file.{hint}"
        )
    for layer, shape in KERNELS[kind].items():
        received = checkpoint.array(f"{layer}/kernel").shape
        if received[:-1] != shape:
            raise ArtefactError(
                f"weights must be those of {kind}, whose layer {layer} has filters of {shape}. {weights} has "
                f"{received[:-1]}: is it another network?"
            )
    return checkpoint


def fill_network(
    model: KerasModel, checkpoint: Checkpoint, kind: str, *, with_head: bool = False
) -> KerasModel:
    """Give the layers of a network the arrays of a published one; returns the network.

    Args:
        model: of `musicnn.build` or `musicnn_vgg.build`, for 96 bands.
        checkpoint: the arrays.
        kind: `MUSICNN` or `VGG`.
        with_head: also fill the layer `logits`, which must have an output per tag.

    Raises:
        ArtefactError: the arrays have other shapes than the layers.
    """
    arrays = _musicnn_arrays(checkpoint) if kind == MUSICNN else _vgg_arrays(checkpoint)
    head = "dense_1" if kind == MUSICNN else "dense"
    for name, values in arrays:
        _fill_layer(model, name, values)
    if with_head:
        _fill_layer(model, "logits", checkpoint.weights(head))
    return model


def start_network(model: KerasModel, kind: str, *, weights: str, frozen: bool) -> KerasModel:
    """Give a new network the weights that its settings name, and freeze its base if they say so.

    Args:
        model: the network, with a layer `kept` (frozen) or `base_end` behind its base.
        kind: `MUSICNN` or `VGG`.
        weights: `"random"`, or as in `read_music_weights`.
        frozen: whether the layers before `kept` do not learn.
    """
    if weights != RANDOM:
        n_mels = model.input.shape[1]
        if n_mels != FRONT_END.n_mels:
            raise ConfigError(
                f"Patches for published weights must have {FRONT_END.n_mels} bands. Received {n_mels}."
            )
        fill_network(model, read_music_weights(weights, kind), kind)
    if frozen:
        for layer in model.layers:
            if layer.name == "kept":
                break
            layer.trainable = False
    return model


def base_marker(frozen: object) -> str:
    """Name of the layer behind the base: `kept` if the base is frozen.

    Raises:
        ConfigError: for a value that is neither true nor false.
    """
    if not isinstance(frozen, bool):
        raise ConfigError(f"frozen must be true or false. Received {frozen!r}.")
    return "kept" if frozen else "base_end"


def _musicnn_arrays(checkpoint: Checkpoint) -> Iterator[tuple[str, Sequence[np.ndarray]]]:
    """Layer and arrays of musicnn, without the logits."""
    yield "input_norm", _norm(checkpoint, 0)
    for number, name in enumerate((*VIEWS, *MIDDLE)):
        kernel, bias = checkpoint.weights(checkpoint.layer("conv2d", number))
        yield name, (kernel if name in VIEWS else kernel[:, :, 0, :], bias)
        yield f"{name}_norm", _norm(checkpoint, number + 1)
    last = len(VIEWS) + len(MIDDLE) + 1
    kernel, bias = checkpoint.weights("dense")
    # the checkpoint flattens (feature, [peak, mean]); here all peaks come first
    peaks_first = np.r_[0 : len(kernel) : 2, 1 : len(kernel) : 2]
    yield "summary_norm", [values[peaks_first] for values in _norm(checkpoint, last)]
    yield "dense", (kernel[peaks_first], bias)
    yield "embedding", _norm(checkpoint, last + 1)


def _vgg_arrays(checkpoint: Checkpoint) -> Iterator[tuple[str, Sequence[np.ndarray]]]:
    """Layer and arrays of the VGG, without the logits."""
    yield "input_norm", _norm(checkpoint, 0)
    for number in range(1, BLOCKS + 1):
        yield f"conv{number}", checkpoint.weights(f"{number}CNN")
        yield f"norm{number}", _norm(checkpoint, number)


def _norm(checkpoint: Checkpoint, number: int) -> list[np.ndarray]:
    return list(checkpoint.norm(number).values())


def _fill_layer(model: KerasModel, name: str, values: Sequence[np.ndarray]) -> None:
    layer = model.get_layer(name)
    wanted = [array.shape for array in layer.get_weights()]
    received = [array.shape for array in values]
    if wanted != received:
        raise ArtefactError(
            f"weights must fit the layer '{name}' of this network, which has {wanted}. Received {received}: "
            "is it another network?"
        )
    layer.set_weights(cast("Arrays", list(values)))


def _toml(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)
