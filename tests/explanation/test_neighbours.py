"""Nearest training clips against scikit-learn, and the percentile of the distance of a track."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

from quintet.errors import AlignmentError
from quintet.explanation.neighbours import nearest_tracks

RNG = np.random.default_rng(11)
NAMES = [f"clip {i:03d}" for i in range(90)]
TRAIN = pd.DataFrame(
    RNG.normal(size=(90, 7)) * [1, 10, 100, 0.01, 1, 1, 1] + 5,
    index=NAMES,
    columns=[f"f{j}" for j in range(7)],
)
ABOUT = pd.DataFrame(
    {"label": np.where(np.arange(90) < 45, "low", "high"), "group": [f"g{i // 3}" for i in range(90)]},
    index=NAMES,
)
TRACK = pd.DataFrame(RNG.normal(size=(1, 7)) * [1, 10, 100, 0.01, 1, 1, 1] + 5, columns=TRAIN.columns)


def test_nearest_clips_equal_those_of_scikit_learn() -> None:
    found = nearest_tracks(TRAIN, TRACK, ABOUT, k=6).nearest
    scaler = StandardScaler().fit(TRAIN.to_numpy())
    distance, index = (
        NearestNeighbors(n_neighbors=6)
        .fit(scaler.transform(TRAIN.to_numpy()))
        .kneighbors(scaler.transform(TRACK.to_numpy()))
    )
    assert found["id"].tolist() == [NAMES[i] for i in index[0]]
    np.testing.assert_allclose(found["distance"], distance[0] / np.sqrt(7), rtol=1e-9)
    assert found["label"].tolist() == ABOUT["label"].iloc[index[0]].tolist()
    assert found["group"].tolist() == ABOUT["group"].iloc[index[0]].tolist()


def test_training_clip_is_nearest_to_itself_at_distance_0() -> None:
    found = nearest_tracks(TRAIN, TRAIN.iloc[[17]], ABOUT)
    assert found.nearest["id"].iloc[0] == "clip 017"
    assert found.nearest["distance"].iloc[0] == pytest.approx(0, abs=1e-6)
    assert found.distance_percentile == 0


def test_distances_are_averaged_over_segments() -> None:
    two = pd.concat([TRACK, TRAIN.iloc[[3]].set_index(pd.Index([1]))])
    ends = [
        nearest_tracks(TRAIN, rows, ABOUT, k=90).nearest.set_index("id")["distance"]
        for rows in (two.iloc[:1], two.iloc[1:])
    ]
    both = nearest_tracks(TRAIN, two, ABOUT, k=90).nearest.set_index("id")["distance"]
    np.testing.assert_allclose(both[NAMES], (ends[0][NAMES] + ends[1][NAMES]) / 2)


def test_units_and_order_of_columns_do_not_matter() -> None:
    scale = np.array([3.0, 0.1, 7, 100, 1, 2, 5])
    a, b = (
        nearest_tracks(TRAIN, TRACK, ABOUT),
        nearest_tracks(TRAIN * scale, (TRACK * scale)[TRACK.columns[::-1]], ABOUT),
    )
    pd.testing.assert_frame_equal(a.nearest, b.nearest)


def test_distance_percentile_is_1_far_away_and_below_half_at_the_centre() -> None:
    far = nearest_tracks(TRAIN, TRAIN.iloc[[0]] + 6 * TRAIN.std(), ABOUT)
    centre = nearest_tracks(TRAIN, TRAIN.mean().to_frame().T, ABOUT)
    assert far.distance_percentile == 1
    assert centre.distance_percentile < 0.5
    assert far.nearest["distance"].iloc[0] > far.typical_distance


def test_typical_distance_ignores_clips_of_the_same_group() -> None:
    twins = pd.concat([TRAIN, TRAIN + 1e-9]).set_axis([f"t{i}" for i in range(180)])
    about = pd.concat([ABOUT, ABOUT]).set_axis(twins.index)
    assert nearest_tracks(twins, TRACK, about).typical_distance == pytest.approx(
        nearest_tracks(TRAIN, TRACK, ABOUT).typical_distance, rel=1e-6
    )


def test_missing_values_count_as_the_mean_and_constant_columns_are_ignored() -> None:
    gap = TRAIN.assign(flat=3.0)
    track = TRACK.assign(flat=99.0)
    pd.testing.assert_frame_equal(
        nearest_tracks(gap, track, ABOUT).nearest, nearest_tracks(TRAIN, TRACK, ABOUT).nearest
    )
    found = nearest_tracks(TRAIN, TRACK.assign(f0=np.nan), ABOUT).nearest
    pd.testing.assert_frame_equal(
        found, nearest_tracks(TRAIN, TRACK.assign(f0=TRAIN["f0"].mean()), ABOUT).nearest
    )


def test_track_without_a_column_is_refused() -> None:
    with pytest.raises(AlignmentError, match="1 columns"):
        nearest_tracks(TRAIN, TRACK.drop(columns="f3"), ABOUT)
