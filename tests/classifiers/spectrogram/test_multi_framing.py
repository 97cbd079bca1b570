"""Multi-framing: a network that learns from segments, stops early by clip, and answers for a clip; and copies that it may only learn from."""

import numpy as np
import pytest

from quintet.classifiers.registry import make_member
from quintet.classifiers.spectrogram.patches import even_patches, segment_starts
from quintet.classifiers.spectrogram.pooling import pool
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
    """Class `low` is louder in the lower half of the bands, `high` in the upper."""
    rng = np.random.default_rng(seed)
    y = np.where(np.arange(n) % 2, "high", "low")
    X = [rng.normal(-40, 5, size=(8, frames)).astype(np.float32) for _ in y]
    for clip, label in zip(X, y, strict=True):
        clip[slice(4, None) if label == "high" else slice(4)] += 8
    return X, y


def fitted(**settings):
    X, y = clips()
    return make_member("vgg_small", **SMALL | settings).fit(X, y), X, y


def test_segments_lie_every_hop_between_the_ends_that_are_skipped():
    ramp = np.arange(20.0)[None]
    assert even_patches(ramp, frames=4, padding="repeat", at_most=1, hop=3, skip=2)[:, 0, 0].tolist() == [
        2,
        5,
        8,
        11,
        14,
    ]
    assert segment_starts([ramp, ramp[:, :5]], np.array([0, 1]), frames=4, hop=8).tolist() == [
        [0, 0],
        [0, 8],
        [0, 16],
        [1, 0],
    ]
    short = np.arange(6.0)[None]
    assert even_patches(short, frames=4, padding="repeat", at_most=1, hop=4, skip=2)[:, 0, 0].tolist() == [
        0
    ]  # too little would be left


def test_every_segment_of_a_learner_is_seen_once_per_epoch():
    member, X, _ = fitted(hop_frames=8, validation_share=0.0)
    seen = []
    rows = type(
        "Rows", (), {"targets": np.arange(len(X), dtype=np.float32), "weights": np.ones(len(X), np.float32)}
    )
    for patches, targets, _ in member._fresh_batches(X, np.arange(len(X)), rows)(0):
        seen += list(zip(targets.astype(int), patches[:, 0, 0].round(4), strict=True))
    expected = [
        (i, ((clip[0, s] - member.mean_[0, 0]) / member.std_[0, 0]).round(4))
        for i, clip in enumerate(X)
        for s in range(0, 40, 8)
    ]
    np.testing.assert_allclose(sorted(seen), sorted(expected), atol=1e-3)
    assert len(seen) == 5 * len(X)


@pytest.mark.parametrize("rule", ["average", "vote", "knn"])
def test_a_clips_verdict_is_pooled_from_its_segments(rule, tmp_path):
    member, X, _ = fitted(hop_frames=8, pooling=rule, validation_share=0.25)
    segments = [clip[:, s : s + 8] for clip in X for s in range(0, 40, 8)]
    plain = make_member("vgg_small", **SMALL)
    plain.__dict__.update(
        {name: value for name, value in vars(member).items() if name.endswith("_") or name == "_model"}
    )
    scores = plain.predict_proba(segments)
    expected = pool(
        scores, np.repeat(np.arange(len(X)).astype(str), 5), rule=rule, neighbours=member.neighbours_
    ).probabilities
    np.testing.assert_allclose(member.predict_proba(X), expected, atol=1e-6)
    save_member(member, tmp_path / rule)
    np.testing.assert_array_equal(load_member(tmp_path / rule).predict_proba(X), member.predict_proba(X))


def test_neighbours_are_segments_that_were_not_learnt_from_and_a_damaged_file_is_refused(tmp_path):
    member, _, _ = fitted(hop_frames=8, pooling="knn", validation_share=0.25)
    assert len(member.neighbours_.codes) == 5 * len(member.validation_)
    save_member(member, tmp_path)
    arrays = dict(np.load(tmp_path / "statistics.npz"))
    np.savez(tmp_path / "statistics.npz", **arrays | {"neighbour_codes": arrays["neighbour_codes"] + 9})
    with pytest.raises(ArtefactError, match="neighbours"):
        load_member(tmp_path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pooling": "avrage"}, "Did you mean 'average'"),
        ({"hop_frames": 0}, "hop_frames must be at least 1"),
        ({"pooling": "knn", "validation_share": 0.0}, "held out in training"),
    ],
)
def test_contradictions_are_refused_before_training(settings, message):
    X, y = clips()
    with pytest.raises(ConfigError, match=message):
        make_member("vgg_small", **SMALL | settings).fit(X, y)


def test_tags_cannot_vote():
    X, y = clips()
    with pytest.raises(ConfigError, match="Tags are pooled by 'average'"):
        make_member("vgg_small", **SMALL | {"pooling": "vote"}).fit(
            X, np.stack([y == "low", y == "high"], axis=1).astype(int)
        )


def test_copies_are_learnt_from_and_those_of_held_out_clips_are_not():
    """Copies with a mark: the statistics of the training part tell how many of them took part, and validation does not move."""
    X, y = clips()
    member = make_member("vgg_small", **SMALL | {"standard": "global", "validation_share": 0.25})
    alone = member.fit(X, y)
    mean, held_out, n = float(alone.mean_[0, 0]), alone.validation_, len(X)
    marked = [np.zeros((8, 40), np.float32) for _ in X]
    member = make_member("vgg_small", **SMALL | {"standard": "global", "validation_share": 0.25}).fit(
        X, y, copies=(marked, np.arange(n))
    )
    assert np.array_equal(member.validation_, held_out)
    assert float(member.mean_[0, 0]) == pytest.approx(
        mean / 2, rel=1e-5
    )  # as many silent copies as learners, none of the others'
    with pytest.raises(DatasetError, match="must name the clip"):
        make_member("vgg_small", **SMALL).fit(X, y, copies=(marked, np.arange(3)))
