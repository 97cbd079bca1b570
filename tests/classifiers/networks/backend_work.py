"""What `test_backends.py` has each backend do, in a process of its own: `python backend_work.py TASK FOLDER`, with KERAS_BACKEND set."""

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
    """Noise in dB; class `low` is louder in the lower half of 8 bands, `high` in the upper; lengths differ."""
    rng = np.random.default_rng(seed)
    y = np.where(np.arange(n) % 2, "high", "low")
    X = [rng.normal(-40, 5, size=(8, int(rng.integers(6, 40)))).astype(np.float32) for _ in y]
    for clip, label in zip(X, y, strict=True):
        clip[slice(4, None) if label == "high" else slice(4)] += 12
    return X, y


def unfitted(**settings):
    return make_member("vgg_small", **{**SETTINGS, "augmentation": AUGMENTATION, **settings})


def learn(folder):
    """Fits whole and interrupted, label and tags; what it found goes to `found.json`, the fitted member to `member/`, its verdicts to `said.npy`."""
    from quintet.classifiers.networks.backend import device, load_keras

    X, y = clips()
    whole = unfitted().fit(X, y)

    def kill(row):
        if row["epoch"] == 2:
            raise KeyboardInterrupt

    with contextlib.suppress(KeyboardInterrupt):
        unfitted().fit(X, y, on_epoch=kill, checkpoint=folder / "checkpoint")
    resumed = unfitted().fit(X, y, checkpoint=folder / "checkpoint")
    unheard, truth = clips(seed=1)
    tags = unfitted(validation_share=0.0).fit(X, np.stack([y == "low", y == "high"], axis=1).astype(int))
    save_member(whole, folder / "member")
    np.save(folder / "said.npy", whole.predict_proba(X))
    found = {
        "backend": load_keras().backend.backend(),
        "device": str(device()),
        "resumed to the same weights": all(
            np.array_equal(a, b) for a, b in zip(whole.weights_, resumed.weights_, strict=True)
        ),
        "epochs": len(whole.history_),
        "best": whole.best_epoch_,
        "accuracy": float((whole.predict(unheard) == truth).mean()),
        "tags": float((tags.predict(unheard) == np.stack([truth == "low", truth == "high"], axis=1)).mean()),
    }
    (folder / "found.json").write_text(json.dumps(found))


def write(folder):
    """Each network in a sub-folder of its name, after an epoch: the member to `member/`, its verdicts to `said.npy`."""
    for name in NETWORKS:
        X, y, settings = pictures(name)
        member = make_member(name, epochs=1, validation_share=0.0, **settings).fit(X, y)
        (folder / name).mkdir()
        np.save(folder / name / "said.npy", member.predict_proba(X))
        save_member(member, folder / name / "member")


def read(folder):
    """What the members in the sub-folders of `folder` say of the clips that they learnt, to `said by BACKEND.npy`."""
    from quintet.classifiers.networks.backend import load_keras

    for place in sorted(path.parent for path in folder.glob("*/member")):
        X, *_ = pictures(place.name) if place.name in NETWORKS else clips()
        np.save(
            place / f"said by {load_keras().backend.backend()}.npy",
            load_member(place / "member").predict_proba(X),
        )


def pictures(name):
    """Six clips, their labels and a network's settings, as `tests/contracts` has them."""
    spec = importlib.util.spec_from_file_location(
        "contracts", Path(__file__).parents[2] / "contracts" / "test_model_contracts.py"
    )
    contracts = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(contracts)
    return *contracts.problem(member_entry(name), n=6), contracts.TINY[name]


def two_devices(folder):
    """The same fit on one device and dealt out to two (JAX): verdicts to `one.npy` and `two.npy`, where things lay to `found.json`."""
    from quintet.classifiers.networks.backend import Device
    from quintet.classifiers.spectrogram import classifier as spectrogram

    X, y = clips(n=21)  # 8 + 8 + 5: the last batch cannot be dealt evenly
    found, train = {}, spectrogram.train
    for name, count in (("one", 1), ("two", 2)):
        spectrogram.device = lambda count=count: Device(
            "CPU", is_gpu=False, precision="float32", jit=True, count=count
        )

        def watched(model, *arguments, name=name, **options):
            progress = train(model, *arguments, **options)
            found[name] = len(model.trainable_variables[0].value.sharding.device_set)
            return progress

        spectrogram.train = watched
        member = unfitted(validation_share=0.0, settings={"filters": 4, "blocks": 2, "dropout": 0.0}).fit(
            X, y
        )
        np.save(folder / f"{name}.npy", member.predict_proba(X))
        spectrogram.train = train
    (folder / "found.json").write_text(json.dumps(found))


if __name__ == "__main__":
    {"learn": learn, "read": read, "write": write, "two_devices": two_devices}[sys.argv[1]](Path(sys.argv[2]))
