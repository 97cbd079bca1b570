"""Four members that read a table of features: logistic regression, random forest, gradient boosting, support vectors.

Each is a scikit-learn estimator that holds its own preparation (gaps, useless columns, scaling), weighs classes as
'balanced' does (n / (classes · rows of the class)), and is reproducible from `seed` without touching any global state.

**One label per row**: `y` (rows,) of strings or integers; `classes_` sorted; `predict_proba` (rows, classes), rows sum to 1.
**Several labels per row**: `y` an indicator matrix (rows, tags) of 0 and 1, one column per tag: one classifier per tag against
the rest. `classes_` are the names given as `fit(…, classes=names)`, else the columns of a DataFrame `y`, else 0 … tags - 1;
`predict_proba` (rows, tags), each in [0, 1], rows do not sum to 1. A tag that every or no training row has gets the constant
`(rows with it + 0.5) / (rows + 1)`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC
from sklearn.utils import Tags
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    assert_all_finite,
    check_array,
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
    validate_data,
)

from quintet.classifiers.tabular.preparation import Preparation
from quintet.classifiers.tabular.svm import MarginClassifier
from quintet.datasets.groups import group_names
from quintet.errors import DatasetError

Matrix = NDArray[np.float64]
Positions = NDArray[np.int64]


class TableMember(ClassifierMixin, BaseEstimator, ABC):  # type: ignore[misc]
    """What the four members share: checks, labels, preparation, one-vs-rest for tags.

    Attributes:
        classes_: labels or tags. multilabel_ (bool). preparation_: the fitted `Preparation`.
        models_: one fitted classifier, or one per tag (None: constant). constants_ (tags,): their constants, NaN elsewhere.
    """

    member: ClassVar[str]
    scaled: ClassVar[bool]

    @abstractmethod
    def _fit_model(self, X: Matrix, y: Positions, groups: NDArray[np.str_] | None) -> Any:
        """A fitted classifier of the positions `y` (0 … classes - 1) whose `predict_proba` has one column per position."""

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.classifier_tags.multi_label = True
        return tags

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        groups: ArrayLike | None = None,
        *,
        classes: Sequence[str] | None = None,
    ) -> Self:
        """The member fitted on a table.

        Parameters:
            X: (rows, features), DataFrame or array of numbers; NaN and infinite values are gaps.
            y: (rows,) labels, or an indicator matrix (rows, tags).
            groups: (rows,) who belongs together; what is held out inside the fit shares no group with the rest.
            classes: names of the tags, for an indicator matrix.

        Raises:
            DatasetError: one class only, or no feature that varies. SplitLeakError: see `MarginClassifier`.
        """
        columns = getattr(y, "columns", None)
        table: Matrix = validate_data(self, X, dtype=np.float64, ensure_all_finite=False)
        names = None if groups is None else group_names(groups)
        check_consistent_length(table, y, names)
        shape = getattr(y, "shape", None) or np.asarray(y).shape
        if len(shape) == 2 and shape[1] > 1:
            return self._fit_tags(
                table, check_array(y, dtype=np.int64), names, columns if classes is None else classes
            )
        y = column_or_1d(y, warn=True)
        assert_all_finite(y, input_name="y")
        check_classification_targets(y)
        self.multilabel_ = False
        self.classes_, positions = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise DatasetError(
                f"A classifier needs at least two classes. Received one class only: {self.classes_[0]!r}. Add clips of another class."
            )
        self.preparation_ = Preparation(scale=self.scaled).fit(table)
        self.models_ = [
            self._fit_model(self.preparation_.transform(table), positions.astype(np.int64), names)
        ]
        self.constants_ = np.array([np.nan])
        return self

    def _fit_tags(
        self, X: Matrix, y: Positions, groups: NDArray[np.str_] | None, names: Sequence[str] | None
    ) -> Self:
        if not np.isin(y, (0, 1)).all():
            raise DatasetError(
                f"An indicator matrix must hold 0 and 1 only. Received values from {y.min()} to {y.max()}. Give labels (rows,) otherwise."
            )
        if names is not None and len(names) != y.shape[1]:
            raise DatasetError(
                f"There must be one name per tag. Received {len(names)} names for {y.shape[1]} columns."
            )
        self.multilabel_ = True
        self.classes_ = np.arange(y.shape[1]) if names is None else np.array([str(name) for name in names])
        self.preparation_ = Preparation(scale=self.scaled).fit(X)
        prepared, positives = self.preparation_.transform(X), y.sum(axis=0)
        self.constants_ = np.where(
            (positives == 0) | (positives == len(y)), (positives + 0.5) / (len(y) + 1), np.nan
        )
        self.models_ = [
            self._fit_model(prepared, y[:, k], groups) if np.isnan(constant) else None
            for k, constant in enumerate(self.constants_)
        ]
        return self

    def prepare(self, X: ArrayLike) -> Matrix:
        """The rows as the classifier sees them: (rows, `len(preparation_.kept)`) float64, finite; columns `prepared_names`."""
        check_is_fitted(self)
        return self.preparation_.transform(
            validate_data(self, X, dtype=np.float64, ensure_all_finite=False, reset=False)
        )

    @property
    def prepared_names(self) -> list[str]:
        """Names of the columns of `prepare(X)`; `feature_j` where the table had none."""
        names = getattr(self, "feature_names_in_", None)
        return [f"feature_{j}" if names is None else str(names[j]) for j in self.preparation_.kept]

    def predict_proba(self, X: ArrayLike) -> Matrix:
        """Probabilities (rows, classes) float64; rows sum to 1, or (rows, tags) each in [0, 1] where there are several labels per row."""
        prepared = self.prepare(X)
        if not self.multilabel_:
            probabilities = np.asarray(self.models_[0].predict_proba(prepared), dtype=np.float64)
            return np.asarray(probabilities / probabilities.sum(axis=1, keepdims=True))
        columns = [
            np.full(len(prepared), constant) if model is None else model.predict_proba(prepared)[:, 1]
            for model, constant in zip(self.models_, self.constants_, strict=True)
        ]
        return np.clip(np.column_stack(columns).astype(np.float64), 0.0, 1.0)

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """The most probable label (rows,), or the indicator matrix (rows, tags) of what is at least as likely as not."""
        probabilities = self.predict_proba(X)
        if self.multilabel_:
            return (probabilities >= 0.5).astype(np.int64)
        return np.asarray(self.classes_[probabilities.argmax(axis=1)])


class LogisticRegressionMember(TableMember):
    """Multinomial logistic regression on standardised features; `C` is the inverse of the L2 penalty.

    Example:
        >>> X, y = np.array([[0.0], [1.0], [2.0], [3.0]]), ["low", "low", "high", "high"]
        >>> LogisticRegressionMember().fit(X, y).predict([[0.2], [2.9]]).tolist()
        ['low', 'high']
    """

    member, scaled = "logistic_regression", True

    def __init__(self, *, C: float = 0.1, seed: int = 0) -> None:
        self.C = C
        self.seed = seed

    def _fit_model(self, X: Matrix, y: Positions, groups: NDArray[np.str_] | None) -> LogisticRegression:
        return LogisticRegression(
            C=self.C, class_weight="balanced", max_iter=2000, random_state=self.seed
        ).fit(X, y)


class RandomForestMember(TableMember):
    """A forest of trees on bootstrap samples (Breiman 2001); the same forest whatever `n_jobs` is."""

    member, scaled = "random_forest", False

    def __init__(
        self,
        *,
        n_estimators: int = 500,
        min_samples_split: int = 5,
        max_features: str | float = "sqrt",
        n_jobs: int | None = None,
        seed: int = 0,
    ) -> None:
        self.n_estimators = n_estimators
        self.min_samples_split = min_samples_split
        self.max_features = max_features
        self.n_jobs = n_jobs
        self.seed = seed

    def _fit_model(self, X: Matrix, y: Positions, groups: NDArray[np.str_] | None) -> RandomForestClassifier:
        settings = {
            "n_estimators": self.n_estimators,
            "min_samples_split": self.min_samples_split,
            "max_features": self.max_features,
        }
        return RandomForestClassifier(
            **settings, class_weight="balanced", n_jobs=self.n_jobs, random_state=self.seed
        ).fit(X, y)


class XGBoostMember(TableMember):
    """Gradient-boosted trees (Chen and Guestrin 2016) by histograms, each tree on a part of the rows and columns."""

    member, scaled = "xgboost", False

    def __init__(
        self,
        *,
        n_estimators: int = 200,
        max_depth: int = 4,
        learning_rate: float = 0.1,
        subsample: float = 0.7,
        colsample_bytree: float = 0.3,
        max_bin: int = 64,
        n_jobs: int | None = 1,
        seed: int = 0,
    ) -> None:
        self.n_estimators = n_estimators
        self.max_depth = max_depth
        self.learning_rate = learning_rate
        self.subsample = subsample
        self.colsample_bytree = colsample_bytree
        self.max_bin = max_bin
        self.n_jobs = n_jobs
        self.seed = seed

    def _fit_model(self, X: Matrix, y: Positions, groups: NDArray[np.str_] | None) -> Any:
        from xgboost import XGBClassifier

        settings = {name: value for name, value in self.get_params().items() if name != "seed"}
        model = XGBClassifier(**settings, tree_method="hist", random_state=self.seed)
        return model.fit(X, y, sample_weight=compute_sample_weight("balanced", y))


class SVMMember(TableMember):
    """Support vectors with an RBF kernel, `exp(-gamma · |a - b|²)`, one class against the rest, calibrated by group.

    `gamma="scale"` is 1 / (columns · variance). See `MarginClassifier` for the probabilities.
    """

    member, scaled = "svm", True

    def __init__(
        self, *, C: float = 10.0, gamma: str | float = "scale", calibration_folds: int = 5, seed: int = 0
    ) -> None:
        self.C = C
        self.gamma = gamma
        self.calibration_folds = calibration_folds
        self.seed = seed

    def _fit_model(self, X: Matrix, y: Positions, groups: NDArray[np.str_] | None) -> MarginClassifier:
        def new_machine() -> SVC:
            return SVC(
                C=self.C, gamma=self.gamma, class_weight="balanced", random_state=self.seed
            )  # without one it draws from the global generator

        return MarginClassifier.from_training_data(
            new_machine, X, y, groups=groups, calibration_folds=self.calibration_folds, seed=self.seed
        )
