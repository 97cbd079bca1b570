"""What a target of the fuzzer is, and the table of all targets."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np


class Runner(Protocol):
    """A prepared target."""

    def __call__(self, rng: np.random.Generator, folder: Path) -> str:
        """Mutate a seed into `folder` (empty), feed it to the reader, and say what came of it.

        Returns a short word, such as "loaded" or "refused". Every exception is a finding.
        """
        ...


@dataclass(frozen=True)
class Target:
    """Row of `TARGETS`.

    Args:
        name: name on the command line.
        prepare: `module:function`; called with a folder for seeds, it returns a `Runner`.
    """

    name: str
    prepare: str

    def load(self, seeds: Path) -> Runner:
        """Make the seeds in a folder, and return the runner."""
        module, function = self.prepare.split(":")
        prepare: Callable[[Path], Runner] = getattr(importlib.import_module(module), function)
        return prepare(seeds)


TARGETS = (
    Target("model_folders", "tests.fuzz.model_folders:prepare"),
    Target("model_pages", "tests.fuzz.model_folders:prepare_pages"),
    Target("network_folders", "tests.fuzz.model_folders:prepare_network"),
    Target("audio_extract", "tests.fuzz.audio:prepare_extract"),
    Target("audio_predict", "tests.fuzz.audio:prepare_predict"),
    Target("audio_audit", "tests.fuzz.audio:prepare_audit"),
)
"""All targets; a new one is a new module and a row."""
