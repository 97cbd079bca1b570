"""Fusion and selection of a rule: closed forms, optimality conditions, planted members, the simplest rule."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quintet.ensemble import RULE_NAMES, selection
from quintet.ensemble.fusion import (
    RULES,
    Fusion,
    LabelledPredictions,
    fit_fusion,
    geometric_mean,
    log_pool,
    mean,
    weighted_mean,
)
from quintet.ensemble.fusion_weights import (
    constant_prediction,
    convex_weights,
    geometric_weights,
    greedy_weights,
    informative_members,
    log_linear_pool,
    true_probabilities,
)
from quintet.ensemble.selection import compare_rules
from quintet.errors import AlignmentError, ArtefactError, ConfigError
from quintet.evaluation.losses import binary_log_losses, log_losses

CLASSES = ("a", "b", "c", "d")


def softmax(z):
    z = np.exp(z - z.max(axis=-1, keepdims=True))
    return z / z.sum(axis=-1, keepdims=True)


def corpus(n_groups=80, size=3, seed=0, strengths=(2.0, 1.5), sharpness=1.0, noise=True):
    """Members of different strength on grouped clips, and one that is pure noise."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n_groups), size)
    codes = np.repeat(rng.permutation(np.arange(n_groups) % 4), size)
    onehot = np.eye(4)[codes]
    members = [
        softmax(
            sharpness
            * (s * onehot + rng.normal(size=(n_groups, 4))[groups] * 0.5 + rng.normal(size=onehot.shape))
        )
        for s in strengths
    ]
    if noise:
        members.append(rng.dirichlet(np.ones(4), len(codes)))
    return np.stack(members), np.array(CLASSES)[codes], groups.astype(str), codes


def labelled(stack, y, groups=None, **settings):
    members = [f"m{i}" for i in range(len(stack))]
    return LabelledPredictions.from_labels(stack, y, groups, members=members, classes=CLASSES, **settings)


stacks = st.tuples(st.integers(0, 2**31), st.integers(1, 4), st.integers(1, 12)).map(
    lambda s: np.random.default_rng(s[0]).dirichlet(np.full(4, 0.3), (s[1], s[2]))
)


@settings(max_examples=50, deadline=None)
@given(stacks)
def test_mean_and_geometric_mean_equal_their_formulas(stack):
    np.testing.assert_allclose(mean(stack), stack.mean(axis=0), atol=1e-15)
    product = np.exp(np.log(np.clip(stack, 1e-6, 1 - 1e-6)).mean(axis=0))
    np.testing.assert_allclose(
        geometric_mean(stack), product / product.sum(axis=1, keepdims=True), atol=1e-12
    )
    odds = np.log(np.clip(stack, 1e-6, 1 - 1e-6) / (1 - np.clip(stack, 1e-6, 1 - 1e-6))).mean(axis=0)
    np.testing.assert_allclose(geometric_mean(stack, multilabel=True), 1 / (1 + np.exp(-odds)), atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(stacks, st.sampled_from([np.float32, np.float64]), st.sampled_from(list(RULES)))
def test_every_rule_gives_probabilities_and_keeps_its_inputs(stack, dtype, rule):
    stack = stack.astype(dtype)
    before, y = stack.copy(), np.array(CLASSES)[np.arange(stack.shape[1]) % 4]
    fused = fit_fusion(rule, labelled(stack, y)).apply(stack)
    np.testing.assert_array_equal(stack, before)
    assert fused.dtype == dtype
    np.testing.assert_allclose(fused.sum(axis=1), 1, atol=1e-5)
    assert ((fused >= 0) & (fused <= 1)).all()


@settings(max_examples=30, deadline=None)
@given(stacks, st.sampled_from(list(RULES)))
def test_equal_members_fuse_to_themselves(stack, rule):
    same = np.stack([stack[0]] * 3)
    if rule == "stacked":  # it may sharpen
        return
    fused = fit_fusion(rule, labelled(same, np.array(CLASSES)[np.arange(stack.shape[1]) % 4])).apply(same)
    np.testing.assert_allclose(fused, stack[0], atol=1e-5)


@pytest.mark.parametrize("rule", RULES)
def test_the_order_of_members_and_of_clips_does_not_matter(rule):
    stack, y, groups, _ = corpus()
    fused = fit_fusion(rule, labelled(stack, y, groups)).apply(stack)
    order, rows = [2, 0, 1], np.random.default_rng(0).permutation(len(y))
    other = stack[order][:, rows]
    np.testing.assert_allclose(
        fit_fusion(rule, labelled(other, y[rows], groups[rows])).apply(other),
        fused[rows],
        atol=1e-4,
    )


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.integers(2, 6), st.integers(1, 200))
def test_convex_weights_meet_the_conditions_of_an_optimum(seed, n_members, n):
    """mean(L_m / mixture) ≤ 1 for all, = 1 for those with weight: the Karush-Kuhn-Tucker conditions."""
    likelihood = np.random.default_rng(seed).beta(0.7, 0.7, (n_members, n)).clip(1e-6)
    weights = convex_weights(likelihood)
    assert weights.sum() == pytest.approx(1)
    assert (weights >= 0).all()
    gains = (likelihood / (weights @ likelihood)).mean(axis=1)
    assert gains.max() <= 1 + 2e-5
    assert gains[weights > 1e-3] == pytest.approx(1, abs=1e-2)


