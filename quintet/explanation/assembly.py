"""The ensemble of a run, taken apart: its table members, its networks' predictions and its fusion.

In: a run, and a `Part` (clips, and table members that were not fitted on them). Out: an `Assembly`, which
gives the same ensemble predictions as the run and from which families and columns can be removed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quintet.classifiers.registry import reads_table
from quintet.ensemble.calibration import Calibration
from quintet.ensemble.fusion import Fusion, LabelledPredictions, fit_fusion
from quintet.ensemble.model_selection.preparation import prepare_members
from quintet.ensemble.support import LearningPlan, plan_learning
from quintet.explanation.contracts import Floats, Fuse
from quintet.explanation.refits import targets, training_seed
from quintet.explanation.shapley.forests import TreeWalk
from quintet.frozen.quick_table import QuickTable
from quintet.frozen.table_member import ArrayMember
from quintet.model_folder.run import Run
from quintet.predictions.predictions import Predictions

if TYPE_CHECKING:
    from quintet.classifiers.tabular.members import TableMember


MIN_SHARE = 0.05
"""Share of the weights below which a member is not explained by itself: it hardly moves the ensemble."""


@dataclass(frozen=True)
class Part:
    """Clips, and table members that were not fitted on them.

    Args:
        members: name → fitted member.
        rows: (n, d) features of the clips.
        background: (m, d) features of clips that the members were fitted on.
        fold: the fold of the clips; None for the held-out part.
    """

    members: Mapping[str, TableMember | ArrayMember]
    rows: pd.DataFrame
    background: pd.DataFrame
    fold: int | None = None


@dataclass(frozen=True)
class Assembly:
    """The ensemble taken apart for one `Part`.

    Args:
        members: name → table member, None for a network, in the order that `fuse` expects.
        fuse: (members, n, K) → (n, K): fusion and calibration of the run.
        rows: (n, d) features of the clips of the part that have a label.
        background: (m, d) features of clips that the members were fitted on.
        part: `"test"` or `"oof"`: the stored predictions that belong to the clips.
    """

    members: Mapping[str, QuickTable | None]
    fuse: Fuse
    rows: pd.DataFrame
    background: pd.DataFrame
    part: str

    @property
    def networks(self) -> tuple[str, ...]:
        """The members that read spectrograms."""
        return tuple(name for name, member in self.members.items() if member is None)

    def network_predictions(
        self, run: Run, rows: pd.DataFrame, background: pd.DataFrame
    ) -> dict[str, tuple[Floats, Floats]]:
        """Stored predictions of each network, made by networks that were not fitted on these clips.

        Args:
            run: the run of the assembly.
            rows: n clips of the part.
            background: m training clips; their predictions are out-of-fold ones.

        Returns:
            Network → probabilities (n, K) and (m, K).
        """
        return {
            name: (
                stored_probabilities(run, self.part, name, rows),
                stored_probabilities(run, "oof", name, background),
            )
            for name in self.networks
        }


def assemble(run: Run, part: Part) -> Assembly | None:
    """The ensemble of a run for one part.

    For a fold, the fusion is learnt on the out-of-fold predictions of the other folds, as in training.

    Args:
        run: a model folder.
        part: clips and table members.

    Returns:
        None if the fusion, a table member or the predictions of a network are missing, or if no table member
        takes part.
    """
    rule = run.fusion.get("rules", {}).get(run.best)
    if run.rules and rule is None:
        return None
    order = tuple(rule["members"]) if rule else (run.best,)
    networks = [name for name in order if name not in part.members]
    if len(networks) == len(order):
        return None
    if any(reads_table(name) or name not in run.oof for name in networks):
        return None
    if rule is None:
        fuse: Fuse = _only_member
    elif part.fold is None:
        fuse = Fusion.from_json(rule).apply
    else:
        fuse = _fusion_without(run, order, part.fold).apply
    predictions = run.report_predictions
    has_label = true_classes(predictions).any(axis=1)
    labelled = pd.Index(predictions.clip_ids[has_label])
    ids = part.rows.index.intersection(labelled, sort=False)
    return Assembly(
        members={name: _quick(part.members[name]) if name in part.members else None for name in order},
        fuse=_with_calibration(fuse, run.calibration),
        rows=part.rows.loc[ids],
        background=part.background,
        part="test" if part.fold is None else "oof",
    )


def _quick(member: TableMember | ArrayMember) -> QuickTable:
    return QuickTable(member, TreeWalk)


def _fusion_without(run: Run, order: Sequence[str], fold: int) -> Fusion:
    """The chosen rule, learnt on the out-of-fold predictions of the other folds."""
    fold_of_clip = run.split.set_index("id")["fold"]
    first = run.oof[order[0]]
    ids = [name for name in first.clip_ids if fold_of_clip[name] != fold]
    others = first.take(ids)
    predictions = [run.oof[name].take(others.clip_ids) for name in order]
    stack = np.stack([class_probabilities(run, one) for one in predictions])
    truth = true_classes(others).astype(np.int8)
    labelled = LabelledPredictions.from_labels(
        stack,
        truth if run.multilabel else np.asarray(others.labels),
        others.units,
        members=order,
        classes=run.classes,
    )
    return fit_fusion(run.best, labelled, prepare_members(labelled) if run.calibrates_members else None)


def _with_calibration(fuse: Fuse, calibration: Calibration | None) -> Fuse:
    """Fusion followed by calibration."""
    return fuse if calibration is None else lambda stack: calibration.apply(fuse(stack))


def _only_member(stack: Floats) -> Floats:
    return np.asarray(stack[0])


def stored_probabilities(run: Run, part: str, name: str, rows: pd.DataFrame) -> Floats:
    """Stored probabilities of a member.

    Args:
        run: a model folder.
        part: `"test"` or `"oof"`.
        name: the member.
        rows: n clips, indexed by id.

    Returns:
        (n, K), in the order of the run's classes.
    """
    predictions = run.parts[part][name]
    return class_probabilities(run, predictions.take(list(rows.index)))


def class_probabilities(run: Run, predictions: Predictions) -> Floats:
    """(n, K) float64 probabilities, in the order of the run's classes.

    Args:
        run: a model folder.
        predictions: of n clips.
    """
    ordered = predictions.in_classes(run.classes)
    return np.asarray(ordered.probabilities, dtype=np.float64)


def true_classes(predictions: Predictions) -> NDArray[np.bool_]:
    """(n, K) bool: the true classes of each clip; all False for a clip that cannot be scored.

    Args:
        predictions: of n clips.
    """
    truth: NDArray[np.bool_] = predictions.indicator() & predictions.scorable[:, None]
    return truth


def training_ids(run: Run) -> list[str]:
    """Ids of the clips that the members were fitted on and whose features are stored.

    Args:
        run: a model folder.
    """
    if not len(run.split):
        return []
    is_train = run.split["part"] == "train"
    train = pd.Index(run.split.loc[is_train, "id"])
    with_features = run.values.index.intersection(train, sort=False)
    return [str(name) for name in with_features]


def background_ids(run: Run) -> list[str]:
    """Ids of the training clips that give the values of absent columns.

    If networks take part, these are clips that have an out-of-fold prediction. With a validation part of the
    data, other training clips have none.

    Args:
        run: a model folder.
    """
    ids = training_ids(run)
    networks = [name for name in run.members if not reads_table(name) and name in run.oof]
    for name in networks:
        predicted = set(map(str, run.oof[name].clip_ids))
        ids = [clip for clip in ids if clip in predicted]
    return ids


def validation_plan(run: Run) -> LearningPlan | None:
    """The clips of the validation part from which fusion and calibration were learnt, and their folds.

    Args:
        run: a model folder.

    Returns:
        Its positions `taught` and `folds` are among the out-of-fold predictions of a member. None in
        cross-validation.
    """
    if not {"part", "fold"} <= set(run.split.columns):
        return None
    split = run.split[run.split["part"] == "train"]
    fold = split["fold"].to_numpy()
    if not run.oof or set(fold) != {-1, 0}:
        return None
    units = split["id" if run.results.split.protocol == "random" else "group"].to_numpy(dtype=str)
    parts = (np.flatnonzero(fold < 0), np.flatnonzero(fold == 0))
    return plan_learning(targets(run, split), units, [parts], seed=training_seed(run))


def has_weight(run: Run, name: str) -> bool:
    """Whether a member has enough weight in the ensemble to be explained by itself.

    Args:
        run: the model folder.
        name: the member.
    """
    return run.member_shares.get(name, 0.0) >= MIN_SHARE


def draw_rows(frame: pd.DataFrame, limit: int, rng: np.random.Generator) -> pd.DataFrame:
    """At most `limit` rows of a table, drawn at random, in their order.

    Args:
        frame: (n, d).
        limit: most rows.
        rng: not used if the table has no more than `limit` rows.
    """
    if len(frame) <= limit:
        return frame
    positions = rng.choice(len(frame), limit, replace=False)
    return frame.iloc[np.sort(positions)]
