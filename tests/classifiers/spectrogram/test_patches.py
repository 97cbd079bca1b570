"""Patches from memory and from a store, and patches that are cut ahead in another thread."""

import threading
from types import SimpleNamespace

import numpy as np
import pytest

from quintet.classifiers.spectrogram import fitting
from quintet.classifiers.spectrogram.fitting import prefetch, train
from quintet.classifiers.spectrogram.patches import (
    band_statistics,
    cut_patches,
    random_patches,
    segment_starts,
    usable_frames,
)
from quintet.classifiers.spectrogram.sequences import ConcatenatedSpectrograms, as_sequence, read_clips
from quintet.classifiers.spectrogram.settings import FitSettings, PatchSettings
from quintet.errors import DatasetError
from quintet.features.parameters import LogMelParameters
from quintet.features.storage.spectrograms import SpectrogramStore, SpectrogramWriter

LENGTHS = (40, 7, 25, 8, 12)


@pytest.fixture
def stored(tmp_path):
    """(clips in a store, the same clips in memory).

    Some clips are long, one is shorter than a patch, and some are too short to skip their ends.
    """
    parameters = LogMelParameters(n_mels=16)
    with SpectrogramWriter(tmp_path / "store", parameters) as writer:
        for k, frames in enumerate(LENGTHS):
            writer.add(str(k), 100 * k + np.tile(np.arange(float(frames)), (16, 1)))
    store = SpectrogramStore(tmp_path / "store")
    ids = [str(k) for k in range(len(LENGTHS))]
    return store.take(ids), as_sequence([store[id] for id in ids])


@pytest.mark.parametrize("skip", [0, 3])
@pytest.mark.parametrize("padding", ["repeat", "floor"])
def test_patches_of_a_store_equal_those_in_memory_and_no_whole_clip_is_read(
    stored, skip, padding, monkeypatch
):
    lazy, arrays = stored
    positions = np.array([0, 1, 2, 3, 4, 0, 2])
    settings = PatchSettings(8, padding=padding, skip_frames=skip)
    expected = random_patches(arrays, positions, np.random.default_rng(0), settings)
    places = segment_starts(arrays, positions, settings, hop=5)
    segments = cut_patches(arrays, places, settings)
    monkeypatch.setattr(SpectrogramStore, "__getitem__", lambda *_: pytest.fail("a whole clip was read"))
    clips = read_clips(lazy)
    actual = random_patches(clips, positions, np.random.default_rng(0), settings)
    np.testing.assert_array_equal(actual, expected)
    np.testing.assert_array_equal(segment_starts(clips, positions, settings, hop=5), places)
    np.testing.assert_array_equal(cut_patches(clips, places, settings), segments)
    for patch, i in zip(expected, positions, strict=True):
        assert_stretch_of_clip(patch[0], i, settings)


def assert_stretch_of_clip(row, i, settings):
    """A band of a patch holds consecutive frames of clip `i`, between the skipped ends."""
    first, length = usable_frames(LENGTHS[i], settings)
    if length >= 8:
        assert np.array_equal(row, np.arange(row[0], row[0] + 8))
        assert 100 * i + first <= row[0] <= 100 * i + first + length - 8


def test_copies_come_behind_the_clips(stored):
    lazy, arrays = stored
    both = ConcatenatedSpectrograms(lazy, lazy[[2, 0]])
    settings = PatchSettings(8)
    assert both.shapes == [(16, n) for n in (*LENGTHS, 25, 40)]
    np.testing.assert_array_equal(both[5], arrays[2])
    np.testing.assert_array_equal(
        cut_patches(both, np.array([[5, 2]]), settings), cut_patches(arrays, np.array([[2, 2]]), settings)
    )


def test_a_store_with_another_number_of_bands_is_refused(stored):
    lazy, _ = stored
    with pytest.raises(DatasetError, match="17 bands"):
        read_clips(lazy, n_mels=17)


def test_statistics_of_a_store_equal_those_in_memory(stored):
    lazy, arrays = (band_statistics(clips, np.arange(5), standard="band") for clips in stored)
    np.testing.assert_array_equal(lazy, arrays)


def test_items_are_made_in_order_in_another_thread_and_their_errors_are_raised():
    made, main = [], threading.get_ident()

    def make():
        for k in range(4):
            made.append((k, threading.get_ident()))
            yield k
        raise DatasetError("no more")

    items = prefetch(make())
    assert [next(items) for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(DatasetError, match="no more"):
        next(items)
    assert [k for k, _ in made] == [0, 1, 2, 3]
    assert all(thread != main for _, thread in made)


def test_the_next_item_is_made_while_the_last_one_is_used():
    second = threading.Event()

    def make():
        yield 1
        second.set()
        yield 2

    items = prefetch(make())
    next(items)
    assert second.wait(timeout=10)  # before the second item is requested
    items.close()


def test_patches_of_the_next_epoch_are_cut_while_a_network_learns_from_the_current_ones(monkeypatch):
    cut = [threading.Event() for _ in range(3)]
    chunks_seen = []

    def batches(epoch):
        cut[epoch].set()
        yield epoch, "first"
        yield epoch, "second"

    def one_epoch(model, chunks, batch_size):
        for epoch, part in chunks:
            chunks_seen.append((epoch, part))
            if part == "second" and epoch < 2:
                assert cut[epoch + 1].wait(timeout=10)
        return {"loss": 1.0, "accuracy": 0.0}

    model = SimpleNamespace(optimizer=SimpleNamespace(), get_weights=list, set_weights=lambda weights: None)
    monkeypatch.setattr(fitting, "_one_epoch", one_epoch)
    settings = FitSettings(3, 8, 0.1, "constant", 9)
    train(model, settings, batches=batches)
    assert chunks_seen == [(epoch, part) for epoch in range(3) for part in ("first", "second")]
