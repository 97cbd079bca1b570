"""Strata of label sets: nearly equal sets are joined until there are enough clips."""

from __future__ import annotations

import numpy as np

from quintet.training.blocks import strata
from quintet.training.blocks.strata import label_strata


def test_two_frequent_sets_are_two_strata():
    indicator = np.repeat(np.eye(2, dtype=np.int8), 20, axis=0)
    assert len(set(label_strata(indicator))) == 2
    assert len(set(label_strata(indicator[:39]))) == 1  # one set has 19 clips


def test_sets_are_joined_with_those_that_share_most_tags():
    rock, jazz = np.array([1, 0, 0, 0, 0]), np.array([0, 1, 0, 0, 0])
    extra = np.eye(5, dtype=np.int8)[2:]
    rows = [style + tag for style in (rock, jazz) for tag in extra for _ in range(7)]
    found = label_strata(np.array(rows, np.int8))
    assert len(set(found[:21])) == len(set(found[21:])) == 1
    assert found[0] != found[21]


def test_equal_clips_or_none_are_one_stratum():
    assert label_strata(np.ones((3, 2), np.int8)).tolist() == [0, 0, 0]


def test_of_too_many_sets_the_rarest_tags_are_left_out(monkeypatch):
    monkeypatch.setattr(strata, "MOST_SETS", 8)
    rng = np.random.default_rng(0)
    frequent = np.repeat(np.eye(2, dtype=np.int8), 60, axis=0)
    rare = (rng.random((120, 30)) < 0.1).astype(np.int8)
    found = label_strata(np.hstack([rare, frequent]))
    assert (len(set(found[:60])), len(set(found[60:]))) == (1, 1)
    assert found[0] != found[60]
