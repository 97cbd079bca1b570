"""Table members, the classifiers of feature tables in the ensemble. There are four kinds.

They are logistic regression, random forest, gradient boosting and support vector machine. Each is a
scikit-learn estimator. It prepares its table itself: it fills gaps (missing values), drops useless columns
and, if its kind needs that, scales the rest. The weight of a class is `rows / (classes · rows of the class)`,
which scikit-learn calls 'balanced'. The result depends only on the data and on `seed`, not on any global
state.

**One label per row.** `y` `(rows,)` holds strings or integers; `classes_` are sorted; the rows of
`predict_proba` `(rows, classes)` sum to 1.

**Several labels per row (tags).** `y` is an indicator matrix `(rows, tags)` of 0 and 1. One classifier is
fitted per tag: rows with the tag against rows without it. `classes_` are the names given as
`fit(…, classes=names)`, otherwise the columns of a DataFrame `y`, otherwise 0 … tags - 1. The values of
`predict_proba` `(rows, tags)` lie in [0, 1], and rows do not sum to 1. If all training rows have a tag, or
none has it, no classifier is fitted. The probability of the tag is then the constant
`(rows with the tag + 0.5) / (rows + 1)`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Protocol, Self

import numpy as np
import pandas as pd
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

from quintet.classifiers.labels import (
    Labels,
    allow_many_classes,
    encode_labels,
    most_probable_labels,
    require_labels,
    tag_names,
)
from quintet.classifiers.tabular.early_stopping import fit_until_no_gain
from quintet.classifiers.tabular.landmarks import fit_landmark_machines
from quintet.classifiers.tabular.preparation import Preparation, fill_masked
from quintet.classifiers.tabular.svm import CALIBRATION, MarginClassifier, held_out_groups
from quintet.classifiers.views import embedding_positions, join_name, view_positions
from quintet.datasets.groups import group_names
from quintet.errors import DatasetError

Matrix = NDArray[np.float64]
Codes = NDArray[np.int64]
"""Class of each row as a number, 0 … K - 1; for tags, the indicator matrix."""
Groups = NDArray[np.str_]
Table = ArrayLike | pd.DataFrame


def ignore_large_sums() -> np.errstate:
    """Context in which numbers near the limit of float32 cause no warning.

    scikit-learn adds up all values of a table to find out whether one of them is NaN.
    """
    return np.errstate(over="ignore", invalid="ignore")


class FittedModel(Protocol):
    """A fitted classifier. It reads the columns that `Preparation` returns."""

    def predict_proba(self, X: Matrix) -> Matrix:
        """Probabilities `(rows, classes)`."""
        ...


class TableMember(ClassifierMixin, BaseEstimator, ABC):  # type: ignore[misc]
    """Base class of the table members: checks, labels, preparation, and one classifier per tag.

    A subclass defines `_fit_model`.

    Attributes:
        member: name of the kind in the registry of members.
        scaled: whether the columns are standardised.
        view: the columns that the member sees, see `quintet.classifiers.views`.
        classes_: labels or tags.
        multilabel_: whether a row has a label set (several tags) instead of one label.
        preparation_: the fitted `Preparation`.
        models_: one fitted classifier, or one per tag (None for a tag with a constant probability).
        constants_: constant probabilities of the tags, `(tags,)`; NaN for the others.
    """

    member: ClassVar[str]
    scaled: ClassVar[bool]
    view: str | None
    n_features_in_: int
    feature_names_in_: NDArray[np.object_]
    classes_: Labels
    multilabel_: bool
    preparation_: Preparation
    models_: list[FittedModel | None]
    constants_: Matrix

    @abstractmethod
    def _fit_model(self, X: Matrix, y: Codes, groups: Groups | None) -> FittedModel:
        """Fit a classifier of the codes `y` (0 … K - 1). Its `predict_proba` has one column per code."""

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.classifier_tags.multi_label = True
        return tags

    def fit(
        self,
        X: Table,
        y: ArrayLike,
        groups: ArrayLike | None = None,
        *,
        classes: Sequence[str] | None = None,
    ) -> Self:
        """Fit the member on a table.

        Args:
            X: `(rows, features)`, DataFrame or array of numbers; NaN and infinite values are gaps.
            y: labels `(rows,)`, or an indicator matrix `(rows, tags)`.
            groups: group of each row, `(rows,)`. If rows are held out during the fit (the SVM does so for its
                calibration), whole groups are held out.
            classes: names of the tags, for an indicator matrix.

        Raises:
            DatasetError: if there is one class only, no feature varies, or a row has no label.
            SplitLeakError: if a group is on both sides of a calibration fold (SVM only).
        """
        require_labels(y)
        X = fill_masked(X)
        table: Matrix = validate_data(self, X, dtype=np.float64, ensure_all_finite=False)
        row_groups = None if groups is None else group_names(groups)
        check_consistent_length(table, y, row_groups)
        shape = getattr(y, "shape", None) or np.asarray(y).shape
        if len(shape) == 2 and shape[1] > 1:
            names = getattr(y, "columns", None) if classes is None else classes
            return self._fit_tags(table, check_array(y), row_groups, names)
        with allow_many_classes():
            return self._fit_labels(table, column_or_1d(y, warn=True), row_groups)

    def _prepare_training(self, X: Matrix) -> Matrix:
        """Learn the preparation of the columns of the view, and prepare the training rows."""
        names = getattr(self, "feature_names_in_", None)
        if names is None and self.view is not None:
            raise DatasetError(
                f"A member with a view must have a table with names of columns. Received an array for "
                f"'{join_name(self.member, self.view)}': give a DataFrame."
            )
        columns = None if names is None else view_positions(self.view, names)
        long_tailed = None if names is None else embedding_positions(names)
        self.preparation_ = Preparation(scale=self.scaled).fit(X, columns, long_tailed=long_tailed)
        return self.preparation_.transform(X)

    def _fit_labels(self, X: Matrix, y: Labels, groups: Groups | None) -> Self:
        assert_all_finite(y, input_name="y")
        check_classification_targets(y)
        self.multilabel_ = False
        self.classes_, codes = encode_labels(np.asarray(y))
        prepared = self._prepare_training(X)
        self.models_ = [self._fit_model(prepared, codes, groups)]
        self.constants_ = np.array([np.nan])
        return self

    def _fit_tags(self, X: Matrix, y: Codes, groups: Groups | None, names: Sequence[str] | None) -> Self:
        self.classes_ = tag_names(y, names)
        self.multilabel_, y = True, y.astype(np.int64)
        prepared = self._prepare_training(X)
        n_rows, n_positive = len(y), y.sum(axis=0)
        is_constant = (n_positive == 0) | (n_positive == n_rows)
        self.constants_ = np.where(is_constant, (n_positive + 0.5) / (n_rows + 1), np.nan)
        self.models_ = []
        for k, constant in enumerate(self.constants_):
            needs_model = np.isnan(constant)
            self.models_.append(self._fit_model(prepared, y[:, k], groups) if needs_model else None)
        return self

    def prepare(self, X: Table) -> Matrix:
        """Prepared rows, the input of the fitted classifiers: `(rows, columns)` float64, finite.

        `prepared_names` are the names of these columns.
        """
        check_is_fitted(self)
        X = fill_masked(X)
        table: Matrix = validate_data(self, X, dtype=np.float64, ensure_all_finite=False, reset=False)
        return self.preparation_.transform(table)

    @property
    def prepared_names(self) -> list[str]:
        """Names of the columns of `prepare(X)`; `feature_j` if the table had no names."""
        names = getattr(self, "feature_names_in_", None)
        return [f"feature_{j}" if names is None else str(names[j]) for j in self.preparation_.kept]

    def predict_proba(self, X: Table) -> Matrix:
        """Probabilities `(rows, classes)` float64; each row sums to 1.

        For tags the shape is `(rows, tags)`, each value lies in [0, 1], and rows do not sum to 1.
        """
        prepared = self.prepare(X)
        with ignore_large_sums():
            return self._predict_prepared(prepared)

    def _predict_prepared(self, prepared: Matrix) -> Matrix:
        if self.multilabel_:
            return self._tag_probabilities(prepared)
        (model,) = self.models_
        if model is None:
            raise DatasetError("A member must have a fitted model. Received none. Call fit first.")
        probabilities = np.asarray(model.predict_proba(prepared), dtype=np.float64)
        return np.asarray(probabilities / probabilities.sum(axis=1, keepdims=True))

    def _tag_probabilities(self, prepared: Matrix) -> Matrix:
        columns = []
        for model, constant in zip(self.models_, self.constants_, strict=True):
            if model is None:
                columns.append(np.full(len(prepared), constant))
            else:
                columns.append(model.predict_proba(prepared)[:, 1])
        return np.clip(np.column_stack(columns).astype(np.float64), 0.0, 1.0)

    def predict(self, X: Table) -> Labels:
        """The most probable labels `(rows,)`, or an indicator matrix `(rows, tags)`.

        A tag is set if its probability is at least 0.5.
        """
        probabilities = self.predict_proba(X)
        return most_probable_labels(probabilities, self.classes_, multilabel=self.multilabel_)


class LogisticRegressionMember(TableMember):
    """Multinomial logistic regression on standardised features.

    Args:
        C: inverse of the L2 penalty; a smaller value regularises more.
        view: the columns that the member sees; None for the hand-made ones.
        seed: controls all randomness.

    Example:
        >>> X, y = np.array([[0.0], [1.0], [2.0], [3.0]]), ["low", "low", "high", "high"]
        >>> LogisticRegressionMember().fit(X, y).predict([[0.2], [2.9]]).tolist()
        ['low', 'high']
    """

    member, scaled = "logistic_regression", True

    def __init__(self, *, C: float = 0.1, view: str | None = None, seed: int = 0) -> None:
        self.C = C
        self.view = view
        self.seed = seed

    def _fit_model(self, X: Matrix, y: Codes, groups: Groups | None) -> FittedModel:
        model = LogisticRegression(C=self.C, class_weight="balanced", max_iter=2000, random_state=self.seed)
        fitted: FittedModel = model.fit(X, y)
        return fitted


TENTH = "tenth"
"""Setting of a random forest: see `features_to_try`."""


def features_to_try(n_columns: int) -> int:
    """Number of features that a random forest tries per split: the root of their number, at least a tenth.

    Of a thousand columns, most say little, and among their root there is often none that says much.

    Example:
        >>> features_to_try(97), features_to_try(994)
        (9, 99)
    """
    return max(int(n_columns**0.5), n_columns // 10, 1)


class RandomForestMember(TableMember):
    """Random forest: decision trees on bootstrap samples (Breiman 2001).

    The number of threads (`n_jobs`) does not change the result.

    Args:
        n_estimators: number of trees.
        min_samples_split: smallest number of rows at which a node is split.
        min_samples_leaf: smallest number of rows in a leaf; a larger number regularises more.
        max_features: number of features that are tried per split, as in scikit-learn; `"tenth"` is as
            `features_to_try` says.
        max_samples: largest number of rows that a tree is drawn from; None for all rows.
        n_jobs: number of threads.
        view: the columns that the member sees; None for the hand-made ones.
        seed: controls all randomness.
    """

    member, scaled = "random_forest", False

    def __init__(
        self,
        *,
        n_estimators: int = 500,
        min_samples_split: int = 5,
        min_samples_leaf: int = 1,
        max_features: str | float = TENTH,
        max_samples: int | None = None,
        n_jobs: int | None = None,
        view: str | None = None,
        seed: int = 0,
    ) -> None:
        self.n_estimators = n_estimators
        self.min_samples_split = min_samples_split
        self.min_samples_leaf = min_samples_leaf
        self.max_features = max_features
        self.max_samples = max_samples
        self.n_jobs = n_jobs
        self.view = view
        self.seed = seed

    def _fit_model(self, X: Matrix, y: Codes, groups: Groups | None) -> FittedModel:
        model = RandomForestClassifier(
            n_estimators=self.n_estimators,
            min_samples_split=self.min_samples_split,
            min_samples_leaf=self.min_samples_leaf,
            max_features=features_to_try(X.shape[1]) if self.max_features == TENTH else self.max_features,
            max_samples=None if self.max_samples is None else min(self.max_samples, len(X)),
            class_weight="balanced",
            n_jobs=self.n_jobs,
            random_state=self.seed,
        )
        with ignore_large_sums():
            fitted: FittedModel = model.fit(X, y)
        return fitted


class XGBoostMember(TableMember):
    """Gradient-boosted trees of XGBoost (Chen and Guestrin 2016), with histograms of the columns.

    Each tree is fitted on a random part of the rows and columns.

    Args:
        n_estimators: number of boosting rounds.
        max_depth: greatest depth of a tree.
        learning_rate: factor on the contribution of each tree.
        subsample: share of the rows per tree.
        colsample_bytree: share of the columns per tree.
        max_bin: largest number of histogram bins of a column.
        early_stopping_rounds: rounds without a lower log loss on a tenth of the groups, which is held out,
            after which the fit stops. None fits all rounds on all rows.
        n_jobs: number of threads.
        view: the columns that the member sees; None for the hand-made ones.
        seed: controls all randomness.
    """

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
        early_stopping_rounds: int | None = None,
        n_jobs: int | None = 1,
        view: str | None = None,
        seed: int = 0,
    ) -> None:
        self.n_estimators = n_estimators
        self.max_depth = max_depth
        self.learning_rate = learning_rate
        self.subsample = subsample
        self.colsample_bytree = colsample_bytree
        self.max_bin = max_bin
        self.early_stopping_rounds = early_stopping_rounds
        self.n_jobs = n_jobs
        self.view = view
        self.seed = seed

    def _fit_model(self, X: Matrix, y: Codes, groups: Groups | None) -> FittedModel:
        from xgboost import XGBClassifier

        settings = {name: value for name, value in self.get_params().items() if name not in ("seed", "view")}
        model = XGBClassifier(**settings, tree_method="hist", random_state=self.seed)
        weights = compute_sample_weight("balanced", y)
        if self.early_stopping_rounds is not None:
            return fit_until_no_gain(model, X, y, weights, groups=groups, seed=self.seed)
        fitted: FittedModel = model.fit(X, y, sample_weight=weights)
        return fitted


class SVMMember(TableMember):
    """Support vector machines with the RBF kernel `exp(-gamma · |a - b|²)`, each class against the rest.

    The probabilities are calibrated on groups that are held out, see `MarginClassifier`.

    Args:
        C: inverse of the penalty; a smaller value regularises more.
        gamma: factor in the kernel; `"scale"` is 1 / (columns · variance).
        calibration_folds: number of folds of the calibration.
        landmarks: number of rows that stand for all (Nyström, see `landmarks`); None for an exact machine.
        view: the columns that the member sees; None for the hand-made ones.
        seed: controls all randomness.
    """

    member, scaled = "svm", True

    def __init__(
        self,
        *,
        C: float = 10.0,
        gamma: str | float = "scale",
        calibration_folds: int = 5,
        landmarks: int | None = None,
        view: str | None = None,
        seed: int = 0,
    ) -> None:
        self.C = C
        self.gamma = gamma
        self.calibration_folds = calibration_folds
        self.landmarks = landmarks
        self.view = view
        self.seed = seed

    def _fit_model(self, X: Matrix, y: Codes, groups: Groups | None) -> FittedModel:
        if self.landmarks is not None:
            folds = held_out_groups(
                y, groups, n_splits=self.calibration_folds, seed=self.seed, where=CALIBRATION
            )
            return fit_landmark_machines(
                X, y, folds, C=self.C, gamma=self.gamma, n_landmarks=self.landmarks, seed=self.seed
            )

        def new_machine() -> SVC:
            # Without `random_state` the machine would draw from NumPy's global generator.
            return SVC(C=self.C, gamma=self.gamma, class_weight="balanced", random_state=self.seed)

        return MarginClassifier.from_training_data(
            new_machine, X, y, groups=groups, calibration_folds=self.calibration_folds, seed=self.seed
        )
