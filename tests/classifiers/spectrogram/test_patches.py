"""Patches: the same whether clips lie in memory or in a store, of which no more is read than is needed; and the next ones are cut ahead."""

import threading
from types import SimpleNamespace

import numpy as np
import pytest

from quintet.classifiers.spectrogram import fitting as training
from quintet.classifiers.spectrogram.fitting import prefetch
from quintet.classifiers.spectrogram.patches import (
    ConcatenatedSpectrograms,
    band_statistics,
    check_clips,
    cut_patches,
    random_patches,
    segment_starts,
    shapes,
    usable_frames,
)
from quintet.errors import DatasetError
from quintet.features.parameters import LogMelParameters
from quintet.features.storage.spectrograms import SpectrogramStore, SpectrogramWriter

LENGTHS = (40, 7, 25, 8, 12)


@pytest.fixture
def stored(tmp_path):
    """(clips in a store, the same clips as arrays): long ones, one shorter than a patch, and some that are too short to skip their ends."""
    parameters = LogMelParameters(n_mels=16)
    with SpectrogramWriter(tmp_path / "store", parameters) as writer:
        for k, frames in enumerate(LENGTHS):
            writer.add(str(k), 100 * k + np.tile(np.arange(float(frames)), (16, 1)))
    store = SpectrogramStore(tmp_path / "store")
    ids = [str(k) for k in range(len(LENGTHS))]
    return store.take(ids), [store[id] for id in ids]


@pytest.mark.parametrize("skip", [0, 3])
@pytest.mark.parametrize("padding", ["repeat", "floor"])
def test_patches_of_a_store_are_those_of_arrays_and_no_whole_clip_is_read(stored, skip, padding, monkeypatch):
    lazy, arrays = stored
    positions = np.array([0, 1, 2, 3, 4, 0, 2])
    cut = {"frames": 8, "padding": padding, "skip": skip}
    expected = random_patches(arrays, positions, np.random.default_rng(0), **cut)
    places = segment_starts(arrays, positions, frames=8, hop=5, skip=skip)
    at_places = cut_patches(arrays, places, **cut)
    monkeypatch.setattr(SpectrogramStore, "__getitem__", lambda *_: pytest.fail("a whole clip was read"))
    check_clips(lazy)
    np.testing.assert_array_equal(random_patches(lazy, positions, np.random.default_rng(0), **cut), expected)
    np.testing.assert_array_equal(segment_starts(lazy, positions, frames=8, hop=5, skip=skip), places)
    np.testing.assert_array_equal(cut_patches(lazy, places, **cut), at_places)
    both = ConcatenatedSpectrograms(lazy, lazy[[2, 0]])
    assert shapes(both) == [(16, n) for n in (*LENGTHS, 25, 40)]
    np.testing.assert_array_equal(
        cut_patches(both, np.array([[5, 2]]), **cut), cut_patches(arrays, np.array([[2, 2]]), **cut)
    )
    for patch, i in zip(
        expected, positions, strict=True
    ):  # each is a stretch of its own clip, between the ends that are skipped
        first, length = usable_frames(LENGTHS[i], 8, skip=skip)
        if length >= 8:
            assert np.array_equal(patch[0], np.arange(patch[0, 0], patch[0, 0] + 8))
            assert 100 * i + first <= patch[0, 0] <= 100 * i + first + length - 8


def test_a_store_of_other_bands_is_refused_without_reading_it(stored):
    lazy, arrays = stored
    with pytest.raises(DatasetError, match="must have shape"):
        check_clips(lazy, n_mels=17)
    np.testing.assert_array_equal(
        *(band_statistics(clips, np.arange(5), standard="band") for clips in stored)
    )
    assert len(arrays) == len(lazy)


def test_things_are_made_ahead_in_order_and_an_error_in_the_making_is_told():
    made, main = [], threading.get_ident()

    def making():
        for k in range(4):
            made.append((k, threading.get_ident()))
            yield k
        raise DatasetError("no more")

    things = prefetch(making())
    assert next(things) == 0
    assert [next(things), next(things), next(things)] == [1, 2, 3]
    with pytest.raises(DatasetError, match="no more"):
        next(things)
    assert [k for k, _ in made] == [0, 1, 2, 3]
    assert all(thread != main for _, thread in made)


def test_patches_of_the_next_epoch_are_cut_while_a_network_learns_from_the_last(monkeypatch):
    cut = [threading.Event() for _ in range(3)]
    seen = []

    def batches(epoch):
        cut[epoch].set()
        yield epoch, "first"
        yield epoch, "second"

    def one_epoch(model, chunks, batch_size):
        for chunk in chunks:
            seen.append(chunk)
            if chunk[1] == "second" and chunk[0] < 2:
                assert cut[chunk[0] + 1].wait(timeout=10)
        return {"loss": 1.0, "accuracy": 0.0}

    model = SimpleNamespace(optimizer=SimpleNamespace(), get_weights=list, set_weights=lambda weights: None)
    monkeypatch.setattr(training, "_one_epoch", one_epoch)
    training.train(model, training.Plan(3, 8, 0.1, "constant", 9), batches=batches)
    assert seen == [(epoch, part) for epoch in range(3) for part in ("first", "second")]


def test_the_next_thing_is_made_while_the_last_is_used():
    second = threading.Event()

    def making():
        yield 1
        second.set()
        yield 2

    things = prefetch(making())
    next(things)
    assert second.wait(timeout=10)  # without anybody asking for it
    things.close()
