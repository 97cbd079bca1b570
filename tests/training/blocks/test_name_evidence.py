"""Names of clips as evidence of their sources: planted beginnings and orders count, chance does not."""

from __future__ import annotations

import numpy as np
import pytest

from quintet.datasets.splits.folds import grouped_folds
from quintet.training.blocks.name_evidence import name_evidence, name_parts, natural_order
from quintet.training.blocks.sound_blocks import sound_blocks
from quintet.training.blocks.source_moves import Clips
from quintet.training.blocks.source_runs import draw_hazard, draw_runs

SOURCES, CLIPS, D = 12, 5, 8


@pytest.fixture(autouse=True)
def few_sweeps(monkeypatch):
    monkeypatch.setattr("quintet.training.blocks.common_sources.SWEEPS", 5)


def songs(spread: float = 1.0, seed: int = 0, albums: int = 1):
    """Deviations of clips of one class, and their sources and albums of it."""
    rng = np.random.default_rng(seed)
    source = np.repeat(np.arange(SOURCES), CLIPS * albums)
    album = np.repeat(np.arange(SOURCES * albums), CLIPS)
    values = rng.normal(size=(SOURCES, D))[source] + 0.5 * rng.normal(size=(SOURCES * albums, D))[album]
    values += spread * rng.normal(size=values.shape)
    return values - values.mean(axis=0), source, album


def evidence(names, values, **settings):
    return name_evidence(names, [np.arange(len(values))], values, np.random.default_rng(0), **settings)


def test_a_beginning_that_clips_of_one_source_share_is_found():
    values, source, _ = songs()
    found = evidence([f"set_{k:02}_{chr(97 + i % 26)}.wav" for i, k in enumerate(source)], values)
    assert found.beginnings is not None
    assert (found.beginnings[:, None] == found.beginnings).tolist() == (source[:, None] == source).tolist()


def test_the_artist_counts_and_not_only_the_album():
    values, source, album = songs(albums=2)
    names = [f"artist{a}/album{b}/{i:03}.mp3" for i, (a, b) in enumerate(zip(source, album, strict=True))]
    found = evidence(names, values)
    assert found.beginnings is not None
    assert len(set(found.beginnings)) == SOURCES


def test_a_beginning_that_is_dealt_out_by_chance_does_not_count():
    values, source, _ = songs()
    mixed = np.random.default_rng(3).permutation(source)
    names = np.random.default_rng(4).permutation([f"day {k:02} {i:03}" for i, k in enumerate(mixed)])
    found = evidence(names.tolist(), values)
    assert found.beginnings is None
    assert found.place is None


def test_too_few_beginnings_for_the_folds_do_not_count():
    values, source, _ = songs()
    names = [f"box {k // 3} {i:03}" for i, k in enumerate(source)]
    assert evidence(names, values).beginnings is not None
    assert evidence(names, values, at_least=5).beginnings is None


def test_numbers_in_the_order_of_the_sources_are_found():
    values, _, _ = songs()
    found = evidence([f"rock.{i}" for i in range(len(values))], values)
    assert found.beginnings is None
    assert found.place.tolist() == list(range(len(values)))


def test_numbers_by_chance_tell_nothing():
    values, _, _ = songs()
    names = [f"{number:x}" for number in np.random.default_rng(1).permutation(1 << 12)[: len(values)]]
    assert evidence(names, values).place is None


def test_of_a_large_class_neighbours_are_looked_at(monkeypatch):
    rng = np.random.default_rng(0)
    values = np.repeat(rng.normal(size=(30, D)), 2, axis=0) + 0.2 * rng.normal(size=(60, D))
    monkeypatch.setattr("quintet.training.blocks.name_evidence.MOST_CLIPS", 20)
    for seed in range(5):  # 20 clips by chance would hold three of the pairs
        found = name_evidence(
            [f"rock.{i}" for i in range(60)], [np.arange(60)], values, np.random.default_rng(seed)
        )
        assert found.place is not None


