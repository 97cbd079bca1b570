"""Tag sets keep their promises: closed forms, bounds of other libraries, and splits of made-up tags."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import stats

from quintet.ensemble.label_sets.risk_control import (
    PROMISES,
    TagSets,
    fit_tag_sets,
    p_value,
    score_tag_sets,
    tag_losses,
    thresholds,
)
from quintet.errors import AlignmentError, ArtefactError, ConfigError

TAGS = tuple("abcdef")


def draw(n_groups: int, rng: np.random.Generator, size: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities that are neither calibrated nor sharp, label sets and groups whose clips are alike."""
    groups = np.repeat(np.arange(n_groups), size)
    logits = rng.normal(-1, 1.5, (n_groups, len(TAGS)))[groups] + rng.normal(
        0, 0.7, (n_groups * size, len(TAGS))
    )
    truth = rng.random(logits.shape) < 1 / (1 + np.exp(-logits))
    noisy = 1.7 * logits + rng.normal(0, 1, (n_groups, len(TAGS)))[groups]
    return 1 / (1 + np.exp(-noisy)), truth, groups


def test_recall_is_promised_by_the_formula_of_the_paper() -> None:
    """One tag per clip: a miss is a loss of 1, and λ is an order statistic of the probabilities."""
    p = np.linspace(0.01, 0.99, 99)[:, None]
    sets = fit_tag_sets(p, np.ones((99, 1)), classes=("a",))
    misses = int(0.1 * 100 - 1)  # (99 · m / 99 + 1) / 100 ≤ .1
    grid = thresholds()
    assert sets.threshold(0.9) == grid[grid <= np.sort(p[:, 0])[misses]][-1]


@pytest.mark.parametrize("promise", PROMISES)
def test_promises_hold_over_splits(promise: str) -> None:
    rng = np.random.default_rng(0)
    reached = []
    for _ in range(30):
        p, truth, groups = draw(80, rng)
        is_calibration = groups < 60
        sets = fit_tag_sets(p[is_calibration], truth[is_calibration], groups[is_calibration], classes=TAGS)
        inside = sets.sets(p[~is_calibration], 0.8, promise=promise)
        reached.append(
            getattr(score_tag_sets(inside, truth[~is_calibration], groups[~is_calibration]), promise)
        )
    error = np.std(reached) / np.sqrt(len(reached))
    assert np.mean(reached) > 0.8 - 2 * error
    if promise == "recall":
        assert np.mean(reached) < 0.8 + 2 / 61 + 3 * error  # the sets are no larger than they must be


def test_a_larger_confidence_gives_larger_recall_sets_and_smaller_precision_sets() -> None:
    p, truth, groups = draw(100, np.random.default_rng(1))
    sets = fit_tag_sets(p, truth, groups, classes=TAGS)
    low, high = (sets.sets(p, c) for c in (0.7, 0.95))
    assert (low <= high).all()
    assert (low != high).any()
    low, high = (sets.sets(p, c, promise="precision") for c in (0.6, 0.8))
    assert (high <= low).all()
    assert (low != high).any()


def test_each_group_has_one_vote() -> None:
    p, truth, groups = draw(40, np.random.default_rng(2))
    once = fit_tag_sets(p, truth, groups, classes=TAGS)
    again = np.concatenate([np.arange(len(p)), np.flatnonzero(groups == 7), np.flatnonzero(groups == 7)])
    twice = fit_tag_sets(p[again], truth[again], groups[again], classes=TAGS)
    assert np.allclose(once.recall_loss, twice.recall_loss)
    assert np.allclose(once.precision_loss, twice.precision_loss)


def test_few_groups_promise_nothing_and_say_so() -> None:
    p, truth, groups = draw(5, np.random.default_rng(3))
    sets = fit_tag_sets(p, truth, groups, classes=TAGS)
    assert sets.sets(p, 0.9).all()
    assert not sets.sets(p, 0.9, promise="precision").any()
    assert "every set holds all tags" in sets.limits(0.9, "recall")[0]
    assert "every set is empty" in sets.limits(0.9, "precision")[0]
    assert fit_tag_sets(*draw(200, np.random.default_rng(3)), classes=TAGS).limits(0.8, "recall") == []


def test_losses_of_empty_sets_and_of_clips_without_tags_are_zero() -> None:
    nothing, everything = np.zeros((1, 3), bool), np.ones((1, 3), bool)
    assert tag_losses(nothing, everything) == ([1.0], [0.0])
    assert tag_losses(everything, nothing) == ([0.0], [1.0])
    assert tag_losses(nothing, nothing) == ([0.0], [0.0])


@pytest.mark.parametrize(("loss", "n", "risk"), [(0.02, 50, 0.1), (0.15, 400, 0.2), (0.0, 22, 0.1)])
def test_the_p_value_is_the_smaller_bound(loss: float, n: int, risk: float) -> None:
    hoeffding = np.exp(-n * stats.entropy([loss, 1 - loss], [risk, 1 - risk]))
    bentkus = np.e * stats.binom.cdf(np.ceil(n * loss), n, risk)
    assert p_value(loss, n, risk) == pytest.approx(min(hoeffding, bentkus))
    assert p_value(risk, n, risk) == 1.0


def test_the_calibration_comes_back_from_json() -> None:
    sets = fit_tag_sets(*draw(30, np.random.default_rng(4)), classes=TAGS)
    content = json.loads(json.dumps(sets.to_json()))
    assert np.array_equal(TagSets.from_json(content).recall_loss, sets.recall_loss)
    for change in ({"groups": 0}, {"recall_loss": [0.5]}, {"precision_loss": [2.0] * len(thresholds())}):
        with pytest.raises(ArtefactError, match="Tag sets must have all"):
            TagSets.from_json({**content, **change})
    del content["classes"]
    with pytest.raises(ArtefactError, match="classes"):
        TagSets.from_json(content)


def test_bad_input_is_refused() -> None:
    p, truth, groups = draw(30, np.random.default_rng(5))
    sets = fit_tag_sets(p, truth, groups, classes=TAGS)
    with pytest.raises(ConfigError, match="between 0 and 1"):
        sets.sets(p, 1.0)
    with pytest.raises(ConfigError, match="promise"):
        sets.threshold(0.9, "accuracy")
    with pytest.raises(AlignmentError, match="one column per tag"):
        sets.sets(p[:, :2])
    with pytest.raises(AlignmentError, match="each label set"):
        fit_tag_sets(p, truth[:, :2], classes=TAGS)
