"""Size of a network before it is built, and what happens if it is too large."""

from __future__ import annotations

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
