"""Registry of networks, and the function that builds one. Defines what every network reads and returns.

A `build(input_shape, n_outputs, *, multilabel=False, …)` reads patches `(batch, n_mels, frames)` of
standardised log-mel values and ends in a float32 layer `logits` `(batch, n_outputs)`. The classifier turns
logits into probabilities: with a softmax for one label per clip, with a sigmoid for label sets. The layer
`embedding` before the logits gives the coordinates of maps. If a network has a layer called `kept`, no layer
before it learns: its output is computed once per patch and kept in memory. A sub-model called `base`, or the
layers before one called `base_end`, are pretrained and may learn at a lower rate.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence

from quintet.classifiers.networks import music_weights
from quintet.classifiers.networks.backend import building_context, load_keras
from quintet.classifiers.networks.keras_types import KerasModel, KerasVariable
from quintet.errors import ConfigError, unknown_name

NETWORKS: dict[str, str] = {
    "vgg_small": "quintet.classifiers.networks.vgg_small:build",
    "vgg16_transfer": "quintet.classifiers.networks.vgg16:build_transfer",
    "vgg16_fine_tune": "quintet.classifiers.networks.vgg16:build_fine_tune",
    "feed_forward": "quintet.classifiers.networks.feed_forward:build",
    "musicnn": "quintet.classifiers.networks.musicnn:build",
    "musicnn_vgg": "quintet.classifiers.networks.musicnn_vgg:build",
    "musicnn_vgg_transfer": "quintet.classifiers.networks.musicnn_vgg:build_transfer",
    "pons2017": "quintet.classifiers.networks.pons2017:build",
    "folmer_cnn": "quintet.classifiers.networks.folmer_cnn:build",
    "densenet121": "quintet.classifiers.networks.densenet121:build",
    "crnn": "quintet.classifiers.networks.crnn:build",
    "lachmish_mel": "quintet.classifiers.networks.lachmish:build_mel",
    "lachmish_mfcc": "quintet.classifiers.networks.lachmish:build_mfcc",
}

PRETRAINED = {
    "vgg16_transfer": "imagenet",
    "vgg16_fine_tune": "imagenet",
    "musicnn": "random",
    "musicnn_vgg": "msd",
    "musicnn_vgg_transfer": "msd",
    "densenet121": "imagenet",
}
"""Networks whose setting `weights` says where the weights of their base come from, and its default."""

_COMMON_PARAMETERS = ("input_shape", "n_outputs", "multilabel")


def require_network_weights(name: str, settings: Mapping[str, object]) -> None:
    """Refuse a network whose pretrained weights cannot be obtained. Downloads nothing.

    Args:
        name: key of `NETWORKS`.
        settings: arguments of its `build`.

    Raises:
        ConfigError: if the library lacks the weights, or they do not fit the settings.
        ArtefactError: if the file does not exist, or the download cannot be reached.
    """
    if name not in PRETRAINED:
        return
    weights = str(settings.get("weights", PRETRAINED[name]))
    if name in music_weights.KINDS:
        music_weights.require_music_weights(name, settings, weights)
        return
    load_keras()
    from quintet.classifiers.networks import images

    module = importlib.import_module(NETWORKS[name].split(":")[0])
    images.require_weights(weights, module.WEIGHTS_URL)


def published_music(name: str, settings: Mapping[str, object]) -> str | None:
    """What a network starts from, if it starts from published weights of music; otherwise None.

    Args:
        name: of a network, or of another member.
        settings: arguments of its `build`.

    Example:
        >>> published_music("musicnn_vgg", {}), published_music("musicnn", {})
        ('msd', None)
    """
    weights = str(settings.get("weights", PRETRAINED.get(name, "random")))
    return weights if name in music_weights.KINDS and weights != music_weights.RANDOM else None


def build_defaults(name: str) -> dict[str, object]:
    """Settings of a network's `build` and their defaults. Loads Keras.

    Raises:
        ConfigError: for an unknown name.
    """
    parameters = inspect.signature(_load_build(name)).parameters
    return {key: p.default for key, p in parameters.items() if key not in _COMMON_PARAMETERS}


def build_network(
    name: str,
    input_shape: tuple[int, int],
    n_outputs: int,
    *,
    multilabel: bool,
    seed: int,
    precision: str,
    settings: Mapping[str, object],
    pretrained: bool = True,
) -> KerasModel:
    """Build an unfitted network.

    Args:
        name: key of `NETWORKS`.
        input_shape: (n_mels, frames) of a patch.
        n_outputs: number of classes or tags.
        multilabel: whether clips carry label sets.
        seed: controls the initial weights and the dropout.
        precision: a Keras dtype policy, such as `"float32"`.
        settings: further arguments of its `build`.
        pretrained: False starts a pretrained base from random weights, so that nothing is downloaded. Use it
            if fitted weights replace them anyway.

    Raises:
        ConfigError: for an unknown name, a setting that the network does not have, or patches that are too
            small.
    """
    build = _load_build(name)
    with building_context(seed=seed, precision=precision):
        if not pretrained and "weights" in inspect.signature(build).parameters:
            settings = {**settings, "weights": "random"}
        try:
            return build(input_shape, n_outputs, multilabel=multilabel, **settings)
        except (TypeError, ValueError) as error:
            raise ConfigError(
                f"The network '{name}' must be possible for patches of {input_shape} "
                f"and settings {dict(settings)}. {error}"
            ) from error


def split_frozen_base(model: KerasModel) -> tuple[KerasModel | None, KerasModel]:
    """The frozen part of a network (its layers up to `kept`), and the part that learns.

    (None, the whole network) if no layer is called `kept`.
    """
    if "kept" not in {layer.name for layer in model.layers}:
        return None, model
    keras = load_keras()
    middle = model.get_layer("kept").output
    # The policy of the model that is compiled decides whether the loss is scaled.
    with building_context(seed=0, precision=model.dtype_policy.name):
        return keras.Model(model.input, middle), keras.Model(middle, model.output)


def base_variables(model: KerasModel) -> Sequence[KerasVariable]:
    """The variables of a network that learn and are pretrained; empty if it has no such base."""
    names = {layer.name for layer in model.layers}
    if "base" in names:
        return model.get_layer("base").trainable_variables
    if "base_end" not in names:
        return ()
    base: KerasModel = load_keras().Model(model.input, model.get_layer("base_end").output)
    return base.trainable_variables


def _load_build(name: str) -> Callable[..., KerasModel]:
    if name not in NETWORKS:
        raise unknown_name("network", name, NETWORKS)
    load_keras()
    module, function = NETWORKS[name].split(":")
    build: Callable[..., KerasModel] = getattr(importlib.import_module(module), function)
    return build
