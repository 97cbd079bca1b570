"""Selection of a fusion rule: the simplest among equals, compared without the groups that it was fitted on."""

from __future__ import annotations

import numpy as np
import pytest

from quintet.ensemble import selection
from quintet.ensemble.fusion import LabelledPredictions, fit_fusion
from quintet.ensemble.selection import compare_rules
from quintet.errors import ConfigError

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

    def spy(rule, predictions):
        fitted_rows.append({tuple(row) for row in predictions.stack[0]})
        return fit_fusion(rule, predictions)

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
