"""Conformal sets: coverage by group in 200 random splits, and empty sets for clips of no class."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import stats

from quintet.ensemble.conformal import ConformalPredictor, fit_conformal
from quintet.ensemble.coverage import accuracy_against_coverage, coverage
from quintet.errors import AlignmentError, ArtefactError, ConfigError

CLASSES = ("a", "b", "c")


def corpus(n_groups=120, seed=0, unequal=False):
    """Groups of 1 to 12 clips of equal difficulty; with `unequal`, the large groups are easy."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 13, n_groups)
    hard = rng.normal(size=(n_groups, 3)) * (np.where(sizes > 6, 0.1, 2.0)[:, None] if unequal else 1.0)
    labels = rng.integers(0, 3, n_groups)
    group = np.repeat(np.arange(n_groups), sizes)
    z = hard[group] + 1.5 * np.eye(3)[labels[group]] + 0.3 * rng.normal(size=(len(group), 3))
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    return p, np.array(CLASSES)[labels[group]], group


def split(group, seed):
    rng = np.random.default_rng(seed)
    half = rng.permutation(group.max() + 1)[: (group.max() + 1) // 2]
    return np.isin(group, half)


def mean_coverage(make_corpus, n_splits, *, by_group=True):
    hits = []
    for seed in range(n_splits):
        p, y, group = make_corpus(seed)
        fit = split(group, seed)
        conformal = fit_conformal(p[fit], y[fit], group[fit] if by_group else None, classes=CLASSES)
        sets = conformal.sets(p[~fit], 0.9)
        hits.append(coverage(sets, y[~fit], group[~fit], classes=CLASSES, confidence=0.9).coverage)
    return np.array(hits)


def test_coverage_holds_over_200_random_grouped_splits():
    """The mean over splits is within the binomial band around [0.9, 0.9 + 1 / (G + 1)]."""
    hits = mean_coverage(lambda seed: corpus(seed=seed), 200)
    margin = stats.norm.ppf(0.999) * hits.std() / np.sqrt(200)
    assert hits.mean() >= 0.9 - margin
    assert hits.mean() <= 0.9 + 0.02 + margin


def test_coverage_on_one_fixed_corpus_split_in_200_ways():
    p, y, group = corpus(n_groups=200)
    hits = mean_coverage(lambda seed: (p, y, group), 200)
    assert 0.88 < hits.mean() < 0.93


def test_coverage_by_clip_is_too_low_if_large_groups_are_easy():
    """By clip, a group of twelve easy clips has twelve votes. Sets of small, hard groups are too small."""
    by_group = mean_coverage(lambda seed: corpus(seed=seed, unequal=True), 60)
    by_clip = mean_coverage(lambda seed: corpus(seed=seed, unequal=True), 60, by_group=False)
    assert by_group.mean() > 0.885
    assert by_clip.mean() < 0.86


def test_the_threshold_by_hand():
    """Nineteen clips, s = 0.05 … 0.95: at 0.9, the ⌈20 · 0.9⌉ = 18th smallest, 0.9, is the limit."""
    p = 1 - np.linspace(0.05, 0.95, 19)
    conformal = fit_conformal(np.stack([p, 1 - p], axis=1), np.repeat("a", 19), classes=("a", "b"))
    probabilities = np.array([[0.101, 0.899], [0.0999, 0.9001]])
    assert conformal.sets(probabilities, 0.9)[:, 0].tolist() == [True, False]


def test_a_group_of_many_clips_weighs_as_one():
    p, y, group = corpus(n_groups=40)
    once = fit_conformal(p, y, group, classes=CLASSES)
    copies = fit_conformal(np.repeat(p, 5, axis=0), np.repeat(y, 5), np.repeat(group, 5), classes=CLASSES)
    np.testing.assert_allclose(once.p_values(p), copies.p_values(p), atol=1e-12)


def test_too_few_groups_exclude_nothing():
    p, y, _ = corpus()
    assert fit_conformal(p[:8], y[:8], classes=CLASSES).sets(p, 0.9).all()


def test_more_confidence_gives_larger_sets():
    p, y, group = corpus()
    conformal = fit_conformal(p, y, group, classes=CLASSES)
    sizes = [conformal.sets(p, c).sum() for c in (0.5, 0.8, 0.9, 0.95)]
    assert sizes == sorted(sizes)
    assert (conformal.sets(p, 0.8) <= conformal.sets(p, 0.9)).all()


def test_a_set_is_empty_exactly_if_the_out_of_class_score_reaches_the_confidence():
    p, y, group = corpus()
    conformal = fit_conformal(p, y, group, classes=CLASSES)
    unknown = np.full((5, 3), 1 / 3)
    for confidence in (0.3, 0.6, 0.8):
        np.testing.assert_array_equal(
            ~conformal.sets(p, confidence).any(axis=1), conformal.out_of_class(p) >= confidence - 1e-12
        )
    assert (conformal.out_of_class(unknown) > np.median(conformal.out_of_class(p))).all()


def test_clips_of_no_class_get_empty_sets():
    """Clips of known classes are recognised with p near 1; clips of an unknown class are not."""
    rng = np.random.default_rng(0)
    known, codes = rng.dirichlet([1, 1, 30], 400), np.full(400, 2)
    turn = rng.integers(0, 3, 400)
    known = np.stack([np.roll(row, k) for row, k in zip(known, turn, strict=True)])
    y = np.array(CLASSES)[(codes + turn) % 3]
    conformal = fit_conformal(known[:200], y[:200], classes=CLASSES)
    unknown = rng.dirichlet([3, 3, 3], 200)
    assert (~conformal.sets(unknown, 0.9).any(axis=1)).mean() > 0.9
    assert (~conformal.sets(known[200:], 0.9).any(axis=1)).mean() < 0.15


def test_json_restores_the_sets():
    p, y, group = corpus()
    conformal = fit_conformal(p, y, group, classes=CLASSES)
    restored = ConformalPredictor.from_json(json.loads(json.dumps(conformal.to_json())))
    np.testing.assert_array_equal(restored.sets(p, 0.8), conformal.sets(p, 0.8))
    with pytest.raises(ArtefactError, match="'weights'"):
        ConformalPredictor.from_json({k: v for k, v in conformal.to_json().items() if k != "weights"})


def test_coverage_counts_groups_and_names_classes():
    sets = np.array([[True, False], [True, False], [False, False], [True, True]])
    result = coverage(
        sets,
        np.array(["a", "a", "a", "a"]),
        np.array(["x", "x", "x", "y"]),
        classes=("a", "b"),
        confidence=0.9,
    )
    assert result.coverage == pytest.approx((2 / 3 + 1) / 2)
    assert result.size == pytest.approx((2 / 3 + 2) / 2)
    assert result.empty == pytest.approx((1 / 3 + 0) / 2)
    assert np.isnan(result.per_class["b"]["coverage"])


def test_accuracy_against_coverage_ends_at_the_accuracy():
    p, y, _ = corpus()
    shares, right = accuracy_against_coverage(y, p, classes=CLASSES)
    assert shares[-1] == 1.0
    assert right[-1] == pytest.approx((np.array(CLASSES)[p.argmax(axis=1)] == y).mean())
    assert right[len(right) // 3] > right[-1]


def test_bad_input_is_refused():
    p, y, group = corpus()
    conformal = fit_conformal(p, y, group, classes=CLASSES)
    with pytest.raises(ConfigError, match="between 0 and 1"):
        conformal.sets(p, 90)
    with pytest.raises(AlignmentError, match="one column per class"):
        conformal.sets(p[:, :2])
    with pytest.raises(AlignmentError, match="3 probabilities"):
        fit_conformal(p[:-1], y, classes=CLASSES)
    with pytest.raises(ConfigError, match="conformal score"):
        fit_conformal(p, y, classes=CLASSES, score="raps")
