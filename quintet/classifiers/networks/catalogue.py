"""NETWORKS: every architecture by name. What a network reads and what it ends in is decided here, once.

A `build(input_shape, n_outputs, *, multilabel=False, …)` reads patches `(batch, n_mels, frames)` of standardised log-mel values and ends in a
float32 layer `logits` `(batch, n_outputs)`: a softmax (one label) or a sigmoid (several) outside makes probabilities of it. The layer
`embedding` before it is what maps are drawn from. A sub-model called `frozen`, where there is one, never learns: its output is
computed once per patch and kept.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from quintet.classifiers.networks.backend import building
from quintet.errors import ConfigError, unknown_name

NETWORKS: dict[str, str] = {
    "vgg_small": "quintet.classifiers.networks.vgg_small:build",
}


def build_network(
    name: str, input_shape: tuple[int, int], n_outputs: int, *, multilabel: bool, seed: int, precision: str, settings: Mapping[str, Any]
) -> Any:
    """The unfitted `keras.Model` called `name`, its weights decided by `seed`.

    Raises:
        ConfigError: an unknown name, a setting that this network does not have, or an input that is too small for it.
    """
    if name not in NETWORKS:
        raise unknown_name("network", name, NETWORKS)
    module, function = NETWORKS[name].split(":")
    with building(seed=seed, precision=precision):
        build = getattr(importlib.import_module(module), function)
        try:
            return build(input_shape, n_outputs, multilabel=multilabel, **settings)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"The network '{name}' must be possible for patches of {input_shape} and settings {dict(settings)}. {error}") from error
