"""Contracts of every member of the registry. Large networks are marked slow."""

import random

import numpy as np
import pytest
from sklearn.base import clone

from quintet.classifiers.registry import MEMBERS, make_member
from quintet.classifiers.storage import load_member, save_member

TINY = {
    "random_forest": {"n_estimators": 30},
    "xgboost": {"n_estimators": 30},
    "vgg_small": {
        "settings": {"filters": 4, "blocks": 2},
        "patch_frames": 16,
        "learning_rate": 0.02,
        "augmentation": None,
    },
    "vgg16_transfer": {
        "settings": {"weights": "random", "size": 32},
        "patch_frames": 16,
        "learning_rate": 3e-3,
    },
    "vgg16_fine_tune": {"settings": {"weights": "random", "size": 32}, "patch_frames": 16},
    "feed_forward": {"settings": {"size": 12}, "patch_frames": 16, "learning_rate": 1e-3},
    "musicnn": {"settings": {"filters": 12}, "patch_frames": 40},
    "musicnn_vgg": {
        "settings": {"weights": "random", "filters": 16},
        "patch_frames": 80,
        "base_rate": 1.0,
        "learning_rate": 3e-3,
    },
    "musicnn_vgg_transfer": {
        "settings": {"weights": "random", "filters": 128},
        "patch_frames": 80,
        "patches_per_clip": 1,
        "learning_rate": 0.1,
    },
    "pons2017": {"settings": {"filters": 16}, "patch_frames": 40},
    "folmer_cnn": {"settings": {"size": 32, "filters": 4}, "patch_frames": 16},
    "densenet121": {"settings": {"weights": "random", "size": 32}, "patch_frames": 16, "learning_rate": 1e-3},
    "crnn": {"settings": {"filters": 4}, "patch_frames": 32},
    "lachmish_mel": {"settings": {"units": 64}, "patch_frames": 64},
    "lachmish_mfcc": {"settings": {"units": 64}, "patch_frames": 64},
}
BANDS = {"musicnn_vgg": 64, "musicnn_vgg_transfer": 64, "pons2017": 88, "crnn": 96, "lachmish_mel": 64}
EPOCHS = {
    "vgg16_fine_tune": 30,
    "musicnn_vgg_transfer": 300,
}  # for the batch of eight clips; other networks need 60
QUICK = ("logistic_regression", "random_forest", "xgboost", "svm", "vgg_small")
rows = [
    pytest.param(row, id=row.name, marks=() if row.name in QUICK else pytest.mark.slow) for row in MEMBERS
]
networks = [
    pytest.param(row, id=row.name, marks=() if row.name in QUICK else pytest.mark.slow)
    for row in MEMBERS
    if row.input == "spectrogram"
]


def problem(row, n=24, seed=0):
    """Easy (X, y): classes differ in the level of some features, or of the lower or upper bands."""
    rng = np.random.default_rng(seed)
    y = np.array(["jazz", "pop", "rock"])[np.arange(n) % 3]
    if row.input == "table":
        return rng.normal(size=(n, 6)) + 3 * (np.arange(6) % 3 == (np.arange(n) % 3)[:, None]), y
    bands = BANDS.get(row.name, 32)
    clips = [rng.normal(-40, 5, size=(bands, int(rng.integers(50, 90)))).astype(np.float32) for _ in range(n)]
    for i, clip in enumerate(clips):
        part = bands // 3
        clip[(i % 3) * part : (i % 3 + 1) * part] += 20
    return clips, y


def unfitted(row, **settings):
    epochs = {"epochs": 2, "batch_size": 8} if row.input == "spectrogram" else {}
    return make_member(row.name, **{**epochs, **TINY.get(row.name, {}), **settings})


@pytest.fixture(scope="module")
def fitted():
    """Function of a row that returns its fitted member and data; each member is fitted once."""
    cache = {}

    def fit_once(row):
        if row.name not in cache:
            X, y = problem(row)
            cache.clear()  # one network at a time in memory
            cache[row.name] = unfitted(row).fit(X, y), X, y
        return cache[row.name]

    return fit_once


@pytest.mark.parametrize("row", rows, scope="module")
class TestEveryMember:
    def test_clone_keeps_every_parameter(self, row):
        settings = {"epochs": 7, "batch_size": 3} if row.input == "spectrogram" else {}
        member = unfitted(row, seed=5, **settings)
        assert clone(member).get_params() == member.get_params()
        assert clone(member).get_params()["seed"] == 5
        assert type(clone(member)) is type(member)

    def test_probabilities_are_finite_and_sum_to_one(self, row, fitted):
        member, X, _ = fitted(row)
        probabilities = member.predict_proba(X)
        assert probabilities.shape == (len(X), 3)
        assert probabilities.dtype == np.float64
        assert (probabilities >= 0).all()
        np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, atol=1e-9)
        assert member.classes_.tolist() == ["jazz", "pop", "rock"]

    def test_batch_size_and_row_order_do_not_matter(self, row, fitted):
        member, X, _ = fitted(row)
        whole = member.predict_proba(X)
        assert np.ptp(whole) > 1e-4  # constant probabilities would pass the checks below
        one_by_one = np.concatenate([member.predict_proba(X[i : i + 1]) for i in range(5)])
        np.testing.assert_allclose(one_by_one, whole[:5], atol=1e-6)
        order = np.random.default_rng(0).permutation(len(X))
        shuffled = [X[i] for i in order] if row.input == "spectrogram" else X[order]
        np.testing.assert_allclose(member.predict_proba(shuffled), whole[order], atol=1e-6)

    def test_a_loaded_member_predicts_the_same_numbers(self, row, fitted, tmp_path):
        member, X, _ = fitted(row)
        save_member(member, tmp_path)
        loaded = load_member(tmp_path)
        np.testing.assert_allclose(loaded.predict_proba(X), member.predict_proba(X), atol=1e-7)
        assert loaded.get_params() == member.get_params()

    def test_the_same_seed_gives_the_same_and_global_random_states_do_not_change(self, row, fitted):
        member, X, y = fitted(row)
        random.seed(3)
        np.random.seed(3)  # noqa: NPY002
        before = random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
        probabilities = unfitted(row).fit(X, y).predict_proba(X)
        assert random.getstate() == before[0]
        np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
        np.testing.assert_allclose(probabilities, member.predict_proba(X), atol=1e-6)

    def test_an_easy_problem_is_learnt(self, row):
        if row.input == "table":
            n, settings, most = 90, {}, 0.5
        else:  # a correct network can memorise a batch of eight clips
            epochs = EPOCHS.get(row.name, 60)
            settings = {"epochs": epochs, "validation_share": 0.0, "schedule": "constant"}
            n, most = 8, 0.1
        X, y = problem(row, n=n)
        member = unfitted(row, **settings).fit(X, y)
        true_class = np.searchsorted(member.classes_, y)
        probabilities = member.predict_proba(X)[np.arange(n), true_class]
        assert -np.log(probabilities).mean() < most
