"""Members that use pretrained networks of music: the default ones, and the stamp of their scores."""

from __future__ import annotations

from collections.abc import Iterable

from quintet.classifiers.networks.music_weights import COLLECTIONS
from quintet.classifiers.networks.registry import published_music
from quintet.classifiers.registry import DEFAULT_MEMBERS, TABLE_MEMBERS
from quintet.classifiers.spectrogram.classifier import SpectrogramClassifier
from quintet.classifiers.views import HANDMADE, network_group, table_views
from quintet.ensemble.classifier import EnsembleClassifier
from quintet.features.catalogue import feature_family
from quintet.features.parameters import FeatureParameters
from quintet.features.storage.table import FeatureTable
from quintet.model_folder.pretrained import PretrainedViews
from quintet.model_folder.scores import ENSEMBLE_PREDICTION

VIEW_MEMBERS = ("logistic_regression", "random_forest")
"""Members that are trained on each pretrained view unless the user names others (docs/pretrained.md)."""


def default_members(table: FeatureTable) -> tuple[str, ...]:
    """Members that are trained on a table unless the user names others.

    They are the five default members for a table of quintet, and the four that need no audio for a table from
    elsewhere. If the table has columns of pretrained networks, there are also two members for tags and two
    for embeddings.

    Args:
        table: the feature table.
    """
    views = table_views(table.feature_names)
    members = DEFAULT_MEMBERS if table.parameters is not None else TABLE_MEMBERS
    if HANDMADE not in views:
        members = tuple(name for name in members if name not in TABLE_MEMBERS)
    pretrained = [view for view in views if view != HANDMADE]
    return (*members, *(f"{kind}@{view}" for view in pretrained for kind in VIEW_MEMBERS))


def find_pretrained(table: FeatureTable, ensemble: EnsembleClassifier) -> PretrainedViews | None:
    """The scores of a run that depend on pretrained networks, and the music of their training.

    Args:
        table: the feature table of the run.
        ensemble: the fitted ensemble.

    Returns:
        None if no member sees a column of a pretrained network, or is a network that started from one.
    """
    families: dict[str, None] = {}
    started: dict[str, str] = {}
    members = []
    for name, member in ensemble.members_.items():
        if isinstance(member, SpectrogramClassifier):
            start = published_music(member.network, member.settings or {})
            started |= {} if start is None else {name: COLLECTIONS.get(start, "")}
        columns = getattr(member, "prepared_names", ())
        own = {feature_family(column) for column in columns if network_group(column) is not None}
        families |= dict.fromkeys(sorted(own))
        members += [name] if own or name in started else []
    if not members:
        return None
    rules = []
    for rule, fusion in ensemble.fusions_.items():
        weights = dict(zip(fusion.members, fusion.weights, strict=True))
        rules += [rule] if any(weights[name] != 0 for name in members) else []
    predicts = [ENSEMBLE_PREDICTION] if ensemble.rule_ in rules else []
    music = _training_music(table, families) | started
    return PretrainedViews(music, (*members, *rules, *predicts))


def _training_music(table: FeatureTable, families: Iterable[str]) -> dict[str, str]:
    """Family → the music that its network was trained on; empty if it is not known."""
    known: dict[str, str] = {}
    stored = table.metadata.get("parameters")
    if stored is not None:
        for network in FeatureParameters.parse(stored, where="The table").embeddings:
            known |= {output.family: network.trained_on for output in network.outputs}
    return {family: known.get(family, "") for family in families}
