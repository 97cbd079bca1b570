"""Blocks for a target: songs of known artists, or of new ones."""

from __future__ import annotations

import numpy as np
import pytest

from quintet.errors import DatasetError
from quintet.training.blocks import target_blocks as module
from quintet.training.blocks.target_blocks import target_blocks

LABELS = ["jazz"] * 60 + ["rock"] * 60
IDS = [f"clip{i:03}" for i in range(120)]


def draw(seed: int, clips_of_artist: int = 4) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """120 clips of artists, songs of the same artists, and songs of other artists."""
    rng = np.random.default_rng(seed)
    artists = rng.normal(size=(120 // clips_of_artist, 20))
    near = artists + 0.3 * rng.normal(size=artists.shape)
    clips = np.repeat(artists, clips_of_artist, axis=0) + 0.3 * rng.normal(size=(120, 20))
    return clips, near, rng.normal(size=(60, 20)) * np.sqrt(1.09)


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_new_artists_keep_the_clips_of_an_artist_together_and_known_ones_do_not(seed: int) -> None:
    clips, near, far = draw(seed)
    found = target_blocks(clips, LABELS, IDS, far, seed=0)
    assert found.size in {3, 4, 6}
    artist = np.arange(120) // 4
    together = [len(set(found.names[artist == a])) == 1 for a in range(30)]
    assert np.mean(together) > 0.6
    assert not found.is_nearer
    assert found.single < 0.6 * found.folds
    assert target_blocks(clips, LABELS, IDS, near, seed=0).size == 1


@pytest.mark.slow
def test_a_target_without_a_relation_to_any_clip_is_called_so() -> None:
    clips, _, far = draw(0)
    found = target_blocks(clips, LABELS, IDS, far + 4.0, seed=0)
    assert found.is_nearer


def test_blocks_depend_on_no_order_and_on_no_unit() -> None:
    clips, _, far = draw(2)
    found = target_blocks(clips, LABELS, IDS, far, seed=0)
    order = np.random.default_rng(0).permutation(120)
    moved = target_blocks(
        1000 * clips[order] - 5, np.array(LABELS)[order], np.array(IDS)[order], 1000 * far - 5, seed=0
    )
    assert moved.size == found.size
    assert (moved.names == found.names[order]).all()


@pytest.mark.slow
def test_gaps_and_constant_columns_do_not_matter() -> None:
    clips, _, far = draw(2)
    wider = np.column_stack([clips, np.ones(120), np.full(120, np.nan)])
    songs = np.column_stack([far, np.full(60, 7.0), np.zeros(60)])
    found = target_blocks(wider, LABELS, IDS, songs, seed=0)
    expected = target_blocks(clips, LABELS, IDS, far, seed=0)
    assert (found.names == expected.names).all()


@pytest.mark.slow
def test_a_large_collection_is_measured_on_some_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_MEASURED", 40)
    monkeypatch.setattr(module, "MOST_CLIPS", 25)
    clips, _, far = draw(1)
    assert target_blocks(clips, LABELS, IDS, far, seed=0).size > 1


def test_other_columns_or_no_song_are_refused() -> None:
    clips, _, far = draw(0)
    for songs in (far[:, :5], far[:0]):
        with pytest.raises(DatasetError, match="one row or more with the same columns"):
            target_blocks(clips, LABELS, IDS, songs, seed=0)
