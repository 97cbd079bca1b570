"""Data that several sections of a report share: run, explanation, confusion matrix, calibration error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quintet.errors import DatasetError
from quintet.evaluation.metrics import calibration_error, confusion_matrix, top_label
from quintet.explanation.members import RunExplanation, explain_run
from quintet.model_folder.run import Run
from quintet.predictions.predictions import Predictions
from quintet.reports.formats import SCORE_NAMES

if TYPE_CHECKING:
    from quintet.auditing.labels.suspects import Suspects

Confusion = tuple[str, str, int]
"""True class, predicted class, number of clips."""


@dataclass(frozen=True)
class ReportData:
    """A training run and values computed from it. Each value is computed at most once, when it is first used.

    Args:
        run: the training run, read from its model folder.
        umap: whether the maps of the clips include one by UMAP.
        full: whether the page is the long form: all members explained, nothing folded.
    """

    run: Run
    umap: bool = False
    full: bool = False

    @cached_property
    def explanation(self) -> RunExplanation:
        """SHAP values of the members and Shapley values of the ensemble."""
        return explain_run(self.run, full=self.full)

    @cached_property
    def suspects(self) -> Suspects | None:
        """Labels that are probably wrong; None if no clip has a label."""
        from quintet.auditing.labels.suspects import find_suspects  # it needs scikit-learn

        try:
            return find_suspects(self.run)
        except DatasetError:
            return None

    @cached_property
    def score_names(self) -> list[str]:
        """Keys of the scores that the tables of the report show, see the function `score_names`."""
        return score_names(self.run)

    @cached_property
    def confusions(self) -> pd.DataFrame | None:
        """Confusion matrix of the ensemble prediction, see `confusion_counts`; None for label sets.

        Clips without a label of the model are left out.
        """
        if self.run.multilabel:
            return None
        predictions = self.run.report_predictions
        codes = predictions.codes()
        labelled = codes >= 0  # -1: no label, or one that is no class
        predicted = predictions.probabilities.argmax(axis=1)
        return confusion_counts(codes[labelled], predicted[labelled], self.run.classes)

    @cached_property
    def calibration_error(self) -> float:
        """Expected calibration error of the ensemble prediction."""
        correct, confidence = correctness_and_confidence(self.run.report_predictions)
        return float(calibration_error(correct, confidence))


def score_names(run: Run) -> list[str]:
    """Keys of `SCORE_NAMES` for which the run has a value, in that order. PR AUC only for label sets."""
    present: set[str] = set()
    for table in run.results.parts.values():
        for scores in table.values():
            present.update(scores.scores)
    return [key for key in SCORE_NAMES if key in present and (key != "macro_pr_auc" or run.multilabel)]


def confusion_counts(
    truth: NDArray[np.integer], predicted: NDArray[np.integer], classes: Sequence[str]
) -> pd.DataFrame:
    """Confusion matrix, shape (K, K): rows are true classes, columns predicted classes.

    The columns are named `verdict`, an older word for the ensemble prediction that files keep.

    Args:
        truth: (n,) position of each clip's true class in `classes`.
        predicted: (n,) position of each clip's predicted class.
        classes: names of the K classes.

    Example:
        >>> confusion_counts(np.array([0, 0, 1]), np.array([0, 1, 1]), ["jazz", "rock"]).to_numpy().tolist()
        [[1, 1], [0, 1]]
    """
    counts = confusion_matrix(truth, predicted, len(classes)).astype(int)
    index = pd.Index(classes, name="true")
    return pd.DataFrame(counts, index=index, columns=pd.Index(classes, name="verdict"))


def main_confusions(counts: pd.DataFrame | None, limit: int = 3) -> list[Confusion]:
    """Most frequent confusions (true class, predicted class, number of clips), most frequent first.

    Args:
        counts: result of `confusion_counts`; None gives an empty list.
        limit: largest number of confusions.

    Example:
        >>> main_confusions(confusion_counts(np.array([0, 0, 1]), np.array([0, 1, 1]), ["jazz", "rock"]))
        [('jazz', 'rock', 1)]
    """
    if counts is None:
        return []
    wrong = counts.to_numpy().copy()
    np.fill_diagonal(wrong, 0)  # the diagonal counts the right predictions
    order = np.argsort(-wrong, axis=None, kind="stable")[:limit]
    result = []
    for position in order:
        i, j = np.unravel_index(position, wrong.shape)
        if wrong[i, j] > 0:
            result.append((str(counts.index[i]), str(counts.columns[j]), int(wrong[i, j])))
    return result


def correctness_and_confidence(predictions: Predictions) -> tuple[NDArray[np.bool_], NDArray[np.floating]]:
    """Data of the calibration error: whether each prediction is right, and its probability, `(n,)` each.

    A prediction is the most probable class of a labelled clip. For label sets, each pair of clip and tag
    counts: whether the clip has the tag, and the probability of the tag.
    """
    if predictions.multilabel:
        return predictions.indicator().ravel().astype(bool), predictions.probabilities.ravel()
    codes = predictions.codes()
    labelled = codes >= 0
    correct, confidence = top_label(codes[labelled], predictions.probabilities[labelled])
    return np.asarray(correct, dtype=bool), confidence
