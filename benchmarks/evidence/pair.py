"""A logistic regression and an SVM, out of fold by group: the members of the product, several times as fast.

Both depend on the distances of the rows alone. So the columns are turned to as many as there are rows before
a fit, and all machines of an SVM share one kernel.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.svm import SVC

from quintet.classifiers.tabular.members import LogisticRegressionMember
from quintet.classifiers.tabular.preparation import Preparation
from quintet.classifiers.tabular.svm import MarginClassifier
from quintet.datasets.splits.folds import grouped_folds, usable_folds

Matrix = NDArray[np.float64]


class SharedKernel:
    """A machine with the RBF kernel that shares the kernel with the other machines of the same rows.

    Args:
        kernels: kernels that were computed before, by the identity of their rows.
        C: inverse of the penalty.
    """

    def __init__(self, kernels: dict[tuple[int, int], Matrix], C: float) -> None:
        self.kernels, self.C = kernels, C

    def kernel(self, A: Matrix, B: Matrix) -> Matrix:
        """`exp(-gamma |a - b|²)`. The rows must live as long as the kernels."""
        if (id(A), id(B)) not in self.kernels:
            squares = (A**2).sum(axis=1)[:, None] + (B**2).sum(axis=1) - 2 * A @ B.T
            self.kernels[id(A), id(B)] = np.exp(-self.gamma * np.maximum(squares, 0))
        return self.kernels[id(A), id(B)]

    def fit(self, X: Matrix, y: NDArray[np.int64]) -> SharedKernel:
        """Fit on rows and classes 0 and 1."""
        self.X, self.gamma = X, len(X) / np.square(X).sum()
        machine = SVC(C=self.C, kernel="precomputed", class_weight="balanced", random_state=0)
        self.machine = machine.fit(self.kernel(X, X), y)
        return self

    def decision_function(self, X: Matrix) -> Matrix:
        """Decision values `(rows,)`."""
        return np.asarray(self.machine.decision_function(self.kernel(X, self.X)))


def predict_pair(X: Matrix, y: NDArray[np.int64], groups: NDArray[np.str_], seed: int) -> Matrix:
    """Out-of-fold probabilities of a logistic regression and of an SVM, `(2, n, K)`.

    Args:
        X: features `(n, d)`.
        y: classes as numbers from 0, `(n,)`.
        groups: groups, `(n,)`, none of which crosses a fold.
        seed: of the folds and of the members.
    """
    n_splits = min(5, usable_folds(y, groups.tolist()))
    probabilities = np.zeros((2, len(y), int(y.max()) + 1))
    for train, held_out in grouped_folds(y, groups.tolist(), n_splits=n_splits, seed=seed):
        prepared = Preparation(scale=True).fit(X[train])
        rows = prepared.transform(X)
        rows = turned(rows)
        inside, outside = np.ascontiguousarray(rows[train]), np.ascontiguousarray(rows[held_out])
        regression = LogisticRegressionMember(seed=seed)._fit_model(inside, y[train], groups[train])
        machines = fit_machines(inside, y[train], groups[train], seed)
        both = regression.predict_proba(outside), machines.predict_proba(outside)
        probabilities[:, held_out] = both
    return probabilities


def fit_machines(X: Matrix, y: NDArray[np.int64], groups: NDArray[np.str_], seed: int) -> MarginClassifier:
    """The SVM of the product, with shared kernels."""
    kept: list[Matrix] = []
    kernels: dict[tuple[int, int], Matrix] = {}

    class Machine(SharedKernel):
        """Keeps the rows, whose identities name the kernels."""

        def fit(self, X: Matrix, y: NDArray[np.int64]) -> SharedKernel:
            kept.append(X)
            return super().fit(X, y)

        def decision_function(self, X: Matrix) -> Matrix:
            kept.append(X)
            return super().decision_function(X)

    return MarginClassifier.from_training_data(
        lambda: Machine(kernels, C=10.0), X, y, groups=groups, calibration_folds=5, seed=seed
    )


def turned(rows: Matrix) -> Matrix:
    """Rows with the same products and distances, in at most as many columns as there are rows."""
    n, d = rows.shape
    if d <= n:
        return rows
    values, vectors = np.linalg.eigh(rows @ rows.T)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0)))
