"""A support vector machine whose probabilities are calibrated on rows of other groups than those it was fitted on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, log_expit, log_softmax, softmax

from quintet.datasets.groups import require_disjoint
from quintet.datasets.splits.folds import grouped_folds

Matrix = NDArray[np.float64]
Positions = NDArray[np.int64]


class MarginClassifier:
    """One-vs-rest margins → probabilities, through a calibration that was learnt out of fold.

    The decision values `d` (rows, classes) of `calibration_folds` grouped folds, each from machines that saw no row of the
    fold's groups, fit the calibration; the machines that are kept are then fitted on all rows. With three or more classes
    `p = softmax(slope · d)` (temperature scaling: Guo et al., On calibration of modern neural networks, ICML 2017, §4.2);
    with two `p = expit(slope · d + offset)` (Platt 1999, with his smoothed targets). Where a class lies in fewer than two
    groups nothing can be held out: then `slope = 1`, `offset = 0`.

    Parameters:
        new_machine: makes an unfitted binary classifier with `fit` and `decision_function`.
        n_classes: >= 2. calibration_folds: >= 2. seed: of the folds.

    Attributes:
        machines: one per class, or a single one with two classes. slope, offset: the calibration.

    Raises:
        SplitLeakError: a group would stand on both sides of a calibration fold.
    """

    def __init__(self, machines: Sequence[object], *, slope: float, offset: float) -> None:
        self.machines = list(machines)
        self.slope = slope
        self.offset = offset

    @classmethod
    def from_training_data(
        cls,
        new_machine: Callable[[], object],
        X: Matrix,
        y: Positions,
        *,
        groups: NDArray[np.str_] | None,
        calibration_folds: int,
        seed: int,
    ) -> MarginClassifier:
        """The classifier fitted on `X` (rows, features) and `y` (rows,) in 0 … classes - 1, calibrated by `groups` (rows,)."""
        folds = _calibration_folds(y, groups, n_splits=calibration_folds, seed=seed)
        n_classes = int(y.max()) + 1
        slope, offset = 1.0, 0.0
        if folds:
            held_out = np.zeros((len(y), 1 if n_classes == 2 else n_classes))
            for train, valid in folds:
                held_out[valid] = _decisions(
                    _fit_machines(new_machine, X[train], y[train], n_classes), X[valid]
                )
            slope, offset = _platt(held_out[:, 0], y) if n_classes == 2 else (_temperature(held_out, y), 0.0)
        return cls(_fit_machines(new_machine, X, y, n_classes), slope=slope, offset=offset)

    def predict_proba(self, X: Matrix) -> Matrix:
        """Probabilities (rows, classes) float64, each row summing to 1."""
        decisions = _decisions(self.machines, X)
        if decisions.shape[1] == 1:
            positive = expit(self.slope * decisions[:, 0] + self.offset)
            return np.column_stack([1.0 - positive, positive])
        return np.asarray(softmax(self.slope * decisions, axis=1))


def _calibration_folds(
    y: Positions, groups: NDArray[np.str_] | None, *, n_splits: int, seed: int
) -> list[tuple[Positions, Positions]]:
    own = np.arange(len(y)).astype(str) if groups is None else groups
    n_splits = min(n_splits, *(len(np.unique(own[y == k])) for k in np.unique(y)))
    if n_splits < 2:
        return []
    folds = grouped_folds(y, own.tolist(), n_splits=n_splits, seed=seed)
    for train, valid in folds:
        require_disjoint(own[train], own[valid], where="the calibration of the SVM")
    return [(train, valid) for train, valid in folds if len(train) and len(valid)]


def _fit_machines(new_machine: Callable[[], object], X: Matrix, y: Positions, n_classes: int) -> list[object]:
    """One machine per class against the rest; None for a class without rows, or without a rest."""
    targets = [y == 1] if n_classes == 2 else [y == k for k in range(n_classes)]
    machines: list[object] = []
    for target in targets:
        is_mixed = 0 < target.sum() < len(y)
        machines.append(new_machine().fit(X, target.astype(np.int64)) if is_mixed else None)  # type: ignore[attr-defined]
    return machines


def _decisions(machines: Sequence[object], X: Matrix) -> Matrix:
    columns: list[Matrix] = []
    for machine in machines:
        no_machine = np.full(len(X), -1.0)
        columns.append(no_machine if machine is None else machine.decision_function(X))  # type: ignore[attr-defined]
    return np.column_stack(columns)


def _temperature(decisions: Matrix, y: Positions) -> float:
    """The slope that makes `softmax(slope · decisions)` least surprised by `y`."""

    def surprise(log_slope: float) -> float:
        return -float(log_softmax(np.exp(log_slope) * decisions, axis=1)[np.arange(len(y)), y].mean())

    return float(np.exp(minimize_scalar(surprise, bounds=(-3.0, 4.0), method="bounded").x))


def _platt(decisions: NDArray[np.float64], y: Positions) -> tuple[float, float]:
    """Slope (> 0) and offset of `expit(slope · decisions + offset)`, with Platt's smoothed targets."""
    positive, negative = int(y.sum()), int(len(y) - y.sum())
    target = np.where(y == 1, (positive + 1) / (positive + 2), 1 / (negative + 2))

    def surprise(p: NDArray[np.float64]) -> float:
        z = np.exp(p[0]) * decisions + p[1]
        return -float((target * log_expit(z) + (1 - target) * log_expit(-z)).mean())

    best = minimize(surprise, np.zeros(2), method="L-BFGS-B", bounds=[(-3.0, 4.0), (-20.0, 20.0)])
    return float(np.exp(best.x[0])), float(best.x[1])
