"""Scores: content of the JSON, coverage of intervals by group, undefined classes, large data."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy import stats

from quintet.errors import ConfigError, DatasetError
from quintet.evaluation import scores as module
from quintet.evaluation.intervals import (
    NO_RESAMPLING,
    Resampling,
    _bca_ends,
    block_intervals,
    bootstrap,
)
from quintet.evaluation.metrics import MULTI_LABEL, SINGLE_LABEL
from quintet.evaluation.scores import score

CLASSES = ("a", "b", "c")


def example(n_groups=40, size=3, seed=0, strength=1.0):
    """Grouped data: the clips of one group share part of their difficulty."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n_groups), size)
    codes = np.repeat(rng.integers(0, 3, n_groups), size)
    logits = rng.normal(size=(n_groups, 3))[groups] + rng.normal(size=(len(groups), 3))
    logits[np.arange(len(codes)), codes] += strength
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return np.array(CLASSES)[codes], p, groups.astype(str)


def test_the_json_has_the_keys_of_the_contract():
    y, p, groups = example()
    found = json.loads(
        json.dumps(
            score(y, p, CLASSES, groups, resampling=Resampling(n_resamples=100)).to_json(),
            allow_nan=False,
        )
    )
    assert list(found) == ["n", "n_groups", "interval", "scores", "per_class", "undefined"]
    assert (found["n"], found["n_groups"]) == (120, 40)
    assert tuple(found["scores"]) == SINGLE_LABEL
    assert all(
        set(v) == {"value", "low", "high"} and v["low"] <= v["value"] <= v["high"]
        for v in found["scores"].values()
    )
    assert sum(found["per_class"][name]["support"] for name in CLASSES) == 120
    assert {"precision", "recall", "f1", "auc", "pr_auc", "support", "intervals"} == set(
        found["per_class"]["a"]
    )
    assert found["interval"]["n_resamples"] == 100
    assert found["undefined"] == []


def test_the_same_seed_gives_the_same_intervals_and_leaves_the_global_state():
    y, p, groups = example()
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    one, two, other = (
        score(y, p, CLASSES, groups, resampling=Resampling(seed=seed, n_resamples=50)).to_json()
        for seed in (1, 1, 2)
    )
    assert one == two != other
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002


def test_rows_in_another_order_give_the_same_values():
    y, p, groups = example()
    order = np.random.default_rng(0).permutation(len(y))
    before, after = (
        score(*rows, resampling=NO_RESAMPLING)
        for rows in ((y, p, CLASSES, groups), (y[order], p[order], CLASSES, groups[order]))
    )
    for name in SINGLE_LABEL:
        assert before.scores[name].value == pytest.approx(after.scores[name].value, abs=1e-12)


def test_groups_widen_the_interval():
    """Ten copies of each clip: with groups the interval stays; without groups it shrinks by √10."""
    y, p, _ = example(size=1)
    y, p, groups = np.repeat(y, 10), np.repeat(p, 10, axis=0), np.repeat(np.arange(len(y)), 10).astype(str)
    grouped, naive = (score(y, p, CLASSES, g).scores["accuracy"] for g in (groups, None))
    assert (grouped.high - grouped.low) / (naive.high - naive.low) == pytest.approx(math.sqrt(10), rel=0.15)


def test_the_averages_leave_out_an_absent_class():
    y, p, groups = example()
    p4 = np.hstack([p * 0.9, np.full((len(y), 1), 0.1)])
    found = score(y, p4, (*CLASSES, "polka"), groups, resampling=Resampling(n_resamples=20))
    assert set(found.undefined["polka"]) >= {"auc", "recall", "pr_auc"}
    assert found.to_json()["undefined"][0]["class"] == "polka"
    assert found.to_json()["per_class"]["polka"]["auc"] is None
    assert found.scores["macro_auc"].value == pytest.approx(
        score(y, p, CLASSES, groups, resampling=NO_RESAMPLING).scores["macro_auc"].value
    )


def test_undefined_resamples_are_those_without_a_class():
    y, p, groups = np.array(["a"] * 5 + ["b"]), np.tile([[0.6, 0.4]], (6, 1)), None
    p[5] = [0.3, 0.7]
    found = score(y, p, ("a", "b"), groups, resampling=Resampling(n_resamples=200))
    assert 40 < found.undefined_resamples["macro_auc"] < 100  # (5/6)^6 = 0.33 of 200


def test_label_sets_have_their_metrics():
    y, p, groups = example()
    sets = np.array([f"{label};c" if label == "a" else "" if label == "b" else label for label in y])
    found = score(sets, p, CLASSES, groups, multilabel=True, resampling=Resampling(n_resamples=20))
    assert tuple(found.scores) == MULTI_LABEL
    assert found.support["c"] == int((y != "b").sum())
    indicator = np.stack([y == "a", np.zeros(len(y), bool), y != "b"], axis=1)
    assert (
        score(indicator, p, CLASSES, groups, multilabel=True, resampling=Resampling(n_resamples=20)).to_json()
        == found.to_json()
    )


def test_one_group_has_no_interval():
    y, p, _ = example()
    found = score(y, p, CLASSES, np.full(len(y), "x"))
    assert math.isnan(found.scores["accuracy"].low)
    assert found.interval["method"] == "none"


