"""Leak gate: scores of the same members on the same clips under several splits, and their gaps.

Most published figures of this field come from random folds, in which clips of one artist, one session or even
one recording are in both parts. The gap between such a score and the grouped score is memory of the group,
not knowledge of the class.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from quintet.classifiers.sizes import sized_settings
from quintet.datasets.splits.protocols import make_split
from quintet.datasets.splits.split import Positions
from quintet.ensemble.crossfit import Listener, Trainer
from quintet.ensemble.fusion import LabelledPredictions, fit_fusion
from quintet.ensemble.tasks.pools import ThisProcess
from quintet.ensemble.tasks.schedule import predict_folds
from quintet.ensemble.tasks.task import FitPool, FitTask
from quintet.errors import ConfigError
from quintet.evaluation.comparisons import metric_differences
from quintet.evaluation.intervals import Resampling
from quintet.evaluation.scores import Scores, score
from quintet.features.storage.table import FeatureTable
from quintet.model_folder.scores import LeakGap, LeakGate
from quintet.training.blocks.groups import DEFAULT_FOLDS, sound_block_names
from quintet.training.data import Folds, Material, Texts, split_settings
from quintet.training.settings import TrainSettings

COMPARED_SCORES = ("accuracy", "macro_auc")
COMPARED_SCORES_OF_SETS = ("macro_pr_auc", "macro_auc")
"""Scores whose gaps are computed, for single labels and for label sets. The first is the headline."""
PROBES = ("logistic_regression", "svm")
"""Members that are fitted quickly: they stand for all where a run by blocks is compared with chance."""
MOST_PROBED = 5000
"""Clips that they are fitted on: of more clips, whole blocks are drawn."""


@dataclass(frozen=True)
class MemberPredictions:
    """Predictions of one member under one protocol.

    Args:
        rows: positions of the m clips that are predicted.
        probabilities: `(m, K)`, from members that were not fitted on the clip.
    """

    rows: Positions
    probabilities: NDArray[np.float64]


@dataclass(frozen=True)
class ProtocolFolds:
    """Folds of one protocol.

    Args:
        rows: positions of the m clips that are used.
        folds: pairs of positions among these m clips: to fit on, to predict.
        scored: positions of the clips that are predicted.
    """

    rows: Positions
    folds: Folds
    scored: Positions


def leak_gate(
    material: Material,
    settings: TrainSettings,
    protocols: Sequence[str],
    *,
    listener: Listener | None = None,
    pool: FitPool | None = None,
) -> LeakGate:
    """Scores of every member and of their plain mean under each protocol, and the gaps between protocols.

    A gap is the score under the first protocol minus the score under another one, on the clips that both
    predicted, with a 95 % interval from a paired bootstrap by group.

    Args:
        material: the table, its labels and groups.
        settings: members, folds, seed and resamples of the run.
        protocols: two or more of `random`, `group`, `sound`, `given`. Under all but `given` every usable clip
            is predicted out of fold. Under `given` the clips of the test part are predicted, by members that
            are fitted on all other clips.
        listener: receives training events.
        pool: where members are fitted. Default: this process.

    Returns:
        Scores per protocol and member, and the gaps. `random` is listed as ungrouped.

    Raises:
        ConfigError: for fewer than two protocols, or for `group` if no groups are known.
    """
    if len(set(protocols)) < 2:
        raise ConfigError(f"A leak gate compares at least two protocols. Received: {', '.join(protocols)}.")
    if "group" in protocols and not material.table.grouped:
        raise ConfigError(
            "The protocol 'group' needs groups in the data. None are known: "
            "extract with --group-by, or give a group column."
        )
    predictions = {
        protocol: _predict_members(material, settings, protocol, listener, pool or ThisProcess())
        for protocol in dict.fromkeys(protocols)
    }
    scores = {
        protocol: {name: _score_member(material, member, settings) for name, member in members.items()}
        for protocol, members in predictions.items()
    }
    first, *others = predictions
    gaps: list[LeakGap] = []
    for other in others:
        for member in predictions[first]:
            pair = predictions[first][member], predictions[other][member]
            gaps += _member_gaps(material, settings, member, (first, other), pair)
    ungrouped = tuple(protocol for protocol in scores if protocol == "random")
    return LeakGate(scores, tuple(gaps), ungrouped)


def chance_gate(
    material: Material,
    settings: TrainSettings,
    *,
    listener: Listener | None = None,
    pool: FitPool | None = None,
) -> LeakGate:
    """The leak gate of `random` and `sound` by two members that are fitted quickly, for a run by blocks.

    It says how much of a score by chance may come from clips of one source, and fits no slow member again.

    Args:
        material: the table, its labels, and its blocks as groups.
        settings: settings of the run. Probes that take part have their settings of the run.
        listener: receives training events.
        pool: where members are fitted. Default: this process.
    """
    material = _some_blocks(material, settings)
    taking_part = [name for name in PROBES if name in settings.members] or PROBES
    own = {
        name: sized_settings(name, settings.settings.get(name, {}), len(material.ids)) for name in taking_part
    }
    probes = settings.model_copy(update={"members": tuple(taking_part), "settings": own})
    gate = leak_gate(material, probes, ("random", "sound"), listener=listener, pool=pool)
    return replace(gate, probes=tuple(taking_part))


def _some_blocks(material: Material, settings: TrainSettings) -> Material:
    """The material, or whole blocks of each class or tag, drawn by the seed: about `MOST_PROBED` clips."""
    n = len(material.ids)
    if n <= MOST_PROBED:
        return material
    needed = settings.folds or DEFAULT_FOLDS
    names, block = np.unique(material.groups, return_inverse=True)
    place = np.random.default_rng([settings.seed, 23]).permutation(len(names))[block]  # in one order for all
    target = material.target(np.arange(n))
    classes = [target == label for label in np.unique(target)] if target.ndim == 1 else target.T.astype(bool)
    is_chosen_block = np.zeros(len(names), bool)
    for is_member in classes:
        own, sizes = np.unique(place[is_member], return_counts=True)
        n_blocks = int(np.searchsorted(np.cumsum(sizes), is_member.sum() * MOST_PROBED / n)) + 1
        is_chosen_block[own[: max(n_blocks, needed)]] = True
    rows = np.flatnonzero(is_chosen_block[place])
    frame, split = material.table.frame, material.split
    is_chosen = frame["id"].astype(str).isin(material.ids[rows])
    return Material(
        FeatureTable(frame[is_chosen].reset_index(drop=True), material.table.metadata),
        material.ids[rows],
        material.labels[rows],
        material.groups[rows],
        replace(split, frame=split.frame.iloc[rows].reset_index(drop=True)),
        None,
    )


def _predict_members(
    material: Material, settings: TrainSettings, protocol: str, listener: Listener | None, pool: FitPool
) -> dict[str, MemberPredictions]:
    """Predictions of every member and of their plain mean under one protocol."""
    groups = _units(material, settings, protocol)
    division = _divide(material, settings, protocol, groups)
    rows, folds, scored = division.rows, division.folds, division.scored
    inputs, target = material.inputs(rows), material.target(rows)
    tasks = [
        FitTask(
            Trainer(name, settings.settings.get(name, {}), settings.seed, None, listener, len(folds)),
            fold,
            parts,
        )
        for name in settings.members
        for fold, parts in enumerate(folds)
    ]
    results = predict_folds(tasks, inputs, target, groups[rows], material.classes, pool)
    predictions = {}
    for name in settings.members:
        probabilities = np.full((len(inputs), len(material.classes)), np.nan)
        for number, task in enumerate(tasks):
            if task.trainer.member == name and task.parts is not None:
                probabilities[task.parts[1]] = results[number].probabilities
        is_predicted = np.isfinite(probabilities).all(axis=1)
        predictions[name] = MemberPredictions(scored, probabilities[is_predicted])
    stack = np.stack([member.probabilities for member in predictions.values()])
    labelled = LabelledPredictions.from_labels(
        stack,
        material.target(scored),
        groups[scored],
        members=tuple(predictions),
        classes=material.classes,
    )
    mean = fit_fusion("mean", labelled)
    return {**predictions, "mean": MemberPredictions(scored, mean.apply(stack))}


def _units(material: Material, settings: TrainSettings, protocol: str) -> Texts:
    """Unit of each clip that a protocol keeps whole. `random` ignores groups on purpose: it is the clip."""
    if protocol == "random":
        return material.ids
    if protocol == "sound" and material.split.protocol != "sound":
        return sound_block_names(material.table, settings)
    return material.groups


def _divide(material: Material, settings: TrainSettings, protocol: str, units: Texts) -> ProtocolFolds:
    """Folds of one protocol over all usable clips, with the units that it keeps whole."""
    split = make_split(
        material.ids.tolist(),
        material.labels.tolist(),
        (material.groups if protocol == "random" else units).tolist(),
        split_settings(settings, protocol, test_size=0.0),
        given=material.table.meta["split"].tolist() if protocol == "given" else None,
        grouped=material.table.grouped or protocol == "sound",
    )
    if protocol != "given":
        return ProtocolFolds(split.train, tuple(split.folds()), split.train)
    n_train, n_test = len(split.train), len(split.test)
    rows = np.concatenate([split.train, split.test])
    fold = (np.arange(n_train), n_train + np.arange(n_test))
    return ProtocolFolds(rows, (fold,), split.test)


def _score_member(material: Material, member: MemberPredictions, settings: TrainSettings) -> Scores:
    return score(
        material.target(member.rows),
        member.probabilities,
        material.classes,
        material.groups[member.rows],
        resampling=Resampling(settings.seed, settings.resamples),
        multilabel=material.multilabel,
    )


def _member_gaps(
    material: Material,
    settings: TrainSettings,
    member: str,
    protocols: tuple[str, str],
    predictions: tuple[MemberPredictions, MemberPredictions],
) -> list[LeakGap]:
    """Gaps of one member between two protocols, one per compared score."""
    first, second = predictions
    rows, in_first, in_second = np.intersect1d(first.rows, second.rows, return_indices=True)
    differences = metric_differences(
        material.target(rows),
        first.probabilities[in_first],
        second.probabilities[in_second],
        material.classes,
        material.groups[rows],
        resampling=Resampling(settings.seed, settings.resamples),
        multilabel=material.multilabel,
    )
    n_groups = len(np.unique(material.groups[rows]))
    compared = COMPARED_SCORES_OF_SETS if material.multilabel else COMPARED_SCORES
    return [LeakGap(*protocols, member, len(rows), n_groups, name, differences[name]) for name in compared]
