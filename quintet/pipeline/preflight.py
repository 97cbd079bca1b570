"""What would fail hours later is tried on almost nothing, before anything runs: every member's settings, the weights, the files to predict."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from quintet.classifiers.registry import make_member, require_weights
from quintet.ensemble.fusion import RULES
from quintet.errors import ArtefactError, ConfigError, unknown_name
from quintet.inference.predict import expand
from quintet.pipeline.recipe import Recipe

HELD_OUT = "held_out"  # among the files to predict: the demo's pieces that nobody heard in training


def check_members(recipe: Recipe) -> None:
    """Every member made once, unfitted, so that a setting that it does not have is refused; rules by their names.

    Raises:
        ConfigError: for such a setting or rule, with the nearest valid one.
    """
    training = recipe.training
    for rule in training.rules:
        if rule not in RULES:
            raise unknown_name("fusion rule", rule, RULES)
    for name in training.members:
        with _named(name):
            member = make_member(name, **training.settings.get(name, {}))
            if name in recipe.networks:
                member.check_parameters()
                _check_pooling(member, multilabel=recipe.data.multilabel)


def check_recipe(recipe: Recipe) -> None:
    """Refuse whatever of a recipe can be known to fail: `check_members`, values that a member cannot be fitted with, weights, files to predict.

    A table member with settings of its own is fitted on 24 made-up rows; a network with any is built, without its pretrained weights.

    Raises:
        ConfigError: for such a value or file. ArtefactError: for weights that cannot be had.
    """
    check_members(recipe)
    training = recipe.training
    files = [name for name in recipe.predict.files if name != HELD_OUT]
    if absent := [path for path in (expand(files) if files else []) if not path.exists()]:
        raise ConfigError(
            f"[predict] must name files that are there. There is no {absent[0]}. Take it out, or write where it is."
        )
    for name in training.members:
        chosen = training.settings.get(name, {})
        with _named(name):
            member = make_member(name, **chosen)
            require_weights(member)
            if chosen and name in recipe.networks:
                _build(member, n_mels=recipe.parameters.log_mel.n_mels, multilabel=recipe.data.multilabel)
            elif chosen:
                _fit(member, chosen)


def _check_pooling(member: Any, *, multilabel: bool) -> None:
    if multilabel and member.pooling != "average":
        raise ConfigError(
            f"Tags are pooled by 'average': there is no one winner to vote for. Received '{member.pooling}'."
        )
    if member.pooling == "knn" and not member.validation_share:
        raise ConfigError(
            "Pooling by 'knn' looks among segments that were held out in training. None would be: raise validation_share."
        )


def _build(member: Any, *, n_mels: int, multilabel: bool) -> None:
    from quintet.classifiers.networks.registry import build_network

    options: dict[str, Any] = {
        "multilabel": multilabel,
        "seed": 0,
        "precision": "float32",
        "pretrained": False,
    }
    build_network(
        member.network, (n_mels, member.patch_frames), 2, settings=dict(member.settings or {}), **options
    )


def _fit(member: Any, chosen: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    try:
        member.fit(rng.normal(size=(24, 3)), np.repeat(["a", "b"], 12), groups=np.arange(24))
    except (TypeError, ValueError) as error:
        first = str(error).splitlines()[0]
        raise ConfigError(
            f"It cannot be fitted with {', '.join(f'{key} = {value!r}' for key, value in chosen.items())}: {first}"
        ) from error


@contextmanager
def _named(member: str) -> Iterator[None]:
    """Errors say whose settings they are about."""
    try:
        yield
    except (ConfigError, ArtefactError) as error:
        raise type(error)(f"[train.settings.{member}]: {error}") from error
