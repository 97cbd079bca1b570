"""Mutated spectrogram stores: each gives the spectrograms of its index, or is refused in one sentence."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import numpy as np

from quintet.errors import QuintetError
from quintet.features.parameters import LogMelParameters
from quintet.features.storage.spectrograms import SpectrogramStore, SpectrogramWriter
from tests.fuzz.model_folders import forge, put, refusal
from tests.fuzz.mutations import choose, mutate_array
from tests.fuzz.target import Runner

Rng = np.random.Generator
PARAMETERS = LogMelParameters(n_mels=8)


def prepare(seeds: Path) -> Runner:
    """A store of two shards, the second of them in parts of the index."""
    rng, seed = np.random.default_rng(0), seeds / "store"
    for first in (0, 3):
        with SpectrogramWriter(seed, PARAMETERS) as writer:
            for number in range(first, first + 3):
                writer.add(f"c{number}", rng.normal(size=(8, 5 + number)), f"digest{number}")

    def run(rng: Rng, folder: Path) -> Counter[str]:
        target = folder / "store"
        shutil.copytree(seed, target)
        files = sorted(path for path in target.rglob("*") if path.suffix in (".json", ".parquet", ".npy"))
        for place in rng.permutation(len(files))[: int(choose(rng, (1, 1, 2)))]:
            path, kind = files[place], int(rng.integers(20))
            if kind == 0:
                path.unlink()
            elif kind == 1:
                path.unlink()
                path.symlink_to(choose(rng, ("/proc/self/environ", "/dev/zero", "store.json")))
            else:
                put(path, mutate_array(path.read_bytes(), rng) if path.suffix == ".npy" else forge(path, rng))
        try:
            return Counter([_read(target)])
        except QuintetError as error:
            return Counter([refusal(error)])

    return run


def _read(folder: Path) -> str:
    """Read all spectrograms of a store, and one window."""
    store = SpectrogramStore(folder)
    for id, n_frames in zip(store.ids, store.frames(store.ids).tolist(), strict=True):
        for values in (store.take([id])[0], store.window(id, 0, None)):
            if values.shape != (store.parameters.n_mels, n_frames) or values.dtype != np.float32:
                raise AssertionError(f"{id} must have {n_frames} frames: {values.shape}, {values.dtype}")
    return "read"
