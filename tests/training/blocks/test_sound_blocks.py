"""Blocks of clips that sound alike: planted sources are found, and the order of rows does not matter."""

from __future__ import annotations

import re
from itertools import pairwise

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC

from quintet.datasets.splits.folds import grouped_folds
from quintet.errors import DatasetError
from quintet.training.blocks import common_sources
from quintet.training.blocks.sound_blocks import sound_blocks


def planted(sources: int, clips: int, *, spread: float, d: int, classes: int = 2, seed: int = 0):
    """Features, labels and true source of `sources` sources per class, whose centres have variance 1."""
    rng = np.random.default_rng(seed)
    n = classes * sources
    centres = rng.normal(size=(classes, d)) * 3 / np.sqrt(d)
    label = np.repeat(np.arange(classes), sources * clips)
    values = np.repeat(rng.normal(size=(n, d)), clips, axis=0) + centres[label]
    values += spread * rng.normal(size=values.shape)
    return values, np.char.add("class ", label.astype(str)), np.repeat(np.arange(n), clips).astype(str)


def names(n: int) -> list[str]:
    return [f"clip {i:04}" for i in range(n)]


def pairs(groups: np.ndarray) -> np.ndarray:
    """Whether each pair of clips has one group."""
    upper = np.triu_indices(len(groups), 1)
    return (groups[:, None] == groups)[upper]


