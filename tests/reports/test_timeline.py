"""Figures over time: everything lies where its time and its pitch say."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from matplotlib.image import imread

from quintet.audio.mel import mel_filterbank
from quintet.features.parameters import LogMelParameters
from quintet.reports.figures.timeline import (
    NEGATIVE_RGB,
    POSITIVE_RGB,
    band_hz,
    hz_ticks,
    loudness_picture,
    map_picture,
    on_time_axis,
    spans,
    stack_rectangles,
    time_ticks,
)


def pixels(uri: str) -> np.ndarray:
    return np.rint(imread(io.BytesIO(base64.b64decode(uri.split(",")[1]))) * 255).astype(int)


def test_windows_lie_at_their_seconds_and_gaps_stay_gaps() -> None:
    parts = [np.array([[1.0, 2.0]]), np.array([[3.0, 4.0, 5.0, 6.0]])]
    found = on_time_axis(parts, [0.0, 6.0], [2.0, 10.0], 10.0, columns=10)
    np.testing.assert_array_equal(found[0], [1, 2, np.nan, np.nan, np.nan, np.nan, 3, 4, 5, 6])


def test_overlapping_windows_meet_in_the_middle_between_their_centres() -> None:
    found = on_time_axis([np.full((1, 4), 1.0), np.full((1, 4), 2.0)], [0, 6], [10, 16], 16, columns=16)
    assert found[0].tolist() == [1.0] * 8 + [2.0] * 8
    assert spans([0, 6], [10, 16], 16) == [(0.0, 8.0), (8.0, 16.0)]


def test_stacked_boxes_fill_the_plane_from_the_bottom() -> None:
    boxes = stack_rectangles([(0.0, 4.0), (4.0, 10.0)], np.array([[0.7, 0.3], [0.2, 0.8]]), 10.0)
    assert boxes[0][0] == {"x": 0.0, "width": 40.0, "y": 30.0, "height": 70.0}
    assert boxes[1][0] == {"x": 0.0, "width": 40.0, "y": 0.0, "height": 30.0}
    assert sum(box["width"] * box["height"] for series in boxes for box in series) == pytest.approx(100 * 100)
    assert stack_rectangles([(0.0, 10.0)], np.array([[np.nan, 0.3]]), 10.0) == [[], []]


def test_low_bands_lie_at_the_bottom_and_the_loudest_is_darkest() -> None:
    decibels = np.full((3, 4), -90.0)
    decibels[0, 1] = -10.0
    picture = pixels(loudness_picture(decibels))
    assert picture.shape == (3, 4, 4)
    assert np.unravel_index(picture[..., 3].argmax(), (3, 4)) == (2, 1)
    assert picture[0, 0, 3] == 0
    assert not picture[..., :3].any()


def test_a_map_is_orange_above_zero_blue_below_and_transparent_otherwise() -> None:
    picture = pixels(map_picture(np.array([[1.0, -1.0, 0.0, np.nan]])))[0]
    assert tuple(picture[0, :3]) == POSITIVE_RGB
    assert tuple(picture[1, :3]) == NEGATIVE_RGB
    assert picture[0, 3] == picture[1, 3] > 150
    assert picture[2, 3] == picture[3, 3] == 0


def test_the_frequency_axis_is_that_of_the_filterbank() -> None:
    p = LogMelParameters()
    weights = mel_filterbank(
        sample_rate=p.sample_rate, n_fft=p.n_fft, n_mels=p.n_mels, fmin=p.fmin, fmax=p.fmax
    )
    peaks = weights.argmax(axis=1) * p.sample_rate / p.n_fft
    for place, text in hz_ticks(p):
        hz = float(text.split()[0]) * (1000 if "k" in text else 1)
        assert peaks[int(place / 100 * p.n_mels)] == pytest.approx(hz, rel=0.06, abs=30)
    edges = np.array([0, 24, 48, 96])
    for (low, high), first, last in zip(band_hz(p, edges), edges, edges[1:], strict=False):
        inside = peaks[first:last]
        assert low - 30 <= inside.min()
        assert inside.max() <= high + 30


@pytest.mark.parametrize("duration", [0.7, 1.5, 4.2, 10, 29.9, 95, 200, 3700])
def test_time_ticks_are_few_in_order_and_inside(duration: float) -> None:
    ticks = time_ticks(duration)
    places = [place for place, _ in ticks]
    assert 2 <= len(ticks) <= 8
    assert places == sorted(places)
    assert places[0] == 0
    assert places[-1] <= 100
    assert len({text for _, text in ticks}) == len(ticks)
