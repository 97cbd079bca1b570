"""The leak gate: the same members on the same clips under several splits, and the gap between them.

Most published figures of this field come from random folds, where one artist, one recording session or even one recording stands
on both sides. The gap between such a figure and the grouped one is what was memory and not music.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quintet.datasets.splits.protocols import SplitSettings, make_split
from quintet.ensemble.crossfit import Listener, Trainer
from quintet.ensemble.fusion import LabelledPredictions, fit_fusion
from quintet.errors import ConfigError
from quintet.evaluation.comparisons import paired_differences
from quintet.evaluation.scores import score
from quintet.training.data import Material
from quintet.training.settings import TrainSettings

COMPARED = ("accuracy", "macro_auc")
COMPARED_OF_SETS = ("macro_pr_auc", "macro_auc")
"""The scores whose gaps are told, of single labels and of label sets; the first makes the headline."""


@dataclass(frozen=True)
class _Opinion:
    """Out-of-fold probabilities of one member under one protocol, and the rows that have one."""

    rows: NDArray[np.intp]
    probabilities: NDArray[np.float64]


def leak_gate(
    material: Material, settings: TrainSettings, protocols: Sequence[str], *, listener: Listener | None = None
) -> dict[str, Any]:
    """Scores of every member and of their plain mean under each protocol, and the gaps.

    Args:
        material: the table, its labels and groups.
        settings: members, folds and seed of the run.
        protocols: two or more of `random`, `group`, `given`. Under `random` and `group` every usable clip is predicted out of fold;
            under `given` the clips of the test part are, by members fitted on the rest.
        listener: hears training events.

    Returns:
        `{"protocols": {protocol: {member: Scores json}}, "ungrouped": [protocols], "gaps": [{"from", "to", "member", "score", "value", "low",
        "high", "n", "n_groups"}]}`: the scores of `ungrouped` protocols are stamped;
        a gap is the score under the first protocol minus that under the second, on the clips that both predicted, with a 95 % interval from a
        paired bootstrap by group.

    Raises:
        ConfigError: for fewer than two protocols, or `group` where no groups are known.
    """
    if len(set(protocols)) < 2:
        raise ConfigError(f"A leak gate compares at least two protocols. Received: {', '.join(protocols)}.")
    if "group" in protocols and not material.table.grouped:
        raise ConfigError(
            "The protocol 'group' needs groups in the data. None are known: extract with --group-by, or give a group column."
        )
    opinions = {
        protocol: _opinions(material, settings, protocol, listener) for protocol in dict.fromkeys(protocols)
    }
    scores = {
        protocol: {member: _scored(material, opinion, settings) for member, opinion in members.items()}
        for protocol, members in opinions.items()
    }
    first, *others = opinions
    gaps = [
        gap
        for other in others
        for member in opinions[first]
        for gap in _gaps(material, opinions, first, other, member, settings)
    ]
    return {
        "protocols": scores,
        "gaps": gaps,
        "ungrouped": [protocol for protocol in scores if protocol == "random"],
    }


def _opinions(
    material: Material, settings: TrainSettings, protocol: str, listener: Listener | None
) -> dict[str, _Opinion]:
    given = material.table.meta["split"].tolist() if protocol == "given" else None
    split = make_split(
        material.ids.tolist(),
        material.labels.tolist(),
        material.groups.tolist(),
        SplitSettings(protocol, test_size=0.0, n_splits=settings.folds, seed=settings.seed),
        given=given,
        grouped=material.table.grouped,
    )
    # under `random` the rule of the house is broken on purpose: every clip counts as its own group
    groups = material.ids if protocol == "random" else material.groups
    if protocol == "given":
        rows, folds = (
            np.concatenate([split.train, split.test]),
            [(np.arange(len(split.train)), len(split.train) + np.arange(len(split.test)))],
        )
        judged = split.test
    else:
        rows, folds, judged = split.train, split.folds(), split.train
    inputs, y = material.members_inputs(rows), material.target(rows)
    result = {}
    for member in settings.members:
        trainer = Trainer(
            member, settings.settings.get(member, {}), settings.seed, None, listener, len(folds)
        )
        probabilities, _ = trainer.out_of_fold(inputs, y, groups[rows], folds, material.classes)
        result[member] = _Opinion(judged, probabilities[np.isfinite(probabilities).all(axis=1)])
    stack = np.stack([opinion.probabilities for opinion in result.values()])
    labelled = LabelledPredictions.from_labels(
        stack, material.target(judged), groups[judged], members=tuple(result), classes=material.classes
    )
    mean = fit_fusion("mean", labelled)
    return {**result, "mean": _Opinion(judged, mean.apply(stack))}


def _scored(material: Material, opinion: _Opinion, settings: TrainSettings) -> dict[str, Any]:
    rows = opinion.rows
    options: dict[str, Any] = {
        "seed": settings.seed,
        "n_resamples": settings.resamples,
        "multilabel": material.multilabel,
    }
    return score(
        material.target(rows), opinion.probabilities, material.classes, material.groups[rows], **options
    ).to_json()


def _gaps(
    material: Material,
    opinions: dict[str, dict[str, _Opinion]],
    first: str,
    second: str,
    member: str,
    settings: TrainSettings,
) -> list[dict[str, Any]]:
    a, b = opinions[first][member], opinions[second][member]
    rows, in_a, in_b = np.intersect1d(a.rows, b.rows, return_indices=True)
    found = paired_differences(
        material.target(rows),
        a.probabilities[in_a],
        b.probabilities[in_b],
        material.classes,
        material.groups[rows],
        seed=settings.seed,
        n_resamples=settings.resamples,
        multilabel=material.multilabel,
    )
    common = {
        "from": first,
        "to": second,
        "member": member,
        "n": len(rows),
        "n_groups": len(np.unique(material.groups[rows])),
    }
    return [
        {**common, "score": name, **found[name].to_json()}
        for name in (COMPARED_OF_SETS if material.multilabel else COMPARED)
    ]
