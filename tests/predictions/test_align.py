"""Alignment: predictions are joined by clip id and class name, never by position."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quintet.errors import AlignmentError
from quintet.predictions.align import align
from quintet.predictions.predictions import Predictions

CLASSES = ("rock", "jazz", "None")


def example(n=6, **changes):
    rng = np.random.default_rng(0)
    fields = {
        "clip_ids": np.array([f"clip{i}" for i in range(n)]),
        "classes": CLASSES,
        "probabilities": rng.dirichlet(np.ones(3), n),
        "labels": np.array([CLASSES[i % 3] for i in range(n)]),
        "groups": np.array([f"artist{i // 2}" for i in range(n)]),
    }
    return Predictions(**(fields | changes))


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(6)), st.permutations(range(3)))
def test_rows_are_joined_by_clip_id_and_columns_by_class_name(rows, columns):
    first = example()
    shuffled = replace(
        first.take([f"clip{i}" for i in rows]),
        classes=tuple(CLASSES[k] for k in columns),
        probabilities=first.probabilities[np.ix_(rows, columns)],
    )
    aligned = align([first, shuffled])
    assert aligned.left_out == 0
    np.testing.assert_array_equal(aligned.stack[0], aligned.stack[1])
    assert [list(p.clip_ids) for p in aligned] == [list(first.clip_ids)] * 2
    assert list(aligned[1].labels) == list(first.labels)


def test_clips_that_only_some_have_are_refused_or_left_out():
    first, second = example(), example().take(["clip4", "clip1"])
    third = example(n=8).take(["clip7", "clip4", "clip1", "clip0"])
    with pytest.raises(
        AlignmentError,
        match=r"5 clips \('clip0', 'clip2', 'clip3', …\) are in only some of the 3 files \(2 are in all\)",
    ):
        align([first, second, third])
    aligned = align([first, second, third], intersection=True)
    assert list(aligned[2].clip_ids) == ["clip1", "clip4"]
    assert aligned.left_out == 5
    assert aligned.stack.shape == (3, 2, 3)
    for intersection in (False, True):  # to leave out all clips would help nobody
        with pytest.raises(AlignmentError, match=r"must share clips\. None of 8 .* begin with 'clip0', 'x':"):
            align([first, replace(second, clip_ids=np.array(["x", "y"]))], intersection=intersection)


def test_different_classes_labels_or_groups_are_refused():
    first = example()
    with pytest.raises(AlignmentError, match="lacking `None`, with also `pop`"):
        align([first, replace(first, classes=("rock", "jazz", "pop"))])
    with pytest.raises(
        AlignmentError, match=r"same label\. 1 clips differ: 'clip0' is 'rock' in one and 'jazz' in another"
    ):
        align([first, replace(first, labels=np.array(["jazz", *first.labels[1:]]))])
    with pytest.raises(AlignmentError, match=r"same group\. 6 clips"):
        align([first, replace(first, groups=np.array(list("abcdef")))])
    with pytest.raises(AlignmentError, match="one kind"):
        align([first, replace(first, multilabel=True)])
    with pytest.raises(AlignmentError, match="At least one"):
        align([])


def test_label_sets_are_compared_as_sets():
    ids, p = np.array(["a", "b"]), np.full((2, 3), 0.5)
    first = Predictions(ids, CLASSES, p, np.array(["rock;jazz", "None"]), multilabel=True)
    assert align([first, replace(first, labels=np.array(["jazz;rock", "None"]))])[1].labels[0] == "rock;jazz"


def test_labels_are_filled_in_from_the_files_that_have_them():
    first, second = example(labels=None, groups=None), example()
    aligned = align([first, second])
    assert list(aligned[0].labels) == list(second.labels)
    assert list(aligned[0].groups) == list(second.groups)