def accuracy(values: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> float:
    """Mean out-of-fold accuracy of two classifiers over two divisions that keep the groups whole."""
    found = []
    for seed in range(2):
        for train, valid in grouped_folds(labels, groups.tolist(), n_splits=5, seed=seed):
            for model in (LogisticRegression(C=1.0, max_iter=500), SVC(C=10.0)):
                predicted = model.fit(values[train], labels[train]).predict(values[valid])
                found.append((np.mean(predicted == labels[valid]), len(valid)))
    return float(np.average([share for share, _ in found], weights=[n for _, n in found]))


@pytest.fixture
def few_sweeps(monkeypatch):
    monkeypatch.setattr("quintet.training.blocks.common_sources.SWEEPS", 15)


def test_pairs_of_copies_are_found():
    values, labels, true = planted(30, 2, spread=0.1, d=10)
    planted_pairs, found, right = pairs(true), [], []
    for seed in range(4):
        together = pairs(sound_blocks(values, labels.tolist(), names(len(values)), seed=seed))
        found.append(together[planted_pairs].mean())
        right.append(planted_pairs[together].mean())
    assert np.mean(found) >= 0.95
    assert np.mean(right) >= 0.85


@pytest.mark.usefixtures("few_sweeps")
def test_pairs_of_copies_stay_together_more_often_than_other_pairs():
    values, labels, true = planted(12, 2, spread=0.1, d=8)
    together = pairs(sound_blocks(values, labels.tolist(), names(len(values)), seed=0))
    assert together[pairs(true)].mean() > 0.7
    assert together[~pairs(true)].mean() < 0.15


@pytest.mark.usefixtures("few_sweeps")
def test_no_block_crosses_a_class_and_every_class_has_enough_blocks():
    values, labels, _ = planted(2, 8, spread=0.01, d=5, classes=3)
    blocks = sound_blocks(values, labels.tolist(), names(len(values)), at_least=6, seed=0)
    of_class = [set(blocks[labels == name]) for name in np.unique(labels)]
    assert all(len(own) >= 6 for own in of_class)
    assert all(a.isdisjoint(b) for a, b in pairwise(of_class))


@pytest.mark.usefixtures("few_sweeps")
def test_order_units_and_rising_functions_of_columns_do_not_matter():
    values, labels, _ = planted(8, 3, spread=0.3, d=5)
    ids = np.array(names(len(values)))
    blocks = sound_blocks(values, labels.tolist(), ids.tolist(), seed=3)
    order = np.random.default_rng(1).permutation(len(values))
    shuffled = sound_blocks(np.exp(values[order]) * 100, labels[order].tolist(), ids[order].tolist(), seed=3)
    assert (shuffled == blocks[order]).all()


@pytest.mark.usefixtures("few_sweeps")
def test_unknown_and_constant_columns_and_small_classes_are_accepted():
    values, labels, _ = planted(4, 3, spread=0.3, d=4)
    values[:, 0], values[::5, 1], values[:, 2] = np.nan, np.nan, 7.0
    few = np.append(labels, "alone")
    blocks = sound_blocks(np.vstack([values, values[:1]]), few.tolist(), names(len(few)), seed=0)
    assert list(blocks).count(blocks[-1]) == 1


def test_columns_without_differences_leave_each_clip_alone():
    blocks = sound_blocks(np.ones((6, 3)), ["a"] * 3 + ["b"] * 3, names(6), seed=0)
    assert len(set(blocks)) == 6


def test_a_missing_row_is_refused():
    with pytest.raises(DatasetError, match="as many rows"):
        sound_blocks(np.ones((3, 2)), ["a", "b"], names(3), seed=0)


@pytest.mark.slow
@pytest.mark.parametrize(
    "corpus",
    [
        {"sources": 20, "clips": 4, "spread": 0.5, "d": 20},
        {"sources": 12, "clips": 6, "spread": 0.5, "d": 20},
        {"sources": 12, "clips": 5, "spread": 0.3, "d": 12, "classes": 3},
    ],
)
def test_folds_over_blocks_score_as_folds_over_the_planted_sources(corpus):
    values, labels, true = planted(**corpus)
    blocks = sound_blocks(values, labels.tolist(), names(len(values)), at_least=5, seed=0)
    known = accuracy(values, labels, true)
    assert accuracy(values, labels, np.array(names(len(values)))) > known + 0.02
    assert abs(accuracy(values, labels, blocks) - known) < 0.05


@pytest.mark.slow
def test_without_sources_the_score_stays_near_that_of_random_folds():
    values, labels, single = planted(100, 1, spread=1.0, d=12)
    blocks = sound_blocks(values, labels.tolist(), names(len(values)), at_least=5, seed=0)
    assert len(set(blocks)) > len(values) / 3
    assert abs(accuracy(values, labels, blocks) - accuracy(values, labels, single)) < 0.05


@pytest.mark.slow
def test_large_classes_are_compared_in_pieces(monkeypatch):
    monkeypatch.setattr("quintet.training.blocks.sound_blocks.MOST_CLIPS", 40)
    values, labels, true = planted(40, 3, spread=0.2, d=10)
    blocks = sound_blocks(values, labels.tolist(), names(len(values)), seed=0)
    assert max(np.unique(blocks, return_counts=True)[1]) <= 40
    assert pairs(blocks)[pairs(true)].mean() > 0.7


@pytest.mark.usefixtures("few_sweeps")
@pytest.mark.parametrize("kind", ["named-alike", "in-a-row"])
def test_blocks_by_names_may_cross_strata_of_label_sets(kind):
    values, _, true = planted(16, 4, spread=0.2, d=8, classes=1)
    strata = ["live", "live", "studio", "studio"] * 16
    place = {
        "named-alike": [f"{chr(97 + k // 4)}x/{k % 4}" for k in range(64)],
        "in-a-row": [f"{k:03}" for k in range(64)],
    }[kind]
    for tags in (np.ones((64, 1)), None):
        blocks = sound_blocks(values, strata, names(64), at_least=5, seed=0, names=place, tags=tags)
        assert blocks[0].startswith(kind)
        together = pairs(blocks)
        is_crossed = ~pairs(np.array(strata))
        assert (together[pairs(true) & is_crossed].mean() > 0.7) == (tags is not None)
        assert together[pairs(true) & ~is_crossed].mean() > 0.7


@pytest.mark.usefixtures("few_sweeps")
def test_names_that_repeat_the_tags_are_no_evidence():
    """Two tags are one stratum. The names begin with the tag, and tell nothing else."""
    values, labels, _ = planted(40, 1, spread=0.2, d=8)
    numbers = np.random.default_rng(1).permutation(80)
    named = [f"{label[-1]}/{'abcdefgh'[k % 8]}{k:02}" for k, label in zip(numbers, labels, strict=True)]
    own = (labels[:, None] == np.unique(labels)).astype(float)
    for tags, kind in ((np.ones((80, 1)), "named-alike"), (own, "sounds-alike")):
        blocks = sound_blocks(values, ["one"] * 80, names(80), at_least=5, seed=0, names=named, tags=tags)
        assert blocks[0].startswith(kind)


def test_runs_of_small_classes_are_found_among_noisy_columns():
    """Of many components, pairs that are nearly equal by chance would set the variance within sources."""
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(8, 60)) / 8**0.5
    sources = np.repeat(rng.normal(size=(80, 8)), 4, axis=0)
    clips = (sources + rng.normal(size=sources.shape)) @ mix + 0.7 * rng.normal(size=(320, 60))
    names = [f"c{k // 40}.{k:04}" for k in range(320)]
    blocks = sound_blocks(clips, [name[:2] for name in names], names, seed=0, names=names)
    assert blocks[0].startswith("in-a-row")
    assert len(blocks) > 1.6 * len(set(blocks))  # 1.06 with 40 components


def test_a_long_search_says_how_long_it_takes(monkeypatch, capsys):
    values = np.random.default_rng(0).normal(size=(40, 5))
    ids = [f"{k:02}" for k in range(40)]
    sound_blocks(values, ["a"] * 40, ids, seed=0)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(common_sources, "LONG_S", 0.0)
    sound_blocks(values, ["a"] * 40, ids, seed=0)
    said = capsys.readouterr().err
    assert "40 clips" in said
    assert re.search(r"about \d+ s", said)
    common_sources._announce_long(100_000, 361.0)
    assert "100,000 clips" in (said := capsys.readouterr().err)
    assert "about 6 min" in said
