"""Two trainings are judged on the same songs, of which neither knows anything."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from quintet.datasets.splits.folds import grouped_folds
from quintet.ensemble.crossfit import Inputs
from quintet.ensemble.tasks.pools import ThisProcess
from quintet.evaluation.scores import Difference
from quintet.library.retraining.judgement import Judgement, JudgeSettings, _Run, judge
from quintet.library.retraining.lessons import Labels, Lessons, narrow_labels
from quintet.library.retraining.words import judgement_words
from quintet.library.training_table import TaggedSongs

SETTINGS = JudgeSettings(("logistic_regression",), resamples=200)
GENRES = ("folk", "jazz", "rock")


def music(n_artists: int = 30, spread: float = 0.6) -> tuple[pd.DataFrame, Labels, list[str]]:
    """Four songs of each artist, whose two features tell the genre: features, true labels, artists."""
    rng = np.random.default_rng(0)
    kinds = np.repeat(np.arange(n_artists) % len(GENRES), 4)
    centres = np.array([[0, 0], [2, 0], [0, 2]])
    values = centres[kinds] + spread * rng.normal(size=(len(kinds), 2))
    artists = [f"artist: {k // 4}" for k in range(len(kinds))]
    return pd.DataFrame(values, columns=["a", "b"]), [(GENRES[k],) for k in kinds], artists


def lessons(before: Labels, after: Labels, artists: list[str]) -> Lessons:
    songs = pd.DataFrame({"audio_digest": [str(k) for k in range(len(artists))]})
    n_changed = sum(old != new for old, new in zip(before, after, strict=True))
    return Lessons(
        TaggedSongs(songs, before, artists, []), TaggedSongs(songs, after, artists, []), n_changed, ()
    )


def wrong_jazz(truth: Labels, n: int) -> Labels:
    """The true labels; the first n songs of jazz are tagged as rock."""
    jazz = [k for k, names in enumerate(truth) if names == ("jazz",)][:n]
    return [("rock",) if k in jazz else names for k, names in enumerate(truth)]


def test_many_wrong_tags_are_seen_to_have_cost_something() -> None:
    features, truth, artists = music()
    found = judge(features, lessons(wrong_jazz(truth, 30), truth, artists), SETTINGS)
    assert isinstance(found, Judgement)
    assert found.outcome == "better"
    assert (found.n, found.n_groups, found.n_changed) == (120, 30, 30)
    assert found.difference.value == pytest.approx(found.after.value - found.before.value)
    assert (found.right_after or 0) > (found.right_before or 0)
    assert judgement_words(found, 30)[0] == "The 30 corrections helped."


def test_with_few_corrections_the_answer_is_that_nothing_can_be_seen() -> None:
    features, truth, artists = music()
    found = judge(features, lessons(wrong_jazz(truth, 2), truth, artists), SETTINGS)
    assert isinstance(found, Judgement)
    assert found.outcome == "unseen"
    assert judgement_words(found, 2)[0] == "No difference can be seen with 2 corrections."
    assert "120 songs of 30 artists" in judgement_words(found, 2)[1]
    worse = replace(found, difference=Difference(-0.1, -0.2, -0.05, 0.01))
    assert judgement_words(worse, 2)[0] == "The 2 corrections made it worse."


def test_a_judged_song_is_not_in_the_training_that_judges_it() -> None:
    """Another label of one song changes the predictions of other folds, and none of its own."""
    features, truth, artists = music(spread=1.0)
    groups = np.array(artists)
    folds = grouped_folds([names[0] for names in truth], groups, n_splits=3, seed=0)

    def predict(labels: Labels) -> np.ndarray:
        run = _Run(labels, groups, is_set=False)
        return run.predict(Inputs(features), folds, GENRES, SETTINGS, ThisProcess(), lambda task: None)

    song = int(folds[0][1][0])
    other = list(truth)
    other[song] = ("jazz",) if truth[song] != ("jazz",) else ("rock",)
    first, second = predict(truth), predict(other)
    is_equal = (first == second).all(axis=1)
    assert is_equal[folds[0][1]].all()
    assert not is_equal[folds[1][1]].any()
    own_artist = groups == groups[song]
    assert set(np.flatnonzero(own_artist)) <= set(folds[0][1])


def test_a_genre_that_only_corrections_know_has_no_chance_before() -> None:
    features, truth, artists = music()
    before = [("rock",) if names == ("jazz",) else names for names in truth]
    found = judge(features, lessons(before, truth, artists), SETTINGS)
    assert isinstance(found, Judgement)
    assert found.right_before == 0
    assert found.before.value < 0.7
    assert found.outcome == "better"


def test_songs_without_a_tag_teach_only_with_their_correction() -> None:
    features, truth, artists = music()
    before: Labels = [() if k < 60 else names for k, names in enumerate(truth)]
    found = judge(features, lessons(before, truth, artists), SETTINGS)
    assert isinstance(found, Judgement)
    assert found.n == 120
    assert found.n_changed == 60


def test_label_sets_are_judged_by_another_score() -> None:
    features, truth, artists = music()
    sets = [(*names, "live") if k % 3 == 0 else names for k, names in enumerate(truth)]
    found = judge(features, lessons(wrong_jazz(sets, 0), sets, artists), SETTINGS)
    assert isinstance(found, Judgement)
    assert found.metric == "macro_pr_auc"
    assert found.right_before is None
    assert found.difference.value == 0


@pytest.mark.parametrize("kept", [0, 4])
def test_too_few_songs_are_a_reason_and_no_judgement(kept: int) -> None:
    features, truth, artists = music()
    before: Labels = [names if k < kept else () for k, names in enumerate(truth)]
    found = judge(features, lessons(before, truth, artists), SETTINGS)
    assert isinstance(found, str)
    assert "cannot be judged" in judgement_words(found, 3)[0]


def test_genres_of_few_artists_are_narrow() -> None:
    labels: Labels = [("a",), ("a",), ("b",), ("b",), ("b",)]
    assert narrow_labels(labels, ["x", "x", "x", "y", "z"]) == {"a": 1}