def test_large_data_get_their_intervals_from_blocks(monkeypatch):
    y, p, groups = example(n_groups=600)
    resampled = score(y, p, CLASSES, groups)
    monkeypatch.setattr(module, "MAX_RESAMPLED", 1)
    blocks = score(y, p, CLASSES, groups)
    assert blocks.interval["method"] == "spread of 20 blocks"
    for name in ("accuracy", "macro_auc", "log_loss", "brier"):
        width = resampled.scores[name].high - resampled.scores[name].low
        assert blocks.scores[name].value == resampled.scores[name].value
        assert blocks.scores[name].high - blocks.scores[name].low == pytest.approx(width, rel=0.5)


def test_the_interval_of_a_mean_is_that_of_student():
    """For a mean of 400 independent values the interval is x̄ ± t · s / √n."""
    x = np.random.default_rng(0).normal(size=400)
    found = bootstrap(
        lambda w: (w @ x / w.sum(axis=1))[:, None], None, 400, resampling=Resampling(n_resamples=4000)
    )
    half = 1.966 * x.std(ddof=1) / 20
    assert found.low[0] == pytest.approx(x.mean() - half, abs=0.1 * half)
    assert found.high[0] == pytest.approx(x.mean() + half, abs=0.1 * half)


def coverage(n_simulations, n_groups, n_resamples):
    """Share of intervals that contain the truth (from a sample of 40,000 groups), with 3 clips per group."""
    y, p, _ = example(n_groups=40_000, seed=99)
    truth = score(y, p, CLASSES, resampling=NO_RESAMPLING).scores
    hits = dict.fromkeys(("accuracy", "macro_f1", "macro_auc", "log_loss"), 0)
    for seed in range(n_simulations):
        y, p, groups = example(n_groups=n_groups, seed=seed)
        found = score(y, p, CLASSES, groups, resampling=Resampling(seed=seed, n_resamples=n_resamples))
        for name in hits:
            hits[name] += found.scores[name].low <= truth[name].value <= found.scores[name].high
    return {name: count / n_simulations for name, count in hits.items()}


@pytest.mark.slow
def test_intervals_cover_at_the_nominal_rate_quickly():
    found = coverage(90, 40, 200)
    assert all(0.885 <= rate < 1 for rate in found.values()), found  # 0.95 - 2.8 standard errors


@pytest.mark.slow
@pytest.mark.parametrize("n_groups", [25, 60])
def test_intervals_cover_at_the_nominal_rate(n_groups):
    found = coverage(1000, n_groups, 1000)
    assert all(0.93 <= rate <= 0.97 for rate in found.values()), found


def test_bad_input_is_an_error():
    y, p, groups = example()
    with pytest.raises(DatasetError, match="one row of 3 probabilities per label"):
        score(y[:-1], p, CLASSES)
    with pytest.raises(DatasetError, match="one group per clip"):
        score(y, p, CLASSES, groups[:-1])
    with pytest.raises(DatasetError, match="and at least one"):
        score(y[:0], p[:0], CLASSES)
    with pytest.raises(ConfigError, match="between 0 and 1"):
        score(y, p, CLASSES, resampling=Resampling(level=95))


def test_there_are_at_most_as_many_blocks_as_groups():
    values = np.array([1.0, 2.0, 3.0])
    found = block_intervals(lambda rows: np.array([values[rows].mean()]), None, np.array([2.0]), 3)
    assert found.method == "spread of 3 blocks"
    assert found.high[0] - 2 == pytest.approx(4.3027 * 1 / math.sqrt(3), rel=1e-4)


def test_a_perfect_score_on_few_clips_has_an_interval() -> None:
    """Six of six right: the interval of Clopper and Pearson is [0.5407, 1]. A bootstrap would give [1, 1]."""
    y = np.array(["a", "b"] * 3)
    p = np.where(y[:, None] == np.array(["a", "b"]), 0.9, 0.1)
    found = score(y, p, ["a", "b"])
    low, high = stats.binomtest(6, 6).proportion_ci(0.95, method="exact")
    assert (found.scores["accuracy"].low, found.scores["accuracy"].high) == pytest.approx((low, high))
    assert found.scores["macro_auc"].low < 1
    wrong = score(y, 1 - p, ["a", "b"]).scores["accuracy"]
    assert (wrong.value, wrong.low, wrong.high) == pytest.approx((0, 0, 1 - low))
    assert found.per_class["a"]["recall"].low < found.scores["accuracy"].low  # three clips, not six


def test_rounding_moves_no_interval():
    """Half of the resamples tie with the value. Without a tolerance, one last bit moved the ends by .05."""
    rng = np.random.default_rng(0)
    resampled = np.where(rng.random(400) < 0.5, 0.9, rng.normal(0.9, 0.05, 400))
    left_out = rng.normal(0.9, 0.01, 30)
    exact = _bca_ends(0.9, resampled, left_out, level=0.95, n_groups=30)
    for direction in (-np.inf, np.inf):
        rounded = np.where(resampled == 0.9, np.nextafter(0.9, direction), resampled)
        ends = _bca_ends(0.9, rounded, left_out, level=0.95, n_groups=30)
        assert (ends.low, ends.high) == pytest.approx((exact.low, exact.high), abs=1e-12)
