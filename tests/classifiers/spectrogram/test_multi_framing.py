"""Multi-framing: fits on segments, early stopping and predictions by clip; augmented copies."""

import numpy as np
import pytest

from quintet.classifiers.registry import make_member
from quintet.classifiers.spectrogram.batches import TrainingClips, patch_batches
from quintet.classifiers.spectrogram.patches import BandStatistics, even_patches, segment_starts
from quintet.classifiers.spectrogram.pooling import segment_predictions
from quintet.classifiers.spectrogram.sequences import as_sequence
from quintet.classifiers.spectrogram.settings import PatchSettings
from quintet.classifiers.spectrogram.targets import Rows
from quintet.classifiers.storage import load_member, save_member
from quintet.errors import ArtefactError, ConfigError, DatasetError

SMALL = {
    "patch_frames": 8,
    "epochs": 4,
    "settings": {"filters": 4, "blocks": 1},
    "batch_size": 8,
    "augmentation": None,
    "learning_rate": 0.02,
}


def clips(n=16, frames=40, seed=0):
    """Class `low` is louder in the lower half of the bands, `high` in the upper half."""
    rng = np.random.default_rng(seed)
    y = np.where(np.arange(n) % 2, "high", "low")
    X = [rng.normal(-40, 5, size=(8, frames)).astype(np.float32) for _ in y]
    for clip, label in zip(X, y, strict=True):
        clip[slice(4, None) if label == "high" else slice(4)] += 8
    return X, y


def fitted(**settings):
    X, y = clips()
    return make_member("vgg_small", **SMALL | settings).fit(X, y), X, y


def first_frames(clip, settings):
    return even_patches(clip, settings)[:, 0, 0].tolist()


def test_segments_start_every_hop_between_the_skipped_ends():
    ramp = np.arange(20.0)[None]
    skipping = PatchSettings(4, hop_frames=3, skip_frames=2)
    assert first_frames(ramp, skipping) == [2, 5, 8, 11, 14]
    places = segment_starts(as_sequence([ramp, ramp[:, :5]]), np.array([0, 1]), PatchSettings(4), hop=8)
    assert places.tolist() == [[0, 0], [0, 8], [0, 16], [1, 0]]
    short = np.arange(6.0)[None]  # without its ends it would be shorter than a patch
    assert first_frames(short, PatchSettings(4, hop_frames=4, skip_frames=2)) == [0]


def test_each_segment_of_a_learner_is_in_each_epoch_once():
    member, X, _ = fitted(hop_frames=8, validation_share=0.0)
    positions = np.arange(len(X))
    rows = Rows(positions.astype(np.float32), np.ones(len(X), np.float32))
    statistics = BandStatistics(member.mean_, member.std_)
    training = TrainingClips(as_sequence(X), positions, rows, statistics)
    actual = []
    for patches, targets, _ in patch_batches(training, member.patch_settings, member.fit_settings)(0):
        actual += list(zip(targets.astype(int), patches[:, 0, 0].round(4), strict=True))
    mean, std = member.mean_[0, 0], member.std_[0, 0]
    expected = [
        (i, ((clip[0, start] - mean) / std).round(4)) for i, clip in enumerate(X) for start in range(0, 40, 8)
    ]
    np.testing.assert_allclose(sorted(actual), sorted(expected), atol=1e-3)
    assert len(actual) == 5 * len(X)


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["average", "vote", "knn"])
def test_the_prediction_for_a_clip_is_the_mean_over_its_segments(rule, tmp_path):
    member, X, _ = fitted(hop_frames=8, pooling=rule, validation_share=0.25)
    segments = [clip[:, start : start + 8] for clip in X for start in range(0, 40, 8)]
    plain = make_member("vgg_small", **SMALL)
    state = {k: v for k, v in vars(member).items() if k.endswith("_") or k == "_model"}
    plain.__dict__.update(state)
    by_segment = segment_predictions(plain.predict_proba(segments), rule=rule, neighbours=member.neighbours_)
    expected = by_segment.reshape(len(X), 5, 2).mean(axis=1)
    np.testing.assert_allclose(member.predict_proba(X), expected, atol=1e-6)
    save_member(member, tmp_path / rule)
    np.testing.assert_array_equal(load_member(tmp_path / rule).predict_proba(X), member.predict_proba(X))


def test_neighbours_are_held_out_segments_and_a_damaged_file_is_refused(tmp_path):
    member, _, _ = fitted(hop_frames=8, pooling="knn", validation_share=0.25)
    assert len(member.neighbours_.codes) == 5 * len(member.validation_)
    save_member(member, tmp_path)
    arrays = dict(np.load(tmp_path / "statistics.npz"))
    arrays["neighbour_codes"] = arrays["neighbour_codes"] + 9
    np.savez(tmp_path / "statistics.npz", **arrays)
    with pytest.raises(ArtefactError, match="neighbours"):
        load_member(tmp_path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pooling": "avrage"}, "Did you mean 'average'"),
        ({"hop_frames": 0}, "hop_frames of 'vgg_small' must be"),
        ({"pooling": "knn", "validation_share": 0.0}, "validation_share"),
    ],
)
def test_contradictory_settings_are_refused_before_training(settings, message):
    X, y = clips()
    with pytest.raises(ConfigError, match=message):
        make_member("vgg_small", **SMALL | settings).fit(X, y)


def test_tags_are_pooled_by_average_only():
    X, y = clips()
    tags = np.stack([y == "low", y == "high"], axis=1).astype(int)
    with pytest.raises(ConfigError, match="'average'"):
        make_member("vgg_small", **SMALL | {"pooling": "vote"}).fit(X, tags)


@pytest.mark.slow
def test_the_network_learns_from_copies_of_learners_and_not_from_copies_of_held_out_clips():
    """The copies are silent, so the statistics of the training part show how many of them took part."""
    X, y = clips()
    settings = SMALL | {"standard": "global", "validation_share": 0.25}
    without = make_member("vgg_small", **settings).fit(X, y)
    silence = [np.zeros((8, 40), np.float32) for _ in X]
    copies = (silence, np.arange(len(X)))
    member = make_member("vgg_small", **settings).fit(X, y, copies=copies)
    assert np.array_equal(member.validation_, without.validation_)
    # As many silent copies as learners take part, and no copy of a held-out clip.
    assert float(member.mean_[0, 0]) == pytest.approx(float(without.mean_[0, 0]) / 2, rel=1e-5)
    with pytest.raises(DatasetError, match="augmented copy"):
        make_member("vgg_small", **SMALL).fit(X, y, copies=(silence, np.arange(3)))
