"""Share of a network's training time that its input takes: `python -m benchmarks.training`.

Our training reads a store of whole spectrograms on the disk: in each epoch it cuts patches at random places
of every clip, standardises and augments them. The reference is `fit` of Keras with the same network on
patches in memory, which were cut before. Both run in turn, and the one that begins alternates. An epoch is
timed by the wall and by the CPU, without the first epoch, which compiles, and the last, in which our training
cuts no patches for the next. Target: at most 10 % more time than the reference.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from quintet.classifiers.networks.backend import device, load_keras
from quintet.classifiers.registry import make_member
from quintet.classifiers.spectrogram.classifier import SpectrogramClassifier
from quintet.classifiers.spectrogram.fitting import compile_network
from quintet.classifiers.spectrogram.patches import random_patches
from quintet.features.parameters import LogMelParameters
from quintet.features.storage.spectrograms import Spectrograms, SpectrogramStore, SpectrogramWriter

N_CLASSES = 8


def write_store(folder: Path, *, clips: int, seconds: float) -> SpectrogramStore:
    """Write a store of noise. The content does not change the times."""
    parameters = LogMelParameters()
    frames, rng = round(seconds * parameters.sample_rate / parameters.hop_length), np.random.default_rng(0)
    with SpectrogramWriter(folder, parameters) as writer:
        for i in range(clips):
            writer.add(f"{i:06d}", rng.normal(-40, 15, (parameters.n_mels, frames)).astype(np.float32))
    return SpectrogramStore(folder)


def new_classifier(network: str, *, seed: int = 0, **settings: Any) -> SpectrogramClassifier:
    """An unfitted member that trains this network."""
    member = make_member(network, seed=seed, **settings)
    assert isinstance(member, SpectrogramClassifier)
    return member


class Clock:
    """Clock of epochs, without the first, which compiles, and the last, which cuts no patches."""

    def __init__(self) -> None:
        self.ends: list[tuple[float, float]] = []

    def __call__(self, *_: object) -> None:
        """Note the end of an epoch."""
        self.ends.append((time.perf_counter(), time.process_time()))

    @property
    def seconds(self) -> Any:
        """Medians of the wall and the CPU seconds of an epoch."""
        return np.median(np.diff(np.array(self.ends), axis=0)[:-1], axis=0)


def ours(member: SpectrogramClassifier, clips: Spectrograms, labels: Any) -> Any:
    """Wall and CPU seconds of an epoch of our estimator."""
    clock = Clock()
    member.fit(clips, labels, on_epoch=clock)
    return clock.seconds


def from_memory(member: SpectrogramClassifier, patches: Any, targets: Any) -> Any:
    """Wall and CPU seconds of an epoch of Keras on arrays, with the network and the settings of `member`."""
    model = member.new_network(pretrained=False)
    compile_network(model, member.fit_settings, device=device())
    clock = Clock()
    options: dict[str, Any] = {
        "batch_size": member.batch_size,
        "epochs": member.epochs,
        "shuffle": True,
        "verbose": 0,
        "callbacks": [load_keras().callbacks.LambdaCallback(on_epoch_end=clock)],
    }
    model.fit(patches, targets, sample_weight=np.ones(len(targets), np.float32), **options)
    return clock.seconds


def measure(
    store: SpectrogramStore, *, network: str, settings: dict[str, Any], rounds: int
) -> dict[str, Any]:
    """Patches per second of both, and the ratio of their times by round."""
    clips = store.take(store.ids)
    labels = np.arange(len(clips)) % N_CLASSES
    chosen = {"validation_share": 0.0, "schedule": "constant", "epochs": 5, "patches_per_clip": 4, **settings}
    fitted = new_classifier(network, **{**chosen, "epochs": 1}).fit(clips, labels)  # sizes and statistics
    fitted.set_params(epochs=chosen["epochs"])
    every = np.repeat(np.arange(len(clips)), fitted.patches_per_clip)
    raw_patches = random_patches(clips, every, np.random.default_rng(0), fitted.patch_settings)
    patches = fitted.standardise(raw_patches)
    targets, pairs = np.eye(N_CLASSES, dtype=np.float32)[labels[every]], []
    for number in range(rounds):
        member = new_classifier(network, seed=number, **chosen)
        if number % 2:
            reference = from_memory(fitted, patches, targets)
            pairs.append((ours(member, clips, labels), reference))
        else:
            pairs.append((ours(member, clips, labels), from_memory(fitted, patches, targets)))
    own, theirs = np.swapaxes(np.array(pairs), 0, 1)  # (rounds, 2) each
    low, middle, high = np.percentile(own / theirs, [25, 50, 75], axis=0)
    rates = {
        "ours": len(patches) / float(np.median(own[:, 0])),
        "from_memory": len(patches) / float(np.median(theirs[:, 0])),
    }
    ratios = {
        name: {"median": middle[k], "q25": low[k], "q75": high[k]}
        for k, name in enumerate(("time_ratio", "cpu_ratio"))
    }
    return {"network": network, "patches_per_second": rates, **ratios, "rounds": rounds}


def main() -> None:
    """Print a line per network, and write the JSON if it is requested."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--networks", nargs="+", default=["vgg_small"])
    parser.add_argument("--clips", type=int, default=320)
    parser.add_argument("--seconds", type=float, default=30.0, help="length of a clip")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--set", nargs="*", default=[], help="settings of the members: batch_size=64")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    settings = {name: json.loads(value) for name, value in (pair.split("=", 1) for pair in asked.set)}
    load_keras()
    print(f"{asked.clips} clips of {asked.seconds:g} s, {device()}")
    results = []
    with tempfile.TemporaryDirectory() as folder:
        store = write_store(Path(folder) / "store", clips=asked.clips, seconds=asked.seconds)
        for network in asked.networks:
            row = measure(store, network=network, settings=settings, rounds=asked.rounds)
            rate, ratio, cpu_ratio = row["patches_per_second"], row["time_ratio"], row["cpu_ratio"]
            print(
                f"{network:<16} ours {rate['ours']:8.1f} patches/s   "
                f"from memory {rate['from_memory']:8.1f}   "
                f"time ratio {ratio['median']:.3f} [{ratio['q25']:.3f} … {ratio['q75']:.3f}]   "
                f"CPU ratio {cpu_ratio['median']:.3f}"
            )
            results.append(row)
    if asked.json:
        measurement = {"device": str(device()), "clips": asked.clips, "seconds": asked.seconds}
        asked.json.write_text(json.dumps(measurement | {"networks": results}, indent=1))


if __name__ == "__main__":
    main()
