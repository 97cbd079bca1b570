"""Calibration of probabilities by a temperature or by isotonic maps, learnt out of fold and by group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quintet.datasets.groups import require_disjoint
from quintet.datasets.splits.folds import grouped_folds
from quintet.ensemble.array_types import Codes, Float, Floats, Folds, Groups, Labels, Probabilities, Target
from quintet.ensemble.fusion import LabelledPredictions
from quintet.ensemble.fusion_weights import FLOOR, evidence_to_probabilities, log_evidence
from quintet.ensemble.selection import most_folds, standard_error
from quintet.ensemble.support import UNITS_PER_PARAMETER, count_units, learnt_share, margin_of_error
from quintet.errors import AlignmentError, ArtefactError, unknown_name
from quintet.evaluation.intervals import group_codes
from quintet.evaluation.losses import clip_losses
from quintet.evaluation.metrics import encode_labels
from quintet.files.json_types import JsonObject

METHODS = ("none", "temperature", "isotonic")

MIN_PER_CLASS = 100
"""Groups that each class needs, and groups without the class. With fewer, isotonic steps fit the noise."""

VALIDATION_MARGIN = 2.0
"""Standard errors that a gain on a validation part must exceed. The final members are fitted on it, too."""

LOG_TEMPERATURES = (-3.0, 3.0)
N_SPLITS = 5

Steps = tuple[tuple[float, ...], tuple[float, ...]]
"""Corners (x, y) of an isotonic map: probability before, probability after."""


@dataclass(frozen=True)
class Calibration:
    """Fitted map from probabilities to calibrated probabilities.

    Args:
        method: one of `METHODS`.
        temperature: T, for `temperature`. Probabilities become p^(1 / T), normalised, so T > 1 makes them
            less sure.
        steps: corners (x, y) of the isotonic map of each class, for `isotonic`.
        multilabel: whether clips carry label sets. If so, the log-odds are divided by T.

    Raises:
        ConfigError: the method is unknown.

    Example:
        >>> calibration = Calibration("temperature", temperature=2.0)
        >>> calibration.apply(np.array([[0.8, 0.2]])).round(3).tolist()  # √0.8 : √0.2 = 2 : 1
        [[0.667, 0.333]]
        >>> Calibration.from_json(calibration.to_json()) == calibration
        True
    """

    method: str
    temperature: float = 1.0
    steps: tuple[Steps, ...] = ()
    multilabel: bool = False

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise unknown_name("calibration", self.method, METHODS)

    def apply(self, probabilities: NDArray[Float]) -> NDArray[Float]:
        """Calibrated probabilities `(n, K)`, in the same dtype. The input is not changed.

        Rows sum to 1, except for label sets.

        Raises:
            AlignmentError: the isotonic map is for another number of classes.
        """
        if self.method == "temperature":
            return _divide_by_temperature(probabilities, self.temperature, multilabel=self.multilabel)
        if self.method == "isotonic":
            return self._apply_steps(probabilities)
        return probabilities

    def _apply_steps(self, probabilities: NDArray[Float]) -> NDArray[Float]:
        n_classes = len(self.steps)
        if probabilities.shape[1] != n_classes:
            raise AlignmentError(
                f"There must be one column per class ({n_classes}). Received {probabilities.shape[1]}. "
                "Align the classes."
            )
        columns = [np.interp(probabilities[:, k], x, y) for k, (x, y) in enumerate(self.steps)]
        calibrated = np.clip(np.stack(columns, axis=1), FLOOR, 1 - FLOOR)
        if not self.multilabel:
            calibrated /= calibrated.sum(axis=1, keepdims=True)
        return np.asarray(calibrated.astype(probabilities.dtype))

    def to_json(self) -> JsonObject:
        """JSON object `{"method", "temperature", "steps": [{"x": […], "y": […]}, …], "multilabel"}`."""
        steps = [{"x": list(x), "y": list(y)} for x, y in self.steps]
        return {
            "method": self.method,
            "temperature": self.temperature,
            "steps": steps,
            "multilabel": self.multilabel,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, object]) -> Calibration:
        """Read what `to_json` wrote.

        Raises:
            ArtefactError: a part is missing or damaged.
        """
        try:
            return cls._parse(dict(content))
        except (KeyError, TypeError, ValueError) as error:
            raise ArtefactError(
                "A calibration must name method, temperature, steps, multilabel. "
                f"Missing or damaged: {error}. Train again."
            ) from error

    @classmethod
    def _parse(cls, content: JsonObject) -> Calibration:
        steps = [(_numbers(step["x"]), _numbers(step["y"])) for step in content["steps"]]
        temperature = float(content["temperature"])
        if not 0 < temperature < np.inf:
            raise ValueError(f"a temperature of {temperature}")
        for x, y in steps:
            inside = all(0 <= value <= 1 for value in (*x, *y))
            if not x or len(x) != len(y) or not inside or any(np.diff(x) <= 0):
                raise ValueError("steps that are not points of a map from [0, 1] to [0, 1]")
        return cls(
            method=content["method"],
            temperature=temperature,
            steps=tuple(steps),
            multilabel=bool(content["multilabel"]),
        )


def fit_calibration(
    probabilities: Probabilities,
    y: Labels,
    groups: Groups | None = None,
    *,
    classes: Sequence[str],
    method: str = "auto",
    seed: int = 0,
    multilabel: bool | None = None,
    folds: Folds | None = None,
) -> Calibration:
    """Learn a calibration from out-of-fold probabilities, that is, of clips that the classifier has not seen.

    `auto` takes the simplest method whose log loss on unseen groups is within one standard error of the best.
    If every clip is its own group, it is within two standard errors, because the error is then too small.
    Isotonic regression is tried only if each class has `MIN_PER_CLASS` groups with it and without it.

    Args:
        probabilities: shape `(n, K)`.
        y: labels `(n,)`; an indicator matrix `(n, K)`; or sets that are written `rock;live`, with
            `multilabel=True`.
        groups: group of each clip, `(n,)`. Default: every clip is its own group.
        classes: K names.
        method: `none`, `temperature`, `isotonic` or `auto`.
        seed: for new folds.
        multilabel: whether clips carry label sets. Default: yes if `y` is a matrix.
        folds: folds to compare methods on. Give the folds of the run: if the data bring their own validation
            part, or groups are not known, new random folds share artists. Default: new folds.

    Raises:
        ConfigError: the method is unknown.
        AlignmentError: there is not one row of probabilities per label, or not one column per class.
        SplitLeakError: a given fold has one group on both sides.

    Source: temperature: Guo et al. 2017. Isotonic: Zadrozny & Elkan 2002, one class against the rest, then
    normalised.

    Example:
        >>> p = np.array([[0.99, 0.01]] * 10)
        >>> y = np.array(["a"] * 8 + ["b"] * 2)
        >>> fit_calibration(p, y, classes=["a", "b"], method="temperature").apply(p[:1]).round(2).tolist()
        [[0.8, 0.2]]
    """
    labelled = _as_predictions(probabilities, y, groups, classes, multilabel=multilabel)
    return learn_calibration(labelled, method=method, folds=folds, seed=seed)


def learn_calibration(
    predictions: LabelledPredictions, *, method: str = "auto", folds: Folds | None = None, seed: int = 0
) -> Calibration:
    """`fit_calibration` of the predictions of one classifier.

    What is learnt from a validation part is mixed with probabilities as they are
    (`quintet.ensemble.support`): the logarithm of the temperature and the heights of isotonic steps shrink.
    `auto` calibrates on a validation part only if it has `UNITS_PER_PARAMETER` independent groups, and for a
    gain of more than `VALIDATION_MARGIN` standard errors, which counts for the share of clips whose class
    occurs.

    Args:
        predictions: of one classifier, on clips that it has not seen.
        method: `none`, `temperature`, `isotonic` or `auto`.
        folds: folds to compare methods on. Default: new folds.
        seed: for new folds.

    Raises:
        ConfigError: the method is unknown.
        SplitLeakError: a given fold has one group on both sides.
    """
    if method not in ("auto", *METHODS):
        raise unknown_name("calibration", method, ("auto", *METHODS))
    codes = predictions.groups
    if folds is not None:
        _require_disjoint_folds(folds, codes)
    if method != "auto":
        return _fit_method(method, predictions)
    folds = _new_folds(predictions.target, codes, seed=seed) if folds is None else folds
    validation = predictions.validation
    is_small = validation is not None and count_units(codes) < UNITS_PER_PARAMETER
    if len(folds) < 2 or is_small:
        return _fit_method("none", predictions)
    n_classes = len(predictions.classes)
    methods = METHODS if _allows_isotonic(predictions.target, codes, n_classes) else METHODS[:2]
    losses = {name: predictions.losses(_calibrate_held_out(name, predictions, folds)) for name in methods}
    margin = margin_of_error(codes)
    if validation is not None:
        margin = VALIDATION_MARGIN / validation.class_share if validation.class_share else np.inf
    return _fit_method(_choose_method(losses, codes, margin), predictions)


def cross_calibrate(
    probabilities: NDArray[Float],
    y: Labels,
    groups: Groups | None = None,
    *,
    classes: Sequence[str],
    method: str,
    seed: int = 0,
    multilabel: bool | None = None,
    folds: Folds | None = None,
) -> NDArray[Float]:
    """Calibrated probabilities `(n, K)`; each row is calibrated by a map that was learnt without its group.

    Out-of-fold scores of calibrated probabilities must be computed from these. If the groups do not allow two
    folds, the probabilities are returned unchanged.

    Args:
        probabilities: out-of-fold probabilities `(n, K)`.
        y: labels, as in `fit_calibration`.
        groups: group of each clip, `(n,)`. Default: every clip is its own group.
        classes: K names.
        method: `none`, `temperature` or `isotonic`.
        seed: for new folds.
        multilabel: whether clips carry label sets. Default: yes if `y` is a matrix.
        folds: folds of the run; each row is held out once. Default: new folds.

    Raises:
        ConfigError: the method is unknown.
        AlignmentError: there is not one row of probabilities per label, or not one column per class.
        SplitLeakError: a given fold has one group on both sides.
    """
    labelled = _as_predictions(probabilities, y, groups, classes, multilabel=multilabel)
    return np.asarray(calibrate_held_out(labelled, method=method, folds=folds, seed=seed))


def calibrate_held_out(
    predictions: LabelledPredictions, *, method: str, folds: Folds | None = None, seed: int = 0
) -> Probabilities:
    """`cross_calibrate` of the predictions of one classifier; a validation part as in `learn_calibration`.

    Args:
        predictions: of one classifier, on clips that it has not seen.
        method: `none`, `temperature` or `isotonic`.
        folds: each row is held out once. Default: new folds.
        seed: for new folds.

    Raises:
        ConfigError: the method is unknown.
        SplitLeakError: a given fold has one group on both sides.
    """
    if method not in METHODS:
        raise unknown_name("calibration", method, METHODS)
    codes = predictions.groups
    if folds is None:
        folds = _new_folds(predictions.target, codes, seed=seed)
    else:
        _require_disjoint_folds(folds, codes)
    if len(folds) < 2:
        unchanged: Probabilities = predictions.stack[0]
        return unchanged
    return _calibrate_held_out(method, predictions, folds)


def _as_predictions(
    probabilities: Probabilities,
    y: Labels,
    groups: Groups | None,
    classes: Sequence[str],
    *,
    multilabel: bool | None,
) -> LabelledPredictions:
    """The predictions of one classifier with labels and groups."""
    target = _encode_target(probabilities, y, classes, multilabel=multilabel)
    codes, _ = group_codes(groups, len(target))
    return LabelledPredictions(probabilities[None], target, codes, ("classifier",), tuple(classes))


def _require_disjoint_folds(folds: Folds, codes: Codes) -> None:
    for train, held_out in folds:
        require_disjoint(codes[train], codes[held_out], where="a fold of the calibration")


def _new_folds(target: Target, codes: Codes, *, seed: int) -> Folds:
    """Grouped folds; none if the groups do not allow two."""
    n_folds = min(N_SPLITS, most_folds(target, codes))
    if n_folds < 2:
        return ()
    return grouped_folds(target, codes.tolist(), n_splits=n_folds, seed=seed)


def _choose_method(losses: dict[str, Floats], codes: Codes, margin: float) -> str:
    """The simplest method within `margin` standard errors of the best. `losses` is ordered as `METHODS`."""
    best = min(losses, key=lambda name: losses[name].mean())
    n_groups = len(np.unique(codes))
    for name, values in losses.items():
        gap = values - losses[best]
        if gap.mean() <= margin * standard_error(gap, codes, n_groups):
            return name
    return best


def _calibrate_held_out(method: str, predictions: LabelledPredictions, folds: Folds) -> Probabilities:
    """Each held-out row, calibrated by a map that was learnt on the training rows of its fold."""
    probabilities = predictions.stack[0]
    calibrated: Probabilities = np.array(probabilities)
    for train, held_out in folds:
        calibration = _fit_method(method, predictions.take(train))
        calibrated[held_out] = calibration.apply(probabilities[held_out])
    return calibrated


def _fit_method(method: str, predictions: LabelledPredictions) -> Calibration:
    """The calibration that these predictions teach; what a validation part teaches is shrunk."""
    probabilities, target = predictions.stack[0], predictions.target
    multilabel = target.ndim == 2
    n_clips, n_classes = probabilities.shape
    n_parameters = n_classes if method == "isotonic" else 1
    share = learnt_share(n_parameters, predictions.groups, predictions.validation)
    if method == "none" or share == 0 or n_clips == 0:
        return Calibration("none", 1.0, (), multilabel)
    columns = predictions.columns
    if method == "temperature":
        if not columns.all():
            probabilities, target = probabilities[:, columns], target[:, columns]
        temperature = _fit_temperature(probabilities, target)
        return Calibration(method, temperature**share, (), multilabel)
    hits = _indicator(target, n_classes)
    steps = [
        _shrink_steps(_fit_steps(p, hit), share if is_taught else 0.0)
        for p, hit, is_taught in zip(probabilities.T, hits.T, columns, strict=True)
    ]
    return Calibration(method, 1.0, tuple(steps), multilabel)


def _shrink_steps(steps: Steps, share: float) -> Steps:
    """Corners whose heights are mixed with the diagonal. Probabilities beyond the corners stay constant.

    Args:
        steps: corners (x, y).
        share: share of the learnt heights, in [0, 1]; 0 gives the diagonal.
    """
    if share == 1:
        return steps
    if share == 0:
        return (0.0, 1.0), (0.0, 1.0)
    x, y = steps
    return x, tuple(share * after + (1 - share) * before for before, after in zip(x, y, strict=True))


def _fit_temperature(probabilities: Probabilities, target: Target) -> float:
    """Temperature with the least log loss."""
    from scipy import optimize

    p = probabilities.astype(np.float64)
    multilabel = target.ndim == 2

    def loss(log_temperature: float) -> float:
        temperature = float(np.exp(log_temperature))
        calibrated = _divide_by_temperature(p, temperature, multilabel=multilabel)
        return float(clip_losses(target, calibrated).mean())

    options = {"xatol": 1e-6}
    result = optimize.minimize_scalar(loss, bounds=LOG_TEMPERATURES, method="bounded", options=options)
    return float(np.exp(result.x))


def _divide_by_temperature(p: NDArray[Float], temperature: float, *, multilabel: bool) -> NDArray[Float]:
    evidence = log_evidence(p, multilabel=multilabel)
    scaled = np.asarray(evidence / temperature, dtype=evidence.dtype)
    return evidence_to_probabilities(scaled, multilabel=multilabel)


def _fit_steps(p: Probabilities, hit: NDArray[np.bool_]) -> Steps:
    """Corners of the isotonic regression of `hit` on `p`, both `(n,)`. Equal values of p are one point."""
    from sklearn.isotonic import isotonic_regression

    values = p.astype(np.float64)
    x, inverse, count = np.unique(values, return_inverse=True, return_counts=True)
    weights = count.astype(np.float64)
    n_hits = np.bincount(inverse, hit.astype(np.float64))
    y = isotonic_regression(n_hits / count, sample_weight=weights, y_min=0.0, y_max=1.0)
    before, inner, after = y[:-2], y[1:-1], y[2:]
    is_corner = np.ones(len(y), dtype=bool)
    is_corner[1:-1] = (inner != before) | (inner != after)
    return tuple(x[is_corner].tolist()), tuple(y[is_corner].tolist())


def _allows_isotonic(target: Target, codes: Codes, n_classes: int) -> bool:
    """Whether each class has `MIN_PER_CLASS` groups with it and without it."""
    for hit in _indicator(target, n_classes).T:
        n_with, n_without = len(np.unique(codes[hit])), len(np.unique(codes[~hit]))
        if min(n_with, n_without) < MIN_PER_CLASS:
            return False
    return True


def _indicator(target: Target, n_classes: int) -> NDArray[np.bool_]:
    """Classes of each clip, `(n, K)`."""
    if target.ndim == 2:
        return np.asarray(target, dtype=np.bool_)
    return np.asarray(target[:, None] == np.arange(n_classes))


def _encode_target(
    probabilities: Probabilities, y: Labels, classes: Sequence[str], *, multilabel: bool | None
) -> Target:
    y = np.asarray(y)
    if probabilities.shape != (len(y), len(classes)):
        raise AlignmentError(
            f"There must be {len(classes)} probabilities for each of {len(y)} labels. "
            f"Received {probabilities.shape}. Align them first."
        )
    return encode_labels(y, tuple(classes), multilabel=multilabel)


def _numbers(values: Sequence[float]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
