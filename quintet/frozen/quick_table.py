"""A fitted table member that predicts often: its numbers, without what scikit-learn spends on every call.

Games and shuffles ask a member for thousands of rows again and again. scikit-learn then checks every column
of the table and starts a task per tree, and libsvm computes kernels row by row: most of the time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quintet.frozen.freezing import UnfrozenError, freeze_machines
from quintet.frozen.scorers import Boosted
from quintet.frozen.scorers import Forest as FrozenForest
from quintet.frozen.table_member import ArrayMember

if TYPE_CHECKING:
    from quintet.classifiers.tabular.members import FittedModel, TableMember
    from quintet.classifiers.tabular.storage import Forest as ScikitForest
    from quintet.frozen.scorers import Scorer

Floats = NDArray[np.float64]
Score = Callable[[Floats], Floats]
"""Prepared rows → probabilities of the classes."""


class QuickTable:
    """A fitted table member with a quicker `predict_proba`.

    `scores` has the quicker models; None for a tag that every training clip or none has.

    Args:
        member: the member, `fitted` here.
        walk: quicker probabilities of frozen trees. Default: their own.
    """

    def __init__(
        self,
        member: TableMember | ArrayMember,
        walk: Callable[[FrozenForest | Boosted], Score] | None = None,
    ) -> None:
        self.fitted = member
        names = getattr(member, "feature_names_in_", None)
        self._names = None if names is None else list(names)
        self.scores: list[Score | None] = []
        for model in member.models_:
            if isinstance(model, FrozenForest | Boosted) and walk is not None:
                self.scores.append(walk(model))
            elif isinstance(member, ArrayMember):
                self.scores.append(None if model is None else cast("Scorer", model).probabilities)
            else:
                quick = _QUICK.get(member.member, _as_it_is)
                self.scores.append(None if model is None else quick(cast("FittedModel", model)))

    def predict_proba(self, X: pd.DataFrame) -> Floats:
        """Probabilities of the rows of a table, as the member gives them (to 1e-12).

        Args:
            X: `(n, d)` with the columns of the fit.
        """
        if self._names is None or list(X.columns) != self._names:
            return self.fitted.predict_proba(X)  # it says which columns are wrong
        return self.predict_prepared(self.fitted.preparation_.transform(X.to_numpy(np.float64)))

    def predict_prepared(self, rows: Floats) -> Floats:
        """The same for rows `(n, k)` that `prepare` of the member gave, or mixtures of their columns."""
        return self.combine(lambda score: score(rows), len(rows))

    def combine(self, answer: Callable[[Score], Floats], n: int) -> Floats:
        """The probabilities of n rows, from the answer of each model.

        Args:
            answer: one of `scores` → probabilities of the model's classes, with n rows.
            n: number of rows.
        """
        member = self.fitted
        if not member.multilabel_:
            (score,) = self.scores
            assert score is not None
            probabilities = answer(score)
            return np.asarray(probabilities / probabilities.sum(axis=1, keepdims=True))
        columns = [
            np.full(n, constant) if score is None else answer(score)[:, 1]
            for score, constant in zip(self.scores, member.constants_, strict=True)
        ]
        return np.asarray(np.clip(np.column_stack(columns), 0.0, 1.0))


def _as_it_is(model: FittedModel) -> Score:
    return lambda rows: np.asarray(model.predict_proba(rows), dtype=np.float64)


def _forest(model: FittedModel) -> Score:
    """The mean over the trees, in their order, each asked directly."""
    trees = [tree.tree_ for tree in cast("ScikitForest", model).estimators_]

    def score(rows: Floats) -> Floats:
        with np.errstate(over="ignore"):
            narrow = np.ascontiguousarray(rows, dtype=np.float32)
        total = np.zeros((len(rows), trees[0].value.shape[2]))
        for tree in trees:
            total += tree.predict(narrow)
        return np.asarray(total / len(trees))

    return score


def _machines(model: FittedModel) -> Score:
    """Support vector machines from one matrix of kernels, if they share it."""
    try:
        return freeze_machines(model).probabilities
    except UnfrozenError:
        return _as_it_is(model)


_QUICK: dict[str, Callable[[FittedModel], Score]] = {"random_forest": _forest, "svm": _machines}
"""Member → its quicker way; the others are quick as they are."""
