"""What a validation part may teach: closed forms of the shares, classes that one side lacks, chosen rules."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from quintet.ensemble.calibration import calibrate_held_out, learn_calibration
from quintet.ensemble.fusion import RULES, LabelledPredictions, count_parameters, fit_fusion
from quintet.ensemble.selection import RuleComparison, _choose, compare_rules, find_lack
from quintet.ensemble.support import (
    ValidationPart,
    count_units,
    learnt_share,
    missing_classes,
    plan_learning,
)

WHOLE = ValidationPart(class_share=1.0)


def sharp(codes, p, n_classes, rng, noise=0.3):
    """Probabilities `(n, K)` that give p to the true class, more or less."""
    logits = rng.normal(0, noise, (len(codes), n_classes))
    logits[np.arange(len(codes)), codes] += np.log(p * (n_classes - 1) / (1 - p))
    exponentials = np.exp(logits)
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def validation_part(n_groups, clips=2, *, seed=0, good=0.6, bad=0.6, validation=WHOLE):
    """Two members on a validation part of three classes, `clips` clips a group.

    They give the true class about `good` and `bad`.
    """
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n_groups), clips)
    codes = groups % 3
    stack = np.stack([sharp(codes, good, 3, rng), sharp(codes, bad, 3, rng)])
    return LabelledPredictions(stack, codes, groups, ("good", "bad"), ("a", "b", "c"), validation)


def choose(predictions, rules=tuple(RULES), seed=0) -> RuleComparison:
    """The rule chosen on a validation part, as `EnsembleClassifier` does."""
    n = len(predictions.target)
    first = np.arange(n, 2 * n)  # rows of a train part with the same classes
    y = np.tile(predictions.target, 2)
    groups = np.concatenate([predictions.groups, predictions.groups + predictions.groups.max() + 1])
    plan = plan_learning(y, groups, [(first, np.arange(n))], seed=seed)
    return compare_rules(predictions, rules=rules, folds=plan.taught_folds)


@pytest.mark.parametrize(
    ("n_groups", "clips", "n_units"), [(10, 3, 10.0), (12, 1, 3.0), (1, 5, 1.0), (2, 2, 2.0)]
)
def test_units_are_groups_and_a_fourth_of_single_clips(n_groups, clips, n_units):
    groups = np.repeat(np.arange(n_groups) + 7, clips)
    assert count_units(groups) == n_units
    some = groups < groups.max()
    assert count_units(groups, some) == (n_units * (n_groups - 1) / n_groups)


def test_the_share_is_that_of_twenty_units_per_parameter_and_of_the_classes_seen():
    groups = np.repeat(np.arange(60), 2)
    assert learnt_share(3, groups, WHOLE) == pytest.approx(60 / (60 + 60))
    assert learnt_share(3, groups, ValidationPart(0.4)) == pytest.approx(0.4 * 0.5)
    assert learnt_share(0, groups, ValidationPart(0.4)) == 1.0
    assert learnt_share(3, groups, None) == 1.0
    shares = [learnt_share(3, np.repeat(np.arange(n), 2), WHOLE) for n in (1, 5, 20, 100, 10_000)]
    assert shares == sorted(shares)
    assert shares[0] < 0.02
    assert shares[-1] > 0.99


def test_parameters_of_a_rule_are_counted_as_they_are_fitted():
    for n_members, n_classes in ((2, 3), (4, 10)):
        counts = {rule: count_parameters(rule, n_members, n_classes) for rule in RULES}
        assert counts == {
            "mean": 0,
            "geometric": 0,
            "weighted": n_members - 1,
            "greedy": n_members - 1,
            "weighted_geometric": n_members - 1,
            "stacked": n_members + n_classes,
        }


@pytest.mark.parametrize("rule", ["weighted", "greedy", "weighted_geometric", "stacked"])
def test_learnt_weights_are_mixed_with_equal_weights(rule):
    """The weights of a validation part are on the line between those of cross-validation and equal ones."""
    part = validation_part(40, good=0.7, bad=0.4, validation=ValidationPart(0.8))
    learnt, mixed = fit_fusion(rule, replace(part, validation=None)), fit_fusion(rule, part)
    n_parameters = {"stacked": 5}.get(rule, 1)
    share = 0.8 * 40 / (40 + 20 * n_parameters)
    np.testing.assert_allclose(mixed.weights, share * np.array(learnt.weights) + (1 - share) / 2, atol=1e-12)
    if rule == "stacked":
        np.testing.assert_allclose(mixed.biases, share * np.array(learnt.biases), atol=1e-12)
    nothing = fit_fusion(rule, replace(part, validation=ValidationPart(0.0)))
    assert nothing.weights == (0.5, 0.5)
    assert not any(nothing.biases or ())


def test_the_mean_stays_on_a_small_validation_part_and_weights_win_on_a_large_one():
    """Two equal members: a few clips must not choose between them. A member of noise: 200 groups do."""
    rules = ("mean", "geometric", "weighted", "greedy", "stacked")
    for seed in range(3):
        small = choose(validation_part(19, seed=seed), rules)
        assert small.chosen == "mean"
        assert "needs 20 independent groups in the validation part and there are 19" in small.reason
    large = validation_part(200, good=0.7, bad=1 / 3)
    comparison = choose(large, rules[:-1])
    assert comparison.chosen in ("weighted", "greedy")
    fusion = fit_fusion(comparison.chosen, large)
    assert fusion.weights[0] == pytest.approx(0.5 + 0.5 * 200 / 220, abs=0.01)
    assert comparison.losses[comparison.chosen] < comparison.losses["mean"]


def test_a_rule_is_chosen_if_it_clearly_beats_the_mean_itself():
    """The gain of `geometric` is small and sure, that of `weighted` is large and unsure."""
    sure, unsure = np.full(40, 0.1), np.where(np.arange(40) % 2, 2.4, -2.0)
    losses = {"mean": np.ones(40), "geometric": 1 - sure, "weighted": 1 - unsure}
    groups = np.arange(80) // 2
    by_clip = {rule: np.repeat(values, 2) for rule, values in losses.items()}
    both = _choose(by_clip, {}, groups, 5, WHOLE)
    assert both.chosen == "geometric"
    del by_clip["geometric"]
    assert _choose(by_clip, {}, groups, 5, WHOLE).chosen == "mean"


@pytest.mark.parametrize(("clips", "margin"), [(2, 1.0), (1, 2.0)])
def test_a_gain_must_be_clear_and_counts_for_the_classes_that_occur(clips, margin):
    """`geometric` has no weights to shrink: it wins from the share on that makes its gain clear."""
    part = validation_part(100, clips, good=0.5, bad=0.5, seed=1)
    rules = ("mean", "geometric")
    gain, error = choose(part, rules).differences["mean"]
    threshold = margin * error / gain
    assert 0 < threshold < 1
    for share, chosen in ((1.01 * threshold, "geometric"), (0.99 * threshold, "mean")):
        assert choose(replace(part, validation=ValidationPart(share)), rules).chosen == chosen


@pytest.mark.slow
@pytest.mark.parametrize("validation", [None, WHOLE])
def test_stacked_is_chosen_only_on_as_many_groups_as_its_parameters_need(validation):
    """Two members and three classes are five parameters: 100 groups, 20 of each class."""
    rng = np.random.default_rng(0)

    def biased(n_groups, n_rare=None):
        """Both members give half of the probability of a to b, which only biases can mend."""
        part = validation_part(n_groups, validation=validation, good=0.8, bad=0.8)
        target = part.target
        if n_rare is not None:
            target = np.where(part.groups < n_rare, 2, part.groups % 2)
        stack = np.stack([sharp(target, 0.6, 3, rng, noise=0.05) for _ in range(2)])
        stack[:, :, 1] += 0.9 * stack[:, :, 0]
        stack[:, :, 0] *= 0.1
        return replace(part, stack=stack, target=target)

    rules = ("mean", "stacked")
    assert choose(biased(102), rules).chosen == "stacked"
    few = choose(biased(99), rules)
    assert few.chosen == "mean"
    assert few.losses["stacked"] < few.losses["mean"]
    lack = "stacked learns 5 parameters and needs 100 independent groups: there are 99"
    assert dict(few.lacks)["stacked"] == lack
    rare = biased(150, n_rare=19)
    assert choose(rare, rules).chosen == "mean"
    assert find_lack("stacked", rare) == "stacked needs 20 independent groups of each class: c has 19"
    assert choose(biased(150, n_rare=20), rules).chosen == "stacked"
    single = replace(biased(102), groups=np.arange(204))
    assert "there are 51" in find_lack("stacked", single)


def test_a_class_that_the_members_could_not_know_teaches_nothing():
    """Clips of such a class have probability zero. With them, any temperature and any weights look better."""
    rng = np.random.default_rng(0)
    n = 300
    y = np.concatenate([np.tile(["a", "b"], n // 2), np.repeat(["a", "b", "new"], 100)])
    train, valid = np.arange(n), np.arange(n, 2 * n)
    groups = np.arange(2 * n) // 2
    plan = plan_learning(y, groups, [(train, valid)], seed=0)
    assert plan.rows.tolist() == valid.tolist()
    assert plan.taught.tolist() == list(range(200))
    for inside, outside in plan.folds:
        assert set(inside) <= set(plan.taught)
        assert not set(groups[valid][inside]) & set(groups[valid][outside])
    assert sorted(np.concatenate([outside for _, outside in plan.folds])) == list(range(n))
    assert plan.validation.class_share == pytest.approx(500 / 600)
    codes = np.repeat([0, 1, 2], 100)
    true = np.where(rng.random(n) < 0.8, codes % 2, 1 - codes % 2)
    p = np.zeros((1, n, 3))
    p[0, np.arange(n), true] = 0.8
    p[0, np.arange(n), 1 - true] = 0.2
    labelled = LabelledPredictions.from_labels(
        p, y[valid], groups[valid], members=("m",), classes=("a", "b", "new"), validation=plan.validation
    )
    assert learn_calibration(labelled, method="temperature").temperature > 2  # what it would have done
    assert learn_calibration(labelled.take(plan.taught), folds=plan.taught_folds).method == "none"


def test_classes_of_one_side_are_named_and_a_class_of_one_group_is_no_obstacle():
    y = np.array(["a", "a", "b", "b", "b", "c", "c", "d"])
    train, valid = np.arange(4), np.arange(4, 8)
    assert missing_classes(y, [(train, valid)], ("a", "b", "c", "d")) == (["a"], ["c", "d"])
    plan = plan_learning(y, np.arange(8), [(train, valid)], seed=0)
    assert len(plan.folds) == 4
    assert plan.validation.class_share == pytest.approx(3 / 8)  # of all clips, those of b
    one_group = plan_learning(y, np.array([0, 1, 2, 3, 9, 9, 9, 9]), [(train, valid)], seed=0)
    assert (one_group.folds, one_group.validation.class_share) == ((), 0.0)


def test_tags_that_the_members_could_not_know_teach_no_calibration():
    rng = np.random.default_rng(1)
    n = 400
    tags = (rng.random((2 * n, 3)) < [0.5, 0.3, 0.5]).astype(int)
    train, valid = np.arange(n), np.arange(n, 2 * n)
    tags[train, 2] = 0
    plan = plan_learning(tags, np.arange(2 * n) // 2, [(train, valid)], seed=0)
    assert plan.validation.known.tolist() == [True, True, False]
    assert plan.validation.class_share == pytest.approx(tags[:, :2].sum() / tags.sum())
    p = np.clip(np.where(tags[valid] == 1, 0.8, 0.2), 0, 1).astype(float)
    flip = rng.random((n, 3)) < 0.2
    p = np.where(flip, 1 - p, p)
    p[:, 2] = 1e-3
    labelled = LabelledPredictions.from_labels(
        p[None],
        tags[valid],
        np.arange(n) // 2,
        members=("m",),
        classes=("x", "y", "z"),
        validation=plan.validation,
    )
    with_all = replace(labelled, validation=replace(plan.validation, known=None))
    assert learn_calibration(with_all, method="temperature").temperature > 1.5  # what it would have done
    assert learn_calibration(labelled, method="temperature").temperature < 1.15


def test_a_learnt_temperature_is_shrunk_and_a_tiny_part_is_left_alone():
    rng = np.random.default_rng(0)

    def unsure(n_groups, validation):
        codes = np.repeat(rng.integers(0, 3, n_groups), 2)
        p = sharp(codes, 0.45, 3, rng, noise=0.2)
        return LabelledPredictions(
            p[None], codes, np.repeat(np.arange(n_groups), 2), ("m",), ("a", "b", "c"), validation
        )

    large = unsure(200, ValidationPart(0.5))
    learnt = learn_calibration(replace(large, validation=None), method="temperature").temperature
    shrunk = learn_calibration(large, method="temperature").temperature
    assert learnt < 0.7
    assert np.log(shrunk) == pytest.approx(0.5 * 200 / 220 * np.log(learnt))
    folds = [(np.arange(200, 400), np.arange(200)), (np.arange(200), np.arange(200, 400))]
    assert learn_calibration(large, folds=folds).method == "temperature"
    held_out = calibrate_held_out(large, method="temperature", folds=folds)
    first = learn_calibration(large.take(np.arange(200)), method="temperature")
    np.testing.assert_array_equal(held_out[200:], first.apply(large.stack[0][200:]))
    nothing = replace(large, validation=ValidationPart(0.0))
    assert learn_calibration(nothing, method="temperature").method == "none"
    for n_groups, method in ((19, "none"), (20, "temperature")):
        rows = np.arange(2 * n_groups)
        small = replace(large, validation=WHOLE).take(rows)
        halves = [(rows[20:], rows[:20]), (rows[:20], rows[20:])]
        assert learn_calibration(small, folds=halves).method == method


def test_isotonic_steps_of_a_validation_part_are_mixed_with_the_diagonal():
    rng = np.random.default_rng(0)
    p = rng.random(800)
    codes = (rng.random(800) > np.where(p < 0.5, 0.1, 0.9)).astype(int)
    stack = np.stack([p, 1 - p], axis=1)[None]
    labelled = LabelledPredictions(stack, codes, np.arange(800) // 2, ("m",), ("a", "b"), ValidationPart(0.9))
    learnt = learn_calibration(replace(labelled, validation=None), method="isotonic")
    mixed = learn_calibration(labelled, method="isotonic")
    share = 0.9 * 400 / (400 + 20 * 2)
    for (x, y), (new_x, new_y) in zip(learnt.steps, mixed.steps, strict=True):
        assert x == new_x
        np.testing.assert_allclose(new_y, share * np.array(y) + (1 - share) * np.array(x), atol=1e-12)


def test_in_cross_validation_the_plan_is_the_folds_of_the_run():
    y, folds = np.array(["a", "b"] * 4), [(np.arange(4), np.arange(4, 8)), (np.arange(4, 8), np.arange(4))]
    plan = plan_learning(y, np.arange(8), folds, seed=0)
    assert plan.folds is folds
    assert plan.taught_folds is folds
    assert (plan.rows.tolist(), plan.taught.tolist()) == (list(range(8)), list(range(8)))
    assert plan.validation is None


def test_a_rule_is_judged_by_the_classes_of_all_clips_not_by_those_of_the_validation_part():
    """The second member knows class c alone, which is rare in the validation part and frequent in train."""
    rng = np.random.default_rng(0)
    codes = np.repeat([0, 1, 2], [80, 80, 8])
    good, bad = sharp(codes, 0.75, 3, rng), sharp(codes, 1 / 3, 3, rng)
    is_c = codes == 2
    good[is_c], bad[is_c] = bad[is_c], good[is_c]
    part = LabelledPredictions(np.stack([good, bad]), codes, np.arange(168) // 2, ("m", "n"), ("a", "b", "c"))
    rules = ("mean", "weighted")

    def choice(counts):
        plan = plan_learning(
            np.concatenate([np.repeat([0, 1, 2], counts), codes]),
            np.concatenate([np.arange(sum(counts)) + 1000, part.groups]),
            [(np.arange(sum(counts)), np.arange(sum(counts), sum(counts) + 168))],
            seed=0,
        )
        own = {str("abc"[int(name)]): n for name, n in plan.validation.counts.items()}
        seen = replace(part, validation=replace(plan.validation, counts=own))
        return compare_rules(seen, rules=rules, folds=plan.taught_folds).chosen

    assert choice([80, 80, 8]) == "weighted"
    assert choice([20, 20, 400]) == "mean"
