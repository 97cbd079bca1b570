"""Checks of a recipe before its run: settings of members, weights, and files to predict.

Each check uses almost no data. It finds errors that would otherwise occur after hours.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from quintet.classifiers.registry import make_member, require_fit, require_weights
from quintet.classifiers.spectrogram.classifier import SpectrogramClassifier
from quintet.embeddings.columns.networks import find_embedder, with_embeddings
from quintet.errors import ArtefactError, ConfigError
from quintet.features.parameters import FeatureParameters
from quintet.inference.inputs import expand_files
from quintet.pipeline.recipe import Recipe

HELD_OUT = "held_out"  # among the files to predict: the pieces of the demo corpus outside the training data


def check_members(recipe: Recipe) -> None:
    """Construct each member unfitted.

    Raises:
        ConfigError: an unknown setting, with the nearest valid one; or spectrograms that published weights
            cannot read.
    """
    training = recipe.training
    for name in training.members:
        with _section_in_errors(name):
            member = make_member(name, **training.settings.get(name, {}))
            if isinstance(member, SpectrogramClassifier):
                member.check_parameters()
                member.require_spectrograms(recipe.parameters.log_mel)
                _check_pooling(member, multilabel=recipe.data.multilabel)


def check_recipe(recipe: Recipe) -> None:
    """Refuse a recipe whose run is certain to fail.

    Besides the checks of `check_members`: a table member with settings is fitted on 24 random rows, a
    network with settings is built without its pretrained weights, weights must be available, and files to
    predict must exist. So must the pretrained networks whose columns it names.

    Raises:
        ConfigError: a value with which a member cannot be fitted, or a missing file or network.
        ArtefactError: weights that cannot be had.
    """
    check_members(recipe)
    _check_files(recipe)
    find_embedder(described_parameters(recipe))
    training = recipe.training
    for name in training.members:
        chosen = training.settings.get(name, {})
        with _section_in_errors(name):
            member = make_member(name, **chosen)
            require_weights(member)
            if not chosen:
                continue
            if isinstance(member, SpectrogramClassifier):
                n_mels = recipe.parameters.log_mel.n_mels
                _build_network(member, n_mels=n_mels, multilabel=recipe.data.multilabel)
            else:
                require_fit(member, chosen)


def described_parameters(recipe: Recipe) -> FeatureParameters:
    """All parameters of the features of a recipe, with its pretrained networks.

    Raises:
        ConfigError: the library lacks a network.
    """
    return with_embeddings(recipe.parameters, recipe.features.embeddings, recipe.features.windows)


def _check_files(recipe: Recipe) -> None:
    names = [name for name in recipe.predict.files if name != HELD_OUT]
    if not names:
        return
    for path in expand_files(names).files:
        if not path.exists():
            raise ConfigError(
                f"[predict] must name files that exist. There is no {path}. Remove it, or correct its path."
            )


def _check_pooling(member: SpectrogramClassifier, *, multilabel: bool) -> None:
    if multilabel and member.pooling != "average":
        raise ConfigError(
            "Tags must be pooled by 'average', because a vote needs exactly one class per segment. "
            f"Received '{member.pooling}'."
        )
    if member.pooling == "knn" and not member.validation_share:
        raise ConfigError(
            "Pooling by 'knn' needs segments that are held out in training. There are none: "
            "raise validation_share."
        )


def _build_network(member: SpectrogramClassifier, *, n_mels: int, multilabel: bool) -> None:
    from quintet.classifiers.networks.registry import build_network

    build_network(
        member.network,
        (n_mels, member.patch_frames),
        2,
        settings=dict(member.settings or {}),
        multilabel=multilabel,
        seed=0,
        precision="float32",
        pretrained=False,
    )


@contextmanager
def _section_in_errors(member: str) -> Iterator[None]:
    """Put the section with the settings of `member` in front of the message of an error."""
    try:
        yield
    except (ConfigError, ArtefactError) as error:
        raise type(error)(f"[train.settings.{member}]: {error}") from error
