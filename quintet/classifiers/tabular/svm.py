"""Support vector machines with probabilities, which are calibrated on groups that are held out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, log_expit, log_softmax, softmax

from quintet.datasets.groups import require_disjoint
from quintet.datasets.splits.folds import grouped_folds

Matrix = NDArray[np.float64]
Positions = NDArray[np.int64]
Fold = tuple[Positions, Positions]

CALIBRATION = "the calibration of the SVM"
"""What the folds of a calibration are for, in messages."""


class Machine(Protocol):
    """A fitted binary classifier with decision values, such as `sklearn.svm.SVC`."""

    def decision_function(self, X: Matrix) -> Matrix:
        """Decision values `(rows,)`; positive for class 1."""
        ...


class Learner(Protocol):
    """A binary classifier that becomes a `Machine`."""

    def fit(self, X: Matrix, y: Positions) -> Machine:
        """Fit on rows and classes 0 and 1."""
        ...


class MarginClassifier:
    """Classifier that turns the margins of support vector machines into calibrated probabilities.

    Each class has one machine against the rest. The calibration is fitted on decision values `d`
    `(rows, classes)` of `calibration_folds` grouped folds. The values of a fold come from machines that were
    fitted without its groups. The final machines are then fitted on all rows. With three or more classes
    `p = softmax(slope · d)` (temperature scaling: Guo et al., On calibration of modern neural networks, ICML
    2017, §4.2). With two classes `p = expit(slope · d + offset)` (Platt 1999, with his smoothed targets). If
    a class has fewer than two groups, no group can be held out, so `slope = 1` and `offset = 0`.

    Args:
        machines: one fitted machine per class, or a single one for two classes; None for a class without
            rows.
        slope: factor on the decision values.
        offset: number added to them; 0 for three or more classes.
    """

    def __init__(self, machines: Sequence[Machine | None], *, slope: float, offset: float) -> None:
        self.machines = list(machines)
        self.slope = slope
        self.offset = offset

    @classmethod
    def from_training_data(
        cls,
        new_machine: Callable[[], Learner],
        X: Matrix,
        y: Positions,
        *,
        groups: NDArray[np.str_] | None,
        calibration_folds: int,
        seed: int,
    ) -> MarginClassifier:
        """Fit and calibrate a classifier.

        Args:
            new_machine: makes an unfitted binary classifier.
            X: `(rows, features)`.
            y: `(rows,)` in 0 … classes - 1.
            groups: `(rows,)`. Default: every row is its own group.
            calibration_folds: number of folds, at least 2.
            seed: seed of the folds.

        Raises:
            SplitLeakError: if a group is on both sides of a calibration fold.
        """
        folds = held_out_groups(y, groups, n_splits=calibration_folds, seed=seed, where=CALIBRATION)
        n_classes = int(y.max()) + 1
        slope, offset = 1.0, 0.0
        if folds:
            held_out = np.zeros((len(y), 1 if n_classes == 2 else n_classes))
            for train, valid in folds:
                machines = _fit_machines(new_machine, X[train], y[train], n_classes)
                held_out[valid] = _decision_values(machines, X[valid])
            slope, offset = calibrate(held_out, y, n_classes)
        return cls(_fit_machines(new_machine, X, y, n_classes), slope=slope, offset=offset)

    def predict_proba(self, X: Matrix) -> Matrix:
        """Probabilities `(rows, classes)` float64; each row sums to 1."""
        decisions = _decision_values(self.machines, X)
        if decisions.shape[1] == 1:
            positive = expit(self.slope * decisions[:, 0] + self.offset)
            return np.column_stack([1.0 - positive, positive])
        return np.asarray(softmax(self.slope * decisions, axis=1))


def calibrate(decisions: Matrix, y: Positions, n_classes: int) -> tuple[float, float]:
    """Slope and offset of the probabilities.

    Args:
        decisions: decision values of rows that the machines have not seen, `(rows, classes)`, or `(rows, 1)`
            for two classes.
        y: `(rows,)` in 0 … classes - 1.
        n_classes: number of classes.
    """
    return _platt(decisions[:, 0], y) if n_classes == 2 else (_temperature(decisions, y), 0.0)


def held_out_groups(
    y: Positions, groups: NDArray[np.str_] | None, *, n_splits: int, seed: int, where: str
) -> list[Fold]:
    """Grouped folds (train, valid); none if a class has fewer than two groups.

    Args:
        y: `(rows,)` in 0 … classes - 1.
        groups: `(rows,)`. Default: every row is its own group.
        n_splits: number of folds, if the groups of the rarest class suffice.
        seed: seed of the folds.
        where: what the folds are for, in the message.

    Raises:
        SplitLeakError: if a group is on both sides of a fold.
    """
    row_groups = np.arange(len(y)).astype(str) if groups is None else groups
    groups_per_class = [len(np.unique(row_groups[y == k])) for k in np.unique(y)]
    n_splits = min(n_splits, *groups_per_class)
    if n_splits < 2:
        return []
    folds = grouped_folds(y, row_groups.tolist(), n_splits=n_splits, seed=seed)
    for train, valid in folds:
        require_disjoint(row_groups[train], row_groups[valid], where=where)
    return [(train, valid) for train, valid in folds if len(train) and len(valid)]


def _fit_machines(
    new_machine: Callable[[], Learner], X: Matrix, y: Positions, n_classes: int
) -> list[Machine | None]:
    """One machine per class against the rest; None for a class without rows, or without other rows."""
    positives = [y == 1] if n_classes == 2 else [y == k for k in range(n_classes)]
    machines: list[Machine | None] = []
    for is_positive in positives:
        has_both_sides = 0 < is_positive.sum() < len(y)
        machines.append(new_machine().fit(X, is_positive.astype(np.int64)) if has_both_sides else None)
    return machines


def _decision_values(machines: Sequence[Machine | None], X: Matrix) -> Matrix:
    """Decision values `(rows, machines)`; -1 for a missing machine."""
    columns = [
        np.full(len(X), -1.0) if machine is None else machine.decision_function(X) for machine in machines
    ]
    return np.column_stack(columns)


def _temperature(decisions: Matrix, y: Positions) -> float:
    """Slope for which the log loss of `softmax(slope · decisions)` is lowest."""

    def log_loss(log_slope: float) -> float:
        log_probabilities = log_softmax(np.exp(log_slope) * decisions, axis=1)
        return -float(log_probabilities[np.arange(len(y)), y].mean())

    best = minimize_scalar(log_loss, bounds=(-3.0, 4.0), method="bounded")
    return float(np.exp(best.x))


def _platt(decisions: Matrix, y: Positions) -> tuple[float, float]:
    """Slope (> 0) and offset of `expit(slope · decisions + offset)`, with Platt's smoothed targets."""
    n_positive = int(y.sum())
    n_negative = int(len(y) - y.sum())
    target_of_positive = (n_positive + 1) / (n_positive + 2)
    target_of_negative = 1 / (n_negative + 2)
    target = np.where(y == 1, target_of_positive, target_of_negative)

    def log_loss(parameters: Matrix) -> float:
        log_slope, offset = parameters
        z = np.exp(log_slope) * decisions + offset
        if_positive = target * log_expit(z)
        if_negative = (1 - target) * log_expit(-z)
        return -float((if_positive + if_negative).mean())

    bounds = [(-3.0, 4.0), (-20.0, 20.0)]
    best = minimize(log_loss, np.zeros(2), method="L-BFGS-B", bounds=bounds)
    log_slope, offset = best.x
    return float(np.exp(log_slope)), float(offset)
