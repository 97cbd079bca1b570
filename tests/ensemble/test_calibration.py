"""Calibration: planted temperatures are found, what is calibrated is left alone, and nothing is judged on the groups it was learnt from."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression

from quintet.ensemble.calibration import Calibration, cross_calibrate, fit_calibration
from quintet.ensemble.fusion import LabelledPredictions
from quintet.ensemble.selection import compare_rules
from quintet.errors import AlignmentError, ArtefactError, ConfigError, SplitLeakError
from quintet.evaluation.metrics import calibration_error, clip_losses, top_label

CLASSES = ("a", "b", "c")


def corpus(temperature=1.0, n=3000, seed=0):
    """Labels drawn from the probabilities themselves, then made too sure (T < 1) or too shy (T > 1)."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(3, 0.8), n).clip(1e-4)
    p /= p.sum(axis=1, keepdims=True)
    codes = (p.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    said = p ** (1 / temperature)
    return said / said.sum(axis=1, keepdims=True), np.array(CLASSES)[codes], codes, p


@pytest.mark.parametrize("planted", [0.3, 1.0, 2.5])
def test_a_planted_temperature_is_found_and_undone(planted):
    said, y, codes, p = corpus(planted)
    found = fit_calibration(said, y, classes=CLASSES, method="temperature")
    assert found.temperature == pytest.approx(1 / planted, rel=0.06)
    np.testing.assert_allclose(found.apply(said), p, atol=0.03)
    if planted != 1.0:
        assert (
            calibration_error(*top_label(codes, found.apply(said)))
            < calibration_error(*top_label(codes, said)) / 2
        )


def test_temperature_keeps_the_order_of_classes_and_its_input():
    said, y, _, _ = corpus(0.5)
    before = said.copy()
    for dtype in (np.float32, np.float64):
        after = fit_calibration(said.astype(dtype), y, classes=CLASSES, method="temperature").apply(
            said.astype(dtype)
        )
        assert after.dtype == dtype
        np.testing.assert_array_equal(after.argmax(axis=1), said.argmax(axis=1))
        np.testing.assert_allclose(after.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(said, before)


def test_what_is_calibrated_is_left_alone_and_what_is_not_is_not():
    said, y, _, _ = corpus(1.0)
    assert fit_calibration(said, y, np.arange(3000) // 3, classes=CLASSES).method == "none"
    said, y, _, _ = corpus(0.4)
    assert fit_calibration(said, y, np.arange(3000) // 3, classes=CLASSES).method == "temperature"


def test_isotonic_is_chosen_where_no_temperature_helps_and_the_data_allow():
    rng = np.random.default_rng(0)
    p = rng.random(6000)
    truth = np.where(p < 0.5, 0.1, 0.9)  # a step, said as a ramp
    y = np.where(rng.random(6000) < truth, "a", "b")
    said = np.stack([p, 1 - p], axis=1)
    found = fit_calibration(said, y, np.arange(6000) // 2, classes=("a", "b"))
    assert found.method == "isotonic"
    assert found.apply(np.array([[0.3, 0.7], [0.8, 0.2]]))[:, 0] == pytest.approx([0.1, 0.9], abs=0.04)
    few = fit_calibration(said[:150], y[:150], np.arange(150), classes=("a", "b"))
    assert few.method != "isotonic"


def test_isotonic_steps_equal_scikit_learn():
    said, y, codes, _ = corpus(0.5, n=400)
    said = said.round(2)
    found = fit_calibration(said, y, classes=CLASSES, method="isotonic")
    for k, (x, steps) in enumerate(found.steps):
        oracle = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(said[:, k], codes == k)
        np.testing.assert_allclose(np.interp(said[:, k], x, steps), oracle.predict(said[:, k]), atol=1e-12)
    np.testing.assert_allclose(found.apply(said).sum(axis=1), 1)


def test_cross_calibration_judges_on_groups_it_has_not_seen():
    """Labels that are pure noise: isotonic learnt on the same rows looks better than it is, out of fold it does not."""
    rng = np.random.default_rng(0)
    groups, p = np.arange(300) // 3, rng.dirichlet(np.ones(3), 100)[np.arange(300) // 3]
    codes = rng.integers(0, 3, 100)[groups]
    y = np.array(CLASSES)[codes]
    inside = clip_losses(
        codes, fit_calibration(p, y, groups, classes=CLASSES, method="isotonic").apply(p)
    ).mean()
    outside = clip_losses(codes, cross_calibrate(p, y, groups, classes=CLASSES, method="isotonic")).mean()
    cut = clip_losses(codes, cross_calibrate(p, y, None, classes=CLASSES, method="isotonic")).mean()
    assert inside < np.log(3) < outside
    assert cut < outside


def test_the_folds_of_the_run_judge_where_they_are_given():
    """Two halves that err in unlike ways: new random folds see a gain, the run's own see that what one teaches hurts the other."""
    (sure, y_sure, *_), (shy, y_shy, *_) = corpus(0.3, n=450), corpus(2.5, n=450, seed=2)
    said, y = np.concatenate([sure, shy]), np.concatenate([y_sure, y_shy])
    halves = [(np.arange(450), np.arange(450, 900)), (np.arange(450, 900), np.arange(450))]
    assert fit_calibration(said, y, classes=CLASSES).method == "temperature"
    assert fit_calibration(said, y, classes=CLASSES, folds=halves).method == "none"
    judged = cross_calibrate(said, y, classes=CLASSES, method="temperature", folds=halves)
    for train, valid in halves:
        learnt = fit_calibration(said[train], y[train], classes=CLASSES, method="temperature")
        np.testing.assert_allclose(judged[valid], learnt.apply(said[valid]))


def test_where_groups_are_not_known_a_gain_must_be_twice_as_sure():
    """The same clips, a gain of one to two standard errors: believed where whole groups vouch for it, not where clips do that may share an artist."""
    said, y, codes, _ = corpus(0.8, n=200)
    pairs = [(np.arange(100), np.arange(100, 200)), (np.arange(100, 200), np.arange(100))]
    cut = cross_calibrate(said, y, classes=CLASSES, method="temperature", folds=pairs)
    gain = clip_losses(codes, said) - clip_losses(codes, cut)
    assert 1.2 < gain.mean() / (gain.std(ddof=1) / np.sqrt(200)) < 1.8
    rank = np.concatenate([np.argsort(np.argsort(half)) for half in (gain[:100], gain[100:])])
    by_pair = np.minimum(rank, 99 - rank) + 100 * (
        np.arange(200) >= 100
    )  # a low gain and a high one: no larger error by group than by clip
    assert fit_calibration(said, y, by_pair, classes=CLASSES, folds=pairs).method == "temperature"
    assert fit_calibration(said, y, classes=CLASSES, folds=pairs).method == "none"


@pytest.mark.parametrize(("planted", "method"), [(0.95, "none"), (0.92, "temperature")])
def test_where_groups_are_known_a_gain_must_be_larger_than_its_standard_error_by_group(planted, method):
    """Both gains are above nothing; one is just below one standard error, one just above."""
    said, y, codes, _ = corpus(planted, n=200)
    groups, halves = (
        np.arange(200) // 2,
        [(np.arange(100), np.arange(100, 200)), (np.arange(100, 200), np.arange(100))],
    )
    cut = cross_calibrate(said, y, groups, classes=CLASSES, method="temperature", folds=halves)
    gain = clip_losses(codes, said) - clip_losses(codes, cut)
    by_group = gain.reshape(100, 2).mean(axis=1)
    surety = by_group.mean() / (by_group.std(ddof=1) / np.sqrt(100))
    assert 0.9 < surety < 1.2
    assert (surety > 1) == (method == "temperature")
    assert fit_calibration(said, y, groups, classes=CLASSES, folds=halves).method == method


def test_label_sets_have_a_temperature_of_their_own():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(3000, 3)) * 2
    indicator = rng.random((3000, 3)) < 1 / (1 + np.exp(-z))
    found = fit_calibration(1 / (1 + np.exp(-3 * z)), indicator, classes=CLASSES, method="temperature")
    assert found.multilabel
    assert found.temperature == pytest.approx(3, rel=0.1)
    assert fit_calibration(1 / (1 + np.exp(-3 * z)), indicator, np.arange(3000), classes=CLASSES).method in (
        "temperature",
        "isotonic",
    )


@pytest.mark.parametrize("method", ["none", "temperature", "isotonic"])
def test_json_gives_back_the_same_map(method):
    said, y, _, _ = corpus(0.5, n=300)
    found = fit_calibration(said, y, classes=CLASSES, method=method)
    again = Calibration.from_json(json.loads(json.dumps(found.to_json())))
    np.testing.assert_array_equal(again.apply(said), found.apply(said))


def test_bad_input_is_refused():
    said, y, _, _ = corpus(n=50)
    with pytest.raises(ConfigError, match="Did you mean 'temperature'"):
        fit_calibration(said, y, classes=CLASSES, method="temperatur")
    with pytest.raises(ConfigError, match="'auto'"):
        cross_calibrate(said, y, classes=CLASSES, method="auto")
    with pytest.raises(AlignmentError, match="3 probabilities for each"):
        fit_calibration(said[:-1], y, classes=CLASSES)
    with pytest.raises(ArtefactError, match="'steps'"):
        Calibration.from_json({"method": "none", "temperature": 1})
    with pytest.raises(AlignmentError, match="one column per class"):
        fit_calibration(said, y, classes=CLASSES, method="isotonic").apply(said[:, :2])
    one_group_per_class = np.array([str(label) for label in y])
    assert fit_calibration(said, y, one_group_per_class, classes=CLASSES).method == "none"
    np.testing.assert_array_equal(
        cross_calibrate(said, y, one_group_per_class, classes=CLASSES, method="temperature"), said
    )


def test_given_folds_that_part_a_group_are_refused():
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
        lambda *of, **options: cross_calibrate(*of, method="temperature", **options),
    ):
        with pytest.raises(SplitLeakError, match="a fold of the calibration there are 4 on both"):
            calibrate(p, y, groups, classes=("a", "b"), folds=crossed)
    with pytest.raises(SplitLeakError, match="a fold of the fusion there are 4 on both"):
        compare_rules(labelled, folds=crossed)
