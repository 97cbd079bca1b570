"""NETWORKS: every architecture by name. What a network reads and what it ends in is decided here, once.

A `build(input_shape, n_outputs, *, multilabel=False, …)` reads patches `(batch, n_mels, frames)` of standardised log-mel values and ends in a
float32 layer `logits` `(batch, n_outputs)`: a softmax (one label) or a sigmoid (several) outside makes probabilities of it. The layer
`embedding` before it is what maps are drawn from. Where there is a layer called `kept`, nothing before it learns: its output is computed
once per patch and kept. A sub-model called `base` is pretrained, and may learn at a lower rate.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import Any

from quintet.classifiers.networks.backend import building_context, load_keras
from quintet.errors import ConfigError, unknown_name

NETWORKS: dict[str, str] = {
    "vgg_small": "quintet.classifiers.networks.vgg_small:build",
    "vgg16_transfer": "quintet.classifiers.networks.vgg16:build_transfer",
    "vgg16_fine_tune": "quintet.classifiers.networks.vgg16:build_fine_tune",
    "feed_forward": "quintet.classifiers.networks.feed_forward:build",
    "musicnn": "quintet.classifiers.networks.musicnn:build",
    "pons2017": "quintet.classifiers.networks.pons2017:build",
    "folmer_cnn": "quintet.classifiers.networks.folmer_cnn:build",
    "densenet121": "quintet.classifiers.networks.densenet121:build",
    "crnn": "quintet.classifiers.networks.crnn:build",
    "lachmish_mel": "quintet.classifiers.networks.lachmish:build_mel",
    "lachmish_mfcc": "quintet.classifiers.networks.lachmish:build_mfcc",
}

PRETRAINED = (
    "vgg16_transfer",
    "vgg16_fine_tune",
    "densenet121",
)  # whose setting `weights` says where their base begins


def require_weights(name: str, settings: Mapping[str, Any]) -> None:
    """Refuse, before anything runs, a network whose base begins with weights that cannot be had. Downloads nothing.

    Raises:
        ArtefactError: a file that is not there, or a download that cannot be reached.
    """
    if name not in PRETRAINED:
        return
    load_keras()
    from quintet.classifiers.networks import images

    module = importlib.import_module(NETWORKS[name].split(":")[0])
    images.require_weights(settings.get("weights", "imagenet"), module.WEIGHTS_URL)


def build_network(
    name: str,
    input_shape: tuple[int, int],
    n_outputs: int,
    *,
    multilabel: bool,
    seed: int,
    precision: str,
    settings: Mapping[str, Any],
    pretrained: bool = True,
) -> Any:
    """The unfitted `keras.Model` called `name`, its weights decided by `seed`, and by its setting `weights` where it has a pretrained base.

    With `pretrained` False the base begins at random: for a network whose fitted weights are about to be put in, and need no download.

    Raises:
        ConfigError: an unknown name, a setting that this network does not have, or an input that is too small for it.
    """
    if name not in NETWORKS:
        raise unknown_name("network", name, NETWORKS)
    module, function = NETWORKS[name].split(":")
    with building_context(seed=seed, precision=precision):
        build = getattr(importlib.import_module(module), function)
        if not pretrained and "weights" in inspect.signature(build).parameters:
            settings = {**settings, "weights": "random"}
        try:
            return build(input_shape, n_outputs, multilabel=multilabel, **settings)
        except (TypeError, ValueError) as error:
            raise ConfigError(
                f"The network '{name}' must be possible for patches of {input_shape} and settings {dict(settings)}. {error}"
            ) from error
