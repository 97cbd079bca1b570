"""Size of a network from its shapes: parameters, and the memory of its training, before it is built."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from quintet.classifiers.networks.backend import load_keras
from quintet.classifiers.networks.registry import build_network
from quintet.errors import ConfigError

BYTES_PER_PARAMETER = 80
"""Bytes of a training for each parameter that learns, with the copies of weights, gradients and optimiser of
all folds: measured with feed_forward at 54 and 108 pixels (88 and 75)."""
NOTABLE_BYTES = 1e9
"""A training of this size is announced."""
LIMIT_VARIABLE = "QUINTET_MEMORY_GB"
"""Environment variable with the memory that a training may take, in place of what the machine has."""
_CGROUP_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


@dataclass(frozen=True)
class NetworkSize:
    """Size of a network.

    Args:
        name: its name.
        parameters: number of parameters that learn.
        fixed: number of parameters that do not learn.
    """

    name: str
    parameters: int
    fixed: int

    @property
    def training_bytes(self) -> float:
        """Estimate of the memory that its training takes, in bytes."""
        return float(BYTES_PER_PARAMETER * self.parameters + 4 * self.fixed)

    def describe(self, n_clips: int) -> str:
        """Parameters, clips and memory, as a sentence."""
        return (
            f"{self.name} learns {self.parameters:,} parameters from {n_clips} clips, "
            f"which takes about {self.training_bytes / 1e9:.1f} GB of memory."
        )


def network_size(
    name: str, input_shape: tuple[int, int], n_outputs: int, settings: Mapping[str, object]
) -> NetworkSize:
    """Size of a network. Its weights take no memory here.

    Args:
        name: key of `networks.registry.NETWORKS`.
        input_shape: (n_mels, frames) of a patch.
        n_outputs: number of classes or tags.
        settings: further arguments of its `build`.

    Raises:
        ConfigError: as `build_network`.
    """
    keras = load_keras()  # first: it silences what the import prints
    from keras.src.backend.common import global_state

    waiting = global_state.get_global_attribute("uninitialized_variables", set_to_default=True, default=[])
    n_before = len(waiting)
    try:
        with keras.StatelessScope(initialize_variables=False):
            model = build_network(
                name,
                input_shape,
                n_outputs,
                multilabel=False,
                seed=0,
                precision="float32",
                settings=settings,
                pretrained=False,
            )
    finally:
        del waiting[n_before:]  # Keras would give them memory at the end of the next such scope
    learning = sum(math.prod(weight.shape) for weight in model.trainable_variables)
    stored = sum(math.prod(weight.shape) for weight in model.weights)
    return NetworkSize(name, learning, stored - learning)


def memory_limit() -> float:
    """Memory that a training may take, in bytes: of the variable, of the container, or of the machine."""
    given = os.environ.get(LIMIT_VARIABLE)
    if given is not None:
        try:
            return float(given) * 1e9
        except ValueError:
            raise ConfigError(f"{LIMIT_VARIABLE} must be a number of GB. Received '{given}'.") from None
    limits = [_machine_bytes(), *(_read_limit(path) for path in _CGROUP_LIMITS)]
    return min(limits)


def require_memory(size: NetworkSize, n_clips: int) -> None:
    """Refuse a network whose training takes more memory than there is.

    Args:
        size: the network.
        n_clips: clips that it learns from.

    Raises:
        ConfigError: with the numbers, and what makes it smaller.
    """
    limit = memory_limit()
    if size.training_bytes > limit:
        raise ConfigError(
            f"A network must fit into memory. {size.describe(n_clips)} There are {limit / 1e9:.1f} GB. "
            f"Make it smaller (its settings size, units or filters) or leave it out; "
            f"{LIMIT_VARIABLE}={math.ceil(size.training_bytes / 1e9)} trains it nevertheless."
        )


def _machine_bytes() -> float:
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):  # not on every system
        return math.inf


def _read_limit(path: Path) -> float:
    """Limit of the container; infinite if there is none."""
    try:
        return float(path.read_text(encoding="ascii"))
    except (OSError, ValueError):  # no such file, or "max"
        return math.inf
