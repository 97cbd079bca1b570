"""Spectrogram classifier: statistics, groups, early stopping, resuming, storage."""

import json
import pickle
import random
import resource
import shutil
import subprocess
import sys

import h5py
import numpy as np
import pytest

from quintet.classifiers.networks.backend import device, load_keras
from quintet.classifiers.registry import make_member
from quintet.classifiers.spectrogram.classifier import SpectrogramClassifier
from quintet.classifiers.storage import load_member, save_member
from quintet.errors import ArtefactError, ConfigError, DatasetError, SplitLeakError

SMALL = {
    "patch_frames": 16,
    "epochs": 3,
    "settings": {"filters": 4, "blocks": 2},
    "batch_size": 8,
    "augmentation": None,
}


def clips(n=24, n_mels=8, seed=0):
    """Noise in dB. Class `low` is louder in the lower half of the bands, `high` in the upper half."""
    rng = np.random.default_rng(seed)
    y = np.where(np.arange(n) % 2, "high", "low")
    X = []
    for label in y:
        clip = rng.normal(-40, 5, size=(n_mels, int(rng.integers(6, 40))))
        clip[slice(n_mels // 2, None) if label == "high" else slice(n_mels // 2)] += 12
        X.append(clip.astype(np.float32))
    return X, y


@pytest.fixture(scope="module")
def fitted():
    X, y = clips()
    return (
        make_member(
            "vgg_small", **SMALL | {"epochs": 10, "learning_rate": 0.02, "validation_share": 0.15}
        ).fit(X, y),
        X,
        y,
    )


def test_the_network_learns_two_easy_classes(fitted):
    member, _, _ = fitted
    X, y = clips(seed=1)
    assert (member.predict(X) == y).mean() > 0.9
    assert member.classes_.tolist() == ["high", "low"]


def test_the_history_has_a_row_per_epoch(fitted):
    member, _, _ = fitted
    assert [row["epoch"] for row in member.history_] == list(range(1, len(member.history_) + 1))
    assert set(member.history_[0]) == {"epoch", "loss", "accuracy", "val_loss", "val_accuracy", "seconds"}


def test_the_weights_of_the_best_epoch_are_kept(fitted):
    member, X, y = fitted
    losses = [row["val_loss"] for row in member.history_]
    assert member.best_epoch_ == 1 + int(np.argmin(losses))
    held_out = member.predict_proba([X[i] for i in member.validation_])
    truth = np.searchsorted(member.classes_, y[member.validation_])
    per_class = [-np.log(held_out[truth == k, k]).mean() for k in range(2)]
    assert np.mean(per_class) == pytest.approx(min(losses), rel=1e-4)


def test_statistics_come_from_the_learners_only(fitted):
    member, X, _ = fitted
    learners = np.setdiff1d(np.arange(len(X)), member.validation_)
    frames = np.concatenate([X[i] for i in learners], axis=1).astype(np.float64)
    np.testing.assert_allclose(member.mean_[:, 0], frames.mean(axis=1), rtol=1e-5)
    np.testing.assert_allclose(member.std_[:, 0], frames.std(axis=1), rtol=1e-5)


def test_no_group_is_on_both_sides_of_early_stopping():
    X, y = clips()
    groups = np.arange(24) // 4
    member = make_member("vgg_small", **SMALL | {"epochs": 1, "validation_share": 0.15}).fit(
        X, y, groups=groups
    )
    assert len(member.validation_) > 0
    assert not set(groups[member.validation_]) & set(groups[np.setdiff1d(np.arange(24), member.validation_)])


def test_a_leak_in_early_stopping_is_an_error(monkeypatch):
    X, y = clips()
    monkeypatch.setattr(
        "quintet.classifiers.spectrogram.validation.grouped_folds",
        lambda *a, **k: [(np.arange(0, 24, 2), np.arange(1, 24, 2))],
    )
    with pytest.raises(SplitLeakError, match="early stopping"):
        make_member("vgg_small", **SMALL, validation_share=0.15).fit(X, y, groups=np.arange(24) // 4)


def test_a_fit_stops_after_the_patience():
    X, y = clips()
    rng = np.random.default_rng(0)
    member = make_member("vgg_small", **SMALL | {"epochs": 30, "patience": 2}).fit(X, rng.permutation(y))
    assert len(member.history_) == member.best_epoch_ + 2 < 30


@pytest.mark.parametrize(
    "last", [pytest.param(1, marks=pytest.mark.slow), 2, pytest.param(3, marks=pytest.mark.slow)]
)
def test_a_run_killed_after_any_epoch_resumes_to_the_same_weights(last, tmp_path):
    X, y = clips()
    settings = SMALL | {"epochs": 4, "patches_per_clip": 2, "augmentation": {"mask_bands": 2, "mixup": 0.2}}
    whole = make_member("vgg_small", **settings).fit(X, y)

    def kill(row):
        if row["epoch"] == last:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_member("vgg_small", **settings).fit(X, y, on_epoch=kill, checkpoint=tmp_path)
    epochs = []
    resumed = make_member("vgg_small", **settings).fit(
        X, y, on_epoch=lambda row: epochs.append(row["epoch"]), checkpoint=tmp_path
    )

    assert epochs == list(range(last + 1, 5))
    for a, b in zip(whole.weights_, resumed.weights_, strict=True):
        np.testing.assert_array_equal(a, b)
    assert [row["loss"] for row in resumed.history_] == [row["loss"] for row in whole.history_]


def test_a_checkpoint_of_another_backend_is_refused(tmp_path, monkeypatch):
    X, y = clips(8)
    member = make_member("vgg_small", **SMALL | {"epochs": 1})
    member.fit(X, y, checkpoint=tmp_path)
    monkeypatch.setattr(load_keras().backend, "backend", lambda: "another")
    with pytest.raises(ArtefactError, match="seed and backend"):
        member.fit(X, y, checkpoint=tmp_path)


def test_a_checkpoint_of_another_fit_or_a_damaged_one_is_refused(tmp_path):
    X, y = clips()
    settings = SMALL | {"epochs": 1}
    make_member("vgg_small", **settings).fit(X, y, checkpoint=tmp_path)
    with pytest.raises(ArtefactError, match="another fit"):
        make_member("vgg_small", **settings, seed=1).fit(X, y, checkpoint=tmp_path)
    path = tmp_path / "checkpoint.npz"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ArtefactError, match="must be whole"):
        make_member("vgg_small", **settings).fit(X, y, checkpoint=tmp_path)


@pytest.mark.slow
def test_few_and_many_steps_give_the_same_weights(monkeypatch):
    X, y = clips(n=12)
    few = make_member("vgg_small", **SMALL | {"epochs": 1}).fit(X, y)
    monkeypatch.setattr("quintet.classifiers.spectrogram.fitting.FEW_BATCHES", 0)
    many = make_member("vgg_small", **SMALL | {"epochs": 1}).fit(X, y)
    for a, b in zip(few.weights_, many.weights_, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    assert few.history_[0]["loss"] == pytest.approx(many.history_[0]["loss"], rel=1e-5)


@pytest.mark.parametrize("chosen", [{"patience": 2}, {"pooling": "knn"}])
def test_vgg_small_holds_out_clips_only_for_a_setting_that_needs_them(chosen):
    """A setting without effect would be an option that is ignored."""
    assert make_member("vgg_small").validation_share == 0
    assert make_member("vgg_small", **chosen).validation_share > 0
    assert make_member("vgg_small", **chosen, validation_share=0.3).validation_share == 0.3


def test_without_validation_all_epochs_run_on_everything():
    X, y = clips()
    member = make_member("vgg_small", **SMALL, validation_share=0.0).fit(X, y)
    assert len(member.validation_) == 0
    assert member.best_epoch_ == len(member.history_) == 3
    assert all(np.isnan(row["val_loss"]) for row in member.history_)


@pytest.mark.slow
def test_several_labels_per_clip():
    X, y = clips()
    Y = np.column_stack([y == "high", y == "low", np.arange(24) % 3 == 0]).astype(int)
    member = make_member("vgg_small", **SMALL | {"epochs": 15, "learning_rate": 0.02}).fit(
        X, Y, classes=["high", "low", "third"]
    )
    probabilities = member.predict_proba(X)
    assert probabilities.shape == (24, 3)
    assert (member.predict(X)[:, :2] == Y[:, :2]).mean() > 0.85
    assert member.classes_.tolist() == ["high", "low", "third"]


def test_an_array_and_a_list_of_clips_give_the_same_probabilities(fitted):
    member, _, _ = fitted
    block = np.random.default_rng(0).normal(-40, 5, size=(3, 8, 20)).astype(np.float32)
    np.testing.assert_allclose(member.predict_proba(block), member.predict_proba(list(block)), atol=1e-7)


def test_the_embedding_is_mean_and_peak_of_the_last_filters(fitted):
    member, X, _ = fitted
    assert member.embed(X).shape == (24, 2 * 16)  # 8 filters at 2 heights


def test_a_member_is_the_same_after_storage_and_after_pickling(fitted, tmp_path):
    member, X, _ = fitted
    save_member(member, tmp_path)
    loaded = load_member(tmp_path)
    np.testing.assert_array_equal(loaded.predict_proba(X), member.predict_proba(X))
    assert loaded.get_params() == member.get_params()
    assert loaded.history_ == member.history_
    assert "_model" not in member.__getstate__()
    sent = pickle.loads(pickle.dumps(member))  # as joblib sends it to workers; no file is a pickle
    np.testing.assert_allclose(sent.predict_proba(X), member.predict_proba(X), atol=1e-6)
    assert {path.name for path in tmp_path.iterdir()} == {
        "member.json",
        "network.weights.h5",
        "statistics.npz",
    }


def test_damaged_networks_are_refused(fitted, tmp_path):
    member, _, _ = fitted
    save_member(member, tmp_path / "good")
    for name in ("network.weights.h5", "statistics.npz"):
        shutil.copytree(tmp_path / "good", tmp_path / name)
        path = tmp_path / name / name
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(ArtefactError):
            load_member(tmp_path / name)
    other = pickle.loads(pickle.dumps(member))
    other.weights_ = [weights + 1 for weights in member.weights_]
    save_member(other, tmp_path / "swapped")
    shutil.copy(tmp_path / "swapped" / "network.weights.h5", tmp_path / "good" / "network.weights.h5")
    with pytest.raises(ArtefactError, match=r"network\.weights\.h5"):
        load_member(tmp_path / "good")
    save_member(member, tmp_path / "good")
    for change in ({"n_mels": 9}, {"settings": {"network": "resnet"}}, {"classes": ["a", "b", "c"]}):
        head = json.loads((tmp_path / "good" / "member.json").read_text())
        (tmp_path / "other").mkdir(exist_ok=True)
        shutil.copytree(tmp_path / "good", tmp_path / "other", dirs_exist_ok=True)
        (tmp_path / "other" / "member.json").write_text(json.dumps(head | change))
        with pytest.raises(ArtefactError):
            load_member(tmp_path / "other")


@pytest.mark.parametrize(
    "change",
    [
        {"settings": {"filters": 20_000}},
        {"settings": {"filters": 400, "blocks": 9}},
        {"settings": {"filters": 4, "blocks": 1_000_000_000}},
        {"settings": {"filters": -4}},
        {"settings": {"filters": "many"}},
        {"batch_size": 10**9},
        {"batch_size": True},
        {"max_patches": 10**9},
        {"patch_frames": 10**9},
        {"settings": {"filters": 4, "blocks": [10**12]}},
        {"precision": "int8_from_float32"},
        {"pooling": "knn"},
    ],
)
def test_a_network_that_is_larger_than_its_weights_is_refused_before_it_is_built(fitted, tmp_path, change):
    member, _, _ = fitted
    save_member(member, tmp_path)
    head = json.loads((tmp_path / "member.json").read_text())
    head["settings"] |= change
    (tmp_path / "member.json").write_text(json.dumps(head))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ArtefactError):
        load_member(tmp_path)
    if sys.platform == "linux":  # kilobytes
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 300_000


@pytest.mark.parametrize(
    "change",
    [
        lambda file: file.create_dataset("layers/more/vars/0", (1 << 30, 1), "f4"),
        lambda file: file.__setitem__("layers/more", h5py.ExternalLink("/etc/other.h5", "/x")),
        lambda file: file.__setitem__("layers/more", h5py.SoftLink("/layers")),
        lambda file: file.create_dataset("more", (3,), "f4", external=[("/proc/self/environ", 0, 12)]),
    ],
)
def test_weights_that_lie_elsewhere_or_nowhere_are_refused(fitted, tmp_path, change):
    member, _, _ = fitted
    save_member(member, tmp_path)
    with h5py.File(tmp_path / "network.weights.h5", "a") as file:
        change(file)
    with pytest.raises(ArtefactError):
        load_member(tmp_path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"padding": "mirror"}, "padding must be one of"),
        ({"epochs": 0}, "epochs of 'vgg_small' must be"),
        ({"validation_share": 0.9}, "validation_share"),
        ({"patch_frames": 4}, "at least"),
        ({"augmentation": {"mixup": -1}}, "mixup must be at least 0"),
        ({"settings": {"width": 3}}, "width"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    X, y = clips()
    with pytest.raises(ConfigError, match=message):
        make_member("vgg_small", **SMALL | settings).fit(X, y)


def test_an_unknown_network_is_refused_with_the_nearest_name():
    X, y = clips()
    with pytest.raises(ConfigError, match="Did you mean 'vgg_small'"):
        SpectrogramClassifier("vgg_smal").fit(X, y)


def test_impossible_data_are_refused(fitted):
    member, X, y = fitted
    with pytest.raises(DatasetError, match="at least one spectrogram"):
        member.predict_proba([])
    with pytest.raises(DatasetError, match=r"Number 1 has \(9, 20\)"):
        member.predict_proba([X[0], np.zeros((9, 20))])
    with pytest.raises(DatasetError, match="23 labels for 24"):
        make_member("vgg_small", **SMALL).fit(X, y[:-1])
    with pytest.raises(DatasetError, match="1 names for 3"):
        make_member("vgg_small", **SMALL).fit(X, np.eye(24, 3, dtype=int), classes=["only"])
    with pytest.raises(DatasetError, match="0 and 1"):
        make_member("vgg_small", **SMALL).fit(X, np.full((24, 3), 2))
    with pytest.raises(DatasetError, match="one class only"):
        make_member("vgg_small", **SMALL).fit(X, ["a"] * len(X))


def test_global_random_states_do_not_change():
    X, y = clips(n=8)
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    before = random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    member = make_member("vgg_small", **SMALL | {"epochs": 1}).fit(X, y)
    member.predict_proba(X)
    assert random.getstate() == before[0]
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002


def test_importing_the_classifier_loads_no_keras():
    code = (
        "import sys, quintet.classifiers.spectrogram.classifier, quintet.classifiers.storage; "
        "print([m for m in ('keras', 'xgboost') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_summary_of_the_device_states_the_precision():
    assert str(device()).split(", ")[1] in {"float32", "mixed_float16", "mixed_bfloat16"}
