"""Tasks that `test_backends.py` runs on each backend, each in a new process.

Usage: `python backend_work.py TASK FOLDER`, with KERAS_BACKEND set.
"""

import contextlib
import importlib.util
import json
import sys
from pathlib import Path

import numpy as np

from quintet.classifiers.networks.registry import NETWORKS
from quintet.classifiers.registry import make_member, member_entry
from quintet.classifiers.storage import load_member, save_member

SETTINGS = {
    "patch_frames": 16,
    "epochs": 6,
    "patience": 2,
    "settings": {"filters": 4, "blocks": 2},
    "batch_size": 8,
    "learning_rate": 0.02,
}
AUGMENTATION = {"mask_bands": 2, "mixup": 0.2}


def clips(n=24, seed=0):
    """Noise in dB. Class `low` is louder in the lower half of 8 bands, `high` in the upper half."""
    rng = np.random.default_rng(seed)
    y = np.where(np.arange(n) % 2, "high", "low")
    X = [rng.normal(-40, 5, size=(8, int(rng.integers(6, 40)))).astype(np.float32) for _ in y]
    for clip, label in zip(X, y, strict=True):
        clip[slice(4, None) if label == "high" else slice(4)] += 12
    return X, y


def tags(y):
    """Indicator matrix of the two classes."""
    return np.stack([y == "low", y == "high"], axis=1)


def unfitted(**settings):
    return make_member("vgg_small", **{**SETTINGS, "augmentation": AUGMENTATION, **settings})


def learn(folder):
    """Fit without and with an interruption, on labels and on tags.

    Writes facts to `results.json`, the fitted member to `member/` and its probabilities to `written.npy`.
    """
    from quintet.classifiers.networks.backend import device, load_keras

    X, y = clips()
    uninterrupted = unfitted().fit(X, y)

    def interrupt(row):
        if row["epoch"] == 2:
            raise KeyboardInterrupt

    with contextlib.suppress(KeyboardInterrupt):
        unfitted().fit(X, y, on_epoch=interrupt, checkpoint=folder / "checkpoint")
    resumed = unfitted().fit(X, y, checkpoint=folder / "checkpoint")
    pairs = zip(uninterrupted.weights_, resumed.weights_, strict=True)
    new_clips, truth = clips(seed=1)
    of_tags = unfitted(validation_share=0.0).fit(X, tags(y).astype(int))
    save_member(uninterrupted, folder / "member")
    np.save(folder / "written.npy", uninterrupted.predict_proba(X))
    results = {
        "backend": load_keras().backend.backend(),
        "device": str(device()),
        "resumed to the same weights": all(np.array_equal(a, b) for a, b in pairs),
        "epochs": len(uninterrupted.history_),
        "best": uninterrupted.best_epoch_,
        "accuracy": float((uninterrupted.predict(new_clips) == truth).mean()),
        "accuracy of tags": float((of_tags.predict(new_clips) == tags(truth)).mean()),
    }
    (folder / "results.json").write_text(json.dumps(results))


def write(folder):
    """Fit each network for an epoch. Write `NAME/member/`, and its probabilities to `NAME/written.npy`."""
    for name in NETWORKS:
        X, y, settings = network_problem(name)
        member = make_member(name, epochs=1, validation_share=0.0, **settings).fit(X, y)
        (folder / name).mkdir()
        np.save(folder / name / "written.npy", member.predict_proba(X))
        save_member(member, folder / name / "member")


def read(folder):
    """Load each `*/member/` and write its probabilities for its training clips to `read by BACKEND.npy`."""
    from quintet.classifiers.networks.backend import load_keras

    backend = load_keras().backend.backend()
    for place in sorted(path.parent for path in folder.glob("*/member")):
        X, *_ = network_problem(place.name) if place.name in NETWORKS else clips()
        np.save(place / f"read by {backend}.npy", load_member(place / "member").predict_proba(X))


def network_problem(name):
    """Six clips, their labels and the settings of a network, from `tests/contracts`."""
    file = Path(__file__).parents[2] / "contracts" / "test_model_contracts.py"
    spec = importlib.util.spec_from_file_location("contracts", file)
    contracts = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(contracts)
    return *contracts.problem(member_entry(name), n=6), contracts.TINY[name]


def two_devices(folder):
    """Fit the same network on one device and on two (JAX).

    Writes probabilities to `one.npy` and `two.npy`, and the numbers of devices that held weights to
    `results.json`.
    """
    from quintet.classifiers.networks.backend import Device
    from quintet.classifiers.spectrogram import classifier

    X, y = clips(n=21)  # 8 + 8 + 5: the last batch does not divide by two
    n_devices, train = {}, classifier.train
    for name, count in (("one", 1), ("two", 2)):
        cpu = Device("CPU", is_gpu=False, precision="float32", jit=True, count=count)
        classifier.device = lambda cpu=cpu: cpu

        def train_and_count(model, *arguments, name=name, **options):
            progress = train(model, *arguments, **options)
            n_devices[name] = len(model.trainable_variables[0].value.sharding.device_set)
            return progress

        classifier.train = train_and_count
        network = {"filters": 4, "blocks": 2, "dropout": 0.0}
        member = unfitted(validation_share=0.0, settings=network).fit(X, y)
        np.save(folder / f"{name}.npy", member.predict_proba(X))
        classifier.train = train
    (folder / "results.json").write_text(json.dumps(n_devices))


if __name__ == "__main__":
    tasks = {"learn": learn, "read": read, "write": write, "two_devices": two_devices}
    tasks[sys.argv[1]](Path(sys.argv[2]))
