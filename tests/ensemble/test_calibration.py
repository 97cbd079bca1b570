"""Calibration: planted temperatures, probabilities that need none, and scores on unseen groups only."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression

from quintet.ensemble.calibration import Calibration, cross_calibrate, fit_calibration
from quintet.ensemble.fusion import LabelledPredictions
from quintet.ensemble.selection import compare_rules
from quintet.errors import AlignmentError, ArtefactError, ConfigError, SplitLeakError
from quintet.evaluation.losses import clip_losses
from quintet.evaluation.metrics import calibration_error, top_label

CLASSES = ("a", "b", "c")


def corpus(temperature=1.0, n=3000, seed=0):
    """Labels drawn from the probabilities, which are then made too sure (T < 1) or too unsure (T > 1)."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(3, 0.8), n).clip(1e-4)
    p /= p.sum(axis=1, keepdims=True)
    codes = (p.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    probabilities = p ** (1 / temperature)
    return probabilities / probabilities.sum(axis=1, keepdims=True), np.array(CLASSES)[codes], codes, p


@pytest.mark.parametrize("planted", [0.3, 1.0, 2.5])
def test_a_planted_temperature_is_estimated_and_removed(planted):
    probabilities, y, codes, p = corpus(planted)
    calibration = fit_calibration(probabilities, y, classes=CLASSES, method="temperature")
    assert calibration.temperature == pytest.approx(1 / planted, rel=0.06)
    np.testing.assert_allclose(calibration.apply(probabilities), p, atol=0.03)
    if planted != 1.0:
        assert (
            calibration_error(*top_label(codes, calibration.apply(probabilities)))
            < calibration_error(*top_label(codes, probabilities)) / 2
        )


def test_temperature_keeps_the_order_of_classes_and_its_input():
    probabilities, y, _, _ = corpus(0.5)
    before = probabilities.copy()
    for dtype in (np.float32, np.float64):
        after = fit_calibration(probabilities.astype(dtype), y, classes=CLASSES, method="temperature").apply(
            probabilities.astype(dtype)
        )
        assert after.dtype == dtype
        np.testing.assert_array_equal(after.argmax(axis=1), probabilities.argmax(axis=1))
        np.testing.assert_allclose(after.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(probabilities, before)


def test_only_uncalibrated_probabilities_are_changed():
    probabilities, y, _, _ = corpus(1.0)
    assert fit_calibration(probabilities, y, np.arange(3000) // 3, classes=CLASSES).method == "none"
    probabilities, y, _, _ = corpus(0.4)
    assert fit_calibration(probabilities, y, np.arange(3000) // 3, classes=CLASSES).method == "temperature"


def test_isotonic_is_chosen_if_no_temperature_helps_and_there_are_enough_groups():
    rng = np.random.default_rng(0)
    p = rng.random(6000)
    truth = np.where(p < 0.5, 0.1, 0.9)  # the truth is a step, the probabilities are a ramp
    y = np.where(rng.random(6000) < truth, "a", "b")
    probabilities = np.stack([p, 1 - p], axis=1)
    calibration = fit_calibration(probabilities, y, np.arange(6000) // 2, classes=("a", "b"))
    assert calibration.method == "isotonic"
    assert calibration.apply(np.array([[0.3, 0.7], [0.8, 0.2]]))[:, 0] == pytest.approx([0.1, 0.9], abs=0.04)
    few = fit_calibration(probabilities[:150], y[:150], np.arange(150), classes=("a", "b"))
    assert few.method != "isotonic"


def test_isotonic_steps_equal_scikit_learn():
    probabilities, y, codes, _ = corpus(0.5, n=400)
    probabilities = probabilities.round(2)
    calibration = fit_calibration(probabilities, y, classes=CLASSES, method="isotonic")
    for k, (x, steps) in enumerate(calibration.steps):
        oracle = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(
            probabilities[:, k], codes == k
        )
        np.testing.assert_allclose(
            np.interp(probabilities[:, k], x, steps), oracle.predict(probabilities[:, k]), atol=1e-12
        )
    np.testing.assert_allclose(calibration.apply(probabilities).sum(axis=1), 1)


def test_cross_calibration_scores_unseen_groups():
    """Labels are pure noise. Isotonic regression scored on its own training rows looks too good."""
    rng = np.random.default_rng(0)
    groups, p = np.arange(300) // 3, rng.dirichlet(np.ones(3), 100)[np.arange(300) // 3]
    codes = rng.integers(0, 3, 100)[groups]
    y = np.array(CLASSES)[codes]
    inside = clip_losses(
        codes, fit_calibration(p, y, groups, classes=CLASSES, method="isotonic").apply(p)
    ).mean()
    outside = clip_losses(codes, cross_calibrate(p, y, groups, classes=CLASSES, method="isotonic")).mean()
    by_clip = clip_losses(codes, cross_calibrate(p, y, None, classes=CLASSES, method="isotonic")).mean()
    assert inside < np.log(3) < outside
    assert by_clip < outside


def test_given_folds_decide_the_method():
    """Two halves err in opposite ways. Random folds show a gain; the given halves show a loss."""
    (sure, y_sure, *_), (shy, y_shy, *_) = corpus(0.3, n=450), corpus(2.5, n=450, seed=2)
    probabilities, y = np.concatenate([sure, shy]), np.concatenate([y_sure, y_shy])
    halves = [(np.arange(450), np.arange(450, 900)), (np.arange(450, 900), np.arange(450))]
    assert fit_calibration(probabilities, y, classes=CLASSES).method == "temperature"
    assert fit_calibration(probabilities, y, classes=CLASSES, folds=halves).method == "none"
    calibrated = cross_calibrate(probabilities, y, classes=CLASSES, method="temperature", folds=halves)
    for train, valid in halves:
        fitted = fit_calibration(probabilities[train], y[train], classes=CLASSES, method="temperature")
        np.testing.assert_allclose(calibrated[valid], fitted.apply(probabilities[valid]))


def test_without_groups_a_gain_must_exceed_two_standard_errors():
    """A gain of 1 to 2 standard errors is accepted by group, but not by clip: clips may share an artist."""
    probabilities, y, codes, _ = corpus(0.8, n=200)
    pairs = [(np.arange(100), np.arange(100, 200)), (np.arange(100, 200), np.arange(100))]
    held_out = cross_calibrate(probabilities, y, classes=CLASSES, method="temperature", folds=pairs)
    gain = clip_losses(codes, probabilities) - clip_losses(codes, held_out)
    assert 1.2 < gain.mean() / (gain.std(ddof=1) / np.sqrt(200)) < 1.8
    rank = np.concatenate([np.argsort(np.argsort(half)) for half in (gain[:100], gain[100:])])
    by_pair = np.minimum(rank, 99 - rank) + 100 * (
        np.arange(200) >= 100
    )  # a low and a high gain per pair: the error by group is not larger than by clip
    assert fit_calibration(probabilities, y, by_pair, classes=CLASSES, folds=pairs).method == "temperature"
    assert fit_calibration(probabilities, y, classes=CLASSES, folds=pairs).method == "none"


@pytest.mark.parametrize(("planted", "method"), [(0.95, "none"), (0.92, "temperature")])
def test_with_groups_a_gain_must_exceed_one_standard_error_by_group(planted, method):
    """Both gains are positive. One is just below one standard error, the other just above."""
    probabilities, y, codes, _ = corpus(planted, n=200)
    groups, halves = (
        np.arange(200) // 2,
        [(np.arange(100), np.arange(100, 200)), (np.arange(100, 200), np.arange(100))],
    )
    held_out = cross_calibrate(probabilities, y, groups, classes=CLASSES, method="temperature", folds=halves)
    gain = clip_losses(codes, probabilities) - clip_losses(codes, held_out)
    by_group = gain.reshape(100, 2).mean(axis=1)
    ratio = by_group.mean() / (by_group.std(ddof=1) / np.sqrt(100))
    assert 0.9 < ratio < 1.2
    assert (ratio > 1) == (method == "temperature")
    assert fit_calibration(probabilities, y, groups, classes=CLASSES, folds=halves).method == method


def test_a_planted_temperature_of_label_sets_is_estimated():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(3000, 3)) * 2
    indicator = rng.random((3000, 3)) < 1 / (1 + np.exp(-z))
    calibration = fit_calibration(1 / (1 + np.exp(-3 * z)), indicator, classes=CLASSES, method="temperature")
    assert calibration.multilabel
    assert calibration.temperature == pytest.approx(3, rel=0.1)
    assert fit_calibration(1 / (1 + np.exp(-3 * z)), indicator, np.arange(3000), classes=CLASSES).method in (
        "temperature",
        "isotonic",
    )


@pytest.mark.parametrize("method", ["none", "temperature", "isotonic"])
def test_json_restores_the_calibration(method):
    probabilities, y, _, _ = corpus(0.5, n=300)
    calibration = fit_calibration(probabilities, y, classes=CLASSES, method=method)
    restored = Calibration.from_json(json.loads(json.dumps(calibration.to_json())))
    np.testing.assert_array_equal(restored.apply(probabilities), calibration.apply(probabilities))


def test_bad_input_is_refused():
    probabilities, y, _, _ = corpus(n=50)
    with pytest.raises(ConfigError, match="Did you mean 'temperature'"):
        fit_calibration(probabilities, y, classes=CLASSES, method="temperatur")
    with pytest.raises(ConfigError, match="'auto'"):
        cross_calibrate(probabilities, y, classes=CLASSES, method="auto")
    with pytest.raises(AlignmentError, match="3 probabilities for each"):
        fit_calibration(probabilities[:-1], y, classes=CLASSES)
    with pytest.raises(ArtefactError, match="'steps'"):
        Calibration.from_json({"method": "none", "temperature": 1})
    with pytest.raises(AlignmentError, match="one column per class"):
        fit_calibration(probabilities, y, classes=CLASSES, method="isotonic").apply(probabilities[:, :2])
    one_group_per_class = np.array([str(label) for label in y])
    assert fit_calibration(probabilities, y, one_group_per_class, classes=CLASSES).method == "none"
    np.testing.assert_array_equal(
        cross_calibrate(probabilities, y, one_group_per_class, classes=CLASSES, method="temperature"),
        probabilities,
    )


def test_given_folds_that_divide_a_group_are_refused():
    p, y, groups = (
        np.tile([0.6, 0.4], (8, 1)),
        np.array(["a", "b"] * 4),
        np.repeat(["one", "two", "three", "four"], 2),
    )
    crossed = [(np.arange(0, 8, 2), np.arange(1, 8, 2)), (np.arange(1, 8, 2), np.arange(0, 8, 2))]
    stack = np.stack([p, p])
    labelled = LabelledPredictions.from_labels(stack, y, groups, members=("m", "n"), classes=("a", "b"))
    for calibrate in (
        fit_calibration,
        lambda *arrays, **options: cross_calibrate(*arrays, method="temperature", **options),
    ):
        with pytest.raises(SplitLeakError, match="a fold of the calibration there are 4 on both"):
            calibrate(p, y, groups, classes=("a", "b"), folds=crossed)
    with pytest.raises(SplitLeakError, match="a fold of the fusion there are 4 on both"):
        compare_rules(labelled, folds=crossed)