def test_runs_of_a_large_class_have_no_gaps(monkeypatch):
    values, _, _ = songs()
    monkeypatch.setattr("quintet.training.blocks.sound_blocks.MOST_CLIPS", 30)
    ids = [f"{i:03}" for i in range(len(values))]
    blocks = sound_blocks(values, ["rock"] * len(ids), ids, names=ids, seed=0)
    assert blocks[0].startswith("in-a-row")
    for name in set(blocks):
        places = np.flatnonzero(blocks == name)
        assert np.ptp(places) + 1 == len(places)


def test_numbers_have_any_number_of_digits():
    assert natural_order(["9" * 5000, "1" + "0" * 4999, "007", "10"]).tolist() == [2, 3, 1, 0]


def test_a_few_names_and_equal_sounds_tell_nothing():
    assert evidence(["a 1", "a 2", "b"], np.zeros((3, 2))).place is None
    assert name_parts("") == ()


def test_runs_are_drawn_where_the_sound_changes():
    rng = np.random.default_rng(0)
    source = np.repeat(np.arange(4), 6)
    values = 4 * rng.normal(size=(4, D))[source] + 0.5 * rng.normal(size=(24, D))
    shuffled = rng.permutation(24)
    clips = Clips(values[shuffled], np.ones(24), np.full(D, 16.0))
    drawn = draw_runs(clips, np.argsort(shuffled), 0.2, rng)
    assert len(set(drawn)) == 4
    assert all(len(set(drawn[source[shuffled] == k])) == 1 for k in range(4))


def test_runs_have_the_probabilities_of_all_divisions():
    rng = np.random.default_rng(2)
    clips, hazard = Clips(rng.normal(size=(3, 2)), np.ones(3), np.array([1.0, 2.0])), 0.4
    divisions = {(0, 0, 0): [3], (0, 1, 1): [1, 2], (0, 0, 1): [2, 1], (0, 1, 2): [1, 1, 1]}
    weights = {}
    for division in divisions:
        density = clips.log_density(*clips.totals(np.array(division), max(division) + 1)).sum()
        ends = max(division)
        weights[division] = np.exp(density) * hazard**ends * (1 - hazard) ** (2 - ends)
    drawn = [draw_runs(clips, np.arange(3), hazard, rng) for _ in range(600)]
    counted = {key: sum((own.max() - own).tolist() == list(key) for own in drawn) / 600 for key in divisions}
    total = sum(weights.values())
    assert counted == pytest.approx({key: weight / total for key, weight in weights.items()}, abs=0.07)


def test_a_hazard_stays_within_its_bounds():
    rng = np.random.default_rng(0)
    assert all(0 < draw_hazard(5, runs, rng) < 1 for runs in (1, 3, 5))


def test_blocks_follow_names_and_without_them_the_sound():
    values, source, _ = songs(spread=3.0)
    labels = np.where(source < SOURCES // 2, "rock", "jazz").tolist()
    ids = [f"{i:03}" for i in range(len(values))]
    names = [f"{k:02}-{i % CLIPS}" for i, k in enumerate(source)]
    by_name = sound_blocks(values, labels, ids, names=names, seed=0)
    assert len(set(by_name)) == SOURCES
    assert (by_name[:, None] == by_name).tolist() == (source[:, None] == source).tolist()
    chance = [str(number) for number in np.random.default_rng(8).permutation(len(values))]
    alone = sound_blocks(values, labels, ids, seed=0)
    assert (sound_blocks(values, labels, ids, names=chance, seed=0) == alone).all()


@pytest.mark.slow
@pytest.mark.parametrize(("sources", "clips"), [(20, 4), (12, 8), (40, 2)])
def test_folds_over_runs_score_as_folds_over_the_planted_sources(sources, clips, monkeypatch):
    from tests.training.blocks.test_sound_blocks import accuracy, planted

    monkeypatch.setattr("quintet.training.blocks.common_sources.SWEEPS", 60)
    values, labels, true = planted(sources, clips, spread=0.5, d=20)
    ids = [f"{i:04}" for i in range(len(values))]
    blocks = sound_blocks(values, labels.tolist(), ids, names=ids, at_least=5, seed=0)
    assert accuracy(values, labels, blocks) == pytest.approx(accuracy(values, labels, true), abs=0.05)
    assert list(grouped_folds(labels, blocks.tolist(), n_splits=5, seed=0))
