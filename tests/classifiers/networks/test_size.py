"""Size of a network before it is built, and what happens if it is too large."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from quintet.classifiers.networks.registry import build_network
from quintet.classifiers.networks.size import NetworkSize, network_size, require_memory
from quintet.errors import ConfigError
from quintet.features.parameters import LogMelParameters
from quintet.features.storage.spectrograms import SpectrogramWriter
from quintet.features.storage.table import META_COLUMNS, FeatureTable
from quintet.training.settings import TrainSettings
from quintet.training.train import TrainOptions, train


@pytest.mark.parametrize("name", ["vgg_small", "vgg16_transfer", "musicnn"])
def test_the_size_is_that_of_the_built_network(name: str) -> None:
    size = network_size(name, (96, 187), 4, {})
    model = build_network(
        name,
        (96, 187),
        4,
        multilabel=False,
        seed=0,
        precision="float32",
        settings={},
        pretrained=False,
    )
    learning = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    assert (size.parameters, size.parameters + size.fixed) == (learning, model.count_params())


def test_a_hundred_gigabytes_are_counted_without_memory() -> None:
    import keras

    size = network_size("feed_forward", (96, 431), 7, {"size": 4000})
    first = 4000 * 4000 * 3 * 512 + 512
    assert size.parameters == first + 512 * 32 + 32 + 32 * 7 + 7
    with keras.StatelessScope():
        pass  # at its end Keras gives memory to all weights that wait for it


def test_a_network_beyond_the_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    size = NetworkSize("feed_forward", 71_680_775, 0)
    for given in ("5", "0.1"):
        monkeypatch.setenv("QUINTET_MEMORY_GB", given)
        with pytest.raises(ConfigError, match=r"71,680,775 parameters from 24 clips.*5\.7 GB"):
            require_memory(size, 24)
    monkeypatch.setenv("QUINTET_MEMORY_GB", "6")
    require_memory(size, 24)
    monkeypatch.setenv("QUINTET_MEMORY_GB", "much")
    with pytest.raises(ConfigError, match="'much'"):
        require_memory(size, 24)
    monkeypatch.delenv("QUINTET_MEMORY_GB")
    with pytest.raises(ConfigError, match="leave it out"):
        require_memory(NetworkSize("feed_forward", 10**15, 0), 24)


def test_training_says_so_before_the_first_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    ids = [f"c{i:02d}" for i in range(24)]
    with SpectrogramWriter(tmp_path / "store", LogMelParameters(n_mels=8)) as writer:
        for id in ids:
            writer.add(id, rng.normal(-40, 5, size=(8, 20)).astype(np.float32))
    frame = pd.DataFrame({name: pd.Series([None] * 24, dtype="object") for name in META_COLUMNS})
    frame = frame.assign(id=ids, status="ok", label=["a", "b"] * 12, group=ids, tempo=np.float32(1))
    table = FeatureTable(frame, {"parameter_hash": "0", "grouped": True})
    settings = TrainSettings(members=("logistic_regression", "feed_forward"), folds=2)
    options = TrainOptions(spectrograms=tmp_path / "store")
    events: list[tuple[str, str]] = []

    class StoppedError(Exception):
        pass

    def listen(event: object) -> None:
        events.append((event.kind, event.member))  # type: ignore[attr-defined]
        if event.kind == "start":  # type: ignore[attr-defined]
            raise StoppedError

    monkeypatch.setenv("QUINTET_MEMORY_GB", "100")
    with pytest.raises(StoppedError):
        train(table, tmp_path / "model", settings=settings, options=options, listener=listen)
    assert events[0] == ("size", "feed_forward")
    monkeypatch.setenv("QUINTET_MEMORY_GB", "1")
    with pytest.raises(ConfigError, match="QUINTET_MEMORY_GB=6"):
        train(table, tmp_path / "other", settings=settings, options=options)
    assert not (tmp_path / "other" / "config.json").exists()


def run_outside_ci(code: str) -> subprocess.CompletedProcess[str]:
    """Code in a process of its own, without the level of TensorFlow that `.ci/run` sets."""
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    environment["PYTHONPATH"] = str(Path(__file__).parents[3])
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )


@pytest.mark.slow
def test_the_first_use_of_keras_prints_nothing() -> None:
    done = run_outside_ci(
        "from quintet.classifiers.networks.size import network_size\n"
        "network_size('feed_forward', (8, 8), 2, {})"
    )
    assert (done.stdout, done.stderr) == ("", "")


def test_the_level_of_tensorflow_is_set_before_keras_is_imported() -> None:
    done = run_outside_ci(
        "import os, sys, quintet.classifiers.networks\n"
        "print(os.environ['TF_CPP_MIN_LOG_LEVEL'], 'keras' in sys.modules)"
    )
    assert done.stdout.split() == ["3", "False"]
