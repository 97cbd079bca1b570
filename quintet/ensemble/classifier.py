"""The ensemble as a scikit-learn estimator: members fitted side by side, joined by weights learnt out of fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Tags
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from quintet.classifiers.registry import TABLE_MEMBERS, member_entry
from quintet.datasets.groups import group_names
from quintet.datasets.splits.folds import grouped_folds
from quintet.ensemble.calibration import Calibration, cross_calibrate, fit_calibration
from quintet.ensemble.conformal import ConformalPredictor, fit_conformal
from quintet.ensemble.crossfit import (
    FINAL_FIT,
    FoldCache,
    FoldResult,
    Inputs,
    Listener,
    Trainer,
    member_probabilities,
)
from quintet.ensemble.fusion import RULES, Fusion, LabelledPredictions, fit_fusion
from quintet.ensemble.novelty import Distance, held_out_distances
from quintet.ensemble.selection import compare_rules
from quintet.errors import ConfigError, DatasetError

DEFAULT_RULES = tuple(RULES)


class EnsembleClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Several unlike members and one fused verdict.

    `fit` predicts every row out of fold with every member (folds grouped and stratified), learns the fusion
    rules on those predictions, chooses one of them (log loss under nested grouped folds; the plain mean
    unless another is clearly better), and then fits every member on all rows.

    Args:
        members: names from `quintet.classifiers.registry.MEMBERS`.
        rule: the fusion used by `predict_proba`: one of `rules`, or `"auto"` to choose on the training rows.
        rules: the fusion rules to fit (`quintet.ensemble.fusion.RULES`).
        n_splits: number of folds.
        settings: member name → keyword arguments for that member.
        seed: fixes folds, members and fusion.

    Attributes:
        classes_: `(k,)` class names, sorted (for label sets: tag names).
        members_: name → estimator fitted on all rows.
        fusions_: rule → `Fusion`.
        rule_: the rule in use; `comparison_`: how the rules did on held-out groups of the training rows.
        fold_rules_: per fold, the rule that is chosen without its rows; `rule_` where there are but two
            folds, or the rule was given.
        oof_: member or rule name → `(n, k)` out-of-fold probabilities. A rule's weights for a fold are learnt
            on the others.
        folds_: member → one `FoldResult` per fold.
        calibration_: what makes the chosen rule's probabilities trustworthy, learnt on its out-of-fold
            predictions (a temperature, isotonic steps where data allow, or nothing where neither helps);
            `predict_proba` applies it.
        distance_: how far a row lies from every class among the features; None for label sets and without a
            feature table.
        oof_distances_: `(n,)` the same out of fold.
        conformal_: prediction sets, calibrated on both; without distances on probabilities alone; None for
            label sets.
        oof_verdict_: `(n, k)` what `predict_proba` would have said out of fold: each fold by the rule, the
            weights and the calibration that are chosen and learnt without it. What flattery remains (on
            random labels a little over 0.5 AUC, where a rule learns) comes from the members that said
            something of the other folds: they had seen this one.

    Raises:
        ConfigError: if no member is given, a name is unknown, a spectrogram member has no spectrograms, or a
            row is not held out once.
        DatasetError: if there are not as many groups as rows, or some are missing.
        SplitLeakError: if a group stands on both sides of a fold.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> y = np.repeat(["jazz", "rock"], 30)
        >>> X = rng.normal(size=(60, 3)) + 3 * (y == "rock")[:, None]
        >>> ensemble = EnsembleClassifier(members=("logistic_regression",), n_splits=3).fit(X, y)
        >>> ensemble.predict(X[:1])[0], ensemble.classes_.tolist()
        (np.str_('jazz'), ['jazz', 'rock'])
    """

    def __init__(
        self,
        members: Sequence[str] = TABLE_MEMBERS,
        *,
        rule: str = "auto",
        rules: Sequence[str] = DEFAULT_RULES,
        n_splits: int = 5,
        settings: Mapping[str, Mapping[str, Any]] | None = None,
        seed: int = 0,
    ) -> None:
        self.members = members
        self.rule = rule
        self.rules = rules
        self.n_splits = n_splits
        self.settings = settings
        self.seed = seed

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.classifier_tags.multi_label = True
        return tags

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        groups: ArrayLike | None = None,
        *,
        spectrograms: Any = None,
        classes: Sequence[str] | None = None,
        folds: Sequence[tuple[NDArray[np.intp], NDArray[np.intp]]] | None = None,
        cache: FoldCache | None = None,
        listener: Listener | None = None,
    ) -> Self:
        """Fit members and fusion.

        Args:
            X: feature table `(n, d)`, DataFrame or array; `None` where only spectrogram members take part.
            y: labels `(n,)`, or a 0/1 indicator `(n, k)` for label sets (`classes` names its columns; 0 … k -
                1 where not given).
            groups: `(n,)`, none missing; rows of one group never stand on both sides of a fold. Default:
                every row its own group.
            spectrograms: n log-mel arrays, for spectrogram members.
            folds: (train, held-out) position arrays instead of `n_splits` new ones; every row is held out
                once.
            cache: keeps finished folds.
            listener: called with a `TrainingEvent` as things happen.
        """
        if X is not None:
            validate_data(self, X, y, dtype="numeric", ensure_all_finite=False, multi_output=True)
        inputs = Inputs(_as_table(X), spectrograms)
        target, self.classes_ = self._target(y, classes)
        group_array = np.arange(len(target)) if groups is None else _names(groups, len(target))
        self._check_names()
        if folds is None:
            folds = grouped_folds(target, group_array.tolist(), n_splits=self.n_splits, seed=self.seed)
        _require_whole(folds, len(target))
        self._fit_members(inputs, target, group_array, folds, cache, listener)
        self._fit_fusions(target, group_array, folds)
        self._fit_trust(inputs.table, target, group_array, folds)
        return self

    def _target(self, y: ArrayLike, classes: Sequence[Any] | None) -> tuple[NDArray[Any], NDArray[Any]]:
        target = np.asarray(y)
        if target.ndim == 2 and target.shape[1] == 1:
            target = column_or_1d(target, warn=True)
        if target.ndim == 2:
            classes = list(range(target.shape[1])) if classes is None else classes
            if len(classes) != target.shape[1]:
                raise ConfigError(
                    f"Label sets need one class name per column. Received {target.shape[1]} columns and {len(classes)} names."
                )
            return target, np.asarray(classes, dtype=object)
        check_classification_targets(target)
        found = np.unique(target)
        if len(found) < 2:
            raise DatasetError(
                f"A classifier needs at least two classes. Received 1 class: {found[0]!r}. Add clips of another class."
            )
        return target, found

    def _check_names(self) -> None:
        if not self.members:
            raise ConfigError("An ensemble must have at least one member. Received none.")
        for name in self.members:
            member_entry(name)
        if stray := sorted(set(self.settings or {}) - set(self.members)):
            raise ConfigError(
                f"Settings must be for members that take part ({', '.join(self.members)}). Received settings for: {', '.join(stray)}."
            )
        if self.rule != "auto" and self.rule not in self.rules:
            raise ConfigError(
                f"The rule must be 'auto' or one of: {', '.join(self.rules)}. Received '{self.rule}'."
            )

    def _fit_members(
        self,
        inputs: Inputs,
        y: NDArray[Any],
        groups: NDArray[Any],
        folds: Sequence[Any],
        cache: FoldCache | None,
        listener: Listener | None,
    ) -> None:
        self.members_: dict[str, Any] = {}
        self.oof_: dict[str, NDArray[np.float64]] = {}
        self.folds_: dict[str, list[FoldResult]] = {}
        for name in self.members:
            trainer = Trainer(
                name, dict((self.settings or {}).get(name, {})), self.seed, cache, listener, len(folds)
            )
            self.oof_[name], self.folds_[name] = trainer.out_of_fold(
                inputs, y, groups, folds, self.class_names_
            )
            self.members_[name] = _fitted_on_all(trainer, inputs, y, groups, cache)

    def _fit_fusions(self, y: NDArray[Any], groups: NDArray[Any], folds: Sequence[Any]) -> None:
        stack = np.stack([self.oof_[name] for name in self.members])
        members, classes = tuple(self.members), self.class_names_

        def labelled(rows: NDArray[np.intp]) -> LabelledPredictions:
            return LabelledPredictions.from_labels(
                stack[:, rows], y[rows], groups[rows], members=members, classes=classes
            )

        all_rows = labelled(np.arange(len(y)))
        training_rows = [labelled(train) for train, _ in folds]
        self.fusions_: dict[str, Fusion] = {}
        for rule in self.rules:
            self.oof_[rule] = np.full(stack.shape[1:], np.nan)
            for predictions, (_, held_out) in zip(training_rows, folds, strict=True):
                fusion = fit_fusion(rule, predictions)  # learnt without the held-out rows and their groups
                self.oof_[rule][held_out] = fusion.apply(stack[:, held_out])
            self.fusions_[rule] = fit_fusion(rule, all_rows)
        self.comparison_ = compare_rules(all_rows, rules=tuple(self.rules), folds=folds)
        self.rule_ = self.rule if self.rule != "auto" else self.comparison_.chosen
        self.fold_rules_ = [self.rule_] * len(folds)
        if self.rule == "auto" and len(folds) > 2:
            for k, predictions in enumerate(training_rows):
                inner_folds = _folds_within(folds, k)
                comparison = compare_rules(predictions, rules=tuple(self.rules), folds=inner_folds)
                self.fold_rules_[k] = comparison.chosen

    def _fit_trust(
        self, table: pd.DataFrame | None, y: NDArray[Any], groups: NDArray[Any], folds: Sequence[Any]
    ) -> None:
        """Calibration and prediction sets of the verdict, both from what was said and measured out of fold, on the folds of the run and by group."""
        names = self.class_names_
        common: dict[str, Any] = {"seed": self.seed, "folds": folds}
        self.calibration_: Calibration = fit_calibration(
            self.oof_[self.rule_], y, groups, classes=names, **common
        )
        method = self.calibration_.method
        said = {
            r: cross_calibrate(self.oof_[r], y, groups, classes=names, method=method, **common)
            for r in {*self.fold_rules_}
        }
        self.oof_verdict_ = np.array(said[self.fold_rules_[0]])
        for rule, (_, held_out) in zip(self.fold_rules_, folds, strict=True):
            self.oof_verdict_[held_out] = said[rule][held_out]
        self.distance_: Distance | None = None
        self.oof_distances_: NDArray[np.float64] | None = None
        self.conformal_: ConformalPredictor | None = None
        if y.ndim == 2:
            return
        if table is not None:
            values = table.to_numpy(np.float64)
            self.distance_, self.oof_distances_ = (
                Distance.fit(values, y),
                held_out_distances(values, y, folds),
            )
        score = "lac" if self.distance_ is None else "novelty"
        self.conformal_ = fit_conformal(
            self.oof_verdict_, y, groups, classes=names, score=score, distances=self.oof_distances_
        )

    def member_probabilities(self, X: Any = None, spectrograms: Any = None) -> dict[str, NDArray[np.float64]]:
        """Member name → `(n, k)` probabilities."""
        check_is_fitted(self, "members_")
        if X is not None and hasattr(self, "n_features_in_"):
            validate_data(self, X, reset=False, ensure_all_finite=False)
        inputs = Inputs(_as_table(X), spectrograms)
        multilabel = self.multilabel_
        return {
            n: member_probabilities(
                m, inputs.view(member_entry(n).input), self.class_names_, multilabel=multilabel
            )
            for n, m in self.members_.items()
        }

    @property
    def class_names_(self) -> tuple[str, ...]:
        """`classes_` as strings."""
        return tuple(str(c) for c in self.classes_)

    @property
    def multilabel_(self) -> bool:
        """Whether clips carry label sets."""
        return bool(getattr(next(iter(self.fusions_.values())), "multilabel", False))

    def fuse(
        self, members: Mapping[str, NDArray[np.float64]], rule: str | None = None
    ) -> NDArray[np.float64]:
        """The members' probabilities joined by `rule` (default: the chosen one)."""
        return self.fusions_[rule or self.rule_].apply(np.stack([members[name] for name in self.members_]))

    def predict_proba(self, X: Any = None, spectrograms: Any = None) -> NDArray[np.float64]:
        """Fused and calibrated probabilities, shape `(n, k)`, columns in the order of `classes_`."""
        return self.fuse_and_calibrate(self.member_probabilities(X, spectrograms))

    def fuse_and_calibrate(self, members: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        """The members' probabilities joined by the chosen rule, and calibrated."""
        return np.asarray(self.calibration_.apply(self.fuse(members)))

    def distances(self, X: Any = None) -> NDArray[np.float64] | None:
        """`(n,)` how far each row of a feature table lies from every class, for `conformal_`; None where that does not look at distances."""
        check_is_fitted(self, "members_")
        if self.distance_ is None:
            return None
        table = _as_table(X)
        if table is None:
            raise ConfigError("Distances are measured among the features. Received no feature table: pass X.")
        return self.distance_(table.to_numpy(np.float64))

    def predict(self, X: Any = None, spectrograms: Any = None) -> NDArray[Any]:
        """The most probable class per row, shape `(n,)`; for label sets a 0/1 array `(n, k)` of tags at 0.5 or more."""
        probabilities = self.predict_proba(X, spectrograms)
        if self.multilabel_:
            return (probabilities >= 0.5).astype(int)
        return np.asarray(self.classes_[probabilities.argmax(axis=1)])


def _names(groups: ArrayLike, n: int) -> NDArray[Any]:
    """`(n,)` what each row's group is called."""
    given = np.asarray(groups, dtype=object)
    missing = int(pd.isna(given).sum())
    if given.shape != (n,) or missing:
        raise DatasetError(
            f"Every one of {n} rows must have one group, a row on its own its own. Received {given.shape}, {missing} missing."
        )
    return group_names(given)


def _require_whole(folds: Sequence[tuple[NDArray[np.intp], NDArray[np.intp]]], n: int) -> None:
    rows = np.arange(n)
    once = np.sum([np.isin(rows, rows[held_out]) for _, held_out in folds], axis=0) == 1
    if np.shape(once) != (n,) or not once.all():
        raise ConfigError(
            f"Folds must hold out every row once. Received {len(folds)}, which do so with {np.sum(once)} of {n} rows."
        )


def _as_table(X: Any) -> pd.DataFrame | None:
    if X is None or isinstance(X, pd.DataFrame):
        return X
    values = np.asarray(X)
    if values.ndim != 2:
        raise ConfigError(f"A feature table must have shape (n, d). Received {values.shape}.")
    return pd.DataFrame(values, columns=[f"x{j}" for j in range(values.shape[1])])


def _folds_within(
    folds: Sequence[tuple[NDArray[np.intp], NDArray[np.intp]]], left_out: int
) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """The other folds, as positions among the training rows of fold `left_out`."""
    rows = folds[left_out][0]
    others = [fold for k, fold in enumerate(folds) if k != left_out]
    return [
        (np.flatnonzero(np.isin(rows, train)), np.flatnonzero(np.isin(rows, held_out)))
        for train, held_out in others
    ]


def _fitted_on_all(
    trainer: Trainer, inputs: Inputs, y: NDArray[Any], groups: NDArray[Any], cache: FoldCache | None
) -> Any:
    load = getattr(cache, "load_member", None)
    if load is not None and (kept := load(trainer.member)) is not None:
        trainer.notify("reused", FINAL_FIT)
        return kept
    estimator = trainer.fit(inputs, y, groups)
    save = getattr(cache, "save_member", None)
    if save is not None:
        save(trainer.member, estimator)
    return estimator