def test_convex_weights_in_closed_form():
    """p = 0.9 on a share s of the clips and 0.1 on the others, against the reverse.

    The derivative of the loss is zero at w = (s · 10 - 1) / 8.
    """
    likelihood = np.vstack(
        [np.r_[np.full(60, 0.9), np.full(40, 0.1)], np.r_[np.full(60, 0.1), np.full(40, 0.9)]]
    )
    assert convex_weights(likelihood) == pytest.approx([0.625, 0.375], abs=1e-4)


@pytest.mark.parametrize("rule", ["weighted", "greedy", "weighted_geometric"])
@pytest.mark.parametrize("sharpness", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("seed", range(4))
def test_a_member_that_is_pure_noise_gets_nothing(rule, sharpness, seed):
    """Also beside overconfident members (sharpness 4), where noise lowers the loss by spreading it."""
    stack, y, groups, _ = corpus(seed=seed, sharpness=sharpness)
    assert fit_fusion(rule, labelled(stack, y, groups)).weights[2] < 0.02


def test_noise_beside_overconfident_members_would_get_weight_as_a_smoother():
    stack, y, groups, codes = corpus(sharpness=4.0, strengths=(1.0, 0.8))
    assert convex_weights(true_probabilities(stack, codes))[2] > 0.2
    assert fit_fusion("weighted", labelled(stack, y, groups)).weights[2] == 0


def test_copies_of_a_clip_do_not_make_a_member_more_informative():
    """A member that is slightly lucky on 30 clips is not informed by having each clip ten times."""
    rng = np.random.default_rng(3)
    likelihood, constant = np.vstack([rng.random(30) * 0.6, np.full(30, 0.9)]), np.full(30, 0.25)
    once = informative_members(likelihood, constant, np.arange(30))
    copies = informative_members(
        np.repeat(likelihood, 10, axis=1), np.repeat(constant, 10), np.repeat(np.arange(30), 10)
    )
    assert once.tolist() == copies.tolist() == [False, True]
    assert informative_members(
        np.repeat(likelihood, 10, axis=1), np.repeat(constant, 10), np.arange(300)
    ).tolist() == [True, True]


def test_if_all_members_are_noise_all_are_kept():
    stack = np.random.default_rng(0).dirichlet(np.ones(4), (3, 50))
    codes = np.arange(50) % 4
    assert informative_members(
        true_probabilities(stack, codes), constant_prediction(codes, 4), np.arange(50)
    ).all()


def test_weighted_is_no_worse_than_any_member_or_the_mean_on_its_training_rows():
    stack, y, _, codes = corpus(noise=False, strengths=(2.0, 1.0, 0.5))
    fitted = {
        rule: log_losses(codes, fit_fusion(rule, labelled(stack, y)).apply(stack)).mean() for rule in RULES
    }
    alone = min(log_losses(codes, p).mean() for p in stack)
    assert fitted["weighted"] <= min(alone, fitted["mean"]) + 1e-6
    assert fitted["greedy"] <= alone + 1e-9
    assert fitted["weighted"] <= fitted["greedy"] + 1e-6
    assert fitted["weighted_geometric"] <= min(alone, fitted["geometric"]) + 1e-6


def test_geometric_weights_are_the_planted_ones_and_keep_to_the_simplex():
    """Labels are drawn from softmax(.7 ln p + .3 ln q), so these weights are the best for many clips."""
    rng = np.random.default_rng(0)
    stack = softmax(2 * rng.normal(size=(2, 20_000, 4)))
    truth = np.exp(np.tensordot([0.7, 0.3], np.log(stack), axes=1))
    truth /= truth.sum(axis=1, keepdims=True)
    codes = np.argmax(np.log(truth) + rng.gumbel(size=truth.shape), axis=1)
    weights = geometric_weights(stack, codes)
    assert weights == pytest.approx([0.7, 0.3], abs=0.03)
    indicator = codes[:, None] == np.arange(4)
    by_tag = geometric_weights(stack, indicator)
    for found in (weights, by_tag):
        assert found.sum() == pytest.approx(1)
        assert (found >= 0).all()
    reversed_members = geometric_weights(stack[::-1], codes)
    assert reversed_members[::-1] == pytest.approx(weights, abs=1e-4)


def test_greedy_adds_the_best_member_first_and_counts_repeats():
    likelihood = np.array([[0.9, 0.9, 0.1], [0.8, 0.8, 0.8], [0.01, 0.01, 0.01]])
    assert greedy_weights(likelihood, n_rounds=1).tolist() == [0, 1, 0]
    weights = greedy_weights(likelihood)
    assert weights[2] == 0
    assert weights == pytest.approx(convex_weights(likelihood), abs=0.03)


def test_stacked_estimates_planted_slopes():
    rng = np.random.default_rng(0)
    stack = softmax(rng.normal(size=(2, 20_000, 4)))
    z = 1.5 * np.log(stack[0]) + 0.2 * np.log(stack[1]) + np.array([0.5, 0.0, -0.5, 0.0])
    codes = (z + rng.gumbel(size=z.shape)).argmax(axis=1)
    slopes, biases = log_linear_pool(stack, codes)
    assert slopes == pytest.approx([1.5, 0.2], abs=0.05)
    assert biases - biases.mean() == pytest.approx([0.5, 0.0, -0.5, 0.0], abs=0.06)
    np.testing.assert_allclose(
        log_pool(stack[:, :5], [0.5, 0.5], np.zeros(4)), geometric_mean(stack[:, :5]), atol=1e-12
    )


def test_stacked_gradient_equals_finite_differences():
    """At the optimum no small step lowers the penalised loss."""
    stack, _, _, codes = corpus(n_groups=20)
    for target, loss in ((codes, log_losses), (np.eye(4, dtype=bool)[codes], binary_log_losses)):
        slopes, biases = log_linear_pool(stack, target)

        def penalised(parameters, target=target, loss=loss):
            a, b = parameters[:3], parameters[3:]
            fused = log_pool(stack, a, b, multilabel=target.ndim == 2)
            return loss(target, fused).mean() + (np.sum((a - 1 / 3) ** 2) + np.sum(b**2)) / (2 * len(target))

        at = np.concatenate([slopes, biases])
        steps = np.vstack([np.eye(7), -np.eye(7)]) * 1e-3
        assert min(penalised(at + step) for step in steps) >= penalised(at) - 1e-9


@pytest.mark.parametrize("rule", RULES)
def test_label_sets(rule):
    rng = np.random.default_rng(0)
    indicator = rng.random((200, 4)) < 0.3
    strong = 1 / (1 + np.exp(-(3.0 * (indicator - 0.5) + rng.normal(size=indicator.shape))))
    stack = np.stack([strong, rng.random(indicator.shape)])
    fusion = fit_fusion(rule, labelled(stack, indicator))
    fused = fusion.apply(stack)
    assert fusion.multilabel
    assert ((fused >= 0) & (fused <= 1)).all()
    assert fused.sum(axis=1).std() > 0.1
    if rule in ("weighted", "greedy", "weighted_geometric"):
        assert fusion.weights[1] < 0.02
    sets = np.array([";".join(np.array(CLASSES)[row]) for row in indicator])
    assert fit_fusion(rule, labelled(stack, sets, multilabel=True)) == fusion


@pytest.mark.parametrize("rule", RULES)
def test_json_restores_the_fusion(rule):
    stack, y, groups, _ = corpus()
    fusion = fit_fusion(rule, labelled(stack, y, groups))
    restored = Fusion.from_json(json.loads(json.dumps(fusion.to_json())))
    assert restored == fusion
    np.testing.assert_array_equal(restored.apply(stack), fusion.apply(stack))


def test_the_mean_is_chosen_among_equal_members_and_weights_beside_noise():
    stack, y, groups, _ = corpus(noise=False, strengths=(1.5, 1.5))
    assert compare_rules(labelled(stack, y, groups), rules=("mean", "weighted")).chosen == "mean"
    noise = np.random.default_rng(1).dirichlet(np.full(4, 0.2), (4, len(y)))
    spoilt = np.concatenate([stack, noise])
    comparison = compare_rules(labelled(spoilt, y, groups), rules=("mean", "weighted"))
    assert comparison.chosen == "weighted"
    assert comparison.losses["weighted"] < comparison.losses["mean"]


def test_no_group_is_on_both_sides_of_a_comparison(monkeypatch):
    stack, y, groups, _ = corpus(n_groups=24, size=5)
    fitted_rows = []

    def spy(rule, predictions, preparation=None):
        fitted_rows.append({tuple(row) for row in predictions.stack[0]})
        return fit_fusion(rule, predictions, preparation)

    monkeypatch.setattr(selection, "fit_fusion", spy)
    compare_rules(labelled(stack, y, groups), rules=("mean", "weighted"))
    assert len(fitted_rows) == 10
    for rows in fitted_rows:
        complete = [all(tuple(row) in rows for row in stack[0][groups == g]) for g in np.unique(groups)]
        partial = [any(tuple(row) in rows for row in stack[0][groups == g]) for g in np.unique(groups)]
        assert complete == partial != [True] * 24


def test_the_mean_is_chosen_if_another_rule_is_better_by_less_than_a_standard_error():
    stack, y, groups, _ = corpus(noise=False, strengths=(1.5, 0.9), n_groups=40, seed=6)
    found = compare_rules(labelled(stack, y, groups), rules=("mean", "weighted"))
    assert found.chosen == "mean"
    gap, error = found.differences["mean"]
    assert 0 < gap < error


def test_the_choice_depends_on_neither_the_order_of_rules_nor_the_global_state():
    stack, y, groups, _ = corpus(n_groups=24)
    one, two = (
        compare_rules(labelled(stack, y, groups), rules=r) for r in (("mean", "greedy"), ("greedy", "mean"))
    )
    assert one == two
    assert one.differences[one.chosen][0] <= one.differences[one.chosen][1]


def test_too_few_groups_choose_the_simplest():
    stack, y, _, codes = corpus()
    found = compare_rules(labelled(stack, y, codes.astype(str)))
    assert (found.chosen, found.reason) == ("mean", "a class lies in a single group")
    assert compare_rules(labelled(stack[:1], y)).reason == "there is one member only"


def test_an_unknown_rule_is_refused():
    stack, y, _, _ = corpus()
    with pytest.raises(ConfigError, match="'best'"):
        compare_rules(labelled(stack, y), rules=("best",))


def test_bad_input_is_refused():
    stack, y, _, _ = corpus()
    with pytest.raises(ConfigError, match="Did you mean 'weighted'"):
        fit_fusion("weighed", labelled(stack, y))
    with pytest.raises(AlignmentError, match=r"\(members, clips, classes\)"):
        fit_fusion("mean", labelled(stack[:, :-1], y))
    fusion = fit_fusion("mean", labelled(stack, y))
    with pytest.raises(AlignmentError, match=r"\(3, n, 4\)"):
        fusion.apply(stack[:2])
    with pytest.raises(ArtefactError, match="'weights'"):
        Fusion.from_json({k: v for k, v in fusion.to_json().items() if k != "weights"})
    with pytest.raises(ConfigError, match="sum to 1"):
        Fusion("weighted", ("a", "b"), CLASSES, (0.7, 0.7))
    with pytest.raises(ConfigError, match="one finite weight"):
        Fusion("stacked", ("a", "b"), CLASSES, (0.7, float("nan")))
    with pytest.raises(AlignmentError, match="At least one member"):
        weighted_mean([], [])


def test_settings_know_the_names_of_all_rules() -> None:
    assert tuple(RULES) == RULE_NAMES
