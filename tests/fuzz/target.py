"""What a target of the fuzzer is, and the table of all targets."""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np


class Runner(Protocol):
    """A prepared target."""

    def __call__(self, rng: np.random.Generator, folder: Path) -> Counter[str]:
        """Mutate a seed into `folder` (empty), feed it to the reader, and say what came of it.

        Returns counts of short words, such as "loaded" or "refused". Every exception is a finding.
        """
        ...


@dataclass(frozen=True)
class Target:
    """Row of `TARGETS`.

    Args:
        name: name on the command line.
        prepare: `module:function`; called with a folder for seeds, it returns a `Runner`.
        seconds: a try that takes longer is a finding.
    """

    name: str
    prepare: str
    seconds: int = 60

    def load(self, seeds: Path) -> Runner:
        """Make the seeds in a folder, and return the runner."""
        module, function = self.prepare.split(":")
        prepare: Callable[[Path], Runner] = getattr(importlib.import_module(module), function)
        return prepare(seeds)


TARGETS = (
    Target("model_folders", "tests.fuzz.model_folders:prepare"),
    Target("model_pages", "tests.fuzz.model_folders:prepare_pages"),
    Target("network_folders", "tests.fuzz.model_folders:prepare_network"),
    Target("feature_tables", "tests.fuzz.tables:prepare_features"),
    Target("prediction_tables", "tests.fuzz.tables:prepare_predictions"),
    Target("split_files", "tests.fuzz.tables:prepare_splits"),
    Target("manifests", "tests.fuzz.tables:prepare_manifests"),
    Target("spectrogram_stores", "tests.fuzz.stores:prepare"),
    Target("recipes", "tests.fuzz.recipes:prepare"),
    Target("library_folders", "tests.fuzz.library.folders:prepare"),
    Target("tag_plans", "tests.fuzz.library.tags:prepare_plans"),
    Target("genre_maps", "tests.fuzz.library.tags:prepare_maps"),
    Target("tags", "tests.fuzz.library.tags:prepare"),
    Target("audio_extract", "tests.fuzz.audio:prepare_extract", seconds=900),
    Target("audio_predict", "tests.fuzz.audio:prepare_predict", seconds=900),
    Target("audio_audit", "tests.fuzz.audio:prepare_audit", seconds=900),
)
"""All targets; a new one is a new module and a row."""
