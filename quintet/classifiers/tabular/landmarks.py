"""Support vector machines of many rows: the kernel of some rows, the landmarks, stands for that of all rows.

An exact machine takes time with the square of the rows. Here the function is

    f(x) = Σ_j a[j] exp(-gamma |x - l[j]|²) + b

with m landmarks l, which are drawn among the rows without their labels (Nyström's approximation). Its
coefficients minimise

    aᵀ K a + C Σ_i w[i] (t[i] - f(x[i]))²

where K is the kernel of the landmarks, t is 1 for the class and -1 for the rest, and w is the balanced
weight. The squares have a closed solution: time grows with the rows, and all machines of all calibration
folds share one sum over the rows. With the hinge loss (LinearSVC) on the same landmarks, scores are no better
and the time is four times as long (docs/scaling.md).

Source: Williams and Seeger, Using the Nyström method to speed up kernel machines (NIPS 2001); Suykens and
Vandewalle, Least squares support vector machine classifiers (Neural Processing Letters 9, 1999).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, solve

from quintet.classifiers.array_files import StoredArray
from quintet.classifiers.tabular.svm import Fold, MarginClassifier, Matrix, Positions, calibrate
from quintet.files.untrusted.arrays import ArrayRule

BLOCK_NUMBERS = 1 << 23
"""Numbers of the kernel that are in memory at a time."""

JITTER = 1e-7
"""Share of the mean diagonal that is added to it, so that near-equal landmarks get no huge coefficients."""


class LandmarkMachine:
    """A fitted machine of landmarks. Its attributes are those of a fitted `sklearn.svm.SVC`.

    Args:
        landmarks: `(m, columns)`; machines of one classifier share this array.
        coefficients: `(m,)`.
        intercept: b.
        gamma: factor in the kernel.

    Example:
        >>> machine = LandmarkMachine(np.zeros((1, 2)), np.array([2.0]), intercept=-1.0, gamma=1.0)
        >>> machine.decision_function(np.zeros((1, 2))).tolist()
        [1.0]
    """

    def __init__(self, landmarks: Matrix, coefficients: Matrix, *, intercept: float, gamma: float) -> None:
        self.support_vectors_ = landmarks
        self.support_ = np.arange(len(landmarks))
        self.dual_coef_ = coefficients[None]
        self.intercept_ = np.array([intercept])
        self._gamma = gamma

    def decision_function(self, X: Matrix) -> Matrix:
        """Decision values `(rows,)`."""
        values = _weighted_kernel(X, self.support_vectors_, self._gamma, self.dual_coef_.T)
        return np.asarray(values[:, 0] + self.intercept_[0])


def fit_landmark_machines(
    X: Matrix,
    y: Positions,
    folds: Sequence[Fold],
    *,
    C: float,
    gamma: str | float,
    n_landmarks: int,
    seed: int,
) -> MarginClassifier:
    """Fit and calibrate a classifier of landmarks, as `MarginClassifier.from_training_data` does.

    The landmarks are the same in all calibration folds, because they are drawn without the labels.

    Args:
        X: `(rows, columns)`, standardised.
        y: `(rows,)` in 0 … classes - 1.
        folds: calibration folds; none if no group can be held out.
        C: inverse of the penalty.
        gamma: factor in the kernel; `"scale"` is 1 / (columns · variance).
        n_landmarks: m; at most all rows are landmarks.
        seed: decides the landmarks.
    """
    n_classes = int(y.max()) + 1
    width = 1.0 / (X.shape[1] * float(X.var())) if isinstance(gamma, str) else float(gamma)
    drawn = np.random.default_rng(seed).choice(len(X), size=min(n_landmarks, len(X)), replace=False)
    system = _System.build(X, y, folds, X[np.sort(drawn)], gamma=width, penalty=1.0 / C)
    positives = [1] if n_classes == 2 else list(range(n_classes))
    solutions = [system.solve(k) for k in positives]  # per class, one solution per fold and one of all rows
    held_out = np.full((len(X), len(positives)), -1.0)
    for f, (_, valid) in enumerate(folds):
        found = {j: solution[f] for j, solution in enumerate(solutions)}
        known = {j: solution for j, solution in found.items() if solution is not None}
        if known:
            columns = np.column_stack(list(known.values()))
            values = _weighted_kernel(X[valid], system.landmarks, width, columns[:-1])
            held_out[np.ix_(valid, np.array(list(known)))] = values + columns[-1]
    machines = [
        None
        if solution[-1] is None
        else LandmarkMachine(
            system.landmarks, solution[-1][:-1], intercept=float(solution[-1][-1]), gamma=width
        )
        for solution in solutions
    ]
    slope, offset = calibrate(held_out, y, n_classes) if folds else (1.0, 0.0)
    return MarginClassifier(machines, slope=slope, offset=offset)


def has_landmarks(classifier: MarginClassifier) -> bool:
    """Whether the machines of a classifier are machines of landmarks."""
    return any(isinstance(machine, LandmarkMachine) for machine in classifier.machines)


def landmark_arrays(classifier: MarginClassifier) -> dict[str, StoredArray]:
    """The fitted numbers of a classifier of landmarks. A missing machine is one that always gives -1.

    Args:
        classifier: see `has_landmarks`.
    """
    machines = [machine for machine in classifier.machines if isinstance(machine, LandmarkMachine)]
    landmarks = machines[0].support_vectors_
    missing = LandmarkMachine(landmarks, np.zeros(len(landmarks)), intercept=-1.0, gamma=0.0)
    every = [machine if isinstance(machine, LandmarkMachine) else missing for machine in classifier.machines]
    return {
        "landmarks": landmarks,
        "coefficients": np.concatenate([machine.dual_coef_ for machine in every]),
        "intercepts": np.concatenate([machine.intercept_ for machine in every]),
        "gamma": np.asarray(machines[0]._gamma),
    }


def landmark_rules(n_columns: int, n_machines: int) -> dict[str, ArrayRule]:
    """What these arrays may be.

    Args:
        n_columns: prepared columns of the table.
        n_machines: one per class, or one for two classes.
    """
    return {
        "landmarks": ArrayRule("f", (None, n_columns)),
        "coefficients": ArrayRule("f", (n_machines, None)),
        "intercepts": ArrayRule("f", (n_machines,)),
        "gamma": ArrayRule("f", ()),
    }


def restore_landmarks(arrays: Mapping[str, StoredArray], *, slope: float, offset: float) -> MarginClassifier:
    """The classifier of `landmark_arrays`.

    Args:
        arrays: they keep `landmark_rules`.
        slope: of the calibration.
        offset: of the calibration.
    """
    landmarks, coefficients, intercepts = (
        arrays[name].astype(np.float64) for name in ("landmarks", "coefficients", "intercepts")
    )
    machines = [
        LandmarkMachine(landmarks, own, intercept=float(intercept), gamma=float(arrays["gamma"]))
        for own, intercept in zip(coefficients, intercepts, strict=True)
    ]
    return MarginClassifier(machines, slope=slope, offset=offset)


@dataclass(frozen=True, eq=False)
class _System:
    """Sums over the rows from which every machine is solved. m + 1: the landmarks, and 1 for the intercept.

    Args:
        X: the rows.
        y: their classes.
        fold_of_row: `(rows,)`, number of the fold that holds out each row.
        landmarks: `(m, columns)`.
        gamma: factor in the kernel.
        penalties: `(m + 1, m + 1)`, kernel of the landmarks divided by C.
        totals: per fold, the sum of products of its rows, `(m + 1, m + 1)`.
    """

    X: Matrix
    y: Positions
    fold_of_row: Positions
    landmarks: Matrix
    gamma: float
    penalties: Matrix
    totals: list[Matrix]

    @classmethod
    def build(
        cls,
        X: Matrix,
        y: Positions,
        folds: Sequence[Fold],
        landmarks: Matrix,
        *,
        gamma: float,
        penalty: float,
    ) -> _System:
        """Add up the products of the rows of each fold, and of the rows that no fold holds out."""
        fold_of_row = np.full(len(y), len(folds), dtype=np.int64)
        for f, (_, valid) in enumerate(folds):
            fold_of_row[valid] = f
        m = len(landmarks)
        penalties = np.zeros((m + 1, m + 1))
        penalties[:m, :m] = penalty * _kernel(landmarks, landmarks, gamma)
        system = cls(X, y, fold_of_row, landmarks, gamma, penalties, [])
        system.totals.extend(system._products(fold_of_row == f) for f in range(len(folds) + 1))
        return system

    def _products(self, is_used: NDArray[np.bool_]) -> Matrix:
        """Sum of `[k, 1]ᵀ [k, 1]` over some rows, where k is the kernel of a row and the landmarks."""
        m = len(self.landmarks)
        total = np.zeros((m + 1, m + 1))
        rows = np.flatnonzero(is_used)
        for part in _blocks(rows, m):
            kernel = np.ones((len(part), m + 1))
            kernel[:, :m] = _kernel(self.X[part], self.landmarks, self.gamma)
            total += kernel.T @ kernel
        return total

    def solve(self, k: int) -> list[Matrix | None]:
        """Coefficients and intercept `(m + 1,)` of class k against the rest.

        Returns:
            One solution per fold, without the rows that it holds out, and the solution of all rows. None
            where all rows are of the class, or none.
        """
        own = [self._products((self.fold_of_row == f) & (self.y == k)) for f in range(len(self.totals))]
        all_own, every = np.sum(own, axis=0), np.sum(self.totals, axis=0)
        solutions = [
            self._solve(all_own - mine, every - total)
            for mine, total in zip(own[:-1], self.totals[:-1], strict=True)
        ]
        return [*solutions, self._solve(all_own, every)]

    def _solve(self, own: Matrix, every: Matrix) -> Matrix | None:
        """The solution from the sums of products of the rows of a class, and of all rows."""
        n_own, n_rows = round(own[-1, -1]), round(every[-1, -1])
        if not 0 < n_own < n_rows:
            return None
        rest = every - own
        weight, rest_weight = n_rows / (2 * n_own), n_rows / (2 * (n_rows - n_own))
        target = weight * own[:, -1] - rest_weight * rest[:, -1]
        rest *= rest_weight
        rest += weight * own
        rest += self.penalties
        jitter = JITTER * float(np.trace(rest)) / len(rest)
        diagonal = np.einsum("ii->i", rest)
        for _ in range(6):
            diagonal += jitter
            try:
                return np.asarray(solve(rest, target, assume_a="pos", check_finite=False))
            except LinAlgError:
                jitter *= 10.0
        raise LinAlgError("the sums of products of the landmarks have no solution")


def _kernel(rows: Matrix, landmarks: Matrix, gamma: float) -> Matrix:
    """`exp(-gamma |row - landmark|²)`, `(rows, landmarks)`."""
    squares = np.einsum("ij,ij->i", landmarks, landmarks)
    own = np.einsum("ij,ij->i", rows, rows)
    distances = rows @ landmarks.T
    distances *= -2.0
    distances += own[:, None]
    distances += squares
    np.maximum(distances, 0.0, out=distances)
    distances *= -gamma
    return np.asarray(np.exp(distances, out=distances))


def _weighted_kernel(rows: Matrix, landmarks: Matrix, gamma: float, weights: Matrix) -> Matrix:
    """Kernel of rows and landmarks times weights `(landmarks, columns)`, block by block."""
    parts = [
        _kernel(rows[part], landmarks, gamma) @ weights
        for part in _blocks(np.arange(len(rows)), len(landmarks))
    ]
    return np.concatenate(parts) if parts else np.empty((0, weights.shape[1]))


def _blocks(rows: Positions, n_landmarks: int) -> list[Positions]:
    """Rows in parts whose kernels have at most `BLOCK_NUMBERS` numbers."""
    size = max(1, BLOCK_NUMBERS // max(1, n_landmarks))
    return [rows[begin : begin + size] for begin in range(0, len(rows), size)]
