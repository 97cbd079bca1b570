"""The ensemble as a scikit-learn estimator: members are fitted, and fused with weights learnt out of fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data

from quintet.classifiers.labels import check_target, require_labels
from quintet.classifiers.member import Member
from quintet.classifiers.registry import TABLE_MEMBERS, member_entry, member_view
from quintet.classifiers.sizes import sized_settings
from quintet.classifiers.spectrogram.sequences import SpectrogramInput
from quintet.classifiers.views import is_pretrained_view
from quintet.datasets.splits.folds import grouped_folds
from quintet.ensemble.array_types import Floats, Folds, Groups, Labels
from quintet.ensemble.calibration import Calibration, calibrate_held_out, learn_calibration
from quintet.ensemble.conformal import ConformalPredictor, fit_conformal
from quintet.ensemble.crossfit import (
    FoldCache,
    FoldResult,
    Inputs,
    Listener,
    Trainer,
    member_probabilities,
)
from quintet.ensemble.fusion import RULES, Fusion, LabelledPredictions, fit_fusion
from quintet.ensemble.label_sets.risk_control import TagSets, fit_tag_sets
from quintet.ensemble.model_selection.penalties import PenaltyChoice, cross_fit
from quintet.ensemble.model_selection.preparation import prepare_members
from quintet.ensemble.novelty import Distance, held_out_distances
from quintet.ensemble.selection import RuleComparison, compare_rules
from quintet.ensemble.support import (
    LearningPlan,
    as_table,
    check_groups,
    check_settings,
    folds_within,
    plan_learning,
    require_each_row_once,
)
from quintet.errors import ConfigError
from quintet.files.untrusted.listed_files import ListedFiles

DEFAULT_RULES = tuple(RULES)


class EnsembleClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Ensemble of different classifiers (members) whose probabilities are fused and calibrated.

    `fit` has four steps:

    1. Every member predicts every row out of fold. The folds are stratified, and no group is on both sides.
    2. The fusion rules are fitted on these out-of-fold predictions. If `rule` is "auto", one rule is chosen
       by log loss on held-out groups: the simplest that is not clearly worse than the best.
    3. A calibration and prediction sets are fitted on the out-of-fold ensemble predictions.
    4. Every member is fitted on all rows.

    A single fold is a validation part: members that were fitted on the other rows predict its rows, and rule,
    weights and calibration are learnt on these rows alone, shrunk to the plain mean and to probabilities as
    they are (`quintet.ensemble.support`).

    Args:
        members: names of members, from `quintet.classifiers.registry.MEMBERS`.
        rule: fusion rule that `predict_proba` uses: one of `rules`, or "auto".
        rules: fusion rules to fit, from `quintet.ensemble.fusion.RULES`.
        n_splits: number of folds.
        settings: member name → keyword arguments of that member.
        seed: seed of folds and members.
        calibrate_members: whether members are calibrated before they are joined, and useless views left out.
            Default: if a member sees a pretrained view.

    Attributes:
        classes_: class names, sorted, `(K,)`; tag names for label sets.
        members_: member name → estimator fitted on all rows.
        fusions_: rule → `Fusion`, fitted on all rows.
        rule_: the rule that `predict_proba` uses.
        comparison_: log loss of the rules on held-out groups of the training rows (`RuleComparison`).
        fold_rules_: per fold, the rule that is chosen without the rows of this fold. It is `rule_` if there
            are only two folds or the rule was given. For a validation part, one rule per fold of `plan_`.
        plan_: rows that are predicted out of fold (m of them, `plan_.rows`), rows among them that teach, and
            the folds of fusion and calibration (`LearningPlan`). In cross-validation, m = n.
        oof_: member or rule → out-of-fold probabilities, `(m, K)`. The weights of a rule for a fold are
            learnt on the other folds.
        folds_: member → one `FoldResult` per fold.
        penalties_: member → the choice of its penalty (`PenaltyChoice`), for members that have one.
        calibration_: `Calibration` of the chosen rule, learnt on its out-of-fold predictions; `predict_proba`
            applies it. It is a temperature, isotonic maps if there are enough data, or nothing if neither
            improves the loss.
        distance_: `Distance` of features from all classes. None for label sets and without a feature table.
        oof_distances_: out-of-fold distance of each of the m rows, `(m,)`. None if `distance_` is None.
        conformal_: `ConformalPredictor` of prediction sets. None for label sets. Without distances, it uses
            the probabilities only.
        tag_sets_: `TagSets`, sets of tags with a promised recall or precision. None for classes.
        oof_verdict_: out-of-fold ensemble predictions, `(m, K)`. For each fold, rule, weights and calibration
            are chosen and learnt without it. A small optimism remains (on random labels an AUC slightly above
            0.5, if a rule learns weights): the members that predicted the other folds were fitted on this
            fold.
        files_: the files of the model folder that `load_model` read; None for an ensemble that was fitted
            here.

    Raises:
        ConfigError: no member is given, a name is unknown, a spectrogram member has no spectrograms, or the
            given folds do not hold out each row once.
        DatasetError: there is only one class, or there is not one group per row.
        SplitLeakError: a group is on both sides of a fold.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> y = np.repeat(["jazz", "rock"], 30)
        >>> X = rng.normal(size=(60, 3)) + 3 * (y == "rock")[:, None]
        >>> artists = np.repeat(np.arange(20), 3)
        >>> ensemble = EnsembleClassifier(("logistic_regression", "svm"), n_splits=3)
        >>> ensemble = ensemble.fit(X, y, artists)
        >>> ensemble.predict(X[:1]).tolist(), ensemble.classes_.tolist()
        (['jazz'], ['jazz', 'rock'])
        >>> ensemble.predict_proba(X).shape
        (60, 2)
    """

    files_: ListedFiles | None = None

    def __init__(
        self,
        members: Sequence[str] = TABLE_MEMBERS,
        *,
        rule: str = "auto",
        rules: Sequence[str] = DEFAULT_RULES,
        n_splits: int = 5,
        settings: Mapping[str, Mapping[str, object]] | None = None,
        seed: int = 0,
        calibrate_members: bool | None = None,
    ) -> None:
        self.members = members
        self.rule = rule
        self.rules = rules
        self.n_splits = n_splits
        self.settings = settings
        self.seed = seed
        self.calibrate_members = calibrate_members

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.classifier_tags.multi_label = True
        return tags

    def fit(
        self,
        X: pd.DataFrame | ArrayLike | None,
        y: ArrayLike,
        groups: ArrayLike | None = None,
        *,
        spectrograms: SpectrogramInput | None = None,
        classes: Sequence[object] | None = None,
        folds: Folds | None = None,
        cache: FoldCache | None = None,
        listener: Listener | None = None,
    ) -> Self:
        """Fit members, fusion, calibration and prediction sets.

        Args:
            X: feature table `(n, d)`, NaN where unknown. None if all members are spectrogram members.
            y: labels `(n,)`, or a 0/1 indicator matrix `(n, K)` for label sets.
            groups: group of each row, `(n,)`, none missing. Rows of one group stay on one side of every fold.
                Default: every row is its own group.
            spectrograms: n log-mel spectrograms, for spectrogram members: a list of arrays `(n_mels,
                frames)`, an array `(n, n_mels, frames)` or a `SpectrogramStore`'s `take(ids)`.
            classes: names of the columns of an indicator matrix. Default: the columns of a DataFrame `y`,
                otherwise 0 … K - 1.
            folds: folds to use instead of `n_splits` new ones; each row is held out once. Or one fold: the
                rows of a train part and of a validation part, which together are all rows.
            cache: keeps finished folds and members.
            listener: receives training events.
        """
        require_labels(y)
        if X is not None:
            validate_data(self, X, y, dtype="numeric", ensure_all_finite=False, multi_output=True)
        inputs = Inputs(as_table(X), spectrograms)
        target, self.classes_ = check_target(y, classes)
        n_rows = len(target)
        row_groups = np.arange(n_rows) if groups is None else check_groups(groups, n_rows)
        check_settings(
            members=self.members,
            rules=self.rules,
            rule=self.rule,
            settings=self.settings,
            seed=self.seed,
            n_splits=self.n_splits,
        )
        if folds is None:
            folds = grouped_folds(target, row_groups.tolist(), n_splits=self.n_splits, seed=self.seed)
        require_each_row_once(folds, n_rows)
        self.plan_: LearningPlan = plan_learning(target, row_groups, folds, seed=self.seed)
        self._fit_members(inputs, target, row_groups, folds, cache, listener)
        rows = self.plan_.rows
        self._fit_fusions(target[rows], row_groups[rows], self.plan_)
        self._fit_calibration(target[rows], row_groups[rows], self.plan_)
        self._fit_prediction_sets(inputs.table, target, row_groups, folds)
        self._keep_rows(inputs.table)
        return self

    def _keep_rows(self, table: pd.DataFrame | None) -> None:
        """Keep what a subclass needs of the rows of the fit: here nothing."""

    def _fit_members(
        self,
        inputs: Inputs,
        y: Labels,
        groups: Groups,
        folds: Folds,
        cache: FoldCache | None,
        listener: Listener | None,
    ) -> None:
        self.members_: dict[str, Member] = {}
        self.oof_: dict[str, Floats] = {}
        self.folds_: dict[str, list[FoldResult]] = {}
        self.penalties_: dict[str, PenaltyChoice] = {}
        for name in self.members:
            sized = sized_settings(name, (self.settings or {}).get(name, {}), len(y))
            trainer = Trainer(name, sized, self.seed, cache, listener, len(folds))
            fitted = cross_fit(trainer, inputs, y, groups, folds, self.class_names_)
            self.oof_[name] = fitted.probabilities[self.plan_.rows]
            self.folds_[name] = fitted.results
            if fitted.penalty is not None:
                self.penalties_[name] = fitted.penalty
            self.members_[name] = fitted.trainer.fit_on_all(inputs, y, groups)

    def _fit_fusions(self, y: Labels, groups: Groups, plan: LearningPlan) -> None:
        """Fit all rules on all rows that teach and per fold, and choose one."""
        members = tuple(self.members)
        stack = np.stack([self.oof_[name] for name in members])
        predictions = self._label(stack, y, groups, members, plan)
        taught = predictions.take(plan.taught)
        training_rows = [predictions.take(train) for train, _ in plan.folds]
        preparation, *preparations = [
            prepare_members(part) if self.calibrates_ else None for part in (taught, *training_rows)
        ]
        self.fusions_: dict[str, Fusion] = {}
        for rule in self.rules:
            self.fusions_[rule] = fit_fusion(rule, taught, preparation)
            fused = self.fusions_[rule].apply(stack)
            for part, prepared, (_, held_out) in zip(training_rows, preparations, plan.folds, strict=True):
                # Learnt without the held-out rows and their groups.
                fusion = fit_fusion(rule, part, prepared)
                fused[held_out] = fusion.apply(stack[:, held_out])
            self.oof_[rule] = fused
        rules = tuple(self.rules)
        self.comparison_: RuleComparison = compare_rules(
            taught, rules=rules, folds=plan.taught_folds, prepare=self.calibrates_
        )
        self.rule_ = self.rule if self.rule != "auto" else self.comparison_.chosen
        self.fold_rules_ = [self.rule_] * len(plan.folds)
        if self.rule == "auto" and len(plan.folds) > 2:
            for k, part in enumerate(training_rows):
                others = [fold for j, fold in enumerate(plan.folds) if j != k]
                comparison = compare_rules(
                    part,
                    rules=rules,
                    folds=folds_within(others, plan.folds[k][0]),
                    prepare=self.calibrates_,
                )
                self.fold_rules_[k] = comparison.chosen

    def _fit_calibration(self, y: Labels, groups: Groups, plan: LearningPlan) -> None:
        """Calibrate the chosen rule on its out-of-fold predictions, with the folds of the run, by group."""

        def fused(rule: str) -> LabelledPredictions:
            return self._label(self.oof_[rule][None], y, groups, (rule,), plan)

        self.calibration_: Calibration = learn_calibration(
            fused(self.rule_).take(plan.taught), seed=self.seed, folds=plan.taught_folds
        )
        method = self.calibration_.method
        self.oof_verdict_: Floats = np.array(self.oof_[self.rule_])
        calibrated: dict[str, Floats] = {}
        for rule in dict.fromkeys(self.fold_rules_):
            held_out_rows = calibrate_held_out(fused(rule), method=method, seed=self.seed, folds=plan.folds)
            calibrated[rule] = np.asarray(held_out_rows, dtype=np.float64)
        for rule, (_, held_out) in zip(self.fold_rules_, plan.folds, strict=True):
            self.oof_verdict_[held_out] = calibrated[rule][held_out]

    def _label(
        self, stack: Floats, y: Labels, groups: Groups, members: tuple[str, ...], plan: LearningPlan
    ) -> LabelledPredictions:
        """Out-of-fold predictions with labels, groups and the facts of the validation part."""
        return LabelledPredictions.from_labels(
            stack, y, groups, members=members, classes=self.class_names_, validation=plan.validation
        )

    def _fit_prediction_sets(
        self, table: pd.DataFrame | None, y: Labels, groups: Groups, folds: Folds
    ) -> None:
        """Fit prediction sets on out-of-fold predictions: of classes, with distances, or of tags."""
        self.distance_: Distance | None = None
        self.oof_distances_: Floats | None = None
        self.conformal_: ConformalPredictor | None = None
        self.tag_sets_: TagSets | None = None
        taught = self.plan_.taught if len(self.plan_.taught) else np.arange(len(self.plan_.rows))
        rows = self.plan_.rows[taught]
        if y.ndim == 2:
            self.tag_sets_ = fit_tag_sets(
                self.oof_verdict_[taught], y[rows], groups[rows], classes=self.class_names_
            )
            return
        if table is not None:
            values = table.to_numpy(np.float64)
            self.distance_ = Distance.fit(values, y)
            self.oof_distances_ = held_out_distances(values, y, folds)[self.plan_.rows]
        self.conformal_ = fit_conformal(
            self.oof_verdict_[taught],
            y[rows],
            groups[rows],
            classes=self.class_names_,
            score="lac" if self.distance_ is None else "novelty",
            distances=None if self.oof_distances_ is None else self.oof_distances_[taught],
        )

    def member_probabilities(
        self, X: pd.DataFrame | ArrayLike | None = None, spectrograms: SpectrogramInput | None = None
    ) -> dict[str, Floats]:
        """Member name → probabilities `(n, K)`.

        Args:
            X: feature table `(n, d)`, for table members.
            spectrograms: n log-mel spectrograms, for spectrogram members.
        """
        check_is_fitted(self, "members_")
        if X is not None and hasattr(self, "n_features_in_"):
            validate_data(self, X, reset=False, ensure_all_finite=False)
        inputs = Inputs(as_table(X), spectrograms)
        classes, multilabel = self.class_names_, self.multilabel_
        probabilities: dict[str, Floats] = {}
        for name, member in self.members_.items():
            view = inputs.view(member_entry(name).input)
            probabilities[name] = member_probabilities(member, view, classes, multilabel=multilabel)
        return probabilities

    @property
    def class_names_(self) -> tuple[str, ...]:
        """Names of `classes_` as strings."""
        return tuple(str(name) for name in self.classes_)

    @property
    def calibrates_(self) -> bool:
        """Whether members are calibrated before they are joined."""
        if self.calibrate_members is not None:
            return self.calibrate_members
        return any(is_pretrained_view(member_view(name)) for name in self.members)

    @property
    def multilabel_(self) -> bool:
        """Whether clips carry label sets."""
        fusion = next(iter(self.fusions_.values()))
        return fusion.multilabel

    def fuse(self, members: Mapping[str, Floats], rule: str | None = None) -> Floats:
        """Fused probabilities `(n, K)`, before calibration.

        Args:
            members: member name → probabilities `(n, K)`.
            rule: one of `rules`. Default: `rule_`.
        """
        stack = np.stack([members[name] for name in self.members_])
        return self.fusions_[rule or self.rule_].apply(stack)

    def fuse_and_calibrate(self, members: Mapping[str, Floats]) -> Floats:
        """Ensemble predictions `(n, K)`: fused by `rule_` and calibrated.

        Args:
            members: member name → probabilities `(n, K)`.
        """
        return np.asarray(self.calibration_.apply(self.fuse(members)))

    verdict = fuse_and_calibrate  # its name in earlier versions

    def predict_proba(
        self, X: pd.DataFrame | ArrayLike | None = None, spectrograms: SpectrogramInput | None = None
    ) -> Floats:
        """Ensemble predictions `(n, K)`: fused and calibrated probabilities, columns ordered as `classes_`.

        Args:
            X: feature table `(n, d)`, for table members.
            spectrograms: n log-mel spectrograms, for spectrogram members.
        """
        return self.fuse_and_calibrate(self.member_probabilities(X, spectrograms))

    def predict(
        self, X: pd.DataFrame | ArrayLike | None = None, spectrograms: SpectrogramInput | None = None
    ) -> NDArray[np.generic]:
        """Most probable class per row, `(n,)`. For label sets, a 0/1 matrix `(n, K)` of tags at 0.5 or more.

        Args:
            X: feature table `(n, d)`, for table members.
            spectrograms: n log-mel spectrograms, for spectrogram members.
        """
        probabilities = self.predict_proba(X, spectrograms)
        if self.multilabel_:
            return (probabilities >= 0.5).astype(int)
        return np.asarray(self.classes_[probabilities.argmax(axis=1)])

    def distances(self, X: pd.DataFrame | ArrayLike | None = None) -> Floats | None:
        """Distance of each row's features from all classes, `(n,)`, for `conformal_`.

        None if `conformal_` does not use distances.

        Args:
            X: feature table `(n, d)`.

        Raises:
            ConfigError: no feature table is given.
        """
        check_is_fitted(self, "members_")
        if self.distance_ is None:
            return None
        table = as_table(X)
        if table is None:
            raise ConfigError("Distances are measured among the features. Received no feature table: pass X.")
        return self.distance_(table.to_numpy(np.float64))
