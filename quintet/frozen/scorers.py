"""Fitted classifiers of prepared rows as plain arrays: linear, forest, boosted trees, support vectors.

Each gives the numbers of the classifier that it was made from: scikit-learn's, XGBoost's, libsvm's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from quintet.files.untrusted.arrays import ArrayRule, StoredArray
from quintet.frozen.trees import Trees

Floats = NDArray[np.float64]
Arrays = Mapping[str, StoredArray]
Rules = dict[str, ArrayRule]

KERNEL_NUMBERS = 1 << 22
"""Numbers of the kernel matrix that are in memory at a time."""


class Scorer(Protocol):
    """A fitted classifier of prepared rows."""

    def probabilities(self, rows: Floats) -> Floats:
        """Probabilities `(n, classes)` of prepared rows `(n, columns)`."""
        ...

    def arrays(self) -> dict[str, StoredArray]:
        """The fitted numbers, by name."""
        ...

    @classmethod
    def rules(cls, n_columns: int | None, n_classes: int) -> Rules:
        """What these arrays may be, for so many columns (None: any number) and classes."""
        ...

    @classmethod
    def restore(cls, arrays: Arrays, n_columns: int, n_classes: int) -> Self:
        """The classifier of stored arrays.

        Raises:
            ValueError: the arrays do not fit each other.
            KeyError: an array is missing.
        """
        ...


def softmax(values: Floats) -> Floats:
    """Exponentials of each row, divided by their sum.

    Example:
        >>> softmax(np.array([[0.0, 0.0], [1000.0, 0.0]])).tolist()
        [[0.5, 0.5], [1.0, 0.0]]
    """
    powers = np.exp(values - values.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def logistic(values: Floats) -> Floats:
    """1 / (1 + exp(-x)), without overflow.

    Example:
        >>> logistic(np.array([0.0, -1000.0])).tolist()
        [0.5, 0.0]
    """
    smaller = np.exp(-np.abs(values))
    return np.asarray(np.where(values >= 0, 1.0, smaller) / (1.0 + smaller))


def two_columns(positive: Floats) -> Floats:
    """Probabilities of the second of two classes `(n,)` as those of both, `(n, 2)`."""
    return np.column_stack([1.0 - positive, positive])


@dataclass(frozen=True, eq=False)
class Linear:
    """Logistic regression.

    Args:
        coefficients: `(classes, columns)`; one row for two classes.
        intercepts: `(classes,)`; one for two classes.
    """

    coefficients: Floats
    intercepts: Floats

    def scores(self, rows: Floats) -> Floats:
        """Log-odds before the softmax, `(n, classes)`; of two classes one column."""
        return np.asarray(rows @ self.coefficients.T + self.intercepts)

    def probabilities(self, rows: Floats) -> Floats:
        """Softmax of the scores; for two classes the logistic function."""
        scores = self.scores(rows)
        return two_columns(logistic(scores[:, 0])) if scores.shape[1] == 1 else softmax(scores)

    def arrays(self) -> dict[str, StoredArray]:
        """The fitted numbers, by name."""
        return {"coefficients": self.coefficients, "intercepts": self.intercepts}

    @classmethod
    def rules(cls, n_columns: int | None, n_classes: int) -> Rules:
        """What these arrays may be."""
        n_scores = _n_scores(n_classes)
        return {
            "coefficients": ArrayRule("f", (n_scores, n_columns)),
            "intercepts": ArrayRule("f", (n_scores,)),
        }

    @classmethod
    def restore(cls, arrays: Arrays, n_columns: int, n_classes: int) -> Self:
        """The classifier of stored arrays."""
        return cls(_floats(arrays["coefficients"]), _floats(arrays["intercepts"]))


@dataclass(frozen=True, eq=False)
class Forest:
    """Random forest: the mean of the class shares in the leaves.

    Args:
        trees: the trees; the number of a leaf is its row in `shares`.
        shares: shares of the classes in each leaf, `(leaves, classes)`.
    """

    trees: Trees
    shares: Floats

    def probabilities(self, rows: Floats) -> Floats:
        """The mean over the trees."""
        with np.errstate(over="ignore"):
            narrow = rows.astype(np.float32)
        leaves = self.trees.column[self.trees.leaves(narrow)]
        total = np.zeros((len(rows), self.shares.shape[1]))
        for leaf in leaves.T:
            total += self.shares[leaf]
        return np.asarray(total / leaves.shape[1])

    def arrays(self) -> dict[str, StoredArray]:
        """The fitted numbers, by name."""
        return {**self.trees.arrays(), "shares": self.shares}

    @classmethod
    def rules(cls, n_columns: int | None, n_classes: int) -> Rules:
        """What these arrays may be."""
        return {**Trees.rules(), "shares": ArrayRule("f", (None, n_classes))}

    @classmethod
    def restore(cls, arrays: Arrays, n_columns: int, n_classes: int) -> Self:
        """The classifier of stored arrays."""
        shares = _floats(arrays["shares"])
        if (shares < 0).any() or (np.abs(shares.sum(axis=1) - 1) > 1e-6).any():
            raise ValueError("a leaf whose shares of the classes do not sum to 1")
        trees = Trees.restore(
            arrays, n_columns=n_columns, n_leaf_numbers=len(shares), inclusive=True, wide=True
        )
        return cls(trees, shares)


@dataclass(frozen=True, eq=False)
class Boosted:
    """Gradient-boosted trees: sums of leaves in float32 and in the order of the trees, as XGBoost does it.

    Args:
        trees: the trees; the threshold of a leaf is its value.
        group: score that each tree adds to, `(T,)`.
        base: the scores before the first tree, `(classes,)`; one for two classes.
    """

    trees: Trees
    group: NDArray[np.int32]
    base: NDArray[np.float32]

    def scores(self, rows: Floats) -> Floats:
        """Log-odds before the softmax, `(n, classes)`; of two classes one column."""
        with np.errstate(over="ignore"):
            narrow = rows.astype(np.float32)
        values = self.trees.threshold[self.trees.leaves(narrow)]
        scores = np.tile(self.base, (len(rows), 1))
        for tree, score in enumerate(self.group):
            scores[:, score] += values[:, tree]
        return _floats(scores)

    def probabilities(self, rows: Floats) -> Floats:
        """Softmax of the scores; for two classes the logistic function."""
        wide = self.scores(rows)
        return two_columns(logistic(wide[:, 0])) if wide.shape[1] == 1 else softmax(wide)

    def arrays(self) -> dict[str, StoredArray]:
        """The fitted numbers, by name."""
        return {**self.trees.arrays(), "group": self.group, "base": self.base}

    @classmethod
    def rules(cls, n_columns: int | None, n_classes: int) -> Rules:
        """What these arrays may be. The value of a leaf is a threshold, and finite."""
        return {
            **Trees.rules(),
            "group": ArrayRule("i", (None,)),
            "base": ArrayRule("f", (_n_scores(n_classes),)),
        }

    @classmethod
    def restore(cls, arrays: Arrays, n_columns: int, n_classes: int) -> Self:
        """The classifier of stored arrays."""
        trees = Trees.restore(arrays, n_columns=n_columns, n_leaf_numbers=1, inclusive=False, wide=False)
        group, base = arrays["group"].astype(np.int32), arrays["base"].astype(np.float32)
        is_leaf = trees.left == np.arange(len(trees.left))
        if len(group) != len(trees.roots) or group.min() < 0 or group.max() >= len(base):
            raise ValueError("a boosted tree without a score")
        if not np.isfinite(trees.threshold[is_leaf]).all() or not np.isfinite(base).all():
            raise ValueError("a leaf or a base whose value is not finite")
        return cls(trees, group, base)


@dataclass(frozen=True, eq=False)
class Machine:
    """One support vector machine with the RBF kernel.

    Args:
        vectors: its support vectors, `(S, columns)`.
        weights: their weights, `(S,)`.
        offset: number added to the decision value.
        gamma: factor in the kernel.
    """

    vectors: Floats
    weights: Floats
    offset: float
    gamma: float

    def decision_function(self, rows: Floats) -> Floats:
        """Decision values `(n,)`."""
        machines = Machines(
            self.vectors, self.weights[None], np.array([self.offset]), self.gamma, np.zeros(2)
        )
        return machines.scores(rows)[:, 0]


@dataclass(frozen=True, eq=False)
class Machines:
    """Support vector machines with the RBF kernel, and the calibration of their decision values.

    Args:
        vectors: support vectors of all machines, each once, `(S, columns)`.
        weights: weight of each vector in each machine, `(machines, S)`; 0 if it is none of its vectors.
        offsets: number added to each decision value, `(machines,)`.
        gamma: factor in the kernel.
        calibration: slope and offset, `(2,)`, see `quintet.classifiers.tabular.svm.MarginClassifier`.
        names: names of the arrays in the file.
    """

    vectors: Floats
    weights: Floats
    offsets: Floats
    gamma: float
    calibration: Floats

    names: ClassVar[tuple[str, ...]] = ("vectors", "weights", "offsets", "gamma", "calibration")

    def probabilities(self, rows: Floats) -> Floats:
        """Softmax of the scaled decision values; for two classes the logistic function."""
        slope, offset = self.calibration
        decisions = self.scores(rows)
        if decisions.shape[1] == 1:
            return two_columns(logistic(slope * decisions[:, 0] + offset))
        return softmax(slope * decisions)

    @property
    def machines(self) -> list[Machine | None]:
        """The machines one by one; None for one without vectors, which always gives -1."""
        machines: list[Machine | None] = []
        for own, offset in zip(self.weights, self.offsets, strict=True):
            used = own != 0
            vectors = self.vectors if used.all() else self.vectors[used]  # the same array: shared landmarks
            machine = Machine(vectors, own[used], float(offset), self.gamma)
            machines.append(machine if used.any() else None)
        return machines

    def scores(self, rows: Floats) -> Floats:
        """Decision values before the calibration, `(n, machines)`."""
        squares = np.einsum("ij,ij->i", self.vectors, self.vectors)
        n_rows = max(1, KERNEL_NUMBERS // max(1, len(squares)))
        parts = []
        for begin in range(0, len(rows), n_rows):
            block = rows[begin : begin + n_rows]
            own_squares = np.einsum("ij,ij->i", block, block)
            distances = own_squares[:, None] + squares - 2.0 * (block @ self.vectors.T)
            kernel = np.exp(-self.gamma * np.maximum(distances, 0.0))
            parts.append(kernel @ self.weights.T + self.offsets)
        return np.concatenate(parts) if parts else np.empty((0, len(self.offsets)))

    def arrays(self) -> dict[str, StoredArray]:
        """The fitted numbers, by name."""
        return {name: np.asarray(getattr(self, name)) for name in self.names}

    @classmethod
    def rules(cls, n_columns: int | None, n_classes: int) -> Rules:
        """What these arrays may be."""
        n_machines = _n_scores(n_classes)
        return {
            "vectors": ArrayRule("f", (None, n_columns)),
            "weights": ArrayRule("f", (n_machines, None)),
            "offsets": ArrayRule("f", (n_machines,)),
            "gamma": ArrayRule("f", ()),
            "calibration": ArrayRule("f", (2,)),
        }

    @classmethod
    def restore(cls, arrays: Arrays, n_columns: int, n_classes: int) -> Self:
        """The classifier of stored arrays."""
        vectors, weights, offsets, gamma, calibration = (_floats(arrays[name]) for name in cls.names)
        if weights.shape[1] != len(vectors) or gamma < 0:
            raise ValueError("support vectors without one weight each, or a kernel that grows")
        return cls(vectors, weights, offsets, float(gamma), calibration)


SCORERS: dict[str, type[Linear] | type[Forest] | type[Boosted] | type[Machines]] = {
    "logistic_regression": Linear,
    "random_forest": Forest,
    "xgboost": Boosted,
    "svm": Machines,
}
"""Kind of a table member → its classifier as arrays."""


def _n_scores(n_classes: int) -> int:
    return 1 if n_classes == 2 else n_classes


def _floats(values: StoredArray) -> Floats:
    return values.astype(np.float64)
