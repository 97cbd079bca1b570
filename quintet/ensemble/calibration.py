"""Calibration: probabilities one can trust. One temperature, or an isotonic map per class where data allow; learnt out of fold, by group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize
from sklearn.isotonic import isotonic_regression

from quintet.datasets.groups import require_disjoint
from quintet.datasets.splits.protocols import grouped_folds
from quintet.ensemble.fusion import most_folds, standard_error
from quintet.ensemble.fusion_weights import FLOOR, log_evidence
from quintet.errors import AlignmentError, ArtefactError, unknown_name
from quintet.evaluation.intervals import group_codes
from quintet.evaluation.metrics import clip_losses, encode_labels

METHODS = ("none", "temperature", "isotonic")
MIN_PER_CLASS = 100  # groups with and groups without a class: below, a staircase of steps learns the noise
UNGROUPED_MARGIN = 2.0  # standard errors: by clip they take one artist's clips for independent; by artist they are twice as large on GTZAN
LOG_TEMPERATURES = (-3.0, 3.0)
Folds = Sequence[tuple[NDArray[Any], NDArray[Any]]]


@dataclass(frozen=True)
class Calibration:
    """A fitted map of probabilities. `temperature` T > 1 makes less sure; `steps` has (x, y) knots per class for `isotonic`.

    Example:
        >>> Calibration("temperature", temperature=2.0).apply(np.array([[0.8, 0.2]])).round(3).tolist()  # √0.8 : √0.2 = 2 : 1
        [[0.667, 0.333]]
        >>> Calibration.from_json(Calibration("temperature", 2.0).to_json()) == Calibration("temperature", 2.0)
        True
    """

    method: str
    temperature: float = 1.0
    steps: tuple[tuple[tuple[float, ...], tuple[float, ...]], ...] = ()
    multilabel: bool = False

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise unknown_name("calibration", self.method, METHODS)

    def apply(self, probabilities: NDArray[Any]) -> NDArray[Any]:
        """(n, K) → (n, K), in the same dtype; rows sum to 1 again unless for label sets. The input is not changed."""
        if self.method == "temperature":
            return _tempered(probabilities, self.temperature, multilabel=self.multilabel)
        if self.method == "isotonic":
            return self._stepped(probabilities)
        return probabilities

    def _stepped(self, probabilities: NDArray[Any]) -> NDArray[Any]:
        if probabilities.shape[1] != len(self.steps):
            raise AlignmentError(
                f"There must be one column per class ({len(self.steps)}). Received {probabilities.shape[1]}. Align the classes."
            )
        columns = [np.interp(probabilities[:, k], x, y) for k, (x, y) in enumerate(self.steps)]
        mapped = np.clip(np.stack(columns, axis=1), FLOOR, 1 - FLOOR)
        if not self.multilabel:
            mapped /= mapped.sum(axis=1, keepdims=True)
        return np.asarray(mapped.astype(probabilities.dtype))

    def to_json(self) -> dict[str, Any]:
        """`{"method", "temperature", "steps": [{"x": […], "y": […]}, …], "multilabel"}`."""
        steps = [{"x": list(x), "y": list(y)} for x, y in self.steps]
        return {
            "method": self.method,
            "temperature": self.temperature,
            "steps": steps,
            "multilabel": self.multilabel,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Calibration:
        """The calibration that `to_json` described. Raises ArtefactError where something is missing."""
        try:
            steps = tuple((tuple(map(float, s["x"])), tuple(map(float, s["y"]))) for s in content["steps"])
            return cls(content["method"], float(content["temperature"]), steps, bool(content["multilabel"]))
        except (KeyError, TypeError) as error:
            raise ArtefactError(
                f"A calibration must name method, temperature, steps, multilabel. Missing or damaged: {error}. Train again."
            ) from error


def fit_calibration(
    probabilities: NDArray[Any],
    y: NDArray[Any],
    groups: NDArray[Any] | None = None,
    *,
    classes: Sequence[str],
    method: str = "auto",
    seed: int = 0,
    multilabel: bool | None = None,
    folds: Folds | None = None,
) -> Calibration:
    """A calibration learnt from out-of-fold probabilities (those of rows the model has not seen).

    Args:
        probabilities: (n, K).
        y: (n,) labels; an indicator matrix, or sets `rock;live` with `multilabel=True`.
        groups: (n,) or None.
        method: `none`, `temperature`, `isotonic`; or `auto`: the simplest whose log loss on groups it has not seen is within one standard error
            of the best (two, where every clip is its own group: the error is then too small). Isotonic runs only where each class has
            `MIN_PER_CLASS` groups with it and without it.
        seed: which folds.
        folds: (train, held-out) positions to judge methods on, in the place of new ones. Give those of the run: where the data bring their own
            validation part, or groups are not known, new random folds would share artists.

    Raises:
        ConfigError: no such method. SplitLeakError: given folds part a group.

    Source: temperature: Guo et al. 2017. Isotonic: Zadrozny & Elkan 2002, one class against the rest, then normalised.

    Example:
        >>> p = np.array([[0.99, 0.01]] * 10)
        >>> y = np.array(["a"] * 8 + ["b"] * 2)
        >>> fit_calibration(p, y, classes=["a", "b"], method="temperature").apply(p[:1]).round(2).tolist()
        [[0.8, 0.2]]
    """
    if method not in ("auto", *METHODS):
        raise unknown_name("calibration", method, ("auto", *METHODS))
    target = _target(probabilities, y, classes, multilabel=multilabel)
    codes, n_groups = group_codes(groups, len(target))
    folds = None if folds is None else _checked(folds, codes)
    if method != "auto":
        return _fitted(method, probabilities, target)
    methods = METHODS if _enough(target, codes, probabilities.shape[1]) else METHODS[:2]
    folds = folds if folds is not None else _new_folds(target, codes, at_most=5, seed=seed)
    if len(folds) < 2:
        return _fitted("none", probabilities, target)
    losses = {
        name: clip_losses(target, p) for name, p in _held_out(methods, probabilities, target, folds).items()
    }
    best = min(methods, key=lambda name: losses[name].mean())
    gaps = {name: losses[name] - losses[best] for name in methods}
    margin = 1.0 if n_groups < len(target) else UNGROUPED_MARGIN
    chosen = next(
        name for name in methods if gaps[name].mean() <= margin * standard_error(gaps[name], codes, n_groups)
    )
    return _fitted(chosen, probabilities, target)


def cross_calibrate(
    probabilities: NDArray[Any],
    y: NDArray[Any],
    groups: NDArray[Any] | None = None,
    *,
    classes: Sequence[str],
    method: str,
    n_splits: int = 5,
    seed: int = 0,
    multilabel: bool | None = None,
    folds: Folds | None = None,
) -> NDArray[Any]:
    """(n, K) each row calibrated by a map that was learnt without its group: what out-of-fold scores of calibrated probabilities must be made of.

    `folds`: those of the run, as in `fit_calibration`; each row is in one held-out part. Where the groups do not allow two folds, the
    probabilities come back as they were.
    """
    if method not in METHODS:
        raise unknown_name("calibration", method, METHODS)
    target = _target(probabilities, y, classes, multilabel=multilabel)
    codes = group_codes(groups, len(target))[0]
    folds = (
        _checked(folds, codes)
        if folds is not None
        else _new_folds(target, codes, at_most=n_splits, seed=seed)
    )
    return probabilities if len(folds) < 2 else _held_out((method,), probabilities, target, folds)[method]


def _checked(folds: Folds, codes: NDArray[np.int64]) -> Folds:
    """Folds that were given; SplitLeakError where one parts a group."""
    for train, valid in folds:
        require_disjoint(codes[train], codes[valid], where="a fold of the calibration")
    return folds


def _new_folds(target: NDArray[Any], codes: NDArray[np.int64], *, at_most: int, seed: int) -> Folds:
    """Grouped folds, or none where the groups do not allow two."""
    n_folds = min(at_most, most_folds(target, codes))
    return grouped_folds(target, codes.tolist(), n_splits=n_folds, seed=seed) if n_folds >= 2 else ()


def _held_out(
    methods: Sequence[str], probabilities: NDArray[Any], target: NDArray[Any], folds: Folds
) -> dict[str, NDArray[Any]]:
    result = {name: np.array(probabilities) for name in methods}
    for train, valid in folds:
        for name in methods:
            result[name][valid] = _fitted(name, probabilities[train], target[train]).apply(
                probabilities[valid]
            )
    return result


def _fitted(method: str, probabilities: NDArray[Any], target: NDArray[Any]) -> Calibration:
    sets = target.ndim == 2
    if method == "temperature":
        return Calibration(method, _temperature(probabilities, target), (), sets)
    if method == "isotonic":
        hits = target if sets else target[:, None] == np.arange(probabilities.shape[1])
        return Calibration(
            method, 1.0, tuple(_steps(p, hit) for p, hit in zip(probabilities.T, hits.T, strict=True)), sets
        )
    return Calibration("none", 1.0, (), sets)


def _temperature(probabilities: NDArray[Any], target: NDArray[Any]) -> float:
    p = probabilities.astype(np.float64)
    found = optimize.minimize_scalar(
        lambda t: clip_losses(target, _tempered(p, float(np.exp(t)), multilabel=target.ndim == 2)).mean(),
        bounds=LOG_TEMPERATURES,
        method="bounded",
        options={"xatol": 1e-6},
    )
    return float(np.exp(found.x))


def _tempered(p: NDArray[Any], temperature: float, *, multilabel: bool) -> NDArray[Any]:
    z = log_evidence(p, multilabel=multilabel) / temperature
    if multilabel:
        return np.asarray(1 / (1 + np.exp(-z)))
    z = np.exp(z - z.max(axis=1, keepdims=True))
    return np.asarray(z / z.sum(axis=1, keepdims=True))


def _steps(p: NDArray[Any], hit: NDArray[Any]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The isotonic regression of `hit` on `p`, ties in p as one, only its corners kept."""
    x, inverse, count = np.unique(p.astype(np.float64), return_inverse=True, return_counts=True)
    share = np.bincount(inverse, hit.astype(np.float64)) / count
    y = isotonic_regression(share, sample_weight=count.astype(np.float64), y_min=0.0, y_max=1.0)
    corner = np.ones(len(y), dtype=bool)
    corner[1:-1] = (y[1:-1] != y[:-2]) | (y[1:-1] != y[2:])
    return tuple(x[corner].tolist()), tuple(y[corner].tolist())


def _enough(target: NDArray[Any], codes: NDArray[np.int64], n_classes: int) -> bool:
    hits = target if target.ndim == 2 else target[:, None] == np.arange(n_classes)
    return all(
        min(len(np.unique(codes[hit])), len(np.unique(codes[~hit]))) >= MIN_PER_CLASS for hit in hits.T
    )


def _target(
    probabilities: NDArray[Any], y: NDArray[Any], classes: Sequence[str], *, multilabel: bool | None
) -> NDArray[Any]:
    y = np.asarray(y)
    if probabilities.shape != (len(y), len(classes)):
        raise AlignmentError(
            f"There must be {len(classes)} probabilities for each of {len(y)} labels. Received {probabilities.shape}. Align them first."
        )
    return encode_labels(y, tuple(classes), multilabel=multilabel)
